"""What smoothing left of an image: its pieces, and the error in decibels.

Where less than half of the edges are cut, a square lattice percolates: one
piece holds a share of the image that does not vanish however large it is.
"""

import jax
import jax.numpy as jnp

from jaxrobust.inverse_scale import checks


def component_sizes(labels: jax.Array) -> jax.Array:
  """Counts, for each pixel, the pixels of its piece.

    s_i = #{ j : l_j = l_i },  j of the image and channel of i

  Args:
    labels: int32 [N, H, W, C], or [N, T, C], from `component_labels`.

  Returns:
    int32, the same shape, in pixels.

  Example:
    >>> labels = jnp.asarray([0, 0, 2, 0]).reshape((1, 4, 1))
    >>> component_sizes(labels).ravel().tolist()
    [3, 3, 1, 3]
  """
  labels = jnp.asarray(labels, jnp.int32)
  planes = jnp.moveaxis(labels, -1, 1)
  flat = planes.reshape((planes.shape[0] * planes.shape[1], -1))

  def sizes(plane):
    return jnp.zeros_like(plane).at[plane].add(1)[plane]

  return jnp.moveaxis(jax.vmap(sizes)(flat).reshape(planes.shape), 1, -1)


def component_count(labels: jax.Array) -> jax.Array:
  """Counts the pieces of each channel.

  Args:
    labels: int32 [N, H, W, C], or [N, T, C], from `component_labels`: a piece
      is labelled by its first pixel.

  Returns:
    int32 [N, C].

  Example:
    >>> component_count(jnp.asarray([0, 0, 2, 0]).reshape((1, 4, 1)))
    Array([[2]], dtype=int32)
  """
  labels = jnp.asarray(labels, jnp.int32)
  places = tuple(range(1, labels.ndim - 1))
  flat = labels.reshape((labels.shape[0], -1, labels.shape[-1]))
  number = jnp.arange(flat.shape[1], dtype=jnp.int32).reshape(
    (1, *labels.shape[1:-1], 1)
  )
  return jnp.sum(labels == number, axis=places, dtype=jnp.int32)


def largest_component(labels: jax.Array) -> jax.Array:
  """The share of the pixels of each channel that are in its largest piece.

    max_i s_i / (H W)

  Args:
    labels: int32 [N, H, W, C], or [N, T, C], from `component_labels`.

  Returns:
    float32 [N, C], in (0, 1].

  Example:
    >>> largest_component(jnp.asarray([0, 0, 2, 0]).reshape((1, 4, 1)))
    Array([[0.75]], dtype=float32)

  References:
    Kesten, "The critical probability of bond percolation on the square lattice
    equals 1/2", Communications in Mathematical Physics 1980.
  """
  sizes = component_sizes(labels)
  sizes = sizes.reshape((sizes.shape[0], -1, sizes.shape[-1]))
  return jnp.max(sizes, axis=1).astype(jnp.float32) / sizes.shape[1]


def psnr(images: jax.Array, reference: jax.Array) -> jax.Array:
  """Peak signal-to-noise ratio of images against others.

    10 log10 (1 / mean (x - y)^2)

  Args:
    images: [N, H, W, C], or series [N, T, C], of floats; the peak is 1.
    reference: What they should be, the same shape.

  Returns:
    float32 [N], in dB; infinite for images that are equal.

  Raises:
    ValueError: If the shapes differ, or are others.

  Example:
    >>> images = jnp.asarray([0.0, 0.1, 0.0, 0.1]).reshape((1, 2, 2, 1))
    >>> psnr(images, 0 * images + 0.05).round()
    Array([26.], dtype=float32)
  """
  checks.require_images(images)
  if jnp.shape(images) != jnp.shape(reference):
    raise ValueError(
      f"reference of shape {jnp.shape(reference)}: must be that of images, "
      f"{jnp.shape(images)}"
    )
  difference = jnp.asarray(images, jnp.float32) - jnp.asarray(
    reference, jnp.float32
  )
  error = jnp.mean(difference**2, axis=tuple(range(1, difference.ndim)))
  return -10 * jnp.log10(error)
