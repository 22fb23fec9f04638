"""Who makes which trial: many workers on one study, any of them killed.

A trial of optuna is one attempt. Attempts that are made again because their
worker was interrupted or died share a place in the study; the places are what
`--trials` counts. Numbers of attempts are given out one by one by the
database, so that everyone who looks at them finds the same places, and of two
attempts that two workers made at the same moment the later one gives way.
"""

import collections
import contextlib
import dataclasses
import itertools
import os
import pathlib
import platform
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

# How often a worker says that it lives, and how long others wait for it.
BEAT_SECONDS = 30.0
GRACE_SECONDS = 150.0
# Attempts of a trial that may fail or die before it is given up.
MOST_FAILURES = 3
_FINISHED = ("COMPLETE", "PRUNED")


@dataclasses.dataclass(frozen=True)
class Survey:
  """How a study stands, read off its attempts.

  Attributes:
    places: The attempts of each place, oldest first.
    again: Attempts that failed and whose place waits for another one.
    settled: How many of the places asked for have their result, or failed
      too often.
    open: How many of the places asked for nobody has taken.
    waiting: How many attempts wait for a worker.
    under_way: How many attempts are being made.
  """

  places: list[list[Any]]
  again: list[Any]
  settled: int
  open: int
  waiting: int
  under_way: int

  def place_of(self, number: int) -> int | None:
    """The place of an attempt; None if it gave way to another."""
    for place, attempts in enumerate(self.places):
      if any(attempt.number == number for attempt in attempts):
        return place
    return None


def survey(attempts: Sequence[Any], wanted: int) -> Survey:
  """Reads how a study stands.

  Args:
    attempts: All of its optuna trials.
    wanted: How many places it shall have.

  Returns:
    How it stands.
  """
  roots: list[Any] = []
  children: dict[int, Any] = {}
  for attempt in sorted(attempts, key=lambda a: a.number):
    before = attempt.user_attrs.get("again")
    if attempt.user_attrs.get("gave_way"):
      continue
    if before is None:
      roots.append(attempt)
    else:
      children.setdefault(before, attempt)
  places, again, settled = [], [], 0
  for place, attempt in enumerate(roots):
    chain = [attempt]
    while chain[-1].number in children:
      chain.append(children[chain[-1].number])
    places.append(chain)
    last = chain[-1]
    failed = last.state.name == "FAIL"
    given_up = failed and _failures(last) >= MOST_FAILURES
    if place < wanted:
      settled += last.state.name in _FINISHED or given_up
    if failed and not given_up and place < wanted:
      again.append(last)
  states = collections.Counter(chain[-1].state.name for chain in places)
  return Survey(
    places=places,
    again=again,
    settled=settled,
    open=max(wanted - len(places), 0),
    waiting=states["WAITING"],
    under_way=states["RUNNING"],
  )


class Worker:
  """One worker: what it says of itself, and what it knows of the others.

  A worker holds the lock of a file as long as it lives. Whoever runs under
  the same kernel sees at once that it is dead; from elsewhere it is taken for
  dead when its beats stop.

  Args:
    workdir: The folder of the study, or the worker's own.
    optuna: The module.
  """

  def __init__(self, workdir: pathlib.Path, optuna: Any):
    self._optuna = optuna
    self._folder = workdir / "workers"
    self._folder.mkdir(parents=True, exist_ok=True)
    self._seen: dict[int, tuple[Any, float]] = {}
    self.host = platform.node()
    for count in itertools.count():
      name = f"{self.host}-{os.getpid()}-{count}"
      with contextlib.suppress(FileExistsError):
        self._file = (self._folder / name).open("x")
        break
    self.name = name
    _lock(self._file)
    self._file.write(_kernel())
    self._file.flush()

  def close(self) -> None:
    """Says that the worker is done."""
    self._file.close()
    (self._folder / self.name).unlink(missing_ok=True)

  def papers(self) -> dict[str, str]:
    """What an attempt notes of its worker."""
    return {"name": self.name, "host": self.host, "kernel": _kernel()}

  def fail_dead(self, study: Any) -> None:
    """Marks as failed what dead workers were at.

    Args:
      study: The optuna study.
    """
    states = self._optuna.trial.TrialState
    now = time.monotonic()
    at_work = set()
    for attempt in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
      papers = attempt.user_attrs.get("worker")
      beat = attempt.user_attrs.get("beat")
      seen, since = self._seen.get(attempt.number, (None, now))
      if seen != (beat,):
        since = now
      self._seen[attempt.number] = ((beat,), since)
      dead = self._is_dead(papers)
      if dead or now - since > GRACE_SECONDS:
        # Another worker may have been faster, or the trial has ended.
        with contextlib.suppress(RuntimeError, ValueError):
          study.tell(attempt.number, state=states.FAIL)
      elif papers:
        at_work.add(papers["name"])
    for path in self._folder.iterdir():
      if path.name not in at_work and self._is_free(path):
        path.unlink(missing_ok=True)

  def other_hosts(self, study: Any) -> list[str]:
    """The other hosts that are at work on the study."""
    states = self._optuna.trial.TrialState
    running = study.get_trials(deepcopy=False, states=(states.RUNNING,))
    papers = [attempt.user_attrs.get("worker") or {} for attempt in running]
    hosts = {paper.get("host", self.host) for paper in papers}
    return sorted(hosts - {self.host})

  def _is_dead(self, papers: dict[str, str] | None) -> bool:
    # Elsewhere the locks may not be seen, and machines may share a name.
    here = {"host": self.host, "kernel": _kernel()}
    if papers is None or any(papers[name] != here[name] for name in here):
      return False
    return self._is_free(self._folder / papers["name"])

  def _is_free(self, path: pathlib.Path) -> bool:
    """Whether nobody under this kernel holds a worker's file any more."""
    try:
      with path.open("r+") as file:
        return file.read() == _kernel() and _lock(file)
    except OSError:
      return False  # Its folder is another one.


def make_again(study: Any, attempts: Sequence[Any]) -> None:
  """Queues another attempt at what failed, with the same values.

  Args:
    study: The optuna study.
    attempts: Those that failed.
  """
  for attempt in attempts:
    attributes = attempt.user_attrs
    kept = {k: attributes[k] for k in ("is_default",) if k in attributes}
    study.enqueue_trial(
      attempt.params,
      user_attrs={
        **kept,
        "again": attempt.number,
        "failures": _failures(attempt),
      },
    )


@contextlib.contextmanager
def beating(trial: Any, worker: Worker) -> Iterator[threading.Event]:
  """Says at intervals that an attempt's worker lives.

  Args:
    trial: The optuna trial.
    worker: Who makes it.

  Yields:
    An event that is set when others took the worker for dead and the attempt
    is no longer its own.
  """
  lost, done = threading.Event(), threading.Event()
  trial.set_user_attr("worker", worker.papers())

  def beat():
    for count in itertools.count():
      if done.wait(BEAT_SECONDS if count else 0):
        break
      try:
        trial.set_user_attr("beat", count)
      except (RuntimeError, KeyError):  # It is finished: others ended it.
        lost.set()
        break
      except Exception:
        continue  # The database does not answer: the next beat may.
    with contextlib.suppress(Exception):  # The database may be gone.
      trial.storage.remove_session()

  thread = threading.Thread(target=beat, name="beat", daemon=True)
  thread.start()
  try:
    yield lost
  finally:
    done.set()
    thread.join()


def _failures(attempt: Any) -> int:
  """How often a place failed, this attempt included.

  One that was interrupted in good order does not count.
  """
  before = attempt.user_attrs.get("failures", 0)
  return before + (not attempt.user_attrs.get("interrupted", False))


def _kernel() -> str:
  """A name of the running kernel, which ends with it."""
  path = pathlib.Path("/proc/sys/kernel/random/boot_id")
  return path.read_text().strip() if path.exists() else "unknown"


def _lock(file: Any) -> bool:
  """Takes a file's lock; False if it is held, or there are no locks."""
  try:
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except (ImportError, OSError):
    return False
  return True
