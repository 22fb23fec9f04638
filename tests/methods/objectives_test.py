"""Objectives equal their formulas, one value per example."""

import numpy as np
import pytest
from scipy import special

from jaxrobust import methods, models

LOGITS = np.random.default_rng(0).normal(size=(6, 4), scale=3)
LABELS = np.asarray([0, 3, 1, 1, 2, 0], np.int32)


def values(**parameters):
  objective = methods.OBJECTIVES["cross_entropy"](**parameters)
  outputs = models.Outputs(LOGITS.astype(np.float32), np.zeros((6, 2)))
  got, notes = objective(outputs, {"labels": LABELS}, methods.Setting())
  assert notes == methods.Notes()
  return got


def test_cross_entropy_is_minus_the_log_likelihood_of_the_label():
  likelihood = special.softmax(LOGITS, axis=1)[np.arange(6), LABELS]
  np.testing.assert_allclose(values(), -np.log(likelihood), rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.1, 0.7])
def test_label_smoothing_spreads_its_share_over_all_classes(smoothing):
  log_likelihood = special.log_softmax(LOGITS, axis=1)
  targets = (1 - smoothing) * np.eye(4)[LABELS] + smoothing / 4
  expected = -(targets * log_likelihood).sum(axis=1)
  got = values(label_smoothing=smoothing)
  np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_label_smoothing_out_of_range_is_refused(smoothing):
  with pytest.raises(ValueError, match=f"label_smoothing={smoothing}: .*0, 1"):
    values(label_smoothing=smoothing)


def test_mse_is_the_mean_over_the_targets_of_each_example():
  targets = np.random.default_rng(3).normal(size=LOGITS.shape)
  outputs = models.Outputs(LOGITS.astype(np.float32), np.zeros((6, 2)))
  batch = {"labels": targets.astype(np.float32)}
  got, notes = methods.OBJECTIVES["mse"]()(outputs, batch, methods.Setting())
  expected = [np.dot(row, row) / 4 for row in LOGITS - targets]
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  assert notes == methods.Notes()


def test_mse_takes_the_targets_that_an_input_made():
  rng = np.random.default_rng(3)
  labels, targets = rng.normal(size=(2, *LOGITS.shape)).astype(np.float32)
  outputs = models.Outputs(LOGITS.astype(np.float32), np.zeros((6, 2)))
  batch = {"labels": labels, "targets": targets}
  got, _ = methods.OBJECTIVES["mse"]()(outputs, batch, {})
  expected = ((LOGITS - targets) ** 2).mean(axis=1)
  np.testing.assert_allclose(got, expected, rtol=1e-5)
