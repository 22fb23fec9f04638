"""Judging a run: the bridge from its checkpoints to the evaluation suite."""

import copy
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import ml_collections
import numpy as np

from jaxrobust import data, evaluation, methods, models
from jaxrobust.evaluation import Perturbation
from jaxrobust.training import parallel
from jaxrobust.training import state as state_lib
from jaxrobust.training.attacking import AttackJudge
from jaxrobust.training.checkpoints import Checkpoints
from jaxrobust.training.checks import validate
from jaxrobust.training.config import (
  ConfigError,
  load,
  model_arguments,
)
from jaxrobust.training.logging import Progress


class Judge:
  """Judges parameters on one split under any cell, compiled once.

  Args:
    config: A run's config.
    model: The model.
    method: Its forward is how the model is evaluated.
    dataset: The split.
    launcher: The devices.
    tag: The purpose of the noise: `data.Tag.VALIDATION` or `.TEST`; attacks
      have a tag of their own.
  """

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    model: nn.Module,
    method: methods.Method,
    dataset: data.Dataset,
    launcher: parallel.Launcher,
    tag: data.Tag,
  ):
    count = len(launcher.devices)
    self._dataset = dataset
    self._model, self._forward = model, method.forward
    self._batch_size = -(-config.eval.batch_size // count) * count
    self._launcher = launcher
    self._key = launcher.replicate(jax.random.key(config.seed))
    self._tag = launcher.replicate(np.int32(tag))
    is_image = len(config.data.shape) == 3
    self._attack = AttackJudge(
      model, method.forward, is_image, launcher, config.eval.batch_size
    )
    self._predict = launcher.map(
      evaluation.make_predict_step(
        model,
        method.forward,
        is_image=is_image,
        judge=evaluation.task_of(config.data.targets).judge,
      ),
      sharded_in=(False, True, False, False, False),
      sharded_out=True,
    )

  def on(self, dataset: data.Dataset, seed: int) -> "Judge":
    """The same judge, nothing compiled anew, on another split and seed."""
    other = copy.copy(self)
    other._dataset = dataset
    other._key = self.place(jax.random.key(seed))
    return other

  def measure_network(
    self,
    subject: evaluation.Subject,
    variables: Mapping[str, Any],
    results: evaluation.Results,
  ) -> None:
    """Appends the rows of the network itself, unless they are there."""
    evaluation.measure_network(
      subject,
      self._model,
      self._forward,
      variables,
      self._dataset.shape,
      results,
    )

  def place(self, tree: Any) -> Any:
    """Puts a whole copy, as of the variables, on every device."""
    return self._launcher.replicate(tree)

  def __call__(
    self, variables: Mapping[str, Any], cell: Perturbation
  ) -> dict[str, np.ndarray]:
    """The numbers of each example that the task's `judge` gives, [N] each."""
    if isinstance(cell, evaluation.Attack):
      return self._attack(variables, cell, self._dataset, self._key)
    noise = self._launcher.replicate(cell.noise)
    loader = data.Loader(
      self._dataset, self._batch_size, shuffle=False, epochs=1
    )
    outputs, masks = [], []
    for batch in loader:
      masks.append(batch["mask"] > 0)
      outputs.append(
        self._predict(
          variables,
          self._launcher.shard(batch),
          self._key,
          self._tag,
          noise,
        )
      )
    real = np.concatenate(masks)
    whole = [self._launcher.gather(o) for o in outputs]
    return {
      name: np.concatenate([o[name] for o in whole])[real] for name in whole[0]
    }


def evaluate(
  workdir: str | pathlib.Path,
  *,
  split: str | None = None,
  select: str | None = None,
  data_dir: str | None = None,
  path: str | None = None,
  sparsity: bool | None = None,
  attack_eps: Sequence[float] | None = None,
) -> list[dict[str, Any]]:
  """Judges a run's checkpoint and appends the rows to its `results.csv`.

  It takes all devices of the machine it runs on, whatever the run had.

  Args:
    workdir: The run's folder.
    split: The split to judge on; by default `config.data.test_split`.
    select: "last" or "best"; by default `config.eval.select`.
    data_dir: Where the TFDS set is now; by default `config.data.data_dir`.
    path: Where a set of the sources folder, npz and ucr is now; by default
      `config.data.path`.
    sparsity: Whether to write the rows of the weights and of pruning them; by
      default `config.eval.sparsity`.
    attack_eps: The radii of FGSM and PGD, in units of the input; by default
      `config.eval.attack_eps`.

  Returns:
    The rows of this checkpoint and split, old and new.

  Raises:
    ConfigError: If the folder holds no run or no checkpoint.
    data.DataError: If the data set is not there.
  """
  parallel.use_all_cores()
  workdir = pathlib.Path(workdir).expanduser()
  config = load(workdir / "config.json")
  config.eval.select = select or config.eval.select
  config.data.data_dir = data_dir or config.data.data_dir
  config.data.path = path or config.data.path
  if sparsity is not None:
    config.eval.sparsity = sparsity
  if attack_eps is not None:
    config.eval.attack_eps = tuple(attack_eps)
  validate(config)
  config.data.test_split = split or config.data.test_split
  dataset = data.load(config.data, config.data.test_split)
  return judge_run(config, workdir, dataset, jax.local_devices())


def judge_run(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  dataset: data.Dataset,
  devices: list[Any],
  stop: Callable[[], bool] = lambda: False,
) -> list[dict[str, Any]]:
  """Judges the checkpoint that `config.eval.select` names on a loaded split.

  Args:
    config: The run's config.
    workdir: Its folder.
    dataset: The split `config.data.test_split`.
    devices: The devices to use.
    stop: Asked between cells; True ends the evaluation, to be resumed.

  Returns:
    The rows of this checkpoint and split, old and new.

  Raises:
    ConfigError: If there is no checkpoint.
  """
  launcher = parallel.Launcher(config.train.launcher, devices)
  model = models.build(**model_arguments(config), axis_name=parallel.AXIS)
  method = methods.build(config.method, tuple(config.data.shape))
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
  judge = Judge(config, model, method, dataset, launcher, data.Tag.TEST)
  subject = describe(config, workdir.absolute().name, restored.step, dataset)
  results = evaluation.Results(workdir / "results.csv")
  cells = grid(config)
  progress = Progress(len(cells), "perturbation")
  try:
    finished = judge_state(config, subject, judge, restored.state, results)
    for done, cell in enumerate(finished, 1):
      progress.update(done, f"{cell.name} {cell.strength:g}")
      if stop():
        break
  finally:
    progress.close()
  return [
    row
    for row in evaluation.read_rows(workdir / "results.csv")
    if (row["step"], row["split"]) == (subject.step, subject.split)
  ]


def describe(
  config: ml_collections.ConfigDict,
  run: str,
  step: int,
  dataset: data.Dataset,
) -> evaluation.Subject:
  """The columns that all rows of a run share."""
  return evaluation.Subject(
    run=run,
    method=config.method.name,
    seed=config.seed,
    step=step,
    dataset=dataset.name,
    split=config.data.test_split,
    n_examples=len(dataset),
    trained_on=config.method.input.name,
  )


def judge_state(
  config: ml_collections.ConfigDict,
  subject: evaluation.Subject,
  judge: Judge,
  state: state_lib.State,
  results: evaluation.Results,
) -> Iterator[Perturbation]:
  """Judges a state in every cell of `grid(config)` whose rows are missing.

  Args:
    config: The run's config.
    subject: As made by `describe`.
    judge: Judges on the split that the subject names.
    state: The state, on the host or on one device.
    results: Where rows go.

  Yields:
    Each cell, when its rows are written.
  """
  whole = state.variables()
  if config.eval.sparsity:
    weights = methods.network(whole)["params"]
    evaluation.measure_weights(subject, weights, results)
  if config.eval.network:
    judge.measure_network(subject, whole, results)
  variables = judge.place(whole)

  def judge_cell(cell: Perturbation) -> dict[str, np.ndarray]:
    if cell.name != evaluation.PRUNED:
      return judge(variables, cell)
    pruned = {**whole, "params": _prune(whole["params"], cell.strength)}
    return judge(judge.place(pruned), cell)

  task = evaluation.task_of(config.data.targets)
  yield from evaluation.run(subject, judge_cell, grid(config), results, task)


_prune = jax.jit(evaluation.prune)


def grid(config: ml_collections.ConfigDict) -> list[Perturbation]:
  """All that a run is judged under: noises; if asked, pruning and attacks."""
  pruned = config.eval.pruned_shares if config.eval.sparsity else ()
  attacked = evaluation.attack_cells(
    config.eval.attack_eps,
    steps=config.eval.attack_steps,
    restarts=config.eval.attack_restarts,
    examples=config.eval.attack_examples,
    norm=config.eval.attack_norm,
  )
  return [*noise_grid(config), *evaluation.pruned_cells(pruned), *attacked]


def noise_grid(config: ml_collections.ConfigDict) -> list[Perturbation]:
  """The test noises of `config.eval`."""
  return evaluation.grid(
    config.eval.gaussian_stds,
    config.eval.alphas,
    config.eval.flip_rates,
    burst_alphas=config.eval.burst_alphas,
    burst_rates=config.eval.burst_rates,
    burst_share=config.eval.burst_share,
    burst_length=config.eval.burst_length,
  )


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
    methods.build(config.method, tuple(config.data.shape)).forward,
  )
  return jax.eval_shape(create)


def open_checkpoints(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> Checkpoints:
  """The checkpoints of a run."""
  return Checkpoints(
    workdir / "checkpoints",
    config.checkpoint.keep_last,
    config.checkpoint.keep_best if config.data.validation_split else 0,
  )
