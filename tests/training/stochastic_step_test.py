"""The step with noise inside: devices, padding, learned strengths, checks."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import methods, models
from jaxrobust.moments import ops
from jaxrobust.training import checks, parallel, step
from jaxrobust.training import state as state_lib
from jaxrobust.training.config import ConfigError, default_config

ROWS, REAL = 8, 5  # On 4 devices, one holds padding only, one some.
SHAPE = (8, 2)


class Small(nn.Module):
  """A convolution, a normalisation and a dense layer."""

  axis_name: str | None = None

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    x = nn.Conv(4, (3,))(inputs)
    x = models.BatchNorm(
      use_running_average=not train, axis_name=self.axis_name
    )(x, mask=mask)
    features = ops.relu(ops.max_pool(x, (2,))).reshape((len(x), -1))
    return models.Outputs(nn.Dense(3)(features), features)


def make_batch(padding=9.0):
  rng = np.random.default_rng(0)
  index = np.where(np.arange(ROWS) < REAL, np.arange(ROWS), -1)
  inputs = rng.normal(size=(ROWS, *SHAPE)).astype(np.float32)
  inputs[REAL:] = padding
  return {
    "inputs": inputs,
    "labels": rng.integers(0, 3, ROWS).astype(np.int32),
    "index": index.astype(np.int32),
    "mask": (index >= 0).astype(np.float32),
  }


def make_config(preset="stochastic", objective="expected_mse", **forward):
  config = default_config()
  config.data.shape, config.data.num_classes = SHAPE, 3
  config.model.name, config.model.width = "resnet1d", 4
  config.method = methods.preset(preset)
  config.method.name = "own"
  config.method.objective.name = objective
  config.method.forward.sigma = 0.6
  for name, value in forward.items():
    config.method.forward[name] = value
  config.optimizer.name = "sgd"
  config.optimizer.learning_rate = 0.1
  config.optimizer.noise_rate = 2.0 if forward.get("learn") else 1.0
  return config


def run(config, devices=1, launcher="pmap", batch=None, model=None):
  """The state and the metrics after two steps."""
  model = model or Small(axis_name=parallel.AXIS)
  launch = parallel.Launcher(launcher, jax.devices()[:devices])
  schedule = state_lib.learning_rate_schedule(config, 3)
  optimizer = state_lib.make_optimizer(config, schedule)
  method = methods.build(config.method, SHAPE)
  train_step = step.make_train_step(
    config, model, method, optimizer, schedule, 6, parallel.AXIS
  )
  mapped = launch.map(
    train_step, sharded_in=(False, True, False), sharded_out=(False, False)
  )
  state = state_lib.create_state(
    model, optimizer, SHAPE, 0, with_ema=False, method=method
  )
  state = launch.replicate(state)
  batch = launch.shard(batch or make_batch())
  for _ in range(2):
    state, metrics = mapped(state, batch, {})
  return jax.device_get((state.replace(key=0), metrics))


CASES = {
  "laplace": {"learn": True, "per_channel": True},
  "moment": {"relu": "moment", "relative": True},
  "probes": {"covariance": "probes", "probes": 2},
  "sampled": {"preset": "monte_carlo", "objective": "cross_entropy"},
}


@pytest.mark.parametrize("case", CASES)
def test_devices_do_not_change_the_step(case):
  config = make_config(**CASES[case])
  one = run(config)
  assert np.isfinite(one[1]["loss"])
  chex.assert_trees_all_close(one, run(config, 4), rtol=5e-5, atol=5e-6)
  if case == "laplace":
    chex.assert_trees_all_close(one, run(config, 2), rtol=5e-5, atol=5e-6)
    chex.assert_trees_all_equal(
      run(config, 4), run(config, 4, launcher="shard_map")
    )


def test_padding_does_not_count():
  config = make_config(relu="moment")
  one = run(config)
  other = run(config, batch=make_batch(-3.0))
  # A resident data set may gather anything there; so may a loader.
  del one[1]["largest_input"], other[1]["largest_input"]
  chex.assert_trees_all_equal(one, other)


def test_the_statistics_are_those_of_the_deterministic_step():
  plain = make_config("standard", "cross_entropy")
  plain.method.forward.sigma = None
  batch = make_batch()
  model = Small()
  variables = model.init(jax.random.key(0), batch["inputs"])
  mask = jnp.asarray(batch["mask"])
  statistics = []
  for config in (make_config(), plain):
    forward = methods.build(config.method, SHAPE).forward
    statistics.append(
      jax.jit(lambda v, f=forward: f(model, v, batch["inputs"], mask, True)[1])(
        variables
      )
    )
  chex.assert_trees_all_close(*statistics, rtol=1e-6)


@pytest.mark.quick
def test_a_learned_strength_moves_at_its_own_rate():
  mlp = models.build("mlp", num_classes=3, hidden=(4,))
  moved = []
  for rate in (1.0, 3.0):
    config = make_config(learn=True)
    config.optimizer.noise_rate = rate
    # Too small for the second step to see the difference.
    config.optimizer.learning_rate = 1e-3
    state, metrics = run(config, model=mlp)
    moved.append(state.params[methods.NOISE]["log_sigma"] - np.log(0.6))
  np.testing.assert_allclose(moved[1] / moved[0], 3, rtol=0.02)
  assert moved[0] < 0  # The expected squared error grows with sigma.
  np.testing.assert_allclose(metrics["sigma"], 0.6, rtol=0.05)
  assert metrics["path_norm"] > 0
  assert metrics["sigma_eff"] > 0


@pytest.mark.quick
@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"covariance": "full"}, "config.method.forward .*covariance='full': must"),
    ({"sigma": -1.0}, "config.method.forward: sigma=-1.0: must be"),
    ({"place": "marked"}, "place='marked': the model has no call of"),
    ({"alpha": 1.5}, "'expected_mse': must be 'pairwise' with"),
    ({"samples": 3}, "forward.samples=3: not a parameter of 'moments'"),
    (
      {"preset": "monte_carlo", "objective": "gaussian_nll"},
      "needs config.method.forward.samples of at least 2, got 1",
    ),
    (
      {"preset": "monte_carlo", "objective": "pairwise", "alpha": 1.0},
      "samples of a tail index below 2 have no moments",
    ),
    (
      {"relu": "linear", "covariance": "probes", "pool": "clark"},
      "pool='clark'",
    ),
  ],
)
def test_a_bad_combination_is_one_line_before_anything_compiles(
  changes, message
):
  config = make_config(**changes)
  with pytest.raises(ConfigError, match=message) as caught:
    checks.validate(config)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), 10.0])
def test_the_rate_of_the_noise_is_checked(rate):
  config = make_config()
  config.optimizer.noise_rate = rate
  with pytest.raises(ConfigError, match=r"config.optimizer.noise_rate=.*must"):
    checks.validate(config)


def test_moments_are_of_classes():
  config = make_config(objective="mse")
  config.data.num_classes, config.data.targets = 0, 1
  with pytest.raises(ConfigError, match=r"forward.name=.moments.: must"):
    checks.validate(config)


@pytest.mark.quick
def test_networks_that_cannot_carry_the_noise_are_named():
  config = make_config()
  config.model.name = "mlp"
  config.model.width = None
  config.model.dropout = 0.5
  with pytest.raises(ConfigError, match=r"dropout=0.5 on random units: must"):
    checks.validate(config)
  config.model.dropout = 0.0
  checks.validate(config)
  config.method.forward.covariance = "full"
  config.method.forward.learn = True
  checks.validate(config)
