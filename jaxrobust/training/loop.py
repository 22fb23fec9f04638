"""The train loop, from a config and a folder to a judged model."""

import dataclasses
import pathlib
import signal
import threading
from typing import Any

import jax
import ml_collections
import numpy as np

from jaxrobust import data, evaluation, methods, models
from jaxrobust.evaluation.perturbations import CLEAN
from jaxrobust.training import config as config_lib
from jaxrobust.training import parallel
from jaxrobust.training import state as state_lib
from jaxrobust.training.checkpoints import Checkpoints
from jaxrobust.training.checks import validate
from jaxrobust.training.evaluate import Judge, judge_run, open_checkpoints
from jaxrobust.training.logging import MetricWriter, Progress, note_environment
from jaxrobust.training.step import make_train_step

# What may differ when a run is resumed: it changes no number but, for the
# devices, in the last bits.
_FREE_TO_CHANGE = (
  "train.launcher",
  "train.devices",
  "train.log_every",
  "data.data_dir",
  "data.path",
  "data.cache",
  "data.device_resident",
  "data.test_split",
  "checkpoint.",
  "eval.",
)


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
    step: The number of updates made so far.
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
      was begun with.
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
  with _Interruption() as interruption:
    return _train(config, pathlib.Path(workdir).expanduser(), interruption)


def _train(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  interruption: "_Interruption",
) -> Outcome:
  # ---- Check and prepare ----------------------------------------------------
  parallel.use_all_cores()
  validate(config)
  devices = parallel.choose_devices(config)
  _begin_or_resume(config, workdir)
  launcher = parallel.Launcher(config.train.launcher, devices)

  # ---- Data -----------------------------------------------------------------
  train_set = data.load(config.data, config.data.train_split)
  validation_set = None
  if config.data.validation_split:
    validation_set = data.load(config.data, config.data.validation_split)
  # Read before training, so that a missing test set costs no training.
  test_set = data.load(config.data, config.data.test_split)
  loader = data.Loader(
    train_set,
    config.train.batch_size,
    seed=config.seed,
    indices_only=config.data.device_resident,
  )
  steps_per_epoch = loader.steps_per_epoch
  total_steps = config.train.epochs * steps_per_epoch

  # ---- Model, method, step --------------------------------------------------
  model = models.build(
    **config_lib.model_arguments(config), axis_name=parallel.AXIS
  )
  method = methods.build(config.method, tuple(config.data.shape))
  schedule = state_lib.learning_rate_schedule(config, steps_per_epoch)
  optimizer = state_lib.make_optimizer(config, schedule)
  step_fn = launcher.map(
    make_train_step(
      config, model, method, optimizer, schedule, total_steps, parallel.AXIS
    ),
    sharded_in=(False, True, False),
    sharded_out=(False, False),
    donate=(0,),
  )
  judge = None
  if validation_set is not None:
    judge = Judge(
      config, model, method, validation_set, launcher, data.Tag.VALIDATION
    )

  # ---- State: from a checkpoint, or new -------------------------------------
  state = state_lib.create_state(
    model,
    optimizer,
    tuple(config.data.shape),
    config.seed,
    with_ema=config.train.ema_decay > 0,
  )
  checkpoints = open_checkpoints(config, workdir)
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
  resident = {}
  if config.data.device_resident:
    resident = launcher.replicate(
      {"inputs": train_set.inputs, "labels": train_set.labels}
    )

  # ---- Train ----------------------------------------------------------------
  step = first_step = restored.step if restored else 0
  writer = MetricWriter(workdir, first_step)
  progress = Progress(total_steps, "step", first_step)
  if restored is not None:
    progress.say(f"resumed at step {step} of {total_steps}")
  recent = _RecentMetrics(first_step, checkpoints)
  batches = iter(loader)
  try:
    while step < total_steps and not interruption.requested:
      batch = next(batches)
      state, metrics = step_fn(state, launcher.shard(batch), resident)
      step += 1
      recent.add(metrics)
      ends_epoch = step % steps_per_epoch == 0
      if step % config.train.log_every == 0 or ends_epoch:
        means = recent.means()
        writer.write(step, {f"train/{k}": v for k, v in means.items()})
        epoch = (step - 1) // steps_per_epoch + 1
        progress.update(
          step,
          f"epoch {epoch}/{config.train.epochs}  loss {means['loss']:.4f}",
        )
      if not ends_epoch:
        continue
      accuracy = None
      if judge is not None:
        summary = evaluation.summarise(judge(state.variables(), CLEAN))
        writer.write(step, {f"validation/{k}": v for k, v in summary.items()})
        accuracy = summary["accuracy"]
        progress.say(f"step {step}  validation accuracy {accuracy:.4f}")
      epoch = step // steps_per_epoch
      if epoch % config.checkpoint.every_epochs == 0 or step == total_steps:
        checkpoints.save(state, loader.get_state(), accuracy)
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
  rows = judge_run(
    config, workdir, test_set, devices, lambda: interruption.requested
  )
  return Outcome(not interruption.requested, step, rows)


def _begin_or_resume(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> None:
  """Writes the run's papers; refuses to go on with the work of another."""
  path = workdir / "config.json"
  has_checkpoints = any((workdir / "checkpoints").glob("[0-9]*"))
  if has_checkpoints or (workdir / "results.csv").exists():
    begun = _numbers(config_lib.load(path).to_dict())
    for field, value in _numbers(config.to_dict()).items():
      if begun.get(field) != value:
        raise config_lib.ConfigError(
          f"config.{field}={value!r}: {workdir} was begun with "
          f"{begun.get(field)!r}; resume it with that, or use a new --workdir"
        )
  workdir.mkdir(parents=True, exist_ok=True)
  config_lib.save(config, path)
  note_environment(workdir / "environment.json")


def _numbers(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  """The fields that decide the numbers of a run, with their dotted names."""
  flat = {}
  for name, value in tree.items():
    field = prefix + name
    if isinstance(value, dict):
      flat.update(_numbers(value, field + "."))
    elif not field.startswith(_FREE_TO_CHANGE):
      flat[field] = list(value) if isinstance(value, tuple) else value
  return flat


class _RecentMetrics:
  """The metrics since the last log, left on the device until then."""

  def __init__(self, first_step: int, checkpoints: Checkpoints):
    self._step = first_step
    self._checkpoints = checkpoints
    self._pending: list[dict[str, jax.Array]] = []

  def add(self, metrics: dict[str, jax.Array]) -> None:
    self._pending.append(metrics)

  def means(self) -> dict[str, float]:
    """Fetches and averages them; raises NonFiniteLoss at the first bad step."""
    if not self._pending:
      return {}
    rows = jax.device_get(self._pending)
    for row in rows:
      self._step += 1
      if not np.isfinite(
        [row["loss"], row["gradient_norm"], row["parameter_norm"]]
      ).all():
        saved = self._checkpoints.steps()
        raise NonFiniteLoss(self._step, saved[-1] if saved else None)
    self._pending = []
    return {k: float(np.mean([row[k] for row in rows])) for k in rows[0]}


class _Interruption:
  """Turns SIGTERM and Ctrl-C into a request; a second one acts at once."""

  def __init__(self):
    self.requested = False
    self._previous: dict[int, Any] = {}

  def __enter__(self):
    # Only the main thread may set handlers; elsewhere signals stay as they are.
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGTERM, signal.SIGINT):
        self._previous[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *exception):
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _handle(self, number, frame):
    if self.requested:
      self.__exit__()
      signal.raise_signal(number)
    self.requested = True
    print("stopping: saving a checkpoint", flush=True)
