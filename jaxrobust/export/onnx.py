"""ONNX: the whole function as a graph that any runtime of ONNX can run.

The function is traced to a jaxpr, whose primitives are written as operators of
ONNX, loops of the smoother included. What has no operator is refused by name.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxrobust.data import DataError
from jaxrobust.export.errors import ExportError
from jaxrobust.export.function import LogitsFn, example_by_example

INPUTS, OUTPUTS = "inputs", "logits"
_INSTALL = "is not installed: pip install 'jaxrobust[onnx]'"


def to_onnx(
  function: LogitsFn, shape: tuple[int, ...], about: Mapping[str, Any]
) -> bytes:
  """Writes a function with what it closes over, for any batch size.

  Args:
    function: float32 inputs [N, ...] -> logits [N, K], example by example.
    shape: The shape of one example.
    about: What is kept with it, as JSON can hold it.

  Returns:
    The bytes of the model: `inputs` ["batch", ...] to `logits` ["batch", K],
    with the metadata `jaxrobust`, the JSON of `about`.

  Raises:
    ExportError: If something in the function has no operator, or `onnx` is not
      installed.

  Example:
    >>> payload = to_onnx(lambda x: 2 * x, (3,), {"made": "here"})
    >>> double, about = from_onnx(payload)
    >>> double(np.ones((2, 3), np.float32)).tolist(), about
    ([[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]], {'made': 'here'})
  """
  try:
    import onnx
  except ImportError as error:
    raise ExportError(f"onnx {_INSTALL}") from error
  # Each file of rules enters its own into the table.
  from jaxrobust.export import onnx_graph, onnx_linear, onnx_loops, onnx_rules

  del onnx_linear, onnx_loops, onnx_rules
  graph = onnx_graph.Graph()
  model = graph.model(example_by_example(function), shape, INPUTS, OUTPUTS)
  onnx.helper.set_model_props(model, {"jaxrobust": json.dumps(about)})
  try:
    return model.SerializeToString()
  except ValueError as error:
    raise ExportError(
      "onnx: the model is larger than the 2 GB that one file may have; take "
      "--format=stablehlo"
    ) from error


def from_onnx(
  payload: bytes,
) -> tuple[Callable[[np.ndarray], np.ndarray], dict[str, Any]]:
  """The function of a model that `to_onnx` wrote, run by ONNX Runtime.

  Args:
    payload: The bytes.

  Returns:
    float32 inputs [N, ...] -> logits [N, K], and `about`.

  Raises:
    DataError: If the bytes are no such model.
    ImportError: If ONNX Runtime is not installed.
  """
  try:
    import onnxruntime
  except ImportError as error:
    raise ImportError(f"onnxruntime {_INSTALL}") from error
  options = onnxruntime.SessionOptions()
  options.log_severity_level = 3
  try:
    session = onnxruntime.InferenceSession(
      payload, options, providers=onnxruntime.get_available_providers()
    )
    about = json.loads(session.get_modelmeta().custom_metadata_map["jaxrobust"])
  except Exception as error:
    # The runtime raises a type for each of its failures.
    reason = " ".join(str(error).split())
    raise DataError(f"no ONNX model of jaxrobust ({reason[:200]})") from error

  def function(inputs: np.ndarray) -> np.ndarray:
    (found,) = session.run([OUTPUTS], {INPUTS: inputs})
    return np.asarray(found)

  return function, about
