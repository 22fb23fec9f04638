"""Runs as `read_run` gives them, of untrained networks: nothing is written."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxrobust
from jaxrobust import data, methods, models
from jaxrobust.export.function import Run, logits_function
from jaxrobust.training import state as state_lib
from jaxrobust.training.config import model_arguments


def moments_config():
  """A network judged by the mean of its logits under noise inside it."""
  config = _images("mlp", hidden=(16,))
  config.method = methods.preset("stochastic")
  config.method.forward.sigma = 0.7
  config.method.forward.relu = "moment"
  return config


def smoothed_config(**options):
  """A network judged behind the smoother."""
  config = _images("mlp", hidden=(16,))
  config.method = methods.preset("inverse_scale")
  config.method.input.fractions = (0.3,)
  config.method.input.update(options)
  return config


def filtered_config(name, **options):
  """A network judged behind a filter."""
  config = _images("mlp", hidden=(16,))
  config.method.name = name
  config.method.input.name = name
  config.method.input.update(options)
  return config


def batch_norm_config():
  """A network of series with batch norm."""
  config = jaxrobust.default_config()
  config.data.shape, config.data.num_classes = (12, 2), 3
  config.model.name = "fcn1d"
  config.model.update(models.quick_options("fcn1d"))
  return config


def _images(model, **options):
  config = jaxrobust.default_config()
  config.data.shape, config.data.num_classes = (8, 8, 1), 3
  config.data.name = config.data.source = "digits"
  config.model.name = model
  config.model.update(options)
  config.model.mean, config.model.std = (0.3,), (0.5,)
  return config


def run_of(config):
  """A run of this config at step 0, with batch statistics of some training."""
  shape = tuple(config.data.shape)
  model = models.build(**model_arguments(config))
  method = methods.build(config.method, shape)
  schedule = state_lib.learning_rate_schedule(config, 1)
  optimizer = state_lib.make_optimizer(config, schedule)
  state = state_lib.create_state(model, optimizer, shape, 3, False, method)
  rng = np.random.default_rng(5)
  stats = jax.tree.map(
    lambda x: jnp.asarray(rng.uniform(0.5, 2.0, x.shape), jnp.float32),
    state.batch_stats,
  )
  names = tuple("abcdef"[: config.data.num_classes])
  dataset = data.Dataset(
    "made", "test", examples(shape, 20), np.zeros(20, np.int32), names
  )
  variables = {"params": state.params, "batch_stats": stats}
  return Run("made", config, 0, dataset, variables, logits_function(config))


def examples(shape, count):
  """uint8 images, or float series."""
  rng = np.random.default_rng(7)
  if len(shape) == 3:
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8)
  return rng.normal(size=(count, *shape)).astype(np.float32)
