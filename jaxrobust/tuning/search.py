"""Choosing config fields by a search over trainings: a resumable study.

A trial trains one model and is worth its value on the validation mix. The
next trial depends only on the trials that ended, so that a study that was
killed goes on as if it never was; half a trial is made again.
"""

import contextlib
import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import ml_collections
import numpy as np

from jaxrobust import data
from jaxrobust.training import config as config_lib
from jaxrobust.training import parallel
from jaxrobust.training.checks import validate
from jaxrobust.training.interruption import Interruption
from jaxrobust.training.logging import Progress
from jaxrobust.tuning import choice, mix
from jaxrobust.tuning import ranges as ranges_lib
from jaxrobust.tuning.trainer import Trainer

_STUDY = "tune"
# Trials before the sampler models, and before the pruner compares.
_STARTUP = 5


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
    seconds: How long it took.
  """

  number: int
  fields: dict[str, Any]
  value: Any
  pruned: bool
  by_kind: dict[str, float]
  by_epoch: dict[int, float]
  is_default: bool
  seconds: float


@dataclasses.dataclass(frozen=True)
class Study:
  """A search so far: its ranges and the trials that ended."""

  finished: bool
  ranges: list[ranges_lib.Range]
  trials: list[Trial]

  def ranking(self) -> list[Trial]:
    """The complete trials, best first."""
    complete = [t for t in self.trials if not t.pruned]
    return sorted(complete, key=lambda t: t.value, reverse=True)


def tune(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  searched: Sequence[str] = (),
  trials: int = 20,
) -> Study:
  """Searches config fields for the best value on the validation mix.

  Args:
    config: The config to search around. Its own values are the first trial,
      if they lie in the ranges.
    workdir: The study's folder, made if it is not there; what it holds counts
      towards `trials`.
    searched: Texts `FIELD=RANGE`, see `search`; by default the strength of
      the noise and its tail index.
    trials: How many trials the study shall have, pruned ones included.

  Returns:
    The study. Ctrl-C and SIGTERM end it unfinished; the same call goes on.

  Raises:
    ConfigError: If the config or the search cannot run, is not the one that
      `workdir` was begun with, or has no validation split, or if optuna is
      not installed.
    data.DataError: If the data set is not there.
  """
  workdir = pathlib.Path(workdir).expanduser()
  optuna = _import_optuna()
  if trials < 1:
    raise config_lib.ConfigError(f"--trials={trials}: must be at least 1")
  parallel.use_all_cores()
  validate(config)
  texts = list(searched) or ranges_lib.default_search(config)
  ranges = [ranges_lib.parse(text, config) for text in texts]
  ranges_lib.check(config, ranges)
  validation_set = mix.validation_set(config)
  train_set = data.load(config.data, config.data.train_split)
  _begin_or_resume(config, ranges, workdir)
  with (
    Interruption("stopping: this trial will be made again") as interruption,
    _opened(workdir, optuna, config) as study,
  ):
    trainer = Trainer(train_set, validation_set, lambda: interruption.requested)
    _fail_abandoned(study, optuna)
    done = len(_ended(study, optuna))
    progress = Progress(trials, "trial", done)
    try:
      while done < trials and not interruption.requested:
        trial = _ask(study, optuna, config, ranges)
        try:
          line = _run_trial(trial, study, optuna, config, ranges, trainer)
        except BaseException:
          study.tell(trial, state=optuna.trial.TrialState.FAIL)
          raise
        done = len(_ended(study, optuna))
        if line is not None:
          progress.update(done, line)
    finally:
      progress.close()
  return read(workdir, finished=done >= trials)


def read(workdir: str | pathlib.Path, finished: bool = True) -> Study:
  """Reads the study of a folder.

  Args:
    workdir: The study's folder.
    finished: For the study's field of this name.

  Returns:
    The study.

  Raises:
    ConfigError: If there is none, or if optuna is not installed.
  """
  optuna = _import_optuna()
  workdir = pathlib.Path(workdir).expanduser()
  if not has_study(workdir):
    raise config_lib.ConfigError(f"{workdir}: no study there")
  config = config_lib.load(workdir / "config.json")
  texts = json.loads((workdir / "search.json").read_text())
  ranges = [ranges_lib.parse(text, config) for text in texts]
  with _opened(workdir, optuna, config) as study:
    trials = [_record(trial) for trial in _ended(study, optuna)]
  return Study(finished, ranges, trials)


def has_study(workdir: pathlib.Path) -> bool:
  """Whether a folder holds a study."""
  return (workdir / "study.db").exists()


def _run_trial(
  trial: Any,
  study: Any,
  optuna: Any,
  config: ml_collections.ConfigDict,
  ranges: Sequence[ranges_lib.Range],
  trainer: Trainer,
) -> str | None:
  """Makes one trial and returns a line about it; None if it was stopped."""
  began = time.monotonic()
  values = {r.field: r.suggest(trial) for r in ranges}
  trial_config = ranges_lib.apply(config, values)
  epoch, value, by_kind, pruned = 0, math.nan, {}, False
  for epoch, by_kind in enumerate(trainer.epochs(trial_config), 1):
    value = mix.value_of(by_kind)
    if not math.isfinite(value):
      break
    trial.report(value, epoch)
    pruned = trial.should_prune() and epoch < trial_config.train.epochs
    if pruned:
      break
  whole = epoch == trial_config.train.epochs and math.isfinite(value)
  if not whole and not pruned and trainer.stopped:
    study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return None
  trial.set_user_attr("seconds", round(time.monotonic() - began, 2))
  words = "  ".join(f"{name}={choice.shown(v)}" for name, v in values.items())
  if whole:
    trial.set_user_attr("by_kind", by_kind)
    study.tell(trial, value)
    return f"{words}  value {value:.4f}"
  study.tell(trial, state=optuna.trial.TrialState.PRUNED)
  why = "pruned" if pruned else "not finite"
  return f"{words}  {why} after epoch {epoch}"


def _ask(
  study: Any,
  optuna: Any,
  config: ml_collections.ConfigDict,
  ranges: Sequence[ranges_lib.Range],
) -> Any:
  """The next trial: the config's own values first."""
  states = optuna.trial.TrialState
  others = [t for t in study.trials if t.state != states.FAIL]
  # Seeded by its place among the trials, so that it does not depend on where
  # a study was interrupted.
  study.sampler = optuna.samplers.TPESampler(
    n_startup_trials=_STARTUP,
    seed=_sampler_seed(config.seed, len(others)),
  )
  own = {r.field: ranges_lib.value_in(config, r.field) for r in ranges}
  if not others and all(own[r.field] in r for r in ranges):
    study.enqueue_trial(own, user_attrs={"is_default": True})
  return study.ask()


def _sampler_seed(seed: Any, place: int) -> int:
  return int(np.random.SeedSequence([seed, place]).generate_state(1)[0])


@contextlib.contextmanager
def _opened(
  workdir: pathlib.Path, optuna: Any, config: ml_collections.ConfigDict
) -> Iterator[Any]:
  """The optuna study of a folder, until it is let go of."""
  # The first third of the epochs says little about the last.
  pruner = optuna.pruners.MedianPruner(
    n_startup_trials=_STARTUP, n_warmup_steps=config.train.epochs // 3 + 1
  )
  storage = optuna.storages.RDBStorage(
    f"sqlite:///{workdir.absolute() / 'study.db'}"
  )
  try:
    yield optuna.create_study(
      study_name=_STUDY,
      storage=storage,
      direction="maximize",
      pruner=pruner,
      load_if_exists=True,
    )
  finally:
    storage.remove_session()
    storage.engine.dispose()


def _ended(study: Any, optuna: Any) -> list[Any]:
  states = optuna.trial.TrialState
  return study.get_trials(states=(states.COMPLETE, states.PRUNED))


def _fail_abandoned(study: Any, optuna: Any) -> None:
  """Marks as failed what a killed process was at."""
  states = optuna.trial.TrialState
  for trial in study.get_trials(states=(states.RUNNING,)):
    study.tell(trial.number, state=states.FAIL)


def _record(trial: Any) -> Trial:
  by_epoch = dict(trial.intermediate_values)
  last = by_epoch[max(by_epoch)] if by_epoch else None
  return Trial(
    number=trial.number,
    fields=trial.params,
    value=last,
    pruned=trial.state.name == "PRUNED",
    by_kind=trial.user_attrs.get("by_kind", {}),
    by_epoch=by_epoch,
    is_default=trial.user_attrs.get("is_default", False),
    seconds=trial.user_attrs.get("seconds", 0.0),
  )


def _begin_or_resume(
  config: ml_collections.ConfigDict,
  ranges: Sequence[ranges_lib.Range],
  workdir: pathlib.Path,
) -> None:
  """Writes the study's papers; refuses to go on with another's."""
  choice.begin_folder(config, workdir)
  path = workdir / "search.json"
  texts = [f"{r.field}={r.text}" for r in ranges]
  if has_study(workdir) and path.exists():
    begun = json.loads(path.read_text())
    if begun != texts:
      raise config_lib.ConfigError(
        f"--search={' '.join(texts)}: {workdir} was begun with "
        f"{' '.join(begun)}; resume it with that, or use a new --workdir"
      )
  path.write_text(json.dumps(texts) + "\n")


def _import_optuna() -> Any:
  try:
    import optuna
  except ImportError as error:
    raise config_lib.ConfigError(
      "optuna is not installed: pip install 'jaxrobust[sweep]'"
    ) from error
  optuna.logging.set_verbosity(optuna.logging.ERROR)
  return optuna
