"""The probability transform and the distance built on it."""

import jax
import numpy as np
import pytest
from scipy import stats

from jaxrobust.alpha_stable import (
  AlphaStable,
  ks_distance,
  probability_transform,
  sample,
)

CAUCHY = AlphaStable(1.0, scale=0.3, loc=0.1)


@pytest.fixture(scope="module")
def cauchy():
  key = jax.random.key(0)
  return np.asarray(sample(key, 1.0, scale=0.3, loc=0.1, shape=(1000,)))


def test_the_transform_is_the_distribution_function(cauchy):
  want = stats.cauchy.cdf(cauchy, 0.1, 0.3)
  got = probability_transform(cauchy.reshape(10, 100), CAUCHY)
  np.testing.assert_allclose(got, want, atol=2e-6)


def test_the_distance_is_scipys(cauchy):
  want = stats.kstest(cauchy, stats.cauchy(0.1, 0.3).cdf).statistic
  assert ks_distance(cauchy, CAUCHY) == pytest.approx(want, abs=2e-6)


def test_clipped_samples_of_the_law_are_uniform(cauchy):
  limits = (-0.2, np.linspace(0.1, 1.0, 1000))
  clipped = np.clip(cauchy, *limits)
  assert ks_distance(clipped, CAUCHY) > 0.1
  assert ks_distance(clipped, CAUCHY, limits) < 1.36 / np.sqrt(1000)


def test_another_law_is_farther(cauchy):
  other = AlphaStable(1.6, scale=0.3, loc=0.1)
  assert ks_distance(cauchy, other) > ks_distance(cauchy, CAUCHY)
