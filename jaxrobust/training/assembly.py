"""The parts of a training, put together from its config."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import ml_collections
import optax

from jaxrobust import data, methods, models
from jaxrobust.training import config as config_lib
from jaxrobust.training import parallel
from jaxrobust.training import state as state_lib
from jaxrobust.training.step import TrainStep, make_train_step


@dataclasses.dataclass(frozen=True)
class Assembly:
  """What a loop trains with.

  Attributes:
    config: The config it was made from.
    model: The network, which sums over `parallel.AXIS`.
    method: The parts.
    optimizer: The optax transformation.
    schedule: Its learning rate.
    state: The state before the first step.
    steps_per_epoch: The number of updates in an epoch.
    total_steps: The number of updates in the whole training.
    resident: What stays on the device all the time: the data set, or {}.
  """

  config: ml_collections.ConfigDict
  model: nn.Module
  method: methods.Method
  optimizer: optax.GradientTransformation
  schedule: optax.Schedule
  state: state_lib.State
  steps_per_epoch: int
  total_steps: int
  resident: dict[str, Any]

  def train_step(self, method: methods.Method | None = None) -> TrainStep:
    """The step of this training, or of one that differs in its method."""
    return make_train_step(
      self.config,
      self.model,
      method or self.method,
      self.optimizer,
      self.schedule,
      self.total_steps,
      parallel.AXIS,
    )


def make_loader(
  config: ml_collections.ConfigDict, train_set: data.Dataset
) -> data.Loader:
  """This process's part of the batches of a training, from its first."""
  return data.Loader(
    train_set,
    config.train.batch_size,
    seed=config.seed,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
    indices_only=config.data.device_resident,
  )


def assemble(
  config: ml_collections.ConfigDict,
  train_set: data.Dataset,
  differentiable: bool = False,
) -> Assembly:
  """Puts model, method, optimiser and first state together.

  Args:
    config: A run's config.
    train_set: The split it trains on.
    differentiable: Whether updates are differentiated.

  Returns:
    The parts.
  """
  steps_per_epoch = -(-len(train_set) // config.train.batch_size)
  model = models.build(
    **config_lib.model_arguments(config), axis_name=parallel.AXIS
  )
  schedule = state_lib.learning_rate_schedule(config, steps_per_epoch)
  optimizer = state_lib.make_optimizer(
    config, schedule, eps_root=1e-16 if differentiable else 0.0
  )
  method = methods.build(config.method, tuple(config.data.shape))
  state = state_lib.create_state(
    model,
    optimizer,
    tuple(config.data.shape),
    config.seed,
    with_ema=config.train.ema_decay > 0,
    method=method,
  )
  resident = {}
  if config.data.device_resident:
    resident = {"inputs": train_set.inputs, "labels": train_set.labels}
  return Assembly(
    config=config,
    model=model,
    method=method,
    optimizer=optimizer,
    schedule=schedule,
    state=state,
    steps_per_epoch=steps_per_epoch,
    total_steps=config.train.epochs * steps_per_epoch,
    resident=resident,
  )
