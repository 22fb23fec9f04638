"""Many trainings in one process, with few compilations."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from jaxrobust import data, evaluation, methods
from jaxrobust.training import config as config_lib
from jaxrobust.training import parallel
from jaxrobust.training.assembly import Assembly, assemble, make_loader
from jaxrobust.training.cells import noise_grid
from jaxrobust.training.judge import Judge
from jaxrobust.training.smoothed import Stopped, smoothed
from jaxrobust.tuning import mix, traced_strength
from jaxrobust.tuning.keeper import Keeper


class Trainer:
  """Trains one config after another on the same data.

  The compiled step is kept as long as configs differ in the law of their
  alpha-stable noise only, which is then an argument of the step; the compiled
  evaluation as long as model and forward stay the same.

  Args:
    train_set: What is trained on.
    validation_set: What is judged on.

  Attributes:
    stopped: Whether `stop` ended the last training.
    compiled_steps: How many train steps were compiled so far.
  """

  def __init__(
    self,
    train_set: data.Dataset,
    validation_set: data.Dataset,
  ):
    self._train_set, self._validation_set = train_set, validation_set
    self._step_key = self._judge_key = None
    self.compiled_steps = 0
    self.stopped = False

  def epochs(
    self,
    config: ml_collections.ConfigDict,
    keeper: Keeper | None = None,
    stop: Callable[[], bool] = lambda: False,
  ) -> Iterator[dict[str, float]]:
    """Trains a model and judges it after each epoch.

    Args:
      config: The training.
      keeper: Saves checkpoints now and then and when stopped, and gives what
        the training goes on from.
      stop: Asked at every step; True ends the training early.

    Yields:
      The score under each kind of noise, of epochs made before too; nothing
      more once a parameter stopped being finite or `stop` said so.
    """
    self.stopped = False
    try:
      self._prepare(config, stop)
    except Stopped:
      self.stopped = True
      return
    launcher, parts = self._launcher, self._parts
    cells = noise_grid(config)
    task = evaluation.task_of(config.data.targets)
    law = ()
    if traced_strength.has_one_law(config):
      law = tuple(np.float32(x) for x in traced_strength.law_of(config))
    law = launcher.replicate(law)
    resident = launcher.replicate(parts.resident)
    loader = make_loader(config, self._fed)
    begun, first = parts.state, 0
    restored = keeper and keeper.restore(parts.state)
    if keeper and restored:
      begun, position = restored
      loader.set_state(position)
      first = keeper.resumed
      yield from [keeper.by_epoch[epoch] for epoch in sorted(keeper.by_epoch)]
    state = launcher.replicate(jax.tree.map(jnp.copy, begun))
    for step in range(first + 1, parts.total_steps + 1):
      self.stopped = stop()
      if keeper and step > first + 1 and (self.stopped or keeper.is_due()):
        keeper.save(state, loader.get_state())
      if self.stopped:
        return
      batch = launcher.shard(next(loader))
      state, metrics = self._step(state, batch, resident, law)
      if step % parts.steps_per_epoch:
        continue
      # Parameters that are not finite stay so.
      if not np.isfinite(float(metrics["parameter_norm"])):
        return
      variables = state.variables()
      scores = mix.judge_mix(
        lambda c, v=variables: self._judge(v, c), cells, task
      )
      if keeper:
        keeper.by_epoch[step // parts.steps_per_epoch] = scores
      yield scores

  def _prepare(
    self, config: ml_collections.ConfigDict, stop: Callable[[], bool]
  ) -> None:
    devices = parallel.choose_devices(config)
    self._launcher = parallel.Launcher(config.train.launcher, devices)
    one_law = traced_strength.has_one_law(config)
    compiled_in = config_lib.flat(config.to_dict())
    if one_law:
      for name in traced_strength.LAW:
        del compiled_in[f"method.input.{name}"]
    key = json.dumps(compiled_in)
    if key != self._step_key:
      self._fed = smoothed(config, self._train_set, stop)
      self._step_key = key
      self._parts = parts = assemble(config, self._fed)
      self._step = self._launcher.map(
        _make_step(parts, one_law),
        sharded_in=(False, True, False, False),
        sharded_out=(False, False),
        donate=(0,),
      )
      self.compiled_steps += 1
    judged: list[Any] = [
      config.model.to_dict(),
      config.method.forward.to_dict(),
    ]
    if isinstance(self._parts.method.input, methods.Smoothing):
      judged.append(config.method.input.to_dict())
    key = json.dumps([*judged, len(devices)], default=list)
    if key != self._judge_key:
      self._judge_key = key
      self._judge = Judge(
        config,
        self._parts.model,
        self._parts.method,
        self._validation_set,
        self._launcher,
        data.Tag.VALIDATION,
      )


def _make_step(parts: Assembly, one_law: bool) -> Callable[..., Any]:
  def step(state, batch, resident, law):
    if one_law:
      return traced_strength.train_step(parts, *law)(state, batch, resident)
    return parts.train_step()(state, batch, resident)

  return step
