"""Writing an export: whole, compared with its run, or not at all."""

import dataclasses
import importlib.metadata
import os
import pathlib
import shutil
import uuid
from collections.abc import Mapping
from typing import Any

import jax

from jaxrobust import data, evaluation
from jaxrobust.export import manifest
from jaxrobust.export.card import UNKNOWN, model_card
from jaxrobust.export.errors import ExportError
from jaxrobust.export.function import Run, on_host, read_run
from jaxrobust.export.load import load
from jaxrobust.export.predictor import Predictor
from jaxrobust.export.verify import Agreement, compare
from jaxrobust.training.config import ConfigError

FORMATS = tuple(manifest.FILES)


@dataclasses.dataclass(frozen=True)
class Export:
  """An export that was written.

  Attributes:
    folder: Where it is: the model, `model.json` and the card, `README.md`.
    agreement: How it compares with its run.
    size: Of the model's file, in bytes.
  """

  folder: pathlib.Path
  agreement: Agreement
  size: int


def export_run(
  workdir: str | pathlib.Path,
  format: str,
  *,
  out: str | pathlib.Path | None = None,
  licence: str = UNKNOWN,
  data_licence: str = UNKNOWN,
  select: str | None = None,
  data_dir: str | None = None,
  path: str | None = None,
) -> Export:
  """Exports a run's checkpoint, loads it back and compares it with the run.

  What is exported maps inputs to logits as `evaluate` does: normalisation,
  noise inside the network and smoother included. It is written beside its
  place, loaded, compared on the first 256 test examples, and only then renamed.

  Args:
    workdir: The run's folder.
    format: "stablehlo", "onnx" or "safetensors".
    out: The folder to make; by default `workdir/export/format`. An export that
      is there is replaced.
    licence: Of the model, for its card.
    data_licence: Of the data, for the card.
    select: As for `evaluate`: "last", "best" or "best_test".
    data_dir: As for `evaluate`.
    path: As for `evaluate`.

  Returns:
    The export.

  Raises:
    ConfigError: If the folder holds no run, or an argument is none of these.
    data.DataError: If the data set is not there.
    ExportError: If the run cannot be exported in this format, or what was
      written is not the run; nothing is left of it.
  """
  if format not in FORMATS:
    raise ConfigError(f"format={format!r}: must be one of {', '.join(FORMATS)}")
  workdir = pathlib.Path(workdir).expanduser()
  folder = workdir / "export" / format if out is None else pathlib.Path(out)
  folder = folder.expanduser().absolute()
  _refuse_other_folder(folder)
  run = read_run(workdir, select=select, data_dir=data_dir, path=path)
  rows = []
  if (workdir / "results.csv").exists():
    rows = evaluation.read_rows(workdir / "results.csv")
  folder.parent.mkdir(parents=True, exist_ok=True)
  part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
  part.mkdir()
  try:
    about = write_model(run, format, part)
    found = _compared(run, _loaded(part, format), format)
    if not found.holds:
      raise ExportError(f"{format}: not the run: {found}; nothing was written")
    card = model_card(
      run,
      about,
      rows,
      f"It was loaded back and compared with the run: {found}.",
      licence=licence,
      data_licence=data_licence,
    )
    (part / "README.md").write_text(card, encoding="utf-8")
    size = (part / manifest.FILES[format]).stat().st_size
    _put_in_place(part, folder)
  finally:
    shutil.rmtree(part, ignore_errors=True)
  return Export(folder, found, size)


def _loaded(part: pathlib.Path, format: str) -> Predictor:
  try:
    # It is the run's own model.
    return load(part, trust=True)
  except (data.DataError, ImportError) as error:
    raise ExportError(f"{format}: cannot be loaded back: {error}") from error


def _compared(run: Run, model: Predictor, format: str) -> Agreement:
  try:
    return compare(run, model)
  except (data.DataError, ExportError):
    raise
  except Exception as error:
    # The runtimes raise types of their own.
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    raise ExportError(f"{format}: cannot be run: {reason}") from error


def _refuse_other_folder(folder: pathlib.Path) -> None:
  """Refuses to replace what is no export, or more than one."""
  if not folder.exists():
    return
  known = {manifest.NAME, "README.md", *manifest.FILES.values()}
  extra = ["itself"]
  if folder.is_dir():
    extra = sorted({path.name for path in folder.iterdir()} - known)
  if extra:
    raise ConfigError(
      f"out={folder}: has what is of no export ({extra[0]}); must be a new "
      "folder, an empty one, or an export to replace"
    )


def write_model(
  run: Run, format: str, folder: pathlib.Path
) -> Mapping[str, Any]:
  """Writes the model and its manifest, without comparing it with the run.

  Args:
    run: The run.
    format: One of `FORMATS`.
    folder: Where they go; it is there.

  Returns:
    The manifest, less what is of the file.

  Raises:
    ExportError: If the run cannot be exported in this format.
  """
  about = _about(run, format)
  variables = on_host(run.variables)
  if format == "stablehlo":
    from jaxrobust.export.stablehlo import to_stablehlo

    payload, platforms = to_stablehlo(
      lambda inputs: run.logits(variables, inputs), run.dataset.shape
    )
    about["platforms"] = list(platforms)
  elif format == "onnx":
    from jaxrobust.export.onnx import to_onnx

    payload = to_onnx(
      lambda inputs: run.logits(variables, inputs), run.dataset.shape, about
    )
  else:
    from jaxrobust.export.safetensors import to_safetensors

    payload = to_safetensors(variables, {**about, "config": _public(run)})
  with (folder / manifest.FILES[format]).open("wb") as file:
    file.write(payload)
    file.flush()
    os.fsync(file.fileno())
  manifest.write(folder, about)
  return about


def _about(run: Run, format: str) -> dict[str, Any]:
  """The manifest, but for what is known only of the file."""
  return {
    "format": format,
    "format_version": manifest.VERSION,
    "run": run.name,
    "method": run.config.method.name,
    "model": run.config.model.name,
    "step": run.step,
    "dataset": run.dataset.name,
    "shape": list(run.dataset.shape),
    "classes": list(run.dataset.class_names),
    "outputs": run.config.data.num_classes or run.config.data.targets,
    "smoother": run.config.method.input.name if run.smooths else "",
    "jaxrobust": importlib.metadata.version("jaxrobust"),
    "jax": jax.__version__,
  }


def _public(run: Run) -> dict[str, Any]:
  """The config without the places of the machine that it ran on."""
  config = run.config.to_dict()
  for field in ("data_dir", "path", "smoothed_dir"):
    config["data"][field] = ""
  if config["eval"]["corrupted_files"] != "tfds":
    config["eval"]["corrupted_files"] = ""
  return config


def _put_in_place(part: pathlib.Path, folder: pathlib.Path) -> None:
  """Renames a finished folder to its name; what was there gives way."""
  old = part.with_suffix(".old")
  if folder.exists():
    folder.rename(old)
  try:
    part.rename(folder)
  except BaseException:
    if old.exists() and not folder.exists():
      old.rename(folder)
    raise
  shutil.rmtree(old, ignore_errors=True)
