"""The screened Poisson equation, solved exactly by cosine transforms."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.inverse_scale import checks
from jaxrobust.inverse_scale.differences import to_fields, to_images

# To fold a shorter axis costs as much as it saves.
_LONG = 192


def screened_poisson(images: jax.Array, nu: Any) -> jax.Array:
  """Solves for the smooth image that differences are drawn from.

    (I + D^T D / nu) x = y,  the minimiser of |y - x|^2 + |D x|^2 / nu

  D^T D is diagonal in the orthonormal cosine transform, with eigenvalues
  4 sin^2(pi i / 2H) + 4 sin^2(pi j / 2W), so the solution is exact.

  Args:
    images: [N, H, W, C], or series [N, T, C], of floats: the right side y.
    nu: The screening, > 0, in squared pixels^-1; small is smoother.

  Returns:
    float32, the same shape.

  Raises:
    ValueError: If `images` has another shape or type, or `nu` is not positive.

  Example:
    >>> solved = screened_poisson(jnp.asarray([[[0.0], [1.0]]]), 2.0)
    >>> (4 * solved).ravel().round(2)
    Array([1., 3.], dtype=float32)

  References:
    Strang, "The discrete cosine transform", SIAM Review 1999.
  """
  checks.require_images(images)
  checks.require_positive(nu, "nu")
  return to_images(solve(to_fields(images), nu))


def solve(fields: jax.Array, nu: Any) -> jax.Array:
  """`screened_poisson` of fields [N, C, ...].

  The transform of a plane is taken axis by axis, the last first, and leaves
  the plane transposed, which the way back undoes: two transposes in all.
  """
  sides = fields.shape[2:]
  gain = _gain(sides, nu)
  if len(sides) == 1:
    return _from_cosines(_to_cosines(fields) * gain)
  folds = any(_folds(side) for side in sides)
  # What is computed around the halves of a fold would be computed twice.
  apart = jax.lax.optimization_barrier if folds else lambda x: x
  spectrum = _to_cosines(jnp.swapaxes(_to_cosines(apart(fields)), -1, -2))
  smooth = _from_cosines(spectrum * gain.T)
  return apart(_from_cosines(jnp.swapaxes(smooth, -1, -2)))


def _to_cosines(fields: jax.Array) -> jax.Array:
  """The cosine transform of the last axis, frequencies as in `_order`.

  Cosines of even frequency are symmetric about the middle, the others
  antisymmetric. A long axis is folded there: its sums with its mirror image
  have a transform of half the length, the even frequencies, its differences
  another, the odd ones, which is half the arithmetic.
  """
  side = fields.shape[-1]
  cosines = _cosines(side)
  if not _folds(side):
    return _times(fields, cosines.T)
  half = side // 2
  first, second = fields[..., :half], jnp.flip(fields[..., half:], -1)
  even = _times(first + second, cosines[0::2, :half].T)
  odd = _times(first - second, cosines[1::2, :half].T)
  return jnp.concatenate([even, odd], axis=-1)


def _from_cosines(spectrum: jax.Array) -> jax.Array:
  """The way back: the transpose, for the transform is orthonormal."""
  side = spectrum.shape[-1]
  cosines = _cosines(side)
  if not _folds(side):
    return _times(spectrum, cosines)
  half = side // 2
  even = _times(spectrum[..., :half], cosines[0::2, :half])
  odd = _times(spectrum[..., half:], cosines[1::2, :half])
  return jnp.concatenate([even + odd, jnp.flip(even - odd, -1)], axis=-1)


def _folds(side: int) -> bool:
  return side >= _LONG and side % 2 == 0


def _order(side: int) -> np.ndarray:
  """Which frequency stands where in what `_to_cosines` gives."""
  if not _folds(side):
    return np.arange(side)
  return np.concatenate([np.arange(0, side, 2), np.arange(1, side, 2)])


def _times(fields: jax.Array, matrix: np.ndarray) -> jax.Array:
  # Less than full precision would change which edges are in a support.
  return jnp.matmul(fields, matrix, precision="highest")


def _gain(sides: tuple[int, ...], nu: Any) -> jax.Array:
  """What each cosine keeps: 1 / (1 + eigenvalue / nu)."""
  eigenvalue = np.zeros(sides)
  for axis, side in enumerate(sides):
    wave = 4 * np.sin(np.pi * _order(side) / (2 * side)) ** 2
    eigenvalue += wave.reshape(
      [-1 if other == axis else 1 for other in range(len(sides))]
    )
  nu = jnp.asarray(nu, jnp.float32)
  return nu / (nu + eigenvalue.astype(np.float32))


def _cosines(side: int) -> np.ndarray:
  """The orthonormal DCT-II as a matrix [frequency, place]."""
  frequency, place = np.mgrid[:side, :side]
  matrix = np.cos(math.pi * frequency * (2 * place + 1) / (2 * side))
  matrix *= math.sqrt(2 / side)
  matrix[0] /= math.sqrt(2)
  return matrix.astype(np.float32)
