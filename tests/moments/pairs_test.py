"""Pairwise probabilities, their tails, and the scales of differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrobust.moments import pairs

RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=(6, 4)).astype(np.float32)
SCALE = RNG.uniform(0.1, 2.0, (6, 4)).astype(np.float32)
LABELS = np.asarray([0, 3, 1, 1, 2, 0])
JACOBIAN = RNG.normal(size=(6, 4, 9)).astype(np.float32)
LAWS = {
  "gaussian": (pairs.gaussian_log_cdf, stats.norm),
  "cauchy": (pairs.cauchy_log_cdf, stats.cauchy),
}
FAR = [-1e6, -1e4, -300.0, -12.0, -10.01, -9.99, -3.0, -1.0]
PLACES = np.asarray([*FAR, -1e-3, 0.0, 1e-3, 0.5, 1.0, 3.0, 9.0], np.float32)


@pytest.mark.parametrize("name", LAWS)
def test_pairwise_is_minus_the_sum_of_log_probabilities(name):
  log_cdf, law = LAWS[name]
  expected = [
    -sum(law.logcdf((mean[c] - mean[j]) / scale[j]) for j in range(4) if j != c)
    for mean, scale, c in zip(MEAN, SCALE, LABELS, strict=True)
  ]
  got = pairs.pairwise(MEAN, LABELS, SCALE, log_cdf)
  np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("name", LAWS)
def test_log_probabilities_are_accurate_in_both_tails(name):
  log_cdf, law = LAWS[name]
  expected = law.logcdf(PLACES.astype(float))
  np.testing.assert_allclose(log_cdf(PLACES), expected, rtol=5e-5)
  np.testing.assert_allclose(log_cdf(1e4), law.logcdf(1e4), atol=1e-9)


@pytest.mark.parametrize("name", LAWS)
def test_the_slopes_of_log_probabilities_are_accurate_in_both_tails(name):
  log_cdf, law = LAWS[name]
  x = PLACES.astype(float)
  expected = np.exp(law.logpdf(x) - law.logcdf(x))
  if name == "gaussian":
    # Far out it is -x - 1/x, and float64 fails too.
    expected[:2] = -x[:2] - 1 / x[:2]
  got = jax.vmap(jax.grad(log_cdf))(PLACES)
  np.testing.assert_allclose(got, expected, rtol=2e-5)


@pytest.mark.parametrize("name", LAWS)
def test_values_and_gradients_are_finite_without_noise(name):
  def total(mean, scale):
    return pairs.pairwise(mean, LABELS, scale, LAWS[name][0]).sum()

  mean = 100 * MEAN
  value, slopes = jax.value_and_grad(total, (0, 1))(mean, 0 * SCALE)
  assert np.isfinite(value)
  assert all(np.isfinite(slope).all() for slope in slopes)
  assert np.isfinite(total(mean, 1e3 + SCALE))


def test_a_network_without_noise_that_is_right_has_no_loss():
  mean = np.asarray([[3.0, 1.0, 0.0]])
  got = pairs.pairwise(
    mean, np.asarray([0]), np.zeros((1, 3)), pairs.gaussian_log_cdf
  )
  np.testing.assert_array_equal(got, [0.0])


def test_a_floor_takes_the_place_of_smaller_scales():
  scale = np.asarray([[0.1, 0.2, 0.7, 0.9]] * 6)
  floored = pairs.pairwise(MEAN, LABELS, scale, pairs.cauchy_log_cdf, 0.5)
  raised = np.maximum(scale, 0.5)
  expected = pairs.pairwise(MEAN, LABELS, raised, pairs.cauchy_log_cdf)
  np.testing.assert_allclose(floored, expected, rtol=1e-6)


def test_the_entry_of_the_label_is_not_used():
  changed = SCALE.copy()
  changed[np.arange(6), LABELS] = [0, 1e30, 1e-30, 5, 0, 1]
  for got in (SCALE, changed):
    slope = jax.grad(
      lambda s: pairs.pairwise(MEAN, LABELS, s, pairs.gaussian_log_cdf).sum()
    )(got)
    np.testing.assert_array_equal(slope[np.arange(6), LABELS], 0)
  np.testing.assert_array_equal(
    pairs.pairwise(MEAN, LABELS, SCALE, pairs.gaussian_log_cdf),
    pairs.pairwise(MEAN, LABELS, changed, pairs.gaussian_log_cdf),
  )


def test_an_example_has_the_same_loss_in_every_batch():
  together = pairs.pairwise(MEAN, LABELS, SCALE, pairs.gaussian_log_cdf)
  for i in range(6):
    part = slice(i, i + 1)
    alone = pairs.pairwise(
      MEAN[part], LABELS[part], SCALE[part], pairs.gaussian_log_cdf
    )
    np.testing.assert_allclose(together[part], alone, rtol=1e-6)


def test_correlated_gaussians_win_as_often_as_the_covariance_says():
  cov = JACOBIAN @ JACOBIAN.swapaxes(1, 2)
  noise = np.random.default_rng(1).normal(size=(100_000, 9))
  scale = pairs.covariance_difference_scale(cov, LABELS)
  for i, label in enumerate(LABELS):
    logits = MEAN[i] + noise @ JACOBIAN[i].T
    wins = (logits[:, [label]] > logits).mean(0)
    p = stats.norm.cdf((MEAN[i, label] - MEAN[i]) / np.maximum(scale[i], 1e-9))
    error = np.sqrt(p * (1 - p) / len(noise)) + 1e-9
    others = np.arange(4) != label
    assert (np.abs(wins - p)[others] < 4.5 * error[others]).all()


@pytest.mark.parametrize("alpha", [0.8, 1.0, 1.5, 2.0])
def test_differences_of_stable_logits_have_the_scale_of_the_jacobian(alpha):
  rng = np.random.default_rng(1)
  noise = 0.3 * stats.levy_stable.rvs(
    alpha, 0, size=(40_000, 9), random_state=rng
  )
  scale = pairs.jacobian_difference_scale(JACOBIAN, 0.3, LABELS, alpha)
  for i, label in enumerate(LABELS[:3]):
    logits = noise @ JACOBIAN[i].T
    for j in set(range(4)) - {label}:
      # The characteristic function of a law of scale s is exp(-1) at 1/s.
      terms = np.cos((logits[:, label] - logits[:, j]) / scale[i, j])
      error = terms.std() / np.sqrt(len(terms))
      assert abs(terms.mean() - np.exp(-1)) < 4.5 * error


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.7, 2.0])
def test_independent_logits_have_a_diagonal_jacobian(alpha):
  jacobian = SCALE[..., None] * np.eye(4, dtype=np.float32)
  got = pairs.independent_difference_scale(SCALE, LABELS, alpha)
  exact = np.array(pairs.jacobian_difference_scale(jacobian, 1, LABELS, alpha))
  own = SCALE[np.arange(6), LABELS].astype(float)[:, None]
  expected = (own**alpha + SCALE.astype(float) ** alpha) ** (1 / alpha)
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  np.testing.assert_array_equal(exact[np.arange(6), LABELS], 0)
  exact[np.arange(6), LABELS] = expected[np.arange(6), LABELS]
  np.testing.assert_allclose(exact, expected, rtol=1e-5)


def test_at_alpha_2_scales_add_up_as_standard_deviations_do():
  got = pairs.independent_difference_scale(SCALE, LABELS, 2.0)
  expected = pairs.variance_difference_scale(SCALE**2, LABELS)
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  diagonal = (SCALE**2)[..., None] * np.eye(4, dtype=np.float32)
  others = np.arange(4) != LABELS[:, None]
  got = pairs.covariance_difference_scale(diagonal, LABELS)
  np.testing.assert_allclose(got[others], expected[others], rtol=1e-5)


def test_the_noise_may_have_a_scale_of_its_own_in_every_unit():
  sigma = np.linspace(0, 2, 9, dtype=np.float32)
  got = pairs.jacobian_difference_scale(JACOBIAN, sigma, LABELS, 1.3)
  expected = pairs.jacobian_difference_scale(JACOBIAN * sigma, 1, LABELS, 1.3)
  np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-6, 1e6])
def test_scales_have_finite_gradients_where_the_noise_vanishes(alpha, scale):
  def total(scale, var, cov, jacobian, sigma):
    return sum(
      part.sum()
      for part in (
        pairs.independent_difference_scale(scale, LABELS, alpha),
        pairs.variance_difference_scale(var, LABELS),
        pairs.covariance_difference_scale(cov, LABELS),
        pairs.jacobian_difference_scale(jacobian, sigma, LABELS, alpha),
      )
    )

  # One logit without noise among others with it, and all of them alike.
  scales = jnp.full((6, 4), scale).at[:2, 0].set(0.0)
  value, slopes = jax.value_and_grad(total, (0, 1, 2, 3, 4))(
    scales, scales, scales[..., None] * jnp.ones(4), JACOBIAN * scale, scale
  )
  assert np.isfinite(value)
  assert all(np.isfinite(slope).all() for slope in slopes)
