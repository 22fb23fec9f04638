"""Means and variances of independent units, and an array's habits."""

import functools
from typing import ClassVar

import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from jaxrobust import models, moments
from jaxrobust.moments import Moments, Rules, ops

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4, 6)).astype(np.float32)
VAR = RNG.uniform(0.5, 2, X.shape).astype(np.float32)
STATE = Moments(X, VAR)
DRAWS = X + np.sqrt(VAR) * np.random.default_rng(1).normal(
  size=(100_000, *X.shape)
)

# Exact for independent Gaussians: every unit is used once.
EXACT = {
  "scaled": (lambda x: 3 - 2 * x / 4, lambda x: 3 - 2 * x / 4),
  "numpy_first": (lambda x: X - x, lambda x: X - x),
  "sum": (lambda x: x[0] + x[1], lambda x: x[:, 0] + x[:, 1]),
  "product": (lambda x: x[0] * x[1], lambda x: x[:, 0] * x[:, 1]),
  "with_itself": (lambda x: x + x, lambda x: 2 * x),
  "square": (lambda x: x * x, np.square),
  "relu": (ops.relu, lambda x: np.maximum(x, 0)),
  "maximum": (
    lambda x: ops.maximum(x[0], x[1]),
    lambda x: np.maximum(x[:, 0], x[:, 1]),
  ),
  "rectified_at_one": (
    lambda x: ops.maximum(1.0, x),
    lambda x: np.maximum(1, x),
  ),
  "max_pool_of_two": (
    lambda x: ops.max_pool(x, (2,)),
    lambda x: x.reshape(-1, 2, 2, 2, 6).max(3),
  ),
  "avg_pool": (
    lambda x: ops.avg_pool(x, (2,)),
    lambda x: x.reshape(-1, 2, 2, 2, 6).mean(3),
  ),
  "global": (ops.global_avg_pool, lambda x: x.mean(2)),
  "einsum_of_two": (
    lambda x: ops.einsum("ac,bc->ab", x[0], x[1]),
    lambda x: np.einsum("sac,sbc->sab", x[:, 0], x[:, 1], optimize=True),
  ),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_rules_agree_with_draws(name):
  operation, plain = EXACT[name]
  got, values = operation(STATE), plain(DRAWS)
  mean, var = values.mean(0), values.var(0)
  fourth = ((values - mean) ** 4).mean(0)
  count = len(values)
  assert np.abs((got.mean - mean) / np.sqrt(var / count)).max() < 4.5
  assert np.abs((got.var - var) / np.sqrt((fourth - var**2) / count)).max() < 5


@pytest.mark.quick
@pytest.mark.parametrize("operation", [ops.tanh, ops.silu, ops.gelu, ops.elu])
def test_activations_are_integrated_as_a_whole(operation):
  """Against a fine grid over the density."""
  grid = np.linspace(-9, 9, 4001)
  weights = np.exp(-(grid**2) / 2)
  weights /= weights.sum()
  values = operation(jnp.asarray(X[..., None] + np.sqrt(VAR)[..., None] * grid))
  mean = values @ weights
  var = np.square(values - mean[..., None]) @ weights
  got = operation(STATE)
  # That of elu, whose second derivative jumps, is measured at 5e-3.
  np.testing.assert_allclose(got.mean, mean, atol=6e-3)
  np.testing.assert_allclose(got.var, var, atol=1e-2)


@pytest.mark.quick
def test_the_modes_of_the_relu():
  on = X > 0
  for relu, expected in (("laplace", VAR), ("linear", np.where(on, VAR, 0))):
    got = ops.relu(Moments(X, VAR, Rules(relu=relu)))
    np.testing.assert_array_equal(got.var, expected)
    np.testing.assert_array_equal(got.mean, np.maximum(X, 0))
    assert got.rules == Rules(relu=relu)


@pytest.mark.quick
def test_gather_takes_the_variance_of_the_largest_mean():
  got = ops.max_pool(Moments(X, VAR, Rules(pool="gather")), (4,))
  where = X.argmax(1, keepdims=True)
  np.testing.assert_array_equal(got.var, np.take_along_axis(VAR, where, 1))
  np.testing.assert_array_equal(got.mean, X.max(1, keepdims=True))


@pytest.mark.quick
def test_softmax_is_linearised():
  got = ops.softmax(STATE)
  jacobian = jax.vmap(jax.jacrev(jax.nn.softmax))(X.reshape(-1, 6))
  expected = np.einsum("nij,nj->ni", jacobian**2, VAR.reshape(-1, 6))
  np.testing.assert_allclose(got.var.reshape(-1, 6), expected, rtol=1e-4)


@pytest.mark.quick
def test_a_state_has_an_arrays_habits():
  assert (len(STATE), STATE.ndim, STATE.shape) == (2, 3, (2, 4, 6))
  first, second = STATE
  np.testing.assert_array_equal(second.var, VAR[1])
  np.testing.assert_array_equal(
    STATE.reshape(2, -1).swapaxes(0, 1)[3:].var,
    VAR.reshape(2, -1).T[3:],
  )
  half = STATE.astype(jnp.bfloat16)
  assert half.dtype == jnp.bfloat16
  assert half.var.dtype == jnp.float32
  assert not np.any((first - first).var)
  with pytest.raises(TypeError, match="division by a random value"):
    _ = 1.0 * first / second


@pytest.mark.quick
@pytest.mark.parametrize(
  "function", [jnp.asarray, np.asarray, np.sum, lambda x: jnp.stack(list(x))]
)
def test_functions_of_arrays_refuse_at_once(function):
  """They must not iterate for ever, for no index is out of range."""
  with pytest.raises(TypeError):
    function(STATE)


@pytest.mark.quick
def test_means_of_bfloat16_are_summed_in_float32():
  x = jnp.full((1, 64, 64, 1), 1.0, jnp.bfloat16).at[0, 0].set(3.0)
  state = Moments(x, jnp.ones(x.shape))
  got, plain = ops.global_avg_pool(state), ops.global_avg_pool(x)
  np.testing.assert_array_equal(got.mean, plain)
  np.testing.assert_allclose(got.var, 1 / 4096, rtol=1e-6)


FINITE = st.floats(-20, 20, width=32)
MODES = [
  Rules(relu=relu, pool=pool)
  for relu in ("laplace", "linear", "moment")
  for pool in ("gather", "clark")
]


@functools.cache
def network(rules):
  """A function of means and variances through most rules."""
  kernels = [
    np.random.default_rng(5).normal(size=shape).astype(np.float32)
    for shape in ((4, 6), (3, 4))
  ]

  def run(mean, var):
    x = ops.dense(Moments(mean, var, rules), kernels[0])
    x = ops.relu(ops.max_pool(x.reshape(-1, 3, 2), (3,))).reshape(-1, 2)
    x = ops.concatenate([x, ops.tanh(x[:, :1])], 1)
    x = ops.dense(x, kernels[1])
    with moments.intercepting():
      norm = nn.LayerNorm(use_scale=False, use_bias=False)
      x = norm.apply({}, x) + ops.softmax(ops.gelu(x) * x)
    return x.mean, x.var

  def total(mean, var):
    return sum(out.sum() for out in run(mean, var))

  return jax.jit(lambda m, v: (run(m, v), jax.grad(total, (0, 1))(m, v)))


@pytest.mark.quick
@pytest.mark.parametrize(
  "rules", MODES, ids=lambda rules: f"{rules.relu}-{rules.pool}"
)
@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(
  mean=npst.arrays(np.float32, (3, 4), elements=FINITE),
  var=npst.arrays(
    np.float32,
    (3, 4),
    elements=st.one_of(
      st.just(0.0), st.floats(np.float32(1e-20), 1e4, width=32)
    ),
  ),
)
def test_variances_are_never_negative_and_gradients_finite(rules, mean, var):
  outputs, gradients = network(rules)(mean, var)
  assert all(np.isfinite(x).all() for x in (*outputs, *gradients))
  assert (outputs[1] >= 0).all()


@pytest.mark.quick
def test_examples_do_not_know_of_one_another():
  mean, var = RNG.normal(size=(4, 4)), RNG.uniform(size=(4, 4))
  run = network(MODES[-1])
  (whole, whole_var), _ = run(jnp.asarray(mean), jnp.asarray(var))
  order = np.array([2, 0, 3, 1])
  (other, other_var), _ = run(jnp.asarray(mean[order]), jnp.asarray(var[order]))
  np.testing.assert_allclose(other, whole[order], rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(other_var, whole_var[order], rtol=1e-4, atol=1e-6)
  (one, one_var), _ = run(jnp.asarray(mean[:1]), jnp.asarray(var[:1]))
  np.testing.assert_allclose(one, whole[:1], rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(one_var, whole_var[:1], rtol=1e-4, atol=1e-6)


@pytest.mark.quick
@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"relu": "exact"}, "relu='exact': must be one of"),
    ({"pool": "mean"}, "pool='mean': must be one of"),
    ({"points": 1}, "points=1: must be at least 2"),
  ],
)
def test_unknown_rules_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    Rules(**options)


def test_the_lstm_is_the_stock_one():
  """Values, and every bit of the first parameters."""

  class Stock(models.Model):
    kind: ClassVar[str] = "any"

    @nn.compact
    def __call__(self, inputs):
      cell = nn.OptimizedLSTMCell(16)
      (_, last), _ = nn.RNN(cell, return_carry=True)(self.enter(inputs))
      return self.leave(last)

  x = jnp.asarray(RNG.normal(size=(3, 7, 2)), jnp.float32)
  ours = models.build("lstm", num_classes=4, width=16)
  variables = ours.init(jax.random.key(0), x)
  stock = Stock(num_classes=4)
  jax.tree.map(
    np.testing.assert_array_equal, variables, stock.init(jax.random.key(0), x)
  )
  np.testing.assert_allclose(
    ours.apply(variables, x).logits,
    stock.apply(variables, x).logits,
    rtol=1e-5,
    atol=1e-6,
  )


def test_attention_is_the_stock_one():
  q, k, v = RNG.normal(size=(3, 2, 5, 2, 4)).astype(np.float32)
  mask = jnp.tril(jnp.ones((2, 2, 5, 5), bool))
  for shown in (None, mask):
    np.testing.assert_allclose(
      ops.attention(q, k, v, shown),
      nn.dot_product_attention(q, k, v, mask=shown),
      rtol=1e-5,
      atol=1e-6,
    )
