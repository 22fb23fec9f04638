"""Choosing config fields by a search over trainings: a resumable study.

A trial trains one model and is worth its value on the validation mix. Any
number of workers, on one machine or on many, make the trials of one study; any
of them may be killed. What it was at goes on where its last checkpoint is. With
one worker, a trial depends only on those that ended, so that a study that was
killed goes on as if it never was.
"""

import collections
import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections

from jaxrobust import data
from jaxrobust.training import config as config_lib
from jaxrobust.training import parallel
from jaxrobust.training.checks import validate
from jaxrobust.training.interruption import Interruption
from jaxrobust.tuning import choice, claims, mix, storage
from jaxrobust.tuning import ranges as ranges_lib
from jaxrobust.tuning.session import Session
from jaxrobust.tuning.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class Trial:
  """A trial that ended.

  Attributes:
    number: Its number in the study.
    fields: The values it tried, by dotted name.
    value: Its value on the validation mix; of a pruned trial the last it
      had, None if the training stopped being finite.
    pruned: Whether it was ended early.
    by_kind: Its score under each kind of noise; {} if pruned.
    by_epoch: Its value after each epoch, from epoch 1.
    is_default: Whether it tried the config's own values.
    seconds: How long it took, what was made before a kill left out.
    worker: Who made it; "" if that was not noted.
  """

  number: int
  fields: dict[str, Any]
  value: Any
  pruned: bool
  by_kind: dict[str, float]
  by_epoch: dict[int, float]
  is_default: bool
  seconds: float
  worker: str = ""


@dataclasses.dataclass(frozen=True)
class Study:
  """A search so far.

  Attributes:
    finished: Whether it has all trials that were asked for.
    ranges: What is searched.
    trials: Those that ended.
    states: How many trials are in each state: complete, pruned, running,
      waiting (interrupted, and not taken up again), failed (given up).
  """

  finished: bool
  ranges: list[ranges_lib.Range]
  trials: list[Trial]
  states: dict[str, int] = dataclasses.field(default_factory=dict)

  def ranking(self) -> list[Trial]:
    """The complete trials, best first."""
    complete = [t for t in self.trials if not t.pruned]
    return sorted(complete, key=lambda t: t.value, reverse=True)


def tune(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  searched: Sequence[str] = (),
  trials: int = 20,
  *,
  storage_url: str = "",
  study_name: str = "",
  stop: Callable[[], bool] = lambda: False,
) -> Study:
  """Searches config fields for the best value on the validation mix.

  The process is one worker of the study; others may be at it at once.

  Args:
    config: The config to search around. Its own values are the first trial,
      if they lie in the ranges.
    workdir: The study's folder, made if it is not there; what it holds counts
      towards `trials`. Workers of one machine share it; those of several may
      have one each if the study is in a database.
    searched: Texts `FIELD=RANGE`, see `search`; by default the strength of
      the noise and its tail index.
    trials: How many trials the study shall have, pruned ones included, over
      all workers.
    storage_url: "sqlite:///PATH", for workers of one machine, or
      "postgresql://USER@HOST/DATABASE"; "" for `study.db` in the folder.
    study_name: The study's name there; "" for "tune".
    stop: Asked at every step; True ends this worker as SIGTERM does.

  Returns:
    The study. Ctrl-C and SIGTERM end it unfinished; the same call goes on.

  Raises:
    ConfigError: If the config or the search cannot run, is not the one that
      `workdir` or the study was begun with, or has no validation split, or if
      optuna is not installed or the database does not open.
    data.DataError: If the data set is not there.
  """
  workdir = pathlib.Path(workdir).expanduser()
  optuna = storage.import_optuna()
  ranges = check(config, searched, trials)
  url, name = storage.resolve(workdir, storage_url, study_name)
  parallel.use_all_cores()
  validation_set = mix.validation_set(config)
  train_set = data.load(config.data, config.data.train_split)
  texts = [f"{r.field}={r.text}" for r in ranges]
  _begin_or_resume(config, texts, workdir)
  with (
    Interruption("stopping: the trial goes on from here") as interruption,
    storage.opened(url, name, config, texts) as study,
    contextlib.closing(claims.Worker(workdir, optuna)) as worker,
  ):
    storage.note(workdir, url, name)
    _warn_of_sqlite(url, worker.other_hosts(study))
    finished = Session(
      study=study,
      optuna=optuna,
      config=config,
      ranges=ranges,
      wanted=trials,
      workdir=workdir,
      worker=worker,
      stop=lambda: interruption.requested or stop(),
      trainer=Trainer(train_set, validation_set),
    ).work()
  return read(workdir, finished, url, name)


def check(
  config: ml_collections.ConfigDict, searched: Sequence[str], trials: int
) -> list[ranges_lib.Range]:
  """Reads a search and refuses one that cannot run.

  Args:
    config: As for `tune`.
    searched: As for `tune`.
    trials: As for `tune`.

  Returns:
    The ranges.

  Raises:
    ConfigError: If one of them is wrong.
  """
  if trials < 1:
    raise config_lib.ConfigError(f"--trials={trials}: must be at least 1")
  validate(config)
  texts = list(searched) or ranges_lib.default_search(config)
  ranges = [ranges_lib.parse(text, config) for text in texts]
  ranges_lib.check(config, ranges)
  return ranges


def read(
  workdir: str | pathlib.Path,
  finished: bool = True,
  storage_url: str = "",
  study_name: str = "",
) -> Study:
  """Reads the study of a folder.

  Args:
    workdir: The study's folder.
    finished: For the study's field of this name.
    storage_url: As for `tune`.
    study_name: As for `tune`.

  Returns:
    The study.

  Raises:
    ConfigError: If there is none, or if optuna is not installed.
  """
  workdir = pathlib.Path(workdir).expanduser()
  if not has_study(workdir):
    raise config_lib.ConfigError(f"{workdir}: no study there")
  url, name = storage.resolve(workdir, storage_url, study_name)
  config = config_lib.load(workdir / "config.json")
  texts = json.loads((workdir / "search.json").read_text())
  ranges = [ranges_lib.parse(text, config) for text in texts]
  with storage.opened(url, name, config) as study:
    attempts = study.get_trials()
  survey = claims.survey(attempts, len(attempts))
  states = collections.Counter(
    _state(place[-1], place[-1] in survey.again) for place in survey.places
  )
  ended = [a for a in attempts if a.state.name in ("COMPLETE", "PRUNED")]
  trials = [_record(attempt, ranges) for attempt in ended]
  return Study(finished, ranges, trials, dict(states))


def has_study(workdir: pathlib.Path) -> bool:
  """Whether a folder holds a study, or names the database that does."""
  return storage.has_study(workdir)


def _state(attempt: Any, goes_on: bool) -> str:
  state = attempt.state.name.lower()
  if state == "fail":
    return "waiting" if goes_on else "failed"
  return state


def _record(trial: Any, ranges: Sequence[ranges_lib.Range]) -> Trial:
  by_epoch = dict(trial.intermediate_values)
  last = by_epoch[max(by_epoch)] if by_epoch else None
  return Trial(
    number=trial.number,
    fields={r.field: r.value(trial.params[r.field]) for r in ranges},
    value=last,
    pruned=trial.state.name == "PRUNED",
    by_kind=trial.user_attrs.get("by_kind", {}),
    by_epoch=by_epoch,
    is_default=trial.user_attrs.get("is_default", False),
    seconds=trial.user_attrs.get("seconds", 0.0),
    worker=(trial.user_attrs.get("worker") or {}).get("name", ""),
  )


def _begin_or_resume(
  config: ml_collections.ConfigDict, texts: list[str], workdir: pathlib.Path
) -> None:
  """Writes the folder's papers; refuses to go on with another's."""
  workdir.mkdir(parents=True, exist_ok=True)
  with storage.locked(workdir / ".lock"):
    choice.begin_folder(config, workdir)
    path = workdir / "search.json"
    if has_study(workdir) and path.exists():
      begun = json.loads(path.read_text())
      if begun != texts:
        raise config_lib.ConfigError(
          f"--search={' '.join(texts)}: {workdir} was begun with "
          f"{' '.join(begun)}; resume it with that, or use a new --workdir"
        )
    config_lib.write_whole(path, json.dumps(texts) + "\n")


def _warn_of_sqlite(url: str, hosts: Sequence[str]) -> None:
  if url.startswith("sqlite") and hosts:
    print(
      f"warning: {' and '.join(hosts)} worked on this study, too: workers on "
      "several hosts at once need --storage=postgresql://...",
      flush=True,
    )
