"""Transform, moments and tails against formulas in float64 and samples."""

import jax
import numpy as np
import pytest
from scipy import special

from jaxrobust import alpha_stable

_transform = jax.jit(
  alpha_stable.characteristic_function, static_argnames="parameterization"
)
_T = np.float32([-2.0, -0.3, 0.0, 1e-3, 0.7, 1.5])


def _exact(t, alpha, beta, scale, loc, parameterization):
  t = t.astype(np.float64)
  reach = np.abs(scale * t)
  log = np.log(np.where(reach > 0, reach, 1))
  if parameterization == "S1":
    tangent = np.tan(np.pi * alpha / 2)
    at_one = 2 / np.pi * np.log(np.where(t != 0, np.abs(t), 1))
    h = at_one if alpha == 1 else -tangent
  elif alpha == 1:
    h = 2 / np.pi * log
  else:
    h = np.tan(np.pi * alpha / 2) * np.expm1((1 - alpha) * log)
  power = np.where(reach > 0, reach**alpha, 0)
  return np.exp(-power * (1 + 1j * beta * np.sign(t) * h) + 1j * loc * t)


@pytest.mark.parametrize("parameterization", ["S0", "S1"])
@pytest.mark.parametrize("alpha", [0.3, 0.75, 1.0, 1.3, 1.99, 2.0])
def test_the_transform_is_that_of_the_definition(alpha, parameterization):
  alpha = float(np.float32(alpha))
  at = (alpha, 0.6, 1.5, -0.4)
  got = _transform(_T, *at, parameterization=parameterization)
  want = _exact(_T, *at, parameterization)
  assert got.dtype == np.complex64
  np.testing.assert_allclose(got, want, atol=3e-6)


def test_the_transform_is_smooth_through_alpha_one():
  alphas = (1 + 1e-4 * np.linspace(-1, 1, 21)).astype(np.float32)
  got = np.asarray(_transform(np.float32(1.7), alphas, 0.8))
  want = [
    _exact(np.float64(1.7), float(a), 0.8, 1.0, 0.0, "S0")
    if a != 1
    else _exact(np.float64(1.7), 1, 0.8, 1.0, 0.0, "S0")
    for a in alphas
  ]
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_samples_have_the_transform():
  law = alpha_stable.AlphaStable(1.2, 0.5, 0.7, 0.3)
  draw = np.asarray(law.sample(jax.random.key(0), (100_000,)))
  got = np.exp(1j * np.outer([0.3, 1.0, 2.0], draw)).mean(1)
  want = law.characteristic_function(np.float32([0.3, 1.0, 2.0]))
  np.testing.assert_allclose(got, want, atol=0.015)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 1.7, 2.0])
def test_samples_have_the_log_moments(alpha):
  law = alpha_stable.AlphaStable(alpha, scale=0.2)
  draw = np.log(np.abs(law.sample(jax.random.key(1), (200_000,))))
  mean, variance = law.log_moments()
  assert draw.mean() == pytest.approx(float(mean), abs=0.04)
  assert draw.var() == pytest.approx(float(variance), rel=0.04)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.6, 2.0])
def test_the_fractional_moment_is_the_published_formula(alpha):
  p = alpha * np.array([-0.45, -0.2, 0.2, 0.6, 0.9])
  gamma = special.gamma
  want = 1.5**p * 2 ** (p + 1) * gamma((p + 1) / 2) * gamma(-p / alpha)
  want = want / (alpha * np.sqrt(np.pi) * gamma(-p / 2))
  got = alpha_stable.fractional_moment(p, alpha, 1.5)
  np.testing.assert_allclose(got, want, rtol=2e-5)


def test_moments_at_their_special_orders():
  moment = alpha_stable.fractional_moment
  assert float(moment(0.0, 0.7)) == pytest.approx(1.0)
  assert float(moment(2.0, 2.0)) == pytest.approx(2.0, rel=1e-5)
  assert float(moment(4.0, 2.0)) == pytest.approx(12.0, rel=1e-5)
  assert np.isinf(moment(1.5, 1.5))


@pytest.mark.parametrize(("alpha", "beta"), [(0.6, 0.3), (1.0, 0), (1.5, -0.5)])
def test_tails_approach_their_asymptote(alpha, beta):
  far = np.float32(1e10)
  upper = alpha_stable.sf(far, alpha, beta)
  lower = alpha_stable.cdf(-far, alpha, beta)
  tail = alpha_stable.tail_asymptote(np.float32([far, -far]), alpha, beta)
  np.testing.assert_allclose([upper, lower], tail, rtol=2e-5)


def test_a_skewed_law_has_no_symmetric_moment():
  law = alpha_stable.AlphaStable(1.5, 0.5)
  with pytest.raises(ValueError, match="beta must be 0"):
    law.log_moments()
  with pytest.raises(ValueError, match="p must be above -1"):
    alpha_stable.fractional_moment(-1.0, 1.5)


def test_a_law_delegates_with_its_parametrisation():
  law = alpha_stable.AlphaStable(1.4, 0.5, 2.0, 1.0, parameterization="S1")
  at = (1.4, 0.5, 2.0, 1.0, "S1")
  x = np.float32([-1.0, 2.0])
  for name in ("log_prob", "cdf", "sf", "characteristic_function"):
    got = getattr(law, name)(x)
    np.testing.assert_array_equal(got, getattr(alpha_stable, name)(x, *at))
  for name in ("quantile", "isf"):
    got = getattr(law, name)(0.2)
    np.testing.assert_array_equal(got, getattr(alpha_stable, name)(0.2, *at))
  got = law.tail_asymptote(x)
  np.testing.assert_array_equal(got, alpha_stable.tail_asymptote(x, *at[:4]))
