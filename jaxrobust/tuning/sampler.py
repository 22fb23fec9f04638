"""What a trial tries: drawn by its place in the study, whoever makes it.

A study that was killed and goes on, or a trial that another worker makes
again, draws the same values from the same history. The config's own values
are the first place.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxrobust.tuning.storage import STARTUP


def make_sampler(
  optuna: Any, seed: int, place: int, own: Mapping[str, Any] | None
) -> Any:
  """Builds optuna's sampler for one trial.

  Args:
    optuna: The module.
    seed: The study's seed.
    place: The trial's place in the study, from 0.
    own: The config's own values by field, as optuna stores them, which place
      0 tries; None if they lie outside the ranges.

  Returns:
    A sampler: tree-structured Parzen estimators that take trials under way
    for bad ones, so that workers do not all try the same.
  """
  words = [seed, place]
  number = int(np.random.SeedSequence(words).generate_state(1)[0])
  if place or own is None:
    return optuna.samplers.TPESampler(
      n_startup_trials=STARTUP, seed=number, constant_liar=True
    )

  class OwnValues(optuna.samplers.RandomSampler):
    """Draws nothing: the values are given."""

    def sample_independent(self, study, trial, param_name, param_distribution):
      """The config's own value of a field."""
      return own[param_name]

  return OwnValues(seed=number)
