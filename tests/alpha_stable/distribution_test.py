"""Probabilities and quantiles against inversion in 30 digits."""

import inversion
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrobust import alpha_stable

_cdf = jax.jit(alpha_stable.cdf)
_sf = jax.jit(alpha_stable.sf)
_quantile = jax.jit(alpha_stable.quantile)
_isf = jax.jit(alpha_stable.isf)
_LAWS = [
  (0.1, 0.0),
  (0.3, 0.5),
  (0.5, 1.0),
  (0.8, -1.0),
  (0.9999999, 0.3),
  (1.0, 0.0),
  (1.0, 1.0),
  (1.3, -0.6),
  (1.99, 0.4),
  (2.0, 0.0),
]


def test_cdf_and_sf_agree_with_inversion():
  want = inversion.TABLE[:, 4]
  above = np.array([float(_sf(x, a, b)) for a, b, x in inversion.POINTS])
  below = np.array([float(_cdf(x, a, b)) for a, b, x in inversion.POINTS])
  np.testing.assert_allclose(above, want, rtol=0, atol=5e-7)
  np.testing.assert_allclose(below, 1 - want, rtol=0, atol=5e-7)
  np.testing.assert_allclose(above, want, rtol=2e-5)


def test_tails_of_closed_forms_keep_their_relative_accuracy():
  x = np.geomspace(1, 1e15, 60).astype(np.float32)
  wide = x.astype(np.float64)
  np.testing.assert_allclose(_sf(x, 1.0, 0.0), stats.cauchy.sf(wide), rtol=1e-5)
  got = _sf(x - 1, 0.5, 1.0)
  exact = stats.levy.sf((x - np.float32(1)).astype(np.float64) + 1)
  np.testing.assert_allclose(got, exact, rtol=1e-5)
  x = np.linspace(-11, 11, 60).astype(np.float32)
  want = stats.norm(scale=np.sqrt(2)).sf(x.astype(np.float64))
  np.testing.assert_allclose(_sf(x, 2.0, 0.5), want, rtol=4e-5)


@pytest.mark.parametrize(("alpha", "beta"), _LAWS)
def test_quantiles_invert_the_cdf(alpha, beta):
  # Smaller probabilities of alpha = 0.1 lie beyond float32.
  least = 1e-6 if alpha > 0.1 else 1e-3
  p = np.geomspace(least, 0.5, 40)
  p = np.concatenate([p, 1 - p]).astype(np.float32)
  x = _quantile(p, alpha, beta)
  np.testing.assert_allclose(_cdf(x, alpha, beta), p, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("alpha", "beta"), _LAWS[2:])
def test_isf_inverts_the_tail_relatively(alpha, beta):
  p = np.geomspace(1e-12, 0.5, 40).astype(np.float32)
  got = np.asarray(_sf(_isf(p, alpha, beta), alpha, beta))
  # Next to the support's end, x in float32 is coarser than that.
  slack = 1e-2 if (alpha, beta) == (0.8, -1.0) else 6e-5
  np.testing.assert_allclose(got, p, rtol=slack)


def test_quantiles_of_zero_and_one_end_the_support():
  p = np.float32([0.0, 1.0])
  assert _quantile(p, 1.5, 1.0).tolist() == [-np.inf, np.inf]
  assert _quantile(p, 0.5, 1.0).tolist() == [-1.0, np.inf]
  assert _quantile(p, 0.5, -1.0).tolist() == [-np.inf, 1.0]
  assert _isf(p, 0.5, 1.0).tolist() == [np.inf, -1.0]


def test_infinite_x_has_probability_one_below():
  x = np.float32([-np.inf, np.inf])
  assert _cdf(x, 0.8, 0.3).tolist() == [0.0, 1.0]
  assert _sf(x, 0.8, 0.3).tolist() == [1.0, 0.0]


def test_the_density_is_the_slope_of_the_cdf():
  slope = jax.jit(jax.grad(alpha_stable.cdf))
  for alpha, beta, x, log_density, *_ in inversion.TABLE:
    if np.exp(log_density) > 1e-4:
      got = float(slope(np.float32(x), np.float32(alpha), np.float32(beta)))
      assert got == pytest.approx(np.exp(log_density), rel=2e-5)


@pytest.mark.parametrize("alpha", [0.6, 1.0, 1.5])
def test_parameter_slopes_of_cdf_agree_with_differences(alpha):
  x = 0.7

  def exact(point):
    return 1 - inversion.invert(point[0], point[1], x)[1]

  point = np.array([alpha, 0.3])
  moves = 1e-4 * np.eye(2)
  want = [(exact(point + m) - exact(point - m)) / 2e-4 for m in moves]
  got = jax.jit(jax.grad(alpha_stable.cdf, (1, 2)))(x, alpha, 0.3)
  np.testing.assert_allclose(got, want, atol=2e-5)


def test_quantile_gradients_obey_the_implicit_function_theorem():
  at = (1.2, 0.4, 1.5, 0.3)
  x, slopes = jax.jit(
    jax.value_and_grad(alpha_stable.quantile, (0, 1, 2, 3, 4))
  )(0.8, *at)
  by_x, *by_law = jax.jit(jax.grad(alpha_stable.cdf, (0, 1, 2, 3, 4)))(x, *at)
  want = [1 / by_x, *(-g / by_x for g in by_law)]
  np.testing.assert_allclose(slopes, want, rtol=1e-4)


def test_many_laws_equal_one_by_one():
  alpha = np.float32([[0.5], [1.0], [1.8]])
  x = np.float32([-1.0, 0.5, 3.0, 20.0])
  got = alpha_stable.cdf(x, alpha, 0.5)
  want = jnp.stack([_cdf(x, a[0], 0.5) for a in alpha])
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_s1_moves_quantiles_by_its_shift():
  shift = 0.4 * 2.0 * np.tan(np.pi * 1.3 / 2)
  plain = alpha_stable.quantile(0.3, 1.3, 0.4, 2.0, 0.5)
  moved = alpha_stable.quantile(0.3, 1.3, 0.4, 2.0, 0.5, "S1")
  assert float(moved - plain) == pytest.approx(shift, abs=1e-4)


def test_impossible_probabilities_are_refused():
  with pytest.raises(ValueError, match="p must be in"):
    alpha_stable.quantile(1.1, 1.5)
  with pytest.raises(ValueError, match="p must be in"):
    alpha_stable.isf(-0.1, 1.5)
