"""Corruptions that move pixels: elastic transforms and affine maps."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.corruptions import separable
from jaxrobust.corruptions.elements import uniforms
from jaxrobust.corruptions.noise import clip


def interpolate(
  images: jax.Array, rows: jax.Array, columns: jax.Array, border: str
) -> jax.Array:
  """Reads images between their pixels, bilinearly.

  Args:
    images: float32 [N, H, W, C].
    rows: float32 [N, P, Q], where to read, in pixels; or [1, P, Q].
    columns: float32, the same shape.
    border: What is beyond: "zero", "mirror" (d c b | a b c d) or "reflect"
      (c b a | a b c d).

  Returns:
    float32 [N, P, Q, C].
  """
  number, height, width, channels = images.shape
  shape = (number, *rows.shape[1:])
  flat = images.reshape((number, height * width, channels))
  top, left = jnp.floor(rows), jnp.floor(columns)
  down, across = (rows - top)[..., None], (columns - left)[..., None]

  def at(row, column):
    row, column = row.astype(jnp.int32), column.astype(jnp.int32)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    row, column = _folded(row, height, border), _folded(column, width, border)
    places = jnp.broadcast_to(row * width + column, shape)
    values = jnp.take_along_axis(
      flat,
      places.reshape((number, -1, 1)),
      axis=1,
      mode="promise_in_bounds",
    )
    values = values.reshape((*shape, channels))
    return (
      jnp.where(inside[..., None], values, 0) if border == "zero" else values
    )

  upper = (1 - across) * at(top, left) + across * at(top, left + 1)
  lower = (1 - across) * at(top + 1, left) + across * at(top + 1, left + 1)
  return (1 - down) * upper + down * lower


def _folded(place, side, border):
  if border == "zero":
    return jnp.clip(place, 0, side - 1)
  if border == "mirror":
    period = max(2 * (side - 1), 1)
    place = place % period
    return jnp.minimum(place, period - place)
  place = place % (2 * side)
  return jnp.minimum(place, 2 * side - 1 - place)


def elastic_transform(
  keys: jax.Array,
  images: jax.Array,
  amplitude: jax.Array,
  rows: jax.Array,
  columns: jax.Array,
  corner: jax.Array,
) -> jax.Array:
  """Moves three corners of a square by chance, then every pixel a little.

  Args:
    keys: [N] typed keys.
    images: float32 [N, H, W, C] in [0, 1].
    amplitude: Of the uniform displacements before they are smoothed, in pixels.
    rows: float32 [1, H, H], the blur that smooths the displacements.
    columns: float32 [1, W, W].
    corner: The largest shift of the corners along an axis, in pixels.

  Returns:
    float32 [N, H, W, C] in [0, 1].
  """
  number, height, width, _ = images.shape
  unit = uniforms(keys, (6 + 2 * height * width,), -1.0)
  moved = _affine(images, corner * unit[:, :6].reshape((number, 3, 2)))
  fields = unit[:, 6:].reshape((number, 2, height, width))
  fields = jnp.moveaxis(fields, 1, -1)
  fields = amplitude * separable.product(fields, rows, columns)
  return clip(
    interpolate(
      moved,
      jnp.arange(height)[:, None] + fields[..., 1],
      jnp.arange(width) + fields[..., 0],
      "reflect",
    )
  )


def _affine(images, shifts):
  """The affine map that moves three corners by `shifts` [N, 3, (x, y)]."""
  height, width = images.shape[1:3]
  size = max(min(height, width) // 3, 1)
  lower_right, upper_right, upper_left = (shifts[:, i] for i in range(3))
  # The map takes p = centre + size q to p + middle + L q.
  middle = (lower_right + upper_left) / 2
  linear = jnp.stack(
    [(upper_right - upper_left) / 2, (lower_right - upper_right) / 2], axis=2
  )
  (a, b), (c, d) = (
    [linear[:, i, j] + size * (i == j) for j in (0, 1)] for i in (0, 1)
  )
  scale = size / (a * d - b * c)
  across = jnp.arange(width) - width // 2
  down = jnp.arange(height)[:, None] - height // 2

  def each(values):
    return values[:, None, None]

  x, y = across - each(middle[:, 0]), down - each(middle[:, 1])
  columns = each(scale) * (each(d) * x - each(b) * y) + width // 2
  rows = each(scale) * (each(a) * y - each(c) * x) + height // 2
  return interpolate(images, rows, columns, "mirror")


def settings(
  sides: Sequence[int],
  rows_of_five: Sequence[tuple[float, float, float]],
) -> tuple[np.ndarray, ...]:
  """The arrays that `elastic_transform` takes, by severity."""
  side = min(sides)
  matrices = separable.stacked(
    [
      separable.gaussian(sides, sigma * side, "reflect", truncate=3)
      for _, sigma, _ in rows_of_five
    ]
  )
  amplitude, _, corner = np.asarray(rows_of_five, np.float32).T * side
  return amplitude, *matrices, corner


def linear_map(
  images: jax.Array, matrix: jax.Array, shift: jax.Array | float = 0.0
) -> jax.Array:
  """Reads each image through a matrix about its centre; black beyond it.

    y(p) = x(c + A (p - c) + t),  p = (x, y)

  Args:
    images: float32 [N, H, W, C] in [0, 1].
    matrix: float32 [N, 2, 2], A.
    shift: float32 [N, 2], t in pixels, or 0.

  Returns:
    float32 [N, H, W, C] in [0, 1].
  """
  number, height, width, _ = images.shape
  across = jnp.arange(width) - (width - 1) / 2
  down = jnp.arange(height)[:, None] - (height - 1) / 2
  shift = jnp.broadcast_to(jnp.asarray(shift, jnp.float32), (number, 2))

  def read(axis, middle):
    entries = matrix[:, axis, :, None, None]
    moved = entries[:, 0] * across + entries[:, 1] * down
    return moved + middle + shift[:, axis, None, None]

  columns, rows = read(0, (width - 1) / 2), read(1, (height - 1) / 2)
  return clip(interpolate(images, rows, columns, "zero"))
