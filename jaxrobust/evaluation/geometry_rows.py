"""The geometry of a network's activations as result rows, clean and noisy."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jaxrobust.evaluation.geometry import (
  FEATURES,
  Activations,
  summarise_geometry,
)
from jaxrobust.evaluation.perturbations import Perturbation
from jaxrobust.evaluation.results import Results
from jaxrobust.evaluation.suite import Subject

_METRICS = (
  "intra_radius",
  "intra_radius_q95",
  "inter_distance",
  "inter_distance_min",
  "inter_over_intra",
)
_OF_HEAD = (
  "class_margin",
  "class_margin_min",
  "sample_margin",
  "sample_margin_q05",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry(Perturbation):
  """One view of the examples: clean, or with Gaussian noise.

  Attributes:
    name: "features".
    strength: The standard deviation of the noise, in units of the input.
  """


def geometry_cells(stds: Sequence[float], examples: int = 0) -> list[Geometry]:
  """The views that are measured: none, or the clean one and the noisy ones.

  The noise is that of the test noise "gaussian" of the same strength.

  Args:
    stds: The standard deviations, in units of the input.
    examples: How many of the split's first examples are measured; 0 for all.

  Returns:
    The cells, for `measure_geometry`.

  Example:
    >>> [cell.strength for cell in geometry_cells([0.1])]
    [0.0, 0.1]
  """
  return [
    Geometry(
      FEATURES, float(std), 2.0, std / math.sqrt(2.0), first=examples or None
    )
    for std in ((0.0, *stds) if len(stds) else ())
  ]


def measure_geometry(
  subject: Subject,
  measure: Callable[[Geometry], Activations],
  cells: Sequence[Geometry],
  results: Results,
  layers: Sequence[str],
  head: tuple[Any, Any] | None = None,
) -> Iterator[Geometry]:
  """Appends the rows of every view that are not there yet.

  Their metrics are those of `summarise_geometry`.

  Args:
    subject: The columns that all rows of a run share.
    measure: Gives the activations of one view.
    cells: As `geometry_cells` gives them, the clean one first.
    results: Where the rows go, one view at a time; an interrupted evaluation
      continues there.
    layers: As `layer_names` gives them.
    head: As `linear_head` gives it.

  Yields:
    Each cell, when its rows are written.
  """
  once = functools.cache(measure)
  for cell in cells:
    names = [*_METRICS, *(_OF_HEAD if head is not None else ())]
    names += ["alignment"] if cell.strength else []
    names += [f"separability[{layer}]" for layer in layers]
    shared = dataclasses.asdict(subject) | {
      "perturbation": FEATURES,
      "strength": cell.strength,
      "severity": None,
      "n_examples": cell.count(subject.n_examples),
    }
    rows = [{**shared, "metric": name} for name in names]
    if any(row not in results for row in rows):
      clean = once(cells[0]) if cell.strength else None
      values = summarise_geometry(once(cell), head, clean)
      results.append([{**row, "value": values[row["metric"]]} for row in rows])
    yield cell
