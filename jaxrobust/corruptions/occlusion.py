"""Occlusion: black squares at random places, alone and on top of noise."""

import jax
import jax.numpy as jnp

from jaxrobust.corruptions.noise import gaussian, require_images


def patches(
  keys: jax.Array, images: jax.Array, *, count: int, side: int
) -> jax.Array:
  """Covers each image with black squares.

  The corner of a square is uniform over all at which it lies within the image;
  squares may overlap.

  Args:
    keys: [N] typed keys, one per image.
    images: float32 [N, H, W, C] in [0, 1].
    count: How many squares, >= 1.
    side: The length of their sides in pixels, from 1 to min(H, W).

  Returns:
    The same shape, in [0, 1].

  Raises:
    ValueError: If `images` is not [N, H, W, C], or `count` or `side` is out of
      range.

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> covered = patches(keys, jnp.ones((2, 8, 8, 1)), count=1, side=3)
    >>> (covered == 0).sum(axis=(1, 2, 3)).tolist()
    [9, 9]

  References:
    H.-V. Nguyen et al., `arXiv:2405.18499 <https://arxiv.org/abs/2405.18499>`_,
    2024: the random patch mask of its experiments.
  """
  require_images(images)
  height, width, _ = images.shape[1:]
  if count < 1:
    raise ValueError(f"count={count}: must be at least 1")
  if not 1 <= side <= min(height, width):
    raise ValueError(
      f"side={side}: must be from 1 to {min(height, width)} for images of "
      f"{height} x {width}"
    )
  places = jnp.asarray([height - side + 1, width - side + 1], jnp.uint32)
  # The modulo's bias is below side / 2^32: one draw is enough.
  bits = jax.vmap(lambda key: jax.random.bits(key, (count, 2)))(keys)
  corners = (bits % places).astype(jnp.int32)

  def covered(first, length):
    offset = jnp.arange(length) - first[..., None]
    return (offset >= 0) & (offset < side)

  rows = covered(corners[..., 0], height)[:, :, :, None]
  columns = covered(corners[..., 1], width)[:, :, None, :]
  mask = (rows & columns).any(axis=1)
  return jnp.where(mask[..., None], 0.0, images)


def gaussian_and_patches(
  keys: jax.Array,
  images: jax.Array,
  std: jax.Array | float,
  *,
  count: int,
  side: int,
) -> jax.Array:
  """Adds Gaussian noise, clips, and covers the noisy image with squares.

  Args:
    keys: [N] typed keys, one per image.
    images: float32 [N, H, W, C] in [0, 1].
    std: Of the noise, as for `gaussian`; may be traced.
    count: As for `patches`.
    side: As for `patches`.

  Returns:
    The same shape, in [0, 1].

  Raises:
    ValueError: As of `patches`.

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> images = jnp.full((2, 8, 8, 1), 0.5)
    >>> bad = gaussian_and_patches(keys, images, 0.01, count=1, side=3)
    >>> (bad < 0.1).sum(axis=(1, 2, 3)).tolist()
    [9, 9]
  """
  noise_keys, patch_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
  noisy = gaussian(noise_keys, images, std)
  return patches(patch_keys, noisy, count=count, side=side)
