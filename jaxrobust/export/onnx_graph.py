"""A graph of ONNX under construction, and the walk over a jaxpr that fills it.

Each equation of the jaxpr becomes nodes by the rule of its primitive. What does
not depend on the inputs is computed by JAX, now, and becomes a constant. The
one symbolic dimension is the number of examples, `b`.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend import core
from onnx import helper, numpy_helper

from jaxrobust.export.errors import ExportError

# The name of a tensor of the graph, or a constant.
Value = Any
Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
# Calls of a function that is not looked at but for what it computes.
_CALLS = {
  "jit": "jaxpr",
  "pjit": "jaxpr",
  "closed_call": "call_jaxpr",
  "core_call": "call_jaxpr",
  "custom_jvp_call": "call_jaxpr",
  "custom_vjp_call": "call_jaxpr",
  "remat2": "jaxpr",
  "checkpoint": "jaxpr",
}
# A constant larger than this is not spread out when the graph is made.
_SPREAD = 2**16
_MULTIPLE = re.compile(r"(?:(\d+)\*)?b$")


def rule(*names: str) -> Callable[[Rule], Rule]:
  """Registers the rule of some primitives: (graph, eqn, *values) -> values."""

  def register(function: Rule) -> Rule:
    RULES.update(dict.fromkeys(names, function))
    return function

  return register


def is_known(value: Value) -> bool:
  """Whether it is a constant."""
  return not isinstance(value, str)


class Graph:
  """Nodes and constants; loops have nodes of their own.

  Attributes:
    opset: The version of the operators that the nodes need.
  """

  def __init__(self):
    self.opset = 21
    self._nodes: list[onnx.NodeProto] = []
    self._constants: dict[Any, onnx.TensorProto] = {}
    self._count = 0
    self._batch: str | None = None

  def new_name(self, hint: str) -> str:
    """A name that no other tensor has."""
    self._count += 1
    return f"{hint}_{self._count}"

  def op(self, kind: str, *inputs: Value, **attributes: Any) -> str:
    """Adds a node of one output, and returns its name."""
    return self.ops(kind, 1, *inputs, **attributes)[0]

  def ops(
    self, kind: str, count: int, *inputs: Value, **attributes: Any
  ) -> list[str]:
    """Adds a node of several outputs, and returns their names."""
    names = [self.new_name(kind.lower()) for _ in range(count)]
    self._nodes.append(
      helper.make_node(
        kind, [self.name(x) for x in inputs], names, **attributes
      )
    )
    return names

  def name(self, value: Value) -> str:
    """The name of a value; a constant gets one."""
    if isinstance(value, str):
      return value
    array = np.asarray(value)
    type_of(array.dtype)
    key = (array.dtype.str, array.shape, array.tobytes())
    if key not in self._constants:
      name = self.new_name("constant")
      self._constants[key] = numpy_helper.from_array(
        np.ascontiguousarray(array).reshape(array.shape), name
      )
    return self._constants[key].name

  def shape(self, dims: Sequence[Any], infer: bool = False) -> Value:
    """A shape as a tensor: a constant unless it has the number of examples.

    Args:
      dims: Numbers, and multiples of `b`.
      infer: Whether one dimension may be left open, as in a Reshape.
    """
    symbolic = [d for d in dims if not isinstance(d, int)]
    if not symbolic:
      return np.asarray(dims, np.int64)
    if infer and len(symbolic) == 1:
      return np.asarray([d if isinstance(d, int) else -1 for d in dims])
    return self.op("Concat", *(self.dim(d) for d in dims), axis=0)

  def dim(self, dim: Any) -> Value:
    """A dimension as a tensor int64 [1]."""
    if isinstance(dim, int):
      return np.asarray([dim], np.int64)
    match = _MULTIPLE.match(str(dim))
    if match is None or self._batch is None:
      raise ExportError(f"onnx: a dimension of {dim} is not exported")
    factor = int(match[1] or 1)
    if factor == 1:
      return self._batch
    return self.op("Mul", self._batch, np.asarray([factor], np.int64))

  def reshape(self, value: Value, dims: Sequence[Any]) -> Value:
    """A value in another shape."""
    return self.op("Reshape", value, self.shape(dims, infer=True))

  def cast(self, value: Value, dtype: Any) -> str:
    """A value as another type."""
    return self.op("Cast", value, to=type_of(dtype))

  def where(self, which: Value, new: Value, old: Value, dtype: Any) -> str:
    """`new` where it says so, `old` elsewhere."""
    if np.dtype(dtype) != bool:
      return self.op("Where", which, new, old)
    # Runtimes choose between numbers only.
    return self.op(
      "Or",
      self.op("And", which, new),
      self.op("And", self.op("Not", which), old),
    )

  @contextlib.contextmanager
  def body(self) -> Iterator[list[onnx.NodeProto]]:
    """Collects the nodes that are added meanwhile, those of a loop's body."""
    outer, self._nodes = self._nodes, []
    try:
      yield self._nodes
    finally:
      self._nodes = outer

  def add_node(self, node: onnx.NodeProto) -> None:
    """Adds a node as it is."""
    self._nodes.append(node)

  def run(self, closed: Any, values: Sequence[Value]) -> list[Value]:
    """Adds the nodes of a closed jaxpr.

    Args:
      closed: The jaxpr.
      values: Its inputs.

    Returns:
      Its outputs.

    Raises:
      ExportError: Naming the first primitive that has no rule.
    """
    jaxpr = getattr(closed, "jaxpr", closed)
    known = dict(
      zip(jaxpr.constvars, getattr(closed, "consts", ()), strict=True)
    )
    known.update(zip(jaxpr.invars, values, strict=True))

    def read(atom: Any) -> Value:
      if isinstance(atom, core.Literal):
        aval: Any = atom.aval
        return np.asarray(atom.val, aval.dtype)
      return known[atom]

    for eqn in _needed(jaxpr):
      found = self._step(eqn, [read(atom) for atom in eqn.invars])
      known.update(zip(eqn.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]

  def _step(self, eqn: Any, values: list[Value]) -> Sequence[Value]:
    name = eqn.primitive.name
    if name in _CALLS:
      return self.run(eqn.params[_CALLS[name]], values)
    if all(map(is_known, values)) and _is_static(eqn):
      found = eqn.primitive.bind(*values, **eqn.params)
      return found if eqn.primitive.multiple_results else [found]
    if name not in RULES:
      raise ExportError(
        f"onnx: {name!r} is not exported; take --format=stablehlo"
      )
    found = RULES[name](self, eqn, *values)
    return found if isinstance(found, list) else [found]

  def model(
    self,
    function: Callable[[jax.Array], jax.Array],
    shape: tuple[int, ...],
    inputs: str,
    outputs: str,
  ) -> onnx.ModelProto:
    """The model of a function.

    Args:
      function: float32 inputs [N, ...] -> float32 outputs [N, K].
      shape: The shape of one example.
      inputs: The name of the inputs.
      outputs: The name of the outputs.

    Returns:
      The model, with the inputs' first dimension open.
    """
    (batch,) = jax.export.symbolic_shape("b")
    example = jax.ShapeDtypeStruct((batch, *shape), np.float32)
    closed = jax.make_jaxpr(function)(example)
    self._batch = self.op("Shape", inputs, start=0, end=1)
    (found,) = self.run(closed, [inputs])
    (aval,) = closed.out_avals
    self._nodes.append(
      helper.make_node("Identity", [self.name(found)], [outputs])
    )
    numbers = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
      self._nodes,
      "jaxrobust",
      [helper.make_tensor_value_info(inputs, numbers, ["batch", *shape])],
      [
        helper.make_tensor_value_info(
          outputs, numbers, ["batch", *aval.shape[1:]]
        )
      ],
      list(self._constants.values()),
    )
    model = helper.make_model(
      graph,
      opset_imports=[helper.make_opsetid("", self.opset)],
      producer_name="jaxrobust",
    )
    # The oldest that has these operators, for runtimes that are not the newest.
    model.ir_version = helper.find_min_ir_version_for(model.opset_import)
    return model


def type_of(dtype: Any) -> int:
  """The type in ONNX of a dtype of numpy.

  Raises:
    ExportError: For bfloat16, which runtimes do not compute with, and others.
  """
  name = np.dtype(dtype).name
  if name not in ("float32", "int32", "int64", "uint32", "uint8", "bool"):
    raise ExportError(f"onnx: {name} is not exported; take --format=stablehlo")
  return helper.np_dtype_to_tensor_dtype(np.dtype(name))


def dims_of(atom: Any) -> tuple[Any, ...]:
  """The shape of an equation's input or output: ints, and multiples of `b`."""
  return tuple(
    int(dim) if isinstance(dim, np.integer) else dim for dim in atom.aval.shape
  )


def _is_static(eqn: Any) -> bool:
  """Whether an equation of constants is to be a constant."""
  if eqn.primitive.name == "platform_index":
    return False
  for out in eqn.outvars:
    if any(not isinstance(d, int) for d in out.aval.shape):
      return False
  if eqn.primitive.name == "broadcast_in_dim":
    return int(np.prod(eqn.outvars[0].aval.shape)) <= _SPREAD
  return True


def _needed(jaxpr: Any) -> list[Any]:
  """The equations on which an output depends."""
  wanted = {v for v in jaxpr.outvars if not isinstance(v, core.Literal)}
  kept = []
  for eqn in reversed(jaxpr.eqns):
    if wanted.isdisjoint(eqn.outvars):
      continue
    kept.append(eqn)
    wanted.update(v for v in eqn.invars if not isinstance(v, core.Literal))
  return kept[::-1]
