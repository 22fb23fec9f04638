"""A network that answers at random, as one that an attack can climb."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrobust.attacks.ascent import LogitsFn


def over_draws(
  keyed_logits_fn: Callable[[jax.Array, jax.Array], jax.Array],
  keys: jax.Array,
) -> LogitsFn:
  """The expectation over transformation: the mean answer over fixed draws.

    log (1/S) sum_s softmax(f(k_s, x))

  An attack on it climbs the loss of the mean probability, which one draw's
  gradient only estimates. With keys of their own, judged draws are others than
  the attacked ones.

  Args:
    keyed_logits_fn: (key, images [N, ...]) -> logits [N, K].
    keys: [S] typed keys, one per draw.

  Returns:
    From images to logarithms of probabilities, [N, K].

  Raises:
    ValueError: If `keys` is not [S] with S >= 1.

  Example:
    >>> def noisy(key, x):
    ...   return x + jax.random.normal(key, x.shape)
    >>> mean = over_draws(noisy, jax.random.split(jax.random.key(0), 1000))
    >>> float(jnp.exp(mean(jnp.zeros((1, 2))))[0, 0].round(1))
    0.5

  References:
    Athalye, Engstrom, Ilyas and Kwok, `Synthesizing Robust Adversarial Examples
    <https://arxiv.org/abs/1707.07397>`_, 2018, section 2.
  """
  if keys.ndim != 1 or not len(keys):
    raise ValueError(f"keys of shape {keys.shape}: must be [S] with S >= 1")

  def logits_fn(images: jax.Array) -> jax.Array:
    def one(key):
      return jax.nn.log_softmax(keyed_logits_fn(key, images))

    each = jax.vmap(one)(keys)
    return jax.nn.logsumexp(each, axis=0) - jnp.log(len(keys))

  return logits_fn
