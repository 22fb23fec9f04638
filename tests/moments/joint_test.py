"""Full covariances through dense layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import moments
from jaxrobust.moments import Joint, Moments, Rules, ops


def make(seed=0, n=4, batch=2, correlation=0.6):
  rng = np.random.default_rng(seed)
  mean = rng.normal(size=(batch, n)).astype(np.float32)
  std = rng.uniform(0.5, 1.5, (batch, n))
  matrix = correlation + (1 - correlation) * np.eye(n)
  # Half of the pairs are anticorrelated.
  signs = np.where(np.arange(n) % 2, -1, 1)
  cov = matrix * np.outer(signs, signs) * std[:, :, None] * std[:, None, :]
  return mean, cov.astype(np.float32)


def draws(mean, cov, count=400_000):
  rng = np.random.default_rng(1)
  return np.stack(
    [
      rng.multivariate_normal(m, c, count)
      for m, c in zip(mean, cov, strict=True)
    ],
    1,
  )


def sampled_cov(values):
  return np.stack([np.cov(values[:, n].T) for n in range(values.shape[1])])


@pytest.mark.quick
def test_an_affine_layer_is_exact_whatever_its_kernel_looks_like():
  mean, cov = make()
  for module in (nn.Dense(3), nn.Einsum((3, 4), "na,ba->nb")):
    variables = module.init(jax.random.key(0), mean)
    with moments.intercepting():
      got = module.apply(variables, Joint(mean, cov))
    jacobian = jax.jacrev(lambda x, m=module, v=variables: m.apply(v, x))
    matrix = jacobian(mean[:1])[0, :, 0]
    expected = np.einsum("ai,nij,bj->nab", matrix, cov, matrix)
    np.testing.assert_allclose(got.cov, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got.mean, module.apply(variables, mean))


@pytest.mark.quick
def test_the_diagonal_is_that_of_independent_units():
  mean, cov = make()
  joint, diagonal = Joint(mean, cov), Moments(mean, np.einsum("nii->ni", cov))
  for operation in (ops.relu, ops.tanh, ops.gelu, lambda x: 2 * x + 1):
    np.testing.assert_allclose(
      operation(joint).var, operation(diagonal).var, rtol=1e-5
    )
    np.testing.assert_allclose(
      operation(joint).mean, operation(diagonal).mean, rtol=1e-5
    )


@pytest.mark.parametrize(
  ("operation", "plain"),
  [
    (ops.relu, lambda x: np.maximum(x, 0)),
    (ops.tanh, np.tanh),
    # Of both slopes: the correlation of two units can change its sign.
    (ops.elementwise(jnp.square), np.square),
    (ops.elementwise(jnp.sin), np.sin),
  ],
)
def test_covariances_after_an_activation_are_the_sampled_ones(operation, plain):
  mean, cov = make()
  got = operation(Joint(mean, cov))
  values = plain(draws(mean, cov))
  # Four terms of the series at a correlation of 0.6, and the draws' error.
  np.testing.assert_allclose(got.cov, sampled_cov(values), 0.03, 0.03)
  np.testing.assert_allclose(got.mean, values.mean(0), atol=0.02)


@pytest.mark.quick
@pytest.mark.parametrize("relu", ["laplace", "linear"])
def test_other_modes_keep_or_cut_the_covariance(relu):
  mean, cov = make()
  got = ops.relu(Joint(mean, cov, Rules(relu=relu)))
  on = (mean > 0).astype(float)
  gate = on[:, :, None] * on[:, None, :] if relu == "linear" else 1.0
  np.testing.assert_allclose(got.cov, gate * cov)
  got = ops.tanh(Joint(mean, cov, Rules(relu=relu)))
  slope = 1 - np.tanh(mean) ** 2
  expected = slope[:, :, None] * slope[:, None, :] * cov
  np.testing.assert_allclose(got.cov, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.quick
def test_units_without_noise_have_no_covariance_and_finite_gradients():
  mean, cov = make()
  cov[:, 1] = cov[:, :, 1] = 0

  def total(cov):
    x = ops.tanh(ops.relu(Joint(mean, cov)))
    return x.cov.sum() + x.mean.sum()

  got = ops.relu(Joint(mean, cov))
  assert not np.any(got.cov[:, 1])
  assert not np.any(got.cov[:, :, 1])
  assert np.isfinite(jax.grad(total)(cov)).all()
  assert np.isfinite(jax.grad(total)(0 * cov)).all()


@pytest.mark.quick
def test_a_covariance_stays_positive():
  for correlation in (0.0, 0.9, 0.9999):
    mean, cov = make(correlation=correlation, n=6)
    x = Joint(mean, cov)
    for operation in (ops.relu, ops.gelu, ops.tanh):
      x = operation(x)
      least = np.linalg.eigvalsh(np.asarray(x.cov, np.float64)).min()
      assert least > -1e-5


@pytest.mark.quick
@pytest.mark.parametrize(
  "operation",
  [
    lambda x: x.reshape(2, 2, 2),
    lambda x: x[:, :2],
    lambda x: ops.concatenate([x, jnp.ones((2, 1))], 1),
    lambda x: ops.concatenate([x, x], 0),
    lambda x: x * (x + 1),
    lambda x: x.mean_over((1,)),
    ops.softmax,
    lambda x: ops.maximum(x, 0.0),
    lambda x: nn.LayerNorm().apply(
      {"params": {"scale": jnp.ones(4), "bias": jnp.zeros(4)}}, x
    ),
  ],
)
def test_what_it_cannot_do_is_refused_in_one_line(operation):
  with (
    pytest.raises(TypeError, match="covariance='full' goes through stacks"),
    moments.intercepting(),
  ):
    operation(Joint(*make()))
