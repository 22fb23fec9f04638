"""How an export is loaded, in the words of its card; a test runs them."""

import textwrap
from collections.abc import Mapping
from typing import Any


def snippets(about: Mapping[str, Any]) -> list[tuple[str, str]]:
  """What the card says of loading: a sentence and Python code, each.

  Args:
    about: The export's manifest.

  Returns:
    The pairs. The code runs in the folder of the export and leaves `logits` or
    `labels`, of inputs that it makes up.

  Example:
    >>> about = {"format": "safetensors", "shape": [8, 8, 1]}
    >>> for words, code in snippets(about):
    ...   print(words)
    With jaxrobust:
    The tensors alone, by their names, with safetensors:
  """
  shape = ", ".join(map(str, about["shape"]))
  inputs = f"np.zeros((3, {shape}), np.float32)"
  images = "images" if len(about["shape"]) == 3 else "series"
  with_ours = f"""
    import jaxrobust
    import numpy as np

    model = jaxrobust.load(".")  # this folder
    {images} = {inputs}
    labels = model.predict({images})
    """
  found = [("With jaxrobust:", with_ours)]
  if about["format"] == "stablehlo":
    alone = f"""
      import jax
      import numpy as np

      with open("model.stablehlo", "rb") as file:
        exported = jax.export.deserialize(bytearray(file.read()))
      {images} = {inputs}
      logits = jax.jit(exported.call)({images})
      """
    found.append(("With JAX and flatbuffers alone:", alone))
  elif about["format"] == "onnx":
    alone = f"""
      import numpy as np
      import onnxruntime

      session = onnxruntime.InferenceSession("model.onnx")
      {images} = {inputs}
      (logits,) = session.run(None, {{"inputs": {images}}})
      """
    found.append(("With ONNX Runtime alone:", alone))
  else:
    alone = """
      from safetensors.numpy import load_file

      parameters = load_file("model.safetensors")
      """
    words = "The tensors alone, by their names, with safetensors:"
    found.append((words, alone))
  return [(words, textwrap.dedent(code).strip()) for words, code in found]
