"""Strength conversions against quadrature, scipy and the published table."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, special

from jaxrobust import alpha_stable

_rate = jax.jit(alpha_stable.flip_rate)
_scale = jax.jit(alpha_stable.scale_from_flip_rate)


def _exceedance(alpha, x):
  """P(|X| > x) in float64: Nolan's angular integral, cut where it steps."""
  if alpha == 1:
    return 2 / np.pi * np.arctan(1 / x)
  if alpha == 2:
    return special.erfc(x / 2)
  eps = 1 - alpha

  def log_time(angle):
    reach = np.sin(alpha * angle) / (x * np.cos(angle))
    ratio = np.cos(eps * angle) / np.cos(angle)
    return np.log(ratio) + alpha / eps * np.log(reach)

  def integrand(angle):
    time = np.exp(min(log_time(angle), 600.0))
    return -np.expm1(-time) if alpha < 1 else np.exp(-time)

  low, high = 1e-12, np.pi / 2 - 1e-12
  cuts = [0.0, np.pi / 2]
  for level in (-30.0, -3.0, 0.0, 3.5):
    if (log_time(low) - level) * (log_time(high) - level) < 0:
      cuts.append(
        optimize.brentq(lambda a, v=level: log_time(a) - v, low, high)
      )
  cuts.sort()
  pieces = itertools.pairwise(cuts)
  total = sum(integrate.quad(integrand, *p, epsabs=1e-10)[0] for p in pieces)
  return total / (np.pi / 2)


@pytest.mark.parametrize(
  "alpha",
  [
    0.1,
    0.3,
    0.5,
    0.8,
    0.999,
    0.99999,
    1.0,
    1.00001,
    1.001,
    1.2,
    1.5,
    1.95,
    2.0,
  ],
)
def test_flip_rate_agrees_with_quadrature(alpha):
  levels = np.array([1e-3, 0.1, 0.5, 1.0, 2.0, 8.0, 100.0])
  exact_alpha = float(np.float32(alpha))
  want = [_exceedance(exact_alpha, x) for x in levels]
  got = np.asarray(_rate(alpha, 0.5 / levels), np.float64)
  np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


_TABLE_SCALES = (0.01, 0.03, 0.10, 0.20, 0.30, 0.50)
_TABLE = {
  0.5: (0.107, 0.177, 0.299, 0.394, 0.457, 0.543),
  0.8: (0.031, 0.072, 0.181, 0.295, 0.383, 0.512),
  1.0: (0.013, 0.038, 0.126, 0.242, 0.344, 0.500),
  1.2: (0.005, 0.019, 0.085, 0.198, 0.312, 0.493),
  1.5: (0.001, 0.006, 0.041, 0.144, 0.277, 0.487),
  1.8: (0.000, 0.001, 0.013, 0.101, 0.252, 0.483),
  2.0: (0.000, 0.000, 0.000, 0.077, 0.239, 0.480),
}


def test_flip_rate_agrees_with_the_table_of_pixel_damage():
  alpha = np.asarray(list(_TABLE), np.float32)[:, None]
  got = _rate(alpha, np.asarray(_TABLE_SCALES, np.float32))
  want = np.asarray(list(_TABLE.values()))
  np.testing.assert_allclose(got, want, rtol=0, atol=6e-4)


@pytest.mark.parametrize(("known", "traced"), [(1, 1.0), (2, 2.0)])
def test_known_alpha_takes_closed_forms_that_agree(known, traced):
  scale = jnp.asarray([0.0, 0.01, 0.2, 3.0])
  closed = alpha_stable.flip_rate(known, scale)
  np.testing.assert_allclose(_rate(traced, scale), closed, rtol=0, atol=1e-6)


def test_no_noise_flips_nothing():
  assert float(alpha_stable.flip_rate(1.5, 0.0)) == 0.0


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0, 1.5, 2.0])
def test_scale_from_flip_rate_inverts_flip_rate(alpha):
  rates = np.asarray([0.001, 0.02, 0.126, 0.5, 0.9], np.float32)
  scale = _scale(alpha, rates)
  np.testing.assert_allclose(_rate(alpha, scale), rates, rtol=0, atol=1e-6)


def test_equal_flip_rates_have_the_known_scales():
  alpha = np.asarray([0.5, 1.0, 1.5, 1.8, 2.0], np.float32)
  want = [0.0142, 0.10, 0.186, 0.217, 0.231]
  np.testing.assert_allclose(_scale(alpha, 0.126), want, rtol=6e-3)


_rate_slopes = jax.jit(jax.grad(alpha_stable.flip_rate, (0, 1, 2)))
_scale_slopes = jax.jit(jax.grad(alpha_stable.scale_from_flip_rate, (0, 1, 2)))


@pytest.mark.parametrize("alpha", [0.5, 0.99999, 1.0, 1.5])
def test_flip_rate_gradients_agree_with_differences_of_quadrature(alpha):
  scale, threshold, step = 0.2, 0.5, 1e-3
  alpha = float(np.float32(alpha))

  def exact(point):
    return _exceedance(point[0], point[2] / point[1])

  point = np.array([alpha, scale, threshold])
  moves = step * np.eye(3)
  want = [(exact(point + m) - exact(point - m)) / (2 * step) for m in moves]
  got = _rate_slopes(alpha, scale, threshold)
  np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.5, 2.0])
def test_inverse_gradients_obey_the_implicit_function_theorem(alpha):
  scale = _scale(alpha, 0.126)
  by_alpha, by_scale, by_threshold = _rate_slopes(alpha, scale, 0.5)
  want = [-by_alpha / by_scale, 1 / by_scale, -by_threshold / by_scale]
  got = _scale_slopes(alpha, 0.126, 0.5)
  np.testing.assert_allclose(got, want, rtol=2e-3)


def test_dispersion_is_the_scale_to_the_power_alpha():
  alpha = np.asarray([0.5, 1.0, 2.0], np.float32)
  got = alpha_stable.scale_from_dispersion(alpha, 0.1)
  np.testing.assert_allclose(got, [0.01, 0.1, 0.31622777], rtol=1e-6)


def test_std_is_that_of_the_gaussian_law():
  law = alpha_stable.AlphaStable.from_std(0.3)
  draw = law.sample(jax.random.key(0), (100_000,))
  assert float(draw.std()) == pytest.approx(0.3, rel=0.01)


def test_geometric_power_agrees_with_the_table_and_inverts():
  alpha = np.asarray([0.5, 0.8, 1.0, 1.2, 1.5, 1.8, 2.0], np.float32)
  power = alpha_stable.geometric_power(alpha, 1.0)
  want = [1.781, 1.155, 1.0, 0.908, 0.825, 0.774, 0.749]
  np.testing.assert_allclose(power, want, rtol=0, atol=6e-4)
  scale = alpha_stable.scale_from_geometric_power(alpha, power)
  np.testing.assert_allclose(scale, np.ones(7), rtol=1e-6)


@pytest.mark.parametrize(
  ("convert", "message"),
  [
    (lambda: alpha_stable.flip_rate(2.1, 0.1), "alpha must be"),
    (lambda: alpha_stable.flip_rate(1.0, -0.1), "scale must be"),
    (lambda: alpha_stable.flip_rate(1.0, 0.1, 0.0), "threshold must be"),
    (lambda: alpha_stable.scale_from_flip_rate(1.0, 1.0), "rate must be in"),
    (lambda: alpha_stable.scale_from_dispersion(1, -1), "dispersion must be"),
    (lambda: alpha_stable.scale_from_std(np.nan), "std must be finite"),
    (lambda: alpha_stable.scale_from_geometric_power(1, -1), "power must be"),
  ],
)
def test_impossible_strengths_are_refused(convert, message):
  with pytest.raises(ValueError, match=message):
    convert()
