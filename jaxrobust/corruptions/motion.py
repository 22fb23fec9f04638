"""Motion blur: a trail of shifted copies, each fainter than the last."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.corruptions.elements import uniforms
from jaxrobust.corruptions.noise import clip


def motion_blur(
  keys: jax.Array, images: jax.Array, weights: jax.Array
) -> jax.Array:
  """Moves each image in a direction of its own within 45 degrees of level.

  Args:
    keys: [N] typed keys.
    images: float32 [N, H, W, C] in [0, 1].
    weights: float32 [K], from `trail`.

  Returns:
    float32 [N, H, W, C] in [0, 1].
  """
  angles = math.pi / 4 * uniforms(keys, (), -1.0)
  return clip(smeared(images, angles, weights))


def smeared(
  images: jax.Array, angles: jax.Array, weights: jax.Array
) -> jax.Array:
  """The weighted sum of copies along a direction, to whole pixels.

    y = sum_i w_i x(h + round(i sin a), w + round(i cos a))

  with halves rounded down, and what is beyond a border as the border.

  Args:
    images: float32 [N, H, W, C].
    angles: float32 [N], in radians.
    weights: float32 [K].

  Returns:
    float32 [N, H, W, C].
  """
  number, height, width, channels = images.shape
  steps = jnp.arange(len(weights), dtype=jnp.float32)
  down, across = (
    jnp.ceil(part[:, None] * steps - 0.5).astype(jnp.int32)
    for part in (jnp.sin(angles), jnp.cos(angles))
  )
  flat = images.reshape((number, height * width, channels))
  weights = jnp.asarray(weights)
  own_row, own_column = jnp.arange(height), jnp.arange(width)

  def add(index, total):
    rows = jnp.clip(own_row + down[:, index, None], 0, height - 1)
    columns = jnp.clip(own_column + across[:, index, None], 0, width - 1)
    places = rows[:, :, None] * width + columns[:, None]
    places = places.reshape((number, height * width, 1))
    copy = jnp.take_along_axis(flat, places, axis=1, mode="promise_in_bounds")
    return total + weights[index] * copy

  total = jax.lax.fori_loop(0, len(weights), add, jnp.zeros_like(flat))
  return total.reshape(images.shape)


def trail(radius: int, sigma: float) -> np.ndarray:
  """The weights of 2 radius + 1 copies: one side of a Gaussian."""
  weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
  return weights / weights.sum()


def trails(rows_of_five: Sequence[tuple[int, float]]) -> np.ndarray:
  """The trails of all severities, as long as the longest: [5, K]."""
  weights = [trail(int(radius), sigma) for radius, sigma in rows_of_five]
  longest = max(map(len, weights))
  padded = [np.pad(one, (0, longest - len(one))) for one in weights]
  return np.stack(padded).astype(np.float32)
