"""Tables and figures of a study of perturbations, made from its rows alone.

  python -m jaxrobust.report.perturbed results/NAME/results.csv \
    --out=results/NAME

writes `tables.md` and `differences.png`, and if the rows have them
`curvature.png` and `separability.png`.
"""

import collections
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrobust import evaluation
from jaxrobust.report import curvature, radii, runs
from jaxrobust.report.runs import Rows

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

BASELINE = "standard"
_LAYER = re.compile(r"separability\[(.+)\]")
# Means over images by group are for the figure of curvature.
_OF_COUNT = re.compile(r".*\(count=\d+\)")

# {line: {method: {seed: value}}}
Lines = dict[Any, dict[str, dict[int, float]]]


def accuracies(rows: Rows, group: str) -> Lines:
  """Accuracy in % under every perturbation and strength.

  Args:
    rows: As `evaluation.read_rows` gives them.
    group: One of `radii.groups`.

  Returns:
    {(perturbation, strength): {method: {seed: accuracy}}}, in the rows' order.

  Raises:
    ValueError: If the rows have no such group.

  Example:
    >>> row = {"run": "mnist/a/0", "method": "a", "seed": 0, "metric":
    ...   "accuracy", "perturbation": "clean", "strength": 0.0, "value": 0.5}
    >>> accuracies([row], "mnist")
    {('clean', 0.0): {'a': {0: 50.0}}}
  """
  return _lines(
    rows,
    group,
    lambda row: (
      (row["perturbation"], row["strength"])
      if row["metric"] == "accuracy"
      else None
    ),
    100.0,
  )


def measurements(rows: Rows, group: str) -> Lines:
  """The numbers of features and curvature, but for those of single layers.

  Args:
    rows: As `evaluation.read_rows` gives them.
    group: One of `radii.groups`.

  Returns:
    {(perturbation, strength, metric): {method: {seed: value}}}.

  Raises:
    ValueError: If the rows have no such group.
  """

  def key(row):
    name, metric = row["perturbation"], row["metric"]
    if name not in (evaluation.FEATURES, evaluation.CURVATURE):
      return None
    if _LAYER.fullmatch(metric) or _OF_COUNT.fullmatch(metric):
      return None
    return name, row["strength"], metric

  return _lines(rows, group, key)


def layers(rows: Rows, group: str) -> Lines:
  """The class separability of every layer, clean and noisy.

  Args:
    rows: As `evaluation.read_rows` gives them.
    group: One of `radii.groups`.

  Returns:
    {(strength, layer): {method: {seed: value}}}, in the order of the layers.

  Raises:
    ValueError: If the rows have no such group.
  """

  def key(row):
    match = _LAYER.fullmatch(row["metric"])
    return (row["strength"], match[1]) if match else None

  return _lines(rows, group, key)


def differences(rows: Rows, group: str) -> Lines:
  """Accuracy less that of standard training with the same seed, in points.

  Args:
    rows: As `evaluation.read_rows` gives them.
    group: One of `radii.groups`, with a method "standard".

  Returns:
    As `accuracies`, without standard training, and without the lines under
    which it was not judged.

  Raises:
    ValueError: If there is no standard training to compare with.
  """
  if not _has_baseline(rows, group):
    raise ValueError(f"group {group!r}: no method {BASELINE!r} to compare with")
  return {
    line: {
      method: {
        seed: value - methods[BASELINE][seed] for seed, value in seeds.items()
      }
      for method, seeds in methods.items()
      if method != BASELINE
    }
    for line, methods in accuracies(rows, group).items()
    if BASELINE in methods
  }


def draw_differences(rows: Rows) -> "Figure":
  """What a method wins over standard training, by perturbation.

  Args:
    rows: As `evaluation.read_rows` gives them.

  Returns:
    The figure: a panel per group with a method "standard", a row per
    perturbation, the mean over seeds with its standard error.

  Raises:
    ValueError: If no group has a method "standard" and another.
  """
  import matplotlib.figure

  names = [
    group
    for group in radii.groups(rows)
    if _has_baseline(rows, group) and any(differences(rows, group).values())
  ]
  if not names:
    raise ValueError(
      f"rows: no group has a method {BASELINE!r} and another to compare"
    )
  tables = {group: differences(rows, group) for group in names}
  height = max(6.4, 0.3 * max(len(found) for found in tables.values()))
  figure = matplotlib.figure.Figure(
    figsize=(6.4 * len(names), height), layout="constrained"
  )
  panels = figure.subplots(1, len(names), squeeze=False)[0]
  # A method looks the same in every panel.
  every = dict.fromkeys(
    m for found in tables.values() for line in found.values() for m in line
  )
  styles = dict(zip(every, runs.styles(), strict=False))
  for axes, (group, found) in zip(panels, tables.items(), strict=True):
    methods = list(next(iter(found.values())))
    places = np.arange(len(found))[::-1]
    spread = 0.6 / len(methods)
    for number, method in enumerate(methods):
      colour, marker = styles[method]
      judged = [method in line for line in found.values()]
      seeds = [
        list(line[method].values()) for line in found.values() if method in line
      ]
      axes.errorbar(
        [np.mean(s) for s in seeds],
        places[judged] + spread * ((len(methods) - 1) / 2 - number),
        xerr=[_error(s) for s in seeds],
        fmt=marker,
        color=colour,
        ms=4,
        lw=1,
        label=method,
      )
    axes.axvline(0.0, color="grey", lw=1)
    axes.set_yticks(places, [cell_label(*line) for line in found])
    axes.set(title=group, xlabel="accuracy less standard training's, points")
    axes.grid(axis="y", alpha=0.3)
    # Below, where it hides nothing.
    axes.legend(
      fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2
    )
  return figure


def draw_separability(rows: Rows) -> "Figure":
  """Class separability of every layer: clean, and dashed under noise.

  Args:
    rows: As `evaluation.read_rows` gives them.

  Returns:
    The figure: a panel per group with a method "standard".

  Raises:
    ValueError: If there are no such rows.
  """
  import matplotlib.figure

  names = [g for g in radii.groups(rows) if _has_baseline(rows, g)]
  names = [group for group in names if layers(rows, group)]
  if not names:
    raise ValueError("rows: must have those of config.eval.features_stds")
  figure = matplotlib.figure.Figure(
    figsize=(6.4 * len(names), 4.4), layout="constrained"
  )
  panels = figure.subplots(1, len(names), squeeze=False)[0]
  for axes, group in zip(panels, names, strict=True):
    _draw_layers(axes, layers(rows, group))
    axes.set(title=group, yscale="log", ylabel="trace S_b / trace S_w")
    axes.tick_params(axis="x", rotation=30)
    axes.legend(fontsize="small")
  return figure


def _draw_layers(axes: "Axes", found: Lines) -> None:
  strengths = list(dict.fromkeys(strength for strength, _ in found))
  names = list(dict.fromkeys(layer for _, layer in found))
  methods = list(next(iter(found.values())))
  for method, (colour, marker) in zip(methods, runs.styles(), strict=False):
    for strength in strengths:
      means = [
        np.mean(list(found[strength, name][method].values())) for name in names
      ]
      axes.plot(
        names,
        means,
        marker=marker,
        ms=4,
        color=colour,
        ls="--" if strength else "-",
        label=None if strength else method,
      )


def _lines(
  rows: Rows,
  group: str,
  key: Callable[[Mapping[str, Any]], Any],
  scale: float = 1.0,
) -> Lines:
  """The rows of a group by what `key` makes of them; None leaves one out."""
  found: Any = collections.defaultdict(lambda: collections.defaultdict(dict))
  own = [row for row in rows if radii.group_of(row) == group]
  if not own:
    raise ValueError(f"group {group!r}: must be one of {radii.groups(rows)}")
  for row in own:
    line = key(row)
    if line is not None:
      found[line][row["method"]][row["seed"]] = scale * row["value"]
  return {line: dict(methods) for line, methods in found.items()}


def _has_baseline(rows: Rows, group: str) -> bool:
  return BASELINE in next(iter(accuracies(rows, group).values()))


def _error(values: Sequence[float]) -> float:
  """The standard error of a mean over seeds."""
  if len(values) < 2:
    return 0.0
  return float(np.std(values, ddof=1) / math.sqrt(len(values)))


def cell_label(name: str, strength: float, metric: str = "") -> str:
  """A perturbation at one strength, in words.

  Args:
    name: As rows name it.
    strength: As in the rows; small ones are counted in 255ths where they are.
    metric: What is measured, if the line is to say so.

  Returns:
    The words.

  Example:
    >>> cell_label("fgsm", 8 / 255), cell_label("clean", 0.0)
    ('fgsm 8/255', 'clean')
  """
  pixels = 255 * strength
  whole = math.isclose(pixels, round(pixels), abs_tol=1e-6) and strength < 0.05
  number = f"{round(pixels)}/255" if whole and pixels else f"{strength:.3g}"
  return " ".join(
    part for part in (name, number if strength else "", metric) if part
  )


def _table(found: Lines, digits: Callable[[float], str]) -> str:
  """A line per perturbation, a column per method; mean ± spread over seeds."""
  methods = list(dict.fromkeys(m for line in found.values() for m in line))
  lines = [["", *methods], ["---", *["---:"] * len(methods)]]
  for line, values in found.items():
    cells = [cell_label(*line)]
    for method in methods:
      seeds = list(values.get(method, {}).values())
      spread = float(np.std(seeds, ddof=1)) if len(seeds) > 1 else 0.0
      mean = float(np.mean(seeds)) if seeds else 0.0
      text = f"{digits(mean)} ± {digits(spread)}" if seeds else ""
      cells.append(text)
    lines.append(cells)
  return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _tables(rows: Rows) -> str:
  parts = [
    "Mean ± standard deviation over seeds. Accuracy in %, on all test images, "
    "under FGSM and PGD (the worst of cross-entropy and margin) on the first "
    "ones. Features: see `evaluation.summarise_geometry`; curvature: "
    "`evaluation.curvature_rows`, of the first images, in input units, means "
    "and medians.",
  ]
  for group in radii.groups(rows):
    own = [row for row in rows if radii.group_of(row) == group]
    seeds = len({row["seed"] for row in own})
    splits = ", ".join(sorted({row["split"] for row in own}))
    parts += [
      f"## {group} ({seeds} seeds, {splits})",
      _table(accuracies(rows, group), lambda value: f"{value:.2f}"),
    ]
    for found in (measurements(rows, group), layers(rows, group)):
      if found:
        named = found
        if len(next(iter(found))) == 2:
          named = {
            ("separability", s, layer): v for (s, layer), v in found.items()
          }
        parts.append(_table(named, lambda value: f"{value:.3g}"))
  return "\n\n".join(parts) + "\n"


def _figures(rows: Rows) -> dict[str, Callable[[Rows], "Figure"]]:
  drawn = {"differences.png": draw_differences}
  perturbations = {row["perturbation"] for row in rows}
  if evaluation.FEATURES in perturbations:
    drawn["separability.png"] = draw_separability
  if evaluation.CURVATURE in perturbations:
    for group in radii.groups(rows):
      if _has_baseline(rows, group):
        name = group.partition("/")[0]
        drawn[f"curvature_{name}.png"] = lambda rows, group=group: (
          curvature.curvature_against_count(
            [row for row in rows if radii.group_of(row) == group]
          )
        )
  return drawn


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the tables and figures of a study and returns the exit code."""
  what = "Tables and figures of a study of perturbations, from its rows."
  return runs.write_study(argv, what, _tables, _figures)


if __name__ == "__main__":
  sys.exit(main())
