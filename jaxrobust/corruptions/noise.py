"""Noise on pixels: uniform, Gaussian, salt and pepper."""

import jax
import jax.numpy as jnp


def uniform(
  keys: jax.Array, images: jax.Array, eps: jax.Array | float
) -> jax.Array:
  """Adds independent uniform noise to every element and clips.

    y = clip(x + eps u),  u ~ U(-1, 1)

  Args:
    keys: [N] typed keys, one per image.
    images: float32 [N, H, W, C] in [0, 1].
    eps: The largest change, in units of the input, >= 0; may be traced.

  Returns:
    The same shape, in [0, 1].

  Raises:
    ValueError: If `images` is not [N, H, W, C].

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> noisy = uniform(keys, jnp.full((2, 8, 8, 1), 0.5), 0.1)
    >>> bool((jnp.abs(noisy - 0.5) <= 0.1001).all())
    True
  """
  require_images(images)
  unit = jax.vmap(
    lambda key: jax.random.uniform(
      key, images.shape[1:], minval=-1.0, maxval=1.0
    )
  )(keys)
  return clip(images + eps * unit)


def gaussian(
  keys: jax.Array, images: jax.Array, std: jax.Array | float
) -> jax.Array:
  """Adds independent Gaussian noise to every element and clips.

    y = clip(x + std e),  e ~ N(0, 1)

  Args:
    keys: [N] typed keys, one per image.
    images: float32 [N, H, W, C] in [0, 1].
    std: Standard deviation, in units of the input, >= 0; may be traced.

  Returns:
    The same shape, in [0, 1].

  Raises:
    ValueError: If `images` is not [N, H, W, C].

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> gaussian(keys, jnp.zeros((2, 8, 8, 1)), 0.1).shape
    (2, 8, 8, 1)
  """
  require_images(images)
  unit = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:]))(keys)
  return clip(images + std * unit)


def salt_and_pepper(
  keys: jax.Array, images: jax.Array, share: jax.Array | float
) -> jax.Array:
  """Makes a share of the pixels black or white, each as often as the other.

  A pixel is hit with probability `share`, independently of the others, in all
  its channels at once.

  Args:
    keys: [N] typed keys, one per image.
    images: float32 [N, H, W, C] in [0, 1].
    share: The probability that a pixel is hit, in [0, 1]; may be traced.

  Returns:
    The same shape, in [0, 1].

  Raises:
    ValueError: If `images` is not [N, H, W, C].

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> hit = salt_and_pepper(keys, jnp.full((2, 8, 8, 3), 0.5), 1.0)
    >>> sorted(set(hit.ravel().tolist()))
    [0.0, 1.0]
  """
  require_images(images)
  height, width, _ = images.shape[1:]
  drawn = jax.vmap(lambda key: jax.random.uniform(key, (height, width, 1)))(
    keys
  )
  colour = jnp.where(drawn < share / 2, 0.0, 1.0)
  return jnp.where(drawn < share, colour, images)


def clip(images: jax.Array) -> jax.Array:
  """To [0, 1]; not jnp.clip, whose gradient is zero times what comes in."""
  return jax.lax.clamp(0.0, images, 1.0)


def require_images(images: jax.Array) -> None:
  """Raises ValueError unless `images` is [N, H, W, C]."""
  if jnp.ndim(images) != 4:
    raise ValueError(
      f"images of shape {jnp.shape(images)}: must be [N, H, W, C]"
    )
