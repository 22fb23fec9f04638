"""Corruptions that are linear and separable: sums of products of two matrices.

A blur by a kernel of rank R, a zoom, a resampling, or a mean of any of these,
takes an image X of one channel to

  sum_r R_r X C_r^T

so that one program serves them all, and every severity of each: only the
matrices differ. They are made on the host, in float64, from what scipy does to
the unit vectors.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from jaxrobust.corruptions.noise import clip

# From so many products on, of images of at most so many pixels; and elements of
# the products of one axis that are worked on at once.
_MANY, _SMALL, _CACHE = 10, 1024, 2**19

Matrices = tuple[np.ndarray, np.ndarray]


def apply(images: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
  """The sum of the products of every channel with two matrices, clipped.

  Args:
    images: float32 [N, H, W, C].
    rows: float32 [R, P, H].
    columns: float32 [R, Q, W].

  Returns:
    float32 [N, P, Q, C] in [0, 1].
  """
  return clip(product(images, rows, columns))


def product(
  images: jax.Array, rows: jax.Array, columns: jax.Array
) -> jax.Array:
  """As `apply`, without clipping."""
  _, height, width, channels = images.shape
  rank = len(rows)
  planes = jnp.moveaxis(images, -1, 1)
  if rank >= _MANY and height * width <= _SMALL:
    # Many products are dearer than the one matrix of all pixels.
    whole = jnp.einsum("rph,rqw->hwpq", rows, columns, precision="highest")
    done = jnp.einsum("nchw,hwpq->ncpq", planes, whole, precision="highest")
    return jnp.moveaxis(done, 1, -1)

  def both(plane):
    across = jnp.einsum("chw,rqw->chrq", plane, columns, precision="highest")
    return jnp.einsum("rph,chrq->cpq", rows, across, precision="highest")

  # As many images at once as stay in the processor's cache.
  at_once = max(_CACHE // (rank * channels * height * width), 1)
  done = jax.lax.map(both, planes, batch_size=at_once)
  return jnp.moveaxis(done, 1, -1)


def stacked(pairs: Sequence[Matrices]) -> Matrices:
  """Pairs of [R, P, H] and [R, Q, W], brought to the largest R with zeros."""
  rank = max(len(rows) for rows, _ in pairs)

  def pad(matrices):
    return np.pad(matrices, ((0, rank - len(matrices)), (0, 0), (0, 0)))

  rows = np.stack([pad(rows) for rows, _ in pairs])
  columns = np.stack([pad(columns) for _, columns in pairs])
  return rows.astype(np.float32), columns.astype(np.float32)


def gaussian(
  sides: Sequence[int],
  sigma: float,
  mode: str = "nearest",
  truncate: float = 4.0,
) -> Matrices:
  """A Gaussian blur of `sigma` pixels, as scipy's gaussian_filter."""
  rows, columns = (
    np.eye(side)
    if sigma == 0
    else ndimage.gaussian_filter1d(
      np.eye(side), sigma, axis=0, mode=mode, truncate=truncate
    )
    for side in sides
  )
  return rows[None], columns[None]


def defocus(sides: Sequence[int], radius: float, rim: float) -> Matrices:
  """A blur by a disk whose rim is smoothed a little, mirrored at the borders.

  A disk has few different rows, so that its kernel is a sum of few products.
  """
  reach = 8 if radius <= 8 else math.ceil(radius)
  across = np.arange(-reach, reach + 1)
  disk = (across[:, None] ** 2 + across**2 <= radius**2).astype(np.float64)
  taps = np.arange(-1, 2) if radius <= 8 else np.arange(-2, 3)
  weights = np.exp(-(taps**2) / (2 * rim**2))
  kernel = disk / disk.sum()
  for axis in (0, 1):
    kernel = ndimage.correlate1d(
      kernel, weights / weights.sum(), axis=axis, mode="mirror"
    )
  left, sizes, right = np.linalg.svd(kernel)
  kept = sizes > 1e-6 * sizes[0]
  matrices = [
    np.stack(
      [
        ndimage.correlate1d(np.eye(side), factor, axis=0, mode="mirror")
        for factor in factors[kept] * np.sqrt(sizes[kept])[:, None]
      ]
    )
    for side, factors in zip(sides, (left.T, right), strict=True)
  ]
  return matrices[0], matrices[1]


def zoom(sides: Sequence[int], factor: float) -> Matrices:
  """The middle of an image, as large as the image: linear, corners on corners.

  The middle is ceil(side / factor) wide; what is then too much is trimmed.
  """
  matrices = []
  for side in sides:
    inner = math.ceil(side / factor)
    first = (side - inner) // 2
    large = np.asarray(ndimage.zoom(np.eye(inner), (factor, 1), order=1))
    trim = (len(large) - side) // 2
    matrix = np.zeros((1, side, side))
    matrix[0, :, first : first + inner] = large[trim : trim + side]
    matrices.append(matrix)
  return matrices[0], matrices[1]


def zooms(sides: Sequence[int], stop: float, step: float) -> Matrices:
  """The mean of an image and its zooms by 1, 1 + step, ... below `stop`."""
  # The number of factors is what rounding in arange makes it.
  factors = np.arange(1, stop, step)
  pairs = [zoom(sides, float(factor)) for factor in (1.0, *factors)]
  rows = np.concatenate([rows for rows, _ in pairs]) / len(pairs)
  return rows, np.concatenate([columns for _, columns in pairs])


def pixelated(sides: Sequence[int], factor: float) -> Matrices:
  """Means over boxes, `factor` as many along each axis, each a flat area."""
  matrices = []
  for side in sides:
    small = int(side * factor)
    edges = np.arange(small + 1) * side / small
    pixels = np.arange(side)
    # How much of each pixel the box covers that PIL's weights see: whole
    # pixels whose centres lie in it.
    centres = pixels + 0.5
    inside = (centres > edges[:-1, None]) & (centres <= edges[1:, None])
    down = inside / inside.sum(axis=1, keepdims=True)
    up = np.minimum(((pixels + 0.5) * small / side).astype(int), small - 1)
    matrices.append(down[up][None])
  return matrices[0], matrices[1]
