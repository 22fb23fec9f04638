"""ONNX of what works element by element, reduces, or moves elements."""

import functools
from typing import Any

import numpy as np

from jaxrobust.export.errors import ExportError
from jaxrobust.export.onnx_graph import Graph, Value, dims_of, rule, type_of

_UNARY = {
  "abs": "Abs",
  "ceil": "Ceil",
  "cos": "Cos",
  "erf": "Erf",
  "exp": "Exp",
  "floor": "Floor",
  "log": "Log",
  "logistic": "Sigmoid",
  "neg": "Neg",
  "sign": "Sign",
  "sin": "Sin",
  "sqrt": "Sqrt",
  "tanh": "Tanh",
}
_BINARY = {
  "add": "Add",
  "add_any": "Add",
  "div": "Div",
  "eq": "Equal",
  "ge": "GreaterOrEqual",
  "gt": "Greater",
  "le": "LessOrEqual",
  "lt": "Less",
  # Total orders: they differ in where they put what is not a number.
  "le_to": "LessOrEqual",
  "lt_to": "Less",
  "max": "Max",
  "min": "Min",
  "mul": "Mul",
  "pow": "Pow",
  "sub": "Sub",
}
_REDUCE = {
  "reduce_max": "ReduceMax",
  "reduce_min": "ReduceMin",
  "reduce_prod": "ReduceProd",
  "reduce_sum": "ReduceSum",
}


def _plain(kind: str, graph: Graph, eqn: Any, *values: Value) -> Value:
  return graph.op(kind, *values)


for _name, _kind in {**_UNARY, **_BINARY}.items():
  rule(_name)(functools.partial(_plain, _kind))


@rule("copy", "copy_p", "stop_gradient", "optimization_barrier")
def _same(graph: Graph, eqn: Any, *values: Value) -> list[Value]:
  return list(values)


@rule("square")
def _square(graph, eqn, x):
  return graph.op("Mul", x, x)


@rule("integer_pow")
def _integer_pow(graph, eqn, x):
  power = eqn.params["y"]
  if power == 2:
    return graph.op("Mul", x, x)
  if power == -1:
    return graph.op("Reciprocal", x)
  return graph.op("Pow", x, np.asarray(power, eqn.invars[0].aval.dtype))


@rule("rsqrt")
def _rsqrt(graph, eqn, x):
  return graph.op("Reciprocal", graph.op("Sqrt", x))


@rule("erfc")
def _erfc(graph, eqn, x):
  return graph.op("Sub", np.float32(1), graph.op("Erf", x))


@rule("log1p")
def _log1p(graph, eqn, x):
  return graph.op("Log", graph.op("Add", x, np.float32(1)))


@rule("expm1")
def _expm1(graph, eqn, x):
  return graph.op("Sub", graph.op("Exp", x), np.float32(1))


@rule("round")
def _round(graph, eqn, x):
  if int(eqn.params["rounding_method"]) != 1:
    raise ExportError("onnx: round away from zero is not exported")
  return graph.op("Round", x)


@rule("is_finite")
def _is_finite(graph, eqn, x):
  odd = graph.op("Or", graph.op("IsInf", x), graph.op("IsNaN", x))
  return graph.op("Not", odd)


@rule("ne")
def _not_equal(graph, eqn, x, y):
  return graph.op("Not", graph.op("Equal", x, y))


@rule("not")
def _not(graph, eqn, x):
  return graph.op("Not" if _is_bool(eqn) else "BitwiseNot", x)


@rule("and")
def _and(graph, eqn, x, y):
  return graph.op("And" if _is_bool(eqn) else "BitwiseAnd", x, y)


@rule("or")
def _or(graph, eqn, x, y):
  return graph.op("Or" if _is_bool(eqn) else "BitwiseOr", x, y)


@rule("xor")
def _xor(graph, eqn, x, y):
  return graph.op("Xor" if _is_bool(eqn) else "BitwiseXor", x, y)


def _is_bool(eqn: Any) -> bool:
  return eqn.invars[0].aval.dtype == bool


@rule("shift_left")
def _shift_left(graph, eqn, x, y):
  # Runtimes shift what has no sign.
  words = [graph.cast(value, np.uint32) for value in (x, y)]
  shifted = graph.op("BitShift", *words, direction="LEFT")
  return graph.cast(shifted, eqn.outvars[0].aval.dtype)


@rule("bitcast_convert_type")
def _bitcast(graph, eqn, x):
  graph.opset = max(graph.opset, 26)
  return graph.op("BitCast", x, to=type_of(eqn.params["new_dtype"]))


@rule("convert_element_type")
def _convert(graph, eqn, x):
  if eqn.invars[0].aval.dtype == eqn.params["new_dtype"]:
    return x
  return graph.cast(x, eqn.params["new_dtype"])


@rule("select_n")
def _select(graph, eqn, which, no, *others):
  if len(others) != 1:
    raise ExportError("onnx: a choice among more than two is not exported")
  if not _is_bool(eqn):
    which = graph.cast(which, bool)
  return graph.where(which, others[0], no, eqn.outvars[0].aval.dtype)


@rule("clamp")
def _clamp(graph, eqn, low, x, high):
  return graph.op("Min", graph.op("Max", x, low), high)


@rule(*_REDUCE)
def _reduce(graph, eqn, x):
  axes = np.asarray(eqn.params["axes"], np.int64)
  if not axes.size:
    return x
  return graph.op(_REDUCE[eqn.primitive.name], x, axes, keepdims=0)


@rule("reduce_or", "reduce_and")
def _any_or_all(graph, eqn, x):
  axes = np.asarray(eqn.params["axes"], np.int64)
  if not axes.size:
    return x
  kind = "ReduceMax" if eqn.primitive.name == "reduce_or" else "ReduceMin"
  found = graph.op(kind, graph.cast(x, np.int32), axes, keepdims=0)
  return graph.cast(found, bool)


@rule("argmax", "argmin")
def _argmax(graph, eqn, x):
  (axis,) = eqn.params["axes"]
  kind = {"argmax": "ArgMax", "argmin": "ArgMin"}[eqn.primitive.name]
  found = graph.op(kind, x, axis=axis, keepdims=0)
  return graph.cast(found, eqn.params["index_dtype"])


@rule("sort")
def _sort(graph, eqn, *values):
  if len(values) != 1:
    raise ExportError("onnx: sorting several arrays at once is not exported")
  axis = eqn.params["dimension"]
  count = np.asarray([dims_of(eqn.invars[0])[axis]], np.int64)
  return graph.ops("TopK", 2, values[0], count, axis=axis, largest=0)[0]


@rule("broadcast_in_dim")
def _broadcast(graph, eqn, x, *_):
  source, target = dims_of(eqn.invars[0]), dims_of(eqn.outvars[0])
  places = eqn.params["broadcast_dimensions"]
  aligned: list[Any] = [1] * len(target)
  for dim, place in zip(source, places, strict=True):
    aligned[place] = dim
  if tuple(aligned) != source:
    missing = [d for d in range(len(target)) if d not in places]
    x = graph.op("Unsqueeze", x, np.asarray(missing, np.int64))
  # Of a dimension that it has already, 1 asks for no more.
  wanted = [
    1 if str(have) == str(want) else want
    for have, want in zip(aligned, target, strict=True)
  ]
  if all(isinstance(want, int) and want == 1 for want in wanted):
    return x
  return graph.op("Expand", x, graph.shape(wanted))


@rule("reshape")
def _reshape(graph, eqn, x, *_):
  return graph.reshape(x, dims_of(eqn.outvars[0]))


@rule("squeeze")
def _squeeze(graph, eqn, x):
  return graph.op("Squeeze", x, np.asarray(eqn.params["dimensions"], np.int64))


@rule("expand_dims")
def _expand_dims(graph, eqn, x):
  axes = np.asarray(eqn.params["dimensions"], np.int64)
  return graph.op("Unsqueeze", x, axes)


@rule("transpose")
def _transpose(graph, eqn, x):
  return graph.op("Transpose", x, perm=list(eqn.params["permutation"]))


@rule("concatenate")
def _concatenate(graph, eqn, *values):
  return graph.op("Concat", *values, axis=eqn.params["dimension"])


@rule("stack")
def _stack(graph, eqn, *values):
  axis = eqn.params.get("axis", eqn.params.get("dimension", 0))
  place = np.asarray([axis], np.int64)
  parts = [graph.op("Unsqueeze", value, place) for value in values]
  return graph.op("Concat", *parts, axis=axis)


@rule("split")
def _split(graph, eqn, x):
  sizes = np.asarray(eqn.params["sizes"], np.int64)
  return graph.ops("Split", len(sizes), x, sizes, axis=eqn.params["axis"])


@rule("slice")
def _slice(graph, eqn, x):
  dims = dims_of(eqn.invars[0])
  strides = eqn.params["strides"] or (1,) * len(dims)
  cuts = [
    (axis, start, end, step)
    for axis, (start, end, step, dim) in enumerate(
      zip(
        eqn.params["start_indices"],
        eqn.params["limit_indices"],
        strides,
        dims,
        strict=True,
      )
    )
    if (start, str(end), step) != (0, str(dim), 1)
  ]
  return _cut(graph, x, cuts)


@rule("rev")
def _reverse(graph, eqn, x):
  last = np.iinfo(np.int64).min
  return _cut(graph, x, [(a, -1, last, -1) for a in eqn.params["dimensions"]])


def _cut(graph: Graph, x: Value, cuts: list[tuple[Any, ...]]) -> Value:
  if not cuts:
    return x
  axes, starts, ends, steps = (
    np.asarray(column, np.int64) for column in zip(*cuts, strict=True)
  )
  return graph.op("Slice", x, starts, ends, axes, steps)


@rule("pad")
def _pad(graph, eqn, x, filling):
  config = eqn.params["padding_config"]
  if any(inner for _, _, inner in config):
    raise ExportError("onnx: padding between elements is not exported")
  widths = [max(low, 0) for low, _, _ in config]
  widths += [max(high, 0) for _, high, _ in config]
  x = graph.op("Pad", x, np.asarray(widths, np.int64), filling)
  # Negative padding cuts off.
  cuts = [
    (axis, max(-low, 0), high if high < 0 else np.iinfo(np.int64).max, 1)
    for axis, (low, high, _) in enumerate(config)
    if low < 0 or high < 0
  ]
  return _cut(graph, x, cuts)


@rule("iota")
def _iota(graph, eqn, *_):
  dims = dims_of(eqn.outvars[0])
  axis, dtype = eqn.params["dimension"], eqn.params["dtype"]
  end = graph.op("Squeeze", graph.dim(dims[axis]))
  zero, one = np.int64(0), np.int64(1)
  steps = graph.cast(graph.op("Range", zero, end, one), dtype)
  aligned = [dims[axis] if a == axis else 1 for a in range(len(dims))]
  steps = graph.reshape(steps, aligned)
  wanted = [1 if a == axis else dim for a, dim in enumerate(dims)]
  return graph.op("Expand", steps, graph.shape(wanted))
