"""Curvature of the loss against how robustly images are recognised.

  python -m jaxrobust.report.curvature RUN [RUN ...] --out=FILE.png

draws the mean curvature of the images that 0 to 10 of 10 noisy copies of are
recognised, a line per method with the correlation; and, if rows have several
steps h, the paper's finite difference against h. Runs have the rows if
`config.eval.curvature_examples` was above 0.
"""

import argparse
import collections
import dataclasses
import math
import re
import sys
from typing import TYPE_CHECKING

import numpy as np

from jaxrobust import evaluation
from jaxrobust.report import runs
from jaxrobust.report.runs import Rows

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

_EXACT = "gauss_newton_frobenius_squared"
_GROUP = re.compile(re.escape(_EXACT) + r"\(count=(\d+)\)")


@dataclasses.dataclass
class _Method:
  """What the runs of one method measured."""

  runs: set[str] = dataclasses.field(default_factory=set)
  # {count: [(images, their mean curvature), one per run]}
  groups: dict[int, list[tuple[int, float]]] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(list)
  )
  # {h: [value, one per run]}; the exact curvature is at 0.
  sweep: dict[float, list[float]] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(list)
  )
  pearson: list[float] = dataclasses.field(default_factory=list)

  def label(self, name: str) -> str:
    """The line's: the method, how many runs it has, and the correlation."""
    text = name.replace("_", "-")
    if len(self.runs) > 1:
      text += f" ({len(self.runs)} runs)"
    return f"{text}, r = {np.mean(self.pearson):.2f}" if self.pearson else text


def curvature_against_count(rows: Rows, std: float | None = None) -> "Figure":
  """Mean curvature of images by how many noisy copies are recognised.

  Args:
    rows: As `evaluation.read_rows` gives them, of one or more runs; a method
      may have several runs, whose images are put together.
    std: The noise's standard deviation; None if the rows have one only.

  Returns:
    The figure: a line per method, curvature on a log axis, Pearson's r over
    the images (the mean of the runs' own) in the legend; the more of the
    method's images a group has, the larger is its point. If the rows have
    several steps h, a second panel has the finite difference against h, and
    the exact curvature dashed.

  Raises:
    ValueError: If there are no such rows, none of this standard deviation or
      of several, or if the rows mix data sets, splits, numbers of images, or
      several steps of one run.

  Example:
    >>> shared = {"run": "a", "method": "m", "seed": 0, "step": 1,
    ...   "dataset": "d", "split": "test", "perturbation": "curvature",
    ...   "strength": 0.03, "n_examples": 9}
    >>> metric = "gauss_newton_frobenius_squared(count=10)"
    >>> figure = curvature_against_count(
    ...   [{**shared, "metric": metric, "value": 2.0},
    ...    {**shared, "metric": "pearson", "value": -0.5}]
    ... )
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['m, r = -0.50']
  """
  import matplotlib.figure

  rows = [
    row
    for row in rows
    if row["perturbation"] == evaluation.CURVATURE
    and not evaluation.is_variant(row["method"])
  ]
  whole = [row for row in rows if not _GROUP.fullmatch(row["metric"])]
  if len(whole) == len(rows):
    raise ValueError(
      "rows: must have those of config.eval.curvature_examples above 0 and "
      "config.eval.curvature_std"
    )
  runs.require_one(rows, ("dataset", "split"), "all runs")
  runs.require_one(whole, ("n_examples",), "all runs")
  for run in {row["run"] for row in rows}:
    own = [row for row in rows if row["run"] == run]
    runs.require_one(own, ("method", "seed", "step"), f"run {run!r}")
  std = _one_std(rows, std)
  methods = _methods(rows, std)
  swept = any(len(method.sweep) > 2 for method in methods.values())
  figure = matplotlib.figure.Figure(
    figsize=(10.4 if swept else 6.4, 5.0), layout="constrained"
  )
  panels = figure.subplots(1, 2 if swept else 1, squeeze=False)[0]
  for (name, method), style in zip(
    methods.items(), runs.styles(), strict=False
  ):
    _draw_groups(panels[0], method, style, method.label(name))
    if swept:
      _draw_sweep(panels[1], method, style, name.replace("_", "-"))
  _dress(panels, rows[0], whole[0]["n_examples"] if whole else 0, std)
  return figure


def _one_std(rows: Rows, std: float | None) -> float:
  found = {r["strength"] for r in rows if _GROUP.fullmatch(r["metric"])}
  if std is None and len(found) == 1:
    return found.pop()
  for known in found:
    if std is not None and np.isclose(known, std, rtol=1e-3):
      return known
  raise ValueError(f"std={std}: must be one of {sorted(found)}")


def _methods(rows: Rows, std: float) -> dict[str, _Method]:
  """The rows by method, in their order."""
  methods: dict[str, _Method] = {}
  for row in rows:
    method = methods.setdefault(row["method"], _Method())
    method.runs.add(row["run"])
    group, metric = _GROUP.fullmatch(row["metric"]), row["metric"]
    if metric in (_EXACT, "finite_difference"):
      method.sweep[row["strength"]].append(row["value"])
    elif row["strength"] == std and metric == "pearson":
      method.pearson.append(row["value"])
    elif row["strength"] == std and group:
      point = row["n_examples"], row["value"]
      method.groups[int(group[1])].append(point)
  return methods


def _draw_groups(
  axes: "Axes", method: _Method, style: tuple[str, str], label: str
) -> None:
  colour, marker = style
  counts = sorted(method.groups)
  means, sizes = [], []
  for count in counts:
    images, values = zip(*method.groups[count], strict=True)
    means.append(np.average(values, weights=images))
    sizes.append(sum(images))
  axes.plot(
    counts, means, color=colour, marker=marker, ms=3, lw=1.2, label=label
  )
  share = np.asarray(sizes) / sum(sizes)
  axes.scatter(
    counts, means, 12 + 220 * share, color=colour, marker=marker, alpha=0.35,
    linewidths=0,
  )  # fmt: skip


def _draw_sweep(
  axes: "Axes", method: _Method, style: tuple[str, str], label: str
) -> None:
  colour, marker = style
  means = {h: float(np.mean(v)) for h, v in sorted(method.sweep.items())}
  exact = means.pop(0.0, None)
  axes.plot(
    list(means),
    list(means.values()),
    color=colour,
    marker=marker,
    ms=4,
    label=label,
  )
  if exact is not None:
    axes.axhline(exact, color=colour, ls="--", lw=1)


def _dress(panels, row, images: int, std: float) -> None:
  """Scales, titles and legends."""
  left = panels[0]
  pixels = 255 * std
  whole = math.isclose(pixels, round(pixels), abs_tol=1e-4)
  noise = f"{round(pixels)}/255" if whole else f"{std:g}"
  left.set_xlabel(f"recognised of 10 copies with Gaussian noise, std {noise}")
  left.set_ylabel(r"mean $\|H\|_F^2$ of the images, input units")
  left.set_title(
    f"{images:,} images of {row['dataset']} ({row['split']})", fontsize="medium"
  )
  left.set_xticks(range(11))
  # Below, since the lines of many methods leave no room between them.
  left.legend(
    title="trained with",
    frameon=False,
    loc="upper center",
    bbox_to_anchor=(0.5, -0.16),
    ncols=2,
    fontsize="small",
  )
  for right in panels[1:]:
    right.set_xscale("log")
    right.set_xlabel("step h of the finite difference, input units")
    right.set_ylabel(r"mean estimate of $\|H\|_F^2$, input units")
    right.set_title(
      "finite difference; dashed: exact, without kinks", fontsize="medium"
    )
    right.legend(frameon=False)
  for axes in panels:
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def main(argv: list[str] | None = None) -> int:
  """Draws the figure of some runs and returns the exit code."""
  parser = argparse.ArgumentParser(
    description="Curvature against robustness, from runs' results.csv.",
  )
  runs.add_arguments(parser)
  parser.add_argument(
    "--std",
    type=float,
    help="the noise's standard deviation, if the rows have several",
  )
  args = parser.parse_args(argv)
  return runs.write(
    parser, args, lambda rows: curvature_against_count(rows, args.std)
  )


if __name__ == "__main__":
  sys.exit(main())
