"""Snow, frost and fog."""

import math

import jax
import jax.numpy as jnp

from jaxrobust.corruptions import separable
from jaxrobust.corruptions.colour import grey
from jaxrobust.corruptions.elements import uniforms
from jaxrobust.corruptions.motion import smeared
from jaxrobust.corruptions.noise import clip


def snow(
  keys: jax.Array,
  images: jax.Array,
  law: jax.Array,
  rows: jax.Array,
  columns: jax.Array,
  weights: jax.Array,
  kept: jax.Array,
) -> jax.Array:
  """Whitens images and lets flakes fall, smeared along their way.

  Args:
    keys: [N] typed keys.
    images: float32 [N, H, W, C] in [0, 1].
    law: float32 [3]: mean and std of the flakes, and the threshold.
    rows: float32 [1, H, H], the zoom that makes flakes larger than a pixel.
    columns: float32 [1, W, W].
    weights: float32 [K], the trail.
    kept: How much of the image is not whitened.

  Returns:
    float32 [N, H, W, C] in [0, 1].
  """
  number, height, width, _ = images.shape
  drawn = jax.vmap(lambda key: jax.random.normal(key, (height * width + 1,)))(
    keys
  )
  flakes = drawn[:, 1:].reshape((number, height, width, 1))
  flakes = separable.product(law[0] + law[1] * flakes, rows, columns)
  flakes = clip(jnp.where(flakes < law[2], 0.0, flakes))
  angles = math.pi * (jax.scipy.special.ndtr(drawn[:, 0]) / 2 - 0.75)
  flakes = smeared(flakes, angles, weights)
  whitened = jnp.maximum(images, 1.5 * grey(images) + 0.5)
  images = kept * images + (1 - kept) * whitened
  return clip(images + flakes + flakes[:, ::-1, ::-1])


def fog(
  keys: jax.Array,
  images: jax.Array,
  thickness: jax.Array,
  decay: jax.Array,
  *,
  size: int = 0,
) -> jax.Array:
  """Adds a fractal cloud, and scales back to the image's brightest element.

    y = (x + t cloud) max(x) / (max(x) + t)

  Args:
    keys: [N] typed keys.
    images: float32 [N, H, W, C] in [0, 1].
    thickness: t.
    decay: By what the cloud's waves get fainter when they get half as long.
    size: Side of the square of cloud whose corner is used, a power of two; 0
      for the least that covers the image.

  Returns:
    float32 [N, H, W, C] in [0, 1].
  """
  height, width = images.shape[1:3]
  size = size or power_of_two(max(height, width))
  cloud = plasma(uniforms(keys, (size, size), -1.0), decay)
  cloud = cloud[:, :height, :width, None]
  brightest = images.max(axis=(1, 2, 3), keepdims=True)
  scale = brightest / (brightest + thickness)
  return clip((images + thickness * cloud) * scale)


def power_of_two(side: int) -> int:
  """The least power of two that is at least `side`."""
  return 1 << (side - 1).bit_length()


def plasma(unit: jax.Array, decay: jax.Array) -> jax.Array:
  """A fractal height map by squares and diamonds, on a torus.

  Every point is the mean of four neighbours twice as far apart as the last
  ones, plus noise of amplitude 100^2 / decay^(2 l) at level l.

  Args:
    unit: float32 [N, S, S] in [-1, 1], the noise; S is a power of two.
    decay: > 1, may be traced.

  Returns:
    float32 [N, S, S], from 0 to 1 in each map.
  """
  number, size, _ = unit.shape
  corners = jnp.zeros((number, 1, 1), unit.dtype)
  amplitude, step = jnp.asarray(1e4, jnp.float32), size

  def mean_of(*pairs):
    return sum(
      values + jnp.roll(values, by, axis) for values, by, axis in pairs
    )

  while step > 1:
    half = step // 2
    noise = amplitude * unit
    upper = corners + jnp.roll(corners, -1, 1)
    centres = mean_of((upper, -1, 2)) / 4 + noise[:, half::step, half::step]
    above = mean_of((centres, 1, 1), (corners, -1, 2)) / 4
    left = mean_of((centres, 1, 2), (corners, -1, 1)) / 4
    even = [corners, above + noise[:, ::step, half::step]]
    odd = [left + noise[:, half::step, ::step], centres]
    rows = jnp.stack([jnp.stack(even, axis=3), jnp.stack(odd, axis=3)], axis=2)
    side = 2 * corners.shape[1]
    corners = rows.reshape((number, side, side))
    amplitude, step = amplitude / decay**2, half
  corners -= corners.min(axis=(1, 2), keepdims=True)
  top = corners.max(axis=(1, 2), keepdims=True)
  return corners / jnp.where(top > 0, top, 1.0)


def frost(keys: jax.Array, images: jax.Array, weights: jax.Array) -> jax.Array:
  """Lays frost over images: y = clip(a x + b frost).

  Args:
    keys: [N] typed keys.
    images: float32 [N, H, W, C] in [0, 1].
    weights: float32 [2], a and b.

  Returns:
    float32 [N, H, W, C] in [0, 1].
  """
  height, width, channels = images.shape[1:]
  size = power_of_two(max(height, width))
  ice = frost_texture(uniforms(keys, (2 * size * size + 3,), -1.0), size)
  ice = ice[:, :height, :width]
  ice = grey(ice) if channels == 1 else ice
  return clip(weights[0] * images + weights[1] * ice)


def frost_texture(unit: jax.Array, size: int) -> jax.Array:
  """Frost as seen from near: bluish, with ridges of crystals.

  Ridges are where a fractal map crosses its middle. Level, contrast and tint
  are drawn to have the range of those of crops of six photographs of frost:
  means from 0.33 to 0.8, standard deviations from 0.06 to 0.14, blue over red
  by 0.05 to 0.15.

  Args:
    unit: float32 [N, 2 S^2 + 3] in [-1, 1].
    size: S, a power of two.

  Returns:
    float32 [N, S, S, 3] in [0, 1].
  """
  number = len(unit)
  level, spread, tint = (
    unit[:, place].reshape((number, 1, 1, 1)) for place in range(3)
  )
  maps = unit[:, 3:].reshape((2 * number, size, size))
  first, second = (
    plasma(maps, jnp.asarray(1.5))
    .reshape((number, 2, size, size))
    .swapaxes(0, 1)
  )
  ridges = 1 - jnp.sqrt(jnp.abs(2 * first - 1)) + 0.7 * second
  ridges -= ridges.mean(axis=(1, 2), keepdims=True)
  ridges /= ridges.std(axis=(1, 2), keepdims=True) + 1e-6
  bright = 0.57 + 0.24 * level + (0.1 + 0.04 * spread) * ridges[..., None]
  colours = jnp.asarray([-0.5, 0.1, 0.4], jnp.float32)
  return clip(bright + (0.1 + 0.05 * tint) * colours)
