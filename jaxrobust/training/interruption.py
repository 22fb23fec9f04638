"""Ctrl-C and SIGTERM as a request that work can end on in good order."""

import os
import signal
import threading
from typing import Any

from jaxrobust.training import processes

_HEARD = (signal.SIGTERM, signal.SIGINT)


class Interruption:
  """Turns SIGTERM and Ctrl-C into a request; a second one acts at once.

  Of several processes it is enough that one is asked: all of them stop, and
  after the same step.

  Args:
    message: What is printed when the request comes.

  Attributes:
    requested: Whether it has come; in several processes, whether they have
      agreed to stop.
  """

  def __init__(self, message: str):
    self.requested = False
    self._asked = False
    self._message = message
    self._previous: dict[int, Any] = {}

  def __enter__(self) -> "Interruption":
    # Only the main thread may set handlers; elsewhere signals stay as they are.
    if threading.current_thread() is threading.main_thread():
      # JAX listens to the SIGTERM of one of several processes.
      heard = (signal.SIGINT,) if processes.several() else _HEARD
      for number in heard:
        self._previous[number] = signal.signal(number, self._handle)
    return self

  def reached(self, step: int) -> bool:
    """Whether work is to stop at this step; the same on all processes.

    Args:
      step: Grows from call to call, as on all other processes.
    """
    if processes.several() and not self.requested:
      from jax.experimental import multihost_utils

      ask = multihost_utils.reached_preemption_sync_point
      # What was asked before the first step of a resumed run is to be answered
      # at the first point of all.
      first = not self._asked and step > 1 and ask(1)
      self._asked = True
      if first or ask(step):
        self.requested = True
        print(self._message, flush=True)
    return self.requested

  def __exit__(self, *exception) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _handle(self, number, frame) -> None:
    if processes.several():
      self.__exit__()  # A second one acts at once.
      os.kill(os.getpid(), signal.SIGTERM)
      return
    if self.requested:
      self.__exit__()
      signal.raise_signal(number)
    self.requested = True
    print(self._message, flush=True)
