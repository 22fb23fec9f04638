"""The step with a second view and class centroids."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxrobust
from jaxrobust import centroids, data, methods, models
from jaxrobust.methods import views
from jaxrobust.training import parallel, step
from jaxrobust.training import state as state_lib
from jaxrobust.training.runs import abstract_state, open_checkpoints

ROWS, REAL, SHAPE = 24, 19, (8, 8, 1)
# Labels of the batch below leave classes 7 to 9 out.
ABSENT = [7, 8, 9]


class Net(nn.Module):
  """A convolution, BatchNorm, affine features and a head."""

  num_classes: int = 10
  axis_name: str | None = parallel.AXIS

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    x = nn.Conv(4, (3, 3), strides=2)(inputs)
    x = models.BatchNorm(
      use_running_average=not train, axis_name=self.axis_name
    )(x, mask=mask)
    features = nn.Dense(6)(jax.nn.relu(x).reshape((len(x), -1)))
    return models.Outputs(
      nn.Dense(self.num_classes, name="head")(features), features
    )


def make_batch(real=REAL):
  rng = np.random.default_rng(0)
  index = np.where(np.arange(ROWS) < real, rng.permutation(ROWS), -1)
  inputs = rng.integers(0, 256, (ROWS, *SHAPE), np.uint8)
  inputs[real:] = 255
  return {
    "inputs": inputs,
    "labels": rng.integers(0, 7, ROWS).astype(np.int32),
    "index": index.astype(np.int32),
    "mask": (index >= 0).astype(np.float32),
  }


@pytest.fixture
def config(tiny_config):
  tiny_config.method = methods.preset("discriminative")
  tiny_config.method.view.std = 0.2
  tiny_config.augment.crop_padding = 1
  tiny_config.augment.flip = True
  tiny_config.optimizer.name = "sgd"
  tiny_config.optimizer.learning_rate = 0.1
  return tiny_config


def make_state(config, model):
  schedule = state_lib.learning_rate_schedule(config, 3)
  optimizer = state_lib.make_optimizer(config, schedule)
  method = methods.build(config.method, SHAPE)
  train_step = step.make_train_step(
    config, model, method, optimizer, schedule, 6, parallel.AXIS
  )
  state = state_lib.create_state(
    model, optimizer, SHAPE, 0, with_ema=False, method=method
  )
  return method, train_step, state


def run(config, devices=1, launcher="pmap", steps=2, batch=None, model=None):
  _, train_step, state = make_state(config, model or Net())
  launch = parallel.Launcher(launcher, jax.devices()[:devices])
  mapped = launch.map(
    train_step, sharded_in=(False, True, False), sharded_out=(False, False)
  )
  state = launch.replicate(state)
  for _ in range(steps):
    state, metrics = mapped(state, launch.shard(batch or make_batch()), {})
  return jax.device_get((state.replace(key=0), metrics))


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_devices_change_neither_centroids_nor_parameters(config, devices):
  one, many = run(config), run(config, devices)
  assert not one[0].method_state.seen[ABSENT].any()
  chex.assert_trees_all_close(one, many, rtol=5e-5, atol=5e-6)


def test_pmap_and_shard_map_give_the_same_bits(config):
  chex.assert_trees_all_equal(
    run(config, 4, "pmap"), run(config, 4, "shard_map")
  )


@pytest.mark.quick
def test_padding_is_in_no_centroid(config):
  padded = make_batch()
  cut = {name: array[:REAL] for name, array in padded.items()}
  chex.assert_trees_all_close(
    run(config, batch=padded), run(config, batch=cut), rtol=2e-5, atol=2e-6
  )


@pytest.mark.quick
def test_the_centroids_are_the_clean_features_of_the_batch(config):
  """An oracle that shares nothing with the step: one plain training pass."""
  config.augment.crop_padding, config.augment.flip = 0, False
  batch = make_batch()
  _, _, before = make_state(config, Net())
  state, _ = run(config, steps=1, batch=batch)
  outputs, _ = Net(axis_name=None).apply(
    {"params": before.params, "batch_stats": before.batch_stats},
    batch["inputs"][:REAL] / np.float32(255),
    train=True,
    mutable=["batch_stats"],
  )
  features = np.asarray(outputs.features, np.float64)
  labels = batch["labels"][:REAL]
  for c in range(10):
    own = features[labels == c]
    expected = own.mean(0) if len(own) else np.zeros(6)
    np.testing.assert_allclose(
      state.method_state.means[c], expected, rtol=1e-4, atol=1e-5
    )
    assert state.method_state.counts[c] == len(own)


def test_micro_batches_move_the_centroids_once(config):
  """Statistics of BatchNorm, which differ, are kept out by using none."""
  config.augment.crop_padding, config.augment.flip = 0, False
  config.optimizer.learning_rate = 1e-9
  model = models.build("mlp", num_classes=10, hidden=(8,), feature_dim=4)
  whole, _ = run(config, model=model)
  config.train.accumulate = 3
  parts, _ = run(config, model=model)
  chex.assert_trees_all_close(
    whole.method_state, parts.method_state, rtol=1e-5, atol=1e-6
  )


def test_the_loss_falls_apart_into_what_is_logged(config):
  config.method.objective.weight = 0.5
  config.method.objective.rho = 0.25
  _, metrics = run(config, steps=1)
  _, plain = run(
    _with_objective(config, compactness_weight=0, margin_weight=0), steps=1
  )
  cross_entropy = plain["loss"] - 0.5 * 0.001 * plain["centroid_norm"]
  discriminative = (
    0.75 * metrics["compactness"]
    + 0.25 * metrics["alignment"]
    + metrics["margin"]
    + 0.001 * metrics["centroid_norm"]
  )
  np.testing.assert_allclose(
    metrics["loss"], cross_entropy + 0.5 * discriminative, rtol=1e-5
  )


def _with_objective(config, **fields):
  config = config.copy_and_resolve_references()
  config.method.objective.update(
    {name: float(value) for name, value in fields.items()}
  )
  return config


@pytest.mark.quick
def test_views_have_independent_crops_unless_they_share_them(config):
  """Identical views have features in the same place, others have not."""
  config.method.view.std = 0.0
  config.augment.crop_padding = 2
  config.method.view.batch_norm = "sequential"
  _, apart = run(config, steps=1)
  assert abs(apart["alignment"] - apart["compactness"]) > 1e-6
  config.method.view.shared_aug = True
  _, shared = run(config, steps=1)
  np.testing.assert_allclose(
    shared["alignment"], shared["compactness"], rtol=1e-5
  )


def test_batch_norm_sees_the_views_in_three_ways(config):
  """Running averages after one step, against plain passes of each view."""
  config.augment.crop_padding, config.augment.flip = 0, False
  batch = make_batch(ROWS)
  method, _, before = make_state(config, Net())
  clean = jnp.asarray(batch["inputs"]) / 255
  draw = data.Draw(before.key, batch["index"], jnp.int32(0)).of_view()
  noisy = method.view.input({**batch, "inputs": clean}, methods.Context(draw))[
    "inputs"
  ]

  def passes(*inputs):
    variables = {"params": before.params, "batch_stats": before.batch_stats}
    for x in inputs:
      _, new = Net(axis_name=None).apply(
        variables, x, train=True, mutable=["batch_stats"]
      )
      variables = {**variables, **new}
    return variables["batch_stats"]

  expected = {
    "sequential": passes(clean, noisy),
    "clean_only": passes(clean),
    "joint": passes(jnp.concatenate([clean, noisy])),
  }
  assert set(expected) == set(views.BATCH_NORM)
  for mode, stats in expected.items():
    config.method.view.batch_norm = mode
    state, _ = run(config, steps=1, batch=batch)
    chex.assert_trees_all_close(state.batch_stats, stats, rtol=1e-4, atol=1e-6)


def test_cross_entropy_with_a_view_is_the_mean_of_both(config):
  config.method = methods.preset("clean_and_noisy")
  config.method.view.std = 0.2
  config.method.view.batch_norm = "sequential"
  config.augment.crop_padding, config.augment.flip = 0, False
  batch = make_batch(ROWS)
  method, _, before = make_state(config, Net())
  clean = jnp.asarray(batch["inputs"]) / 255
  draw = data.Draw(before.key, batch["index"], jnp.int32(0)).of_view()
  noisy = method.view.input({**batch, "inputs": clean}, methods.Context(draw))[
    "inputs"
  ]
  losses = []
  for x in (clean, noisy):
    outputs, _ = Net(axis_name=None).apply(
      {"params": before.params, "batch_stats": before.batch_stats},
      x,
      train=True,
      mutable=["batch_stats"],
    )
    losses.append(
      optax.softmax_cross_entropy_with_integer_labels(
        outputs.logits, batch["labels"]
      ).mean()
    )
  _, metrics = run(config, steps=1, batch=batch)
  np.testing.assert_allclose(metrics["loss"], sum(losses) / 2, rtol=1e-5)


@pytest.mark.quick
def test_a_head_of_zeros_trains_and_is_told(config):
  class Zeros(Net):
    @nn.compact
    def __call__(self, inputs, train=False, mask=None):
      features = nn.Dense(3)(inputs.reshape((len(inputs), -1)))
      head = nn.Dense(10, name="head", kernel_init=nn.initializers.zeros_init())
      return models.Outputs(head(features), features)

  state, metrics = run(config, steps=1, model=Zeros())
  assert metrics["pairs_without_boundary"] == 1
  assert metrics["margin"] == 0
  chex.assert_tree_all_finite(state.params)


def test_checkpoints_hold_the_centroids(config, tmp_path):
  assert jaxrobust.train(config, tmp_path / "run").finished
  model = models.build("mlp", num_classes=10, hidden=(16,))
  checkpoints = open_checkpoints(config, tmp_path / "run")
  restored = checkpoints.restore(abstract_state(config, model))
  checkpoints.close()
  assert restored is not None
  kept = restored.state.method_state
  assert isinstance(kept, centroids.Centroids)
  assert kept.counts.sum() == 2 * 60
  assert kept.means.dtype == np.float32
