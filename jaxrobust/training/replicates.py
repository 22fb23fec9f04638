"""Several runs of one config that differ in seed and split, compiled once.

A study repeats each of its cells over seeds or folds. Networks made of matrix
products are trained side by side, mapped over by `jax.vmap`; those made of
convolutions one after the other, because a CPU has no fast convolution of many
filters with many images, by the same compiled step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from jaxrobust import data
from jaxrobust.training import state as state_lib
from jaxrobust.training.assembly import assemble
from jaxrobust.training.config import ConfigError, flat
from jaxrobust.training.parallel import AXIS
from jaxrobust.training.smoothed import smoothed

# What replicates may differ in.
_OWN = ("seed", "data.train_split", "data.test_split")


class Diverged(FloatingPointError):
  """A replicate's parameters are not finite at the end of its training."""


def train_replicates(
  configs: Sequence[ml_collections.ConfigDict],
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[state_lib.State]:
  """Trains runs that differ in seed and splits only, without checkpoints.

  Each gets the parameters that `train` gives the same config on one device,
  up to the order of float32 sums.

  Args:
    configs: The replicates' configs; their training splits are equally large.
    progress: Told the updates made so far, and how many there will be.

  Returns:
    The last state of each replicate.

  Raises:
    ConfigError: If the configs differ in anything else, or want the best
      checkpoint, for there are none.
    Diverged: If a parameter is not finite at the end.
    data.DataError: If a data set is not there.
  """
  _require_alike(configs)
  if configs[0].eval.select != "last":
    raise ConfigError(
      f"config.eval.select={configs[0].eval.select!r}: must be 'last' for "
      "replicates"
    )
  configs = [ml_collections.ConfigDict(c.to_dict()) for c in configs]
  # Replicates of one split share it.
  by_split = {
    split: smoothed(configs[0], data.load(configs[0].data, split))
    for split in {config.data.train_split for config in configs}
  }
  sets = [by_split[config.data.train_split] for config in configs]
  if len({len(one) for one in sets}) > 1:
    raise ConfigError(
      f"config.data.train_split: {[len(one) for one in sets]} examples; must "
      "be as many for every replicate"
    )
  changing = any(isinstance(one, data.EpochDataset) for one in sets)
  for config in configs:
    # Batches are then indices: little to stack.
    config.data.device_resident = not changing
  parts = assemble(configs[0], sets[0])
  residents: list[dict[str, Any]] = [
    {} if changing else {"inputs": s.inputs, "labels": s.labels} for s in sets
  ]
  states = _first_states(parts, configs)
  train_step = parts.train_step()

  # The step sums over an axis: here of length one.
  mapped = jax.vmap(
    train_step, (None, 0, None), None, axis_name=AXIS, axis_size=1
  )

  def one_step(state, batch, resident):
    return mapped(state, jax.tree.map(lambda x: x[None], batch), resident)[0]

  total = parts.total_steps
  loaders = [
    data.Loader(
      one,
      config.train.batch_size,
      seed=config.seed,
      epochs=config.train.epochs,
      indices_only=not changing,
    )
    for config, one in zip(configs, sets, strict=True)
  ]
  if getattr(parts.model, "vectorises", False):
    shared = len({c.data.train_split for c in configs}) == 1
    resident = residents[0] if shared else _stack(residents)
    resident = jax.device_put(resident)
    step = jax.jit(
      jax.vmap(one_step, (0, 0, None if shared else 0)), donate_argnums=0
    )
    state = _stack(states)
    for done in range(1, total + 1):
      state = step(state, _stack([next(one) for one in loaders]), resident)
      progress(done, total)
    finished = [
      jax.tree.map(lambda x, k=k: x[k], state) for k in range(len(sets))
    ]
    return _require_finite(finished, configs)

  step = jax.jit(one_step, donate_argnums=0)
  finished = []
  for k, (state, loader) in enumerate(zip(states, loaders, strict=True)):
    resident = jax.device_put(residents[k])
    for done in range(1, total + 1):
      state = step(state, next(loader), resident)
      progress(k * total + done, len(sets) * total)
    finished.append(state)
  return _require_finite(finished, configs)


def _require_finite(
  states: list[state_lib.State], configs: Sequence[ml_collections.ConfigDict]
) -> list[state_lib.State]:
  bad = [
    config.seed
    for state, config in zip(states, configs, strict=True)
    if not all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))
  ]
  if bad:
    raise Diverged(f"parameters not finite after training with seeds {bad}")
  return states


def _first_states(
  parts: Any, configs: Sequence[ml_collections.ConfigDict]
) -> list[state_lib.State]:
  """The state before the first step of every replicate, under one jit."""

  def create(seed):
    return state_lib.initial_state(
      parts.model,
      parts.optimizer,
      tuple(configs[0].data.shape),
      seed,
      configs[0].train.ema_decay > 0,
      parts.method,
    )

  # As in `create_state`: it runs once, so it is not worth optimising.
  create = jax.jit(
    create, compiler_options={"xla_backend_optimization_level": 0}
  )
  return [create(jnp.uint32(config.seed)) for config in configs]


def _require_alike(configs: Sequence[ml_collections.ConfigDict]) -> None:
  def shared(config):
    return {
      field: value
      for field, value in flat(config.to_dict()).items()
      if field not in _OWN
    }

  first = shared(configs[0])
  for config in configs[1:]:
    for field, value in shared(config).items():
      if value != first[field]:
        raise ConfigError(
          f"config.{field}={value!r}: must be {first[field]!r} as in the first "
          "replicate"
        )


def _stack(trees: Sequence[Any]) -> Any:
  host = all(isinstance(x, np.ndarray) for x in jax.tree.leaves(trees))
  stack = np.stack if host else jnp.stack
  return jax.tree.map(lambda *leaves: stack(leaves), *trees)
