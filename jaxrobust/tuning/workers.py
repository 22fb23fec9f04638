"""Several workers of a study as processes of this machine.

Each gets its share of the cores, and one of the NVIDIA GPUs where there are
any. They know nothing of each other: the study keeps them apart.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from jaxrobust.training.interruption import Interruption

# How often the processes are looked at, in seconds.
_LOOK_SECONDS = 0.2
_PROGRAM = (
  "import sys; from jaxrobust import commands; sys.exit(commands.main())"
)


def run(words: Sequence[str], count: int) -> list[int]:
  """Runs a command several times at once and relays what it prints.

  SIGTERM and Ctrl-C are passed on; the second one kills.

  Args:
    words: The arguments of `jaxrobust`.
    count: How many processes.

  Returns:
    Their exit codes; negative ones are signals.
  """
  processes: list[subprocess.Popen[str]] = []
  threads = []
  with Interruption("stopping the workers") as interruption:
    try:
      for number, (cores, gpu) in enumerate(shares(count)):
        processes.append(_start(words, cores, gpu))
        relay = threading.Thread(
          target=_relay, args=(processes[-1].stdout, number), daemon=True
        )
        relay.start()
        threads.append(relay)
      asked = False
      while any(process.poll() is None for process in processes):
        if interruption.requested and not asked:
          asked = True
          for process in processes:
            process.terminate()
        time.sleep(_LOOK_SECONDS)
    finally:
      for process in processes:
        if process.poll() is None:
          process.kill()
      for process in processes:
        process.wait()
  for thread in threads:
    thread.join()
  for number, process in enumerate(processes):
    if process.returncode < 0:
      print(f"worker {number}: ended by signal {-process.returncode}")
  codes = [process.returncode for process in processes]
  # One that had not begun to listen ends at once, as it was told.
  return [75 if asked and code == -signal.SIGTERM else code for code in codes]


def shares(count: int) -> Iterator[tuple[set[int], str | None]]:
  """What each process may use: its cores, and its GPU.

  Args:
    count: How many processes.

  Yields:
    The cores, all of them if there are fewer than processes; and the name of
    a GPU in `CUDA_VISIBLE_DEVICES`, in turn, or None if there are none.
  """
  cores = []
  if hasattr(os, "sched_getaffinity"):
    cores = sorted(os.sched_getaffinity(0))
  gpus = _gpus()
  for number in range(count):
    part = cores[number::count] if count <= len(cores) else cores
    yield set(part), gpus[number % len(gpus)] if gpus else None


def _gpus() -> list[str]:
  visible = os.environ.get("CUDA_VISIBLE_DEVICES")
  if visible is not None:
    return [name for name in visible.split(",") if name]
  devices = pathlib.Path("/dev").glob("nvidia*")
  return sorted(
    (d.name[6:] for d in devices if re.fullmatch(r"nvidia\d+", d.name)),
    key=int,
  )


def _start(
  words: Sequence[str], cores: set[int], gpu: str | None
) -> "subprocess.Popen[str]":
  environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
  if gpu is not None:
    environment["CUDA_VISIBLE_DEVICES"] = gpu
  everything = os.sched_getaffinity(0) if cores else set()
  try:
    if cores:
      os.sched_setaffinity(0, cores)  # The child inherits it.
    return subprocess.Popen(
      [sys.executable, "-c", _PROGRAM, *words, f"--worker_of={os.getpid()}"],
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      errors="replace",
      env=environment,
      # Ctrl-C in a terminal goes to this process, which passes it on once.
      start_new_session=True,
    )
  finally:
    if cores:
      os.sched_setaffinity(0, everything)


def _relay(lines: Any, number: int) -> None:
  for line in lines:
    print(f"worker {number}: {line}", end="", flush=True)
