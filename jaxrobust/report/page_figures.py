"""The charts of a page, made from the rows of a section."""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from jaxrobust import evaluation
from jaxrobust.report import figures
from jaxrobust.report.page_charts import Line, line_chart
from jaxrobust.report.page_parts import (
  Figure,
  Looks,
  count_text,
  rows_file,
)
from jaxrobust.report.page_rows import (
  RELIABILITY,
  Cell,
  Section,
  corruption_of,
  kind,
  trained_on_it,
)

_COUNTED = re.compile(r"gauss_newton_frobenius_squared\(count=(\d+)\)")
_TOLD = 8  # methods in the words for those who do not see a chart

# (x, the cell with its y)
Path = list[tuple[float, Cell]]


def against_strength(section: Section, looks: Looks, of: str) -> list[Figure]:
  """Accuracy, or RMSE, against the strength of every perturbation of a kind.

  Args:
    section: The rows.
    looks: How its methods are drawn.
    of: The kind, as `page_rows.kind` names it.

  Returns:
    A figure per perturbation and number of examples. Of a corruption with one
    level only there is none.
  """
  paths: dict[tuple[str, int | None], Path] = {}
  for cell in section.values:
    if cell.metric != section.metric or kind(cell.perturbation) != of:
      continue
    if cell.strength is not None and math.isfinite(cell.strength):
      key = cell.perturbation, cell.n_examples
      paths.setdefault(key, []).append((cell.strength, cell))
  drawn = []
  for (name, count), path in paths.items():
    if of == "corruption" and len(path) < 2:
      continue
    start = figures.clean_strength(name)
    clean = Cell("clean", 0.0, None, count, section.metric)
    if start is not None and clean in section.values:
      path = [*path, (start, clean)]
    figure = _figure(
      section,
      looks,
      name,
      sorted(path, key=lambda point: point[0]),
      "severity" if corruption_of(name) else figures.strength_label(name),
    )
    drawn += [figure] if figure else []
  return drawn


def certified(section: Section, looks: Looks) -> list[Figure]:
  """Certified accuracy against the l2 radius, a figure per smoothing."""
  paths: dict[tuple[str, int | None], Path] = {}
  for cell in section.cells(lambda c: c.metric == "certified_accuracy"):
    if cell.strength is not None:
      key = cell.perturbation, cell.n_examples
      paths.setdefault(key, []).append((cell.strength, cell))
  drawn = (
    _figure(
      section,
      looks,
      name,
      sorted(path, key=lambda point: point[0]),
      "certified l2 radius, in units of the input",
    )
    for (name, _), path in paths.items()
  )
  return [figure for figure in drawn if figure]


def _figure(
  section: Section, looks: Looks, name: str, path: Path, x_label: str
) -> Figure | None:
  """A line per method through its means; None if no point is a number."""
  share = path[0][1].metric != "rmse"
  scale, y_label = (100.0, "accuracy, %") if share else (1.0, "RMSE")
  if path[0][1].metric == "certified_accuracy":
    y_label = "certified accuracy, %"
  lines, lost, counts = [], [], set()
  for place, method in enumerate(section.methods):
    points, band = [], []
    for x, cell in path:
      stat = section.stat(cell, method)
      if stat is None:
        continue
      counts.add(stat.seeds)
      points.append((x, scale * stat.mean))
      if not math.isfinite(stat.mean):
        lost.append(f"{method} at {x:g}")
      elif stat.sd is not None:
        low, high = stat.mean - stat.sd, stat.mean + stat.sd
        low, high = (max(low, 0.0), min(high, 1.0)) if share else (low, high)
        band.append((x, scale * low, scale * high))
      elif share and cell.n_examples:
        ends = _interval(section, cell, method, stat.mean)
        band.append((x, scale * ends[0], scale * ends[1]))
    ringed = trained_on_it(section.trained_on[method], name)
    if points:
      lines.append(
        Line(
          method,
          looks.style[method],
          points,
          band,
          ringed,
          method in looks.faded,
          place,
        )
      )
  if not any(math.isfinite(y) for line in lines for _, y in line.points):
    return None
  cells = [cell for _, cell in path]
  chart = line_chart(
    lines,
    x_label=x_label,
    y_label=y_label,
    y_limits=(0.0, 100.0) if share else (0.0, None),
    alt=alt_text(f"{y_label} on {section.dataset} against {x_label}", lines),
  )
  fed = [line.name for line in lines if line.ringed]
  caption = [
    count_text(cell.n_examples for cell in cells),
    bands_text(counts, "95 % interval of one seed" if share else ""),
    f"hollow markers: trained on this noise ({_some(fed)})" if fed else "",
    f"no finite number, so not drawn: {_some(lost)}" if lost else "",
  ]
  return Figure(
    name,
    chart,
    "; ".join(filter(None, caption)),
    rows_file(
      f"{section.title} {name}",
      (row for cell in cells for row in rows_of(section, cell)),
    ),
  )


def _interval(
  section: Section, cell: Cell, method: str, share: float
) -> tuple[float, float]:
  """The 95 % interval of one seed: its rows' own, or Wilson's."""
  ends = []
  for end in ("low", "high"):
    own = cell._replace(metric=f"{cell.metric}_{end}")
    stat = section.stat(own, method) if own in section.values else None
    ends.append(stat.mean if stat else math.nan)
  if any(map(math.isnan, ends)) and cell.n_examples:
    return evaluation.wilson_interval(
      round(share * cell.n_examples), cell.n_examples
    )
  return ends[0], ends[1]


def rows_of(section: Section, cell: Cell) -> list[Mapping[str, Any]]:
  """The rows of a cell, with those of its interval."""
  ends = (cell._replace(metric=f"{cell.metric}_{e}") for e in ("low", "high"))
  found = list(section.rows[cell])
  for end in ends:
    found += section.rows.get(end, [])
  return found


def bands_text(seeds: set[int], single: str) -> str:
  """What a chart's bands are, for methods with so many seeds."""
  several = sorted(count for count in seeds if count > 1)
  words = []
  if several:
    ends = dict.fromkeys((several[0], several[-1]))
    span = " to ".join(map(str, ends))
    words.append(f"mean ± sample sd over {span} seeds")
  if 1 in seeds and single:
    words.append(single)
  return f"bands: {' or '.join(words)}" if words else ""


def reliability(section: Section, looks: Looks) -> list[Figure]:
  """Accuracy against confidence, bin by bin, a figure per number of examples.

  Args:
    section: The rows.
    looks: How its methods are drawn.

  Returns:
    The figures.
  """
  accuracy = section.cells(
    lambda c: c.perturbation == RELIABILITY and c.metric == "bin_accuracy"
  )
  drawn = []
  for count in dict.fromkeys(cell.n_examples for cell in accuracy):
    own = sorted(
      (c for c in accuracy if c.n_examples == count),
      key=lambda cell: cell.strength or 0.0,
    )
    lines, seeds = [], set()
    for place, method in enumerate(section.methods):
      points, band = [], []
      for cell in own:
        right = section.stat(cell, method)
        sure = _of_bin(section, cell, method, "bin_confidence")
        if right is None or not math.isfinite(right.mean + sure):
          continue  # An empty bin.
        seeds.add(right.seeds)
        points.append((sure, right.mean))
        if right.sd is not None:
          low, high = right.mean - right.sd, right.mean + right.sd
          band.append((sure, max(low, 0.0), min(high, 1.0)))
          continue
        share = _of_bin(section, cell, method, "bin_share")
        examples = round((count or 0) * share) if math.isfinite(share) else 0
        if examples:
          hits = min(round(right.mean * examples), examples)
          band.append((sure, *evaluation.wilson_interval(hits, examples)))
      line = Line(
        method,
        looks.style[method],
        sorted(points),
        sorted(band),
        faded=method in looks.faded,
        group=place,
      )
      lines += [line] if points else []
    if not lines:
      continue
    metrics = ("bin_accuracy", "bin_confidence", "bin_share")
    cells = [cell._replace(metric=m) for cell in own for m in metrics]
    caption = [
      count_text([count]),
      bands_text(seeds, "95 % interval of one seed's bin"),
      "below the diagonal: too sure of itself",
    ]
    drawn.append(
      Figure(
        "reliability diagram",
        line_chart(
          lines,
          x_label="mean confidence of a bin",
          y_label="accuracy of the bin",
          y_limits=(0.0, 1.0),
          diagonal=True,
          alt=alt_text("Accuracy against confidence", lines),
        ),
        "; ".join(filter(None, caption)),
        rows_file(
          f"{section.title} reliability",
          (row for cell in cells for row in section.rows.get(cell, [])),
        ),
      )
    )
  return drawn


def _of_bin(section: Section, cell: Cell, method: str, metric: str) -> float:
  other = cell._replace(metric=metric)
  stat = section.stat(other, method) if other in section.values else None
  return stat.mean if stat else math.nan


def curvature(section: Section, looks: Looks) -> list[Figure]:
  """Curvature by how many noisy copies of an image are recognised."""
  paths: dict[Any, Path] = {}
  for cell in section.values:
    match = _COUNTED.fullmatch(cell.metric)
    if match and cell.perturbation == evaluation.CURVATURE:
      paths.setdefault(cell.strength, []).append((float(match[1]), cell))
  drawn = []
  for std, path in paths.items():
    lines = []
    for place, method in enumerate(section.methods):
      stats = ((x, section.stat(cell, method)) for x, cell in sorted(path))
      points = [(x, stat.mean) for x, stat in stats if stat]
      line = Line(
        method,
        looks.style[method],
        points,
        faded=method in looks.faded,
        group=place,
      )
      lines += [line] if any(y > 0 for _, y in points) else []
    if lines:
      label = f"noisy copies recognised, of 10; Gaussian noise of std {std:.3g}"
      drawn.append(
        Figure(
          "curvature of the loss",
          line_chart(
            lines,
            x_label=label,
            y_label="mean ‖H‖²",
            log_y=True,
            alt=alt_text(f"Mean squared norm of H against {label}", lines),
          ),
          "H: Gauss-Newton matrix of the loss in the input, Frobenius norm; "
          "log scale; means over seeds",
          rows_file(
            f"{section.title} curvature {std}",
            (row for _, cell in path for row in section.rows[cell]),
          ),
        )
      )
  return drawn


def alt_text(what: str, lines: Sequence[Line]) -> str:
  """A chart in words: where each line begins and where it ends.

  Args:
    what: What is drawn against what.
    lines: The lines; of many, the first in the foreground are told.

  Returns:
    Sentences.
  """
  words = []
  shown = sorted(lines, key=lambda line: line.faded)
  for line in shown[:_TOLD]:
    points = [(x, y) for x, y in line.points if math.isfinite(y)]
    if points:
      (x0, y0), (x1, y1) = points[0], points[-1]
      words.append(f"{line.name}: {y0:.4g} at {x0:.4g}, {y1:.4g} at {x1:.4g}")
  if len(shown) > _TOLD:
    words.append(f"and {len(shown) - _TOLD} more, which the CSV file has")
  return f"{what[:1].upper()}{what[1:]}. {'; '.join(words)}."


def _some(names: Sequence[str], most: int = 4) -> str:
  text = ", ".join(
    textwrap.shorten(name, 44, placeholder=" …") for name in names[:most]
  )
  return f"{text} and {len(names) - most} more" if len(names) > most else text
