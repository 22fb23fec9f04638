"""Augmentation on the accelerator: the first operations of a training step.

All functions are pure, work on a whole batch and draw once per example key, so
that an image's augmentation depends on its key alone.
"""

import jax
import jax.numpy as jnp
from jax import lax


def as_float(inputs: jax.Array) -> jax.Array:
  """Brings raw inputs to float32, images to [0, 1].

  Args:
    inputs: uint8 images, or float32 images or series, of any shape.

  Returns:
    uint8 divided by 255 as float32; float32 as it is.

  Raises:
    ValueError: for any other dtype.

  Example:
    >>> import numpy as np
    >>> as_float(np.asarray([0, 255], np.uint8)).tolist()
    [0.0, 1.0]
  """
  inputs = jnp.asarray(inputs)
  if inputs.dtype == jnp.uint8:
    return inputs.astype(jnp.float32) / jnp.float32(255)
  if inputs.dtype == jnp.float32:
    return inputs
  raise ValueError(f"inputs has dtype {inputs.dtype}; allowed: uint8, float32")


def random_crop(keys: jax.Array, images: jax.Array, padding: int) -> jax.Array:
  """Pads each image with zeros and crops a window of the original size.

  The window's corner is uniform over the (2 padding + 1)^2 possible ones.

  Args:
    keys: [N] typed keys, one per image.
    images: [N, H, W, C], of any dtype.
    padding: pixels of zeros on each of the four sides.

  Returns:
    [N, H, W, C], of the images' dtype.

  Raises:
    ValueError: if `padding` is negative or `images` is not [N, H, W, C].

  Example:
    >>> import jax, jax.numpy as jnp
    >>> keys = jax.random.split(jax.random.key(0), 8)
    >>> random_crop(keys, jnp.ones((8, 5, 5, 1)), padding=2).shape
    (8, 5, 5, 1)
  """
  _check_images(images)
  if padding < 0:
    raise ValueError(f"padding is {padding}; it must be 0 or more")
  if padding == 0:
    return images
  # The modulo's bias is below (2 padding + 1) / 2^32: one draw is enough.
  bits = jax.vmap(lambda key: jax.random.bits(key, (2,)))(keys)
  corners = (bits % jnp.uint32(2 * padding + 1)).astype(jnp.int32)
  sides = (padding, padding)
  padded = jnp.pad(images, ((0, 0), sides, sides, (0, 0)))

  def window(image, corner):
    return lax.dynamic_slice(image, (*corner, 0), images.shape[1:])

  return jax.vmap(window)(padded, corners)


def random_flip(keys: jax.Array, images: jax.Array) -> jax.Array:
  """Mirrors each image left to right with probability one half.

  Args:
    keys: [N] typed keys, one per image.
    images: [N, H, W, C], of any dtype.

  Returns:
    [N, H, W, C], of the images' dtype.

  Raises:
    ValueError: if `images` is not [N, H, W, C].

  Example:
    >>> import jax, jax.numpy as jnp
    >>> keys = jax.random.split(jax.random.key(0), 8)
    >>> random_flip(keys, jnp.ones((8, 5, 5, 1))).shape
    (8, 5, 5, 1)
  """
  _check_images(images)
  bits = jax.vmap(jax.random.bits)(keys)
  mirrored = (bits & 1).astype(bool)[:, None, None, None]
  return jnp.where(mirrored, images[:, :, ::-1], images)


def _check_images(images: jax.Array):
  if images.ndim != 4:
    raise ValueError(f"images has shape {images.shape}; allowed: [N, H, W, C]")
