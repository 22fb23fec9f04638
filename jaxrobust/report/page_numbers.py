"""The tables of a page about calibration, of networks, and of every number."""

import math
from collections.abc import Callable, Sequence

from jaxrobust.report import perturbed
from jaxrobust.report.page_columns import Column, assemble, names, plain
from jaxrobust.report.page_parts import (
  Table,
  Td,
  Th,
  count_text,
  number,
  table_file,
)
from jaxrobust.report.page_rows import (
  SCALED,
  Cell,
  Section,
  Stat,
  kind,
  stat_of,
)

_ENDS = ("accuracy_low", "accuracy_high")
_CALIBRATION = ("nll", "ece", "adaptive_ece", "brier")


def calibration(section: Section) -> list[Table]:
  """How far probabilities can be believed: clean, and with a temperature.

  Args:
    section: The rows.

  Returns:
    A table per number of examples; none without such rows.
  """
  counts = dict.fromkeys(
    cell.n_examples
    for cell in section.values
    if cell.metric in _CALIBRATION and cell.perturbation in ("clean", SCALED)
  )
  tables = []
  for count in counts:
    columns = []
    for metric in _CALIBRATION:
      cell = Cell("clean", 0.0, None, count, metric)
      if cell in section.values:
        columns.append(plain(section, [cell], Th(_spoken(metric), "clean")))
    for metric in ("temperature", *_CALIBRATION):
      wanted = "nll" if metric == "temperature" else metric
      # The temperature is the rows' strength: of every network another one.
      cells = section.cells(
        lambda c, m=wanted, n=count: (
          (c.perturbation, c.metric, c.n_examples) == (SCALED, m, n)
        )
      )
      if cells:
        head = Th(_spoken(metric), "scaled" if metric != "temperature" else "")
        columns.append(
          _merged(section, cells, head, strength=metric == "temperature")
        )
    note = "Of the clean test examples; the lower, the better. NLL in nats."
    if any(column.head.text == "Temperature" for column in columns):
      note += (
        " Scaled: logits divided by a temperature fitted on other examples."
      )
    tables.append(
      assemble(
        f"Calibration, {count_text([count])}",
        [Th("method")],
        names(section),
        columns,
        note,
        section,
        lowest=True,
      )
    )
  return tables


def certified(section: Section) -> list[Table]:
  """What randomised smoothing certifies, radius by radius.

  Args:
    section: The rows.

  Returns:
    A table per smoothing and number of examples.
  """
  found: dict[tuple[str, int | None], list[Cell]] = {}
  for cell in section.values:
    if kind(cell.perturbation) == "certified":
      key = cell.perturbation, cell.n_examples
      found.setdefault(key, []).append(cell)
  tables = []
  for (name, count), cells in found.items():
    columns = []
    order = ("smoothed_accuracy", "abstained")
    for cell in sorted(
      cells, key=lambda c: (c.metric not in order, c.strength or 0.0)
    ):
      head = Th(
        cell.metric.replace("_", " "), f"radius {cell.strength or 0.0:g}"
      )
      if cell.metric in order:
        head = Th(head.text)
      stats = {m: section.stat(cell, m) for m in section.methods}
      tds = {m: number(stat, 100.0, 1) for m, stat in stats.items()}
      rated = stats if cell.metric != "abstained" else {}
      columns.append(Column(head, rated, tds))
    note = f"In % of the examples, {count_text([count])}."
    tables.append(
      assemble(name, [Th("method")], names(section), columns, note, section)
    )
  return tables


def _spoken(metric: str) -> str:
  named = {"nll": "NLL", "ece": "ECE", "adaptive_ece": "adaptive ECE"}
  return named.get(metric, metric.replace("_", " ").capitalize())


def _merged(
  section: Section, cells: Sequence[Cell], head: Th, strength: bool
) -> Column:
  """A column of cells of which every network has its own."""
  stats: dict[str, Stat | None] = {}
  for method in section.methods:
    values = [
      cell.strength if strength else value
      for cell in cells
      for value in section.values[cell].get(method, {}).values()
    ]
    known = [math.nan if value is None else value for value in values]
    stats[method] = stat_of(known) if known else None
  shown = {m: number(s) for m, s in stats.items()}
  # No temperature is better than another.
  return Column(head, {} if strength else stats, shown)


def measured(section: Section) -> list[Table]:
  """What was measured of the networks themselves: curvature, weights, ...

  Args:
    section: The rows.

  Returns:
    A table per perturbation of that kind: a line per metric, a column per
    method.
  """
  names = dict.fromkeys(c.perturbation for c in section.values)
  return [
    _by_cell(
      section,
      lambda c, n=name: c.perturbation == n and "(count=" not in c.metric,
      name.capitalize(),
      lambda c: (c.metric, perturbed.cell_label("", c.strength or 0.0)),
    )
    for name in names
    if kind(name) == "measured"
  ]


def everything(section: Section) -> Table:
  """Every number of the section that the networks' answers have.

  Args:
    section: The rows.

  Returns:
    A line per test and metric, a column per method.
  """
  return _by_cell(
    section,
    lambda c: kind(c.perturbation) != "measured" and c.metric not in _ENDS,
    "Every number",
    lambda c: (
      c.perturbation,
      "" if c.strength is None else f"{c.strength:.4g}",
      "" if c.severity is None else str(c.severity),
      "" if c.n_examples is None else f"{c.n_examples}",
      c.metric,
    ),
    ("test", "strength", "severity", "examples", "metric"),
  )


def _by_cell(
  section: Section,
  wanted: Callable[[Cell], bool],
  title: str,
  words: Callable[[Cell], Sequence[str]],
  heads: Sequence[str] = ("metric", "strength"),
) -> Table:
  lines = []
  for cell in section.cells(wanted):
    numbers = [number(section.stat(cell, m)) for m in section.methods]
    lines.append([*(Td(word) for word in words(cell)), *numbers])
  head = [*map(Th, heads), *map(Th, section.methods)]
  note = "Means over seeds ± the sample standard deviation."
  file = table_file(f"{section.title} {title}", head, lines)
  return Table(title, head, lines, note, file)
