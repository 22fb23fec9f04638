"""The forward that draws the noise inside the network."""

import math
from typing import get_args

import jax
import jax.numpy as jnp

from jaxrobust import alpha_stable, models, moments
from jaxrobust.methods import inner_noise, stochastic
from jaxrobust.moments import rules


def sampled(
  *,
  sigma: float,
  samples: int = 1,
  learn: bool = False,
  per_channel: bool = False,
  relative: bool = False,
  place: moments.Place = "first",
  schedule: str = "constant",
  schedule_from: float | None = None,
  schedule_to: float | None = None,
  alpha: float = 2.0,
  predict: stochastic.Predict = "off",
  predict_samples: int | None = None,
) -> stochastic.Stochastic:
  """The same noise, drawn: what the analytic forward is compared with.

  An objective is averaged over the samples; one of the moments takes the mean
  and the variance over them.

  Args:
    sigma: As of `moments_forward`.
    samples: How many draws per example and step.
    learn: As of `moments_forward`; the gradient goes through the draws.
    per_channel: As of `moments_forward`.
    relative: As of `moments_forward`.
    place: As of `moments_forward`.
    schedule: As of `moments_forward`.
    schedule_from: As of `moments_forward`.
    schedule_to: As of `moments_forward`.
    alpha: The tail index of the noise, in (0, 2].
    predict: "off" evaluates without noise, "mean" by the mean of the logits
      over draws that are the same for every example.
    predict_samples: How many draws "mean" takes, by default `samples`.

  Returns:
    The forward; its outputs' `distribution` are `models.Samples` [S, N, K].

  Raises:
    ValueError: If a parameter is out of range or does not fit the others.

  Example:
    >>> model = models.build("mlp", num_classes=3, hidden=(4,))
    >>> x = jnp.ones((2, 5, 1))
    >>> variables = model.init(jax.random.key(0), x)
    >>> keys = jax.random.split(jax.random.key(1), 2)
    >>> forward = sampled(sigma=0.6, samples=8)
    >>> outputs, _ = forward(model, variables, x, jnp.ones(2), True, keys)
    >>> outputs.distribution.logits.shape
    (8, 2, 3)
  """
  noise = inner_noise.inner_noise(
    sigma,
    learn,
    per_channel,
    relative,
    place,
    schedule,
    schedule_from,
    schedule_to,
  )
  stochastic.one_of("predict", predict, get_args(stochastic.Predict))
  if predict_samples is not None and predict == "off":
    raise ValueError(
      f"predict_samples={predict_samples} with predict='off': only with 'mean'"
    )
  counts = {True: samples, False: predict_samples or samples}
  if samples < 1:
    raise ValueError(f"samples={samples}: must be at least 1")
  if predict_samples is not None and predict_samples < 1:
    raise ValueError(f"predict_samples={predict_samples}: must be at least 1")
  if not 0 < alpha <= 2:
    raise ValueError(f"alpha={alpha}: must lie in (0, 2]")

  def run(apply, noise, sigma, keys, batch, train):
    keys = _some_keys(keys, batch)

    def one(number):
      seen = {}

      def enter(values):
        std = noise.at(values, sigma)
        seen["sigma_eff"] = stochastic.relative_strength(std, values)
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        return values + (std * _unit(own, alpha, values.shape[1:])).astype(
          values.dtype
        )

      outputs, batch_stats = apply(enter)
      return outputs, batch_stats, seen

    outputs, batch_stats, seen = jax.vmap(one)(jnp.arange(counts[train]))
    mean = jax.tree.map(
      lambda x: x.mean(0), (outputs.logits, outputs.features, batch_stats)
    )
    logits, features, batch_stats = mean
    law = models.Samples(outputs.logits)
    seen = {name: x[0] for name, x in seen.items()}
    return models.Outputs(logits, features, law), batch_stats, seen

  return stochastic.Stochastic(noise, predict, run)


def _unit(keys: jax.Array, alpha: float, shape: tuple[int, ...]) -> jax.Array:
  """Noise of unit standard deviation, or scale for alpha < 2: [N, *shape]."""
  # The law of tail index 2 has twice the variance of the Gaussian of its scale.
  scale = math.sqrt(0.5) if alpha == 2 else 1.0

  def own(key):
    return scale * alpha_stable.sample(key, alpha, shape=shape)

  return rules.stored(jax.vmap(own)(keys))


def _some_keys(keys: jax.Array | None, batch: int) -> jax.Array:
  """The examples' keys, or one fixed key for all of them."""
  if keys is not None:
    return keys
  return jnp.broadcast_to(stochastic.fixed_key(), (batch,))
