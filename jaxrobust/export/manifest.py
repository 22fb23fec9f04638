"""What lies beside an exported model: which it is, and whether it is whole."""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxrobust.data import DataError

# Changes whenever an older reader would misread a newer export.
VERSION = 1
NAME = "model.json"
# format: the file of the model.
FILES = {
  "stablehlo": "model.stablehlo",
  "onnx": "model.onnx",
  "safetensors": "model.safetensors",
}
_FIELDS = ("format", "format_version", "shape", "classes", "outputs")


def write(folder: pathlib.Path, about: Mapping[str, Any]) -> None:
  """Writes the manifest of the model that lies in a folder.

  Args:
    folder: Where the model's file is.
    about: The manifest; the file's name, size and checksum are added.
  """
  name = FILES[about["format"]]
  payload = (folder / name).read_bytes()
  whole = {
    **about,
    "file": name,
    "bytes": len(payload),
    "sha256": hashlib.sha256(payload).hexdigest(),
  }
  text = json.dumps(whole, indent=2, ensure_ascii=False)
  (folder / NAME).write_text(text + "\n", encoding="utf-8")


def read(
  path: str | pathlib.Path,
) -> tuple[bytes, str, dict[str, Any] | None]:
  """Reads an exported model, and what lies beside it.

  Args:
    path: The folder of the export, or the model's file in it.

  Returns:
    The model's bytes, its format, and the manifest; None where there is none
    beside a file that has its own inside, as .onnx and .safetensors.

  Raises:
    DataError: If there is no export, or its file is not what was written.
  """
  given = pathlib.Path(path).expanduser()
  if not given.exists():
    raise DataError(f"{given}: not found; is this an export?")
  folder = given if given.is_dir() else given.parent
  about = _manifest(folder / NAME)
  file = given
  if given.is_dir():
    if about is None:
      raise DataError(f"{given}: no {NAME} in it; is this an export?")
    file = folder / about["file"]
  kind = file.suffix.removeprefix(".")
  if kind not in FILES:
    raise DataError(
      f"{file}: must be a folder of an export, or a file of it: "
      f"{', '.join(FILES.values())}"
    )
  try:
    payload = file.read_bytes()
  except FileNotFoundError as error:
    raise DataError(f"{file}: not found; the export is not whole") from error
  if about is not None and about["file"] != file.name:
    about = None
  if about is None:
    if kind == "stablehlo":
      raise DataError(f"{file}: the {NAME} of it must lie beside it")
    return payload, kind, None
  if len(payload) != about["bytes"]:
    raise DataError(
      f"{file}: {len(payload)} bytes of {about['bytes']}; the file is damaged"
    )
  if hashlib.sha256(payload).hexdigest() != about["sha256"]:
    raise DataError(f"{file}: its checksum differs; the file is damaged")
  check(about, str(folder / NAME))
  return payload, kind, about


def check(about: Any, where: str) -> None:
  """Refuses a manifest that this version cannot read.

  Args:
    about: The manifest.
    where: What the error calls it.

  Raises:
    DataError: If it is of a newer version, or not whole.
  """
  if not isinstance(about, dict) or any(f not in about for f in _FIELDS):
    raise DataError(f"{where}: must have {', '.join(_FIELDS)}")
  version = about["format_version"]
  if version != VERSION:
    raise DataError(
      f"{where}: format_version={version}: this version of jaxrobust reads "
      f"{VERSION}"
    )


def _manifest(path: pathlib.Path) -> dict[str, Any] | None:
  try:
    about = json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError:
    return None
  except ValueError as error:
    raise DataError(f"{path}: not JSON ({error}); it is damaged") from error
  known = isinstance(about, dict) and {"bytes", "sha256"} <= set(about)
  # A name that leads elsewhere is no name of ours.
  if not known or about.get("file") != FILES.get(str(about.get("format"))):
    raise DataError(f"{path}: no manifest of an export")
  return about
