"""ONNX of loops, and of reading and writing at places that are computed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from jax import lax
from onnx import helper

from jaxrobust.export.errors import ExportError
from jaxrobust.export.onnx_graph import Graph, Value, dims_of, rule, type_of
from jaxrobust.moments import control


@rule("while")
def _while(graph, eqn, *values):
  split = eqn.params["cond_nconsts"]
  both = split + eqn.params["body_nconsts"]
  tests, consts, init = values[:split], values[split:both], values[both:]

  carried = eqn.params["body_jaxpr"].out_avals
  (test,) = eqn.params["cond_jaxpr"].out_avals

  def unfinished(carry: Sequence[Value]) -> Value:
    return graph.run(eqn.params["cond_jaxpr"], [*tests, *carry])[0]

  def goes_on(carry: Sequence[Value]) -> Value:
    found = unfinished(carry)
    if not test.ndim:
      return found
    # Mapped over examples it goes on until all of them are done.
    return graph.cast(
      graph.op("ReduceMax", graph.cast(found, np.int32), keepdims=0), bool
    )

  def step(_, carry):
    stepped = graph.run(eqn.params["body_jaxpr"], [*consts, *carry])
    if test.ndim:
      # What is done stays as it is.
      open_ = unfinished(carry)
      stepped = [
        graph.where(
          _aligned(graph, open_, test.ndim, aval.ndim), new, old, aval.dtype
        )
        for new, old, aval in zip(stepped, carry, carried, strict=True)
      ]
    return stepped, [], goes_on(stepped)

  return _loop(graph, "", goes_on(init), init, carried, step)


def _aligned(graph: Graph, each: Value, own: int, rank: int) -> Value:
  """Values of `own` leading axes, in as many axes as asked for."""
  axes = np.arange(own, rank, dtype=np.int64)
  return graph.op("Unsqueeze", each, axes) if axes.size else each


@rule("scan")
def _scan(graph, eqn, *values):
  split, both = control.scan_counts(eqn.params)
  consts, init, sequences = values[:split], values[split:both], values[both:]
  length, reverse = eqn.params["length"], eqn.params["reverse"]
  body = eqn.params["jaxpr"]

  def step(number, carry):
    place = number
    if reverse:
      place = graph.op("Sub", np.int64(length - 1), number)
    items = [graph.op("Gather", x, place, axis=0) for x in sequences]
    found = graph.run(body, [*consts, *carry, *items])
    count = len(init)
    # A scan output is a tensor of the body, not one from around it.
    stacked = [graph.op("Identity", y) for y in found[count:]]
    return found[:count], stacked, np.asarray(True)

  carried = body.out_avals[: len(init)]
  found = _loop(graph, np.int64(length), np.asarray(True), init, carried, step)
  if reverse:
    stacked = [
      graph.op(
        "Slice",
        y,
        np.asarray([-1], np.int64),
        np.asarray([np.iinfo(np.int64).min]),
        np.asarray([0], np.int64),
        np.asarray([-1], np.int64),
      )
      for y in found[len(init) :]
    ]
    found = [*found[: len(init)], *stacked]
  return found


def _loop(
  graph: Graph,
  length: Value,
  condition: Value,
  init: Sequence[Value],
  carried: Sequence[Any],
  step: Any,
) -> list[str]:
  """A Loop: (number, carry) -> (carry, stacked, condition), step by step."""
  number, unused = graph.new_name("number"), graph.new_name("condition")
  names = [graph.new_name("carry") for _ in init]
  with graph.body() as nodes:
    carry, stacked, goes_on = step(number, names)
    # An output must be a tensor of the body itself, and each its own.
    outs = [graph.op("Identity", x) for x in (goes_on, *carry, *stacked)]
  infos = [
    helper.make_tensor_value_info(number, onnx.TensorProto.INT64, []),
    helper.make_tensor_value_info(unused, onnx.TensorProto.BOOL, []),
    *(
      helper.make_tensor_value_info(name, type_of(aval.dtype), None)
      for name, aval in zip(names, carried, strict=True)
    ),
  ]
  results = [onnx.ValueInfoProto(name=name) for name in outs]
  body = helper.make_graph(nodes, graph.new_name("body"), infos, results)
  return graph.ops(
    "Loop", len(carry) + len(stacked), length, condition, *init, body=body
  )


@rule("platform_index")
def _platform(graph, eqn):
  # The last is the default, of any platform.
  return np.int32(len(eqn.params["platforms"]) - 1)


@rule("cond")
def _cond(graph, eqn, index, *values):
  if isinstance(index, str):
    raise ExportError("onnx: a choice between programs is not exported")
  branches = eqn.params["branches"]
  place = int(np.clip(int(index), 0, len(branches) - 1))
  return graph.run(branches[place], values)


@rule("gather")
def _gather(graph, eqn, x, places):
  numbers = eqn.params["dimension_numbers"]
  sizes = eqn.params["slice_sizes"]
  dims = dims_of(eqn.invars[0])
  axis = _one_axis(numbers.start_index_map, "gather")
  collapsed = set(numbers.collapsed_slice_dims)
  batched = tuple(numbers.operand_batching_dims)
  index_dims = dims_of(eqn.invars[1])[:-1]
  places = graph.op("Squeeze", places, np.asarray([-1], np.int64))
  places, inside = _bounded(graph, eqn, places, dims[axis])
  places = graph.cast(places, np.int64)
  if batched:
    rank = len(batched)
    plain = (
      collapsed == {axis}
      and batched == tuple(range(rank))
      and tuple(numbers.start_indices_batching_dims) == batched
      and axis == rank == len(dims) - 1
    )
    if not plain:
      raise ExportError("onnx: this gather is not exported")
    # [b, P] and [b, ...]: one axis of places, and back.
    flat = graph.reshape(places, [*index_dims[:rank], _size(index_dims[rank:])])
    found = graph.op("GatherElements", x, flat, axis=axis)
    found = graph.reshape(found, dims_of(eqn.outvars[0]))
  else:
    whole = all(
      size == (1 if d == axis else dim)
      for d, (size, dim) in enumerate(zip(sizes, dims, strict=True))
      if isinstance(dim, int)
    )
    count, given = len(index_dims), list(map(int, numbers.offset_dims))
    kept = None if collapsed else given.pop(axis)
    given = [g - (kept is not None and g > kept) for g in given]
    offsets = [*range(axis), *range(axis + count, count + len(dims) - 1)]
    if not whole or collapsed - {axis} or given != offsets:
      raise ExportError("onnx: this gather is not exported")
    found = graph.op("Gather", x, places, axis=axis)
    if kept is not None:
      found = graph.op("Unsqueeze", found, np.asarray([kept], np.int64))
  if inside is None:
    return found
  if len(dims) != len(batched) + 1 or not collapsed:
    raise ExportError("onnx: a gather with filled rows is not exported")
  filling = eqn.params["fill_value"]
  dtype = eqn.outvars[0].aval.dtype
  if filling is None:
    filling = _filling(dtype)
  return graph.op("Where", inside, found, np.asarray(filling, dtype))


def _filling(dtype: np.dtype) -> Any:
  """What JAX fills with where nothing else is said."""
  if dtype.kind == "f":
    return np.nan
  if dtype.kind == "b":
    return True
  return np.iinfo(dtype).max if dtype.kind == "u" else np.iinfo(dtype).min


def _bounded(
  graph: Graph, eqn: Any, places: Value, count: Any
) -> tuple[Value, Value | None]:
  """Places within bounds, and which were; None if all are."""
  mode = eqn.params["mode"]
  if not isinstance(count, int):
    raise ExportError("onnx: a gather of examples is not exported")
  dtype = eqn.invars[1].aval.dtype
  last, zero = np.asarray(count - 1, dtype), np.asarray(0, dtype)
  bounded = graph.op("Min", graph.op("Max", places, zero), last)
  # What is promised to lie within bounds is clamped by XLA, and so here.
  clamped = (
    lax.GatherScatterMode.CLIP,
    lax.GatherScatterMode.PROMISE_IN_BOUNDS,
  )
  if mode in clamped:
    return bounded, None
  return bounded, graph.op("Equal", bounded, places)


_SCATTER = {
  "scatter-add": "add",
  "scatter_add": "add",
  "scatter-min": "min",
  "scatter_min": "min",
  "scatter-max": "max",
  "scatter_max": "max",
}


@rule(*_SCATTER)
def _scatter(graph, eqn, x, places, updates):
  numbers = eqn.params["dimension_numbers"]
  dims = dims_of(eqn.invars[0])
  axis = _one_axis(numbers.scatter_dims_to_operand_dims, "scatter")
  batched = tuple(numbers.operand_batching_dims)
  rank = len(batched)
  plain = (
    tuple(numbers.inserted_window_dims) == (axis,)
    and not numbers.update_window_dims
    and batched == tuple(range(rank))
    and tuple(numbers.scatter_indices_batching_dims) == batched
    and axis == rank == len(dims) - 1
    and eqn.params["mode"] == lax.GatherScatterMode.PROMISE_IN_BOUNDS
  )
  if not plain:
    raise ExportError("onnx: this scatter is not exported")
  index_dims = dims_of(eqn.invars[1])[:-1]
  flat = [*index_dims[:rank], _size(index_dims[rank:])]
  places = graph.op("Squeeze", places, np.asarray([-1], np.int64))
  return graph.op(
    "ScatterElements",
    x,
    graph.reshape(places, flat),
    graph.reshape(updates, flat),
    axis=axis,
    reduction=_SCATTER[eqn.primitive.name],
  )


def _one_axis(axes: Sequence[Any], what: str) -> int:
  if len(axes) != 1:
    raise ExportError(f"onnx: a {what} at several axes is not exported")
  return int(axes[0])


def _size(dims: Sequence[Any]) -> int:
  return int(np.prod([int(d) for d in dims]))
