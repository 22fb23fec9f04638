"""Stable noise to first order: closed forms and drawn quantiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrobust.moments import Moments, Rules, Stable, Tangents, ops

ALPHAS = [0.5, 1.0, 1.5, 2.0]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5)).astype(np.float32)
SCALE = RNG.uniform(0.5, 2, (2, 5)).astype(np.float32)
KERNEL = RNG.normal(size=(5, 3)).astype(np.float32)


@pytest.mark.quick
@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_weighted_sum_has_the_closed_form(alpha):
  got = ops.dense(Stable(X, SCALE, alpha), KERNEL)
  expected = np.sum(
    (np.abs(KERNEL) * SCALE[..., None]).astype(np.float64) ** alpha, axis=1
  ) ** (1 / alpha)
  np.testing.assert_allclose(got.scale, expected, rtol=1e-4)
  np.testing.assert_allclose(got.loc, X @ KERNEL, rtol=1e-5, atol=1e-6)
  whole = Stable(X, SCALE, alpha).sum((1,))
  expected = np.sum(SCALE.astype(np.float64) ** alpha, 1) ** (1 / alpha)
  np.testing.assert_allclose(whole.scale, expected, rtol=1e-4)


@pytest.mark.quick
def test_cauchy_scales_add_up():
  x = Stable(X, SCALE, 1.0)
  np.testing.assert_allclose((x + (-3) * x.at(X)).scale, 4 * SCALE, rtol=1e-6)


@pytest.mark.quick
@pytest.mark.parametrize(
  "operation",
  [
    ops.relu,
    ops.tanh,
    lambda x: ops.dense(x, KERNEL),
    lambda x: -2 * x + 1,
    lambda x: x + x.at(x.loc),
    lambda x: ops.maximum(x, x[:, ::-1]),
    lambda x: ops.max_pool(x[:, :4, None], (2,)),
    lambda x: ops.mean(x, (1,)),
    lambda x: ops.concatenate([x, jnp.ones((2, 1))], 1),
    ops.softmax,
  ],
)
def test_two_as_a_tail_index_is_the_linear_mode(operation):
  """A stable law with alpha=2 has variance 2 scale squared."""
  stable = operation(Stable(X, SCALE, 2.0))
  gaussian = operation(Moments(X, 2 * SCALE**2, Rules(relu="linear")))
  np.testing.assert_allclose(2 * stable.scale**2, gaussian.var, rtol=1e-4)
  np.testing.assert_allclose(stable.loc, gaussian.mean, rtol=1e-6)


@pytest.mark.parametrize("alpha", [1.0, 1.5])
def test_drawn_quantiles_follow_the_scale_of_small_noise(alpha):
  """To first order, and of independent paths: the second layer is diagonal."""
  first = np.abs(KERNEL)
  second = np.diag([1.0, -2.0, 0.5]).astype(np.float32)
  scale = np.full((1, 5), 1e-3, np.float32)
  x = np.abs(X[:1])
  law = ops.dense(ops.relu(ops.dense(Stable(x, scale, alpha), first)), second)
  noise = stats.levy_stable.rvs(
    alpha, 0, size=(40_000, 5), random_state=np.random.default_rng(4)
  )
  values = np.maximum((x + 1e-3 * noise) @ first, 0) @ second
  found = np.median(np.abs(values - law.loc), axis=0)
  standard = stats.levy_stable.ppf(0.75, alpha, 0)
  np.testing.assert_allclose(found / standard, law.scale[0], rtol=0.03)


@pytest.mark.quick
@pytest.mark.parametrize("alpha", ALPHAS)
def test_gradients_are_finite_where_there_is_no_noise(alpha):
  def total(scale):
    x = ops.dense(ops.relu(Stable(X, scale, alpha)), KERNEL)
    x = ops.softmax(ops.tanh(x) * x)
    return x.scale.sum() + x.loc.sum()

  for scale in (0 * SCALE, SCALE * (X > 0)):
    assert np.isfinite(jax.grad(total)(jnp.asarray(scale))).all()


@pytest.mark.quick
def test_softmax_weighs_the_rows_of_its_jacobian():
  got = ops.softmax(Stable(X, SCALE, 1.0))
  jacobian = jax.vmap(jax.jacrev(jax.nn.softmax))(X)
  expected = np.einsum("nij,nj->ni", np.abs(jacobian), SCALE)
  np.testing.assert_allclose(got.scale, expected, rtol=1e-4)


@pytest.mark.quick
def test_tangents_of_one_unit_agree_with_its_scale():
  """With one unit of noise there is nothing to be independent of."""
  scale = SCALE * (np.arange(5) == 2)

  def network(x):
    return ops.softmax(ops.dense(ops.tanh(x), KERNEL))

  stable = network(Stable(X, scale, 1.5))
  tangents = network(Tangents(X, scale[None]))
  # Past the first layer, units share the noise, which the scale forgets.
  first = ops.dense(ops.tanh(Stable(X, scale, 1.5)), KERNEL)
  exact = ops.dense(ops.tanh(Tangents(X, scale[None])), KERNEL)
  np.testing.assert_allclose(first.scale, np.abs(exact.tangents[0]), rtol=1e-4)
  assert stable.shape == tangents.shape == (2, 3)
