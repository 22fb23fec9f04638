"""Judging a run: the bridge from its checkpoints to the evaluation suite."""

import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import ml_collections
import numpy as np

from jaxrobust import data, evaluation, methods, models
from jaxrobust.evaluation import Perturbation
from jaxrobust.training import parallel
from jaxrobust.training import state as state_lib
from jaxrobust.training.checkpoints import Checkpoints, Restored
from jaxrobust.training.checks import validate
from jaxrobust.training.config import (
  ConfigError,
  load,
  model_arguments,
)
from jaxrobust.training.judge import Judge as Judge
from jaxrobust.training.logging import Progress

# What rows say of a model that was chosen on the test set: their method.
_SELECTED = {"best_test": " (best test epoch)"}


def evaluate(
  workdir: str | pathlib.Path,
  *,
  split: str | None = None,
  select: str | None = None,
  data_dir: str | None = None,
  path: str | None = None,
  sparsity: bool | None = None,
  attack_eps: Sequence[float] | None = None,
  adapt: Sequence[str] | None = None,
  smooth_evals: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
  """Judges a run's checkpoint and appends the rows to its `results.csv`.

  It takes all devices of the machine it runs on, whatever the run had.

  Args:
    workdir: The run's folder.
    split: The split to judge on; by default `config.data.test_split`.
    select: "last", "best" or "best_test"; by default `config.eval.select`.
    data_dir: Where the TFDS set is now; by default `config.data.data_dir`.
    path: Where a set of the sources folder, npz and ucr is now; by default
      `config.data.path`.
    sparsity: Whether to write the rows of the weights and of pruning them; by
      default `config.eval.sparsity`.
    attack_eps: The radii of the attacks, in units of the input; by default
      `config.eval.attack_eps`.
    adapt: Of "adabn" and "tent", how the network adapts to test inputs without
      labels, for rows beside its own; by default `config.eval.adapt`.
    smooth_evals: Of "on", "off" and "adaptive", how else a network is judged
      that was trained on smoothed images, for rows beside its own; by default
      `config.eval.smooth_evals`.

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
  if adapt is not None:
    config.eval.adapt = tuple(adapt)
  if smooth_evals is not None:
    config.eval.smooth_evals = tuple(smooth_evals)
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
  restored = restore(config, workdir, model)
  judge = Judge(config, model, method, dataset, launcher, data.Tag.TEST)
  subject = describe(config, workdir.absolute().name, restored.step, dataset)
  results = evaluation.Results(workdir / "results.csv")
  total = 0
  for own in (
    config,
    *(smoothed_as(config, way) for way in config.eval.smooth_evals),
  ):
    cells = grid(own)
    total += len(cells) + len(config.eval.adapt) * len(adaptable(cells))
  progress = Progress(total, "perturbation")
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


def describe(
  config: ml_collections.ConfigDict,
  run: str,
  step: int,
  dataset: data.Dataset,
) -> evaluation.Subject:
  """The columns that all rows of a run share."""
  fed = [config.method.input.name]
  if config.method.view.name != "none":
    fed.append(config.method.view.name)
  return evaluation.Subject(
    run=run,
    method=config.method.name + _SELECTED.get(config.eval.select, ""),
    seed=config.seed,
    step=step,
    dataset=dataset.name,
    split=config.data.test_split,
    n_examples=len(dataset),
    trained_on="+".join(fed),
  )


def judge_state(
  config: ml_collections.ConfigDict,
  subject: evaluation.Subject,
  judge: Judge,
  state: state_lib.State,
  results: evaluation.Results,
) -> Iterator[Perturbation]:
  """Judges a state in every cell of `grid(config)` whose rows are missing.

  A network that adapts to test inputs, too, is judged as one more method, in
  the cells that are `adaptable`.

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
  cells = grid(config)
  measured = [c for c in cells if isinstance(c, evaluation.Curvature)]
  views = [c for c in cells if isinstance(c, evaluation.Geometry)]
  judged = [c for c in cells if c not in measured and c not in views]
  yield from evaluation.run(subject, judge_cell, judged, results, task)
  for name in config.eval.adapt:
    judge_adapted = functools.partial(judge.adapted, variables, name)
    yield from evaluation.run(
      evaluation.adapted(subject, name),
      judge_adapted,
      adaptable(judged),
      results,
      task,
    )
  if views:
    yield from judge.measure_geometry(subject, whole, views, results)
  yield from judge.measure_curvature(subject, variables, measured, results)
  for way in config.eval.smooth_evals:
    yield from judge_state(
      smoothed_as(config, way),
      evaluation.smoothed_as(subject, way),
      judge.behind(smoothed_as(config, way)),
      state,
      results,
    )


def smoothed_as(
  config: ml_collections.ConfigDict, smooth_eval: str
) -> ml_collections.ConfigDict:
  """The config of the same run with another smoother, or none, when judged.

  What is of the weights alone is not asked for again.
  """
  other = config.copy_and_resolve_references()
  other.method.input.smooth_eval = smooth_eval
  other.eval.smooth_evals = ()
  other.eval.sparsity = other.eval.network = False
  if smooth_eval == "off":
    # A network on its own has one gradient.
    other.eval.attack_gradients = ("worst",)
  return other


_prune = jax.jit(evaluation.prune)


def grid(config: ml_collections.ConfigDict) -> list[Perturbation]:
  """All that a run is judged under: noises, and whatever else is asked for."""
  pruned = config.eval.pruned_shares if config.eval.sparsity else ()
  attacked = evaluation.attack_cells(
    config.eval.attack_eps,
    steps=config.eval.attack_steps,
    restarts=config.eval.attack_restarts,
    examples=config.eval.attack_examples,
    norm=config.eval.attack_norm,
    gradients=config.eval.attack_gradients,
  )
  queried = evaluation.square_cells(
    config.eval.attack_eps,
    queries=config.eval.attack_queries,
    examples=config.eval.attack_query_examples,
  )
  measured = evaluation.curvature_cells(
    config.eval.curvature_examples,
    config.eval.curvature_h,
    config.eval.curvature_std,
  )
  corrupted = evaluation.corruption_cells(
    uniform_eps=config.eval.uniform_eps,
    patches=config.eval.patches,
    resolutions=config.eval.resolutions,
    salt_and_pepper=config.eval.salt_and_pepper,
    combined=config.eval.combined,
    shot=config.eval.shot,
    drift_stds=config.eval.drift_stds,
    drift_period=config.eval.drift_period,
  )
  return [
    *noise_grid(config),
    *corrupted,
    *evaluation.pruned_cells(pruned),
    *attacked,
    *queried,
    *evaluation.geometry_cells(
      config.eval.features_stds, config.eval.features_examples
    ),
    *measured,
  ]


def adaptable(cells: Sequence[Perturbation]) -> list[Perturbation]:
  """The cells of test inputs as such, neither attacked nor measured."""
  other = evaluation.Attack, evaluation.Curvature, evaluation.Geometry
  return [
    cell
    for cell in cells
    if not isinstance(cell, other) and cell.name != evaluation.PRUNED
  ]


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
