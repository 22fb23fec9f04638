"""Directions of noise are forward differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust.moments import Tangents, ops

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4, 6)).astype(np.float32)
DIRECTIONS = RNG.normal(size=(3, 2, 4, 6)).astype(np.float32)
KERNEL = RNG.normal(size=(6, 5)).astype(np.float32)
WIDE = RNG.normal(size=(7, 1, 1, 1)).astype(np.float32)
MASK = RNG.uniform(size=(2, 4, 6)) < 0.5
LSTM = [
  RNG.normal(size=shape).astype(np.float32) for shape in ((6, 8), (2, 8), (8,))
]

OPERATIONS = {
  "relu": ops.relu,
  "gelu": ops.gelu,
  "softmax": ops.softmax,
  "softmax_first": lambda x: ops.softmax(x, 0),
  "dense": lambda x: ops.dense(x, KERNEL, KERNEL[0]),
  "max_pool": lambda x: ops.max_pool(x, (2,)),
  "avg_pool": lambda x: ops.avg_pool(x, (2,)),
  "global": ops.global_avg_pool,
  "mean": lambda x: ops.mean(x, (0, 2)),
  "wider_product": lambda x: x * WIDE,
  "wider_sum": lambda x: x + WIDE,
  "wider_sum_of_two": lambda x: x[0] + x,
  "product": lambda x: x * ops.tanh(x),
  "square": lambda x: x * x,
  "twice": lambda x: x + x,
  "difference": lambda x: WIDE[0] - x / 2,
  "concatenate": lambda x: ops.concatenate([X, x, 2 * x], -1),
  "attention": lambda x: ops.attention(*[x.reshape(2, 4, 2, 3)] * 3),
  "masked_attention": lambda x: ops.attention(
    *[x.reshape(2, 4, 2, 3)] * 3, jnp.tril(jnp.ones((2, 2, 4, 4), bool))
  ),
  "where": lambda x: ops.where(MASK, x, -1.0),
  "maximum": lambda x: ops.maximum(0.1, ops.maximum(x, x[:, ::-1])),
  "einsum": lambda x: ops.einsum("nac,cd->nad", x, KERNEL),
  "moves": lambda x: x.swapaxes(0, 2)[1:, ..., None].reshape(5, -1),
  "lstm": lambda x: ops.lstm(x, *LSTM),
  "iteration": lambda x: sum((part for part in x), start=jnp.zeros(())),
}


@pytest.mark.quick
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_its_derivative(name):
  operation = OPERATIONS[name]

  @jax.jit
  def both(x, directions):
    value, derivative = jax.linearize(operation, x)
    return (
      value,
      jax.vmap(derivative)(directions),
      operation(Tangents(x, directions)),
    )

  value, expected, got = both(X, DIRECTIONS)
  np.testing.assert_allclose(got.loc, value, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(got.tangents, expected, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
    got.var, np.square(expected).mean(0), rtol=1e-3, atol=1e-5
  )
