"""Readers of the text formats that time series archives come in.

Each reader takes the lines of a file and gives a `Table`. Series of unequal
length and missing values are refused with the line that has them.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxrobust.data.errors import DataError

_MISSING = {"?", "nan", ""}


class Table(NamedTuple):
  """What a file holds.

  Attributes:
    series: float32 [N, T, C].
    labels: as written, one per series.
  """

  series: np.ndarray
  labels: list[str]


# (line number from 1, the values of each channel, the label as written)
_Row = tuple[int, list[list[str]], str]


def read_ts(lines: Sequence[str], file: str) -> Table:
  """Reads the .ts format of sktime and aeon.

  After a header of `@` lines, a row is its channels, separated by ':', each
  with its values separated by ',', and last its label.

  Args:
    lines: the lines of the file.
    file: its name, for messages.

  Returns:
    The series and their labels.

  Raises:
    DataError: if the file is not of this format, has time stamps or no
      labels, or has missing values or series of unequal length.

  Example:
    >>> text = ["@classLabel true a b", "@data", "1,2:3,4:a", "5,6:7,8:b"]
    >>> table = read_ts(text, "set.ts")
    >>> table.series[0].tolist(), table.labels
    ([[1.0, 3.0], [2.0, 4.0]], ['a', 'b'])
  """
  header, body = _split_header(lines, file, "#")
  told = {words[0].lower(): words[1:] for words in map(str.split, header)}
  if told.get("@timestamps", [""])[0].lower() == "true":
    raise DataError(f"{file} has time stamps; allowed: values alone")
  if "true" not in (
    told.get(key, [""])[0].lower() for key in ("@classlabel", "@targetlabel")
  ):
    raise DataError(
      f"{file} has no labels: neither @classLabel nor @targetLabel is true"
    )

  def rows() -> Iterator[_Row]:
    for number, line in body:
      *channels, label = line.split(":")
      if not channels:
        raise DataError(
          f"{file}, line {number} has no ':'; allowed: VALUES:LABEL, with a "
          "':' behind each channel"
        )
      yield number, [channel.split(",") for channel in channels], label

  return _table(rows(), file)


def read_arff(lines: Sequence[str], file: str) -> Table:
  r"""Reads Weka's .arff format, as the UCR and UEA archives write it.

  A row is its values and last its label, separated by ','. In a multivariate
  file the values are one quoted text, whose channels a literal \n separates.

  Args:
    lines: the lines of the file.
    file: its name, for messages.

  Returns:
    The series and their labels.

  Raises:
    DataError: as for `read_ts`.

  Example:
    >>> text = ["@attribute x relational", "@data", r"'1,2\n3,4',a"]
    >>> read_arff(text, "set.arff").series[0].tolist()
    [[1.0, 3.0], [2.0, 4.0]]
  """
  _, body = _split_header(lines, file, "%")

  def rows() -> Iterator[_Row]:
    for number, line in body:
      quoted = re.fullmatch(r"""(['"])(.*)\1\s*,([^,]*)""", line)
      if quoted:
        channels = quoted.group(2).split(r"\n")
        label = quoted.group(3)
      else:
        values, _, label = line.rpartition(",")
        channels = [values]
      label = label.strip().strip("'\"")
      yield number, [channel.split(",") for channel in channels], label

  return _table(rows(), file)


def read_tsv(lines: Sequence[str], file: str) -> Table:
  """Reads rows of a label and values, separated by tabs, blanks or commas.

  Args:
    lines: the lines of the file.
    file: its name, for messages.

  Returns:
    The series, of one channel, and their labels.

  Raises:
    DataError: as for `read_ts`.

  Example:
    >>> table = read_tsv(["-1 0.5 1.5", "1 2.5 3.5"], "set.tsv")
    >>> table.series[:, :, 0].tolist(), table.labels
    ([[0.5, 1.5], [2.5, 3.5]], ['-1', '1'])
  """

  def rows() -> Iterator[_Row]:
    for number, line in enumerate(lines, 1):
      if line.strip():
        label, *values = re.split(r"\s*,\s*|\s+", line.strip())
        yield number, [values], label

  return _table(rows(), file)


READERS: dict[str, Callable[[Sequence[str], str], Table]] = {
  ".ts": read_ts,
  ".arff": read_arff,
  ".tsv": read_tsv,
  ".txt": read_tsv,
}


def _split_header(
  lines: Sequence[str], file: str, comment: str
) -> tuple[list[str], list[tuple[int, str]]]:
  """The lines before `@data`, and those after it with their numbers."""
  header: list[str] = []
  for position, line in enumerate(lines):
    line = line.strip()
    if line.lower() == "@data":
      body = enumerate(map(str.strip, lines[position + 1 :]), position + 2)
      return header, [
        (number, line)
        for number, line in body
        if line and not line.startswith(comment)
      ]
    if line and not line.startswith(comment):
      header.append(line)
  raise DataError(f"{file} has no line @data")


def _table(rows: Iterator[_Row], file: str) -> Table:
  """Stacks rows; every one must have the shape of the first."""
  series, labels, shape = [], [], None
  for number, channels, label in rows:
    where = f"{file}, line {number}"
    lengths = {len(channel) for channel in channels}
    if len(lengths) != 1:
      raise DataError(
        f"{where} has channels of lengths {sorted(lengths)}; allowed: one"
      )
    if any(value.strip().lower() in _MISSING for c in channels for value in c):
      raise DataError(f"{where} has missing values, which are not read")
    try:
      values = np.asarray(channels, np.float64).astype(np.float32).T
    except ValueError as error:
      raise DataError(f"{where} is not understood: {error}") from error
    if not np.isfinite(values).all():
      raise DataError(f"{where} has values that are NaN or infinite")
    if shape not in (None, values.shape):
      raise DataError(
        f"{where} has shape {values.shape} (steps, channels), and those "
        f"before it {shape}; series of unequal length are not read"
      )
    shape = values.shape
    series.append(values)
    labels.append(label.strip())
  if not series:
    raise DataError(f"{file} has no series")
  return Table(np.stack(series), labels)
