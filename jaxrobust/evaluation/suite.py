"""One suite for every model: each cell of the grid, judged and written down."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrobust.evaluation.attack_rows import is_attack
from jaxrobust.evaluation.perturbations import Perturbation
from jaxrobust.evaluation.results import Results
from jaxrobust.evaluation.tasks import CLASSIFICATION, Task

if TYPE_CHECKING:
  from rich.table import Table

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
  task: Task = CLASSIFICATION,
) -> Iterator[Perturbation]:
  """Judges a model under every perturbation whose rows are not there yet.

  Args:
    subject: The shared columns.
    judge: Gives the numbers of every example that `task.summarise` takes,
      [N] each, under one perturbation: of all examples, or of the first
      `cell.first`.
    cells: The perturbations.
    results: Where rows go, one perturbation at a time; an interrupted
      evaluation continues there.
    task: Gives the metrics.

  Yields:
    Each perturbation, when its rows are written.

  Raises:
    ValueError: If `judge` returns another number of examples.
  """
  for cell in cells:
    unknown: dict[str, Any] = dict.fromkeys(task.metrics)
    if any(row not in results for row in _rows(subject, cell, unknown)):
      examples = judge(cell)
      count = len(next(iter(examples.values())))
      wanted = cell.count(subject.n_examples)
      if count != wanted:
        raise ValueError(f"{count} examples judged; must be {wanted}")
      values = task.summarise(examples) | cell.more_metrics(examples)
      results.append(_rows(subject, cell, values))
    yield cell


def _rows(
  subject: Subject, cell: Perturbation, values: Mapping[str, float]
) -> list[dict[str, Any]]:
  shared = dataclasses.asdict(subject)
  shared["n_examples"] = cell.count(subject.n_examples)
  return [
    {
      **shared,
      "perturbation": cell.name,
      "strength": cell.strength,
      "severity": getattr(cell, "severity", None),
      "metric": metric,
      "value": value,
    }
    for metric, value in values.items()
  ]


def accuracy_table(rows: Sequence[Mapping[str, Any]], title: str) -> "Table":
  """The rows of one run as a table for the terminal.

  Args:
    rows: As `results.read_rows` gives them.
    title: The heading.

  Returns:
    A rich table: a line per perturbation, strength and number of examples, and
    per method where there are several, as of a network that adapts. Rows that
    belong to no judged cell, as those of the weights, have none.
  """
  from rich.table import Table

  table = Table(title=title, title_justify="left")
  cells: dict[tuple[str, str, float, int], dict[str, Any]] = {}
  for row in rows:
    key = (
      row["method"],
      row["perturbation"],
      row["strength"],
      row["n_examples"],
    )
    cells.setdefault(key, {})[row["metric"]] = row["value"]
  regression = any("rmse" in cell for cell in cells.values())
  columns = _REGRESSION_COLUMNS if regression else _COLUMNS
  several = len({method for method, *_ in cells}) > 1
  words = (*(["method"] if several else []), "perturbation")
  for column in words:
    table.add_column(column, overflow="fold")
  for column in ("strength", *columns, "examples"):
    table.add_column(column, justify="right")
  for (method, name, strength, count), cell in cells.items():
    if not {"accuracy", "rmse"} & cell.keys():
      continue
    table.add_row(
      *((method, name) if several else (name,)),
      _strength_text(name, strength),
      *(text(cell) for text in columns.values()),
      str(count),
    )
  return table


# What a table shows of a cell's metrics, by heading.
_COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
  "accuracy": lambda cell: f"{100 * cell['accuracy']:.2f} %",
  "95 % interval": lambda cell: (
    f"{100 * cell['accuracy_low']:.2f} to {100 * cell['accuracy_high']:.2f}"
  ),
  "NLL": lambda cell: f"{cell['nll']:.3f}",
  "ECE": lambda cell: f"{cell['ece']:.3f}",
}
_REGRESSION_COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
  "RMSE": lambda cell: f"{cell['rmse']:.4g}",
  "MAE": lambda cell: f"{cell['mae']:.4g}",
  "finite": lambda cell: f"{100 * cell['finite']:.2f} %",
}


def _strength_text(perturbation: str, strength: float) -> str:
  if perturbation == "clean":
    return ""
  if is_attack(perturbation):
    return f"eps {strength:g}"
  kind, _, words = perturbation.partition("(")
  if words.endswith((", generated)", ", official)")):
    return "" if words.startswith("mnist-c") else f"severity {strength:g}"
  return f"{_UNITS.get(kind, 'flip rate')} {strength:g}"


_UNITS = {
  "drifting_gaussian": "peak std",
  "gaussian": "std",
  "gaussian+patches": "std",
  "patches": "count",
  "pruned": "share",
  "resolution": "factor",
  "salt_and_pepper": "share",
  "shot": "photons",
  "uniform": "eps",
}
