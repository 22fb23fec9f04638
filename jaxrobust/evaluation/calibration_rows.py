"""Calibration as result rows: of clean examples, and with a fitted temperature.

By perturbation they are

  reliability         strength: the upper edge of a bin of the confidence, all
                      of the same width; `bin_share` of every bin, and of those
                      that hold an example `bin_accuracy` and `bin_confidence`
  temperature_scaled  strength: the temperature, fitted on validation examples;
                      what "calibration" has, at that temperature, which
                      changes no answer; none without validation examples
  calibration         strength 1, the temperature of the network as it is;
                      `nll`, `ece`, `adaptive_ece` and `brier`

They are cells of their own, rather than metrics of every cell: a results file
that was begun without them stays whole, and its cells are not judged again.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrobust.evaluation import calibration
from jaxrobust.evaluation.metrics import summarise
from jaxrobust.evaluation.perturbations import Perturbation, judge
from jaxrobust.evaluation.results import Results
from jaxrobust.evaluation.suite import Subject

CALIBRATION = "calibration"
RELIABILITY = "reliability"
TEMPERATURE_SCALED = "temperature_scaled"
_EDGES = [(number + 1) / calibration.BINS for number in range(calibration.BINS)]
_METRICS = ("nll", "ece", "adaptive_ece", "brier")


class Predictions(NamedTuple):
  """What a network says of a split's examples.

  Attributes:
    logits: float32 [N, K].
    labels: int32 [N].
  """

  logits: np.ndarray
  labels: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration(Perturbation):
  """The measurement, on clean examples.

  Attributes:
    name: "calibration".
    strength: 1, the temperature of the network as it is.
  """


def calibration_cells(wanted: bool, examples: int = 0) -> list[Calibration]:
  """The measurement, or none.

  Args:
    wanted: Whether there is one.
    examples: How many of the split's first examples are judged; 0 for all.

  Returns:
    One cell or none, for `measure_calibration`.

  Example:
    >>> [(cell.name, cell.strength) for cell in calibration_cells(True)]
    [('calibration', 1.0)]
  """
  cell = Calibration(CALIBRATION, 1.0, 2.0, 0.0, first=examples or None)
  return [cell] if wanted else []


def measure_calibration(
  subject: Subject,
  measure: Callable[[Calibration], tuple[Predictions, Predictions | None]],
  cells: Sequence[Calibration],
  results: Results,
) -> Iterator[Calibration]:
  """Appends the rows of calibration unless they are there.

  The temperature is rounded to four digits, and applied as rounded, so that
  what rounding does to logits on another machine seldom makes another row of
  it. Validation examples whose logits are not finite are left out of the fit.

  Args:
    subject: The columns that all rows of a run share.
    measure: Gives the predictions for the split's clean examples, all or the
      first `cell.first`, and those for validation examples, None if there are
      none.
    cells: As `calibration_cells` gives them.
    results: Where the rows go.

  Yields:
    Each cell, when its rows are written.

  Raises:
    ValueError: If `measure` returns another number of examples.
  """
  for cell in cells:
    # The rows that are known beforehand come last: if a kill leaves some lines
    # out, these are among them.
    wanted = [(RELIABILITY, edge, "bin_share") for edge in _EDGES]
    wanted += [(CALIBRATION, cell.strength, metric) for metric in _METRICS]
    shared = dataclasses.asdict(subject) | {
      "severity": None,
      "n_examples": cell.count(subject.n_examples),
    }
    if any(_row(shared, *key) not in results for key in wanted):
      test, validation = measure(cell)
      if len(test.labels) != shared["n_examples"]:
        raise ValueError(
          f"{len(test.labels)} examples measured; must be "
          f"{shared['n_examples']}"
        )
      values = _values(test, validation)
      known = {key: values.pop(key) for key in wanted}
      results.append(
        _row(shared, *key) | {"value": value}
        for key, value in (values | known).items()
      )
    yield cell


def _values(
  test: Predictions, validation: Predictions | None
) -> dict[tuple[str, float, str], float]:
  """The values of all rows, by perturbation, strength and metric."""
  values = {}
  temperature = _temperature(validation)
  if temperature is not None:
    summary, _ = _summary(test, temperature)
    for metric in _METRICS:
      values[TEMPERATURE_SCALED, temperature, metric] = summary[metric]
  summary, judged = _summary(test, 1.0)
  diagram = calibration.reliability(judged["confidence"], judged["hits"])
  for number, edge in enumerate(_EDGES):
    values[RELIABILITY, edge, "bin_share"] = float(diagram.share[number])
    if diagram.share[number]:
      accuracy, confidence = (
        diagram.accuracy[number],
        diagram.confidence[number],
      )
      values[RELIABILITY, edge, "bin_accuracy"] = float(accuracy)
      values[RELIABILITY, edge, "bin_confidence"] = float(confidence)
  for metric in _METRICS:
    values[CALIBRATION, 1.0, metric] = summary[metric]
  return values


def _temperature(validation: Predictions | None) -> float | None:
  """The fitted temperature; None if there is nothing to fit it on."""
  if validation is None:
    return None
  finite = np.isfinite(validation.logits).all(axis=1)
  if not finite.any():
    return None
  fitted = calibration.fit_temperature(
    validation.logits[finite], validation.labels[finite]
  )
  return float(f"{fitted:.4g}")


def _summary(
  test: Predictions, temperature: float
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
  """All metrics at a temperature, and what was judged of each example."""
  from scipy import special

  logits = calibration.apply_temperature(
    jnp.asarray(test.logits, jnp.float32), temperature
  )
  found = judge(logits, jnp.asarray(test.labels))
  judged = {name: np.asarray(value) for name, value in found.items()}
  # Not a number, where logits are infinite.
  with np.errstate(invalid="ignore"):
    probabilities = special.softmax(np.asarray(logits, np.float64), axis=1)
  return {
    **summarise(judged),
    "adaptive_ece": calibration.adaptive_calibration_error(
      judged["confidence"], judged["hits"]
    ),
    "brier": calibration.brier_score(probabilities, test.labels),
  }, judged


def _row(
  shared: dict[str, Any], perturbation: str, strength: float, metric: str
) -> dict[str, Any]:
  return {
    **shared,
    "perturbation": perturbation,
    "strength": strength,
    "metric": metric,
  }
