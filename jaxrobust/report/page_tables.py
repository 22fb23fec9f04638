"""The tables of a page, made from the rows of a section."""

import dataclasses
import math
from collections.abc import Sequence

from jaxrobust.report import perturbed
from jaxrobust.report.page_columns import Column, assemble, names
from jaxrobust.report.page_parts import (
  Table,
  Td,
  Th,
  count_text,
  digits_for,
  number,
)
from jaxrobust.report.page_rows import (
  Cell,
  Section,
  Stat,
  corruption_of,
  kind,
  stat_of,
  trained_on_it,
)


def overview(section: Section) -> Table:
  """All methods of a section, with a column per sort of test.

  Args:
    section: The rows.

  Returns:
    The table: means over seeds with their sample standard deviation, a noise
    averaged over its strengths.
  """
  columns = [_column(section, *found) for found in _tests(section)]
  seeds = section.seeds
  lead = [
    [
      Td(method),
      Td(section.trained_on[method] or "–"),
      Td(str(seeds[method])),
    ]
    for method in section.methods
  ]
  note = "± is the sample standard deviation over seeds."
  if section.metric == "rmse":
    note = f"RMSE, the lower the better. {note}"
  else:
    note = f"Accuracy in %. {note}"
  return assemble(
    "All methods",
    [Th("method"), Th("trained on"), Th("seeds")],
    lead,
    columns,
    f"{note} Noises and corruptions are averaged over their strengths.",
    section,
    lowest=section.metric == "rmse",
  )


def _tests(section: Section) -> list[tuple[str, str, list[Cell]]]:
  """Name, small print and cells of every column of the overview."""
  found: dict[tuple[str, int | None], list[Cell]] = {}
  for cell in section.cells(lambda c: c.metric == section.metric):
    sort, name = kind(cell.perturbation), cell.perturbation
    if sort not in ("clean", "noise", "corruption", "attack", "pruned"):
      continue
    if sort == "corruption":
      family = corruption_of(name)
      name = f"corruptions ({family[1] if family else ''})"
    elif sort == "attack":
      name = "attacks, the worst"
    found.setdefault((name, cell.n_examples), []).append(cell)
  columns = []
  for (name, count), cells in found.items():
    if name == "attacks, the worst":
      for eps, of_eps in _by_radius(cells):
        columns.append((f"worst attack, {eps}", count_text([count]), of_eps))
    else:
      columns.append((name, count_text([count]), cells))
  return columns


def _column(
  section: Section, name: str, small: str, cells: Sequence[Cell]
) -> Column:
  attacked = kind(cells[0].perturbation) == "attack"
  one = {kind(cell.perturbation) for cell in cells} <= {"noise", "attack"}
  scale = 1.0 if section.metric == "rmse" else 100.0
  digits = digits_for(cells[0].n_examples) if scale == 100 else 0
  stats, tds = {}, {}
  for method in section.methods:
    stat = (
      worst(section, cells, method) if attacked else section.stat(cells, method)
    )
    td = number(stat, scale, digits)
    fed = section.trained_on[method]
    if one and stat and trained_on_it(fed, cells[0].perturbation):
      td = dataclasses.replace(td, marked=True)
    stats[method], tds[method] = stat, td
  return Column(Th(name, small), stats, tds)


def worst(section: Section, cells: Sequence[Cell], method: str) -> Stat | None:
  """The lowest of some accuracies, seed by seed; then as `Section.stat`.

  Args:
    section: The rows.
    cells: Those of several attacks.
    method: One of the section's.

  Returns:
    The number; None if the method has no row there.
  """
  values = [section.values[cell].get(method, {}) for cell in cells]
  seeds = dict.fromkeys(seed for found in values for seed in found)
  if not seeds:
    return None
  lowest = []
  for seed in seeds:
    known = [found[seed] for found in values if seed in found]
    numbers = [v for v in known if v is not None and not math.isnan(v)]
    lowest.append(min(numbers) if len(numbers) == len(known) else math.nan)
  partial = any(seed not in found for found in values for seed in seeds)
  return stat_of(lowest, partial)


def corruptions(section: Section) -> list[Table]:
  """Heat maps of common corruptions: their mean, then each severity.

  Args:
    section: The rows.

  Returns:
    Per benchmark and number of examples a table of methods by corruptions,
    means over severities, and, if there are several, one per severity.
  """
  families: dict[tuple[str, int | None], list[Cell]] = {}
  for cell in section.cells(lambda c: c.metric == section.metric):
    found = corruption_of(cell.perturbation)
    if found and kind(cell.perturbation) == "corruption":
      families.setdefault((found[1], cell.n_examples), []).append(cell)
  tables = []
  for (family, count), cells in families.items():
    levels = sorted({c.severity for c in cells if c.severity is not None})
    where = f"{family}, {count_text([count])}".removesuffix(", ")
    text = ", ".join(map(str, levels))
    what = f"mean over severities {text}" if len(levels) > 1 else "accuracy, %"
    tables.append(_heat_map(section, cells, f"{where}: {what}"))
    if len(levels) > 1:
      for level in levels:
        own = [cell for cell in cells if cell.severity == level]
        tables.append(_heat_map(section, own, f"{where}: severity {level}"))
  return tables


def _heat_map(section: Section, cells: Sequence[Cell], title: str) -> Table:
  named: dict[str, list[Cell]] = {}
  for cell in cells:
    found = corruption_of(cell.perturbation)
    named.setdefault(found[0] if found else "", []).append(cell)
  groups = {"mean": list(cells), **named}
  stats = {
    name: {m: section.stat(group, m) for m in section.methods}
    for name, group in groups.items()
  }
  means = [s.mean for of in stats.values() for s in of.values() if s]
  known = [mean for mean in means if math.isfinite(mean)]
  low, high = (min(known), max(known)) if known else (0.0, 0.0)
  columns = []
  for name, of_method in stats.items():
    tds = {}
    for method, stat in of_method.items():
      td = number(stat, 100.0, 1)
      mean, _, spread = td.text.partition(" ± ")
      heat = None
      if stat and math.isfinite(stat.mean):
        heat = round(100 * (stat.mean - low) / (high - low or 1.0))
      fed, tested = section.trained_on[method], groups[name][0].perturbation
      tds[method] = dataclasses.replace(
        td,
        text=mean + ("*" if spread.endswith("*") else ""),
        hint="; ".join(filter(None, (spread and f"± {spread}", td.hint))),
        heat=heat,
        marked=name != "mean"
        and stat is not None
        and trained_on_it(fed, tested),
      )
    columns.append(Column(Th(name.replace("_", " ")), of_method, tds))
  note = (
    f"Accuracy in %; the stronger the colour, the better: from "
    f"{100 * low:.1f} to {100 * high:.1f}."
  )
  return assemble(
    title,
    [Th("method")],
    names(section),
    columns,
    note,
    section,
    upright=True,
  )


def attacks(section: Section) -> list[Table]:
  """Accuracy under attack: at every radius the worst case, then each attack.

  Args:
    section: The rows.

  Returns:
    A table per number of examples.
  """
  found: dict[int | None, list[Cell]] = {}
  for cell in section.cells(lambda c: c.metric == "accuracy"):
    if kind(cell.perturbation) == "attack":
      found.setdefault(cell.n_examples, []).append(cell)
  tables = []
  for count, cells in found.items():
    first, rest = [], []
    for label, group in _by_radius(cells):
      if len(group) > 1:
        small = f"of {len(group)}, {label}"
        first.append(_column(section, "worst case", small, group))
      for cell in group:
        rest.append(_column(section, cell.perturbation, label, [cell]))
    note = (
      f"Accuracy in %, {count_text([count])}. The worst case is the lowest of "
      "the attacks at a radius; a worst case example by example can be lower, "
      "and is what standard(...) gives."
    )
    tables.append(
      assemble(
        "Accuracy under attack",
        [Th("method")],
        names(section),
        [*first, *rest],
        note,
        section,
      )
    )
  return tables


def _by_radius(cells: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
  """Cells of attacks by rising radius; those in l2 are another ball's."""
  found: dict[tuple[bool, float], list[Cell]] = {}
  for cell in cells:
    euclidean = "l2" in cell.perturbation
    found.setdefault((euclidean, cell.strength or 0.0), []).append(cell)
  return [
    (
      perturbed.cell_label("eps", radius).replace(" ", "\N{NO-BREAK SPACE}")
      + (" (l2)" if euclidean else ""),
      found[euclidean, radius],
    )
    for euclidean, radius in sorted(found)
  ]
