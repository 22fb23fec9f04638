"""Pooling over windows that do not overlap."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust.moments.ops import avg_pool, global_avg_pool, max_pool

CASES = [
  ((2, 8, 6, 3), (2, 2)),
  ((2, 7, 9, 3), (2, 3)),
  ((3, 12, 2), (4,)),
]


def _distinct(shape):
  """Returns an array whose entries differ by at least one: no ties."""
  size = int(np.prod(shape))
  return np.random.default_rng(0).permutation(size).reshape(shape) * 1.0


@pytest.mark.parametrize(("shape", "window"), CASES)
@pytest.mark.parametrize(
  ("ours", "stock"), [(max_pool, nn.max_pool), (avg_pool, nn.avg_pool)]
)
def test_values_and_gradients_equal_the_stock_pooling(
  ours, stock, shape, window
):
  x = jnp.asarray(_distinct(shape), jnp.float32)
  expected, pull_expected = jax.vjp(lambda x: stock(x, window, window), x)
  got, pull = jax.vjp(lambda x: ours(x, window), x)
  np.testing.assert_allclose(got, expected, rtol=1e-6)
  cotangent = jnp.asarray(_distinct(expected.shape), jnp.float32)
  np.testing.assert_allclose(
    pull(cotangent)[0], pull_expected(cotangent)[0], rtol=1e-6
  )


def test_a_window_is_cut_to_a_shorter_axis():
  x = jnp.asarray(_distinct((2, 1, 4, 3)), jnp.float32)
  assert max_pool(x, (2, 2)).shape == (2, 1, 2, 3)
  assert avg_pool(x, (2, 2)).shape == (2, 1, 2, 3)


def test_equal_entries_share_the_gradient():
  gradient = jax.grad(lambda x: max_pool(x, (2,)).sum())(jnp.ones((1, 2, 1)))
  np.testing.assert_array_equal(gradient.ravel(), [0.5, 0.5])


def test_no_reduce_window_is_in_the_program():
  x = jnp.ones((1, 4, 4, 1))
  for pool in (max_pool, avg_pool):
    program = str(
      jax.make_jaxpr(jax.grad(lambda x, p=pool: p(x, (2, 2)).sum()))(x)
    )
    assert "reduce_window" not in program
    assert "select_and" not in program


def test_the_global_average_of_bfloat16_is_summed_in_float32():
  x = jnp.ones((1, 64, 64, 1), jnp.bfloat16)
  assert global_avg_pool(x).dtype == jnp.bfloat16
  assert global_avg_pool(x)[0, 0] == 1
  x = jnp.asarray(_distinct((2, 3, 4, 5)), jnp.float32)
  np.testing.assert_allclose(global_avg_pool(x), x.mean((1, 2)), rtol=1e-6)


@pytest.mark.parametrize("window", [(2,), (0, 2), (2, 2, 2)])
def test_a_wrong_window_is_named(window):
  with pytest.raises(ValueError, match="window must be 2 positive lengths"):
    max_pool(jnp.ones((1, 4, 4, 1)), window)
