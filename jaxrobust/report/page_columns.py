"""Tables of methods, column by column."""

import dataclasses
from collections.abc import Sequence

from jaxrobust.report.page_parts import (
  MARK,
  Table,
  Td,
  Th,
  number,
  table_file,
  with_best,
)
from jaxrobust.report.page_rows import Cell, Section, Stat


@dataclasses.dataclass(frozen=True)
class Column:
  """A column of numbers.

  Attributes:
    head: Its head.
    stats: The number of each method; of none if none is the best.
    cells: What shows it.
  """

  head: Th
  stats: dict[str, Stat | None]
  cells: dict[str, Td]


def plain(section: Section, cells: Sequence[Cell], head: Th) -> Column:
  """A column of means over some cells, as they are."""
  stats = {m: section.stat(cells, m) for m in section.methods}
  return Column(head, stats, {m: number(s) for m, s in stats.items()})


def names(section: Section) -> list[list[Td]]:
  """Lines with the methods' names alone."""
  return [[Td(method)] for method in section.methods]


def assemble(
  title: str,
  heads: Sequence[Th],
  lead: Sequence[Sequence[Td]],
  columns: Sequence[Column],
  note: str,
  section: Section,
  *,
  lowest: bool = False,
  upright: bool = False,
) -> Table:
  """A table of methods by columns; in every column the best is marked.

  Args:
    title: What it says.
    heads: Of the columns before those of numbers.
    lead: Their cells, line by line.
    columns: Those of numbers.
    note: Words below it; what its marks mean is added.
    section: The rows.
    lowest: Whether the lowest number is the best.
    upright: Whether the heads of the columns stand upright.

  Returns:
    The table.
  """
  stats = [[c.stats.get(m) for c in columns] for m in section.methods]
  body = [[c.cells[m] for c in columns] for m in section.methods]
  body = with_best(body, stats, lowest)
  lines = [[*own, *rest] for own, rest in zip(lead, body, strict=True)]
  head = [*heads, *(column.head for column in columns)]
  if any(td.best for line in lines for td in line):
    note += " Bold: the best mean of a column."
  if any(td.marked for line in lines for td in line):
    note += f" {MARK} trained on this noise."
  if any(td.text.endswith("*") for line in lines for td in line):
    note += " * without some of the column's tests, which were not run."
  file = table_file(f"{section.title} {title}", head, lines)
  return Table(title, head, lines, note, file, "upright" if upright else "")
