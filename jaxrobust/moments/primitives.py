"""Rules of primitives that move, sum or mix elements."""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrobust.moments import expressions
from jaxrobust.moments.expressions import Random
from jaxrobust.moments.joint import Joint
from jaxrobust.moments.lineage import Step, Units, View
from jaxrobust.moments.moments import State
from jaxrobust.moments.table import Equation, rule
from jaxrobust.moments.windows import largest_of_blocks

# Axes of at most this length are reduced one element after the other, as by
# ops.max_pool, longer ones by halves.
_SHORT = 16


@rule(
  *"""expand_dims layout_constraint name pcast pvary reshape reshard rev
  sharding_constraint squeeze transpose""".split()
)
def _move(eqn: Equation, x: Random) -> Random:
  return _mapped(eqn, x, eqn.bind, Step("move", eqn.key()))


@rule("slice")
def _slice(eqn: Equation, x: Random) -> Random:
  starts, limits = eqn.params["start_indices"], eqn.params["limit_indices"]
  strides = eqn.params["strides"] or (1,) * x.ndim
  key = tuple(tuple(map(int, part)) for part in (starts, limits, strides))
  return _mapped(eqn, x, eqn.bind, Step("slice", key))


@rule("split", "unstack")
def _split(eqn: Equation, x: Random) -> list[Random]:
  axis, start, parts = eqn.params["axis"], 0, []
  stacked = eqn.name == "unstack"
  sizes = (1,) * x.shape[axis] if stacked else map(int, eqn.params["sizes"])
  for size in sizes:
    starts, limits = [0] * x.ndim, list(x.shape)
    starts[axis], limits[axis] = start, start + size
    bounds = tuple(starts), tuple(limits), (1,) * x.ndim

    def take(leaf, bounds=bounds):
      part = lax.slice(leaf, *bounds)
      return part.squeeze(axis) if stacked else part

    parts.append(_mapped(eqn, x, take, Step("slice", bounds), bounds))
    start += size
  return parts


@rule("tile")
def _tile(eqn: Equation, x: Random) -> Random:
  return _mapped(eqn, x, eqn.bind, Step("blur", eqn.key()))


@rule("broadcast_in_dim")
def _broadcast_in_dim(eqn: Equation, x: Random, *sizes: Any) -> Random:
  copies = functools.reduce(operator.mul, eqn.shape, 1) != functools.reduce(
    operator.mul, x.shape, 1
  )
  step = Step("blur" if copies else "move", eqn.key())
  out = _mapped(eqn, x, lambda leaf: eqn.bind(leaf, *sizes), step)
  if x.stage is not None and not copies:
    # Axes that were reduced come back with length 1.
    z, axes = x.stage[2:]
    kept = tuple(1 if a in axes else n for a, n in enumerate(z.shape))
    if eqn.shape == kept:
      out.stage = x.stage
  return out


@rule("dynamic_slice", "gather")
def _take(eqn: Equation, x: Any, *indices: Any) -> Random:
  if any(isinstance(i, Random) for i in indices):
    raise eqn.error("the index is random")
  kind = "blur" if eqn.name == "gather" else "move"
  view = x.view.after(Step(kind, object()))
  return expressions.lazily(
    lambda: x.state.map(lambda leaf: eqn.bind(leaf, *indices)),
    view,
    eqn.shape,
    x.dtype,
  )


@rule("concatenate", "dynamic_update_slice", "stack")
def _together(eqn: Equation, *inputs: Any) -> Random:
  values, indices = inputs, ()
  if eqn.name == "dynamic_update_slice":
    values, indices = inputs[:2], inputs[2:]
  if any(isinstance(i, Random) for i in indices):
    raise eqn.error("the index is random")
  return expressions.lazily(
    lambda: expressions.leafwise(
      lambda *leaves: eqn.bind(*leaves, *indices),
      *map(expressions.carried, values),
    ),
    _made_of(values),
    eqn.shape,
    eqn.dtype,
  )


@rule("pad")
def _pad(eqn: Equation, x: Any, value: Any) -> Random:
  if isinstance(value, Random):
    raise eqn.error("the padding is random")

  def make():
    padded = x.state.map(lambda leaf: eqn.bind(leaf, jnp.zeros((), leaf.dtype)))
    return padded.at(eqn.bind(x.state.loc, value))

  view = x.view.after(Step("move", eqn.key()))
  return expressions.lazily(make, view, eqn.shape, x.dtype)


@rule("reduce_sum")
def _reduce_sum(eqn: Equation, x: Random) -> Random:
  axes = _axes(eqn)
  stage = None
  if x.name == "exp" and len(axes) == 1:
    # exp(z - max z) or exp z: perhaps to divide by, for a softmax.
    (z,) = x.operands
    if z.stage is not None and z.stage[0] == "shifted":
      z = z.stage[2] if z.stage[3] == axes else z
    stage = ("total", x, z, axes)
  return expressions.lazily(
    lambda: x.state.sum(axes),
    x.view.after(Step("group", eqn.key())),
    eqn.shape,
    x.dtype,
    stage,
  )


@rule("reduce_max", "reduce_min")
def _reduce_max(eqn: Equation, x: Random) -> Random:
  axes, least = _axes(eqn), eqn.name == "reduce_min"

  def make():
    state = x.state.times(-1.0) if least else x.state
    for axis in axes:
      state = _largest(state, axis)
    state = state.map(lambda leaf: leaf.reshape(eqn.shape))
    return state.times(-1.0) if least else state

  return expressions.lazily(
    make,
    x.view.after(Step("group", eqn.key())),
    eqn.shape,
    x.dtype,
    None if least else ("largest", x, x, axes),
  )


def _largest(state: State, axis: int) -> State:
  """The maximum over an axis, which stays with length 1."""

  def part(start, limit):
    return state.map(lambda x: lax.slice_in_dim(x, start, limit, axis=axis))

  length = state.shape[axis]
  if length <= _SHORT:
    return largest_of_blocks(state, axis, length)
  half = length // 2
  both = part(0, half).maximum(part(half, 2 * half))
  if length % 2 == 0:
    return _largest(both, axis)
  return _largest(both, axis).maximum(part(length - 1, length))


@rule("cumsum")
def _cumsum(eqn: Equation, x: Random) -> Random:
  def make():
    _refuse_covariance(x.state)
    # A linear map whose kernel is made of ones.
    one = jnp.ones((), jnp.float32)
    return x.state.affine(
      eqn.bind(x.state.loc), one, lambda one, y: one * eqn.bind(y)
    )

  return expressions.lazily(
    make, x.view.after(Step("window", object())), eqn.shape, x.dtype
  )


@rule("dot_general", "conv_general_dilated")
def _contract(eqn: Equation, x: Any, y: Any) -> Random:
  def exact(x, y):
    return eqn.bind(
      x,
      y,
      precision=lax.Precision.HIGHEST,
      preferred_element_type=jnp.float32,
    )

  if isinstance(x, Random) and isinstance(y, Random):
    if x.view.units.sources & y.view.units.sources:
      raise eqn.error(
        "of two values that depend on the same input, as queries and keys of"
        " the same tokens: the rules are those of independent ones"
      )
    state = x.state.contract(exact, y.state)
    units = x.view.units.mixed(y.view.units)
  else:
    state = _affine(eqn, exact, expressions.carried(x), expressions.carried(y))
    units = (x if isinstance(x, Random) else y).view.units.mixed()
  return expressions.leaf(state, View(units))


def _affine(eqn, exact, x, y):
  """The product of a state and a kernel, on either side of it."""
  if isinstance(y, State):
    _refuse_covariance(y)
    return y.affine(eqn.bind(x, y.loc), x, exact)
  dense = ((1,), (0,)), ((1,), (1,))
  contracted, batched = (
    eqn.params["dimension_numbers"] if eqn.name == "dot_general" else (0, 0)
  )
  if contracted not in dense or batched != ((), ()):
    _refuse_covariance(x)
  return x.affine(eqn.bind(x.loc, y), y, lambda kernel, x: exact(x, kernel))


def _refuse_covariance(state):
  """Raises the error of a covariance that is not in a dense layer."""
  if isinstance(state, Joint):
    state.map(lambda leaf: leaf)


def _axes(eqn):
  return tuple(map(int, eqn.params["axes"]))


def _mapped(eqn, x, function, step, key=None):
  """A leaf of the elements that a function takes, the same one each time."""
  shape = jax.eval_shape(function, jax.ShapeDtypeStruct(x.shape, x.dtype)).shape
  return x.once(
    (eqn.key(), key),
    lambda: expressions.lazily(
      lambda: x.state.map(function), x.view.after(step), shape, x.dtype
    ),
  )


def _made_of(values):
  """Units that are somehow made of those of several values."""
  random = [x for x in values if isinstance(x, Random)]
  return View(Units(x.view.blurred(object()) for x in random))
