"""The processes of a job: one, or several that make one run together.

Each host runs the same command, as a script in `launch/` starts it. They join
by `jax.distributed`, told how by the environment:

  JAXROBUST_COORDINATOR  host:port of process 0, where the others call
  JAXROBUST_PROCESSES    how many there are
  JAXROBUST_PROCESS      which one this is, from 0
  JAXROBUST_DISTRIBUTED  "auto" in place of these three: SLURM, Cloud TPU, GKE
                         and Open MPI tell JAX themselves
  JAXROBUST_TIMEOUT      seconds (60) without a sign of life after which a
                         process counts as gone and the others end

All of them read and compute; process 0 alone prints, and writes everything
but checkpoints, for which orbax lets all of them come together.
"""

import os
import sys
import time
from typing import Any

import jax
import numpy as np

from jaxrobust.training import parallel
from jaxrobust.training.config import ConfigError

_PLACE = ("JAXROBUST_COORDINATOR", "JAXROBUST_PROCESSES", "JAXROBUST_PROCESS")
_TIMEOUT = 60
_GRACE = 2  # seconds
# What XLA says, among much else, when it waited for a process that is gone.
_SIGNS = ("Gloo", "coordination service", "NCCL", "Connection", "barrier")


class ProcessLost(RuntimeError):
  """Another process of the job is gone, or did not come."""


def join() -> None:
  """Joins the job that the environment names; nothing if it names none.

  To be called before JAX is used. Other processes than the first one print to
  the standard error only.

  Raises:
    ConfigError: If a variable is missing, or is not a number.
    ProcessLost: If the others did not come.
  """
  settings = _settings(os.environ)
  if settings is None or jax.distributed.is_initialized():
    return
  parallel.use_all_cores()
  timeout = settings["heartbeat_timeout_seconds"]
  try:
    jax.distributed.initialize(
      **settings,
      # The first start of a host may take minutes to come up.
      initialization_timeout=max(timeout, 300),
      shutdown_timeout_seconds=timeout,
    )
  except (RuntimeError, ValueError) as error:
    raise ProcessLost(
      f"could not join the job ({_first_line(error)}); see "
      f"{', '.join(_PLACE)}, JAXROBUST_DISTRIBUTED"
    ) from error
  if not is_first():
    # Who is not first has nothing to say but errors.
    sys.stdout = open(os.devnull, "w")


def _settings(environment: Any) -> dict[str, Any] | None:
  """The arguments of `jax.distributed.initialize`; None for one process."""
  given = {name: environment.get(name, "") for name in _PLACE}
  auto = environment.get("JAXROBUST_DISTRIBUTED", "")
  if auto not in ("", "auto"):
    raise ConfigError(f"JAXROBUST_DISTRIBUTED={auto}: must be auto, or not set")
  if not auto and not any(given.values()):
    return None
  timeout = _number("JAXROBUST_TIMEOUT", environment, _TIMEOUT, least=5)
  if auto:
    return {"heartbeat_timeout_seconds": timeout}
  for name, value in given.items():
    if not value:
      raise ConfigError(f"{name}: not set; {', '.join(_PLACE)} go together")
  count = _number("JAXROBUST_PROCESSES", environment, least=1)
  rank = _number("JAXROBUST_PROCESS", environment, least=0)
  if rank >= count:
    raise ConfigError(
      f"JAXROBUST_PROCESS={rank}: must be less than JAXROBUST_PROCESSES={count}"
    )
  address = given["JAXROBUST_COORDINATOR"]
  host, _, port = address.rpartition(":")
  if not host or not port.isdigit():
    raise ConfigError(f"JAXROBUST_COORDINATOR={address}: must be HOST:PORT")
  return {
    "coordinator_address": address,
    "num_processes": count,
    "process_id": rank,
    "heartbeat_timeout_seconds": timeout,
  }


def _number(
  name: str, environment: Any, default: int | None = None, *, least: int
) -> int:
  text = environment.get(name, "")
  if not text and default is not None:
    return default
  if not text.isdigit() or int(text) < least:
    raise ConfigError(f"{name}={text}: must be a number of at least {least}")
  return int(text)


def several() -> bool:
  """Whether the job has more than one process."""
  return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
  """Whether this process is the one that prints and writes."""
  return not several() or jax.process_index() == 0


def wait(name: str) -> None:
  """Waits until all processes are here; `name` tells one place from another."""
  if several():
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices(name)


def check_same(what: str, value: int, where: str, allowed: str) -> None:
  """Checks that all processes found the same.

  Args:
    what: What it is a number of.
    value: The number.
    where: The flag or field that says where it was found.
    allowed: What must hold.

  Raises:
    ConfigError: If they did not, on all of them.
  """
  if not several():
    return
  from jax.experimental import multihost_utils

  # JAX has 32 bits.
  found = multihost_utils.process_allgather(np.int32(value & 0x7FFFFFFF))
  if len(set(found.tolist())) > 1:
    raise ConfigError(
      f"{where}: the processes found different {what}, {found.tolist()}; "
      f"{allowed}"
    )


def explain(error: BaseException) -> ProcessLost | None:
  """What an error of XLA means if it comes of another process's end."""
  text = str(error)
  if several() and any(sign in text for sign in _SIGNS):
    return ProcessLost(
      f"another of {jax.process_count()} processes is gone "
      f"({_first_line(error)[:120]}); what is saved is whole, and the same "
      "command resumes"
    )
  return None


def leave(code: int) -> int:
  """Leaves the job, at once if this process failed.

  One that failed does not wait for the others, which would wait for it. The
  first process is their meeting point: it leaves them the time to fail alike.

  Args:
    code: The exit code.

  Returns:
    The exit code.
  """
  if not several():
    return code
  if code not in (0, 75):
    sys.stdout.flush()
    sys.stderr.flush()
    if is_first():
      time.sleep(_GRACE)
    os._exit(code)
  jax.distributed.shutdown()
  return code


def _first_line(error: BaseException) -> str:
  lines = str(error).strip().splitlines()
  return lines[0] if lines else type(error).__name__
