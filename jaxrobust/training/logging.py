"""What a run writes down and shows while it trains."""

import importlib.metadata
import json
import math
import pathlib
import platform
import re
import subprocess
import sys
import time
from typing import Any

from jaxrobust.training.config import write_whole

# As in the URL of a database.
_PASSWORD = re.compile(r"(//[^/:@\s]*:)[^@/\s]*@")
PACKAGES = ("jaxrobust", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")


class MetricWriter:
  """Appends metrics to `metrics.jsonl` and to TensorBoard event files.

  JSON has no infinite numbers and no NaN: they are written as null.

  Args:
    workdir: The run's folder; None to write nothing, as all but the first of
      several processes do.
    from_step: The step the run starts or resumes at. What an interrupted run
      wrote about later steps is dropped: those steps are made again.
  """

  def __init__(self, workdir: pathlib.Path | None, from_step: int):
    self._file = None
    if workdir is None:
      return
    from tensorboardX import SummaryWriter

    self._path = workdir / "metrics.jsonl"
    _drop_later(self._path, from_step)
    self._file = self._path.open("a", encoding="utf-8")
    self._board = SummaryWriter(
      str(workdir / "tensorboard"), purge_step=from_step + 1
    )

  def write(self, step: int, metrics: dict[str, float]) -> None:
    """Writes one line and one point per metric."""
    if self._file is None:
      return
    finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
    line = {"step": step, "time": round(time.time(), 3), **finite}
    self._file.write(json.dumps(line, allow_nan=False) + "\n")
    self._file.flush()
    for name, value in metrics.items():
      self._board.add_scalar(name, value, step)

  def close(self) -> None:
    """Writes out what is buffered."""
    if self._file is not None:
      self._file.close()
      self._board.close()


def _drop_later(path: pathlib.Path, from_step: int) -> None:
  if not path.exists():
    return
  kept = []
  for line in path.read_text(encoding="utf-8").splitlines():
    try:
      if json.loads(line)["step"] <= from_step:
        kept.append(line + "\n")
    except ValueError:
      continue  # The half-written last line of a killed run.
  partial = path.with_suffix(".part")
  partial.write_text("".join(kept), encoding="utf-8")
  partial.replace(path)


class Progress:
  """Shows progress with an ETA: a live bar on a terminal, else plain lines.

  Args:
    total: The number of units of work.
    unit: What a unit is called, as "step".
    done: How many are done already.
  """

  def __init__(self, total: int, unit: str, done: int = 0):
    self._total, self._unit, self._done = total, unit, done
    self._began, self._first = time.monotonic(), done
    self._bar = None
    if sys.stdout.isatty():
      from rich import progress

      self._bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
      )
      self._task = self._bar.add_task(
        unit, total=total, completed=done, rate=""
      )
      self._bar.start()

  def update(self, done: int, text: str) -> None:
    """Moves to `done` units and shows a line of text with rate and ETA."""
    self._done = done
    rate = (done - self._first) / max(time.monotonic() - self._began, 1e-9)
    if self._bar is not None:
      self._bar.update(
        self._task,
        completed=done,
        description=text,
        rate=f"{rate:.1f} {self._unit}/s",
      )
      return
    left = (self._total - done) / rate if rate else float("inf")
    self.say(
      f"{self._unit} {done}/{self._total}  {text}  "
      f"{rate:.1f} {self._unit}/s  ETA {_duration(left)}"
    )

  def say(self, line: str) -> None:
    """Prints a line beside the bar."""
    if self._bar is not None:
      self._bar.console.print(line, highlight=False, markup=False)
    else:
      print(line, flush=True)

  def close(self) -> None:
    """Gives the terminal back."""
    if self._bar is not None:
      self._bar.stop()


def _duration(seconds: float) -> str:
  if seconds == float("inf"):
    return "unknown"
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02d}:{rest:02d}"


def note_environment(path: pathlib.Path) -> None:
  """Notes versions, devices and git commit: an entry for each start.

  Args:
    path: A JSON file with the list of the starts so far, or nothing yet.
  """
  starts = json.loads(path.read_text()) if path.exists() else []
  write_whole(path, json.dumps([*starts, _environment()], indent=2) + "\n")


def _environment() -> dict[str, Any]:
  import jax

  return {
    "python": platform.python_version(),
    "platform": platform.platform(),
    "versions": {p: _version(p) for p in PACKAGES},
    "devices": [d.device_kind for d in jax.devices()],
    "git_commit": _git_commit(),
    "command": [_PASSWORD.sub(r"\1***@", word) for word in sys.argv],
  }


def _version(package: str) -> str | None:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _git_commit() -> str | None:
  """The commit of the source tree, '+' behind it if there are changes."""
  root = pathlib.Path(__file__).parents[2]
  if not (root / ".git").exists():
    return None

  def git(*words):
    return subprocess.run(
      ["git", "-C", str(root), *words],
      capture_output=True,
      text=True,
      check=True,
    ).stdout.strip()

  try:
    changed = "+" if git("status", "--porcelain") else ""
    return git("rev-parse", "HEAD") + changed
  except (OSError, subprocess.CalledProcessError):
    return None  # No git here, or not its owner's checkout.
