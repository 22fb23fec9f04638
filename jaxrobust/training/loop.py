"""The train loop, from a config and a folder to a judged model."""

import dataclasses
import itertools
import math
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from jaxrobust import data, evaluation
from jaxrobust.evaluation.perturbations import CLEAN
from jaxrobust.training import config as config_lib
from jaxrobust.training import parallel, processes
from jaxrobust.training.assembly import assemble, make_loader
from jaxrobust.training.checkpoints import Checkpoints
from jaxrobust.training.checks import validate
from jaxrobust.training.claim import claimed
from jaxrobust.training.evaluate import judge_run
from jaxrobust.training.interruption import Interruption
from jaxrobust.training.judge import Judge
from jaxrobust.training.logging import MetricWriter, Progress, note_environment
from jaxrobust.training.runs import open_checkpoints
from jaxrobust.training.smoothed import Stopped, smoothed

# What may differ when a run is resumed: it changes no number but, for the
# devices, in the last bits.
_FREE_TO_CHANGE = (
  "train.launcher",
  "train.devices",
  "train.log_every",
  "data.data_dir",
  "data.path",
  "data.cache",
  "data.smoothed_dir",
  "data.device_resident",
  "data.test_split",
  "checkpoint.",
  "eval.",
)


_SHARED = "it must lie where all hosts see it"
# What must be a number in every step that counts.
_FINITE = ("loss", "gradient_norm", "parameter_norm")
# An impulse of so many standard deviations ruins batch statistics.
_RUINOUS = 1e4


class NonFiniteLoss(FloatingPointError):
  """The loss, the gradient or a parameter stopped being a number."""

  def __init__(self, step: int, last_good: int | None):
    kept = "none was saved yet" if last_good is None else f"step {last_good}"
    super().__init__(
      f"loss, gradient or parameters not finite at step {step}; last good "
      f"checkpoint: {kept}"
    )
    self.step = step


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How a call of `train` ended.

  Attributes:
    finished: False if it was interrupted; the same call resumes it.
    step: The number of updates made so far; 0, too, if it was interrupted while
      the training set was smoothed.
    rows: The result rows; empty unless finished.
  """

  finished: bool
  step: int
  rows: list[dict[str, Any]]


def train(
  config: ml_collections.ConfigDict, workdir: str | pathlib.Path
) -> Outcome:
  """Trains and judges one model; resumes what `workdir` holds.

  Args:
    config: The config of the run, as a file in `configs/` makes it.
    workdir: The run's folder; made if it is not there.

  Returns:
    How it ended. SIGTERM and Ctrl-C save a checkpoint and end it unfinished.

  Raises:
    ConfigError: If the config cannot run, or is not the one that `workdir`
      was begun with, or another training has the folder.
    data.DataError: If the data set is not there.
    NonFiniteLoss: If the loss stops being finite.

  Example:
    >>> import contextlib, io, tempfile, jaxrobust
    >>> config = jaxrobust.default_config()
    >>> config.data.source = config.data.name = "digits"
    >>> config.data.shape = (8, 8, 1)
    >>> config.train.epochs = 1
    >>> config.eval.gaussian_stds = config.eval.alphas = ()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...   with contextlib.redirect_stdout(io.StringIO()):
    ...     outcome = jaxrobust.train(config, folder)
    >>> outcome.finished, outcome.rows[0]["perturbation"]
    (True, 'clean')
  """
  parallel.use_all_cores()
  validate(config)
  devices = parallel.choose_devices(config)
  folder = pathlib.Path(workdir).expanduser()
  with (
    Interruption("stopping: saving a checkpoint") as interruption,
    claimed(folder, "training"),
  ):
    return _train(config, folder, devices, interruption)


def _train(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  devices: list[Any],
  interruption: Interruption,
) -> Outcome:
  # ---- Prepare --------------------------------------------------------------
  _begin_or_resume(config, workdir)
  launcher = parallel.Launcher(config.train.launcher, devices)

  # ---- Data -----------------------------------------------------------------
  train_set = data.load(config.data, config.data.train_split)
  validation_set = None
  if config.data.validation_split:
    validation_set = data.load(config.data, config.data.validation_split)
  # Read before training, so that a missing test set costs no training.
  test_set = data.load(config.data, config.data.test_split)
  for dataset in (train_set, validation_set, test_set):
    if dataset is not None:
      processes.check_same(
        f"numbers of examples of {dataset.split}",
        len(dataset),
        "config.data",
        "all hosts must have the same",
      )
  try:
    train_set = smoothed(config, train_set, lambda: interruption.requested)
  except Stopped:
    return Outcome(False, 0, [])
  loader = make_loader(config, train_set)

  # ---- Model, method, step --------------------------------------------------
  task = evaluation.task_of(config.data.targets)
  parts = assemble(config, train_set)
  steps_per_epoch, total_steps = parts.steps_per_epoch, parts.total_steps
  step_fn = launcher.map(
    parts.train_step(),
    sharded_in=(False, True, False),
    sharded_out=(False, False),
    donate=(0,),
  )
  judge = None
  watched, tag = validation_set, data.Tag.VALIDATION
  if config.eval.select == "best_test":
    watched, tag = test_set, data.Tag.TEST
  if watched is not None:
    judge = Judge(config, parts.model, parts.method, watched, launcher, tag)

  # ---- State: from a checkpoint, or new -------------------------------------
  state = parts.state
  checkpoints = open_checkpoints(config, workdir)
  newest = max(checkpoints.steps(), default=0)
  processes.check_same("newest checkpoints", newest, "--workdir", _SHARED)
  restored = checkpoints.restore(state)
  if restored is not None:
    state = restored.state
    try:
      loader.set_state(restored.data_position)
    except ValueError as error:
      raise config_lib.ConfigError(
        f"config.data: not the data that {workdir} was begun with ({error})"
      ) from error
  state = launcher.replicate(state)
  resident = launcher.replicate(parts.resident)

  # ---- Train ----------------------------------------------------------------
  step = first_step = restored.step if restored else 0
  writer = MetricWriter(workdir if processes.is_first() else None, first_step)
  progress = Progress(total_steps, "step", first_step)
  if restored is not None:
    progress.say(f"resumed at step {step} of {total_steps}")
  skipped = getattr(state.opt_state, "total_notfinite", 0)
  recent = _RecentMetrics(first_step, checkpoints, int(skipped))
  warn_above = _ruinous_input(config, train_set)
  told_no_boundary = False
  caution = getattr(parts.method.objective, "caution", "")
  if caution:
    progress.say(f"warning: config.method.objective: {caution}")
  batches = iter(loader)
  try:
    while step < total_steps and not interruption.reached(step):
      batch = next(batches)
      state, metrics = step_fn(state, launcher.shard_own(batch), resident)
      step += 1
      recent.add(metrics)
      ends_epoch = step % steps_per_epoch == 0
      if step % config.train.log_every == 0 or ends_epoch:
        skipped = recent.skipped
        means = recent.means()
        if recent.skipped > skipped:
          progress.say(
            f"warning: {recent.skipped - skipped} updates that were not finite "
            f"left out up to step {step}, {recent.skipped} in all"
          )
        writer.write(step, {f"train/{k}": v for k, v in means.items()})
        epoch = (step - 1) // steps_per_epoch + 1
        progress.update(
          step,
          f"epoch {epoch}/{config.train.epochs}  loss {means['loss']:.4f}",
        )
        largest = means.get("largest_input", 0.0)
        if largest > warn_above:
          progress.say(
            f"warning: an input of {largest:.3g} at step {step} or shortly "
            f"before, {_RUINOUS:.0e} times the data's standard deviation; "
            "config.method.input.max_abs bounds it"
          )
          warn_above = math.inf
        if means.get("pairs_without_boundary") == 1 and not told_no_boundary:
          progress.say(
            f"warning: at step {step} no two classes have a boundary, for all "
            "rows of the head are equal: the margin is 0"
          )
          told_no_boundary = True
      if not ends_epoch:
        continue
      rank = None
      if judge is not None:
        summary = task.summarise(judge(state.variables(), CLEAN))
        name = "validation" if watched is validation_set else "test"
        writer.write(step, {f"{name}/{k}": v for k, v in summary.items()})
        rank = task.rank(summary)
        progress.say(
          f"step {step}  {name} {task.headline} {summary[task.headline]:.4f}"
        )
      epoch = step // steps_per_epoch
      if epoch % config.checkpoint.every_epochs == 0 or step == total_steps:
        checkpoints.save(state, loader.get_state(), rank)
    if interruption.requested and step > first_step:
      recent.means()  # A state that is not finite is not saved.
      checkpoints.save(state, loader.get_state())
  finally:
    progress.close()
    writer.close()
    checkpoints.close()

  # ---- Judge ----------------------------------------------------------------
  if step < total_steps:
    return Outcome(False, step, [])
  calls = itertools.count(total_steps)
  rows = judge_run(
    config,
    workdir,
    test_set,
    devices,
    lambda: interruption.reached(next(calls)),
  )
  return Outcome(not interruption.requested, step, rows)


def _begin_or_resume(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> None:
  """Writes the run's papers; refuses to go on with the work of another."""
  path = workdir / "config.json"
  has_checkpoints = any((workdir / "checkpoints").glob("[0-9]*"))
  if has_checkpoints or (workdir / "results.csv").exists():
    config_lib.refuse_other(config, path, _FREE_TO_CHANGE)
  processes.wait("looked at the work folder")
  if processes.is_first():
    config_lib.save(config, path)
    note_environment(workdir / "environment.json")
  processes.wait("wrote the papers")
  there = int(path.exists())
  processes.check_same("configs there", there, "--workdir", _SHARED)


def _ruinous_input(
  config: ml_collections.ConfigDict, train_set: data.Dataset
) -> float:
  """The input above which a run on series warns, once; infinite for never."""
  if len(config.data.shape) != 2 or config.method.input.max_abs is not None:
    return math.inf
  sample = train_set.gather(np.arange(min(len(train_set), 1000)))
  return _RUINOUS * float(sample.std(dtype=np.float64))


class _RecentMetrics:
  """The metrics since the last log, left on the device until then.

  Attributes:
    skipped: How many updates were left out since the run began.
  """

  def __init__(self, first_step: int, checkpoints: Checkpoints, skipped: int):
    self._step = first_step
    self._checkpoints = checkpoints
    self.skipped = skipped
    self._pending: list[dict[str, jax.Array]] = []

  def add(self, metrics: dict[str, jax.Array]) -> None:
    self._pending.append(metrics)

  def means(self) -> dict[str, float]:
    """Fetches and averages them, but takes the largest of the largest inputs.

    Raises:
      NonFiniteLoss: At the first bad step.
    """
    if not self._pending:
      return {}
    rows = jax.device_get(self._pending)
    finite = []
    for row in rows:
      self._step += 1
      whole = _FINITE
      if row.get("skipped", 0) > self.skipped:
        self.skipped = int(row["skipped"])
        whole = ("parameter_norm",)
      else:
        finite.append(row)
      if not np.isfinite([row[name] for name in whole]).all():
        saved = self._checkpoints.steps()
        raise NonFiniteLoss(self._step, saved[-1] if saved else None)
    self._pending = []
    # Those of updates that were left out say nothing, unless all were.
    shown = finite or rows
    means = {k: float(np.mean([row[k] for row in shown])) for k in rows[0]}
    if "largest_input" in means:
      means["largest_input"] = float(max(row["largest_input"] for row in shown))
    if "skipped" in means:
      means["skipped"] = float(self.skipped)
    return means
