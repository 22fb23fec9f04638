"""A stream of images whose noise grows and fades slowly."""

import math

import jax
import jax.numpy as jnp

from jaxrobust.corruptions.noise import gaussian


def drifting_std(
  index: jax.Array, peak: jax.Array | float, period: int
) -> jax.Array:
  """The noise that each image of a stream meets: smoothly up and down.

    std_i = peak (1 - cos(2 pi i / period)) / 2

  Args:
    index: int32 [N], each image's position in the stream.
    peak: The largest standard deviation, in units of the input, >= 0; may be
      traced.
    period: After how many images the noise is as before, at least 2.

  Returns:
    float32 [N], from 0 to `peak`.

  Raises:
    ValueError: If `period` is out of range.

  Example:
    >>> drifting_std(jnp.arange(5), 0.4, period=4).round(3).tolist()
    [0.0, 0.20000000298023224, 0.4000000059604645, 0.20000000298023224, 0.0]
  """
  if period < 2:
    raise ValueError(f"period={period}: must be at least 2")
  # The phase of a late image would lose digits without the remainder.
  phase = (index % period).astype(jnp.float32) / period
  return peak * (1 - jnp.cos(2 * math.pi * phase)) / 2


def drifting_gaussian(
  keys: jax.Array,
  images: jax.Array,
  index: jax.Array,
  peak: jax.Array | float,
  *,
  period: int,
) -> jax.Array:
  """Adds Gaussian noise whose standard deviation drifts along the stream.

  Args:
    keys: [N] typed keys, one per image.
    images: float32 [N, H, W, C] in [0, 1].
    index: int32 [N], as for `drifting_std`.
    peak: As for `drifting_std`.
    period: As for `drifting_std`.

  Returns:
    The same shape, in [0, 1].

  Raises:
    ValueError: If `images` is not [N, H, W, C], or `period` is out of range.

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> images, index = jnp.full((2, 8, 8, 1), 0.5), jnp.asarray([0, 5])
    >>> noisy = drifting_gaussian(keys, images, index, 0.1, period=10)
    >>> (noisy != images).any(axis=(1, 2, 3)).tolist()
    [False, True]
  """
  std = drifting_std(index, peak, period)
  return gaussian(keys, images, jnp.expand_dims(std, (1, 2, 3)))
