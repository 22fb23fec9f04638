"""The numbers of a study of attacks: accuracies, and radii at 50 %."""

import collections
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrobust import evaluation

Rows = Sequence[Mapping[str, Any]]
# {method: {column: {seed: value}}}; columns "clean", ("pgd", eps), ...
Table = dict[str, dict[Any, dict[int, float]]]


def measured(rows: Rows, group: str) -> Table:
  """The numbers of every method of a group, by column and seed.

  Args:
    rows: As `evaluation.read_rows` gives them.
    group: The names of its cells without their methods, as of `groups`.

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
    if group_of(row) != group:
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
  """The names of a study's groups: of its cells without their methods.

  Args:
    rows: As `evaluation.read_rows` gives them.

  Returns:
    The names, each once, in the order of the rows.

  Example:
    >>> groups([{"run": "mnist/sigma/standard/0", "method": "standard",
    ...   "seed": 0}])
    ['mnist/sigma']
  """
  return list(dict.fromkeys(group_of(row) for row in rows))


def group_of(row: Mapping[str, Any]) -> str:
  """The name of a row's group.

  Args:
    row: One of those that `evaluation.read_rows` gives.

  Returns:
    The run's name without its method and its seed; also of rows of its network
    judged another way.

  Example:
    >>> group_of({"run": "cifar10/resnet18/standard/0", "method": "standard",
    ...   "seed": 0})
    'cifar10/resnet18'
    >>> group_of({"run": "mnist/blur/0", "method": "blur, smooth_eval=off",
    ...   "seed": 0})
    'mnist'
  """
  method = evaluation.own_method(row["method"])
  return row["run"].removesuffix(f"/{method}/{row['seed']}")


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


def half_radii(columns: Mapping[Any, Mapping[int, float]]) -> dict[int, float]:
  """`half_radius` under the strongest attack, by seed.

  Args:
    columns: Those of one method, as `measured` gives them.

  Returns:
    {seed: radius}.

  Example:
    >>> half_radii({"clean": {0: 100.0}, ("fgsm", 0.2): {0: 60.0},
    ...   ("pgd(steps=40, restarts=1)", 0.2): {0: 0.0}})
    {0: 0.1}
  """
  return {
    seed: half_radius(curve) for seed, curve in by_radius(columns).items()
  }


def by_radius(
  columns: Mapping[Any, Mapping[int, float]],
) -> dict[int, dict[float, float]]:
  """Accuracy under the strongest attack by radius, the clean one at 0.

  Args:
    columns: Those of one method, as `measured` gives them.

  Returns:
    {seed: {eps: accuracy in %}}.

  Example:
    >>> by_radius({"clean": {0: 99.0}, ("fgsm", 0.1): {0: 60.0},
    ...   ("pgd(steps=40, restarts=1)", 0.1): {0: 50.0}})
    {0: {0.0: 99.0, 0.1: 50.0}}
  """
  found: dict[int, dict[float, float]] = {
    seed: {0.0: value} for seed, value in columns["clean"].items()
  }
  attacks = [c for c in columns if isinstance(c, tuple)]
  for name, eps in attacks:
    for seed, value in columns[name, eps].items():
      curve = found[seed]
      curve[eps] = min(curve.get(eps, math.inf), value)
  return found
