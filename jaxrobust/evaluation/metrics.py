"""Accuracy with its interval, likelihood and calibration, on the host.

These take one number per example, in float64, after the accelerator has done
its work; they are exact and cost nothing beside a forward pass.
"""

import math
import statistics
from collections.abc import Mapping

import numpy as np

from jaxrobust.evaluation.calibration import BINS, equal_width_bins

METRICS = ("accuracy", "accuracy_low", "accuracy_high", "nll", "ece")


def wilson_interval(
  hits: int, n: int, confidence: float = 0.95
) -> tuple[float, float]:
  """The Wilson score interval of a proportion.

  With z the normal quantile of the confidence and p = hits / n, the ends are

    (p + z^2/2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2/n).

  Args:
    hits: The number of successes, 0 <= hits <= n.
    n: The number of trials, at least 1.
    confidence: The coverage, in (0, 1).

  Returns:
    The lower and the upper end, in [0, 1].

  Raises:
    ValueError: If an argument is out of range.

  Example:
    >>> low, high = wilson_interval(90, 100)
    >>> round(low, 4), round(high, 4)
    (0.8256, 0.9448)

  References:
    Wilson, Probable inference, the law of succession, and statistical
    inference, JASA 22, 1927.
  """
  if n < 1 or not 0 <= hits <= n:
    raise ValueError(f"hits={hits}, n={n}: must satisfy 0 <= hits <= n, n >= 1")
  if not 0 < confidence < 1:
    raise ValueError(f"confidence={confidence}: must lie in (0, 1)")
  z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2)
  p = hits / n
  centre = p + z * z / (2 * n)
  spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  shrink = 1 + z * z / n
  low, high = (centre - spread) / shrink, (centre + spread) / shrink
  return max(low, 0.0), min(high, 1.0)


def expected_calibration_error(
  confidence: np.ndarray, hits: np.ndarray, bins: int = BINS
) -> float:
  """The gap between confidence and accuracy, over equal-width bins.

    ECE = sum_b (n_b / n) |accuracy_b - mean confidence_b|

  with bins ((b - 1) / B, b / B] of the confidence.

  Args:
    confidence: float [N], the largest predicted probability, in [0, 1].
    hits: bool or float [N], whether the prediction was right.
    bins: The number of bins B, at least 1.

  Returns:
    The error, in [0, 1].

  Raises:
    ValueError: If there is no example or no bin.

  Example:
    >>> expected_calibration_error(np.array([0.9, 0.9]), np.array([1, 0]))
    0.4

  References:
    Guo et al., `On Calibration of Modern Neural Networks
    <https://arxiv.org/abs/1706.04599>`_, 2017, Eq. 3.
  """
  confidence = np.asarray(confidence, np.float64)
  which = equal_width_bins(confidence, bins)
  gap = np.asarray(hits, np.float64) - confidence
  sums = np.bincount(which, weights=gap, minlength=bins)
  return float(np.abs(sums).sum() / len(confidence))


def summarise(examples: Mapping[str, np.ndarray]) -> dict[str, float]:
  """The metrics of one perturbation at one strength.

  Args:
    examples: One number per example, [N] each: `nll` (nats), `confidence`
      and `hits`.

  Returns:
    accuracy, accuracy_low and accuracy_high (95 % Wilson), nll and ece.

  Example:
    >>> ones = np.ones(4)
    >>> summary = summarise({"nll": ones, "confidence": ones, "hits": ones})
    >>> summary["accuracy"], summary["nll"], summary["ece"]
    (1.0, 1.0, 0.0)
  """
  hits = np.asarray(examples["hits"], bool)
  low, high = wilson_interval(int(hits.sum()), len(hits))
  return {
    "accuracy": float(hits.mean()),
    "accuracy_low": low,
    "accuracy_high": high,
    "nll": float(np.mean(np.asarray(examples["nll"], np.float64))),
    "ece": expected_calibration_error(examples["confidence"], hits),
  }
