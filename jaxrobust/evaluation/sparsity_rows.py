"""Sparsity as result rows: of the weights, and of what pruning costs.

The rows of the weights have the perturbation "weights", a metric named after
its function in `jaxrobust.evaluation.sparsity`, and for strength its threshold,
0 if it has none. They do not depend on the split. The pruning curve consists of
cells of the suite: "pruned" at the strength of the share that is cut, judged on
clean inputs, with batch statistics as they were trained.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax

from jaxrobust.evaluation import sparsity
from jaxrobust.evaluation.perturbations import Perturbation
from jaxrobust.evaluation.results import Results
from jaxrobust.evaluation.suite import Subject

WEIGHTS = "weights"
PRUNED = "pruned"

# (metric, threshold); thresholds are absolute, or fractions of each tensor's
# largest weight or root mean square.
MEASURES = (
  ("share_below", 1e-2),
  ("share_below", 1e-3),
  ("share_below_relative", 1e-2),
  ("share_below_relative", 1e-3),
  ("share_below_rms", 1e-1),
  ("share_below_rms", 1e-2),
  ("exact_zeros", 0.0),
  ("hoyer", 0.0),
  ("hoyer_per_tensor", 0.0),
  ("weight_norm", 0.0),
)


def pruned_cells(shares: Sequence[float]) -> list[Perturbation]:
  """The cells of a pruning curve, for `run` beside those of the grid.

  Whoever judges such a cell prunes the parameters by its strength first; its
  inputs are clean.

  Args:
    shares: The shares of kernel weights to cut, in [0, 1].

  Returns:
    A cell per share, named "pruned".

  Example:
    >>> [(cell.name, cell.strength) for cell in pruned_cells([0.5, 0.9])]
    [('pruned', 0.5), ('pruned', 0.9)]
  """
  return [Perturbation(PRUNED, float(share), 2.0, 0.0) for share in shares]


# It runs once: unoptimised, it is ready in half the time.
@functools.partial(
  jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)
def _measure(params: Any) -> list[jax.Array]:
  """Every one of `MEASURES`, in one compiled program."""
  values = []
  for metric, threshold in MEASURES:
    function = getattr(sparsity, metric)
    arguments = (threshold,) if threshold else ()
    values.append(function(params, *arguments))
  return values


def measure_weights(subject: Subject, params: Any, results: Results) -> None:
  """Measures the sparsity of parameters, unless its rows are all there.

  Args:
    subject: The columns that all rows of a run share.
    params: The parameters, without the batch statistics.
    results: Where the rows go, all in one write.

  Raises:
    ValueError: If there is no kernel in `params`.
  """
  rows = [
    {
      **dataclasses.asdict(subject),
      "perturbation": WEIGHTS,
      "strength": threshold,
      "severity": None,
      "metric": metric,
      "value": None,
    }
    for metric, threshold in MEASURES
  ]
  if all(row in results for row in rows):
    return
  values = jax.device_get(_measure(params))
  results.append(
    {**row, "value": float(value)}
    for row, value in zip(rows, values, strict=True)
  )
