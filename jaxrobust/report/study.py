"""Tables and heat maps of a study, made from its rows alone.

  python -m jaxrobust.report.study results/NAME/results.csv --out=results/NAME

writes `tables.md`, `heatmaps.png` and, if the study maps tail index against
strength, `maps.png`.
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

if TYPE_CHECKING:
  from matplotlib.figure import Figure

_MAP = re.compile(r".*alpha=([\d.]+), flip_rate=([\d.]+)\)")
_WEIGHTS = (
  ("hoyer", 0.0, "Hoyer"),
  ("share_below", 0.01, "below 0.01, %"),
  ("share_below_rms", 0.1, "below 0.1 rms, %"),
  ("exact_zeros", 0.0, "zeros, %"),
  ("weight_norm", 0.0, "weight rms"),
)

# {method: {seed: value}}
Column = dict[str, dict[int, float]]


def accuracies(
  rows: Sequence[Mapping[str, Any]], group: str
) -> dict[str, Column]:
  """Accuracy under every kind of test noise, averaged over its strengths.

  Args:
    rows: As `evaluation.read_rows` gives them.
    group: The cells whose names begin with this and a slash.

  Returns:
    {"clean", "gaussian", "alpha=0.5", ..., "all noise": {method: {seed:
    accuracy in %}}}, where "all noise" is the mean over the kinds; alpha = 2,
    which is Gaussian too, is left out of it beside "gaussian".

  Raises:
    ValueError: If the rows have no such group, or not every method was judged
      under the same noises.
  """
  cells: dict[str, Any] = collections.defaultdict(
    lambda: collections.defaultdict(lambda: collections.defaultdict(list))
  )
  for row in rows:
    name = row["perturbation"]
    if not row["run"].startswith(group + "/") or row["metric"] != "accuracy":
      continue
    if name in (evaluation.PRUNED, evaluation.WEIGHTS):
      continue
    if evaluation.is_attack(name):
      continue
    if name.startswith("alpha_stable("):
      name = name.removeprefix("alpha_stable(").removesuffix(")")
    cells[name][row["method"]][row["seed"]].append(100 * row["value"])
  if not cells:
    known = sorted({row["run"].rsplit("/", 2)[0] for row in rows})
    raise ValueError(f"group {group!r}: must be one of {known}")
  table = {
    name: {
      method: {seed: float(np.mean(v)) for seed, v in seeds.items()}
      for method, seeds in column.items()
    }
    for name, column in cells.items()
  }
  if any(column.keys() != table["clean"].keys() for column in table.values()):
    raise ValueError(f"group {group!r}: its methods have different test noises")
  twice = {"alpha=2.0"} if "gaussian" in table else set()
  noises = [table[name] for name in table.keys() - {"clean"} - twice]
  table["all noise"] = {
    method: {
      seed: float(np.mean([column[method][seed] for column in noises]))
      for seed in seeds
    }
    for method, seeds in table["clean"].items()
  }
  return table


def accuracy_table(rows: Sequence[Mapping[str, Any]], group: str) -> str:
  """The accuracies of a group as a Markdown table, mean ± spread over seeds.

  Args:
    rows: As `evaluation.read_rows` gives them.
    group: As for `accuracies`.

  Returns:
    The table. Its last column is the paired difference to Gaussian training in
    "all noise", with the standard error of its mean over seeds.
  """
  table = accuracies(rows, group)
  lines = [["trained with", *table, "to gaussian"]]
  reference = table["all noise"].get("gaussian")
  for method in table["clean"]:
    cells = [method]
    cells += [_spread(column[method].values()) for column in table.values()]
    cells.append(_difference(table["all noise"][method], reference))
    lines.append(cells)
  return _markdown(lines)


def sparsity_table(rows: Sequence[Mapping[str, Any]], group: str) -> str:
  """Sparsity of the weights, and clean accuracy after pruning, of a group.

  Args:
    rows: As `evaluation.read_rows` gives them.
    group: As for `accuracies`.

  Returns:
    A Markdown table, mean ± spread over seeds; "" if there are no such rows.
  """
  values: dict[Any, Any] = collections.defaultdict(
    lambda: collections.defaultdict(list)
  )
  shares = set()
  for row in rows:
    if not row["run"].startswith(group + "/"):
      continue
    if row["perturbation"] == evaluation.WEIGHTS:
      key = row["metric"], row["strength"]
      values[row["method"]][key].append(row["value"])
    elif (row["perturbation"], row["metric"]) == (
      evaluation.PRUNED,
      "accuracy",
    ):
      shares.add(row["strength"])
      key = "pruned", row["strength"]
      values[row["method"]][key].append(100 * row["value"])
  if not values:
    return ""
  heads = [text for _, _, text in _WEIGHTS]
  lines = [["trained with", *heads, *(f"{s:.0%} cut" for s in sorted(shares))]]
  for method, measured in values.items():
    cells = [method]
    for metric, threshold, text in _WEIGHTS:
      factor, digits = (100, 1) if text.endswith("%") else (1, 3)
      found = [factor * v for v in measured[metric, threshold]]
      cells.append(_spread(found, digits) if found else "")
    cells += [_spread(measured["pruned", share]) for share in sorted(shares)]
    lines.append(cells)
  return _markdown(lines)


def heat_maps(rows: Sequence[Mapping[str, Any]]) -> "Figure":
  """Accuracy of every training noise under every test noise, per group.

  Args:
    rows: As `evaluation.read_rows` gives them.

  Returns:
    The figure, a panel per group; numbers are means over seeds, in %.
  """
  names = groups(rows)
  figure, panels = _panels(len(names), (6.4, 4.6))
  for axes, group in zip(panels, names, strict=True):
    table = accuracies(rows, group)
    methods = list(table["clean"])
    values = np.asarray(
      [
        [np.mean(list(column[m].values())) for column in table.values()]
        for m in methods
      ]
    )
    _heat(axes, values, methods, list(table))
    axes.set_title(_title(rows, group), fontsize="medium")
    axes.set_xlabel("test noise, mean over strengths")
  return figure


def sensitivity_maps(rows: Sequence[Mapping[str, Any]]) -> "Figure":
  """Accuracy against the tail index and the strength of the training noise.

  Args:
    rows: As `evaluation.read_rows` gives them, with groups `map-DATASET`.

  Returns:
    The figure: per data set, the clean accuracy and that under all noise.

  Raises:
    ValueError: If the rows have no such group.
  """
  names = groups(rows, maps=True)
  if not names:
    raise ValueError("rows: no group map-DATASET")
  figure, panels = _panels(2 * len(names), (4.6, 3.2))
  for position, group in enumerate(names):
    table = accuracies(rows, group)
    for axes, column in zip(
      panels[2 * position :], ("clean", "all noise"), strict=False
    ):
      points = {}
      for method, seeds in table[column].items():
        found = _MAP.match(method)
        assert found is not None
        alpha, rate = map(float, found.groups())
        points[alpha, rate] = np.mean(list(seeds.values()))
      alphas, rates = (sorted({p[k] for p in points}) for k in (0, 1))
      values = np.asarray(
        [[points.get((a, r), np.nan) for r in rates] for a in alphas]
      )
      _heat(axes, values, alphas, rates)
      axes.set_title(f"{_title(rows, group)}: {column}", fontsize="medium")
      axes.set_xlabel("training noise: P(|noise| > 0.5)")
      axes.set_ylabel("its tail index")
  return figure


def groups(rows: Sequence[Mapping[str, Any]], maps: bool = False) -> list[str]:
  """The groups "DATASET/MODEL" of a study's rows, maps or the others."""
  names = dict.fromkeys("/".join(row["run"].split("/")[:2]) for row in rows)
  return [name for name in names if name.startswith("map-") == maps]


def _title(rows: Sequence[Mapping[str, Any]], group: str) -> str:
  own = [row for row in rows if row["run"].startswith(group + "/")]
  seeds = len({row["seed"] for row in own})
  return (
    f"{group.removeprefix('map-')} ({seeds} seeds, "
    f"{own[0]['n_examples']:,} test examples)"
  )


def _panels(count: int, size: tuple[float, float]) -> tuple["Figure", Any]:
  import matplotlib.figure

  columns = min(count, 2)
  lines = math.ceil(count / columns)
  figure = matplotlib.figure.Figure(
    figsize=(size[0] * columns, size[1] * lines), layout="constrained"
  )
  panels = figure.subplots(lines, columns, squeeze=False).ravel()
  for axes in panels[count:]:
    axes.remove()
  return figure, panels[:count]


def _heat(
  axes: Any, values: np.ndarray, lines: Sequence[Any], columns: Sequence[Any]
) -> None:
  """One heat map with its numbers written into it."""
  image = axes.imshow(values, cmap="cividis", aspect="auto")
  axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
  axes.set_yticks(range(len(lines)), lines)
  middle = (np.nanmin(values) + np.nanmax(values)) / 2
  for (y, x), value in np.ndenumerate(values):
    if np.isnan(value):
      continue
    colour = "black" if value > middle else "white"
    axes.text(
      x, y, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=7
    )
  axes.figure.colorbar(image, ax=axes, label="accuracy, %")


def _spread(values: Any, digits: int = 1) -> str:
  values = list(values)
  spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
  return f"{np.mean(values):.{digits}f} ± {spread:.{digits}f}"


def _difference(
  own: Mapping[int, float], reference: Mapping[int, float] | None
) -> str:
  if reference is None or own is reference:
    return ""
  gaps = [own[seed] - reference[seed] for seed in own if seed in reference]
  if len(gaps) < 2:
    return ""
  error = np.std(gaps, ddof=1) / math.sqrt(len(gaps))
  return f"{np.mean(gaps):+.2f} ({error:.2f})"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
  head, *body = lines
  rule = ["---", *["---:"] * (len(head) - 1)]
  return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *body))


def _tables(rows: Sequence[Mapping[str, Any]]) -> str:
  parts = [
    "Accuracy in %, mean ± standard deviation over seeds, each kind of test "
    "noise averaged over its strengths; all noise is the mean over the kinds, "
    "with alpha=2.0 left out, as it is Gaussian again. The last column is the "
    "difference to Gaussian training in all noise, paired by seed, with the "
    "standard error of its mean. The lower table has the sparsity of the "
    "weights and the clean accuracy after magnitude pruning."
  ]
  for group in groups(rows):
    parts += [f"## {_title(rows, group)}", accuracy_table(rows, group)]
    parts.append(sparsity_table(rows, group))
  return "\n\n".join(part for part in parts if part) + "\n"


def _figures(
  rows: runs.Rows,
) -> dict[str, Callable[[runs.Rows], "Figure"]]:
  drawn = {"heatmaps.png": heat_maps}
  if groups(rows, maps=True):
    drawn["maps.png"] = sensitivity_maps
  return drawn


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the tables and figures of a study and returns the exit code."""
  what = "Tables and heat maps of a study, from its results.csv."
  return runs.write_study(argv, what, _tables, _figures)


if __name__ == "__main__":
  sys.exit(main())
