"""Which level to smooth to: from the noise, or from the error on a sample."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.inverse_scale import checks
from jaxrobust.inverse_scale.smooth import path

# The fraction with the least reconstruction error, measured on photographs
# under Gaussian noise of these standard deviations, at 32 and at 224 pixels.
_STDS = (0.04, 0.08, 0.12, 0.2)
_SIDES = (32, 224)
_BEST = ((0.6, 0.5, 0.45, 0.35), (0.575, 0.5, 0.475, 0.45))
_MEDIAN_OF_NORMAL = 0.6744898  # of |e|, e ~ N(0, 1)


def estimate_noise(images: jax.Array) -> jax.Array:
  """Estimates the standard deviation of the noise in each image.

    s = median |d| / 0.6745

  where d = (x[i, j] - x[i+1, j] - x[i, j+1] + x[i+1, j+1]) / 2 is 0 on edges
  along the axes and on slopes; in a series, and in images one pixel wide,
  d = (x[i] - 2 x[i+1] + x[i+2]) / sqrt(6). White noise has the same standard
  deviation in d. Texture adds to the estimate.

  Args:
    images: [N, H, W, C], or series [N, T, C], of floats.

  Returns:
    float32 [N], in units of the images; 0 where nothing is long enough.

  Raises:
    ValueError: If `images` has another shape or type.

  Example:
    >>> noise = jax.random.normal(jax.random.key(0), (1, 64, 64, 3))
    >>> round(float(estimate_noise(0.5 + 0.1 * noise)[0]), 2)
    0.1

  References:
    Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage",
    Biometrika 1994, section 4: the median over 0.6745. Immerkaer, "Fast noise
    variance estimation", CVIU 1996: differences of differences.
  """
  checks.require_images(images)
  fields = jnp.asarray(images, jnp.float32)
  long = [axis for axis in range(1, fields.ndim - 1) if fields.shape[axis] > 1]
  if len(long) == 2:
    detail = jnp.diff(jnp.diff(fields, axis=1), axis=2) / 2
  elif long and fields.shape[long[0]] > 2:
    detail = jnp.diff(fields, n=2, axis=long[0]) / np.sqrt(6)
  else:
    return jnp.zeros(len(fields), jnp.float32)
  detail = jnp.abs(detail).reshape((len(fields), -1))
  return jnp.median(detail, axis=1) / _MEDIAN_OF_NORMAL


def levels_for(noise: Any, *, side: int = 32) -> jax.Array:
  """The fraction of edges to keep under noise of a strength.

  It interpolates what was measured to have the least reconstruction error on
  photographs, linearly in the strength and in the logarithm of the side:

    noise      0.04   0.08  0.12   0.2
    32 px      0.6    0.5   0.45   0.35
    224 px     0.575  0.5   0.475  0.45

  and stays at the ends beyond them.

  Args:
    noise: Standard deviations, in units of images in [0, 1], of any shape; may
      be traced. See `estimate_noise`.
    side: The length of the images, in pixels.

  Returns:
    float32, the shape of `noise`, for `smooth` or `path`.

  Raises:
    ValueError: If `side` is not a whole number of at least 1.

  Example:
    >>> (100 * levels_for(jnp.asarray([0.0, 0.08, 0.5]))).round(1)
    Array([60., 50., 35.], dtype=float32)
  """
  checks.require_whole(side, "side")
  small, large = np.log(_SIDES)
  share = np.clip((np.log(side) - small) / (large - small), 0, 1)
  best = (1 - share) * np.asarray(_BEST[0]) + share * np.asarray(_BEST[1])
  noise = jnp.asarray(noise, jnp.float32)
  stds, best = (jnp.asarray(row, jnp.float32) for row in (_STDS, best))
  return jnp.interp(noise, stds, best)


def reconstruction_errors(
  noisy: jax.Array, clean: jax.Array, fractions: Any, **options: Any
) -> jax.Array:
  """The error that smoothing leaves, per level; the least is the level to take.

    e_l = mean (smooth(noisy, f_l) - clean)^2

  Args:
    noisy: [N, H, W, C], or series [N, T, C], of floats.
    clean: The same images without their noise.
    fractions: [L], in [0, 1].
    **options: Of `path`.

  Returns:
    float32 [L, N], in squared units of the images; for a data set, average
    over N and take the fraction of the smallest.

  Raises:
    ValueError: If the shapes differ or an argument is none of these.

  Example:
    >>> clean = jnp.asarray([0.0, 0.0, 1.0, 1.0]).reshape((1, 4, 1))
    >>> noisy = clean + jnp.asarray([0.1, -0.1, 0.1, -0.1])[None, :, None]
    >>> levels = (0, 1 / 3, 1)
    >>> errors = reconstruction_errors(noisy, clean, levels, output="Py")
    >>> int(errors.mean(axis=1).argmin())
    1

  References:
    arXiv:2409.18419: early stopping by the reconstruction error.
  """
  if jnp.shape(noisy) != jnp.shape(clean):
    raise ValueError(
      f"clean of shape {jnp.shape(clean)}: must be that of noisy, "
      f"{jnp.shape(noisy)}"
    )
  smoothed = path(noisy, fractions, **options).images
  error = (smoothed - jnp.asarray(clean, jnp.float32)) ** 2
  return jnp.mean(error, axis=tuple(range(2, error.ndim)))
