"""Spatter: drops of water that shine at their rims, or mud."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.corruptions import edges, separable
from jaxrobust.corruptions.colour import grey
from jaxrobust.corruptions.noise import clip

_WATER = np.asarray([175, 238, 238], np.float32) / 255
_MUD = np.asarray([63, 42, 20], np.float32) / 255
# Distances to a rim count up to here, in pixels.
_FARTHEST = 20


def spatter(
  keys: jax.Array,
  images: jax.Array,
  law: jax.Array,
  rows: jax.Array,
  columns: jax.Array,
  opacity: jax.Array,
  is_mud: jax.Array,
  mud_rows: jax.Array,
  mud_columns: jax.Array,
) -> jax.Array:
  """Spatters images with water, or with mud.

  Args:
    keys: [N] typed keys.
    images: float32 [N, H, W, C] in [0, 1].
    law: float32 [3], mean and std of the liquid's noise, and the threshold.
    rows: float32 [1, H, H], the blur that gathers the noise to drops.
    columns: float32 [1, W, W].
    opacity: Of water.
    is_mud: bool.
    mud_rows: float32 [1, H, H], the blur of mud's rims.
    mud_columns: float32 [1, W, W].

  Returns:
    float32 [N, H, W, C] in [0, 1].
  """
  liquid = drops(keys, images.shape[1:3], law, rows, columns)

  def in_grey(colour):
    colour = jnp.asarray(colour)
    return grey(colour) if images.shape[-1] == 1 else colour

  def mud(_):
    return muddied(images, liquid, in_grey(_MUD), mud_rows, mud_columns)

  def water(_):
    shine = opacity * water_shine(liquid[..., 0])[..., None]
    return images + in_grey(clip(shine * _WATER))

  return clip(jax.lax.cond(is_mud, mud, water, None))


def drops(
  keys: jax.Array,
  sides: Sequence[int],
  law: jax.Array,
  rows: jax.Array,
  columns: jax.Array,
) -> jax.Array:
  """Blurred noise where it exceeds a threshold, else 0: [N, H, W, 1]."""
  drawn = jax.vmap(lambda key: jax.random.normal(key, (*sides, 1)))(keys)
  liquid = separable.product(law[0] + law[1] * drawn, rows, columns)
  return jnp.where(liquid < law[2], 0.0, liquid)


def muddied(
  images: jax.Array,
  liquid: jax.Array,
  colour: jax.Array | float,
  rows: jax.Array,
  columns: jax.Array,
) -> jax.Array:
  """Covers images where there is liquid: (1 - m) x + m colour."""
  cover = separable.product((liquid > 0).astype(jnp.float32), rows, columns)
  cover = jnp.where(cover < 0.8, 0.0, cover)
  return (1 - cover) * images + cover * colour


def water_shine(liquid: jax.Array) -> jax.Array:
  """How much drops shine, with light from one side: float32 [N, H, W] to 1.

  The distance to the next rim, up to 20 pixels, spread evenly over 0 to 255
  and embossed; times the liquid, divided by the largest.

  Args:
    liquid: float32 [N, H, W].

  Returns:
    float32 [N, H, W] in [0, 1].
  """
  bytes_ = jnp.floor(255 * clip(liquid)).astype(jnp.int32)
  distance = _distance(edges.canny_bytes(bytes_, 50, 150))
  distance = _equalised(jnp.floor(_box(distance)))
  emboss = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))
  padded = jnp.pad(distance, ((0, 0), (1, 1), (1, 1)), mode="reflect")
  height, width = distance.shape[1:]
  relief = sum(
    weight * padded[:, i : i + height, j : j + width]
    for i, row in enumerate(emboss)
    for j, weight in enumerate(row)
    if weight
  )
  relief = jnp.round(_box(jnp.clip(relief, 0.0, 255.0)))
  shine = bytes_ * relief
  largest = shine.max(axis=(1, 2), keepdims=True)
  return shine / jnp.where(largest > 0, largest, 1.0)


def _box(images):
  """Means over 3 x 3, mirrored."""
  height, width = images.shape[1:]
  padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1)), mode="reflect")
  across = padded[:, :, :width] + padded[:, :, 1:-1] + padded[:, :, 2:]
  return (across[:, :height] + across[:, 1:-1] + across[:, 2:]) / 9


def _distance(rim):
  """The distance to the nearest pixel of `rim`, at most 20: [N, H, W]."""
  limit = float(_FARTHEST)

  def squares(side):
    place = np.arange(side, dtype=np.float32)
    return (place[:, None] - place) ** 2

  height, width = rim.shape[1:]
  # Squared distance within rows, then over rows.
  cost = jnp.where(rim, 0.0, limit**2)
  across = (cost[:, :, None] + squares(width)).min(axis=-1)
  down = (across[:, None] + squares(height)[..., None]).min(axis=2)
  return jnp.sqrt(jnp.minimum(down, limit**2))


def _equalised(levels):
  """The histogram of 0, 1, ..., 20 spread over 0 to 255, per image."""
  values = np.arange(_FARTHEST + 1, dtype=np.float32)
  hits = levels[..., None] == values
  counts = hits.sum(axis=(1, 2)).astype(jnp.float32)
  total = float(levels.shape[1] * levels.shape[2])
  rising = jnp.cumsum(counts, axis=1)
  first = jnp.take_along_axis(
    counts, jnp.argmax(counts > 0, axis=1)[:, None], axis=1
  )
  rest = total - first
  table = jnp.round((rising - first) * 255 / jnp.where(rest > 0, rest, 1.0))
  # One level alone stays what it is.
  table = jnp.where(rest > 0, jnp.clip(table, 0.0, 255.0), values)
  return jnp.where(hits, table[:, None, None], 0.0).sum(axis=-1)


def settings(
  sides: Sequence[int], rows_of_five: Sequence[tuple[float, ...]]
) -> tuple[np.ndarray, ...]:
  """The arrays that `spatter` takes, with a leading axis of severities."""
  law = np.asarray(
    [(mean, std, least) for mean, std, _, least, _, _ in rows_of_five],
    np.float32,
  )
  drop = separable.stacked(
    [separable.gaussian(sides, row[2]) for row in rows_of_five]
  )
  last = np.asarray([row[4] for row in rows_of_five], np.float32)
  is_mud = np.asarray([bool(row[5]) for row in rows_of_five])
  mud = separable.stacked(
    [separable.gaussian(sides, row[4]) for row in rows_of_five]
  )
  return law, *drop, last, is_mud, *mud
