"""Tables and figures of a study of attacks, made from its rows alone.

  python -m jaxrobust.report.robustness results/NAME/results.csv \
    --out=results/NAME

writes `tables.md`, `curves.png` and, if the study has several strengths of the
noise inside a network, `sigma_against_eps.png`.
"""

import argparse
import collections
import itertools
import math
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrobust import data, evaluation

if TYPE_CHECKING:
  from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
# {method: {column: {seed: value}}}; columns "clean", ("pgd", eps), ...
Table = dict[str, dict[Any, dict[int, float]]]

# As a study names the methods whose noise it varies.
_SIGMA = re.compile(r"expected_mse, (\w+), sigma=([\d.]+)")
_NO_NOISE = "mse, sigma=0"
_NETWORK = {
  "path_norm": ("path norm", 2),
  "sigma": ("sigma", 3),
  "flops_per_example": ("Mflop", 2),
}


def measured(rows: Rows, group: str) -> Table:
  """The numbers of every method of a group, by column and seed.

  Args:
    rows: As `evaluation.read_rows` gives them.
    group: The cells whose names begin with this and a slash.

  Returns:
    {method: {column: {seed: value}}} with the columns "clean", "noise" (the
    mean over the test noises), (name, eps) of each attack, in %, and the
    metrics of the network itself.

  Raises:
    ValueError: If the rows have no such group.

  Example:
    >>> row = {"run": "mnist/a/0", "method": "a", "seed": 0, "metric":
    ...   "accuracy", "perturbation": "clean", "strength": 0.0, "value": 0.5}
    >>> measured([row], "mnist")
    {'a': {'clean': {0: 50.0}}}
  """
  found: Any = collections.defaultdict(
    lambda: collections.defaultdict(lambda: collections.defaultdict(list))
  )
  for row in rows:
    if not row["run"].startswith(group + "/"):
      continue
    name, metric = row["perturbation"], row["metric"]
    if name == evaluation.NETWORK:
      scale = 1e-6 if metric == "flops_per_example" else 1.0
      column, value = metric, scale * row["value"]
    elif metric == "accuracy":
      column, value = "noise", 100 * row["value"]
      if name == "clean":
        column = "clean"
      elif evaluation.is_attack(name):
        column = name, row["strength"]
    else:
      continue
    found[row["method"]][column][row["seed"]].append(value)
  if not found:
    raise ValueError(f"group {group!r}: must be one of {groups(rows)}")
  return {
    method: {
      column: {seed: float(np.mean(v)) for seed, v in seeds.items()}
      for column, seeds in columns.items()
    }
    for method, columns in found.items()
  }


def groups(rows: Rows) -> list[str]:
  """The names of a study's groups: of its cells without their methods."""
  return list(dict.fromkeys(_group_of(row) for row in rows))


def _group_of(row: Mapping[str, Any]) -> str:
  return row["run"].removesuffix(f"/{row['method']}/{row['seed']}")


def half_radius(curve: Mapping[float, float]) -> float:
  """The radius at which half of the examples are still right.

  Args:
    curve: Accuracy in % by radius, the clean one at radius 0.

  Returns:
    The radius, between two of them by a straight line; not a number if the
    accuracy is below or above 50 % at all of them.

  Example:
    >>> half_radius({0.0: 100.0, 0.1: 75.0, 0.2: 25.0})
    0.15000000000000002
  """
  radii = sorted(curve)
  for low, high in itertools.pairwise(radii):
    if curve[low] >= 50 > curve[high]:
      share = (curve[low] - 50) / (curve[low] - curve[high])
      return low + share * (high - low)
  return math.nan


def table(rows: Rows, group: str) -> str:
  """The numbers of a group as a Markdown table, mean ± spread over seeds.

  Args:
    rows: As `evaluation.read_rows` gives them.
    group: As for `measured`.

  Returns:
    A line per method: accuracies in %, the radius at which half are right, and
    the network's own numbers.
  """
  found = measured(rows, group)
  attacks = _attacks(found)
  extra = [
    m for m in _NETWORK if any(m in columns for columns in found.values())
  ]
  heads = ["trained with", "clean", "noise"]
  heads += [f"{_short(name)} {_radius(eps)}" for name, eps in attacks]
  heads += ["half at", *(_NETWORK[metric][0] for metric in extra)]
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


def half_radii(columns: Mapping[Any, Mapping[int, float]]) -> dict[int, float]:
  """`half_radius` under the strongest attack, by seed."""
  return {seed: half_radius(curve) for seed, curve in _curves(columns).items()}


def curves(rows: Rows) -> "Figure":
  """Accuracy under the strongest attack against its radius, a panel per group.

  Args:
    rows: As `evaluation.read_rows` gives them.

  Returns:
    The figure: a line per method, the mean over seeds.
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
    for method, found in measured(rows, group).items():
      mean = _mean_curve(found)
      axes.plot(list(mean), list(mean.values()), marker="o", label=method)
    axes.set(title=group, xlabel="eps", ylabel="accuracy, %", ylim=(0, 100))
    axes.legend(fontsize=6)
  return figure


def sigma_against_eps(rows: Rows) -> "Figure":
  """What radius a strength of the noise inside is worth.

  Args:
    rows: As `evaluation.read_rows` gives them, with methods named
      "expected_mse, RELU, sigma=S".

  Returns:
    The figure: the radius at which half of the examples are still right, and
    the clean accuracy, against sigma, a line per rule for ReLU, with all seeds
    as points; the other methods as horizontal lines.

  Raises:
    ValueError: If the rows have no such methods.
  """
  import matplotlib.figure

  found: Table = {}
  for group in groups(rows):
    for method, columns in measured(rows, group).items():
      found.setdefault(method, columns)
  lines: Any = collections.defaultdict(dict)
  for method in found:
    match = _SIGMA.fullmatch(method)
    if match:
      lines[match[1]][float(match[2])] = method
  if not lines:
    raise ValueError("rows: no methods named 'expected_mse, RELU, sigma=S'")
  figure = matplotlib.figure.Figure(figsize=(11, 4.4), layout="constrained")
  left, right = figure.subplots(1, 2)
  values = {
    left: {m: half_radii(columns) for m, columns in found.items()},
    right: {m: columns["clean"] for m, columns in found.items()},
  }
  for axes, of_method in values.items():
    for number, (relu, methods) in enumerate(sorted(lines.items())):
      points = dict(sorted(methods.items()))
      if _NO_NOISE in found:
        points = {0.0: _NO_NOISE, **points}
      colour = f"C{number}"
      means = [np.mean(list(of_method[m].values())) for m in points.values()]
      axes.plot(list(points), means, color=colour, label=relu)
      for sigma, method in points.items():
        seeds = list(of_method[method].values())
        axes.plot([sigma] * len(seeds), seeds, "o", color=colour, ms=3)
    others = ("standard", "pgd_training(eps=0.1)", "pgd_training(eps=8/255)")
    for style, method in zip((":", "--", "-."), others, strict=True):
      if method in of_method:
        level = np.mean(list(of_method[method].values()))
        axes.axhline(level, color="grey", ls=style, label=method)
    axes.set_xlabel("sigma of the noise on the first pre-activation")
  left.set_ylabel("radius at which half are right")
  right.set_ylabel("clean accuracy, %")
  left.legend(fontsize="small")
  return figure


def _attacks(found: Table) -> list[tuple[str, float]]:
  """Every attack of a table, by name and rising radius."""
  every = {c for columns in found.values() for c in columns}
  return sorted(c for c in every if isinstance(c, tuple))


def _curves(
  columns: Mapping[Any, Mapping[int, float]],
) -> dict[int, dict[float, float]]:
  """{seed: {eps: accuracy}} under the strongest attack, clean at eps 0."""
  found: dict[int, dict[float, float]] = {
    seed: {0.0: value} for seed, value in columns["clean"].items()
  }
  attacks = [c for c in columns if isinstance(c, tuple)]
  for name, eps in attacks:
    for seed, value in columns[name, eps].items():
      curve = found[seed]
      curve[eps] = min(curve.get(eps, math.inf), value)
  return found


def _mean_curve(
  columns: Mapping[Any, Mapping[int, float]],
) -> dict[float, float]:
  every = list(_curves(columns).values())
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
    "first ones. Half at: the radius at which half of the images are still "
    "right, between two radii by a straight line, with the clean accuracy at "
    "0. Path norm: from the first layer to the logits, l2. Mflop: of one "
    "prediction.",
  ]
  for group in groups(rows):
    own = [row for row in rows if _group_of(row) == group]
    seeds = len({row["seed"] for row in own})
    counts = sorted({row["n_examples"] for row in own}, reverse=True)
    examples = " and ".join(f"{count:,}" for count in counts)
    parts += [
      f"## {group} ({seeds} seeds, {examples} test examples)",
      table(rows, group),
    ]
  return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the tables and figures of a study and returns the exit code."""
  parser = argparse.ArgumentParser(
    description="Tables and figures of a study of attacks, from its rows."
  )
  parser.add_argument("results", help="the study's results.csv")
  parser.add_argument("--out", required=True, help="the folder to write to")
  args = parser.parse_args(argv)
  path, out = pathlib.Path(args.results), pathlib.Path(args.out)
  if not path.exists():
    parser.error(f"{path}: not found")
  try:
    rows = evaluation.read_rows(path)
    out.mkdir(parents=True, exist_ok=True)
    (out / "tables.md").write_text(_tables(rows), encoding="utf-8")
    pictures = {"curves.png": curves}
    if any(_SIGMA.fullmatch(row["method"]) for row in rows):
      pictures["sigma_against_eps.png"] = sigma_against_eps
    for name, draw in pictures.items():
      draw(rows).savefig(out / name, dpi=80)
      print(out / name)
  except (data.DataError, ValueError) as error:
    parser.error(str(error))
  print(out / "tables.md")
  return 0


if __name__ == "__main__":
  sys.exit(main())
