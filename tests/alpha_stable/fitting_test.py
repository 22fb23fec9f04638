"""Fits find the law that samples have, and say how well they know it."""

import functools

import jax
import numpy as np
import pytest
from scipy import optimize, stats

from jaxrobust import alpha_stable
from jaxrobust.alpha_stable import fit, fitting, likelihood

SIZE = 2000
METHODS = fitting.METHODS


@functools.cache
def drawn(alpha, beta=0.0, seed=0, size=SIZE):
  """Samples of scale 1 and location 0, in float64."""
  key = jax.random.key(seed)
  sample = alpha_stable.sample(key, alpha, np.float32(beta), shape=(size,))
  return np.asarray(sample, np.float64)


def parameters(found):
  law = found.law
  return np.asarray([law.alpha, law.beta, law.scale, law.loc])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
  ("alpha", "beta"), [(0.6, 0.0), (0.8, 0.5), (1.0, 0.0), (1.3, -0.6), (1.6, 0)]
)
def test_truth_lies_within_the_standard_errors(method, alpha, beta):
  found = fit(0.1 * drawn(alpha, beta) + 3.0, method)
  errors = np.asarray(found.standard_errors)
  z = (parameters(found) - [alpha, beta, 0.1, 3.0]) / errors
  assert found.converged
  assert np.all(np.abs(z) < 4), z
  # The standard errors are not vacuous either.
  assert errors[0] < 0.25 * alpha
  assert errors[2] < 0.02


@pytest.mark.parametrize("method", METHODS)
def test_a_symmetric_fit_has_no_skewness(method):
  found = fit(drawn(1.3, -0.6), method, symmetric=True)
  assert found.law.beta == 0.0
  assert np.isnan(found.standard_errors.beta)
  assert np.isfinite(found.standard_errors.alpha)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("symmetric", [False, True])
def test_standard_errors_cover_the_spread_of_estimates(method, symmetric):
  beta = 0.0 if symmetric else 0.4
  truth = np.asarray([1.4, beta, 1.0, 0.0])
  z = []
  for seed in range(60):
    found = fit(drawn(1.4, beta, seed, 500), method, symmetric=symmetric)
    z.append((parameters(found) - truth) / np.asarray(found.standard_errors))
  spread = np.sqrt(np.mean(np.square(z), axis=0))
  free = [0, 2, 3] if symmetric else [0, 1, 2, 3]
  # The spread of 60 numbers is known to 9 %.
  assert np.all((0.7 < spread[free]) & (spread[free] < 1.4)), spread


def test_the_spread_of_quick_fits_is_their_standard_error():
  alphas, errors = [], []
  for seed in range(40):
    found = fit(drawn(1.4, 0.0, seed, 400), "log_moments", symmetric=True)
    alphas.append(found.law.alpha)
    errors.append(found.standard_errors.alpha)
  assert 0.65 < np.std(alphas) / np.nanmean(errors) < 1.5


def test_cauchy_data_agree_with_scipy():
  samples = 2.0 * drawn(1.0) + 1.0
  loc, scale = stats.cauchy.fit(samples)
  found = fit(samples, alpha=1.0, symmetric=True)
  assert found.law.alpha == 1.0
  np.testing.assert_allclose(
    [found.law.loc, found.law.scale], [loc, scale], atol=2e-3
  )
  want = stats.cauchy.logpdf(samples, loc, scale).sum()
  assert found.log_likelihood == pytest.approx(want, abs=0.05)


def test_gaussian_data_agree_with_scipy():
  samples = 2.0 * np.random.default_rng(0).normal(size=SIZE) + 1.0
  loc, std = stats.norm.fit(samples)
  found = fit(samples, alpha=2.0)
  assert found.law.beta == 0.0
  np.testing.assert_allclose(
    [found.law.loc, np.sqrt(2.0) * found.law.scale], [loc, std], atol=1e-3
  )
  want = stats.norm.logpdf(samples, loc, std).sum()
  assert found.log_likelihood == pytest.approx(want, abs=0.05)
  np.testing.assert_allclose(
    found.standard_errors.loc, std / np.sqrt(SIZE), rtol=0.02
  )
  assert fit(samples).law.alpha > 1.95


@pytest.mark.parametrize("method", METHODS)
def test_fits_follow_shifts_and_scales(method):
  samples = drawn(1.3, -0.6)
  one = fit(samples, method)
  other = fit(1e-3 * samples + 50.0, method)
  want = parameters(one) * [1, 1, 1e-3, 1e-3] + [0, 0, 0, 50.0]
  np.testing.assert_allclose(parameters(other), want, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(
    other.standard_errors,
    np.asarray(one.standard_errors) * [1, 1, 1e-3, 1e-3],
    rtol=1e-3,
  )


@pytest.mark.parametrize("method", METHODS)
def test_the_mirrored_samples_have_the_mirrored_law(method):
  samples = drawn(1.3, -0.6)
  one, other = fit(samples, method), fit(-samples, method)
  np.testing.assert_allclose(
    parameters(other), parameters(one) * [1, -1, 1, -1], atol=2e-3
  )


@pytest.mark.parametrize("method", ["mle", "quantiles"])
def test_the_order_and_the_shape_of_samples_do_not_matter(method):
  samples = drawn(1.3, -0.6)
  sheet = np.sort(samples).reshape(2, -1)
  np.testing.assert_allclose(
    parameters(fit(sheet, method)), parameters(fit(samples, method)), atol=1e-4
  )


def test_log_moments_of_sorted_samples_are_no_worse():
  found = fit(np.sort(drawn(1.3, -0.6)), "log_moments")
  assert abs(found.law.alpha - 1.3) < 4 * found.standard_errors.alpha


def test_maximum_likelihood_is_a_maximum():
  samples = drawn(0.8, 0.5)
  best = fit(samples)
  for method in ("quantiles", "log_moments"):
    assert fit(samples, method).log_likelihood < best.log_likelihood + 1e-2
  # No other search finds more.
  of_samples = likelihood.Likelihood(samples)
  start = parameters(best) * 1.05 + 0.01
  start[2] = np.log(start[2])
  found = optimize.minimize(
    lambda theta: -of_samples.scores(theta)[0],
    start,
    method="Nelder-Mead",
    options={"maxiter": 150},
  )
  assert -found.fun < best.log_likelihood + 0.05


def test_the_scores_are_the_slopes_of_the_likelihood():
  side = np.zeros(SIZE, int)
  side[:200], side[200:400] = 1, -1
  for of_samples in (
    likelihood.Likelihood(drawn(0.8, 0.5)),
    likelihood.Likelihood(drawn(0.8, 0.5), side),
  ):
    theta = np.asarray([1.2, 0.3, 0.1, -0.1])
    slopes = of_samples.scores(theta)[1].sum(axis=0)
    for position in range(4):
      shift = 5e-3 * np.eye(4)[position]
      rise = of_samples.scores(theta + shift)[0]
      rise -= of_samples.scores(theta - shift)[0]
      np.testing.assert_allclose(
        slopes[position], rise / 1e-2, rtol=2e-2, atol=1
      )


def test_equal_sizes_compile_once():
  fit(drawn(1.3, -0.6))
  before = likelihood._value_and_slopes._cache_size()
  fit(drawn(1.8, 0)[:-3], symmetric=True)
  assert likelihood._value_and_slopes._cache_size() == before


@pytest.mark.parametrize(("alpha", "scale"), [(1.0, 0.1), (1.6, 0.15)])
def test_clipped_samples_are_fitted_as_if_they_were_not(alpha, scale):
  rng = np.random.default_rng(1)
  clean = rng.choice([0.0, 0.3, 0.9], SIZE)
  noisy = np.clip(clean + scale * drawn(alpha), 0.0, 1.0)
  found = fit(noisy - clean, limits=(-clean, 1.0 - clean))
  z = (parameters(found) - [alpha, 0.0, scale, 0.0]) / np.asarray(
    found.standard_errors
  )
  assert np.all(np.abs(z) < 4), z
  assert found.converged


def test_limits_that_nothing_reaches_change_nothing():
  samples = drawn(1.3, -0.6)
  found = fit(samples, limits=(-1e30, 1e30))
  np.testing.assert_allclose(parameters(found), parameters(fit(samples)))


def test_light_tails_are_called_gaussian():
  samples = np.random.default_rng(0).uniform(size=500)
  for method in ("mle", "quantiles"):
    found = fit(samples, method)
    assert found.law.alpha == 2.0
    assert np.isnan(found.standard_errors.alpha)
    assert np.isnan(found.standard_errors.beta)
    assert np.isfinite(found.standard_errors.scale)
    assert "alpha is at 2" in " ".join(found.notes)


def test_totally_skewed_samples_have_beta_at_its_end():
  found = fit(drawn(0.7, 1.0))
  if found.law.beta == 1.0:
    assert np.isnan(found.standard_errors.beta)
    assert "beta is at 1" in " ".join(found.notes)
  assert found.law.beta > 0.97
  assert found.law.alpha == pytest.approx(0.7, abs=0.1)


def test_rounded_samples_are_noted():
  assert fit(drawn(1.3, -0.6), "quantiles").notes == ()
  found = fit(np.round(drawn(1.3, -0.6)), "quantiles")
  assert "repeat another" in " ".join(found.notes)


@pytest.mark.parametrize(
  ("samples", "options", "message"),
  [
    ([], {}, "samples must have at least 20 values, got 0"),
    (np.zeros(19), {}, "samples must have at least 20 values, got 19"),
    (np.ones(50), {}, "samples must vary, got 100% equal to 1"),
    (np.r_[np.arange(49), np.nan], {}, "samples must be finite, got nan"),
    (np.r_[np.arange(49), -np.inf], {}, "samples must be finite, got -inf"),
    (np.array(["a"] * 30), {}, "samples must be real numbers"),
    (np.arange(50) * 1j, {}, "samples must be real numbers"),
    (np.arange(50), {"method": "ecf"}, "method must be one of .*'ecf'"),
    (np.arange(50), {"alpha": 2.5}, r"alpha must be in \[0.2, 2\], got 2.5"),
    (np.arange(50), {"limits": (1, 0)}, "limits must be .lower, upper."),
    (np.arange(50), {"limits": (-1, 5)}, "limits must leave at least 20"),
    (
      np.arange(50),
      {"limits": (-1, 99), "method": "quantiles"},
      "limits need method 'mle'",
    ),
  ],
)
def test_bad_arguments_are_named(samples, options, message):
  with pytest.raises(ValueError, match=message):
    fit(samples, **options)
