"""safetensors: parameters by name, and the config that rebuilds the rest."""

import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from jaxrobust.data import DataError
from jaxrobust.export.function import LogitsFn, logits_function
from jaxrobust.training.config import from_saved


def to_safetensors(
  variables: Mapping[str, Any], about: Mapping[str, Any]
) -> bytes:
  """Serialises the variables under names joined by slashes.

  Args:
    variables: `params` and `batch_stats`, nested dictionaries of arrays.
    about: What is kept with them, as JSON can hold it.

  Returns:
    The bytes of the file: tensors `params/...` and `batch_stats/...`, and the
    metadata `jaxrobust`, the JSON of `about`.

  Example:
    >>> payload = to_safetensors({"params": {"head": {"bias": np.ones(2)}}}, {})
    >>> tensors, about = from_safetensors(payload)
    >>> tensors["params"]["head"]["bias"].tolist(), about
    ([1.0, 1.0], {})
  """
  from safetensors import numpy as library

  flat = traverse_util.flatten_dict(dict(variables), sep="/")
  tensors = {
    name: np.ascontiguousarray(np.asarray(leaf)) for name, leaf in flat.items()
  }
  return library.save(tensors, {"jaxrobust": json.dumps(about, default=list)})


def from_safetensors(payload: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
  """The variables and what is kept with them.

  Args:
    payload: The bytes of a file that `to_safetensors` made.

  Returns:
    The nested variables, and `about`.

  Raises:
    DataError: If it is no such file.
  """
  from safetensors import SafetensorError
  from safetensors import numpy as library

  try:
    tensors = library.load(payload)
    size = int.from_bytes(payload[:8], "little")
    header = json.loads(payload[8 : 8 + size])
    about = json.loads(header["__metadata__"]["jaxrobust"])
  except (SafetensorError, ValueError, KeyError) as error:
    reason = " ".join(str(error).split())
    raise DataError(
      f"no safetensors file of jaxrobust ({reason[:200]})"
    ) from error
  return traverse_util.unflatten_dict(tensors, sep="/"), about


def function_of(
  variables: Mapping[str, Any], config: Mapping[str, Any]
) -> LogitsFn:
  """The function of a run, rebuilt by this package's code.

  Args:
    variables: As from `from_safetensors`.
    config: The run's config, as JSON holds it.

  Returns:
    float32 inputs [N, ...] -> logits [N, K].

  Raises:
    DataError: If this version cannot build the run, or the variables are not
      those of its model.
  """
  try:
    whole = from_saved(config, "config")
    logits = logits_function(whole)
    inputs = jax.ShapeDtypeStruct((1, *whole.data.shape), np.float32)
    jax.eval_shape(logits, variables, inputs)
  except Exception as error:
    # That parameters do not fit flax says in types of its own.
    reason = " ".join(str(error).split())
    raise DataError(f"cannot rebuild the run: {reason[:200]}") from error
  return jax.jit(lambda inputs: logits(variables, inputs))
