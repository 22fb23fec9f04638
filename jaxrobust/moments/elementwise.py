"""Rules of the elementwise primitives.

Functions of one and the same leaf are put together. Of values on different
leaves, sums count as those of independent values, as they do in the base, and
products and maxima of values that are made of the same units are refused.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import core, lax

from jaxrobust.moments import expressions
from jaxrobust.moments.expressions import Random
from jaxrobust.moments.lineage import Step, Units, View, overlap, statistic
from jaxrobust.moments.table import Equation, rule

_CORRELATED = (
  "of values that are made of the same units, and so are correlated: the rules"
  " are those of independent ones"
)
_STATISTIC = (
  "of a value and a mean, sum or maximum of the same units, as in a"
  " normalisation by statistics of the batch or of the layer"
)
_SHIFTED = (
  "of a value and its maximum, other than in a softmax; moments.cross_entropy_*"
  " take the logits"
)


@rule(
  *"""abs acos acosh asin asinh atan atanh cbrt ceil cos cosh digamma erf
  erf_inv erfc exp exp2 expm1 floor integer_pow is_finite lgamma log log1p
  log2 logistic not one_minus_square round rsqrt sign sin sinh sqrt square tan
  tanh
  """.split()
)
def _unary(eqn: Equation, x: Random) -> Random:
  return x.once(eqn.key(), lambda: _function(eqn, x))


@rule(*"and atan2 clamp eq ge gt le lt ne nextafter or pow rem xor".split())
def _several(eqn: Equation, *inputs: Any) -> Random:
  inputs = _expanded(eqn, inputs)
  if not _one_leaf(inputs):
    raise eqn.error("of random values that are not of the same units")
  return _function(eqn, *inputs)


@rule("add", "add_any")
def _add(eqn: Equation, x: Any, y: Any) -> Random:
  x, y = _expanded(eqn, (x, y))
  if not isinstance(x, Random):
    x, y = y, x
  if not isinstance(y, Random):
    return expressions.plus(x, y)
  if x.root is y.root:
    return _function(eqn, x, y)
  if statistic(x.view, y.view):
    raise eqn.error(_STATISTIC)
  return joined(lambda: x.state.add(y.state), x, y)


@rule("sub")
def _sub(eqn: Equation, x: Any, y: Any) -> Random:
  stage: Any = y.stage if isinstance(y, Random) else None
  shifted = bool(stage) and stage[0] == "largest" and stage[1] is x
  x, y = _expanded(eqn, (x, y))
  if not isinstance(y, Random):
    return expressions.plus(x, -y)
  if not isinstance(x, Random):
    return expressions.plus(expressions.times(y, -1.0), x)
  if x.root is y.root:
    return _function(eqn, x, y)
  wrong = statistic(x.view, y.view)
  if wrong and not shifted:
    raise eqn.error(_STATISTIC)

  def make():
    if wrong:
      raise eqn.error(_SHIFTED)
    return x.state.add(y.state.times(-1.0))

  out = joined(make, x, y)
  if shifted:
    # All of a softmax is known, and does not ask for this.
    out.stage = ("shifted", *(stage or ())[1:])
  return out


@rule("neg")
def _neg(eqn: Equation, x: Random) -> Random:
  return expressions.times(x, -1.0)


@rule("mul")
def _mul(eqn: Equation, x: Any, y: Any) -> Random:
  x, y = _expanded(eqn, (x, y))
  if not isinstance(x, Random):
    x, y = y, x
  if not isinstance(y, Random):
    return expressions.times(x, y)
  if x.root is y.root:
    return _function(eqn, x, y)
  return _independent(
    eqn, lambda: x.state.contract(jnp.multiply, y.state), x, y
  )


@rule("div")
def _div(eqn: Equation, x: Any, y: Any) -> Random:
  softmax = _softmax(x, y)
  if softmax is not None:
    return softmax
  x, y = _expanded(eqn, (x, y))
  if not isinstance(y, Random):
    return expressions.times(x, 1 / y)
  if not isinstance(x, Random) or x.root is y.root:
    return _function(eqn, x, y)
  inverse = expressions.function(
    jnp.divide, 1.0, y, dtype=y.dtype, error=eqn.error, name="div"
  )
  return _independent(
    eqn, lambda: x.state.contract(jnp.multiply, inverse.state), x, y
  )


def _softmax(x, y):
  """exp(z - max z) / sum exp(z - max z), taken for what it is."""
  stage = y.stage if isinstance(y, Random) else None
  if stage is None or stage[0] != "total" or stage[1] is not x:
    return None
  _, _, z, (axis,) = stage
  return expressions.lazily(
    lambda: z.state.softmax(axis),
    View(Units([z.view.blurred()])),
    z.shape,
    z.dtype,
  )


@rule("max")
def _max(eqn: Equation, x: Any, y: Any) -> Random:
  if not isinstance(x, Random):
    x, y = y, x
  constant = number(y)
  if constant == -np.inf:
    return x
  x, y = _expanded(eqn, (x, y))
  if constant == 0:
    return expressions.relu(x)
  if not isinstance(y, Random) or x.root is y.root:
    return _function(eqn, x, y)
  return _independent(eqn, lambda: x.state.maximum(y.state), x, y)


@rule("min")
def _min(eqn: Equation, x: Any, y: Any) -> Random:
  x, y = _expanded(eqn, (x, y))
  if _one_leaf((x, y)):
    return _function(eqn, x, y)
  return _independent(
    eqn,
    lambda: x.state.times(-1.0).maximum(y.state.times(-1.0)).times(-1.0),
    x,
    y,
  )


@rule("select_n")
def _select_n(eqn: Equation, mask: Any, *cases: Any) -> Random:
  if isinstance(mask, Random):
    mask, *rest = _expanded(eqn, (mask, *cases))
    cases = tuple(rest)
    if not _one_leaf((mask, *cases)):
      raise eqn.error("the choice depends on a random value of other units")
    if len(cases) == 2 and _is_relu(mask, *cases):
      return expressions.relu(cases[1])
    return _function(eqn, mask, *cases)
  if all(isinstance(x, Random) for x in cases) and _one_leaf(cases):
    return _function(eqn, mask, *cases)
  random = [x for x in cases if isinstance(x, Random)]

  def make():
    values = (expressions.carried(x) for x in cases)
    return expressions.leafwise(functools.partial(lax.select_n, mask), *values)

  return joined(make, *random)


def _is_relu(mask, low, high):
  """Whether it is x where x > 0, and 0 elsewhere."""
  if mask.kind != "function" or mask.name not in ("gt", "ge"):
    return False
  x, bound = mask.operands
  return x is high and number(bound) == 0 and number(low) == 0


@rule("convert_element_type")
def _convert(eqn: Equation, x: Random) -> Random:
  if not jnp.issubdtype(eqn.dtype, jnp.floating):
    return _function(eqn, x)
  if jnp.issubdtype(x.dtype, jnp.floating):
    return x if x.dtype == eqn.dtype else expressions.cast(x, eqn.dtype)
  return expressions.function(
    lambda x: x.astype(jnp.float32), x, dtype=eqn.dtype, error=eqn.error
  )


@rule("copy", "copy_p", "reduce_precision", "optimization_barrier")
def _copy(eqn: Equation, *inputs: Any) -> Any:
  return list(inputs) if eqn.several else inputs[0]


@rule("stop_gradient")
def _stop_gradient(eqn: Equation, x: Random) -> Random:
  return expressions.lazily(
    lambda: x.state.map(lax.stop_gradient), x.view, x.shape, x.dtype, x.stage
  )


def number(x: Any) -> float | None:
  """The number that all elements are known to be, if any."""
  if isinstance(x, Random | core.Tracer):
    return None
  if isinstance(x, jax.Array):
    # Others would have to come from the device.
    if x.ndim or not jnp.issubdtype(x.dtype, np.number):
      return None
    return x.item()
  x = np.asarray(x)
  known = x.size and x.dtype.kind in "fiu" and not any(x.strides)
  return x.flat[0].item() if known else None


def joined(make: Any, *inputs: Random) -> Random:
  """A leaf that is made, elementwise, of values on other leaves."""
  units = Units(x.view for x in inputs)
  return expressions.lazily(make, View(units), inputs[0].shape, inputs[0].dtype)


def _independent(eqn, make, x, y):
  """A leaf whose rule holds for independent values only."""
  if overlap(x.view, y.view):
    raise eqn.error(_CORRELATED)
  return joined(make, x, y)


def _function(eqn, *inputs):
  return expressions.function(
    eqn.bind,
    *inputs,
    dtype=eqn.dtype,
    error=eqn.error,
    name=eqn.name,
    params=eqn.params,
  )


def _one_leaf(inputs):
  """Whether the random ones are functions of one leaf."""
  return len({x.root for x in inputs if isinstance(x, Random)}) == 1


def _expanded(eqn, inputs) -> tuple[Any, ...]:
  """The inputs, with random ones in the shape of the output."""
  return tuple(
    _broadcast(x, eqn.shape)
    if isinstance(x, Random) and x.shape != eqn.shape
    else x
    for x in inputs
  )


def _broadcast(x, shape):
  """A random value along further or longer axes."""
  return x.once(
    ("broadcast", shape),
    lambda: expressions.lazily(
      lambda: x.state.map(lambda leaf: jnp.broadcast_to(leaf, shape)),
      x.view.after(Step("blur", shape)),
      shape,
      x.dtype,
    ),
  )
