"""Reading a run: its config and its checkpoints."""

import functools
import pathlib
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import ml_collections

from jaxrobust import methods, models
from jaxrobust.methods.forwards import ForwardFn
from jaxrobust.training import parallel
from jaxrobust.training import state as state_lib
from jaxrobust.training.checkpoints import Checkpoints, Restored
from jaxrobust.training.config import ConfigError, load, model_arguments


class Network(NamedTuple):
  """The network of a run, as it is judged.

  Attributes:
    model: The model.
    forward: How it is evaluated.
    variables: Its variables, on the host.
  """

  model: nn.Module
  forward: ForwardFn
  variables: dict[str, Any]


def config_of_run(
  workdir: pathlib.Path,
  select: str | None = None,
  data_dir: str | None = None,
  path: str | None = None,
) -> ml_collections.ConfigDict:
  """The config of a run, and where its data are now.

  Args:
    workdir: The run's folder.
    select: As for `evaluate`.
    data_dir: As for `evaluate`.
    path: As for `evaluate`.

  Returns:
    The config, not validated.

  Raises:
    ConfigError: If the folder holds no run.
  """
  config = load(workdir / "config.json")
  config.eval.select = select or config.eval.select
  config.data.data_dir = data_dir or config.data.data_dir
  config.data.path = path or config.data.path
  return config


def network_of_run(workdir: pathlib.Path) -> Network:
  """The network of a run, of the checkpoint that its config names.

  Args:
    workdir: The run's folder.

  Returns:
    The network.

  Raises:
    ConfigError: If the folder holds no run or no checkpoint.
  """
  config = config_of_run(workdir)
  model = models.build(**model_arguments(config), axis_name=parallel.AXIS)
  forward = methods.build(config.method, tuple(config.data.shape)).forward
  return Network(
    model, forward, restore(config, workdir, model).state.variables()
  )


def restore(
  config: ml_collections.ConfigDict, workdir: pathlib.Path, model: nn.Module
) -> Restored:
  """The checkpoint of a run that `config.eval.select` names.

  Args:
    config: The run's config.
    workdir: Its folder.
    model: Its model.

  Returns:
    The state and what was kept with it.

  Raises:
    ConfigError: If there is no checkpoint.
  """
  if not (workdir / "checkpoints").is_dir():
    raise ConfigError(f"{workdir}: no checkpoint there yet")
  checkpoints = open_checkpoints(config, workdir)
  try:
    restored = checkpoints.restore(
      abstract_state(config, model), config.eval.select
    )
  finally:
    checkpoints.close()
  if restored is None:
    raise ConfigError(
      f"{workdir}: no checkpoint for config.eval.select={config.eval.select!r}"
    )
  return restored


def abstract_state(
  config: ml_collections.ConfigDict, model: nn.Module
) -> state_lib.State:
  """The structure of a run's state, with shapes in place of arrays."""
  # The schedule's length is not part of the structure.
  schedule = state_lib.learning_rate_schedule(config, steps_per_epoch=1)
  create = functools.partial(
    state_lib.initial_state,
    model,
    state_lib.make_optimizer(config, schedule),
    tuple(config.data.shape),
    config.seed,
    config.train.ema_decay > 0,
    methods.build(config.method, tuple(config.data.shape)),
  )
  return jax.eval_shape(create)


def open_checkpoints(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> Checkpoints:
  """The checkpoints of a run."""
  watches = config.data.validation_split or config.eval.select == "best_test"
  return Checkpoints(
    workdir / "checkpoints",
    config.checkpoint.keep_last,
    config.checkpoint.keep_best if watches else 0,
  )
