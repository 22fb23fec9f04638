"""Pooling of arrays and of states: maxima and means over windows."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxrobust.moments.basic import Value, maximum, mean
from jaxrobust.moments.state import State


def max_pool(x: Value, window: tuple[int, ...]) -> Value:
  """Takes the maximum over windows that do not overlap.

  The maximum of slices, one spatial axis after the other, not
  `lax.reduce_window`, whose gradient is more than ten times slower on a CPU.
  A remainder that fills no window is left out, and a window is cut to the axis
  it is longer than, so an axis of length one stays. Where entries of a window
  are equal they share the gradient.

  Args:
    x: [N, *spatial, C], an array or a state.
    window: its length along each spatial axis; also the stride.

  Returns:
    [N, *pooled, C], with pooled = spatial // window.

  Raises:
    ValueError: if there is not one positive length per spatial axis.

  Example:
    >>> max_pool(jnp.arange(4.0).reshape(1, 4, 1), (2,)).ravel()
    Array([1., 3.], dtype=float32)
  """
  for axis, length in enumerate(_fit(x, window), start=1):
    x = _largest(_split(x, axis, length), axis + 1)
  return x


def avg_pool(x: Value, window: tuple[int, ...]) -> Value:
  """Takes the mean over windows that do not overlap.

  Remainders and long windows are treated as in `max_pool`.

  Args:
    x: [N, *spatial, C], an array or a state.
    window: its length along each spatial axis; also the stride.

  Returns:
    [N, *pooled, C], with pooled = spatial // window.

  Raises:
    ValueError: if there is not one positive length per spatial axis.

  Example:
    >>> avg_pool(jnp.arange(4.0).reshape(1, 4, 1), (2,)).ravel()
    Array([0.5, 2.5], dtype=float32)
  """
  dtype = x.dtype
  x = x.astype(jnp.float32)
  for axis, length in enumerate(_fit(x, window), start=1):
    x = mean(_split(x, axis, length), (axis + 1,))
  return x.astype(dtype)


def global_avg_pool(x: Value) -> Value:
  """Takes the mean over all spatial axes.

  The sum is float32 whatever the type of x.

  Args:
    x: [N, *spatial, C], an array or a state.

  Returns:
    [N, C], of x's kind and type.

  Example:
    >>> global_avg_pool(jnp.arange(4.0).reshape(1, 2, 2, 1))
    Array([[1.5]], dtype=float32)
  """
  return mean(x, tuple(range(1, x.ndim - 1)))


def _fit(x: Value, window: tuple[int, ...]) -> tuple[int, ...]:
  """Returns the window, no longer than x along any axis."""
  if len(window) != x.ndim - 2 or min(window, default=1) < 1:
    raise ValueError(
      f"window must be {x.ndim - 2} positive lengths, got {window}"
    )
  return tuple(
    min(w, length) for w, length in zip(window, x.shape[1:-1], strict=True)
  )


def _largest(x: Value, axis: int) -> Value:
  """The maximum along an axis, entry by entry."""
  count = x.shape[axis]
  if not isinstance(x, State):
    # Not slices: the gradient of a split is one concatenation, theirs a sum of
    # padded arrays, into which XLA's CPU compiler fuses all that comes before.
    parts = lax.split(x, (1,) * count, axis)
    entries = [lax.squeeze(part, (axis,)) for part in parts]
    return functools.reduce(jnp.maximum, entries)
  before, after = x.shape[:axis], x.shape[axis + 1 :]
  # Three axes, so that the innermost of a loop is as long as it can be.
  x = x.reshape(math.prod(before), count, math.prod(after))
  entries = [
    x.map(functools.partial(_entry, axis=1, index=i)) for i in range(count)
  ]
  return functools.reduce(maximum, entries).reshape(*before, *after)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _entry(x: jax.Array, axis: int, index: int) -> jax.Array:
  """One slice along an axis, which it loses.

  Its gradient is a product with a mask, which XLA's CPU compiler computes in
  the same loop as the long expressions before it; not so a concatenation.
  """
  return lax.index_in_dim(x, index, axis, keepdims=False)


@_entry.defjvp
def _entry_jvp(axis, index, primals, tangents):
  (x,), (tangent,) = primals, tangents
  here = lax.broadcasted_iota(jnp.int32, x.shape, axis) == index
  return _entry(x, axis, index), jnp.sum(jnp.where(here, tangent, 0), axis)


def _split(x: Value, axis: int, length: int) -> Value:
  """Splits an axis into whole blocks: [..., a, ...] to [..., a/b, b, ...]."""
  blocks = x.shape[axis] // length
  x = x[(slice(None),) * axis + (slice(0, blocks * length),)]
  return x.reshape(*x.shape[:axis], blocks, length, *x.shape[axis + 1 :])
