"""Brightness, contrast and saturation."""

import jax
import jax.numpy as jnp

from jaxrobust.corruptions.noise import clip

# Of red, green and blue in grey (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


def grey(images: jax.Array) -> jax.Array:
  """The luma of [..., 3], or the only channel of [..., 1]: [..., 1]."""
  if images.shape[-1] == 1:
    return images
  return sum(
    weight * images[..., channel : channel + 1]
    for channel, weight in enumerate(LUMA)
  )  # pyright: ignore[reportReturnType]


def brightness(
  keys: jax.Array, images: jax.Array, amount: jax.Array
) -> jax.Array:
  """Adds to the value V = max(R, G, B); hue and saturation stay.

    y = x min(V + amount, 1) / V

  Args:
    keys: Not used.
    images: float32 [N, H, W, C] in [0, 1].
    amount: What is added.

  Returns:
    float32 [N, H, W, C] in [0, 1]; black becomes grey.
  """
  del keys
  value = images.max(axis=-1, keepdims=True)
  brighter = jnp.minimum(value + amount, 1.0)
  ratio = images / jnp.where(value > 0, value, 1.0)
  return clip(jnp.where(value > 0, ratio, 1.0) * brighter)


def contrast(keys: jax.Array, images: jax.Array, left: jax.Array) -> jax.Array:
  """Draws every channel to its mean: y = (x - mean) left + mean."""
  del keys
  mean = images.mean(axis=(1, 2), keepdims=True)
  return clip((images - mean) * left + mean)


def saturate(
  keys: jax.Array, images: jax.Array, change: jax.Array
) -> jax.Array:
  """Changes the saturation S = (V - min) / V to clip(a S + b).

    y = V - (V - x) clip(a S + b) / S

  Grey counts as a red without saturation, as in the usual transform to hue,
  saturation and value, so that b > 0 turns it red.

  Args:
    keys: Not used.
    images: float32 [N, H, W, 3] in [0, 1].
    change: float32 [2], a and b.

  Returns:
    float32 [N, H, W, 3] in [0, 1].
  """
  del keys
  value = images.max(axis=-1, keepdims=True)
  range_ = value - images.min(axis=-1, keepdims=True)
  saturation = range_ / jnp.where(value > 0, value, 1.0)
  wanted = jnp.clip(change[0] * saturation + change[1], 0.0, 1.0)
  # How far below the value a channel is, of the farthest: from 0 to 1.
  below = (value - images) / jnp.where(range_ > 0, range_, 1.0)
  red = jnp.asarray([0.0, 1.0, 1.0], jnp.float32)
  below = jnp.where(range_ > 0, below, red)
  return clip(value * (1 - wanted * below))
