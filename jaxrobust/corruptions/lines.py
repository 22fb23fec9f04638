"""Lines over digits, and inverted stripes: for images of 28 x 28 pixels."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.corruptions.noise import clip

SIDE = 28
# Length and half height of a tooth of the zigzag, and where it starts and ends.
_LENGTH, _HEIGHT, _FIRST, _LAST = 2.0, 2.0, 2, 25


def stripe(keys: jax.Array, images: jax.Array) -> jax.Array:
  """Inverts the left and the right quarter."""
  del keys
  columns = np.arange(SIDE)[:, None]
  outer = (columns < SIDE // 4) | (columns >= 3 * SIDE // 4)
  return jnp.where(outer, 1 - images, images)


def dotted_line(keys: jax.Array, images: jax.Array) -> jax.Array:
  """Adds a line from the left to the right border, two pixels in four."""
  first, last = _heights(keys, ((0, 27), (0, 27)))
  line = segment(0.0, first, SIDE - 1.0, last)
  drawn = np.arange(SIDE) % 4 >= 2
  return clip(images + jnp.where(drawn, line, 0.0)[..., None])


def zigzag(keys: jax.Array, images: jax.Array) -> jax.Array:
  """Adds a zigzag of seven pieces from left to right."""
  first, rise = _heights(keys, ((0, 27), (-5, 5)))
  angle = jnp.arctan(rise / (_LAST - _FIRST))
  length = (_LAST - _FIRST) / jnp.cos(angle)
  # Along the zigzag's axis: teeth, then what is left of the length.
  teeth = 6
  along = [0.0, *((2 * i + 1) * _LENGTH for i in range(teeth)), length]
  tip = (-1.0) ** (teeth - 1) * _HEIGHT
  whole = 2 * _LENGTH * math.floor((_LAST - _FIRST) / (2 * _LENGTH))
  end = tip / (2 * (length - whole))
  beside = [0.0, *((-1.0) ** i * _HEIGHT for i in range(teeth)), end]
  columns = [
    _FIRST + jnp.cos(angle) * a - jnp.sin(angle) * b
    for a, b in zip(along, beside, strict=True)
  ]
  rows = [
    first + jnp.sin(angle) * a + jnp.cos(angle) * b
    for a, b in zip(along, beside, strict=True)
  ]
  for i in range(len(along) - 1):
    piece = segment(columns[i], rows[i], columns[i + 1], rows[i + 1])
    images = clip(images + piece[..., None])
  return images


def _heights(keys, ranges):
  """Whole numbers from each range, the end not included: float32 [N] each."""
  bits = jax.vmap(lambda key: jax.random.bits(key, (len(ranges),)))(keys)
  # The modulo's bias is below 2^-27.
  return tuple(
    (bits[:, i] % np.uint32(high - low)).astype(jnp.float32) + low
    for i, (low, high) in enumerate(ranges)
  )


def segment(
  column: jax.Array | float,
  row: jax.Array | float,
  last_column: jax.Array | float,
  last_row: jax.Array | float,
) -> jax.Array:
  """A line that fades with the vertical distance d from it.

    y = max(1 + log(1 - d / 2.3), 0)

  in the columns from floor(column) to ceil(last_column) - 1.

  Args:
    column: Where it starts, [N] or a number, in pixels.
    row: Likewise.
    last_column: Where it ends, to the right of `column`.
    last_row: Likewise.

  Returns:
    float32 [N, 28, 28].
  """

  def wide(value):
    return jnp.asarray(value, jnp.float32)[..., None, None]

  column, row, last_column = wide(column), wide(row), wide(last_column)
  across, down = np.arange(SIDE), np.arange(SIDE)[:, None]
  slope = (wide(last_row) - row) / (last_column - column)
  height = slope * (across - column) + row
  distance = jnp.clip(jnp.abs(down - height), 0.0, 2.3 - 1e-5)
  line = clip(1 + jnp.log(1 - distance / 2.3))
  inside = (across >= jnp.floor(column)) & (across < jnp.ceil(last_column))
  return jnp.where(inside, line, 0.0)
