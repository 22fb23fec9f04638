"""Corruption errors, by hand and by the formula of those who use them."""

import numpy as np
import pytest

from jaxrobust import corruptions, evaluation

FIVE = {"fog": [0.1, 0.2, 0.3, 0.4, 0.5], "snow": [0.2, 0.2, 0.4, 0.4, 0.8]}
BASE = {"fog": [0.5, 0.5, 0.6, 0.7, 0.7], "snow": [0.3, 0.4, 0.5, 0.8, 1.0]}


def test_the_mean_error_is_over_severities_and_then_corruptions():
  got = evaluation.unnormalised_corruption_error(FIVE)
  assert got == pytest.approx((0.3 + 0.4) / 2)


def test_errors_are_divided_by_sums_over_severities():
  got = evaluation.mean_corruption_error(FIVE, BASE)
  assert got == pytest.approx((1.5 / 3.0 + 2.0 / 3.0) / 2)
  # A mean in place of the severities says the same.
  means = {"fog": 0.6, "snow": 0.6}
  assert evaluation.mean_corruption_error(FIVE, means) == pytest.approx(got)


def test_a_network_is_its_own_baseline():
  assert evaluation.mean_corruption_error(BASE, BASE) == pytest.approx(1)
  got = evaluation.relative_mean_corruption_error(BASE, 0.1, BASE, 0.1)
  assert got == pytest.approx(1)


def test_the_relative_error_is_of_what_is_added():
  got = evaluation.relative_mean_corruption_error(FIVE, 0.05, BASE, 0.2)
  expected = ((1.5 - 0.25) / (3.0 - 1.0) + (2.0 - 0.25) / (3.0 - 1.0)) / 2
  assert got == pytest.approx(expected)


def test_alexnets_errors_are_of_the_fifteen():
  assert tuple(evaluation.ALEXNET_ERRORS) == corruptions.COMMON
  errors = dict.fromkeys(corruptions.COMMON, 0.5)
  got = evaluation.mean_corruption_error(errors, evaluation.ALEXNET_ERRORS)
  table = np.asarray(list(evaluation.ALEXNET_ERRORS.values()))
  assert got == pytest.approx(np.mean(0.5 / table))


@pytest.mark.parametrize(
  ("errors", "baseline", "message"),
  [
    ({}, BASE, "errors: must have a corruption"),
    ({"fog": 0.1}, BASE, "only one has: snow"),
    ({**FIVE, "fog": [12.0]}, BASE, r"errors of fog: .*must lie in \[0, 1\]"),
    ({**FIVE, "fog": [float("nan")]}, BASE, "errors of fog"),
    ({**FIVE, "fog": [0.1, 0.2]}, BASE, "fog at 2 severities, .* at 5"),
    (FIVE, {**BASE, "fog": 0.0}, "baseline_errors of fog: their mean must be"),
  ],
)
def test_what_is_wrong_is_named(errors, baseline, message):
  with pytest.raises(ValueError, match=message):
    evaluation.mean_corruption_error(errors, baseline)


def test_a_baseline_that_loses_nothing_is_refused():
  with pytest.raises(ValueError, match="above baseline_clean_error"):
    evaluation.relative_mean_corruption_error(FIVE, 0.0, BASE, 0.6)
  with pytest.raises(ValueError, match="clean_error of clean: 7"):
    evaluation.relative_mean_corruption_error(FIVE, 7, BASE, 0.1)
