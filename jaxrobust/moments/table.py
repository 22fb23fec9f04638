"""The table of what the primitives of a jaxpr do to random values."""

import linecache
import pathlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.extend import core

# (equation, *inputs), of which at least one is Random, to an output or, of a
# primitive with several, a list of them.
Rule = Callable[..., Any]

RULES: dict[str, Rule] = {}
REGISTERED: dict[str, Callable[..., Any]] = {}

# Frames of an error's traceback that are not the user's.
_INSIDE = (
  str(pathlib.Path(__file__).parent),
  str(pathlib.Path(jax.__file__).parent),
  "<frozen",
)
_FLAX = ("/flax/core/", "/flax/linen/", "/flax/nnx/")


class PropagationError(NotImplementedError):
  """A function does with a random value what has no rule, or no right one.

  Its message has the primitive, the reason, the line of the function, and what
  to do about it.
  """


def register_rule(
  primitive: core.Primitive | str, rule: Callable[..., Any]
) -> None:
  """Says how random values pass a primitive, in `moments.propagate`.

  It goes before a rule of ours. The result counts as made of the inputs'
  units, so products of the two are refused.

  Args:
    primitive: of `jax.extend.core`, or its name.
    rule: a function of the primitive's inputs, `State`s where they are random
      and arrays elsewhere, and of its parameters by name; returns what the
      primitive does, with `State`s where it is random.

  Example:
    >>> from jaxrobust import moments
    >>> register_rule("sort", lambda x, **params: x)  # Not a good one.
    >>> x = moments.Moments(jax.numpy.ones(2), jax.numpy.ones(2))
    >>> moments.propagate(jax.numpy.sort)(x).var
    Array([1., 1.], dtype=float32)
    >>> del REGISTERED["sort"]
  """
  REGISTERED[str(primitive)] = rule


def rule(*names: str) -> Callable[[Rule], Rule]:
  """Puts a rule into the table under these primitives."""

  def put(function: Rule) -> Rule:
    RULES.update(dict.fromkeys(names, function))
    return function

  return put


class Equation:
  """One operation of the function that is interpreted.

  Attributes:
    name: of its primitive.
    params: of its primitive.
    shape: of its first output.
    dtype: of its first output.
    several: whether the primitive has a list of outputs.
    results: of the operations before it, to take again.
  """

  def __init__(
    self,
    eqn: Any,
    interpret: Callable[..., list[Any]],
    outer: "Equation | None",
    results: dict[Any, Any],
  ):
    self._eqn, self._interpret, self._outer = eqn, interpret, outer
    self.name, self.params = str(eqn.primitive), eqn.params
    aval = eqn.outvars[0].aval if eqn.outvars else None
    self.shape: tuple[int, ...] = getattr(aval, "shape", ())
    self.dtype: Any = getattr(aval, "dtype", None)
    self.several = eqn.primitive.multiple_results
    self.results = results

  def bind(self, *inputs: Any, **changes: Any) -> Any:
    """The operation on arrays, with some parameters changed."""
    params = self._eqn.primitive.get_bind_params(self.params | changes)
    with self._eqn.ctx.manager:
      return self._eqn.primitive.bind(*inputs, **params)

  def run(self, closed: Any, inputs: Sequence[Any]) -> list[Any]:
    """The outputs of a jaxpr among the parameters, traced on its own."""
    return self._interpret(closed, inputs, self)

  def inline(self, closed: Any, inputs: Sequence[Any]) -> list[Any]:
    """The same, as a part of the function around it."""
    return self._interpret(closed, inputs, self, self.results)

  def identity(self, inputs: Sequence[Any]) -> Hashable | None:
    """Equal for what gives the same, while the inputs live; None if unknown."""
    key = (
      self.name,
      tuple(sorted(self.params.items(), key=lambda x: x[0])),
      tuple(map(_identity, inputs)),
    )
    try:
      hash(key)
    except TypeError:  # A parameter is an array or has one.
      return None
    return None if self._eqn.effects else key

  def key(self) -> str:
    """Equal for equations that do the same to the same input."""
    return f"{self.name} {sorted(self.params.items(), key=lambda x: x[0])}"

  def error(self, reason: str) -> PropagationError:
    """The error to raise for it."""
    return PropagationError(
      f"{self.name}: {reason}; at {self._line()}. moments.register_rule says"
      " how random values pass a primitive"
    )

  def _line(self) -> str:
    """The innermost line of the user's."""
    traceback = self._eqn.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
      name = frame.file_name
      if name.startswith(_INSIDE) or any(part in name for part in _FLAX):
        continue
      number = getattr(frame, "line_num", None) or frame.start_line
      text = linecache.getline(name, number).strip()
      return f"{name}:{number} ({frame.function_name})" + (
        f": `{text}`" if text else ""
      )
    return "an unknown line" if self._outer is None else self._outer._line()


def _identity(x: Any) -> Hashable:
  """The value of a number at hand, else the object."""
  if isinstance(x, Tracer) or np.ndim(x):
    return id(x)
  value = np.asarray(x)
  return type(x), value.dtype, value.tobytes()
