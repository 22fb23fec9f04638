"""What every figure shares: reading runs, refusing a mixture, one look."""

import argparse
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxrobust import data, evaluation

if TYPE_CHECKING:
  from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]

# Okabe and Ito's colours: told apart with any colour vision, and in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "osD^v"


def read(runs: Sequence[str | pathlib.Path]) -> list[dict[str, Any]]:
  """Reads the rows of some runs.

  Args:
    runs: Folders of runs.

  Returns:
    Their rows, one run after the other.

  Raises:
    data.DataError: If a folder has no `results.csv`, or a damaged one.
  """
  rows = []
  for run in runs:
    path = pathlib.Path(run) / "results.csv"
    if not path.exists():
      raise data.DataError(f"{path}: not found; is this a run's folder?")
    rows += evaluation.read_rows(path)
  return rows


def require_one(
  rows: Sequence[Mapping[str, Any]], columns: Sequence[str], whose: str
) -> None:
  """Refuses rows that differ in a column in which they must not.

  Args:
    rows: As `evaluation.read_rows` gives them.
    columns: The columns that must have one value.
    whose: What the rows are of, for the message.

  Raises:
    ValueError: Naming the first column that has several values.

  Example:
    >>> require_one([{"seed": 0}, {"seed": 1}], ["seed"], "all runs")
    Traceback (most recent call last):
    ...
    ValueError: rows of all runs: must have one seed, not [0, 1]
  """
  for column in columns:
    values = sorted({row[column] for row in rows}, key=str)
    if len(values) > 1:
      raise ValueError(f"rows of {whose}: must have one {column}, not {values}")


def styles() -> Iterator[tuple[str, str]]:
  """Colours and markers without end; thirty pairs before the first repeats."""
  return zip(itertools.cycle(_COLOURS), itertools.cycle(_MARKERS), strict=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of every figure's command."""
  parser.add_argument("runs", nargs="+", help="folders of runs")
  parser.add_argument("--out", required=True, help="the picture, .png or .svg")


def write(
  parser: argparse.ArgumentParser,
  args: argparse.Namespace,
  draw: Callable[[list[dict[str, Any]]], "Figure"],
) -> int:
  """Draws the figure of `args.runs` into `args.out`.

  Args:
    parser: Where a ValueError is reported, as wrong use.
    args: What it parsed.
    draw: Makes the figure from rows.

  Returns:
    The exit code.
  """
  try:
    figure = draw(read(args.runs))
  except ValueError as error:
    parser.error(str(error))
  pathlib.Path(args.out).parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(args.out, dpi=150)
  print(args.out)
  return 0


def write_study(
  argv: Sequence[str] | None,
  what: str,
  tables: Callable[[Rows], str],
  figures: Callable[[Rows], Mapping[str, Callable[[Rows], "Figure"]]],
) -> int:
  """The command of a study's report: `tables.md` and pictures from its rows.

  Args:
    argv: The command's arguments, or None for those of the process.
    what: The report, in a sentence.
    tables: Makes the text of `tables.md`.
    figures: What draws each picture that these rows allow, by file name.

  Returns:
    The exit code.
  """
  parser = argparse.ArgumentParser(description=what)
  parser.add_argument("results", help="the study's results.csv")
  parser.add_argument("--out", required=True, help="the folder to write to")
  args = parser.parse_args(argv)
  path, out = pathlib.Path(args.results), pathlib.Path(args.out)
  if not path.exists():
    parser.error(f"{path}: not found")
  try:
    rows = evaluation.read_rows(path)
    out.mkdir(parents=True, exist_ok=True)
    (out / "tables.md").write_text(tables(rows), encoding="utf-8")
    for name, draw in figures(rows).items():
      draw(rows).savefig(out / name, dpi=80)
      print(out / name)
  except ValueError as error:
    parser.error(str(error))
  print(out / "tables.md")
  return 0
