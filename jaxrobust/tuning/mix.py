"""The validation mix: one number for how a model bears many test noises.

The mix is the grid of `config.eval` on the validation split. Each kind of
noise (clean, Gaussian, each tail index) weighs the same in it, however many
strengths it has; its noise has a tag of its own and is never the test's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from jaxrobust import data, evaluation
from jaxrobust.evaluation import Perturbation
from jaxrobust.training.config import ConfigError

# (perturbation) -> per-example numbers, as `evaluation.summarise` takes them.
JudgeFn = Callable[[Perturbation], Mapping[str, np.ndarray]]


def validation_set(config: ml_collections.ConfigDict) -> data.Dataset:
  """Loads the split to choose on, and never the one to test on.

  Args:
    config: A run's config.

  Returns:
    The split `config.data.validation_split`.

  Raises:
    ConfigError: If there is none.
  """
  if not config.data.validation_split:
    raise ConfigError(
      "config.data.validation_split='': must be set, for a strength is chosen "
      "on validation data; as --config.data.train_split='train[:90%]' "
      "--config.data.validation_split='train[90%:]'"
    )
  return data.load(config.data, config.data.validation_split)


def judge_mix(
  judge: JudgeFn, cells: Sequence[Perturbation], task: evaluation.Task
) -> dict[str, float]:
  """The score under each kind of noise, averaged over its strengths.

  Args:
    judge: Judges a model under one perturbation.
    cells: The mix.
    task: Gives the score: the accuracy, or for a regression -mse.

  Returns:
    By the perturbation's name; more is better.
  """
  scores: dict[str, list[float]] = {}
  for cell in cells:
    summary = task.summarise(judge(cell))
    scores.setdefault(cell.name, []).append(task.rank(summary))
  return {name: float(np.mean(values)) for name, values in scores.items()}


def value_of(by_kind: Mapping[str, float]) -> float:
  """The value of a model: the mean over kinds of noise.

  Example:
    >>> value_of({"clean": 1.0, "gaussian": 0.5})
    0.75
  """
  return float(np.mean(list(by_kind.values())))


def make_mix_noise(
  cells: Sequence[Perturbation], is_image: bool
) -> Callable[[data.Draw, jax.Array], jax.Array]:
  """Builds what adds the noise of a random cell of the mix to each example.

  Args:
    cells: The mix; kinds are equally likely, and strengths within a kind.
    is_image: Whether noisy inputs are clipped to [0, 1].

  Returns:
    A function of (draw, inputs [N, ...]) that gives noisy inputs.
  """
  names = [cell.name for cell in cells]
  weights = np.asarray([1 / names.count(name) for name in names])
  noises = np.stack([cell.noise for cell in cells])

  def corrupt(draw, inputs):
    def one(key, example):
      choice_key, key = jax.random.split(key)
      noise = jax.random.choice(
        choice_key, jnp.asarray(noises), p=jnp.asarray(weights / weights.sum())
      )
      return evaluation.perturb(key, noise, example, is_image=is_image)

    return jax.vmap(one)(draw(data.Tag.VALIDATION), inputs)

  return corrupt


def by_kind(
  rows: Sequence[Mapping[str, Any]], task: evaluation.Task
) -> dict[str, float]:
  """The scores of `judge_mix` from the result rows of one model and split.

  Args:
    rows: As `evaluation.read_rows` gives them.
    task: As for `judge_mix`.

  Returns:
    As for `judge_mix`.
  """
  scores: dict[str, list[float]] = {}
  for row in rows:
    if row["metric"] == task.headline:
      rank = task.rank({task.headline: row["value"]})
      scores.setdefault(row["perturbation"], []).append(rank)
  return {name: float(np.mean(values)) for name, values in scores.items()}
