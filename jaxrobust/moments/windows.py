"""Rules of windowed maxima and sums: pooling of any window, stride, padding.

Along one axis after the other, in the order of `ops.max_pool`, by slices where
windows overlap or are padded.
"""

import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrobust.moments import expressions, ops
from jaxrobust.moments.expressions import Random, leafwise
from jaxrobust.moments.lineage import Step
from jaxrobust.moments.moments import State
from jaxrobust.moments.table import Equation, rule


@rule("reduce_window_max", "reduce_window_sum")
def _reduce_window(eqn: Equation, x: Random) -> Random:
  if any(d != 1 for d in eqn.params["base_dilation"]):
    raise eqn.error("a base dilation")
  combine = _largest if eqn.name == "reduce_window_max" else _sum
  windows = list(
    zip(
      eqn.params["window_dimensions"],
      eqn.params["window_strides"],
      eqn.params["padding"],
      eqn.params["window_dilation"],
      strict=True,
    )
  )

  def make():
    state = x.state
    for axis, window in enumerate(windows):
      if window[:3] != (1, 1, (0, 0)):
        state = combine(eqn, state, axis, *window)
    return state

  apart = all(stride >= (w - 1) * d + 1 for w, stride, _, d in windows)
  step = Step("group" if apart else "window", eqn.key())
  return expressions.lazily(make, x.view.after(step), eqn.shape, x.dtype)


def _largest(eqn, state, axis, length, stride, padding, dilation):
  """The maximum over windows along an axis."""
  if _tiles(length, stride, padding, dilation):
    return largest_of_blocks(state, axis, length)
  slices = _slices(state, axis, length, stride, padding, dilation)
  largest, seen = next(slices)
  for part, inside in slices:
    both = seen & inside
    larger = largest.maximum(part)
    if not both.all():
      # Where one of them is padding, the other is the maximum.
      either = _where(_along(seen, axis, state.ndim), largest, part)
      larger = _where(_along(both, axis, state.ndim), larger, either)
    largest, seen = larger, seen | inside
  if not seen.all():
    raise eqn.error("a window of nothing but padding")
  return largest


def _sum(eqn, state, axis, length, stride, padding, dilation):
  """The sum over windows along an axis."""
  if _tiles(length, stride, padding, dilation):
    return _blocks(state, axis, length).sum((axis + 1,))
  slices = _slices(state, axis, length, stride, padding, dilation)
  return functools.reduce(lambda a, b: a.add(b), (part for part, _ in slices))


def largest_of_blocks(state: State, axis: int, length: int) -> State:
  """The maximum over blocks of an axis, as in `ops.max_pool`.

  Args:
    state: with any axes.
    axis: to make shorter.
    length: of a block, at most that of the axis; a remainder is left out.

  Returns:
    The state with size // length elements along the axis.
  """
  before, after = state.shape[:axis], state.shape[axis + 1 :]
  size = state.shape[axis]
  x = state.reshape(math.prod(before), size, math.prod(after))
  x = ops.max_pool(x, (length,))
  return x.reshape(*before, size // length, *after)


def _tiles(length, stride, padding, dilation):
  """Whether windows are blocks, one after the other."""
  return (
    stride == length and padding == (0, 0) and (dilation == 1 or length == 1)
  )


def _blocks(state, axis, length):
  """The axis split in two, [..., blocks, length, ...]."""
  count = state.shape[axis] // length
  shape = list(state.shape)
  shape[axis : axis + 1] = count, length

  def split(leaf):
    return lax.slice_in_dim(leaf, 0, count * length, axis=axis).reshape(shape)

  return state.map(split)


def _slices(state, axis, length, stride, padding, dilation):
  """For each place in the windows, its elements and which are not padding."""
  low, high = padding
  size = state.shape[axis]
  extent = (length - 1) * dilation + 1
  count = (size + low + high - extent) // stride + 1
  config = [(0, 0, 0)] * state.ndim
  config[axis] = (low, high, 0)
  padded = state.map(lambda x: lax.pad(x, jnp.zeros((), x.dtype), config))
  for place in range(length):
    start = place * dilation
    part = functools.partial(
      lax.slice_in_dim,
      start_index=start,
      limit_index=start + (count - 1) * stride + 1,
      stride=stride,
      axis=axis,
    )
    where = np.arange(count) * stride + start - low
    yield padded.map(part), (where >= 0) & (where < size)


def _along(mask: np.ndarray, axis: int, ndim: int) -> np.ndarray:
  return mask.reshape([-1 if a == axis else 1 for a in range(ndim)])


def _where(mask: Any, x: State, y: State) -> State:
  return leafwise(lambda a, b: jnp.where(mask, a, b), x, y)
