"""Moments of single operations equal what integration and sampling say."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxrobust.moments import Moments, ops, rules

RNG = np.random.default_rng(0)
# Means in standard deviations; products of them with 1 and 4 are exact.
STANDARDS = np.linspace(-9, 9, 73, dtype=np.float32)


def exact_rectified(mean, std):
  """Mean, variance and P(X > 0) with 40 digits."""
  with mpmath.workdps(40):
    m, s = mpmath.mpf(float(mean)), mpmath.mpf(float(std))
    gate, density = mpmath.ncdf(m / s), mpmath.npdf(m / s)
    first = m * gate + s * density
    second = (m * m + s * s) * gate + m * s * density
    return float(first), float(second - first * first), float(gate)


def exact_larger(m, v, n, w):
  """Clark's formulas as he gives them, with 40 digits."""
  with mpmath.workdps(40):
    m, v, n, w = (mpmath.mpf(float(x)) for x in (m, v, n, w))
    t = mpmath.sqrt(v + w)
    d = (m - n) / t
    up, down, density = mpmath.ncdf(d), mpmath.ncdf(-d), mpmath.npdf(d)
    first = m * up + n * down + t * density
    second = (m * m + v) * up + (n * n + w) * down + (m + n) * t * density
    return float(first), float(second - first**2)


def numeric_jacobian(function, point, step=1e-12):
  """Central differences with 40 digits of a function of floats: [out, in]."""
  columns = []
  for i in range(len(point)):
    sides = []
    for sign in (1, -1):
      moved = [float(x) for x in point]
      moved[i] += sign * step
      sides.append(np.asarray(function(*moved)))
    columns.append((sides[0] - sides[1]) / (2 * step))
  return np.stack(columns, -1)


@pytest.mark.parametrize("std", [1.0, 0.25, 16.0])
def test_rectified_moments_are_exact_far_into_both_tails(std):
  mean, var = STANDARDS * std, np.full_like(STANDARDS, std**2)
  got = np.asarray(jax.jit(rules.rectified)(mean, var), np.float64)
  expected = np.transpose([exact_rectified(m, std) for m in mean])
  relative = np.abs(got / expected - 1).max(-1)
  assert relative[0] < 4e-7
  assert relative[1] < 1e-6
  assert relative[2] < 4e-7


def test_larger_has_clarks_moments_without_cancellation():
  mean, other = RNG.normal(size=(2, 200)) * 3
  var, other_var = np.exp(RNG.uniform(-14, 3, (2, 200)))
  arguments = np.asarray([mean, var, other, other_var], np.float32)
  got = jax.jit(rules.larger)(*arguments)
  expected = np.transpose([exact_larger(*x) for x in arguments.T])
  np.testing.assert_allclose(got[0], expected[0], rtol=2e-6, atol=1e-6)
  np.testing.assert_allclose(got[1], expected[1], rtol=4e-5)


@pytest.mark.parametrize(
  ("means", "pooled"),
  [
    ((0, 0, 0, 0), (1.030, 0.465)),
    ((0, 0.5, 1, 1.5), (1.981, 0.554)),
    ((0, 0, 0, 2), (2.123, 0.758)),
    ((0, 0, 0, 4), (4.003, 0.989)),
  ],
)
def test_the_maximum_of_four_is_that_of_the_maxima_of_pairs(means, pooled):
  # Pairs are made along the first axis first.
  x = jnp.asarray(means, jnp.float32).reshape(1, 2, 2, 1).swapaxes(1, 2)
  got = ops.max_pool(Moments(x, jnp.ones_like(x)), (2, 2))
  np.testing.assert_allclose(got.mean.ravel(), pooled[0], atol=1e-3)
  np.testing.assert_allclose(got.var.ravel(), pooled[1], atol=1e-3)
  noise = np.random.default_rng(1).normal(size=(200_000, 4))
  values = (np.asarray(means) + noise).max(-1)
  np.testing.assert_allclose(got.mean.ravel(), values.mean(), atol=0.01)
  np.testing.assert_allclose(got.var.ravel(), values.var(), rtol=0.07)


def test_pooled_moments_of_two_are_those_of_samples():
  x = jnp.float32([0.3, -0.4]).reshape(1, 2, 1)
  var = jnp.float32([0.5, 1.5]).reshape(1, 2, 1)
  pooled = ops.max_pool(Moments(x, var), (2,))
  noise = np.random.default_rng(1).normal(size=(400_000, 2))
  values = (np.ravel(x) + np.sqrt(np.ravel(var)) * noise).max(-1)
  np.testing.assert_allclose(pooled.mean.ravel(), values.mean(), atol=5e-3)
  np.testing.assert_allclose(pooled.var.ravel(), values.var(), rtol=1e-2)


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("point", [(0.3, 0.5), (-2.0, 1.5), (4.0, 2.0)])
def test_derivatives_of_rectified_are_those_of_the_exact_moments(mode, point):
  def exact(mean, var):
    return exact_rectified(mean, np.sqrt(var))

  def ours(x):
    return jnp.stack(rules.rectified(*x))

  got = mode(ours)(jnp.float32(point))
  np.testing.assert_allclose(
    got, numeric_jacobian(exact, point, 1e-6), rtol=1e-4, atol=1e-6
  )


POINTS = [(0.3, 0.5, -0.2, 1.5), (-1, 0.1, 1, 3), (0.7, 1, 0.7, 2)]


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("point", POINTS)
def test_derivatives_of_larger_are_those_of_the_exact_moments(mode, point):
  def ours(x):
    return jnp.stack(rules.larger(*x))

  got = mode(ours)(jnp.float32(point))
  expected = numeric_jacobian(exact_larger, np.float64(np.float32(point)), 1e-6)
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("point", POINTS)
def test_second_derivatives_of_larger_are_differences_of_the_first(point):
  def gradient(x):
    return jax.jacfwd(lambda x: jnp.stack(rules.larger(*x)))(x)

  got = jax.jacfwd(gradient)(jnp.float32(point))
  step = 1e-2
  for i in range(4):
    move = np.zeros(4, np.float32)
    move[i] = step
    sides = [gradient(jnp.float32(point) + sign * move) for sign in (1, -1)]
    difference = (sides[0] - sides[1]) / (2 * step)
    np.testing.assert_allclose(got[..., i], difference, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("mean", [-1.0, 0.0, 2.0])
def test_without_variance_rectified_is_relu_in_values_and_derivatives(mean):
  point = jnp.float32([mean, 0.0])
  value = jnp.stack(rules.rectified(*point))
  on = float(mean > 0)
  np.testing.assert_array_equal(value, [max(mean, 0.0), 0.0, on])
  jacobian = jax.jacrev(lambda x: jnp.stack(rules.rectified(*x)[:2]))(point)
  np.testing.assert_array_equal(jacobian, [[on, 0], [0, on]])


@pytest.mark.parametrize(
  ("pair", "share"), [((2, 1), 1), ((1, 2), 0), ((1, 1), 0.5)]
)
def test_without_variance_larger_is_maximum_in_values_and_derivatives(
  pair, share
):
  point = jnp.float32([pair[0], 0, pair[1], 0])
  np.testing.assert_array_equal(rules.larger(*point), [max(pair), 0])
  jacobian = jax.jacrev(lambda x: jnp.stack(rules.larger(*x)))(point)
  np.testing.assert_array_equal(jacobian[0], [share, 0, 1 - share, 0])
  np.testing.assert_array_equal(jacobian[1, ::2], [0, 0])


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e-6, 1.0, 1e6, 1e15])
def test_values_and_derivatives_are_finite_at_every_scale(scale):
  mean = jnp.float32([-3, -1, 0, 1e-3, 5]) * scale
  var = jnp.float32([0, 1e-14, 1e-6, 1, 50]) * min(scale**2, 1e30)
  mean, var, other, other_var = (
    x.ravel() for x in jnp.meshgrid(mean, var, mean, var)
  )
  for function, x in (
    (rules.rectified, (mean, var)),
    (rules.larger, (mean, var, other, other_var)),
  ):
    outputs, pull = jax.vjp(function, *x)
    gradients = pull(jax.tree.map(jnp.ones_like, outputs))
    for leaf in jax.tree.leaves((outputs, gradients)):
      assert np.isfinite(leaf).all()
    assert (outputs[1] >= 0).all()


def test_quadrature_is_exact_for_polynomials():
  mean, var = jnp.float32([-0.5, 0.0, 1.5]), jnp.float32([0.3, 1.0, 2.0])
  got = rules.quadrature(lambda x: x**3 - x, mean, var, 6)
  m, v = np.float64(mean), np.float64(var)
  expected = m**3 + 3 * m * v - m
  # Var (X³ - X), from the moments of a Gaussian.
  slopes = 3 * m**2 + 3 * v - 1, 6 * m, 6.0
  spread = sum(
    s**2 * v**k / f
    for k, s, f in zip((1, 2, 3), slopes, (1, 2, 6), strict=True)
  )
  np.testing.assert_allclose(got[0], expected, rtol=1e-5)
  np.testing.assert_allclose(got[1], spread, rtol=1e-5)


def test_quadrature_at_a_point_is_the_function_and_its_derivative():
  x, zero = jnp.float32([-1.0, 0.5]), jnp.zeros(2)

  def moments(mean, var):
    return rules.quadrature(jnp.tanh, mean, var, 12)

  mean, var = moments(x, zero)
  np.testing.assert_allclose(mean, np.tanh(x), rtol=1e-6)
  np.testing.assert_array_equal(var, zero)
  slope = jax.grad(lambda x: moments(x, zero)[0].sum())(x)
  np.testing.assert_allclose(slope, 1 - np.tanh(x) ** 2, rtol=1e-5)


@pytest.mark.parametrize(
  "variance",
  [
    lambda v: rules.softmax(jnp.array([0.3, -0.2, 1.0]), v)[1],
    lambda v: rules.normalised_var(jnp.array([-1.2, 0.0, 1.2]), v, (0,)),
  ],
)
def test_variances_without_noise_have_their_whole_gradient(variance):
  # They are linear in v, so the gradient at 0 is that anywhere.
  zero, one = jnp.zeros(3), jnp.ones(3)
  np.testing.assert_allclose(
    jax.jacfwd(variance)(zero), jax.jacfwd(variance)(one), rtol=1e-5, atol=1e-7
  )
