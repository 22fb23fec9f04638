"""Components of an image whose sharp edges are cut, and means over them.

Pixels that an edge outside of the support joins are one piece. Projecting an
image on those that are constant over every piece is averaging over pieces; no
matrix is factorised.
"""

import jax
import jax.numpy as jnp

from jaxrobust.inverse_scale import checks
from jaxrobust.inverse_scale.differences import (
  to_fields,
  to_images,
  to_inner_edges,
)


def component_labels(support: jax.Array) -> jax.Array:
  """Labels the pieces that are left when the edges of a support are cut.

  Each round gives a pixel the least label about it, hooks the root of its old
  label to that, and follows the labels of labels twice. Five to seven rounds
  suffice for photographs and for spirals.

  Args:
    support: bool [N, 2, H, W, C], or [N, 1, T, C]: the edges to cut. With a
      channel axis of 1 the channels share their pieces; [N, 1, H, W, C] cuts
      both of the edges that start at a pixel.

  Returns:
    int32 [N, H, W, C], or [N, T, C]: of each pixel, the smallest flat index
    i W + j in its piece.

  Raises:
    ValueError: If `support` has another shape, or more than 2^31 - 1 pixels.

  Example:
    >>> cut = jnp.asarray([False, True, False, False]).reshape((1, 1, 4, 1))
    >>> component_labels(cut).ravel().tolist()
    [0, 0, 2, 2]

  References:
    Shiloach and Vishkin, "An O(log n) parallel connectivity algorithm",
    J. Algorithms 1982.
  """
  checks.require_edges(support, "support")
  return to_images(labels_of_fields(to_inner_edges(support)))


def component_means(images: jax.Array, labels: jax.Array) -> jax.Array:
  """Projects images on those that are constant over every piece.

    (P x)_i = mean of x over the piece of i

  P is symmetric and idempotent, keeps the mean and the range of a channel, and
  its derivative is itself. It is the least-squares solution under D_e x = 0
  for all edges e outside of the support.

  Args:
    images: [N, H, W, C], or series [N, T, C], of floats.
    labels: int32 of the same shape, or with a channel axis of 1 that all
      channels share; from `component_labels`.

  Returns:
    float32, the shape of `images`.

  Raises:
    ValueError: If the shapes do not fit.

  Example:
    >>> labels = jnp.asarray([0, 0, 2, 2]).reshape((1, 4, 1))
    >>> series = jnp.asarray([1.0, 3.0, 5.0, 5.0]).reshape((1, 4, 1))
    >>> component_means(series, labels).ravel().tolist()
    [2.0, 2.0, 5.0, 5.0]

  References:
    Huang, Sun and Yao, "Boosting with structural sparsity: a differential
    inclusion approach", ACHA 2020: the projection of Split LBI.
  """
  checks.require_images(images)
  if labels.shape[:-1] != images.shape[:-1] or labels.shape[-1] not in (
    1,
    images.shape[-1],
  ):
    raise ValueError(
      f"labels of shape {labels.shape}: must be that of the images, "
      f"{images.shape}, or with one channel"
    )
  means = means_of_fields(to_fields(images), jnp.moveaxis(labels, -1, 1))
  return to_images(means)


def labels_of_fields(support: jax.Array) -> jax.Array:
  """`component_labels` with the channels before the places."""
  number, _, channels, *sides = support.shape
  shape = (number, channels, *sides)
  first = _first_of_planes(shape)
  size = first.size * _pixels(shape)
  joined = jnp.broadcast_to(~support, (number, len(sides), channels, *sides))
  # Beyond every label, so that it is never the least.
  beyond = jnp.iinfo(jnp.int32).max

  def hook(labels):
    least = labels
    for axis in range(2, labels.ndim):
      open_edge = jax.lax.slice_in_dim(
        joined[:, axis - 2], 0, labels.shape[axis] - 1, axis=axis
      )
      widths = [(0, 0)] * labels.ndim
      for from_next in (True, False):
        # Of the pixel after (or before) along this axis, where joined.
        start = 1 if from_next else 0
        moved = jax.lax.slice_in_dim(
          labels, start, start + labels.shape[axis] - 1, axis=axis
        )
        widths[axis] = (0, 1) if from_next else (1, 0)
        moved = jnp.where(open_edge, moved, beyond)
        least = jnp.minimum(
          least, jnp.pad(moved, widths, constant_values=beyond)
        )
    flat, roots = least.ravel(), labels.ravel()
    flat = flat.at[roots].min(flat, mode="promise_in_bounds")
    for _ in range(2):
      flat = flat.at[flat].get(mode="promise_in_bounds")
    return flat.reshape(shape)

  def advance(carry):
    labels, _ = carry
    hooked = hook(labels)
    return hooked, jnp.any(hooked != labels)

  start = jnp.arange(size, dtype=jnp.int32).reshape(shape)
  # Added so that the labels vary over what the support varies over.
  start += 0 * joined[:, 0].astype(jnp.int32)
  labels, _ = jax.lax.while_loop(
    lambda carry: carry[1], advance, advance((start, True))
  )
  return labels - first


@jax.custom_jvp
def means_of_fields(fields: jax.Array, labels: jax.Array) -> jax.Array:
  """`component_means` with the channels before the places.

  It averages differences to one pixel of the piece: what is constant stays so
  to the bit, and a large piece of many small terms keeps its precision.
  """
  flat, piece = fields.ravel(), _pieces(fields.shape, labels)
  reference = flat.at[piece].get(mode="promise_in_bounds")
  reference = reference.reshape(fields.shape)
  return reference + average(fields - reference, labels)


@means_of_fields.defjvp
def _means_tangent(primals, tangents):
  # Transposed, the differences would all meet in one pixel and cancel.
  fields, labels = primals
  return means_of_fields(fields, labels), average(tangents[0], labels)


def average(fields: jax.Array, labels: jax.Array) -> jax.Array:
  """`means_of_fields` as plain sums over counts, which is linear in both modes.

  It is its own transpose, up to rounding.
  """
  flat, piece = fields.ravel(), _pieces(fields.shape, labels)
  sums = jnp.zeros_like(flat).at[piece].add(flat, mode="promise_in_bounds")
  counts = jnp.zeros(flat.shape, jnp.float32).at[piece]
  counts = counts.add(1.0, mode="promise_in_bounds")
  mean = sums / jnp.maximum(counts, 1.0)
  return mean.at[piece].get(mode="promise_in_bounds").reshape(fields.shape)


def _pieces(shape: tuple[int, ...], labels: jax.Array) -> jax.Array:
  """Labels that are different in different planes, flat."""
  return (labels + _first_of_planes(shape)).ravel()


def _first_of_planes(shape: tuple[int, ...]) -> jax.Array:
  """The number of the first pixel of each plane [N, C, ...], all numbered."""
  number, channels = shape[:2]
  pixels = _pixels(shape)
  if number * channels * pixels > jnp.iinfo(jnp.int32).max:
    raise ValueError(f"{shape}: more pixels than int32 can number")
  planes = jnp.arange(number * channels, dtype=jnp.int32) * pixels
  return planes.reshape((number, channels) + (1,) * (len(shape) - 2))


def _pixels(shape: tuple[int, ...]) -> int:
  size = 1
  for side in shape[2:]:
    size *= side
  return size
