"""Expected losses equal what integration and sampling say they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from jaxrobust.moments import losses

LOSSES = {
  name: getattr(losses, name)
  for name in ("expected_mse", "rectified_mse", "expected_brier")
}
RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=(5, 4)).astype(np.float32)
VAR = RNG.uniform(0.01, 3.0, (5, 4)).astype(np.float32)
TARGETS = np.eye(4, dtype=np.float32)[[0, 3, 1, 1, 2]]
# What each loss is of outputs that are known, in float64.
PLAIN = {
  "expected_mse": lambda z, y: ((y - z) ** 2).sum(-1),
  "rectified_mse": lambda z, y: ((y - np.maximum(z, 0)) ** 2).sum(-1),
  "expected_brier": lambda z, y: ((y - special.softmax(z, -1)) ** 2).sum(-1),
}


def sampled(plain, mean, var, targets, count=200_000):
  """The mean of a loss over samples, and its standard error, [N]."""
  noise = np.random.default_rng(1).normal(size=(count, 1, mean.shape[-1]))
  values = plain(mean + np.sqrt(var) * noise, targets)
  return values.mean(0), values.std(0) / np.sqrt(count)


@pytest.mark.parametrize("name", ["expected_mse", "rectified_mse"])
def test_squared_errors_are_the_means_over_samples(name):
  mean, error = sampled(PLAIN[name], MEAN, VAR, TARGETS)
  got = LOSSES[name](MEAN, VAR, TARGETS)
  assert np.abs((got - mean) / error).max() < 4.5


def test_rectified_mse_is_the_integral_far_from_the_kink_and_at_it():
  mean, std, target = np.meshgrid(
    [-40, -5, -0.3, 0, 1, 30], [0.01, 1, 30], [0, 1]
  )
  cases = np.stack([mean, std, target], -1).reshape(-1, 3)

  def integral(m, s, y):
    def below(t):
      return (y - max(m + s * t, 0)) ** 2 * stats.norm.pdf(t)

    kink = np.clip(-m / s, -12, 12)
    left, right = (
      integrate.quad(below, *ends, epsabs=1e-13)[0]
      for ends in ((-12, kink), (kink, 12))
    )
    return left + right

  expected = [integral(*case) for case in cases]
  m, s, y = cases.T[..., None]
  got = losses.rectified_mse(m, s**2, y)
  np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-6)


def test_expected_brier_is_close_to_the_mean_over_samples_for_small_noise():
  mean, error = sampled(PLAIN["expected_brier"], 2 * MEAN, 0.1, TARGETS)
  got = losses.expected_brier(2 * MEAN, np.full_like(MEAN, 0.1), TARGETS)
  without_noise = PLAIN["expected_brier"](2 * MEAN, TARGETS)
  assert (np.abs(got - mean) < 0.1 * np.abs(without_noise - mean) + 0.002).all()
  assert error.max() < 5e-4


def test_expected_brier_has_the_derivatives_of_softmax():
  for mean, var, targets in zip(MEAN, VAR, TARGETS, strict=True):
    jacobian = jax.jacfwd(jax.nn.softmax)(mean)
    hessian = jax.hessian(jax.nn.softmax)(mean)
    p = special.softmax(mean) + 0.5 * np.einsum("kjj,j", hessian, var)
    p_var = np.square(jacobian) @ var
    expected = ((targets - p) ** 2 + p_var).sum()
    got = losses.expected_brier(mean[None], var[None], targets[None])
    np.testing.assert_allclose(got, [expected], rtol=1e-4)


def test_gaussian_nll_is_minus_the_log_density():
  density = stats.norm.logpdf(TARGETS, MEAN, np.sqrt(VAR)).sum(-1)
  constant = 0.5 * 4 * np.log(2 * np.pi)
  got = losses.gaussian_nll(MEAN, VAR, TARGETS)
  np.testing.assert_allclose(got, -density - constant, rtol=2e-5, atol=1e-5)


def test_gaussian_nll_is_least_where_the_variance_is_the_squared_residual():
  square = (TARGETS - MEAN) ** 2
  slope = jax.grad(lambda v: losses.gaussian_nll(MEAN, v, TARGETS).sum())(
    square
  )
  np.testing.assert_allclose(slope * square, 0, atol=1e-5)


def test_gaussian_nll_floors_the_variance():
  got = losses.gaussian_nll(MEAN, 0 * VAR, TARGETS, var_floor=0.25)
  at_floor = losses.gaussian_nll(MEAN, 0 * VAR + 0.25, TARGETS)
  np.testing.assert_array_equal(got, at_floor)
  slope = jax.grad(lambda v: losses.gaussian_nll(MEAN, v, TARGETS).sum())
  np.testing.assert_array_equal(slope(0 * VAR), 0 * VAR)


@pytest.mark.parametrize("name", LOSSES)
def test_without_noise_it_is_the_loss_of_the_means(name):
  got = LOSSES[name](MEAN, 0 * VAR, TARGETS)
  expected = PLAIN[name](MEAN.astype(float), TARGETS)
  np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_without_noise_the_gradients_are_those_of_the_loss_of_the_means(name):
  def total(mean, var):
    return LOSSES[name](mean, var, TARGETS).sum()

  slope, curvature = jax.grad(total, (0, 1))(MEAN, 0 * VAR)
  step = 1e-5
  for row, column in np.ndindex(MEAN.shape):
    moved = np.zeros(MEAN.shape)
    moved[row, column] = step
    up, here, down = (
      PLAIN[name](MEAN + sign * moved, TARGETS).sum() for sign in (1, 0, -1)
    )
    numerical = (up - down) / (2 * step)
    np.testing.assert_allclose(slope[row, column], numerical, atol=1e-4)
    # E f(m + s e) = f(m) + v f''(m) / 2 + ...
    second = (up - 2 * here + down) / step**2
    np.testing.assert_allclose(curvature[row, column], second / 2, atol=1e-4)


@pytest.mark.parametrize("name", [*LOSSES, "gaussian_nll"])
@pytest.mark.parametrize("var", [0.0, 1e-30, 1e-12, 1e3])
def test_values_and_gradients_are_finite_for_all_variances(name, var):
  # Zeros and equal outputs among the means, and dead and certain ones.
  mean = jnp.asarray([[0.0, 0.0, -50.0, 50.0], [1.0, 1.0, 1.0, 1.0]])
  loss = getattr(losses, name)

  def total(mean, var):
    return loss(mean, var, TARGETS[:2]).sum()

  value, slopes = jax.value_and_grad(total, (0, 1))(
    mean, jnp.full_like(mean, var)
  )
  assert np.isfinite(value)
  assert all(np.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize("name", [*LOSSES, "gaussian_nll"])
def test_an_example_has_the_same_loss_in_every_batch(name):
  loss = getattr(losses, name)
  together = loss(MEAN, VAR, TARGETS)
  alone = [
    loss(MEAN[i : i + 1], VAR[i : i + 1], TARGETS[i : i + 1])[0]
    for i in range(len(MEAN))
  ]
  np.testing.assert_allclose(together, alone, rtol=1e-6)


@pytest.mark.parametrize("name", [*LOSSES, "gaussian_nll"])
def test_the_loss_is_float32_whatever_the_outputs_are(name):
  mean = jnp.asarray(MEAN, jnp.bfloat16)
  got = getattr(losses, name)(mean, VAR, TARGETS)
  wide = getattr(losses, name)(mean.astype(jnp.float32), VAR, TARGETS)
  assert got.dtype == jnp.float32
  assert got.shape == (5,)
  np.testing.assert_array_equal(got, wide)
