"""Judging variables on a split, cell by cell, into rows and pictures."""

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import flax.linen as nn
import jax
import ml_collections
import numpy as np

from jaxrobust import data, evaluation, methods
from jaxrobust.evaluation import Perturbation
from jaxrobust.training import parallel, processes
from jaxrobust.training.cells import MEASURED, adaptable, grid
from jaxrobust.training.claim import claimed
from jaxrobust.training.judge import Judge
from jaxrobust.training.logging import Progress

_Cell = TypeVar("_Cell", bound=Perturbation)
# Images of a strip.
_PICTURES = 8
# What rows say of a model that was chosen on the test set: their method.
_SELECTED = {"best_test": " (best test epoch)"}


def judge_dataset(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  dataset: data.Dataset,
  devices: list[Any],
  model: nn.Module,
  subject: evaluation.Subject,
  variables: Mapping[str, Any],
  stop: Callable[[], bool] = lambda: False,
) -> list[dict[str, Any]]:
  """Judges variables on a loaded split, and shows how far it is.

  Args:
    config: The config of a run.
    workdir: The folder that gets the rows.
    dataset: The split.
    devices: The devices to use.
    model: The model.
    subject: The columns that all rows share, as made by `describe`.
    variables: Of the model and of the method's forward.
    stop: Asked between cells; True ends the evaluation, to be resumed.

  Returns:
    The rows of this checkpoint and split, old and new.
  """
  launcher = parallel.Launcher(config.train.launcher, devices)
  method = methods.build(config.method, tuple(config.data.shape))
  judge = Judge(config, model, method, dataset, launcher, data.Tag.TEST)
  with claimed(workdir, "judging"):
    _judge_claimed(config, workdir, judge, subject, variables, stop)
  processes.wait("judged")
  return [
    row
    for row in evaluation.read_rows(workdir / "results.csv")
    if (row["step"], row["split"]) == (subject.step, subject.split)
  ]


def _judge_claimed(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  judge: Judge,
  subject: evaluation.Subject,
  variables: Mapping[str, Any],
  stop: Callable[[], bool],
) -> None:
  first = processes.is_first()
  results = evaluation.Results(workdir / "results.csv", writes=first)
  # What is there decides what is judged: all look before one writes.
  processes.wait("looked at the rows")
  total = 0
  for own in (
    config,
    *(smoothed_as(config, way) for way in config.eval.smooth_evals),
  ):
    cells = grid(own)
    total += len(cells) + len(config.eval.adapt) * len(adaptable(cells))
  progress = Progress(total, "perturbation")
  try:
    finished = judge_state(config, subject, judge, variables, results)
    for done, cell in enumerate(finished, 1):
      progress.update(done, f"{cell.name} {cell.strength:g}")
      if stop():
        break
    else:
      if config.eval.pictures:
        _save_pictures(judge, grid(config), workdir / "examples")
  finally:
    progress.close()


def judge_state(
  config: ml_collections.ConfigDict,
  subject: evaluation.Subject,
  judge: Judge,
  whole: Mapping[str, Any],
  results: evaluation.Results,
) -> Iterator[Perturbation]:
  """Judges variables in every cell of `grid(config)` whose rows are missing.

  A network that adapts to test inputs, too, is judged as one more method, in
  the cells that are `adaptable`.

  Args:
    config: The run's config.
    subject: As made by `describe`.
    judge: Judges on the split that the subject names.
    whole: The variables, on the host or on one device.
    results: Where rows go.

  Yields:
    Each cell, when its rows are written.
  """
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

  def of_kind(kind: type[_Cell]) -> list[_Cell]:
    return [cell for cell in cells if isinstance(cell, kind)]

  judged = [cell for cell in cells if not isinstance(cell, MEASURED)]
  yield from evaluation.run(subject, judge_cell, judged, results, task)
  checks = of_kind(evaluation.SelfCheck)
  yield from judge.self_checks(subject, variables, checks, results)
  for name in config.eval.adapt:
    judge_adapted = functools.partial(judge.adapted, variables, name)
    yield from evaluation.run(
      evaluation.adapted(subject, name),
      judge_adapted,
      adaptable(judged),
      results,
      task,
    )
  if views := of_kind(evaluation.Geometry):
    yield from judge.measure_geometry(subject, whole, views, results)
  curvatures = of_kind(evaluation.Curvature)
  yield from judge.measure_curvature(subject, variables, curvatures, results)
  if calibrations := of_kind(evaluation.Calibration):
    validation = None
    if config.data.validation_split:
      validation = data.load(config.data, config.data.validation_split)
    yield from judge.measure_calibration(
      subject, variables, calibrations, results, validation
    )
  smoothings = of_kind(evaluation.Certified)
  yield from judge.measure_certified(subject, variables, smoothings, results)
  for way in config.eval.smooth_evals:
    yield from judge_state(
      smoothed_as(config, way),
      evaluation.smoothed_as(subject, way),
      judge.behind(smoothed_as(config, way)),
      whole,
      results,
    )


_prune = jax.jit(evaluation.prune)


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
    # A network on its own has one gradient, or those of the noise in it.
    adaptive = "adaptive" in config.eval.attack_gradients
    other.eval.attack_gradients = ("adaptive",) if adaptive else ("worst",)
  return other


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


def _save_pictures(
  judge: Judge, cells: Sequence[Perturbation], folder: pathlib.Path
) -> None:
  """Saves the first images under each noise and corruption, once."""
  missing = [
    (cell, what)
    for cell in adaptable(cells)
    for what in [(cell.name, cell.strength, cell.severity)]
    if not evaluation.example_path(folder, *what).exists()
  ]
  # All look before one writes, for all of them make the pictures.
  processes.wait("looked at the pictures")
  for cell, what in missing:
    pictures = judge.pictures(cell, _PICTURES)
    if processes.is_first():
      folder.mkdir(exist_ok=True)
      evaluation.save_examples(folder, *what, pictures)
