"""Lost resolution: down and up again, as a product with two matrices."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.corruptions.noise import clip, require_images


def resolution(images: jax.Array, factor: float) -> jax.Array:
  """Makes images smaller and, from what is left, as large as before.

  Both ways are bilinear with half-pixel centres and without antialiasing, as
  `jax.image.resize` does with "linear" and antialias=False: a pixel that no
  sample falls next to is lost. Height and width become
  max(1, floor(length * factor)) in between.

  Bilinear resampling of an axis is a matrix, and so is one way after the other:
  an image X of one channel becomes R_H X R_W^T.

  Args:
    images: float32 [N, H, W, C] in [0, 1].
    factor: Of the height and the width, in (0, 1].

  Returns:
    The same shape, in [0, 1].

  Raises:
    ValueError: If `images` is not [N, H, W, C] or `factor` is out of range.

  Example:
    >>> ramp = jnp.arange(9.0).reshape((1, 1, 9, 1)) / 8
    >>> (8 * resolution(ramp, 1 / 3)).round(2).ravel().tolist()
    [1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 7.0]
  """
  require_images(images)
  if not 0 < factor <= 1:
    raise ValueError(f"factor={factor}: must lie in (0, 1]")
  height, width, _ = images.shape[1:]
  rows, columns = _down_and_up(height, factor), _down_and_up(width, factor)
  lost = jnp.einsum("ph,nhwc->npwc", rows, images, precision="highest")
  lost = jnp.einsum("qw,npwc->npqc", columns, lost, precision="highest")
  return clip(lost)


def _down_and_up(length: int, factor: float) -> np.ndarray:
  small = max(1, math.floor(length * factor))
  both = _bilinear(small, length) @ _bilinear(length, small)
  return both.astype(np.float32)


def _bilinear(old: int, new: int) -> np.ndarray:
  """The matrix [new, old] that resamples an axis, float64."""
  # Centres of the new pixels in those of the old; beyond the last, the last.
  place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
  left = np.floor(place).astype(int)
  right = np.minimum(left + 1, old - 1)
  matrix = np.zeros((new, old))
  np.add.at(matrix, (np.arange(new), left), 1 - (place - left))
  np.add.at(matrix, (np.arange(new), right), place - left)
  return matrix
