"""Metrics equal slow and plain versions of themselves."""

import math

import numpy as np
import pytest
from scipy import stats

from jaxrobust import evaluation


@pytest.mark.parametrize(
  ("hits", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (7, 19), (9871, 10_000)]
)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_the_wilson_interval_equals_scipy(hits, n, confidence):
  expected = stats.binomtest(hits, n).proportion_ci(confidence, "wilson")
  got = evaluation.wilson_interval(hits, n, confidence)
  np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ((0, 0), "n=0"),
    ((3, 2), "hits=3, n=2"),
    ((-1, 2), "hits=-1"),
    ((1, 2, 1.0), "confidence=1.0"),
  ],
)
def test_an_impossible_proportion_is_refused(arguments, words):
  with pytest.raises(ValueError, match=words):
    evaluation.wilson_interval(*arguments)


def loop_calibration_error(confidence, hits, bins):
  total = 0.0
  for number in range(bins):
    low, high = number / bins, (number + 1) / bins
    inside = [
      (c, h)
      for c, h in zip(confidence, hits, strict=True)
      if low < c <= high or (number == 0 and c == 0)
    ]
    if inside:
      accuracy = sum(h for _, h in inside) / len(inside)
      mean = sum(c for c, _ in inside) / len(inside)
      total += len(inside) / len(hits) * abs(accuracy - mean)
  return total


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_the_calibration_error_equals_a_loop(bins):
  rng = np.random.default_rng(bins)
  # Eighths are exact, so that some lie on the bins' edges.
  confidence = np.concatenate([rng.uniform(size=200), np.arange(9) / 8])
  # Over- and underconfident in turn, so that neighbouring bins do not add up.
  odd = np.ceil(4 * confidence) % 2 == 1
  hits = rng.uniform(size=209) < np.where(odd, confidence**3, confidence**0.3)
  got = evaluation.expected_calibration_error(confidence, hits, bins)
  assert got == pytest.approx(loop_calibration_error(confidence, hits, bins))


def test_a_confidence_rounded_above_one_falls_into_the_last_bin():
  confidence = np.asarray([np.nextafter(np.float32(1), np.float32(2))])
  error = evaluation.expected_calibration_error(confidence, np.ones(1))
  assert error == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("n", "bins"), [(0, 15), (3, 0)])
def test_no_examples_or_bins_are_refused(n, bins):
  with pytest.raises(ValueError, match=f"{n} examples, bins={bins}"):
    evaluation.expected_calibration_error(np.ones(n), np.ones(n), bins)


def test_the_summary_holds_the_five_metrics():
  examples = {
    "hits": np.asarray([True, True, False, True]),
    "confidence": np.asarray([0.9, 0.6, 0.7, 1.0], np.float32),
    "nll": np.asarray([0.1, 0.5, 1.2, 0.0], np.float32),
  }
  summary = evaluation.summarise(examples)
  low, high = stats.binomtest(3, 4).proportion_ci(0.95, "wilson")
  assert summary == pytest.approx(
    {
      "accuracy": 0.75,
      "accuracy_low": low,
      "accuracy_high": high,
      "nll": 0.45,
      "ece": (0.1 + 0.4 + 0.7) / 4,
    }
  )
  assert tuple(summary) == evaluation.CLASSIFICATION.metrics


def test_a_mean_of_many_likelihoods_is_taken_in_float64():
  nll = np.full(10_000_000, 0.1, np.float32)
  examples = {"nll": nll[:1], "confidence": np.ones(1), "hits": np.ones(1)}
  whole = {"nll": nll, "confidence": np.ones(1), "hits": np.ones(1)}
  expected = evaluation.summarise(examples)["nll"]
  assert math.isclose(evaluation.summarise(whole)["nll"], expected)
