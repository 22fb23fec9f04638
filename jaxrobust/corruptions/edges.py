"""Canny's edges, in the two dialects that the corruptions use.

Both keep ridges of the gradient and then what is connected to a strong one;
they differ in how they smooth, in the norm, and in what counts as a ridge.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from jaxrobust.corruptions import separable


def shifted(images: jax.Array, down: int, across: int) -> jax.Array:
  """x(h + down, w + across) of [N, H, W], 0 beyond; shifts of -1, 0 or 1."""
  height, width = images.shape[1:]
  padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1)))
  return padded[
    :, 1 + down : 1 + down + height, 1 + across : 1 + across + width
  ]


def connected(weak: jax.Array, strong: jax.Array) -> jax.Array:
  """The pixels of `weak` that touch `strong` over others: bool [N, H, W]."""

  def grow(state):
    found, _ = state
    wider = found | shifted(found, 1, 0) | shifted(found, -1, 0)
    wider = wider | shifted(wider, 0, 1) | shifted(wider, 0, -1)
    wider &= weak
    return wider, (wider != found).any()

  found, _ = jax.lax.while_loop(
    lambda state: state[1], grow, (strong & weak, jnp.asarray(True))
  )
  return found


def canny(images: jax.Array) -> jax.Array:
  """Edges as of scikit-image's `canny` with sigma 1 and its thresholds.

  Args:
    images: float32 [N, H, W] in [0, 1].

  Returns:
    bool [N, H, W].
  """
  smooth, first, second = _derivatives(images.shape[1:])
  padded = images[..., None]
  seen = smooth[0].sum(axis=2)[0][:, None] * smooth[1].sum(axis=2)[0]
  seen = (seen + np.finfo(np.float32).eps)[..., None]
  padded = separable.product(padded, *smooth) / seen
  down = separable.product(padded, *first)[..., 0]
  across = separable.product(padded, *second)[..., 0]
  size = jnp.sqrt(down**2 + across**2)
  steep, flat = jnp.abs(down), jnp.abs(across)
  vertical = steep > flat
  weight = jnp.minimum(steep, flat) / jnp.maximum(
    jnp.maximum(steep, flat), 1e-30
  )
  falling = down * across < 0

  def ahead(sign):
    """The gradient's size one step along it, interpolated."""
    straight = jnp.where(
      vertical, shifted(size, sign, 0), shifted(size, 0, sign)
    )
    same = shifted(size, sign, sign)
    other = jnp.where(
      vertical, shifted(size, sign, -sign), shifted(size, -sign, sign)
    )
    return weight * jnp.where(falling, other, same) + (1 - weight) * straight

  ridge = (ahead(1) <= size) & (ahead(-1) <= size)
  height, width = images.shape[1:]
  inner = np.zeros((height, width), bool)
  inner[1:-1, 1:-1] = True
  weak = ridge & (size >= 0.1) & inner
  return connected(weak, size >= 0.2)


def _derivatives(sides):
  """Matrices of the blur, and of Sobel's two derivatives."""

  def pair(make_rows, make_columns):
    return tuple(
      jnp.asarray(make(side)[None], jnp.float32)
      for make, side in zip((make_rows, make_columns), sides, strict=True)
    )

  def blur(side):
    return ndimage.gaussian_filter1d(np.eye(side), 1.0, axis=0, mode="constant")

  def difference(side):
    return ndimage.correlate1d(np.eye(side), [-1, 0, 1], axis=0)

  def mean(side):
    return ndimage.correlate1d(np.eye(side), [1, 2, 1], axis=0)

  return pair(blur, blur), pair(difference, mean), pair(mean, difference)


def canny_bytes(images: jax.Array, low: int, high: int) -> jax.Array:
  """Edges as of OpenCV's `Canny` with its 3 x 3 derivatives and |x| + |y|.

  Args:
    images: int32 [N, H, W], from 0 to 255.
    low: What an edge's gradient exceeds.
    high: What the gradient exceeds somewhere along an edge.

  Returns:
    bool [N, H, W].
  """
  padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
  change = padded[:, :, 2:] - padded[:, :, :-2]
  across = change[:, :-2] + 2 * change[:, 1:-1] + change[:, 2:]
  change = padded[:, 2:] - padded[:, :-2]
  down = change[:, :, :-2] + 2 * change[:, :, 1:-1] + change[:, :, 2:]
  size = jnp.abs(across) + jnp.abs(down)
  # The tangent of 22.5 degrees in units of 2^-15.
  flat = 13573 * jnp.abs(across)
  steep = jnp.abs(down) << 15
  level = steep < flat
  upright = steep > flat + (jnp.abs(across) << 16)
  falling = (across ^ down) < 0

  def beats(back, ahead):
    return (size > shifted(size, *back)) & (size >= shifted(size, *ahead))

  ridge = jnp.where(
    level,
    beats((0, -1), (0, 1)),
    jnp.where(
      upright,
      beats((-1, 0), (1, 0)),
      # Both neighbours of a diagonal are to be less.
      jnp.where(
        falling,
        (size > shifted(size, -1, 1)) & (size > shifted(size, 1, -1)),
        (size > shifted(size, -1, -1)) & (size > shifted(size, 1, 1)),
      ),
    ),
  )
  return connected(ridge & (size > low), size > high)
