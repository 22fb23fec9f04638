"""Supports: which edges of an image are sharp, and how large a share.

A support is a boolean array of edges, [N, 2, H, W, C] or [N, 1, T, C]; groups
keep an axis of length 1, [N, 2, H, W, 1] for edges that the channels share
and [N, 1, H, W, C] for the two edges that start at a pixel.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxrobust.inverse_scale import checks

CONVENTIONS = ("support", "zeros")


def kth_largest(values: jax.Array, count: Any) -> jax.Array:
  """Finds the k-th largest of each row, exactly and without sorting.

    max { t : #{i : v_i >= t} >= k }

  The bits of a non-negative float32, read as an integer, are in its order; 31
  counts find those of the answer from the highest to the lowest.

  Args:
    values: [N, ...], >= 0, of floats; each of the N is a row.
    count: The rank k, int32 [] or [N], at most the size of a row; may be
      traced.

  Returns:
    float32 [N]; infinity where k <= 0, and 0 where k is larger than a row.

  Example:
    >>> kth_largest(jnp.asarray([[3.0, 0.0, 7.0, 5.0]]), 2)
    Array([5.], dtype=float32)
  """
  shape = jnp.shape(values)
  rows = jnp.asarray(values, jnp.float32)
  rows = rows.reshape((shape[0], math.prod(shape[1:])))
  # Minus zero has a bit set; the absolute value has none.
  bits = jax.lax.bitcast_convert_type(jnp.abs(rows), jnp.int32)
  rank = jnp.broadcast_to(jnp.asarray(count, jnp.int32), (len(rows),))

  def add_bit(step, found):
    tried = found | jnp.left_shift(jnp.int32(1), 30 - step)
    enough = jnp.sum(bits >= tried[:, None], axis=1, dtype=jnp.int32) >= rank
    return jnp.where(enough, tried, found)

  # From zeros of the row, so that they vary over what the rows vary over.
  none = jnp.zeros_like(rank) + 0 * bits[:, 0] if rows.size else 0 * rank
  found = jax.lax.fori_loop(0, 31, add_bit, none)
  largest = jax.lax.bitcast_convert_type(found, jnp.float32)
  return jnp.where(rank > 0, largest, jnp.inf)


def largest_edges(magnitudes: jax.Array, count: Any) -> jax.Array:
  """Takes the k largest edges of each image for its support.

    S = { e : m_e >= the k-th largest, m_e > 0 }

  Edges that tie with the k-th are all in; edges of zero never are, so that an
  image with less than k others has a smaller support.

  Args:
    magnitudes: [N, ...], >= 0, one per edge or group.
    count: The number k, int32 [] or [N]; may be traced.

  Returns:
    bool, the shape of `magnitudes`.

  Example:
    >>> largest_edges(jnp.asarray([[3.0, 0.0, 7.0, 3.0]]), 2)
    Array([[ True, False,  True,  True]], dtype=bool)
  """
  threshold = kth_largest(magnitudes, count)
  threshold = threshold.reshape((-1,) + (1,) * (magnitudes.ndim - 1))
  return (magnitudes >= threshold) & (magnitudes > 0)


def support_fraction(support: jax.Array) -> jax.Array:
  """Measures which share of an image's edges, or groups, is in its support.

    f = |S| / E

  Args:
    support: bool [N, 2, H, W, C], [N, 1, T, C], or grouped.

  Returns:
    float32 [N], in [0, 1]; 0 for an image of one pixel, which has no edge.

  Raises:
    ValueError: If `support` has another shape.

  Example:
    >>> support = jnp.asarray([True, False, True, False]).reshape((1, 1, 4, 1))
    >>> support_fraction(support).round(4)
    Array([0.6667], dtype=float32)
  """
  checks.require_edges(support, "support")
  chosen = jnp.sum(support, axis=tuple(range(1, support.ndim)), dtype=jnp.int32)
  return chosen.astype(jnp.float32) / max(_groups(support.shape), 1)


def fraction_from_level(level: Any, convention: str = "support") -> jax.Array:
  """Reads a level of sparsity as the share of edges that are sharp.

    support  f = level
    zeros    f = 1 - level

  "Sparsity" is printed both for the share of edges that are in the support
  and for the share that are zero.

  Args:
    level: In [0, 1]; may be traced.
    convention: 'support' or 'zeros'.

  Returns:
    float32, the shape of `level`.

  Raises:
    ValueError: If there is no such convention, or a known level is outside.

  Example:
    >>> round(float(fraction_from_level(0.4, "zeros")), 6)
    0.6
  """
  checks.require_one_of(convention, "convention", CONVENTIONS)
  checks.require_fraction(level, "level")
  level = jnp.asarray(level, jnp.float32)
  return level if convention == "support" else 1 - level


def _groups(shape: tuple[int, ...]) -> int:
  """How many edges or groups a support of this shape has, without padding."""
  _, kinds, *sides, channels = shape
  pixels = math.prod(sides)
  if kinds < len(sides):
    return channels * (pixels - 1)
  return channels * sum(pixels // n * (n - 1) for n in sides)
