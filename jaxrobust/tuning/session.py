"""One worker's part in a study: it takes trials until all are made."""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections

from jaxrobust.training.config import ConfigError
from jaxrobust.training.logging import Progress
from jaxrobust.tuning import choice, claims, mix
from jaxrobust.tuning import ranges as ranges_lib
from jaxrobust.tuning.keeper import FolderTaken, Keeper
from jaxrobust.tuning.sampler import make_sampler
from jaxrobust.tuning.trainer import Trainer

# How often a worker looks whether others are done, in seconds.
_LOOK_SECONDS = 2.0


@dataclasses.dataclass
class Session:
  """One worker's part in a study.

  Attributes:
    study: The optuna study.
    optuna: The module.
    config: What is searched around.
    ranges: The search.
    wanted: How many trials the study shall have.
    workdir: The folder that the trials' folders lie in.
    worker: Who this is.
    stop: Whether the worker is asked to end.
    trainer: Makes the trainings.
  """

  study: Any
  optuna: Any
  config: ml_collections.ConfigDict
  ranges: Sequence[ranges_lib.Range]
  wanted: int
  workdir: pathlib.Path
  worker: claims.Worker
  stop: Callable[[], bool]
  trainer: Trainer

  def work(self) -> bool:
    """Makes trials until the study has all; False if interrupted."""
    survey = self._look()
    progress = Progress(self.wanted, "trial", survey.settled)
    waits = False
    try:
      while survey.settled < self.wanted:
        if self.stop():
          return False
        if survey.open or survey.waiting:
          waits = False
          line = self._take()
          survey = self._look()
          if line is not None:
            progress.update(survey.settled, line)
          continue
        if not waits:
          progress.say(
            f"no trial left to take; {survey.under_way} under way at other "
            "workers"
          )
          waits = True
        time.sleep(_LOOK_SECONDS)
        survey = self._look()
    finally:
      progress.close()
    return True

  def _look(self) -> claims.Survey:
    self.worker.fail_dead(self.study)
    survey = claims.survey(self.study.get_trials(deepcopy=False), self.wanted)
    if survey.again:
      claims.make_again(self.study, survey.again)
      attempts = self.study.get_trials(deepcopy=False)
      survey = claims.survey(attempts, self.wanted)
    return survey

  def _take(self) -> str | None:
    """Makes the next trial; a line about it, None if there is nothing to say.

    The attempt's number decides whether it may have its place.
    """
    states = self.optuna.trial.TrialState
    trial = self.study.ask()
    with claims.beating(trial, self.worker) as lost:
      attempts = self.study.get_trials(deepcopy=False)
      survey = claims.survey(attempts, self.wanted)
      place = survey.place_of(trial.number)
      waited = "again" in trial.user_attrs
      if place is None or (place >= self.wanted and not waited):
        trial.set_user_attr("gave_way", True)
        self.study.tell(trial, state=states.FAIL)
        return None
      try:
        before = [a.number for a in survey.places[place][:-1]]
        return self._make(trial, place, before, lost.is_set)
      except self.optuna.exceptions.UpdateFinishedTrialError:
        return f"trial {trial.number}: taken over by another worker"
      except FolderTaken:
        self._end(trial, states.FAIL)
        raise
      except ConfigError as error:
        # No other attempt at these values will fare better.
        trial.set_user_attr("failures", claims.MOST_FAILURES)
        self._end(trial, states.FAIL)
        return f"trial {trial.number} cannot be: {error}"
      except BaseException:
        self._end(trial, states.FAIL)
        raise

  def _make(
    self,
    trial: Any,
    place: int,
    before: Sequence[int],
    is_lost: Callable[[], bool],
  ) -> str | None:
    states = self.optuna.trial.TrialState
    began = time.monotonic()
    values = self._values(trial, place)
    keeper = Keeper(self.workdir, trial.number, before)
    papers = {"fields": values, "worker": self.worker.name, "before": before}
    keeper.note({"state": "running", **papers})
    config = ranges_lib.apply(self.config, values)
    epoch, value, by_kind, pruned = 0, math.nan, {}, False
    epochs = self.trainer.epochs(
      config, keeper, lambda: is_lost() or self.stop()
    )
    for epoch, by_kind in enumerate(epochs, 1):
      value = mix.value_of(by_kind)
      if not math.isfinite(value):
        break
      trial.report(value, epoch)
      pruned = trial.should_prune() and epoch < config.train.epochs
      if pruned:
        break
    keeper.close()
    whole = epoch == config.train.epochs and math.isfinite(value)
    if not whole and not pruned and self.trainer.stopped:
      trial.set_user_attr("interrupted", True)
      self._end(trial, states.FAIL)
      keeper.note({"state": "interrupted", **papers})
      return None
    seconds = round(time.monotonic() - began, 2)
    trial.set_user_attr("seconds", seconds)
    if whole:
      trial.set_user_attr("by_kind", by_kind)
    self._end(trial, *((states.COMPLETE, value) if whole else (states.PRUNED,)))
    keeper.forget()
    state = "complete" if whole else "pruned" if pruned else "not finite"
    papers |= {"by_epoch": keeper.by_epoch, "seconds": seconds}
    keeper.note({"state": state, "value": value if whole else None, **papers})
    words = "  ".join(f"{name}={choice.shown(v)}" for name, v in values.items())
    if whole:
      return f"{words}  value {value:.4f}"
    return f"{words}  {state} after epoch {epoch}"

  def _values(self, trial: Any, place: int) -> dict[str, Any]:
    """What an attempt tries, by field."""
    own = {}
    for r in self.ranges:
      value = ranges_lib.value_in(self.config, r.field)
      if value in r:
        own[r.field] = r.stored(value)
    fits = len(own) == len(self.ranges)
    self.study.sampler = make_sampler(
      self.optuna, self.config.seed, place, own if fits else None
    )
    if place == 0 and fits:
      trial.set_user_attr("is_default", True)
    return {r.field: r.suggest(trial) for r in self.ranges}

  def _end(self, trial: Any, state: Any, value: float | None = None) -> None:
    self.study.tell(trial, value, state, skip_if_finished=True)
