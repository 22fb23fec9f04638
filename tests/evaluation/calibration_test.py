"""Calibration equals scikit-learn's and a general minimiser's."""

import jax
import numpy as np
import pytest
from scipy import optimize, special
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from jaxrobust import evaluation


def confidences(seed, count):
  """Confidences without ties, and hits that are too rare or too many."""
  rng = np.random.default_rng(seed)
  confidence = rng.beta(3, 1, size=count)
  chance = np.where(confidence < 0.7, confidence**2, confidence**0.5)
  return confidence, rng.uniform(size=count) < chance


def logits_of(seed, sharpness, count=500, classes=4):
  """Logits, and labels that follow them at another temperature."""
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(count, classes), scale=2.0)
  chances = special.softmax(logits, axis=1).cumsum(axis=1)
  labels = (rng.uniform(size=(count, 1)) > chances[:, :-1]).sum(axis=1)
  return sharpness * logits, labels


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_the_reliability_diagram_equals_sklearn(bins):
  confidence, hits = confidences(0, 400)
  diagram = evaluation.reliability(confidence, hits, bins)
  right, mean = calibration_curve(hits, confidence, n_bins=bins)
  there = diagram.share > 0
  np.testing.assert_allclose(diagram.accuracy[there], right)
  np.testing.assert_allclose(diagram.confidence[there], mean)
  counts, edges = np.histogram(confidence, bins, (0, 1))
  np.testing.assert_allclose(diagram.share, counts / 400)
  np.testing.assert_allclose(diagram.edge, edges[1:])


def test_an_empty_bin_has_no_accuracy():
  diagram = evaluation.reliability(np.asarray([0.9]), np.asarray([True]), 2)
  assert diagram.share.tolist() == [0, 1]
  assert np.isnan([diagram.accuracy[0], diagram.confidence[0]]).all()


def test_the_diagram_adds_up_to_the_calibration_error():
  confidence, hits = confidences(1, 300)
  diagram = evaluation.reliability(confidence, hits)
  gaps = diagram.share * abs(diagram.accuracy - diagram.confidence)
  error = evaluation.expected_calibration_error(confidence, hits)
  assert np.nansum(gaps) == pytest.approx(error)


@pytest.mark.parametrize("bins", [1, 5, 20])
def test_the_adaptive_error_equals_sklearns_quantile_bins(bins):
  confidence, hits = confidences(2, 400)
  right, mean = calibration_curve(
    hits, confidence, n_bins=bins, strategy="quantile"
  )
  error = evaluation.adaptive_calibration_error(confidence, hits, bins)
  assert error == pytest.approx(abs(right - mean).mean())


def test_bins_that_cannot_be_equal_differ_by_one_example():
  confidence = np.asarray([0.3, 0.4, 0.5, 0.6, 0.7])
  hits = np.asarray([0, 1, 0, 1, 0])
  # 0.3 0.4 0.5 and 0.6 0.7: gaps -0.3 + 0.6 - 0.5 and 0.4 - 0.7.
  error = evaluation.adaptive_calibration_error(confidence, hits, 2)
  assert error == pytest.approx((0.2 + 0.3) / 5)
  # More bins than examples: one each.
  error = evaluation.adaptive_calibration_error(confidence, hits, 50)
  assert error == pytest.approx((0.3 + 0.6 + 0.5 + 0.4 + 0.7) / 5)


def test_the_order_of_examples_that_are_equally_sure_does_not_matter():
  rng = np.random.default_rng(3)
  confidence = rng.choice([0.5, 0.75, 1.0], size=40)
  hits = rng.uniform(size=40) < 0.6
  errors = {
    evaluation.adaptive_calibration_error(confidence[order], hits[order], 7)
    for order in (np.arange(40), np.argsort(hits), np.argsort(~hits))
  }
  assert max(errors) - min(errors) < 1e-12


@pytest.mark.parametrize(
  "metric",
  [evaluation.adaptive_calibration_error, evaluation.reliability],
)
@pytest.mark.parametrize(("n", "bins"), [(0, 15), (3, 0)])
def test_no_examples_or_bins_are_refused(metric, n, bins):
  with pytest.raises(ValueError, match=f"{n} examples, bins={bins}"):
    metric(np.ones(n), np.ones(n), bins)


def test_the_brier_score_is_the_sum_of_sklearns_over_classes():
  logits, labels = logits_of(4, 1.0)
  probabilities = special.softmax(logits, axis=1)
  expected = sum(
    brier_score_loss(labels == k, probabilities[:, k]) for k in range(4)
  )
  got = evaluation.brier_score(probabilities, labels)
  assert got == pytest.approx(expected)


def test_probabilities_that_are_no_numbers_score_worst():
  probabilities = np.asarray([[np.nan, np.nan], [1.0, 0.0], [1.0, 0.0]])
  labels = np.asarray([0, 0, 1])
  score = evaluation.brier_score(probabilities, labels)
  assert score == pytest.approx((2 + 0 + 2) / 3)


@pytest.mark.parametrize("sharpness", [0.1, 0.6, 1.0, 3.0, 40.0])
def test_the_temperature_equals_a_general_minimisers(sharpness):
  logits, labels = logits_of(5, sharpness)

  def likelihood(log_temperature):
    probabilities = special.softmax(logits / np.exp(log_temperature), axis=1)
    return log_loss(labels, probabilities)

  found = optimize.minimize_scalar(likelihood, bounds=(-4.6, 4.6))
  fitted = evaluation.fit_temperature(logits, labels)
  assert fitted == pytest.approx(np.exp(found.x), rel=1e-4)
  # The labels follow the logits less this factor.
  assert fitted == pytest.approx(sharpness, rel=0.25)


def test_a_fitted_temperature_leaves_predictions_and_mends_calibration():
  logits, labels = logits_of(6, 3.0, count=4000)
  temperature = evaluation.fit_temperature(logits[:2000], labels[:2000])
  errors = []
  for own in (1.0, temperature):
    scaled = evaluation.apply_temperature(logits[2000:], own)
    np.testing.assert_array_equal(
      scaled.argmax(axis=1), logits[2000:].argmax(axis=1)
    )
    probabilities = special.softmax(scaled, axis=1)
    hits = probabilities.argmax(axis=1) == labels[2000:]
    errors.append(
      evaluation.adaptive_calibration_error(probabilities.max(axis=1), hits)
    )
  assert errors[0] > 0.1
  assert errors[1] < 0.04


def test_labels_without_an_error_want_the_coldest_temperature():
  for sharpness in (1e-3, 1.0, 1e4):
    logits = sharpness * np.asarray([[2.0, 0.0, 1.0], [0.0, 0.5, 0.0]])
    assert evaluation.fit_temperature(logits, np.asarray([0, 1])) == 0.01


def test_labels_against_the_logits_want_the_hottest_temperature():
  logits = np.asarray([[2.0, 0.0, 1.0], [0.0, 0.5, 0.0]])
  assert evaluation.fit_temperature(logits, np.asarray([1, 2])) == 100
  assert evaluation.fit_temperature(1e6 * logits, np.asarray([1, 2])) == 100


def test_logits_that_tell_nothing_keep_their_temperature():
  logits = np.full((3, 4), 7.0)
  assert evaluation.fit_temperature(logits, np.asarray([0, 1, 3])) == 1


def test_a_huge_logit_does_not_overflow():
  logits, labels = logits_of(7, 1.0)
  shifted = logits + np.linspace(-1e6, 1e6, len(logits))[:, None]
  fitted = evaluation.fit_temperature(shifted, labels)
  expected = evaluation.fit_temperature(logits, labels)
  assert fitted == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
  ("logits", "labels", "words"),
  [
    (np.zeros((0, 2)), np.zeros(0, int), "examples=0: must be at least 1"),
    ([[0, 1], [np.nan, 1]], [0, 1], "logits of 1 examples: must be finite"),
    ([[0, np.inf], [np.nan, 1]], [0, 1], "logits of 2 examples"),
    ([[0, 1]], [2], "labels from 2 to 2: must be from 0 to 1"),
    ([[0, 1]], [-1], "labels from -1 to -1"),
    ([[0, 1]], [0, 1], r"labels of shape \(2,\): must be \[N\]"),
    ([0, 1], [0, 1], r"of shape \(2,\)$"),
  ],
)
def test_what_has_no_temperature_is_refused(logits, labels, words):
  with pytest.raises(ValueError, match=words):
    evaluation.fit_temperature(np.asarray(logits), np.asarray(labels))


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_a_temperature_that_is_none_is_refused(temperature):
  with pytest.raises(ValueError, match=r"temperature=\S+: must be a finite"):
    evaluation.apply_temperature(jax.numpy.ones(2), temperature)
