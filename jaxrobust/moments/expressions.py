"""Random values while a function is interpreted: elementwise, and lazily so.

A chain of elementwise operations on the same units, as x * sigmoid(x), is one
function of them. It is put together while the operations are read, and carried
out as a whole when something that is not elementwise needs the result.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxrobust.moments import domains, ops
from jaxrobust.moments.lineage import View
from jaxrobust.moments.moments import State

Kind = Literal["leaf", "times", "plus", "cast", "relu", "function"]


class Random:
  """A random value: a state, or an elementwise function of one.

  Attributes:
    kind: "leaf" has a state; "times", "plus", "cast" and "relu" act on another
      value and a constant; "function" is anything else elementwise.
    view: the units it is made of.
    shape: of the values.
    dtype: of the values.
    root: the leaf it is a function of.
    stage: of a leaf, what it is on the way to a softmax, if anything.
    name: of a function, that of its last primitive.
    params: of a function, those of its last primitive.
  """

  def __init__(
    self,
    kind: Kind,
    operands: tuple[Any, ...] = (),
    *,
    shape: tuple[int, ...],
    dtype: Any,
    view: View | None = None,
    make: Callable[[], State] | None = None,
    apply: Callable[..., jax.Array] | None = None,
    stage: tuple[Any, ...] | None = None,
    error: Callable[[str], Exception] | None = None,
    name: str = "",
    params: dict[str, Any] | None = None,
  ):
    self.kind, self.operands = kind, operands
    self.shape, self.dtype = tuple(shape), dtype
    self.stage, self.name, self.params = stage, name, params or {}
    self._make, self._apply, self._error = make, apply, error
    self._state: State | None = None
    self._memo: dict[Any, Random] = {}
    inner = [x for x in operands if isinstance(x, Random)]
    self.root: Random = inner[0].root if inner else self
    self.view: View = self.root.view if view is None else view
    # Through `_above`, and everything above it, goes all that reaches here.
    self._above = None
    for x in inner:
      self._above = x if self._above is None else _meet(self._above, x)
    self._depth = 0 if self._above is None else self._above._depth + 1
    # The values that the rules of affine maps give from the leaf, and those
    # that the rules of affine maps and of relu give.
    affine = kind in ("times", "plus", "cast")
    self.plain: bool = kind == "leaf" or (affine and inner[0].plain)
    self.ruled: bool = kind == "leaf" or (
      (affine or kind == "relu") and inner[0].ruled
    )

  @property
  def ndim(self) -> int:
    """The number of axes."""
    return len(self.shape)

  @property
  def state(self) -> State:
    """The value carried out."""
    if self._state is None:
      self._state = self._carried_out()
    return self._state

  def once(self, key: Any, make: Callable[[], "Random"]) -> "Random":
    """What was made of this value under the key before, or is now."""
    if key not in self._memo:
      self._memo[key] = make()
    return self._memo[key]

  def _carried_out(self) -> State:
    if self.kind == "leaf":
      assert self._make is not None
      return self._make()
    first, *others = self.operands
    if self.kind == "times":
      return first.state.times(*others)
    if self.kind == "plus":
      return first.state.plus(*others)
    if self.kind == "cast":
      return first.state.astype(self.dtype)
    if self.kind == "relu" and first.ruled:
      return first.state.relu()
    if not jnp.issubdtype(self.dtype, jnp.floating):
      assert self._error is not None
      raise self._error(f"{self.dtype} values of random ones have no moments")
    base = self._above
    while base is not None and not base.plain:
      base = base._above
    assert base is not None
    if getattr(getattr(base.state, "rules", None), "relu", None) == "moment":
      self._range({base: domains.REALS})
    state = base.state.unary(lambda x: self._evaluate({base: x}))
    return state if state.dtype == self.dtype else state.astype(self.dtype)

  def _evaluate(self, known: dict["Random", jax.Array]) -> jax.Array:
    """The value as a function of the one that is known, in the known's type."""
    if self not in known:
      dtype = next(iter(known.values())).dtype
      values = [
        x._evaluate(known) if isinstance(x, Random) else _typed(x, dtype)
        for x in self.operands
      ]
      known[self] = self._function(dtype)(*values)
    return known[self]

  def _range(self, known: dict["Random", domains.Range]) -> domains.Range:
    """The values it may have; raises an error outside a function's domain."""
    if self not in known:
      ranges = [
        x._range(known) if isinstance(x, Random) else domains.of_constant(x)
        for x in self.operands
      ]
      name = {"times": "mul", "plus": "add"}.get(self.kind, self.kind)
      name = self.name if self.kind == "function" else name
      if self._error and not domains.defined(name, self.params, ranges):
        raise self._error(
          "of a random value that may be outside its domain, where the moments"
          " of a Gaussian do not exist; Rules of another relu take it to first"
          " order"
        )
      same = len(set(map(id, self.operands))) < len(ranges)
      known[self] = (
        ranges[0]
        if self.kind == "cast"
        else domains.reached(name, self.params, ranges, same)
      )
    return known[self]

  def _function(self, dtype):
    if self.kind == "function":
      assert self._apply is not None
      return self._apply
    return {
      "times": jnp.multiply,
      "plus": jnp.add,
      "cast": lambda x: x.astype(dtype),
      "relu": jax.nn.relu,
    }[self.kind]


def leaf(state: State, view: View) -> Random:
  """The value that is this state."""
  return lazily(lambda: state, view, state.shape, state.dtype)


def lazily(
  make: Callable[[], State],
  view: View,
  shape: tuple[int, ...],
  dtype: Any,
  stage: tuple[Any, ...] | None = None,
) -> Random:
  """The value that is the state that `make` makes when it is asked for."""
  return Random(
    "leaf", shape=shape, dtype=dtype, view=view, make=make, stage=stage
  )


def function(
  apply: Callable[..., jax.Array],
  *operands: Any,
  dtype: Any,
  error: Callable[[str], Exception],
  name: str = "",
  params: dict[str, Any] | None = None,
) -> Random:
  """An elementwise function of values on one leaf, and of constants.

  Args:
    apply: of arrays, in any floating type.
    *operands: arrays, and values on one leaf.
    dtype: of the result.
    error: makes the error to raise if the result has no moments.
    name: of the primitive.
    params: of the primitive.
  """
  shape = next(x.shape for x in operands if isinstance(x, Random))
  return Random(
    "function",
    operands,
    shape=shape,
    dtype=dtype,
    apply=apply,
    error=error,
    name=name,
    params=params,
  )


def times(x: Random, factor: Any) -> Random:
  """The product with a constant."""
  return Random("times", (x, factor), shape=x.shape, dtype=x.dtype)


def plus(x: Random, offset: Any) -> Random:
  """The sum with a constant."""
  return Random("plus", (x, offset), shape=x.shape, dtype=x.dtype)


def relu(x: Random) -> Random:
  """max(x, 0)."""
  return Random("relu", (x,), shape=x.shape, dtype=x.dtype)


def cast(x: Random, dtype: Any) -> Random:
  """The value in another floating type."""
  return Random("cast", (x,), shape=x.shape, dtype=dtype)


def _typed(constant, dtype):
  """A constant in the type that a function is evaluated in."""
  if jnp.issubdtype(jnp.result_type(constant), jnp.floating):
    return jnp.asarray(constant, dtype)
  return constant


def _meet(first, second):
  """The nearest value through which all that reaches both of them goes."""
  while first is not second:
    if first._depth >= second._depth:
      first = first._above
    else:
      second = second._above
  return first


def leafwise(function: Callable[..., jax.Array], *values: Any) -> State:
  """A function that moves elements, on all leaves of states and arrays alike.

  Args:
    function: of arrays with the values' axes.
    *values: states, at least one, and arrays, which have no noise.

  Returns:
    The state of the results.
  """
  like = next(x for x in values if isinstance(x, State))
  first, *others = (
    x if isinstance(x, State) else ops.constant(jnp.asarray(x), like)
    for x in values
  )
  return first.join(function, *others)


def carried(x: Any) -> Any:
  """The state of a random value; other values as they are."""
  return x.state if isinstance(x, Random) else x
