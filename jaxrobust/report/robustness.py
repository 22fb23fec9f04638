"""Tables and figures of a study of attacks, made from its rows alone.

  python -m jaxrobust.report.robustness results/NAME/results.csv \
    --out=results/NAME

writes `tables.md`, `curves.png` and, if the study has several strengths of the
noise inside a network, `sigma_against_eps.png`.
"""

import collections
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrobust import evaluation
from jaxrobust.report import runs
from jaxrobust.report.radii import Rows as Rows
from jaxrobust.report.radii import Table as Table
from jaxrobust.report.radii import by_radius, group_of
from jaxrobust.report.radii import groups as groups
from jaxrobust.report.radii import half_radii as half_radii
from jaxrobust.report.radii import half_radius as half_radius
from jaxrobust.report.radii import measured as measured

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

# As a study names the methods whose noise it varies.
_SIGMA = re.compile(r"expected_mse, (\w+), sigma=([\d.]+)")
_NO_NOISE = "mse, sigma=0"
_LEVELS = ("standard", "pgd_training(eps=0.1)", "pgd_training(eps=8/255)")
_NETWORK = {
  "path_norm": ("path norm", 2),
  "sigma": ("sigma", 3),
  "flops_per_example": ("Mflop", 2),
}


def table(rows: Rows, group: str) -> str:
  """The numbers of a group as a Markdown table, mean ± spread over seeds.

  Args:
    rows: As `evaluation.read_rows` gives them.
    group: As for `measured`.

  Returns:
    A line per method: accuracies in %, the radius at which half are right, and
    the network's own numbers.

  Raises:
    ValueError: If the rows have no such group.

  Example:
    >>> row = {"run": "mnist/a/0", "method": "a", "seed": 0, "metric":
    ...   "accuracy", "perturbation": "clean", "strength": 0.0, "value": 0.5}
    >>> print(table([row], "mnist").splitlines()[-1])
    | a | 50.0 ± 0.0 |  | none |
  """
  found = measured(rows, group)
  attacks = _attacks(found)
  extra = [
    m for m in _NETWORK if any(m in columns for columns in found.values())
  ]
  heads = ["trained with", "clean", "noise"]
  heads += [f"{_short(name)} {_radius(eps)}" for name, eps in attacks]
  heads += ["radius at 50 %", *(_NETWORK[metric][0] for metric in extra)]
  lines = [heads]
  for method, columns in found.items():
    line = [method]
    line += [_spread(columns.get(c, {})) for c in ("clean", "noise", *attacks)]
    line.append(_spread(half_radii(columns), 3))
    line += [_spread(columns.get(m, {}), _NETWORK[m][1]) for m in extra]
    lines.append(line)
  head, *body = lines
  rule = ["---", *["---:"] * (len(head) - 1)]
  return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *body))


def curves(rows: Rows) -> "Figure":
  """Accuracy under the strongest attack against its radius, a panel per group.

  Args:
    rows: As `evaluation.read_rows` gives them.

  Returns:
    The figure: a line per method, the mean over seeds.

  Example:
    >>> row = {"run": "mnist/a/0", "method": "a", "seed": 0, "metric":
    ...   "accuracy", "perturbation": "clean", "strength": 0.0, "value": 0.5}
    >>> [axes.get_title() for axes in curves([row]).axes]
    ['mnist']
  """
  import matplotlib.figure

  names = groups(rows)
  columns = min(len(names), 2)
  lines = math.ceil(len(names) / columns)
  figure = matplotlib.figure.Figure(
    figsize=(6.4 * columns, 4.4 * lines), layout="constrained"
  )
  panels = figure.subplots(lines, columns, squeeze=False).ravel()
  for axes in panels[len(names) :]:
    axes.remove()
  for axes, group in zip(panels, names, strict=False):
    # More lines than colours: the style of the line changes with each round.
    for number, (method, found) in enumerate(measured(rows, group).items()):
      mean = _mean_curve(found)
      style = ("-", "--", ":")[number // 10 % 3]
      axes.plot(
        list(mean), list(mean.values()), marker="o", ls=style, label=method
      )
    axes.set(title=group, xlabel="eps", ylabel="accuracy, %", ylim=(0, 100))
    axes.legend(fontsize=6)
  return figure


def sigma_against_eps(rows: Rows) -> "Figure":
  """What radius a strength of the noise inside is worth.

  Args:
    rows: As `evaluation.read_rows` gives them, with methods named
      "expected_mse, RELU, sigma=S".

  Returns:
    The figure, two panels per group with such methods: the radius at which half
    of the examples are still right, and the clean accuracy, against sigma, a
    line per rule for ReLU, with all seeds as points. Methods without noise, of
    this group or of those without such methods on the same data set, are
    horizontal lines.

  Raises:
    ValueError: If the rows have no such methods.

  Example:
    >>> name = "expected_mse, laplace, sigma=0.6"
    >>> row = {"run": f"mnist/{name}/0", "method": name, "seed": 0, "metric":
    ...   "accuracy", "perturbation": "clean", "strength": 0.0, "value": 0.5}
    >>> [axes.get_title() for axes in sigma_against_eps([row]).axes]
    ['mnist', 'mnist']
  """
  import matplotlib.figure

  varied = _noise_varied(rows)
  if not varied:
    raise ValueError("rows: no methods named 'expected_mse, RELU, sigma=S'")
  figure = matplotlib.figure.Figure(
    figsize=(11, 4.4 * len(varied)), layout="constrained"
  )
  panels = figure.subplots(len(varied), 2, squeeze=False)
  for (left, right), (group, found) in zip(panels, varied.items(), strict=True):
    _against_sigma(left, {m: half_radii(c) for m, c in found.items()})
    _against_sigma(right, {m: c["clean"] for m, c in found.items()})
    left.set(title=group, ylabel="radius at which half are right")
    right.set(title=group, ylabel="clean accuracy, %")
    right.legend(fontsize="small", loc="lower left")
  return figure


def _noise_varied(rows: Rows) -> dict[str, Table]:
  """The methods of every group that varies the noise, and its baselines."""
  tables = {group: measured(rows, group) for group in groups(rows)}
  varied = {
    group: dict(found)
    for group, found in tables.items()
    if any(_SIGMA.fullmatch(method) for method in found)
  }
  # A group that varies the noise may have a network of its own.
  for other, baselines in tables.items():
    for group, found in varied.items():
      if other not in varied and _dataset(other) == _dataset(group):
        for method, columns in baselines.items():
          found.setdefault(method, columns)
  return varied


def _dataset(group: str) -> str:
  return group.partition("/")[0]


def _against_sigma(
  axes: "Axes", values: Mapping[str, Mapping[int, float]]
) -> None:
  """Draws {method: {seed: value}} against the sigma in the method's name."""
  lines: dict[str, dict[float, str]] = collections.defaultdict(dict)
  for method in values:
    match = _SIGMA.fullmatch(method)
    if match:
      lines[match[1]][float(match[2])] = method
  for number, (relu, methods) in enumerate(sorted(lines.items())):
    points = dict(sorted(methods.items()))
    if _NO_NOISE in values:
      points = {0.0: _NO_NOISE, **points}
    colour = f"C{number}"
    means = [np.mean(list(values[m].values())) for m in points.values()]
    axes.plot(list(points), means, color=colour, label=relu)
    for sigma, method in points.items():
      seeds = list(values[method].values())
      axes.plot([sigma] * len(seeds), seeds, "o", color=colour, ms=3)
  for style, method in zip((":", "--", "-."), _LEVELS, strict=True):
    if method in values:
      level = float(np.mean(list(values[method].values())))
      axes.axhline(level, color="grey", ls=style, label=method)
  axes.set_xlabel("sigma of the noise on the first pre-activation")


def _attacks(found: Table) -> list[tuple[str, float]]:
  """Every attack of a table, by name and rising radius."""
  every = {c for columns in found.values() for c in columns}
  return sorted(c for c in every if isinstance(c, tuple))


def _mean_curve(
  columns: Mapping[Any, Mapping[int, float]],
) -> dict[float, float]:
  every = list(by_radius(columns).values())
  return {
    eps: float(np.mean([curve[eps] for curve in every]))
    for eps in sorted(every[0])
  }


def _short(name: str) -> str:
  """The name of an attack without its settings."""
  return name.partition("(")[0].upper()


def _radius(eps: float) -> str:
  pixels = 255 * eps
  whole = math.isclose(pixels, round(pixels), abs_tol=1e-6)
  return f"{round(pixels)}/255" if whole and eps < 0.05 else f"{eps:g}"


def _spread(values: Mapping[int, float], digits: int = 1) -> str:
  if not values:
    return ""
  seeds = list(values.values())
  if any(math.isnan(v) for v in seeds):
    return "none"
  spread = np.std(seeds, ddof=1) if len(seeds) > 1 else 0.0
  return f"{np.mean(seeds):.{digits}f} ± {spread:.{digits}f}"


def _tables(rows: Rows) -> str:
  parts = [
    "Accuracy in %, mean ± standard deviation over seeds. Clean and under "
    "noise (the mean over the test noises) on all test images; under FGSM and "
    "PGD, each the worst of cross-entropy and margin, at these radii on the "
    "first ones. Radius at 50 %: that at which half of the images are still "
    "right, between two radii by a straight line, with the clean accuracy at "
    "0. Path norm: from the first layer to the logits, l2. Mflop: of one "
    "prediction.",
  ]
  for group in groups(rows):
    own = [row for row in rows if group_of(row) == group]
    seeds = len({row["seed"] for row in own})
    judged = [row for row in own if row["perturbation"] != evaluation.CURVATURE]
    counts = sorted({row["n_examples"] for row in judged}, reverse=True)
    examples = " and ".join(f"{count:,}" for count in counts)
    parts += [
      f"## {group} ({seeds} seeds, {examples} test examples)",
      table(rows, group),
    ]
  return "\n\n".join(parts) + "\n"


def _figures(rows: Rows) -> dict[str, Callable[[Rows], "Figure"]]:
  drawn = {"curves.png": curves}
  if any(_SIGMA.fullmatch(row["method"]) for row in rows):
    drawn["sigma_against_eps.png"] = sigma_against_eps
  return drawn


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the tables and figures of a study and returns the exit code."""
  what = "Tables and figures of a study of attacks, from its rows."
  return runs.write_study(argv, what, _tables, _figures)


if __name__ == "__main__":
  sys.exit(main())
