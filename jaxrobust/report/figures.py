"""Figures made from result rows alone.

  python -m jaxrobust.report.figures RUN [RUN ...] --out=FILE.png

draws accuracy against the strength of one test noise, a line per run, with
its 95 % interval.
"""

import argparse
import itertools
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxrobust import evaluation

if TYPE_CHECKING:
  from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart with any colour vision, and in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "osD^vP"


def accuracy_against_strength(
  rows: Sequence[Mapping[str, Any]],
  perturbation: str = "alpha_stable(alpha=1.0)",
) -> "Figure":
  """Accuracy of every method in the rows against the strength of a noise.

  Args:
    rows: As `evaluation.read_rows` gives them, of one or more runs; the clean
      rows are the points at strength 0.
    perturbation: Which test noise.

  Returns:
    The figure: a line per method with its 95 % Wilson band.

  Raises:
    ValueError: If no row has this perturbation, or if the rows mix data
      sets, splits, or several runs of one method, which a line cannot show.
  """
  import matplotlib.figure

  if not any(row["perturbation"] == perturbation for row in rows):
    known = sorted({row["perturbation"] for row in rows})
    raise ValueError(f"perturbation {perturbation!r}: must be one of {known}")
  _one_of_each(rows, ("dataset", "split", "n_examples"), "all runs")
  for method in {row["method"] for row in rows}:
    of_method = [row for row in rows if row["method"] == method]
    _one_of_each(of_method, ("run", "seed", "step"), f"method {method!r}")
  lines: dict[str, dict[float, dict[str, float]]] = {}
  for row in rows:
    if row["perturbation"] in ("clean", perturbation):
      points = lines.setdefault(row["method"], {})
      points.setdefault(row["strength"], {})[row["metric"]] = row["value"]
  figure = matplotlib.figure.Figure(figsize=(6.4, 4.0), layout="constrained")
  axes = figure.subplots()
  styles = zip(itertools.cycle(_COLOURS), itertools.cycle(_MARKERS[:5]))
  for (method, points), (colour, marker) in zip(
    lines.items(), styles, strict=False
  ):
    strengths = sorted(points)

    def percent(metric, points=points, strengths=strengths):
      return [100 * points[s][metric] for s in strengths]

    axes.plot(
      strengths,
      percent("accuracy"),
      color=colour,
      marker=marker,
      label=method.replace("_", "-"),
    )
    axes.fill_between(
      strengths,
      percent("accuracy_low"),
      percent("accuracy_high"),
      color=colour,
      alpha=0.2,
      linewidth=0,
    )
  first = rows[0]
  axes.set_xlabel(_strength_label(perturbation))
  axes.set_ylabel(f"accuracy on {first['dataset']} ({first['split']}), %")
  axes.set_title(
    f"{first['n_examples']:,} examples, 95 % intervals", fontsize="medium"
  )
  axes.grid(alpha=0.3)
  axes.spines[["top", "right"]].set_visible(False)
  axes.legend(title="trained with", frameon=False)
  return figure


def _one_of_each(
  rows: Sequence[Mapping[str, Any]], columns: Sequence[str], whose: str
) -> None:
  for column in columns:
    values = sorted({row[column] for row in rows}, key=str)
    if len(values) > 1:
      raise ValueError(f"rows of {whose}: must have one {column}, not {values}")


def _strength_label(perturbation: str) -> str:
  if perturbation == "gaussian":
    return "standard deviation of Gaussian test noise"
  alpha = perturbation.partition("alpha=")[2].rstrip(")")
  name = "Cauchy" if float(alpha) == 1 else f"alpha-stable (alpha = {alpha})"
  return f"strength of {name} test noise: P(|noise| > 0.5)"


def main(argv: Sequence[str] | None = None) -> int:
  """Draws the figure of some runs and returns the exit code."""
  parser = argparse.ArgumentParser(
    description="Accuracy against noise strength, from runs' results.csv.",
  )
  parser.add_argument("runs", nargs="+", help="folders of runs")
  parser.add_argument("--out", required=True, help="the picture, .png or .svg")
  parser.add_argument(
    "--perturbation",
    default="alpha_stable(alpha=1.0)",
    help="as the rows name it (default: %(default)s)",
  )
  args = parser.parse_args(argv)

  rows = []
  for run in args.runs:
    path = pathlib.Path(run) / "results.csv"
    if not path.exists():
      parser.error(f"{path}: not found; is this a run's folder?")
    rows += evaluation.read_rows(path)
  try:
    figure = accuracy_against_strength(rows, args.perturbation)
  except ValueError as error:
    parser.error(str(error))
  pathlib.Path(args.out).parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(args.out, dpi=150)
  print(args.out)
  return 0


if __name__ == "__main__":
  sys.exit(main())
