"""Ctrl-C and SIGTERM as a request that work can end on in good order."""

import signal
import threading
from typing import Any


class Interruption:
  """Turns SIGTERM and Ctrl-C into a request; a second one acts at once.

  Args:
    message: What is printed when the request comes.

  Attributes:
    requested: Whether it has come.
  """

  def __init__(self, message: str):
    self.requested = False
    self._message = message
    self._previous: dict[int, Any] = {}

  def __enter__(self) -> "Interruption":
    # Only the main thread may set handlers; elsewhere signals stay as they are.
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGTERM, signal.SIGINT):
        self._previous[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *exception) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _handle(self, number, frame) -> None:
    if self.requested:
      self.__exit__()
      signal.raise_signal(number)
    self.requested = True
    print(self._message, flush=True)
