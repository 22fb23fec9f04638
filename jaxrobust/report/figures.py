"""Figures made from result rows alone.

  python -m jaxrobust.report.figures RUN [RUN ...] --out=FILE.png

draws accuracy against the strength of one test noise, a line per run, with
its 95 % interval.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxrobust import evaluation
from jaxrobust.report import runs

if TYPE_CHECKING:
  from matplotlib.figure import Figure


def accuracy_against_strength(
  rows: Sequence[Mapping[str, Any]],
  perturbation: str = "alpha_stable(alpha=1.0)",
) -> "Figure":
  """Accuracy of every method in the rows against the strength of a noise.

  Of a regression it is the root of the mean squared error, without a band.

  Args:
    rows: As `evaluation.read_rows` gives them, of one or more runs; the clean
      rows are the points at the strength that changes nothing, but not of an
      attack, which is judged on fewer examples.
    perturbation: Which test noise, or attack.

  Returns:
    The figure: a line per method with its 95 % Wilson band.

  Raises:
    ValueError: If no row has this perturbation, or if the rows mix data
      sets, splits, or several runs of one method, which a line cannot show.
  """
  import matplotlib.figure

  # The rows of the weights belong to no judged cell and have no accuracy.
  # The same goes for those of the network itself.
  uncounted = (
    evaluation.WEIGHTS,
    evaluation.NETWORK,
    evaluation.FEATURES,
    evaluation.CURVATURE,
  )
  rows = [row for row in rows if row["perturbation"] not in uncounted]
  # A clean row is a point of every line and no noise of its own.
  known = sorted({row["perturbation"] for row in rows} - {"clean"})
  if perturbation not in known:
    raise ValueError(f"perturbation {perturbation!r}: must be one of {known}")
  attacked = evaluation.is_attack(perturbation)
  rows = [
    row for row in rows if evaluation.is_attack(row["perturbation"]) == attacked
  ]
  runs.require_one(rows, ("dataset", "split", "n_examples"), "all runs")
  for method in {row["method"] for row in rows}:
    of_method = [row for row in rows if row["method"] == method]
    runs.require_one(of_method, ("run", "seed", "step"), f"method {method!r}")
  lines: dict[str, dict[float, dict[str, float]]] = {}
  for row in rows:
    strength = row["strength"]
    if row["perturbation"] == "clean":
      strength = clean_strength(perturbation)
    elif row["perturbation"] != perturbation:
      continue
    if strength is not None:
      points = lines.setdefault(row["method"], {})
      points.setdefault(strength, {})[row["metric"]] = row["value"]
  regression = any(row["metric"] == "rmse" for row in rows)
  headline, factor = ("rmse", 1) if regression else ("accuracy", 100)
  figure = matplotlib.figure.Figure(figsize=(6.4, 4.0), layout="constrained")
  axes = figure.subplots()
  for (method, points), (colour, marker) in zip(
    lines.items(), runs.styles(), strict=False
  ):
    strengths = sorted(points)

    def values(metric, points=points, strengths=strengths):
      return [factor * points[s][metric] for s in strengths]

    axes.plot(
      strengths,
      values(headline),
      color=colour,
      marker=marker,
      label=method.replace("_", "-"),
    )
    if regression:
      continue
    axes.fill_between(
      strengths,
      values("accuracy_low"),
      values("accuracy_high"),
      color=colour,
      alpha=0.2,
      linewidth=0,
    )
  first = rows[0]
  axes.set_xlabel(strength_label(perturbation))
  where = f"on {first['dataset']} ({first['split']})"
  intervals = "" if regression else ", 95 % intervals"
  axes.set_ylabel(f"RMSE {where}" if regression else f"accuracy {where}, %")
  axes.set_title(
    f"{first['n_examples']:,} examples{intervals}", fontsize="medium"
  )
  axes.grid(alpha=0.3)
  axes.spines[["top", "right"]].set_visible(False)
  axes.legend(title="trained with", frameon=False)
  return figure


def clean_strength(perturbation: str) -> float | None:
  """The strength at which a perturbation is none.

  Args:
    perturbation: As rows name it.

  Returns:
    The strength, or None if there is none.

  Example:
    >>> clean_strength("gaussian"), clean_strength("resolution")
    (0.0, 1.0)
  """
  if perturbation.startswith("gaussian+patches"):
    return None  # Without noise there are still the patches.
  if perturbation == "shot":
    return None  # Endless light.
  return 1.0 if perturbation == "resolution" else 0.0


def strength_label(perturbation: str) -> str:
  """What the strength of a perturbation measures, for an axis.

  Args:
    perturbation: As rows name it.

  Returns:
    Words with the unit.

  Example:
    >>> strength_label("gaussian")
    'standard deviation of Gaussian test noise'
  """
  if perturbation == evaluation.PRUNED:
    return "share of the kernel weights pruned"
  if perturbation == "gaussian":
    return "standard deviation of Gaussian test noise"
  corruption = re.match(r"patches\(side=(\d+)\)", perturbation)
  if corruption is not None:
    return f"number of black squares of {corruption[1]} pixels a side"
  words = _CORRUPTIONS.get(perturbation.partition("(")[0])
  if words:
    return words.format(perturbation)
  if evaluation.is_attack(perturbation):
    return f"radius of {perturbation}, in units of the input"
  alpha = re.match(r"(alpha_stable|burst)\(alpha=([^,)]+)", perturbation)
  if alpha is None:
    return f"strength of {perturbation}"
  kind, value = alpha.groups()
  name = "Cauchy" if float(value) == 1 else f"alpha-stable (alpha = {value})"
  what = f"bursts of {name} noise" if kind == "burst" else f"{name} test noise"
  inside = " inside bursts" if kind == "burst" else ""
  return f"strength of {what}: P(|noise| > 0.5){inside}"


_CORRUPTIONS = {
  "uniform": "largest change by uniform test noise",
  "resolution": "height and width kept, as a share",
  "salt_and_pepper": "share of pixels made black or white",
  "gaussian+patches": "standard deviation of the noise of {}",
}


def main(argv: Sequence[str] | None = None) -> int:
  """Draws the figure of some runs and returns the exit code."""
  parser = argparse.ArgumentParser(
    description="Accuracy against noise strength, from runs' results.csv.",
  )
  runs.add_arguments(parser)
  parser.add_argument(
    "--perturbation",
    default="alpha_stable(alpha=1.0)",
    help="as the rows name it (default: %(default)s)",
  )
  args = parser.parse_args(argv)
  return runs.write(
    parser,
    args,
    lambda rows: accuracy_against_strength(rows, args.perturbation),
  )


if __name__ == "__main__":
  sys.exit(main())
