"""One's own sets in the form of the UCR and UEA time series archives."""

import math
import pathlib
import re

import numpy as np

from jaxrobust.data.errors import DataError
from jaxrobust.data.series_files import READERS, Table

_SPLITS = ("train", "test")


def read_ucr(
  path: str, name: str, split: str, real_valued: bool = False
) -> tuple[np.ndarray, np.ndarray, list[str]]:
  """Reads one split of a set as the UCR and UEA archives lay it out.

  Classes are numbered in the sorted order of their labels, over both files,
  as numbers if all labels are numbers.

  Args:
    path: a folder with NAME_TRAIN and NAME_TEST, each a .ts, .arff, .tsv or
      .txt file; where there are several, the first of these.
    name: NAME, in any case; free if the folder holds one set only.
    split: 'train' or 'test'.
    real_valued: whether labels are the targets of a regression.

  Returns:
    (series float32 [N, T, C], labels int32 [N], the classes' names); or
    targets float32 [N, 1], and no names.

  Raises:
    DataError: if a file is absent or damaged, has missing values or series of
      unequal length.

  References:
    Dau et al., `The UCR Time Series Archive
    <https://arxiv.org/abs/1810.07758>`_, 2018. Bagnall et al., `The UEA
    multivariate time series classification archive
    <https://arxiv.org/abs/1811.00075>`_, 2018.
  """
  if split not in _SPLITS:
    raise DataError(
      f"source 'ucr' has no split {split!r}; allowed: 'train', 'test'"
    )
  files = _find(path, name)
  if split not in files:
    raise DataError(f"{path} has no file of {name!r} for split {split!r}")
  tables = {part: _read(file) for part, file in files.items()}
  table = tables[split]
  if real_valued:
    try:
      targets = np.asarray(table.labels, np.float32)[:, None]
    except ValueError as error:
      raise DataError(f"{files[split]} has no numbers: {error}") from error
    return table.series, targets, []
  class_names = _sorted_labels(
    {label for t in tables.values() for label in t.labels}
  )
  number = {_key(label): k for k, label in enumerate(class_names)}
  labels = [number[_key(label)] for label in table.labels]
  return table.series, np.asarray(labels, np.int32), class_names


def _find(path: str, name: str) -> dict[str, pathlib.Path]:
  """The files of the set: split -> file."""
  folder = pathlib.Path(path).expanduser()
  if not path or not folder.is_dir():
    raise DataError(f"config.data.path is {path!r}, which is no folder")
  found: dict[str, dict[str, pathlib.Path]] = {}
  # The reader named first wins, so its files come last.
  for suffix in reversed(READERS):
    for file in sorted(folder.glob(f"*{suffix}")):
      match = re.fullmatch(r"(.+)_(TRAIN|TEST)", file.stem, re.IGNORECASE)
      if match:
        found.setdefault(match[1], {})[match[2].lower()] = file
  # Multivariate sets come with a file for each channel beside them.
  whole = {n: f for n, f in found.items() if _whole(n) not in found}
  chosen = [n for n in whole if n.lower() == name.lower()] or list(whole)
  if len(chosen) != 1:
    sets = ", ".join(sorted(whole)) or "none"
    raise DataError(
      f"config.data.path is {path!r}; it must hold NAME_TRAIN and NAME_TEST "
      f"({', '.join(READERS)}) of config.data.name={name!r}; it has: {sets}"
    )
  return found[chosen[0]]


def _whole(name: str) -> str | None:
  """The set that a file of one channel belongs to."""
  match = re.fullmatch(r"(.+)Dimension\d+", name)
  return match and match[1]


def _read(file: pathlib.Path) -> Table:
  try:
    # Some files of the archives have a byte that is no UTF-8 in a comment.
    lines = file.read_text("utf-8", errors="replace").splitlines()
  except OSError as error:
    raise DataError(f"{file} cannot be read: {error}") from error
  return READERS[file.suffix](lines, str(file))


def _sorted_labels(labels: set[str]) -> list[str]:
  """Distinct labels, as numbers if all are, with one spelling each."""
  spelling = {_key(label): label for label in sorted(labels, reverse=True)}
  numeric = all(isinstance(key, float) for key in spelling)
  return [spelling[k] for k in sorted(spelling, key=None if numeric else str)]


def _key(label: str) -> float | str:
  """What makes two labels the same: 1 is 1.0."""
  try:
    number = float(label)
  except ValueError:
    return label
  return number if math.isfinite(number) else label
