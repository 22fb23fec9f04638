"""The rows of a page: which are comparable, and their means over seeds."""

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxrobust import evaluation
from jaxrobust.report import radii
from jaxrobust.report.page_sources import Source

RELIABILITY = "reliability"
SCALED = "temperature_scaled"
_CORRUPTION = re.compile(r"(\w+)\(((?:\w+)-c), (\w+)\)")
_FOLD = re.compile(r"(?<=\[)fold [\d,]+/")
_MEASURED = (
  evaluation.WEIGHTS,
  evaluation.NETWORK,
  evaluation.FEATURES,
  evaluation.CURVATURE,
  evaluation.CALIBRATION,
)


class Cell(NamedTuple):
  """What a number is of: one metric of one test."""

  perturbation: str
  strength: float | None
  severity: int | None
  n_examples: int | None
  metric: str


class Stat(NamedTuple):
  """A number over seeds.

  Attributes:
    mean: Over the seeds; not a number if one of them is none.
    sd: The sample standard deviation; None for one seed.
    seeds: How many there are.
    broken: Of how many seeds the value is no number, or missing in its row.
    partial: Whether a seed has only some of the cells of a mean.
  """

  mean: float
  sd: float | None
  seeds: int
  broken: int = 0
  partial: bool = False


@dataclasses.dataclass
class Section:
  """Rows that can be compared: one data set, split and kind of network.

  Attributes:
    title: What they have in common.
    dataset: The data set.
    split: Its split.
    trained_on: What each method was fed, in the order of the methods' rows.
    values: {cell: {method: {(seed, split): value}}}; the split is always the
      same, or a fold of it. Below, such a pair is called a seed.
    rows: The rows of each cell, as they were read.
    runs: The (source, run) of the rows.
  """

  title: str
  dataset: str
  split: str
  trained_on: dict[str, str] = dataclasses.field(default_factory=dict)
  values: dict[Cell, dict[str, dict[Any, float | None]]] = dataclasses.field(
    default_factory=dict
  )
  rows: dict[Cell, list[Mapping[str, Any]]] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(list)
  )
  runs: dict[tuple[str, str], None] = dataclasses.field(default_factory=dict)

  @property
  def methods(self) -> list[str]:
    """The methods, in the order of their rows."""
    return list(self.trained_on)

  @functools.cached_property
  def metric(self) -> str:
    """What is shown of every test: "accuracy", or "rmse" of a regression."""
    named = {cell.metric for cell in self.values}
    return "rmse" if "rmse" in named and "accuracy" not in named else "accuracy"

  @functools.cached_property
  def seeds(self) -> dict[str, int]:
    """How many seeds each method has."""
    found = collections.defaultdict(set)
    for methods in self.values.values():
      for method, seeds in methods.items():
        found[method] |= seeds.keys()
    return {method: len(found[method]) for method in self.methods}

  def cells(self, wanted: Callable[[Cell], bool]) -> list[Cell]:
    """Some cells, in the order of their rows."""
    return [cell for cell in self.values if wanted(cell)]

  def stat(self, cells: Cell | Sequence[Cell], method: str) -> Stat | None:
    """A method's number in a cell, or its mean over several, over seeds.

    Args:
      cells: One cell, or those that are averaged seed by seed.
      method: One of `methods`.

    Returns:
      The number; None if the method has no row there.
    """
    group = [cells] if isinstance(cells, Cell) else list(cells)
    of_seed: dict[Any, list[float | None]] = collections.defaultdict(list)
    for cell in group:
      for seed, value in self.values[cell].get(method, {}).items():
        of_seed[seed].append(value)
    if not of_seed:
      return None
    partial = any(len(values) < len(group) for values in of_seed.values())
    return stat_of(
      (
        math.nan if None in values else float(np.mean(np.asarray(values)))
        for values in of_seed.values()
      ),
      partial,
    )


def stat_of(values: Iterable[float], partial: bool = False) -> Stat:
  """Mean and sample standard deviation.

    sd = sqrt(sum_i (v_i - mean)^2 / (n - 1))

  Args:
    values: One per seed, at least one.
    partial: As in `Stat`.

  Returns:
    The number.

  Example:
    >>> stat_of([1.0, 2.0, 3.0])
    Stat(mean=2.0, sd=1.0, seeds=3, broken=0, partial=False)
  """
  every = np.asarray(list(values), np.float64)
  broken = int((~np.isfinite(every)).sum())
  with np.errstate(invalid="ignore"):
    mean = float(np.mean(every))
    sd = float(np.std(every, ddof=1)) if len(every) > 1 else None
  if sd is not None and sd < 1e-12 * abs(mean):
    sd = 0.0  # Rounding, of equal numbers.
  return Stat(mean, sd, len(every), broken, partial)


def sections(sources: Sequence[Source]) -> list[Section]:
  """Sorts rows into what can be compared.

  A study's rows are grouped by their runs' names without method and seed,
  those of runs by data set and, where there is a config, network. A method
  that has one seed in several runs, or in several steps of one, is several.

  Args:
    sources: Where the rows come from.

  Returns:
    The sections, in the order of the rows.
  """
  several = {
    run
    for run, count in collections.Counter(
      run for source in sources for run in {row["run"] for row in source.rows}
    ).items()
    if count > 1
  }
  grouped: dict[Any, list[tuple[str, Source, Mapping[str, Any]]]] = {}
  for source in sources:
    for row in source.rows:
      run = row["run"]
      name = f"{source.name}: {run}" if run in several else str(run)
      # The folds of one split are replicates, as seeds are.
      split = _FOLD.sub("fold k/", str(row["split"]))
      key = _group(row, source), row["dataset"], split
      grouped.setdefault(key, []).append((name, source, row))
  found = []
  for (title, dataset, split), named in grouped.items():
    if str(dataset) not in title:
      title = f"{title}, {dataset}"
    section = Section(title, str(dataset), str(split))
    labels = _labels((source.name, name, row) for name, source, row in named)
    for name, source, row in named:
      key = source.name, name, row["method"], row["seed"], row["step"]
      label = labels[key]
      cell = Cell(*(row[field] for field in Cell._fields))
      if "(count=" in cell.metric:
        # Groups of images: every network puts other numbers into them.
        cell = cell._replace(n_examples=None)
      section.trained_on.setdefault(label, row["trained_on"] or "")
      of_method = section.values.setdefault(cell, {}).setdefault(label, {})
      of_method[row["seed"], row["split"]] = row["value"]
      section.rows[cell].append(row)
      section.runs[source.name, str(row["run"])] = None
    found.append(section)
  return found


def _group(row: Mapping[str, Any], source: Source) -> str:
  group = radii.group_of(row)
  if group != row["run"]:
    return group
  model = (source.config or {}).get("model", {}).get("name")
  return f"{row['dataset']}/{model}" if model else str(row["dataset"])


def _labels(
  named: Iterable[tuple[str, str, Mapping[str, Any]]],
) -> dict[tuple[str, str, str, Any, Any], str]:
  """Names that tell networks apart, by (source, run, method, seed, step).

  A method keeps its name if no seed has it twice; else it has that of its
  source, or if that does not tell them apart, that of its run.
  """
  networks: dict[str, list[tuple[Any, ...]]] = {}
  for source, run, row in named:
    key = source, run, row["method"], row["seed"], row["step"]
    networks.setdefault(row["method"], []).append(key)
  labels = {}
  for method, keys in networks.items():
    every = list(dict.fromkeys(keys))
    several = len({key[:4] for key in every}) < len(every)  # steps of a run
    for level in ("{m}", "{m} [{s}]", "{m} [{r}]"):
      form = level + (", step {t}" if several else "")
      made = {k: form.format(m=method, s=k[0], r=k[1], t=k[4]) for k in every}
      if len({(made[k], k[3]) for k in every}) == len(every):
        break
    labels |= made
  return labels


def kind(perturbation: str) -> str:
  """What sort of test a perturbation is.

  Args:
    perturbation: As rows name it.

  Returns:
    "clean", "measured" (of the network, not of its answers), "reliability",
    "scaled", "certified", "pruned", "corruption", "attack" or "noise".

  Example:
    >>> kind("fog(cifar-c, generated)"), kind("fgsm"), kind("uniform")
    ('corruption', 'attack', 'noise')
  """
  named = {
    "clean": "clean",
    RELIABILITY: "reliability",
    SCALED: "scaled",
    evaluation.PRUNED: "pruned",
    **dict.fromkeys(_MEASURED, "measured"),
  }
  if perturbation in named:
    return named[perturbation]
  if perturbation.startswith(evaluation.SELF_CHECK):
    return "measured"
  if perturbation.partition("(")[0] == "certified":
    return "certified"
  if corruption_of(perturbation):
    return "corruption"
  return "attack" if evaluation.is_attack(perturbation) else "noise"


def corruption_of(perturbation: str) -> tuple[str, str] | None:
  """Reads the name of a common corruption.

  Args:
    perturbation: As rows name it.

  Returns:
    The corruption, and its benchmark with where the images are from; None if
    it is no common corruption.

  Example:
    >>> corruption_of("fog(cifar-c, generated)")
    ('fog', 'cifar-c, generated')
  """
  match = _CORRUPTION.fullmatch(perturbation)
  return (match[1], f"{match[2]}, {match[3]}") if match else None


def trained_on_it(trained_on: str, perturbation: str) -> bool:
  """Whether a method was trained on the family that it is tested with.

  Args:
    trained_on: As rows have it: parts, joined by "+".
    perturbation: As rows name it.

  Returns:
    Whether the family is the same, with whatever parameters: every attack is
    "adversarial", noise in bursts is of its own and of the alpha-stable one.

  Example:
    >>> trained_on_it("clean+gaussian", "gaussian_noise(cifar-c, generated)")
    True
    >>> trained_on_it("alpha_stable", "gaussian")
    False
  """
  fed = set(trained_on.split("+")) - {"clean", ""}
  if kind(perturbation) == "attack":
    return "adversarial" in fed
  head = perturbation.partition("(")[0]
  families = set(head.split("+"))
  families |= _ALSO.get(head, set())
  if perturbation == "alpha_stable(alpha=2.0)":
    families.add("gaussian")
  return bool(fed & families)


_ALSO = {
  "burst": {"alpha_stable"},
  "drifting_gaussian": {"gaussian"},
  "gaussian_noise": {"gaussian"},
  "gaussian_blur": {"blur"},
}
