"""Judging parameters on a split, under any cell, on all devices."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import ml_collections
import numpy as np

from jaxrobust import data, evaluation, methods
from jaxrobust.data import pipeline
from jaxrobust.evaluation import Perturbation
from jaxrobust.training import parallel
from jaxrobust.training.adapting import Adapter
from jaxrobust.training.attacking import AttackJudge
from jaxrobust.training.certifying import LogitJudge
from jaxrobust.training.curving import CurvatureJudge
from jaxrobust.training.geometry import GeometryJudge


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
    self._data_dir = config.data.data_dir
    self._num_classes = config.data.num_classes
    self._purpose = tag
    self._others: dict[str, Judge] = {}
    self._model, self._forward = model, method.forward
    self._batch_size = -(-config.eval.batch_size // count) * count
    self._launcher = launcher
    self._key = launcher.replicate(jax.random.key(config.seed))
    self._tag = launcher.replicate(np.int32(tag))
    is_image = len(config.data.shape) == 3
    self._attack = AttackJudge(
      model, method.forward, is_image, launcher, config.eval.batch_size
    )
    self._measure = CurvatureJudge(
      model,
      method.forward,
      is_image,
      launcher,
      config.eval.batch_size,
      config.eval.curvature_probes,
    )
    self._geometry = GeometryJudge(
      model,
      method.forward,
      is_image,
      config.data.num_classes,
      launcher,
      self._batch_size,
    )
    self._logits = LogitJudge(
      model, method.forward, is_image, launcher, config.eval.batch_size
    )
    judge = evaluation.task_of(config.data.targets).judge
    self._predict = launcher.map(
      evaluation.make_predict_step(
        model, method.forward, is_image=is_image, judge=judge
      ),
      sharded_in=(False, True, False, False, False),
      sharded_out=True,
    )
    self._judge_corrupted = launcher.map(
      evaluation.make_judge_step(model, method.forward, judge=judge),
      sharded_in=(False, True, True),
      sharded_out=True,
    )

    self._perturb = launcher.map(
      evaluation.make_perturb_step(is_image),
      sharded_in=(True, False, False, False),
      sharded_out=True,
    )

    @functools.cache
    def adapter() -> Adapter:
      return Adapter(config, model, method.forward, launcher, judge)

    self._adapter = adapter

    @functools.cache
    def corrupt(kind: str, options: tuple[Any, ...]) -> Callable[..., Any]:
      return launcher.map(
        evaluation.make_corrupt_step(kind, options),
        sharded_in=(True, False, False, False),
        sharded_out=True,
      )

    self._corrupt = corrupt

    @functools.cache
    def corrupt_commonly(corruption: str, table: str) -> Callable[..., Any]:
      return launcher.map(
        evaluation.make_common_step(corruption, table),
        sharded_in=(True, False, False, False),
        sharded_out=True,
      )

    self._corrupt_commonly = corrupt_commonly

  def on(self, dataset: data.Dataset, seed: int) -> "Judge":
    """The same judge, nothing compiled anew, on another split and seed."""
    other = copy.copy(self)
    other._dataset = dataset
    other._key = self.place(jax.random.key(seed))
    return other

  def behind(self, config: ml_collections.ConfigDict) -> "Judge":
    """A judge of the same split whose network has another smoother, or none.

    Each is compiled once, also for judges made by `on`.

    Args:
      config: The run's config but for `method.input.smooth_eval`.

    Returns:
      The other judge.
    """
    name = config.method.input.smooth_eval
    if name not in self._others:
      method = methods.build(config.method, tuple(config.data.shape))
      self._others[name] = Judge(
        config,
        self._model,
        method,
        self._dataset,
        self._launcher,
        self._purpose,
      )
    other = copy.copy(self._others[name])
    other._dataset, other._key = self._dataset, self._key
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

  def measure_curvature(
    self,
    subject: evaluation.Subject,
    variables: Mapping[str, Any],
    cells: Sequence[evaluation.Curvature],
    results: evaluation.Results,
  ) -> Iterator[Perturbation]:
    """Appends the rows of the loss's curvature, and yields each cell done.

    The variables are on every device.
    """
    # Behind noise, the logits need not be linear in the features.
    head = None
    if not hasattr(self._forward, "noise"):
      head = evaluation.linear_head(variables)

    def measure(cell: evaluation.Curvature) -> dict[str, np.ndarray]:
      return self._measure(variables, cell, self._dataset, self._key)

    kernel = None if head is None else head[0]
    return evaluation.measure_curvature(
      subject, measure, cells, results, kernel
    )

  def measure_geometry(
    self,
    subject: evaluation.Subject,
    variables: Mapping[str, Any],
    cells: Sequence[evaluation.Geometry],
    results: evaluation.Results,
  ) -> Iterator[Perturbation]:
    """Appends the rows of the layers' geometry, and yields each view done."""
    own = methods.network(variables)
    placed = self.place(own)

    def measure(cell: evaluation.Geometry) -> evaluation.Activations:
      return self._geometry(placed, cell, self._dataset, self._key, self._tag)

    return evaluation.measure_geometry(
      subject,
      measure,
      cells,
      results,
      evaluation.layer_names(self._model, own, self._dataset.shape),
      evaluation.linear_head(own),
    )

  def measure_calibration(
    self,
    subject: evaluation.Subject,
    variables: Mapping[str, Any],
    cells: Sequence[evaluation.Calibration],
    results: evaluation.Results,
    validation: data.Dataset | None,
  ) -> Iterator[Perturbation]:
    """Appends the rows of calibration; the variables are on every device."""

    def measure(cell: evaluation.Calibration) -> Any:
      dataset = self._dataset
      test = self._logits.predictions(
        variables, dataset, cell.count(len(dataset))
      )
      if validation is None:
        return test, None
      return test, self._logits.predictions(
        variables, validation, len(validation)
      )

    return evaluation.measure_calibration(subject, measure, cells, results)

  def measure_certified(
    self,
    subject: evaluation.Subject,
    variables: Mapping[str, Any],
    cells: Sequence[evaluation.Certified],
    results: evaluation.Results,
  ) -> Iterator[Perturbation]:
    """Appends the rows of smoothing; the variables are on every device."""

    def measure(cell: evaluation.Certified) -> evaluation.Votes:
      return self._logits.votes(variables, cell, self._dataset, self._key)

    return evaluation.measure_certified(subject, measure, cells, results)

  def self_checks(
    self,
    subject: evaluation.Subject,
    variables: Mapping[str, Any],
    cells: Sequence[evaluation.SelfCheck],
    results: evaluation.Results,
  ) -> Iterator[Perturbation]:
    """Appends the rows of the attacks' checks of themselves."""

    def check(cell: evaluation.SelfCheck) -> dict[str, float]:
      return self._attack.check(variables, cell, self._dataset, self._key)

    return evaluation.run_self_checks(subject, check, cells, results)

  def place(self, tree: Any) -> Any:
    """Puts a whole copy, as of the variables, on every device."""
    return self._launcher.replicate(tree)

  def __call__(
    self, variables: Mapping[str, Any], cell: Perturbation
  ) -> dict[str, np.ndarray]:
    """The numbers of each example that the task's `judge` gives, [N] each."""
    if isinstance(cell, evaluation.Attack):
      return self._attack(variables, cell, self._dataset, self._key)
    if isinstance(cell, evaluation.OfficialCorruption):
      other = copy.copy(self)
      other._dataset = cell.load(self._data_dir, self._num_classes)
      clean = dataclasses.replace(evaluation.CLEAN, first=cell.first)
      return other(variables, clean)
    judge_batch = self._judging(variables, cell)
    count = cell.count(len(self._dataset))
    if count == len(self._dataset):
      batches: Any = data.Loader(
        self._dataset, self._batch_size, shuffle=False, epochs=1
      )
    else:
      batches = pipeline.first_batches(self._dataset, count, self._batch_size)
      batches = (batch for batch, _ in batches)
    outputs, masks = [], []
    for batch in batches:
      masks.append(batch["mask"] > 0)
      outputs.append(judge_batch(self._launcher.shard(batch)))
    real = np.concatenate(masks)
    whole = [self._launcher.gather(o) for o in outputs]
    return {
      name: np.concatenate([o[name] for o in whole])[real] for name in whole[0]
    }

  def pictures(self, cell: Perturbation, count: int) -> np.ndarray:
    """The first images of the split under one noise or corruption.

    Args:
      cell: A noise or a corruption.
      count: How many images.

    Returns:
      float32 [count, H, W, C], in [0, 1].
    """
    perturb = self._perturbing(cell)
    for batch, rows in pipeline.first_batches(
      self._dataset, min(count, len(self._dataset)), self._batch_size
    ):
      return self._launcher.gather(perturb(self._launcher.shard(batch)))[:rows]
    raise ValueError("an empty split has no pictures")

  def adapted(
    self, variables: Mapping[str, Any], name: str, cell: Perturbation
  ) -> dict[str, np.ndarray]:
    """As a call, of the network that adapts to the cell's inputs.

    Args:
      variables: On every device.
      name: One of `evaluation.ADAPTATIONS`.
      cell: A noise or a corruption.

    Returns:
      The numbers of each example, [N] each.
    """
    perturb, adapter = self._perturbing(cell), self._adapter()
    if name == "tent":
      return adapter.tent(variables, self._dataset, perturb)
    return self(adapter.adabn(variables, self._dataset, perturb), cell)

  def _perturbing(self, cell: Perturbation) -> Callable[[Any], Any]:
    """What makes a cell's inputs of a batch, on the devices."""
    key, tag = self._key, self._tag
    if isinstance(cell, evaluation.CommonCorruption):
      corrupt = self._corrupt_commonly(cell.corruption, cell.table)
      settings = self.place(cell.settings(self._dataset.shape))
      return lambda batch: corrupt(batch, key, tag, settings)
    if isinstance(cell, evaluation.Corruption):
      corrupt = self._corrupt(cell.kind, cell.options)
      strength = self.place(np.float32(cell.strength))
      return lambda batch: corrupt(batch, key, tag, strength)
    noise = self.place(cell.noise)
    return lambda batch: self._perturb(batch, key, tag, noise)

  def _judging(
    self, variables: Mapping[str, Any], cell: Perturbation
  ) -> Callable[[Any], Any]:
    """What judges a batch on the devices under one cell."""
    key, tag = self._key, self._tag
    if isinstance(cell, evaluation.Corruption | evaluation.CommonCorruption):
      corrupt = self._perturbing(cell)
      return lambda batch: self._judge_corrupted(
        variables, batch, corrupt(batch)
      )
    noise = self.place(cell.noise)
    return lambda batch: self._predict(variables, batch, key, tag, noise)
