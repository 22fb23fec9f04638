"""How far predictions of numbers are off: per example, and in all."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

METRICS = ("rmse", "mse", "mae", "finite")


def judge_regression(
  predictions: jax.Array, targets: jax.Array
) -> dict[str, jax.Array]:
  """Judges each example of a regression, over its D targets.

  Predictions that are not finite, as a heavy-tailed input can make them, are
  infinitely far off.

  Args:
    predictions: float32 [N, D].
    targets: float32 [N, D].

  Returns:
    `squared_error` and `absolute_error`, means over the targets, in their
    units; `finite`, bool, whether all predictions are; [N] each.

  Example:
    >>> judged = judge_regression(jnp.asarray([[3.0]]), jnp.asarray([[1.0]]))
    >>> float(judged["squared_error"][0]), float(judged["absolute_error"][0])
    (4.0, 2.0)
  """
  finite = jnp.isfinite(predictions).all(axis=1)
  errors = predictions - targets
  return {
    "squared_error": jnp.where(finite, (errors**2).mean(axis=1), jnp.inf),
    "absolute_error": jnp.where(finite, jnp.abs(errors).mean(axis=1), jnp.inf),
    "finite": finite,
  }


def summarise_regression(
  examples: Mapping[str, np.ndarray],
) -> dict[str, float]:
  """The metrics of one perturbation at one strength, of a regression.

  Args:
    examples: `squared_error`, `absolute_error` and `finite`, [N] each.

  Returns:
    rmse, mse and mae, infinite if one prediction is; and finite, the share
    of the examples whose predictions are.

  Example:
    >>> examples = {
    ...   "squared_error": np.asarray([0.0, 8.0]),
    ...   "absolute_error": np.asarray([0.0, 2.0]),
    ...   "finite": np.asarray([True, True]),
    ... }
    >>> summarise_regression(examples)
    {'rmse': 2.0, 'mse': 4.0, 'mae': 1.0, 'finite': 1.0}
  """
  means = {
    name: float(np.mean(np.asarray(examples[name], np.float64)))
    for name in ("squared_error", "absolute_error", "finite")
  }
  return {
    "rmse": math.sqrt(means["squared_error"]),
    "mse": means["squared_error"],
    "mae": means["absolute_error"],
    "finite": means["finite"],
  }
