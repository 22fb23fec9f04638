"""Forward differences of images and series, their adjoint, and edge groups.

An edge joins two neighbours, and the difference over it is the second minus
the first. Edges are kept where their first pixel is:

  [N, 2, H, W, C]   [:, 0] down the columns, [:, 1] along the rows
  [N, 1, T, C]      of a series

so that the last row of [:, 0] and the last column of [:, 1] stand for no edge
and are zero. Inside this package the channels come before the places: fields
are [N, C, H, W] and their edges [N, 2, C, H, W].
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxrobust.inverse_scale import checks

EDGES = ("aniso", "color", "iso")


def differences(images: jax.Array) -> jax.Array:
  """Takes the differences between neighbours.

    (D x)_0 = x[i+1, j] - x[i, j],  (D x)_1 = x[i, j+1] - x[i, j]

  Args:
    images: [N, H, W, C], or series [N, T, C], of floats.

  Returns:
    float32 [N, 2, H, W, C], or [N, 1, T, C]; zero where no edge is.

  Raises:
    ValueError: If `images` has another shape or type.

  Example:
    >>> differences(jnp.asarray([[[0.0], [1.0], [5.0]]]))[0, 0, :, 0].tolist()
    [1.0, 4.0, 0.0]

  References:
    Chambolle, "An algorithm for total variation minimization and
    applications", JMIV 2004, section 2.
  """
  checks.require_images(images)
  return to_public_edges(forward(to_fields(images)))


def differences_adjoint(edges: jax.Array) -> jax.Array:
  """Applies the transpose of `differences`, minus the divergence.

    <D^T p, x> = <p, D x>

  Args:
    edges: [N, 2, H, W, C], or [N, 1, T, C]; what stands where no edge is does
      not count.

  Returns:
    float32 [N, H, W, C], or [N, T, C].

  Raises:
    ValueError: If `edges` has another shape.

  Example:
    >>> differences_adjoint(jnp.asarray([[[[1.0], [4.0], [9.0]]]]))[0, :, 0]
    Array([-1., -3.,  4.], dtype=float32)

  References:
    Chambolle, "An algorithm for total variation minimization and
    applications", JMIV 2004, section 2.
  """
  checks.require_edges(edges, "edges")
  if edges.shape[1] != edges.ndim - 3:
    raise ValueError(f"edges of shape {edges.shape}: must not be grouped")
  return to_images(backward(to_inner_edges(edges)))


def squared_norm(sides: Sequence[int]) -> float:
  """The squared norm of the differences, their largest squared gain.

    |D|^2 = sum over axes of 4 sin^2(pi (n - 1) / 2n),  n the length

  which is less than 4 per axis.

  Args:
    sides: Lengths of the axes, (H, W) or (T,), in pixels.

  Returns:
    The square of the largest singular value.

  Example:
    >>> round(squared_norm((2, 1)), 6)
    2.0
  """
  return sum(4 * math.sin(math.pi * (n - 1) / (2 * n)) ** 2 for n in sides)


def edge_count(shape: Sequence[int], edges: str = "aniso") -> int:
  """How many edges, or groups of edges, one image has.

    aniso  C (H (W - 1) + (H - 1) W)
    color  H (W - 1) + (H - 1) W, the channels of an edge being a group
    iso    C (H W - 1), the two edges that start at a pixel being a group

  Args:
    shape: (H, W, C), or (T, C).
    edges: 'aniso', 'color' or 'iso'.

  Returns:
    The number E that fractions are of.

  Raises:
    ValueError: If there is no such grouping.

  Example:
    >>> edge_count((32, 32, 3)), edge_count((32, 32, 3), "color")
    (5952, 1984)
  """
  checks.require_one_of(edges, "edges", EDGES)
  *sides, channels = shape
  pixels = math.prod(sides)
  if edges == "iso":
    return channels * (pixels - 1)
  per_channel = sum(pixels // n * (n - 1) for n in sides)
  return per_channel if edges == "color" else channels * per_channel


def to_fields(images: jax.Array) -> jax.Array:
  """Images or series as float32 with the channels before the places."""
  return jnp.moveaxis(jnp.asarray(images, jnp.float32), -1, 1)


def to_images(fields: jax.Array) -> jax.Array:
  """The inverse of `to_fields`."""
  return jnp.moveaxis(fields, 1, -1)


def to_inner_edges(edges: jax.Array) -> jax.Array:
  """Edges as they are kept inside this package, channels before places."""
  return jnp.moveaxis(edges, -1, 2)


def to_public_edges(edges: jax.Array) -> jax.Array:
  """The inverse of `to_inner_edges`."""
  return jnp.moveaxis(edges, 2, -1)


def forward(fields: jax.Array) -> jax.Array:
  """`differences` of fields [N, C, ...]: [N, d, C, ...]."""
  return jnp.stack(
    [
      _padded(jnp.diff(fields, axis=axis), axis, after=True)
      for axis in range(2, fields.ndim)
    ],
    axis=1,
  )


def backward(edges: jax.Array) -> jax.Array:
  """`differences_adjoint` of edges [N, d, C, ...]: [N, C, ...]."""
  total = 0.0
  for number in range(edges.shape[1]):
    axis = 2 + number
    along = edges[:, number]
    real = jax.lax.slice_in_dim(along, 0, along.shape[axis] - 1, axis=axis)
    total += _padded(real, axis, after=False) - _padded(real, axis, after=True)
  return jnp.asarray(total)


def group_norm(edges: jax.Array, grouping: str) -> jax.Array:
  """The Euclidean norm within groups of edges [N, d, C, ...], axes kept."""
  if grouping == "aniso":
    return jnp.abs(edges)
  axis = 2 if grouping == "color" else 1
  return jnp.sqrt(jnp.sum(edges * edges, axis=axis, keepdims=True))


def group_shrink(
  edges: jax.Array, threshold: jax.Array, grouping: str
) -> jax.Array:
  """Moves groups of edges towards zero by a threshold that broadcasts."""
  if grouping == "aniso":
    return edges - jnp.clip(edges, -threshold, threshold)
  norm = group_norm(edges, grouping)
  kept = jnp.maximum(norm - threshold, 0.0)
  return edges * (kept / jnp.where(norm > 0, norm, 1.0))


def _padded(array: jax.Array, axis: int, *, after: bool) -> jax.Array:
  """With one zero more along an axis, after its end or before its start."""
  widths = [(0, 0)] * array.ndim
  widths[axis] = (0, 1) if after else (1, 0)
  return jnp.pad(array, widths)
