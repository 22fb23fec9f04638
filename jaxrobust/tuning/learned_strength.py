"""Learns the strength of training noise while one model trains.

The mathematics is in `hypergradient`; the search that it competes with is in
`tuning`.
"""

import dataclasses
import json
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from jaxrobust import alpha_stable as stable
from jaxrobust import data, evaluation
from jaxrobust.training import config as config_lib
from jaxrobust.training import parallel
from jaxrobust.training.assembly import assemble, make_loader
from jaxrobust.training.cells import noise_grid
from jaxrobust.training.checkpoints import Checkpoints
from jaxrobust.training.checks import validate
from jaxrobust.training.config import ConfigError
from jaxrobust.training.interruption import Interruption
from jaxrobust.training.judge import Judge
from jaxrobust.training.logging import MetricWriter, Progress
from jaxrobust.tuning import choice, mix, traced_strength
from jaxrobust.tuning.hypergradient import Hyper, Strength, make_hyper_step


@dataclasses.dataclass(frozen=True)
class Learned:
  """Where the learning of a strength ended.

  Attributes:
    finished: False if it was interrupted; the same call goes on.
    alpha: The tail index.
    scale: The scale.
    flip_rate: Their P(|noise| > 0.5).
    value: The trained model's value on the validation mix.
    by_kind: Its score under each kind of noise.
    trajectory: The lines of `metrics.jsonl`.
  """

  finished: bool
  alpha: float
  scale: float
  flip_rate: float
  value: float | None
  by_kind: dict[str, float]
  trajectory: list[dict[str, float]]


def learn_strength(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  *,
  rate: float = 0.01,
  learn_alpha: bool = True,
) -> Learned:
  """Trains one model and learns the strength of its noise meanwhile.

  Args:
    config: A config whose noise is alpha-stable with one tail index; its
      strength is where the learning begins.
    workdir: A folder, shared with `search.tune`; the work lies in its
      `gradient/`: the trajectory, checkpoints and the rows on the mix.
    rate: Adam's step size in (log scale, tail).
    learn_alpha: Whether the tail index is learned too.

  Returns:
    The end point, a moving average over the last 100 steps or so.

  Raises:
    ConfigError: If the config cannot run, is not the one that `workdir` was
      begun with, or has no such noise or no validation split.
    data.DataError: If the data set is not there.
    NonFiniteLoss: If a parameter stops being finite.
  """
  # ---- Check and prepare ----------------------------------------------------
  top = pathlib.Path(workdir).expanduser()
  parallel.use_all_cores()
  validate(config)
  if not traced_strength.has_one_law(config):
    raise ConfigError(
      f"config.method.input.name={config.method.input.name!r}: must be "
      "'alpha_stable' with one alpha, to learn its strength"
    )
  if not 0 < rate < math.inf:
    raise ConfigError(f"--rate={rate}: must be positive")
  alpha, scale = traced_strength.law_of(config)
  if scale <= 0:
    raise ConfigError(f"config.method.input.scale={scale}: must be > 0")
  launcher = parallel.Launcher(
    config.train.launcher, parallel.choose_devices(config)
  )

  # ---- Data, model, steps ---------------------------------------------------
  validation_set = mix.validation_set(config)
  train_set = data.load(config.data, config.data.train_split)
  choice.begin_folder(config, top)
  folder = top / "gradient"
  folder.mkdir(exist_ok=True)
  options = {"rate": rate, "learn_alpha": learn_alpha}
  _refuse_other(folder / "options.json", options, top)
  loaders = {
    "train": make_loader(config, train_set),
    "validation": data.Loader(
      validation_set, config.train.batch_size, seed=config.seed
    ),
  }
  parts = assemble(config, train_set, differentiable=True)
  cells = noise_grid(config)
  optimizer = optax.adam(rate)
  step_fn = launcher.map(
    make_hyper_step(parts, cells, optimizer, parallel.AXIS, learn_alpha),
    sharded_in=(False, False, True, True, False),
    sharded_out=(False, False, False),
    donate=(0, 1),
  )

  # ---- State: from a checkpoint, or new -------------------------------------
  strength: Any = Strength.of(alpha, scale)
  hyper = Hyper(strength, strength, optimizer.init(strength))
  checkpoints = Checkpoints(folder / "checkpoints", 1, 0)
  restored = checkpoints.restore(_together(parts.state, hyper))
  state, first_step = parts.state, 0
  if restored is not None:
    state, hyper = _apart(restored.state, hyper)
    first_step = restored.step
    for name, loader in loaders.items():
      loader.set_state(restored.data_position[name])
  state, hyper = launcher.replicate(jax.tree.map(jnp.copy, (state, hyper)))
  resident = launcher.replicate(parts.resident)

  # ---- Train ----------------------------------------------------------------
  step, recent = first_step, []
  writer = MetricWriter(folder, first_step)
  progress = Progress(parts.total_steps, "step", first_step)
  with Interruption("stopping: saving a checkpoint") as interruption:
    try:
      while step < parts.total_steps and not interruption.requested:
        batches = [launcher.shard(next(loader)) for loader in loaders.values()]
        state, hyper, metrics = step_fn(state, hyper, *batches, resident)
        step += 1
        recent.append(metrics)
        ends_epoch = step % parts.steps_per_epoch == 0
        if step % config.train.log_every == 0 or ends_epoch:
          means = _means(recent, step)
          recent = []
          writer.write(step, means)
          progress.update(
            step,
            f"loss {means['loss']:.4f}  alpha {means['alpha']:.3f}  "
            f"scale {means['scale']:.4f}",
          )
        if ends_epoch:
          _save(checkpoints, state, hyper, loaders)
      if interruption.requested and step > first_step:
        _save(checkpoints, state, hyper, loaders)
    finally:
      progress.close()
      writer.close()
      checkpoints.close()

  # ---- Judge ----------------------------------------------------------------
  end = jax.device_get(hyper.average.law())
  if not learn_alpha:
    end = alpha, end[1]
  if step == parts.total_steps:
    judge = Judge(
      config,
      parts.model,
      parts.method,
      validation_set,
      launcher,
      data.Tag.VALIDATION,
    )
    variables = state.variables()
    subject = evaluation.Subject(
      run=top.absolute().name,
      method=f"{config.method.name}, learned",
      seed=config.seed,
      step=step,
      dataset=validation_set.name,
      split=config.data.validation_split,
      n_examples=len(validation_set),
      trained_on=config.method.input.name,
    )
    task = evaluation.task_of(config.data.targets)
    results = evaluation.Results(folder / "results.csv")
    for _ in evaluation.run(
      subject, lambda cell: judge(variables, cell), cells, results, task
    ):
      pass
    result = {"alpha": float(end[0]), "scale": float(end[1]), "step": step}
    (folder / "result.json").write_text(json.dumps(result) + "\n")
    return read(top)
  return Learned(False, *_numbers(*end), None, {}, _trajectory(folder))


def read(workdir: str | pathlib.Path) -> Learned:
  """Reads the end of a learning from its folder.

  Args:
    workdir: As for `learn_strength`.

  Returns:
    The end point, the model's scores and the trajectory.

  Raises:
    ConfigError: If there is none.
  """
  folder = pathlib.Path(workdir).expanduser() / "gradient"
  if not has_result(folder.parent):
    raise ConfigError(f"{folder}: no learned strength there")
  result = json.loads((folder / "result.json").read_text())
  rows = evaluation.read_rows(folder / "results.csv")
  config = config_lib.load(folder.parent / "config.json")
  task = evaluation.task_of(config.data.targets)
  by_kind = mix.by_kind([r for r in rows if r["step"] == result["step"]], task)
  return Learned(
    True,
    *_numbers(result["alpha"], result["scale"]),
    mix.value_of(by_kind),
    by_kind,
    _trajectory(folder),
  )


def has_result(workdir: pathlib.Path) -> bool:
  """Whether a folder holds the end of a learning."""
  return (workdir / "gradient" / "result.json").exists()


def _numbers(alpha: Any, scale: Any) -> tuple[float, float, float]:
  rate = stable.flip_rate(float(alpha), float(scale))
  return float(alpha), float(scale), float(rate)


def _trajectory(folder: pathlib.Path) -> list[dict[str, float]]:
  lines = (folder / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def _means(recent: list[dict[str, jax.Array]], step: int) -> dict[str, float]:
  """The mean metrics, with the flip rate; refuses what is not finite."""
  from jaxrobust.training.loop import NonFiniteLoss

  rows = jax.device_get(recent)
  means = {k: float(np.mean([row[k] for row in rows])) for k in rows[0]}
  if not np.isfinite([means["loss"], means["parameter_norm"]]).all():
    raise NonFiniteLoss(step, None)
  rate = stable.flip_rate(means["alpha"], means["scale"])
  return {**means, "flip_rate": float(rate)}


def _together(state: Any, hyper: Hyper) -> Any:
  """A state that carries the strength too, as checkpoints want it."""
  pair = {"objective": state.method_state, "hyper": jax.tree.leaves(hyper)}
  return state.replace(method_state=pair)


def _apart(state: Any, hyper: Hyper) -> tuple[Any, Hyper]:
  pair = state.method_state
  structure = jax.tree.structure(hyper)
  hyper = jax.tree.unflatten(structure, pair["hyper"])
  return state.replace(method_state=pair["objective"]), hyper


def _save(
  checkpoints: Checkpoints,
  state: Any,
  hyper: Hyper,
  loaders: dict[str, data.Loader],
) -> None:
  positions = {name: loader.get_state() for name, loader in loaders.items()}
  checkpoints.save(_together(state, hyper), positions)


def _refuse_other(
  path: pathlib.Path, options: dict[str, Any], workdir: pathlib.Path
) -> None:
  """Writes the options of the learning, or refuses other ones."""
  if path.exists():
    for name, value in json.loads(path.read_text()).items():
      if value != options[name]:
        raise ConfigError(
          f"--{name}={options[name]}: {workdir} was begun with {value}; resume "
          "it with that, or use a new --workdir"
        )
  path.write_text(json.dumps(options) + "\n")
