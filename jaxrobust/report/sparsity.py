"""What magnitude pruning costs, beside how sparse the weights were.

  python -m jaxrobust.report.sparsity RUN [RUN ...] --out=FILE.png

draws accuracy against the share of weights that is pruned, a line per method,
and for every run its Hoyer sparsity and its root mean square weight. Runs have
the rows if `config.eval.sparsity` was True, or after
`jaxrobust evaluate --sparsity`.
"""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrobust import evaluation
from jaxrobust.report import runs

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class _Network:
  """One trained network: its pruning curve and its weights' metrics."""

  curve: dict[float, float]  # share cut to accuracy; the clean one at 0
  weights: dict[str, float]  # those without a threshold


def accuracy_after_pruning(rows: Sequence[Mapping[str, Any]]) -> "Figure":
  """Accuracy of every method after magnitude pruning, and its sparsity.

  Args:
    rows: As `evaluation.read_rows` gives them, of one or more runs; a method
      may have several runs, with a seed each.

  Returns:
    The figure: on the left a line per method, the mean over its runs in a
    band from their lowest to their highest; on the right a point per run and
    a bar up to their mean.

  Raises:
    ValueError: If a run lacks these rows, if the rows mix data sets, splits or
      pruned shares, or if a method has a seed twice or a run of several steps.
  """
  import matplotlib.figure

  networks = _networks(rows)
  figure = matplotlib.figure.Figure(figsize=(8.4, 4.2), layout="constrained")
  grid = figure.add_gridspec(2, 2, width_ratios=(3, 2))
  left = figure.add_subplot(grid[:, 0])
  above = figure.add_subplot(grid[0, 1])
  below = figure.add_subplot(grid[1, 1], sharex=above)
  several = any(len(of_method) > 1 for of_method in networks.values())
  for place, ((method, of_method), style) in enumerate(
    zip(networks.items(), runs.styles(), strict=False)
  ):
    name = method.replace("_", "-")
    _curve(left, of_method, style, f"{name} ({len(of_method)})")
    for axes, metric in ((above, "hoyer"), (below, "weight_norm")):
      values = [network.weights[metric] for network in of_method]
      _points(axes, place, values, style)
  first = rows[0]
  left.set_xlim(-3, 100)
  left.set_xlabel("smallest kernel weights set to zero, %")
  left.set_ylabel(f"accuracy on {first['dataset']} ({first['split']}), %")
  spread = "; mean and range over runs" if several else ""
  left.set_title(f"{first['n_examples']:,} examples{spread}", fontsize="medium")
  left.legend(title="trained with (runs)", frameon=False)
  above.set_ylabel("Hoyer sparsity")
  above.set_title("kernel weights before pruning", fontsize="medium")
  above.tick_params(labelbottom=False)
  for axes in (above, below):
    axes.margins(y=0.25)  # Room for the numbers.
  below.set_ylabel("root mean square")
  below.set_xticks(
    range(len(networks)),
    [method.replace("_", "-") for method in networks],
    rotation=30,
    ha="right",
    rotation_mode="anchor",
  )
  below.set_xlim(-0.6, len(networks) - 0.4)
  for axes in (left, above, below):
    axes.grid(alpha=0.3, axis="both" if axes is left else "y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
  return figure


def _curve(
  axes: "Axes",
  networks: Sequence[_Network],
  style: tuple[str, str],
  label: str,
) -> None:
  shares = sorted(networks[0].curve)
  percent = 100 * np.asarray([[n.curve[s] for s in shares] for n in networks])
  places = [100 * share for share in shares]
  colour, marker = style
  axes.plot(
    places, percent.mean(axis=0), color=colour, marker=marker, label=label
  )
  if len(networks) > 1:
    low, high = percent.min(axis=0), percent.max(axis=0)
    axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)


def _points(
  axes: "Axes", place: int, values: Sequence[float], style: tuple[str, str]
) -> None:
  colour, marker = style
  mean = np.mean(values)
  # From zero, so that small differences look small.
  axes.bar(place, mean, width=0.5, color=colour, alpha=0.3)
  axes.plot([place] * len(values), values, color=colour, marker=marker, ls="")
  axes.annotate(
    f"{mean:.3g}",
    (place, max(values)),
    xytext=(0, 6),
    textcoords="offset points",
    ha="center",
    fontsize="small",
  )


def _networks(
  rows: Sequence[Mapping[str, Any]],
) -> dict[str, list[_Network]]:
  """The networks of each method, checked to be comparable."""
  # Attacks and curvature are of fewer examples; and only a
  # run's own way of being judged is pruned.
  rows = [
    row
    for row in rows
    if not evaluation.is_attack(row["perturbation"])
    and row["perturbation"] != evaluation.CURVATURE
    and not evaluation.is_variant(row["method"])
  ]
  runs.require_one(rows, ("dataset", "split", "n_examples"), "all runs")
  by_method: dict[str, dict[tuple[str, int], list[Mapping[str, Any]]]] = {}
  for row in rows:
    of_method = by_method.setdefault(row["method"], {})
    of_method.setdefault((row["run"], row["seed"]), []).append(row)
  networks = {}
  for method, of_method in by_method.items():
    seeds = sorted(seed for _, seed in of_method)
    if len(set(seeds)) < len(seeds):
      raise ValueError(
        f"rows of method {method!r}: must have one run per seed, not the "
        f"seeds {seeds}"
      )
    networks[method] = [_network(*named) for named in of_method.items()]
  shares = {tuple(sorted(n.curve)) for of in networks.values() for n in of}
  if len(shares) > 1:
    raise ValueError(
      f"rows of all runs: must have the same pruned shares, not "
      f"{sorted(shares)}"
    )
  return networks


def _network(
  name: tuple[str, int], rows: Sequence[Mapping[str, Any]]
) -> _Network:
  whose = f"run {name[0]!r}, seed {name[1]}"
  runs.require_one(rows, ("step",), whose)
  curve, weights = {}, {}
  for row in rows:
    cell, metric = row["perturbation"], row["metric"]
    if cell in ("clean", evaluation.PRUNED) and metric == "accuracy":
      curve[row["strength"]] = row["value"]
    elif cell == evaluation.WEIGHTS and not row["strength"]:
      weights[metric] = row["value"]
  if len(curve) < 2 or not {"hoyer", "weight_norm"} <= weights.keys():
    raise ValueError(
      f"rows of {whose}: must have those that `jaxrobust evaluate --sparsity` "
      "writes"
    )
  return _Network(curve, weights)


def main(argv: Sequence[str] | None = None) -> int:
  """Draws the figure of some runs and returns the exit code."""
  parser = argparse.ArgumentParser(
    description="Accuracy after pruning, from runs' results.csv.",
  )
  runs.add_arguments(parser)
  return runs.write(parser, parser.parse_args(argv), accuracy_after_pruning)


if __name__ == "__main__":
  sys.exit(main())
