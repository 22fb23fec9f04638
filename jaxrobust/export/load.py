"""Loading what was exported, of whichever format."""

import pathlib
from collections.abc import Mapping
from typing import Any

from jaxrobust.data import DataError
from jaxrobust.export import manifest
from jaxrobust.export.predictor import Predictor


def load(path: str | pathlib.Path, trust: bool = False) -> Predictor:
  """Loads an exported model.

    labels = jaxrobust.load("runs/first/export/stablehlo").predict(images)

  Args:
    path: The folder that `jaxrobust export` made, or the model's file in it:
      `model.stablehlo` with `model.json` beside it, `model.onnx` or
      `model.safetensors`.
    trust: Whether a safetensors file may name a model of one's own,
      "package.module:Class", which is then imported: its code runs.

  Returns:
    The model, with `predict`, `probabilities`, `logits`, `classes` and `shape`.

  Raises:
    DataError: A ValueError: if there is no export, if it is damaged, of a newer
      version, or made for another kind of machine.
    ImportError: If the format needs a library that is not installed.

  Example:
    >>> load("no/export")
    Traceback (most recent call last):
    ...
    jaxrobust.data.errors.DataError: no/export: not found; is this an export?
  """
  payload, kind, about = manifest.read(path)
  try:
    return open_model(payload, kind, about, trust)
  except DataError as error:
    raise DataError(f"{path}: {error}") from error


def open_model(
  payload: bytes,
  kind: str,
  about: Mapping[str, Any] | None,
  trust: bool = False,
) -> Predictor:
  """A model of its bytes.

  Args:
    payload: The bytes of the file.
    kind: "stablehlo", "onnx" or "safetensors".
    about: Its manifest; None to take the one inside.
    trust: As for `load`.

  Returns:
    The model.

  Raises:
    DataError: If the bytes are no such model.
  """
  if kind == "stablehlo":
    from jaxrobust.export import stablehlo

    assert about is not None
    return Predictor(stablehlo.from_stablehlo(payload), about)
  if kind == "onnx":
    from jaxrobust.export import onnx

    function, inside = onnx.from_onnx(payload)
    manifest.check(inside, "its metadata")
    return Predictor(function, about or inside)
  from jaxrobust.export import safetensors

  variables, inside = safetensors.from_safetensors(payload)
  manifest.check(inside, "its metadata")
  if "config" not in inside:
    raise DataError("its metadata: must have config")
  named = inside["config"].get("model", {}).get("name", "")
  if ":" in str(named) and not trust:
    raise DataError(
      f"its model is {named}, which would be imported; load it with trust=True "
      "if you trust the file"
    )
  function = safetensors.function_of(variables, inside["config"])
  own = {k: v for k, v in inside.items() if k != "config"}
  return Predictor(function, about or own)
