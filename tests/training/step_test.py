"""The step gives the same on any number of devices, however it is mapped."""

import chex
import jax
import numpy as np
import optax
import pytest

from jaxrobust import data, methods
from jaxrobust.training import parallel, step
from jaxrobust.training import state as state_lib

ROWS, REAL = 24, 19  # On 8 devices, one holds padding only, one some.


def make_batch():
  rng = np.random.default_rng(0)
  index = np.where(np.arange(ROWS) < REAL, rng.permutation(ROWS), -1)
  mask = (index >= 0).astype(np.float32)
  inputs = rng.integers(0, 256, (ROWS, 8, 8, 1), np.uint8)
  # What padding holds must not matter.
  inputs[REAL:] = 255
  return {
    "inputs": inputs,
    "labels": rng.integers(0, 10, ROWS).astype(np.int32),
    "index": index.astype(np.int32),
    "mask": mask,
  }


def make_pieces(config, model, devices, launcher="pmap"):
  launch = parallel.Launcher(launcher, jax.devices()[:devices])
  schedule = state_lib.learning_rate_schedule(config, 3)
  optimizer = state_lib.make_optimizer(config, schedule)
  method = methods.build(config.method, (8, 8, 1))
  train_step = step.make_train_step(
    config, model, method, optimizer, schedule, 6, parallel.AXIS
  )
  state = state_lib.create_state(
    model, optimizer, (8, 8, 1), 0, with_ema=config.train.ema_decay > 0
  )
  return launch, train_step, state


def run_steps(config, model, devices, launcher="pmap", steps=2, batch=None):
  launch, train_step, state = make_pieces(config, model, devices, launcher)
  mapped = launch.map(
    train_step,
    sharded_in=(False, True, False),
    sharded_out=(False, False),
    donate=(0,),
  )
  state = launch.replicate(state)
  for _ in range(steps):
    state, metrics = mapped(state, launch.shard(batch or make_batch()), {})
  return jax.device_get((state.replace(key=0), metrics))


@pytest.fixture
def config(tiny_config):
  tiny_config.augment.crop_padding = 1
  tiny_config.augment.flip = True
  tiny_config.optimizer.name = "sgd"
  tiny_config.optimizer.learning_rate = 0.1
  tiny_config.train.ema_decay = 0.9
  return tiny_config


@pytest.fixture
def model(tiny_net):
  return tiny_net(num_classes=10, axis_name=parallel.AXIS)


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_devices_do_not_change_the_step(config, model, devices):
  one = run_steps(config, model, 1)
  many = run_steps(config, model, devices)
  assert jax.tree.leaves(one[0].batch_stats)
  chex.assert_trees_all_close(one, many, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_pmap_and_shard_map_give_the_same_bits(config, model, devices):
  chex.assert_trees_all_equal(
    run_steps(config, model, devices, "pmap"),
    run_steps(config, model, devices, "shard_map"),
  )


@pytest.mark.quick
@pytest.mark.parametrize("devices", [2, 4, 8])
def test_noise_is_bit_identical_on_any_number_of_devices(config, devices):
  method = methods.build(config.method, (8, 8, 1))
  batch = make_batch()

  def noisy(count):
    def draw_inputs(rows):
      draw = data.Draw(jax.random.key(3), rows["index"], jax.numpy.int32(5))
      rows = {**rows, "inputs": data.as_float(rows["inputs"])}
      return method.input(rows, methods.Context(draw))["inputs"]

    launch = parallel.Launcher("pmap", jax.devices()[:count])
    mapped = launch.map(draw_inputs, sharded_in=(True,), sharded_out=True)
    return launch.gather(mapped(launch.shard(batch)))

  np.testing.assert_array_equal(noisy(1), noisy(devices))


@pytest.mark.quick
def test_padding_does_not_count(config, model):
  padded = make_batch()
  rows = {k: v[:REAL] for k, v in padded.items()}
  config.train.accumulate = 1
  state, metrics = run_steps(config, model, 1)
  cut_state, cut_metrics = run_steps(config, model, 1, batch=rows)
  chex.assert_trees_all_close(metrics, cut_metrics, rtol=1e-5)
  chex.assert_trees_all_close(state, cut_state, rtol=2e-5, atol=1e-6)


@pytest.mark.quick
def test_the_loss_is_the_mean_over_the_real_examples(config, model):
  """An oracle that shares no code with the step's masking or mapping."""
  config.augment.crop_padding, config.augment.flip = 0, False
  config.method = methods.preset("standard")
  batch = make_batch()
  _, _, state = make_pieces(config, model, 1)
  plain = type(model)(num_classes=10)
  inputs = batch["inputs"][:REAL] / np.float32(255)
  outputs, _ = plain.apply(
    {"params": state.params, "batch_stats": state.batch_stats},
    inputs,
    train=True,
    mutable=["batch_stats"],
  )
  expected = optax.softmax_cross_entropy_with_integer_labels(
    outputs.logits, batch["labels"][:REAL]
  ).mean()
  _, metrics = run_steps(config, model, 4, steps=1)
  np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)


def test_micro_batches_add_up_to_the_batch(config):
  from jaxrobust import models

  mlp = models.build("mlp", num_classes=10, hidden=(16,))
  whole = run_steps(config, mlp, 2)
  config.train.accumulate = 3
  parts = run_steps(config, mlp, 2)
  chex.assert_trees_all_close(whole, parts, rtol=2e-5, atol=2e-6)


def test_a_resident_data_set_gives_the_same_step(config, model):
  images = np.random.default_rng(1).integers(0, 256, (30, 8, 8, 1), np.uint8)
  labels = (np.arange(30) % 10).astype(np.int32)
  batch = make_batch()
  rows = np.maximum(batch["index"], 0)
  sent = {**batch, "inputs": images[rows], "labels": labels[rows]}
  launch, train_step, state = make_pieces(config, model, 2)
  mapped = launch.map(
    train_step, sharded_in=(False, True, False), sharded_out=(False, False)
  )
  state = launch.replicate(state)
  bare = {k: batch[k] for k in ("index", "mask")}
  resident = launch.replicate({"inputs": images, "labels": labels})
  one, _ = mapped(state, launch.shard(sent), {})
  two, _ = mapped(state, launch.shard(bare), resident)
  chex.assert_trees_all_close(
    one.replace(key=0), two.replace(key=0), rtol=1e-6, atol=1e-7
  )


def test_the_average_follows_the_parameters(config, model):
  config.train.ema_decay = 0.75
  before = make_pieces(config, model, 1)[2]
  after, _ = run_steps(config, model, 1, steps=1)
  expected = jax.tree.map(
    lambda old, new: 0.75 * old + 0.25 * new,
    {"params": before.params, "batch_stats": before.batch_stats},
    {"params": after.params, "batch_stats": after.batch_stats},
  )
  chex.assert_trees_all_close(after.ema, expected, rtol=1e-6, atol=1e-7)


def test_bfloat16_computes_in_half_and_keeps_float32_state(config):
  from jaxrobust import models

  mlp = models.build("mlp", num_classes=10, hidden=(16,), dtype="bfloat16")
  state, metrics = run_steps(config, mlp, 2, steps=1)
  full, _ = run_steps(
    config, models.build("mlp", num_classes=10, hidden=(16,)), 2, steps=1
  )
  assert {x.dtype for x in jax.tree.leaves(state.params)} == {
    np.dtype("float32")
  }
  assert metrics["loss"].dtype == np.float32
  chex.assert_trees_all_close(state.params, full.params, rtol=0.1, atol=2e-2)
  assert any(
    (a != b).any()
    for a, b in zip(
      jax.tree.leaves(state.params), jax.tree.leaves(full.params), strict=True
    )
  )


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_devices_do_not_change_micro_batches_with_batch_norm(
  config, model, devices
):
  config.train.accumulate = 3
  one = run_steps(config, model, 1)
  many = run_steps(config, model, devices)
  chex.assert_trees_all_close(one, many, rtol=2e-5, atol=2e-6)
