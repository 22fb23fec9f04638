"""Judging a run: the bridge from its checkpoints to the evaluation suite."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections

from jaxrobust import data, methods, models
from jaxrobust.training import parallel
from jaxrobust.training.checks import validate
from jaxrobust.training.config import model_arguments
from jaxrobust.training.judging import describe, judge_dataset
from jaxrobust.training.runs import config_of_run, restore
from jaxrobust.training.suites import apply_suite


def evaluate(
  workdir: str | pathlib.Path,
  *,
  split: str | None = None,
  select: str | None = None,
  data_dir: str | None = None,
  path: str | None = None,
  sparsity: bool | None = None,
  suite: str | None = None,
  attack_eps: Sequence[float] | None = None,
  attacks: Sequence[str] | None = None,
  surrogates: Sequence[str] | None = None,
  adapt: Sequence[str] | None = None,
  smooth_evals: Sequence[str] | None = None,
  stop: Callable[[], bool] = lambda: False,
) -> list[dict[str, Any]]:
  """Judges a run's checkpoint and appends the rows to its `results.csv`.

  It takes all devices of the machine or job it runs in, whatever the run had.

  Args:
    workdir: The run's folder.
    split: The split to judge on; by default `config.data.test_split`.
    select: "last", "best" or "best_test"; by default `config.eval.select`.
    data_dir: Where the TFDS set is now; by default `config.data.data_dir`.
    path: Where a set of the sources folder, npz and ucr is now; by default
      `config.data.path`.
    sparsity: Whether to write the rows of the weights and of pruning them; by
      default `config.eval.sparsity`.
    suite: What to judge under, as `suites.apply_suite` takes it; by default
      what `config.eval` says.
    attack_eps: The radii of the attacks, in units of the input; by default
      `config.eval.attack_eps`, or those of the suite.
    attacks: Which attacks; by default `config.eval.attacks`, or those of the
      suite.
    surrogates: Folders of other runs; what PGD finds on them is shown to this
      one; by default `config.eval.surrogates`.
    adapt: Of "adabn" and "tent", how the network adapts to test inputs without
      labels, for rows beside its own; by default `config.eval.adapt`.
    smooth_evals: Of "on", "off" and "adaptive", how else a network is judged
      that was trained on smoothed images, for rows beside its own; by default
      `config.eval.smooth_evals`.
    stop: Asked between cells; True ends the evaluation, to be resumed.

  Returns:
    The rows of this checkpoint and split, old and new.

  Raises:
    ConfigError: If the folder holds no run or no checkpoint.
    data.DataError: If the data set is not there.
  """
  parallel.use_all_cores()
  workdir = pathlib.Path(workdir).expanduser()
  config = config_of_run(workdir, select, data_dir, path)
  if sparsity is not None:
    config.eval.sparsity = sparsity
  if attack_eps is not None:
    config.eval.attack_eps = tuple(attack_eps)
  if suite is not None:
    apply_suite(config, suite)
  if attacks is not None:
    config.eval.attacks = tuple(attacks)
  if surrogates is not None:
    config.eval.surrogates = tuple(surrogates)
  if adapt is not None:
    config.eval.adapt = tuple(adapt)
  if smooth_evals is not None:
    config.eval.smooth_evals = tuple(smooth_evals)
  validate(config)
  config.data.test_split = split or config.data.test_split
  dataset = data.load(config.data, config.data.test_split)
  return judge_run(config, workdir, dataset, parallel.all_devices(), stop)


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
  model = models.build(**model_arguments(config), axis_name=parallel.AXIS)
  restored = restore(config, workdir, model)
  subject = describe(config, workdir.absolute().name, restored.step, dataset)
  variables = restored.state.variables()
  return judge_dataset(
    config, workdir, dataset, devices, model, subject, variables, stop
  )


def judge_function(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  function: Callable[[jax.Array], jax.Array],
  name: str,
  suite: str | None = None,
  stop: Callable[[], bool] = lambda: False,
) -> list[dict[str, Any]]:
  """Judges a model of one's own, a function from images to logits.

  Args:
    config: Its `data` says on what, its `eval` under what; its model, method
      and training have no part.
    workdir: The folder that gets `results.csv`; what is there is not judged
      again.
    function: From float32 inputs [N, ...], images in [0, 1], to logits [N, K];
      `models.from_torch` makes one of a PyTorch module.
    name: What the rows call it.
    suite: As for `evaluate`.
    stop: As for `evaluate`.

  Returns:
    The rows of this model, old and new.

  Raises:
    ConfigError: If a field is out of range, or asks for the weights.
    data.DataError: If the data set is not there.

  Example:
    >>> import contextlib, io, tempfile
    >>> from jaxrobust.training import default_config
    >>> config = default_config()
    >>> config.data.source, config.data.shape = "digits", (8, 8, 1)
    >>> config.data.test_split, config.data.validation_split = "test[:50]", ""
    >>> config.eval.alphas = config.eval.gaussian_stds = ()
    >>> def one_class(images):
    ...   return jax.numpy.eye(10)[jax.numpy.zeros(len(images), int)]
    >>> with contextlib.redirect_stdout(io.StringIO()):
    ...   rows = judge_function(config, tempfile.mkdtemp(), one_class, "one")
    >>> {row["perturbation"] for row in rows}, rows[0]["n_examples"]
    ({'clean'}, 50)
  """
  parallel.use_all_cores()
  workdir = pathlib.Path(workdir).expanduser()
  config = config.copy_and_resolve_references()
  if suite is not None:
    apply_suite(config, suite)
  config.method = methods.preset("standard")
  config.method.name = name
  # There are no weights to measure.
  config.eval.sparsity = config.eval.network = False
  config.eval.features_stds = config.eval.adapt = ()
  validate(config)
  dataset = data.load(config.data, config.data.test_split)
  workdir.mkdir(parents=True, exist_ok=True)
  subject = dataclasses.replace(
    describe(config, workdir.absolute().name, 0, dataset), trained_on=""
  )
  model = models.Foreign(function)
  devices = parallel.all_devices()
  return judge_dataset(
    config, workdir, dataset, devices, model, subject, {"params": {}}, stop
  )
