"""The batch normalisation that is exact on padded and unequal shards."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust.models import BatchNorm

# Sixteen rows of which ten are real: of two devices one is partly padding, of
# four one is wholly padding, of eight three are.
ROWS, REAL = 16, 10


def _batch(padding=0.0):
  rng = np.random.default_rng(0)
  x = rng.normal(3.0, 2.0, (ROWS, 3, 3, 5)).astype(np.float32)
  x[REAL:] = padding
  return x, (np.arange(ROWS) < REAL).astype(np.float32)


def _variables(channels=5):
  rng = np.random.default_rng(1)

  def draw():
    return jnp.asarray(rng.uniform(0.5, 1.5, channels), jnp.float32)

  return {
    "params": {"scale": draw(), "bias": draw()},
    "batch_stats": {"mean": draw(), "var": draw()},
  }


def _loss_and_all(variables, x, mask, targets, axis_name):
  """Returns outputs, new statistics and the gradients by params and input."""
  layer = BatchNorm(use_running_average=False, axis_name=axis_name)

  def loss_of(params, x):
    y, changed = layer.apply(
      {**variables, "params": params}, x, mask=mask, mutable=["batch_stats"]
    )
    per_example = jnp.sum(jnp.sin(y) * targets, axis=(1, 2, 3))
    count = mask.sum()
    if axis_name is not None:
      count = jax.lax.psum(count, axis_name)
    loss = jnp.sum(per_example * mask) / count
    return loss, (y, changed["batch_stats"])

  (_, (y, stats)), grads = jax.value_and_grad(
    loss_of, argnums=(0, 1), has_aux=True
  )(variables["params"], x)
  by_params, by_input = grads
  if axis_name is not None:
    by_params = jax.lax.psum(by_params, axis_name)
  return y, stats, by_params, by_input


def _numpy_oracle(variables, x):
  """Normalises the real rows by their own float64 moments."""
  real = x[:REAL].astype(np.float64)
  mean, var = real.mean((0, 1, 2)), real.var((0, 1, 2))
  y = (real - mean) / np.sqrt(var + 1e-5)
  y = y * variables["params"]["scale"] + variables["params"]["bias"]
  old = variables["batch_stats"]
  stats = {
    "mean": 0.9 * old["mean"] + 0.1 * mean,
    "var": 0.9 * old["var"] + 0.1 * var,
  }
  return y, stats


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_shards_with_padding_equal_one_device_without(devices):
  variables = _variables()
  x, mask = _batch()
  targets = np.random.default_rng(2).normal(size=x.shape).astype(np.float32)
  # The reference has no padding, no mask argument and no axis.
  y, stats, by_params, by_input = jax.jit(
    lambda x, t: _loss_and_all(variables, x, jnp.ones(REAL), t, None)
  )(x[:REAL], targets[:REAL])

  def shard(v):
    return v.reshape(devices, ROWS // devices, *v.shape[1:])

  got = jax.pmap(
    lambda x, m, t: _loss_and_all(variables, x, m, t, "devices"),
    axis_name="devices",
    devices=jax.local_devices()[:devices],
  )(shard(x), shard(mask), shard(targets))
  got_y, got_stats, got_by_params, got_by_input = jax.device_get(got)

  def rows(v):
    return v.reshape(ROWS, *v.shape[2:])

  np.testing.assert_allclose(rows(got_y)[:REAL], y, rtol=2e-5, atol=2e-5)
  np.testing.assert_allclose(
    rows(got_by_input)[:REAL], by_input, rtol=1e-4, atol=2e-6
  )
  np.testing.assert_array_equal(rows(got_by_input)[REAL:], 0)
  for device in range(devices):

    def at(tree, d=device):
      return jax.tree.map(lambda v: v[d], tree)

    chex.assert_trees_all_close(at(got_stats), stats, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(
      at(got_by_params), by_params, rtol=1e-4, atol=1e-5
    )


def test_outputs_and_averages_are_the_textbook_ones():
  variables = _variables()
  x, mask = _batch()
  got_y, got_stats, _, _ = _loss_and_all(variables, x, mask, x, None)
  y, stats = _numpy_oracle(variables, x)
  np.testing.assert_allclose(got_y[:REAL], y, rtol=1e-4, atol=1e-5)
  chex.assert_trees_all_close(got_stats, stats, rtol=1e-5)


@pytest.mark.parametrize("padding", [1e30, np.inf, np.nan])
def test_what_padding_rows_hold_reaches_nothing(padding):
  variables = _variables()
  zeros, mask = _batch()
  garbage, _ = _batch(padding)
  targets = np.ones_like(zeros)
  chex.assert_trees_all_equal(
    _loss_and_all(variables, garbage, mask, targets, None),
    _loss_and_all(variables, zeros, mask, targets, None),
  )


def test_without_mask_and_axis_it_is_the_stock_layer():
  x, _ = _batch()
  stock = nn.BatchNorm(use_running_average=False, momentum=0.9)
  ours = BatchNorm(use_running_average=False)
  variables = stock.init(jax.random.key(0), x)
  chex.assert_trees_all_equal(ours.init(jax.random.key(0), x), variables)
  variables = _variables()
  y, changed = stock.apply(variables, x, mutable=["batch_stats"])
  got_y, got_changed = ours.apply(variables, x, mutable=["batch_stats"])
  np.testing.assert_allclose(got_y, y, rtol=1e-4, atol=1e-5)
  chex.assert_trees_all_close(got_changed, changed, rtol=1e-5)
  np.testing.assert_allclose(
    BatchNorm(use_running_average=True).apply(variables, x),
    nn.BatchNorm(use_running_average=True).apply(variables, x),
    rtol=1e-6,
    atol=1e-6,
  )


def test_it_is_a_stock_norm_to_everything_that_asks():
  class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
      return BatchNorm(use_running_average=False)(x)

  assert issubclass(BatchNorm, nn.BatchNorm)
  shapes = jax.eval_shape(Net().init, jax.random.key(0), jnp.ones((2, 3)))
  assert list(shapes["params"]) == ["BatchNorm_0"]
  assert set(shapes["params"]["BatchNorm_0"]) == {"scale", "bias"}
  assert set(shapes["batch_stats"]["BatchNorm_0"]) == {"mean", "var"}


def test_a_batch_of_padding_alone_changes_nothing_and_stays_finite():
  variables = _variables()
  x, _ = _batch()
  y, stats, _, _ = _loss_and_all(variables, x, jnp.zeros(ROWS), x, None)
  chex.assert_trees_all_equal(stats, variables["batch_stats"])
  # The loss itself is 0 / 0 here, so look at gradients of a plain sum.
  assert np.isfinite(y).all()
  layer = BatchNorm(use_running_average=False)

  def total(params, x):
    y, _ = layer.apply(
      {**variables, "params": params},
      x,
      mask=jnp.zeros(ROWS),
      mutable=["batch_stats"],
    )
    return jnp.sum(y)

  chex.assert_tree_all_finite(
    jax.grad(total, argnums=(0, 1))(variables["params"], x)
  )


def test_a_large_mean_does_not_lose_the_variance():
  rng = np.random.default_rng(3)
  x = (1e4 + rng.normal(size=(256, 2))).astype(np.float32)
  layer = BatchNorm(use_running_average=False, use_bias=False, use_scale=False)
  y, _ = layer.apply(
    {"batch_stats": {"mean": jnp.zeros(2), "var": jnp.ones(2)}},
    x,
    mutable=["batch_stats"],
  )
  np.testing.assert_allclose(y.std(0), 1.0, atol=1e-3)


def test_bfloat16_inputs_keep_float32_statistics():
  x, mask = _batch()
  layer = BatchNorm(use_running_average=False, dtype=jnp.bfloat16)
  variables = _variables()
  y, changed = layer.apply(
    variables, jnp.bfloat16(x), mask=mask, mutable=["batch_stats"]
  )
  assert y.dtype == jnp.bfloat16
  rounded = np.float32(jnp.bfloat16(x))
  _, stats = _numpy_oracle(variables, rounded)
  assert changed["batch_stats"]["mean"].dtype == jnp.float32
  chex.assert_trees_all_close(changed["batch_stats"], stats, rtol=1e-5)


def test_another_channel_axis_is_the_same_up_to_transposition():
  x, mask = _batch()
  variables = _variables()
  last, _ = BatchNorm(use_running_average=False).apply(
    variables, x, mask=mask, mutable=["batch_stats"]
  )
  second, _ = BatchNorm(use_running_average=False, axis=1).apply(
    variables, x.transpose(0, 3, 1, 2), mask=mask, mutable=["batch_stats"]
  )
  np.testing.assert_allclose(
    second.transpose(0, 2, 3, 1), last, rtol=1e-5, atol=1e-5
  )
  with pytest.raises(ValueError, match="axis must be one channel axis"):
    BatchNorm(use_running_average=False, axis=0).apply(
      variables, x, mutable=["batch_stats"]
    )
