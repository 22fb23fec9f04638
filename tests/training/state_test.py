"""Optimisers and schedules do what their config says."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxrobust
from jaxrobust.training import state as lib

STEPS = 10  # per epoch


@pytest.fixture
def config():
  config = jaxrobust.default_config()
  config.train.epochs = 4
  config.optimizer.learning_rate = 0.5
  return config


def rates(config):
  schedule = lib.learning_rate_schedule(config, STEPS)
  return np.asarray([float(schedule(s)) for s in range(4 * STEPS)])


def test_the_constant_rate_is_constant(config):
  np.testing.assert_allclose(rates(config), 0.5)


def test_the_cosine_falls_from_the_peak_to_zero(config):
  config.schedule.name = "cosine"
  steps = np.arange(40)
  expected = 0.25 * (1 + np.cos(np.pi * steps / 40))
  np.testing.assert_allclose(rates(config), expected, rtol=1e-5, atol=1e-7)


def test_the_warm_up_rises_and_then_the_cosine_begins(config):
  config.schedule.name = "cosine"
  config.schedule.warmup_epochs = 1.0
  found = rates(config)
  np.testing.assert_allclose(found[:10], 0.05 * np.arange(10), atol=1e-7)
  expected = 0.25 * (1 + np.cos(np.pi * np.arange(30) / 30))
  np.testing.assert_allclose(found[10:], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_the_multistep_rate_falls_at_its_epochs(config, warmup):
  config.schedule.name = "multistep"
  config.schedule.boundaries = (2, 3)
  config.schedule.factor = 0.2
  config.schedule.warmup_epochs = warmup
  found = rates(config)
  np.testing.assert_allclose(found[10:20], 0.5, rtol=1e-6)
  np.testing.assert_allclose(found[20:30], 0.1, rtol=1e-6)
  np.testing.assert_allclose(found[30:], 0.02, rtol=1e-6)


def updated(config, gradient, params, steps=1):
  optimizer = lib.make_optimizer(config, optax.constant_schedule(0.5))
  state = optimizer.init(params)
  for _ in range(steps):
    updates, state = optimizer.update(gradient, state, params)
    params = optax.apply_updates(params, updates)
  return jax.tree.map(np.asarray, params)


PARAMS = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
GRADIENT = {"kernel": jnp.full((2, 2), 0.3), "bias": jnp.full(2, 0.4)}


def test_sgd_is_nesterov_momentum_by_hand(config):
  config.optimizer.name = "sgd"
  found = updated(config, GRADIENT, PARAMS, steps=2)
  # v1 = g; step 1: g + .9 v1; v2 = g + .9 v1; step 2: g + .9 v2.
  expected = 1 - 0.5 * 0.3 * ((1 + 0.9) + (1 + 0.9 * 1.9))
  np.testing.assert_allclose(found["kernel"], expected, rtol=1e-6)


def test_coupled_decay_enters_the_gradient(config):
  config.optimizer.name = "sgd"
  config.optimizer.momentum = 0.0
  config.optimizer.weight_decay = 0.1
  found = updated(config, GRADIENT, PARAMS)
  np.testing.assert_allclose(found["kernel"], 1 - 0.5 * 0.4, rtol=1e-6)
  np.testing.assert_allclose(found["bias"], 1 - 0.5 * 0.5, rtol=1e-6)


def test_decay_can_spare_biases_and_norms(config):
  config.optimizer.name = "sgd"
  config.optimizer.momentum = 0.0
  config.optimizer.weight_decay = 0.1
  config.optimizer.decay_on = "kernels"
  found = updated(config, GRADIENT, PARAMS)
  np.testing.assert_allclose(found["kernel"], 1 - 0.5 * 0.4, rtol=1e-6)
  np.testing.assert_allclose(found["bias"], 1 - 0.5 * 0.4, rtol=1e-6)


def test_adamw_decays_beside_the_gradient(config):
  config.optimizer.name = "adamw"
  config.optimizer.weight_decay = 0.1
  found = updated(config, GRADIENT, PARAMS)
  # Adam's first step is the sign of the gradient.
  np.testing.assert_allclose(found["kernel"], 1 - 0.5 * 1.1, rtol=1e-5)


def test_the_gradient_is_clipped_by_its_global_norm(config):
  config.optimizer.name = "sgd"
  config.optimizer.momentum = 0.0
  config.optimizer.clip_norm = 0.1
  found = updated(config, GRADIENT, PARAMS)
  norm = np.sqrt(4 * 0.3**2 + 2 * 0.4**2)
  expected = 1 - 0.5 * 0.3 * 0.1 / norm
  np.testing.assert_allclose(found["kernel"], expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("decay_on", ["all", "kernels"])
def test_l1_is_the_gradient_of_its_penalty(config, name, decay_on):
  config.optimizer.name = name
  config.optimizer.decay_on = decay_on
  params = {
    "kernel": jnp.asarray([[0.5, -2.0], [0.0, 1.0]]),
    "bias": jnp.asarray([-1.0, 3.0]),
  }

  def loss(params):
    return sum((0.3 * w**2).sum() for w in params.values())

  def penalised(params):
    penalty = jnp.abs(params["kernel"]).sum()
    if decay_on == "all":
      penalty += jnp.abs(params["bias"]).sum()
    return loss(params) + 0.07 * penalty

  expected = updated(config, jax.grad(penalised)(params), params)
  config.optimizer.l1 = 0.07
  found = updated(config, jax.grad(loss)(params), params)
  # The kernel's zero is left out: |w| has no gradient there.
  moved = np.asarray(params["kernel"]) != 0
  np.testing.assert_allclose(
    found["kernel"][moved], expected["kernel"][moved], rtol=1e-6
  )
  np.testing.assert_allclose(found["bias"], expected["bias"], rtol=1e-6)
