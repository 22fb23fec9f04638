"""The log density against inversion in 30 digits, and closed forms."""

import inversion
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrobust import alpha_stable

_from_table = jax.jit(alpha_stable.log_prob)
_scalar = jax.value_and_grad(
  lambda x, alpha, beta: alpha_stable.log_prob(
    jnp.full(300, x), alpha, beta
  ).mean(),
  argnums=(0, 1, 2),
)
_at_table = jax.jit(_scalar)
_at_each = jax.jit(
  jax.value_and_grad(
    lambda x, alpha, beta: alpha_stable.log_prob(x, alpha, beta).sum(),
    argnums=(0, 1, 2),
  )
)
_each = jax.jit(alpha_stable.log_prob)
_LINE = np.concatenate(
  [-np.geomspace(1e-5, 1e4, 200)[::-1], np.geomspace(1e-5, 1e4, 200)]
).astype(np.float32)


def _error(got, want):
  got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
  return np.abs(got - want) / np.maximum(1, np.abs(want))


@pytest.mark.parametrize("row", [5, 13, 21, 33, 40])
def test_the_reference_is_what_inversion_gives(row):
  alpha, beta, x = inversion.POINTS[row]
  density, above = inversion.invert(alpha, beta, x)
  assert np.log(density) == pytest.approx(inversion.TABLE[row, 3], rel=1e-8)
  assert above == pytest.approx(inversion.TABLE[row, 4], rel=1e-8)


def test_log_prob_of_many_laws_agrees_with_inversion():
  alpha, beta, x = inversion.POINTS.T
  got = _each(x, alpha, beta)
  assert _error(got, inversion.TABLE[:, 3]).max() < 1e-6


def test_log_prob_and_gradients_from_a_table_agree_with_inversion():
  for (alpha, beta, x), row in zip(
    inversion.POINTS, inversion.TABLE, strict=True
  ):
    value, slopes = _at_table(x, alpha, beta)
    assert _error(value, row[3]) < 3e-6
    assert _error(np.asarray(slopes), row[5:]).max() < 3e-4, (alpha, beta, x)


def test_gradients_of_many_laws_agree_with_inversion():
  alpha, beta, x = inversion.POINTS.T
  _, slopes = _at_each(x, alpha, beta)
  inside = (np.abs(beta) < 1) & (alpha < 2)
  error = _error(np.stack(slopes, 1), inversion.TABLE[:, 5:])
  assert error[inside].max() < 1e-5
  assert error.max() < 3e-4  # differences at the parameters' ends


@pytest.mark.parametrize(
  ("alpha", "beta"),
  [
    (0.1, 0.0),
    (0.1, 1.0),
    (0.3, -0.5),
    (0.65, 1.0),
    (0.7, 0.999),
    (0.9, -1.0),
    (0.9999, 1.0),
    (1.0, 0.0),
    (1.0, -1.0),
    (1.0002, 0.9),
    (1.2, 0.99999),
    (1.6, -1.0),
    (1.99, 0.5),
    (1.9999, 1.0),
    (2.0, 0.0),
  ],
)
def test_the_table_agrees_with_the_integral_at_every_x(alpha, beta):
  got = np.asarray(_from_table(_LINE, alpha, beta), np.float64)
  alphas = np.full(_LINE.shape, alpha, np.float32)
  want = np.asarray(_each(_LINE, alphas, beta), np.float64)
  seen = want > -100.0
  assert _error(got[seen], want[seen]).max() < 1e-5


def test_a_traced_gaussian_cauchy_and_levy_law_agree_with_closed_forms():
  x = _LINE.astype(np.float64)
  near = np.abs(x) < 30
  normal = stats.norm(scale=np.sqrt(2)).logpdf(x)
  got = _from_table(_LINE, 2.0, 0.3)
  assert _error(got, normal)[near].max() < 3e-6
  assert _error(_from_table(_LINE, 1.0, 0.0), stats.cauchy.logpdf(x)).max() < (
    3e-6
  )
  reach = 1 + x
  seen = reach > 0.05
  levy = stats.levy.logpdf(np.where(seen, reach, 1))
  assert _error(_from_table(_LINE, 0.5, 1.0)[seen], levy[seen]).max() < 3e-6


@pytest.mark.parametrize(
  ("known", "beta"), [(2, 0.3), (1, 0), (0.5, 1), (0.5, -1)]
)
def test_known_parameters_take_closed_forms_that_agree(known, beta):
  closed = alpha_stable.log_prob(_LINE, known, beta)
  traced = _from_table(_LINE, float(known), float(beta))
  seen = np.asarray(closed) > -50
  assert _error(traced[seen], closed[seen]).max() < 5e-6


@pytest.mark.parametrize(("alpha", "beta"), [(1.5, 0.5), (0.8, -0.7)])
def test_log_prob_agrees_with_scipy_where_scipy_is_right(alpha, beta):
  x = np.array([-3.0, -0.6, 0.4, 2.0, 9.0])
  zeta = -beta * np.tan(np.pi * alpha / 2)  # scipy's default is S1
  want = stats.levy_stable.logpdf(x - zeta, alpha, beta)
  got = alpha_stable.log_prob(x, alpha, beta)
  np.testing.assert_allclose(got, want, atol=2e-5)


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.2), (1.0, 0.5), (1.9, 0)])
def test_far_tails_are_finite_and_fall_like_a_power(alpha, beta):
  x = np.geomspace(1e10, 1e30, 400).astype(np.float32)
  value = np.asarray(_from_table(x, alpha, beta), np.float64)
  log_x = np.log(x.astype(np.float64))
  slope = (value[20:] - value[:-20]) / (log_x[20:] - log_x[:-20])
  slack = 1e-3 if alpha < 1 else 1e-4
  np.testing.assert_allclose(slope, -1 - alpha, atol=slack)


@pytest.mark.parametrize("alpha", [0.4, 1.0, 1.7])
def test_reflection_turns_beta_round(alpha):
  got = _from_table(-_LINE, alpha, -0.6)
  np.testing.assert_allclose(got, _from_table(_LINE, alpha, 0.6), rtol=2e-6)


def test_the_law_is_a_location_scale_family():
  x = _LINE[::5]
  whole = alpha_stable.log_prob(x, 1.3, 0.4, 2.5, -1.0)
  want = alpha_stable.log_prob((x + 1.0) / 2.5, 1.3, 0.4) - np.log(2.5)
  np.testing.assert_allclose(whole, want, rtol=2e-6, atol=2e-6)


def test_s1_is_s0_moved_by_its_shift():
  shift = 0.4 * 2.0 * np.tan(np.pi * 1.3 / 2)
  x = np.linspace(-4, 4, 9, dtype=np.float32)
  moved = alpha_stable.log_prob(x, 1.3, 0.4, 2.0, 0.5, "S1")
  want = alpha_stable.log_prob(x - shift, 1.3, 0.4, 2.0, 0.5)
  np.testing.assert_allclose(moved, want, rtol=1e-5, atol=1e-5)


def test_log_prob_is_continuous_across_alpha_one():
  alphas = np.float32(1) + np.float32(1e-3) * np.linspace(-2, 2, 41)
  got = np.asarray(_each(np.float32(2.0), alphas.astype(np.float32), 0.7))
  line = np.polynomial.Polynomial.fit(alphas, got, 2)
  assert np.abs(got - line(alphas)).max() < 1e-6


def test_scale_and_loc_have_the_gradients_of_the_family():
  def total(x, scale, loc):
    return alpha_stable.log_prob(x, 1.4, 0.3, scale, loc)

  by_x, by_scale, by_loc = jax.grad(total, (0, 1, 2))(1.0, 2.0, 0.5)
  assert float(by_loc) == pytest.approx(-float(by_x), rel=1e-5)
  want = -(1.0 + (1.0 - 0.5) * float(by_x)) / 2.0
  assert float(by_scale) == pytest.approx(want, rel=1e-5)


def test_the_hessian_of_a_likelihood_agrees_with_differences():
  x = jax.random.cauchy(jax.random.key(0), (300,))

  def loss(parameters):
    return -alpha_stable.log_prob(x, *parameters).mean()

  at = jnp.asarray([1.2, 0.3, 1.1, 0.1])
  slope = jax.jit(jax.grad(loss))
  step = 4e-3
  moves = step * np.eye(4, dtype=np.float32)
  want = [(slope(at + m) - slope(at - m)) / (2 * step) for m in moves]
  got = jax.jit(jax.hessian(loss))(at)
  np.testing.assert_allclose(got, want, rtol=1e-2, atol=2e-3)


def test_outside_the_support_the_log_density_is_minus_infinity():
  got = alpha_stable.log_prob(np.float32([-5.0, -1.01]), np.float32(0.5), 1.0)
  assert np.isneginf(np.asarray(got)).all()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ((0.0, 2.1), "alpha must be"),
    ((0.0, 1.0, 1.1), "beta must be"),
    ((0.0, 1.0, 0.0, 0.0), "scale must be"),
    ((0.0, 1.0, 0.0, 1.0, 0.0, "S2"), "parameterization must be"),
  ],
)
def test_impossible_laws_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    alpha_stable.log_prob(*arguments)
