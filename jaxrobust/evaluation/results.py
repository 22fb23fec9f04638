"""Result rows: one CSV that only grows, and that a kill cannot spoil."""

import csv
import io
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from jaxrobust.data import DataError

COLUMNS = (
  "run",
  "method",
  "seed",
  "step",
  "dataset",
  "split",
  "perturbation",
  "strength",
  "severity",
  "metric",
  "value",
  "n_examples",
  "trained_on",
)
_NUMBERS = {
  "seed": int,
  "step": int,
  "strength": float,
  "severity": int,
  "value": float,
  "n_examples": int,
}
_KEY = tuple(c for c in COLUMNS if c not in ("value", "trained_on"))


class Results:
  """The rows of one `results.csv`.

  A row is there or it is not: the half-written last line of a killed process
  is cut off when the file is opened, and that row is made again.

  Args:
    path: The file; made with its header when the first row comes.
    writes: False to read what is there and keep what is appended in memory
      alone: of several processes that judge together, one writes.
  """

  def __init__(self, path: pathlib.Path, writes: bool = True):
    self._path = path
    self._writes = writes
    self._rows: dict[tuple[Any, ...], Any] = {}
    if path.exists():
      if writes:
        _cut_half_line(path)
      # Another process may be cutting the half line right now.
      whole = path.read_bytes().rpartition(b"\n")[0].decode()
      self._rows = {_key(row): row["value"] for row in _parse(whole, path)}

  def __contains__(self, row: Mapping[str, Any]) -> bool:
    """Whether a row for this cell and metric is there, whatever its value."""
    return _key(row) in self._rows

  def values(self, row: Mapping[str, Any]) -> dict[str, float]:
    """What is there of a cell.

    Args:
      row: Its columns; those of the metric and the value are not looked at.

    Returns:
      The values by metric.
    """
    place = _KEY.index("metric")
    wanted = _key({**row, "metric": ""})
    return {
      key[place]: value
      for key, value in self._rows.items()
      if (*key[:place], None, *key[place + 1 :]) == wanted
    }

  def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
    """Appends the rows that are not there yet, in one write.

    Args:
      rows: Dictionaries with the columns `COLUMNS`.
    """
    new = [row for row in rows if row not in self]
    if self._writes:
      self._write(new)
    self._rows.update((_key(row), row["value"]) for row in new)

  def _write(self, new: list[Mapping[str, Any]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if not self._path.exists() or not self._path.stat().st_size:
      writer.writerow(COLUMNS)
    writer.writerows([row[column] for column in COLUMNS] for row in new)
    with self._path.open("a", encoding="utf-8") as file:
      file.write(buffer.getvalue())


def read_rows(path: pathlib.Path) -> list[dict[str, Any]]:
  """Reads a results file, numbers as numbers.

  Args:
    path: A `results.csv`.

  Returns:
    Its rows; an empty cell is None.

  Raises:
    DataError: If the file's columns are not `COLUMNS`, or a number is none.
  """
  return _parse(path.read_text(encoding="utf-8"), path)


def _parse(text: str, path: pathlib.Path) -> list[dict[str, Any]]:
  reader = csv.DictReader(io.StringIO(text, newline=""))
  columns = tuple(reader.fieldnames or COLUMNS)
  if columns != COLUMNS:
    raise DataError(f"{path}: columns {columns}; must be {COLUMNS}")
  return [_typed(row, f"{path}:{reader.line_num}") for row in reader]


def _typed(row: Mapping[str, Any], where: str) -> dict[str, Any]:
  if len(row) != len(COLUMNS) or None in row.values():
    raise DataError(f"{where}: must have {len(COLUMNS)} cells")
  try:
    return {c: _NUMBERS.get(c, str)(v) if v else None for c, v in row.items()}
  except ValueError as error:
    raise DataError(f"{where}: {error}") from error


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
  return tuple(row[c] if row[c] != "" else None for c in _KEY)


def _cut_half_line(path: pathlib.Path) -> None:
  text = path.read_bytes()
  whole = text[: text.rfind(b"\n") + 1]
  if whole != text:
    with path.open("r+b") as file:
      file.truncate(len(whole))
