"""One suite for every model: each cell of the grid, judged and written down."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrobust.evaluation.metrics import summarise
from jaxrobust.evaluation.perturbations import Perturbation
from jaxrobust.evaluation.results import Results

if TYPE_CHECKING:
  from rich.table import Table

METRICS = ("accuracy", "accuracy_low", "accuracy_high", "nll", "ece")

# (perturbation) -> per-example numbers, [N] each.
JudgeFn = Callable[[Perturbation], Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Subject:
  """Who is judged, and on what: the columns that all rows of a run share."""

  run: str
  method: str
  seed: int
  step: int
  dataset: str
  split: str
  n_examples: int
  trained_on: str


def run(
  subject: Subject,
  judge: JudgeFn,
  cells: Sequence[Perturbation],
  results: Results,
) -> Iterator[Perturbation]:
  """Judges a model under every perturbation whose rows are not there yet.

  Args:
    subject: The shared columns.
    judge: Gives `nll`, `confidence` and `hits` of every example, [N] each,
      under one perturbation.
    cells: The perturbations.
    results: Where rows go, one perturbation at a time; an interrupted
      evaluation continues there.

  Yields:
    Each perturbation, when its rows are written.

  Raises:
    ValueError: If `judge` returns another number of examples.
  """
  for cell in cells:
    if any(row not in results for row in _rows(subject, cell, {})):
      examples = judge(cell)
      if len(examples["hits"]) != subject.n_examples:
        raise ValueError(
          f"{len(examples['hits'])} examples judged; must be "
          f"{subject.n_examples}"
        )
      results.append(_rows(subject, cell, summarise(examples)))
    yield cell


def _rows(
  subject: Subject, cell: Perturbation, values: Mapping[str, float]
) -> list[dict[str, Any]]:
  shared = dataclasses.asdict(subject)
  return [
    {
      **shared,
      "perturbation": cell.name,
      "strength": cell.strength,
      "severity": None,
      "metric": metric,
      "value": values.get(metric),
    }
    for metric in METRICS
  ]


def accuracy_table(rows: Sequence[Mapping[str, Any]], title: str) -> "Table":
  """The rows of one run as a table for the terminal.

  Args:
    rows: As `results.read_rows` gives them.
    title: The heading.

  Returns:
    A rich table: a line per perturbation and strength.
  """
  from rich.table import Table

  table = Table(title=title, title_justify="left")
  for column in ("perturbation", "strength", "accuracy", "95 % interval"):
    table.add_column(column, justify="left" if column[0] == "p" else "right")
  for column in ("NLL", "ECE", "examples"):
    table.add_column(column, justify="right")
  cells: dict[tuple[str, float], dict[str, Any]] = {}
  for row in rows:
    cell = cells.setdefault((row["perturbation"], row["strength"]), {})
    cell[row["metric"]] = row["value"]
    cell["n"] = row["n_examples"]
  for (name, strength), cell in cells.items():
    table.add_row(
      name,
      _strength_text(name, strength),
      f"{100 * cell['accuracy']:.2f} %",
      f"{100 * cell['accuracy_low']:.2f} to {100 * cell['accuracy_high']:.2f}",
      f"{cell['nll']:.3f}",
      f"{cell['ece']:.3f}",
      str(cell["n"]),
    )
  return table


def _strength_text(perturbation: str, strength: float) -> str:
  if perturbation == "clean":
    return ""
  unit = "std" if perturbation == "gaussian" else "flip rate"
  return f"{unit} {strength:g}"
