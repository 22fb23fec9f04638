"""Noise on pixels: uniform, Gaussian, salt and pepper, shot."""

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


def shot(
  keys: jax.Array, images: jax.Array, photons: jax.Array | float
) -> jax.Array:
  """Counts the photons of every element: Poisson noise, as of little light.

    y = clip(k / photons),  k ~ Poisson(photons x)

  Its variance is x / photons: bright elements are noisier, black ones stay
  black. The fewer photons there are, the noisier it is.

  Args:
    keys: [N] typed keys, one per image.
    images: float32 [N, H, W, C] in [0, 1].
    photons: The expected count of an element of intensity 1, > 0; may be
      traced.

  Returns:
    The same shape, in [0, 1]; before it is clipped, multiples of 1 / photons.

  Raises:
    ValueError: If `images` is not [N, H, W, C].

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> counts = 8 * shot(keys, jnp.full((2, 8, 8, 1), 0.5), 8.0)
    >>> bool((counts == counts.round()).all())
    True

  References:
    D. Hendrycks and T. Dietterich, Benchmarking Neural Network Robustness to
    Common Corruptions and Perturbations, ICLR 2019: its shot noise, whose
    levels on CIFAR-10 are 500, 250, 100, 75 and 50 photons.
  """
  require_images(images)
  expected = jnp.asarray(photons * images, jnp.float32)
  counts = jax.vmap(jax.random.poisson)(keys, expected)
  return clip(counts.astype(jnp.float32) / photons)


def clip(images: jax.Array) -> jax.Array:
  """To [0, 1]; not jnp.clip, whose gradient is zero times what comes in."""
  return jax.lax.clamp(0.0, images, 1.0)


def require_images(images: jax.Array) -> None:
  """Raises ValueError unless `images` is [N, H, W, C]."""
  if jnp.ndim(images) != 4:
    raise ValueError(
      f"images of shape {jnp.shape(images)}: must be [N, H, W, C]"
    )
