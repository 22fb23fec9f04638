"""A work folder belongs to one run at a time."""

import contextlib
import os
import pathlib
import socket
import warnings
from collections.abc import Iterator

from jaxrobust.training import processes
from jaxrobust.training.config import ConfigError


@contextlib.contextmanager
def claimed(workdir: pathlib.Path, work: str) -> Iterator[None]:
  """Holds a work folder for one kind of work; a second such run is refused.

  The claim ends with the process, however that ends.

  Args:
    workdir: The folder; made if it is not there.
    work: The kind, as "training"; others may go on beside it.

  Raises:
    ConfigError: If another run holds it, with its process and host.
  """
  if not processes.is_first():
    yield
    return
  workdir.mkdir(parents=True, exist_ok=True)
  path = workdir / f".{work}.lock"
  with path.open("a+") as file:
    try:
      import fcntl

      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      file.seek(0)
      raise ConfigError(
        f"{workdir}: {work} there is under way already "
        f"({file.read().strip() or 'by another process'}); wait for it, or use "
        "another --workdir"
      ) from error
    except (ImportError, OSError) as error:
      warnings.warn(
        f"{workdir}: no locks there ({error}): a second run in it would not be "
        "noticed",
        stacklevel=3,
      )
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    yield
