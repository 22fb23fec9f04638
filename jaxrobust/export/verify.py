"""Whether an export computes what its run computes, on test images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import data
from jaxrobust.export.function import Run
from jaxrobust.export.predictor import Predictor

# Of the largest logit, or of 1: what the order of sums may change.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}
EXAMPLES = 256


class Agreement(NamedTuple):
  """How an export compares with its run.

  Attributes:
    examples: How many test examples were compared, the first ones.
    difference: The largest |difference| of a logit.
    tolerance: What is allowed.
    agreeing: How many examples have the same largest logit.
    contradicting: How many of the others are no tie: their two largest logits
      differ, in the run, by more than twice the tolerance.
  """

  examples: int
  difference: float
  tolerance: float
  agreeing: int
  contradicting: int

  @property
  def holds(self) -> bool:
    """Whether the export is the run."""
    return self.difference <= self.tolerance and not self.contradicting

  def __str__(self) -> str:
    return (
      f"on {self.examples} test examples the largest difference of a logit is "
      f"{self.difference:.2g} (allowed: {self.tolerance:.2g}) and "
      f"{self.agreeing} labels agree"
    )


def compare(run: Run, model: Predictor) -> Agreement:
  """Compares a loaded export with its run, on the first test examples.

  The run is computed as `evaluate` computes it: whole batches of stored
  examples, on this machine.

  Args:
    run: The run.
    model: The export, as loaded.

  Returns:
    What was found.
  """
  count = min(EXAMPLES, len(run.dataset))
  examples = run.dataset.gather(np.arange(count))
  program = jax.jit(
    lambda variables, inputs: run.logits(variables, data.as_float(inputs))
  )
  expected = np.asarray(program(run.variables, jnp.asarray(examples)))
  dtype = run.config.model.dtype or "float32"
  return agreement(
    expected, model.logits(examples, batch_size=count), _TOLERANCE[dtype]
  )


def agreement(
  expected: np.ndarray, found: np.ndarray, relative: float
) -> Agreement:
  """Compares two arrays of logits.

  Args:
    expected: float32 [N, K], of the run.
    found: The same of the export.
    relative: What is allowed, as a share of the largest |expected|, which is
      taken for 1 if it is less.

  Returns:
    What was found. Values that are not finite must be the same in both, and
    some must be finite; else the difference is infinite.

  Example:
    >>> expected = np.asarray([[0.0, 1.0], [5e-5, 0.0]])
    >>> tie = agreement(expected, expected + [[0, 0], [0, 1e-4]], 1e-4)
    >>> tie.agreeing, tie.contradicting, tie.holds
    (1, 0, True)
  """
  finite = np.isfinite(expected)
  others = np.array_equal(
    np.where(finite, 0, expected), np.where(finite, 0, found), equal_nan=True
  )
  # A run without a finite logit says nothing that could be compared.
  if finite.any() and others and np.isfinite(found[finite]).all():
    gaps = np.abs(expected[finite] - found[finite])
    difference = float(gaps.max(initial=0))
  else:
    difference = float("inf")
  largest = float(np.abs(expected[finite]).max(initial=1))
  tolerance = relative * largest
  same = expected.argmax(axis=1) == found.argmax(axis=1)
  if expected.shape[1] > 1:
    second, first = np.sort(expected, axis=1)[:, -2:].T
    ties = first - second <= 2 * tolerance
  else:
    ties = np.ones(len(expected), bool)
  return Agreement(
    len(expected),
    difference,
    tolerance,
    int(same.sum()),
    int((~same & ~ties).sum()),
  )
