"""What the loss's scatter under Gaussian noise says of its curvature.

With l_s(x) = E l(x + e), e ~ N(0, s^2 I), and H_s its Hessian, the part of
degree 2 in the Hermite expansion of e -> l(x + e) has the energy
(s^4 / 2) ||H_s||_F^2, so that by Parseval

  ||H_s||_F^2 <= (2 / s^4) Var l(x + e) <= (2 / s^4) E (l(x + e) - l(x))^2

without a Taylor remainder and without smoothness: it holds for ReLU. What is
known to have no part of degree 2 can be taken off first: the linear part
s^2 ||grad l_s||^2, or the whole odd part. All is in units of the input, noise
is not clipped, and the loss is the cross-entropy of one example.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrobust.attacks.ascent import LogitsFn
from jaxrobust.attacks.objectives import cross_entropy
from jaxrobust.evaluation import probes


class LossVariance(NamedTuple):
  """Estimates of upper bounds on ||H_s||_F^2, of each example, float32 [N].

  Each is unbiased; a bound holds for what is estimated, not for every estimate
  of it, and `nonlinear` can even be negative.

  Attributes:
    mean_square: (2 / s^4) E (l(x + e) - l(x))^2.
    variance: (2 / s^4) Var l(x + e), at most that.
    nonlinear: (2 / s^4) (Var l(x + e) - s^2 ||grad l_s||^2), at most that.
    even: (2 / s^4) Var ((l(x + e) + l(x - e)) / 2), the antithetic form, at
      most that again; for a smooth loss and a small s about ||H||_F^2 itself.
    logits: (8 / s^4) E max_k |z_k(x + e) - z_k(x)|^2, at least `mean_square`,
      as |l(z') - l(z)| <= 2 max_k |z'_k - z_k|.
  """

  mean_square: jax.Array
  variance: jax.Array
  nonlinear: jax.Array
  even: jax.Array
  logits: jax.Array


def loss_variance(
  keys: jax.Array,
  logits_fn: LogitsFn,
  inputs: jax.Array,
  labels: jax.Array,
  *,
  std: float | jax.Array,
  pairs: int = 20,
) -> LossVariance:
  """Bounds on the curvature of the loss after smoothing, from noisy losses.

  The losses at x + e and x - e are used together. Gradients serve `nonlinear`
  alone: grad l_s = E grad l(x + e), and ||grad l_s||^2 is the mean product of
  the gradients of two different pairs.

  Args:
    keys: [N] typed keys, one per example.
    logits_fn: From inputs [N, ...] to logits [N, K]; an example's logits must
      not depend on the others.
    inputs: float32 [N, ...].
    labels: int32 [N].
    std: The noise's standard deviation s, in units of the input.
    pairs: The number of pairs of e and -e.

  Returns:
    The estimates.

  Raises:
    ValueError: If `std`, `pairs` or the keys' shape is out of range.

  Example:
    >>> logits_fn = lambda x: jnp.concatenate([x, jnp.zeros_like(x)], axis=1)
    >>> found = loss_variance(
    ...   jax.random.split(jax.random.key(0), 1),
    ...   logits_fn,
    ...   jnp.zeros((1, 1)),
    ...   jnp.asarray([0]),
    ...   std=0.1,
    ...   pairs=4000,
    ... )
    >>> bool(abs(found.even[0] - 0.25**2) < 0.01)
    True

  References:
    After the bound of `arXiv:2405.18499 <https://arxiv.org/abs/2405.18499>`_,
    theorem 6.1, whose constant 8 is that of `logits`.
  """
  probes.require_positive(std=std)
  probes.require_at_least(2, pairs=pairs)
  scale = 2 / std**4

  def outcomes(x, labels):
    def losses(x):
      logits = logits_fn(x).astype(jnp.float32)
      losses = cross_entropy(logits, labels)
      return losses.sum(), (losses, logits)

    gradients, (values, logits) = jax.grad(losses, has_aux=True)(x)
    return values, logits, gradients

  logits = logits_fn(inputs).astype(jnp.float32)
  noise = probes.normal(keys, inputs, pairs) * std
  both = jnp.concatenate([inputs + noise, inputs - noise])
  values, noisy, gradients = probes.on_all(outcomes, labels)(both)
  above, below = jnp.split(values - cross_entropy(logits, labels), 2)
  odd, even = (above - below) / 2, (above + below) / 2
  # Odd and even parts do not correlate, and the odd one has no mean.
  odd_energy, even_energy = (odd**2).mean(0), even.var(0, ddof=1)
  slopes = gradients.reshape((2, pairs, len(inputs), -1)).mean(0)
  products = (slopes.sum(0) ** 2).sum(-1) - (slopes**2).sum((0, 2))
  linear = std**2 * products / pairs / (pairs - 1)
  change = jnp.abs(noisy - logits).max(-1)
  return LossVariance(
    mean_square=scale * (odd_energy + (even**2).mean(0)),
    variance=scale * (odd_energy + even_energy),
    nonlinear=scale * (odd_energy + even_energy - linear),
    even=scale * even_energy,
    logits=4 * scale * (change**2).mean(0),
  )


def feature_stability(
  keys: jax.Array,
  features_fn: Callable[[jax.Array], jax.Array],
  inputs: jax.Array,
  *,
  std: float | jax.Array,
  pairs: int = 20,
) -> jax.Array:
  """How far noise on the input moves the features: E ||q(x + e) - q(x)||^2.

  With `largest_gap` w of the linear head behind the features, (2 w^2 / s^4)
  times this is a bound on ||H_s||_F^2 too, a very loose one: the loss changes
  by at most w ||q' - q||. The noise is that of `loss_variance` with the same
  keys and number of pairs.

  Args:
    keys: As for `loss_variance`.
    features_fn: From inputs [N, ...] to features [N, d].
    inputs: float32 [N, ...].
    std: As for `loss_variance`.
    pairs: As for `loss_variance`.

  Returns:
    float32 [N], unbiased estimates.

  Raises:
    ValueError: As for `loss_variance`.

  Example:
    >>> found = feature_stability(
    ...   jax.random.split(jax.random.key(0), 1),
    ...   lambda x: 2 * x,
    ...   jnp.zeros((1, 3)),
    ...   std=0.1,
    ...   pairs=4000,
    ... )
    >>> round(float(found[0]), 2)  # 3 dimensions, (2 * 0.1)^2 each.
    0.12
  """
  probes.require_positive(std=std)
  probes.require_at_least(2, pairs=pairs)
  noise = probes.normal(keys, inputs, pairs) * std
  both = jnp.concatenate([inputs + noise, inputs - noise])
  features = features_fn(inputs).astype(jnp.float32)
  moved = probes.on_all(features_fn)(both).astype(jnp.float32) - features
  return jnp.sum(moved**2, axis=-1).mean(axis=0)


def largest_gap(kernel: jax.Array) -> jax.Array:
  """The largest distance between the weights of two classes, float32 [].

  Args:
    kernel: float32 [d, K], that of the linear head.

  Returns:
    max_{i, j} ||w_i - w_j||.

  Example:
    >>> float(largest_gap(jnp.asarray([[3.0, 0.0], [0.0, 4.0]])))
    5.0
  """
  # Not by the inner products, which cancel; a class at a time, so that there
  # is no array [K, K, d].
  rows = kernel.astype(jnp.float32).T
  squared = jax.lax.map(lambda row: jnp.sum((rows - row) ** 2, -1).max(), rows)
  return jnp.sqrt(squared.max())
