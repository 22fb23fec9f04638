"""What a page is made from: the files of runs and of studies."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxrobust import data, evaluation
from jaxrobust.report import runs as runs_lib

# The columns without which a row says nothing.
_NEEDED = ("run", "method", "dataset", "perturbation", "metric")


@dataclasses.dataclass(frozen=True)
class Source:
  """One run, or one study, as it lies on disk.

  Attributes:
    name: What it is called on the page, unlike any other.
    folder: Where its files are.
    rows: Those of its results, at least one.
    config: Of `config.json`; None if there is none, as in a study.
    starts: Of `environment.json`, an entry for each start of the run.
    history: The lines of `metrics.jsonl`.
  """

  name: str
  folder: pathlib.Path
  rows: Sequence[Mapping[str, Any]]
  config: Mapping[str, Any] | None
  starts: Sequence[Mapping[str, Any]]
  history: Sequence[Mapping[str, Any]]


def read_sources(runs: Sequence[str | pathlib.Path]) -> list[Source]:
  """Reads runs and studies.

  Args:
    runs: Folders with a `results.csv`, or such files. One that is named twice
      is read once.

  Returns:
    A source each.

  Raises:
    data.DataError: If there are no results, or a file is damaged.
  """
  # By what they name, in their order.
  paths = {_results(pathlib.Path(run)).resolve(): None for run in runs}
  return [
    _read(path, name) for path, name in zip(paths, _names(paths), strict=True)
  ]


def _results(path: pathlib.Path) -> pathlib.Path:
  """The file with the rows."""
  path = path.expanduser()
  return path if path.is_file() else path / "results.csv"


def _names(paths: Iterable[pathlib.Path]) -> list[str]:
  """As few last parts of each path as tell it from the others."""
  # Only a file that is not named as usual is named by itself.
  parts = [
    (path.parent if path.name == "results.csv" else path).parts
    for path in paths
  ]

  def alone(own: tuple[str, ...], count: int) -> bool:
    return sum(other[-count:] == own[-count:] for other in parts) == 1

  names = []
  for own in parts:
    counts = range(1, len(own))
    count = next((c for c in counts if alone(own, c)), len(own))
    names.append("/".join(own[-count:]))
  return names


def _read(path: pathlib.Path, name: str) -> Source:
  folder = path.parent
  try:
    if path.name == "results.csv":
      rows = runs_lib.read([folder])
    else:
      rows = evaluation.read_rows(path)
  except (UnicodeDecodeError, csv.Error) as error:
    raise data.DataError(f"{path}: no table of results ({error})") from error
  if not rows:
    raise data.DataError(f"{path}: no rows; has the run been evaluated?")
  for number, row in enumerate(rows, 1):
    for column in _NEEDED:
      if row[column] is None:
        raise data.DataError(f"{path}: row {number} has no {column}")
  config = _json(folder / "config.json", dict)
  starts = _json(folder / "environment.json", list) or []
  return Source(
    name, folder, rows, config, starts, _lines(folder / "metrics.jsonl")
  )


def _json(path: pathlib.Path, kind: type) -> Any:
  if not path.exists():
    return None
  try:
    found = json.loads(path.read_text(encoding="utf-8"))
  except ValueError as error:
    raise data.DataError(f"{path}: not JSON ({error})") from error
  if not isinstance(found, kind):
    raise data.DataError(f"{path}: must hold a {kind.__name__}")
  return found


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
  """The lines of a log, but for a last one that a kill cut short."""
  if not path.exists():
    return []
  text = path.read_text(encoding="utf-8", errors="replace")
  whole = text.rpartition("\n")[0].splitlines()
  found = []
  for number, line in enumerate(whole, 1):
    try:
      entry = json.loads(line)
      found.append({**entry, "step": int(entry["step"])})
    except (ValueError, KeyError, TypeError) as error:
      raise data.DataError(
        f"{path}:{number}: must be a JSON object with a step"
      ) from error
  return found
