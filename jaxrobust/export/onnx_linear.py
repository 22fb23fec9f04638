"""ONNX of matrix products and convolutions."""

import string

import numpy as np

from jaxrobust.export.errors import ExportError
from jaxrobust.export.onnx_graph import dims_of, is_known, rule


@rule("dot_general")
def _dot(graph, eqn, left, right):
  (sum_left, sum_right), (each_left, each_right) = eqn.params[
    "dimension_numbers"
  ]
  ranks = [len(dims_of(atom)) for atom in eqn.invars]
  one_matrix = not each_left and ranks[1] == 2 and len(sum_left) == 1
  if one_matrix and tuple(sum_left) == (ranks[0] - 1,) and ranks[0] > 1:
    if tuple(sum_right) == (1,):
      if is_known(right):
        right = np.ascontiguousarray(np.asarray(right).T)
      else:
        right = graph.op("Transpose", right, perm=[1, 0])
    return graph.op("MatMul", left, right)
  letters = iter(string.ascii_letters)
  names_left = [next(letters) for _ in range(ranks[0])]
  names_right = [next(letters) for _ in range(ranks[1])]
  for mine, other in ((each_left, each_right), (sum_left, sum_right)):
    for a, b in zip(mine, other, strict=True):
      names_right[b] = names_left[a]
  out = [names_left[a] for a in each_left]
  for names, used in (
    (names_left, {*each_left, *sum_left}),
    (names_right, {*each_right, *sum_right}),
  ):
    out += [name for axis, name in enumerate(names) if axis not in used]
  equation = f"{''.join(names_left)},{''.join(names_right)}->{''.join(out)}"
  return graph.op("Einsum", left, right, equation=equation)


@rule("conv_general_dilated")
def _conv(graph, eqn, x, kernel):
  params = eqn.params
  if any(d != 1 for d in params["lhs_dilation"]):
    raise ExportError("onnx: a transposed convolution is not exported")
  if params["batch_group_count"] != 1:
    raise ExportError("onnx: a convolution of grouped examples is not exported")
  padding = params["padding"]
  if any(width < 0 for widths in padding for width in widths):
    raise ExportError("onnx: a convolution that cuts off is not exported")
  numbers = params["dimension_numbers"]
  if is_known(kernel):
    kernel = np.asarray(kernel).transpose(numbers.rhs_spec)
  else:
    kernel = graph.op("Transpose", kernel, perm=list(numbers.rhs_spec))
  found = graph.op(
    "Conv",
    graph.op("Transpose", x, perm=list(numbers.lhs_spec)),
    kernel,
    dilations=list(params["rhs_dilation"]),
    group=params["feature_group_count"],
    pads=[low for low, _ in padding] + [high for _, high in padding],
    strides=list(params["window_strides"]),
  )
  back = np.argsort(numbers.out_spec).tolist()
  return graph.op("Transpose", found, perm=back)


@rule("reduce_window_max")
def _max_pool(graph, eqn, x):
  """Pooling of images or series with the channels last."""
  params = eqn.params
  window, strides = params["window_dimensions"], params["window_strides"]
  padding = params["padding"]
  rank = len(window)
  dilated = {*params["base_dilation"], *params["window_dilation"]} != {1}
  whole = window[0] == window[-1] == strides[0] == strides[-1] == 1
  whole = whole and all(tuple(padding[a]) == (0, 0) for a in (0, -1))
  if dilated or not whole or rank not in (3, 4, 5):
    raise ExportError("onnx: this pooling is not exported")
  inner = range(1, rank - 1)
  forth = [0, rank - 1, *inner]
  found = graph.op(
    "MaxPool",
    graph.op("Transpose", x, perm=forth),
    kernel_shape=[window[a] for a in inner],
    pads=[padding[a][0] for a in inner] + [padding[a][1] for a in inner],
    strides=[strides[a] for a in inner],
  )
  return graph.op("Transpose", found, perm=np.argsort(forth).tolist())
