"""A regression from config to rows, table and figure."""

import io
import json

import numpy as np
import pytest

import jaxrobust
from jaxrobust import commands, evaluation, methods, training
from jaxrobust.report import figures
from jaxrobust.training import checkpoints, config

RNG = np.random.default_rng(0)
WEIGHTS = np.asarray([[1.0, 0.0], [0.5, -1.0], [0.0, 2.0], [-1.0, 0.3]])


@pytest.fixture
def regression_config(tmp_path):
  """60 series of 4 steps with two targets linear in them, in an .npz file."""
  arrays = {}
  for split, size in (("train", 60), ("test", 25)):
    series = RNG.normal(size=(size, 4, 1))
    arrays[f"{split}_series"] = series
    arrays[f"{split}_labels"] = series[:, :, 0] @ WEIGHTS
  np.savez(tmp_path / "linear.npz", **arrays)
  result = jaxrobust.default_config()
  result.data.source = "npz"
  result.data.name = "linear"
  result.data.path = str(tmp_path / "linear.npz")
  result.data.shape = (4, 1)
  result.data.num_classes = 0
  result.data.targets = 2
  result.data.train_split = "train[:48]"
  result.data.validation_split = "train[48:]"
  result.model.name = "mlp"
  result.model.hidden = ()
  result.method = methods.preset("standard")
  result.method.name = "standard_mse"
  result.method.objective.name = "mse"
  result.optimizer.learning_rate = 0.05
  result.train.epochs = 30
  result.train.batch_size = 20
  result.train.devices = 2
  result.eval.batch_size = 20
  result.eval.gaussian_stds = (0.2,)
  result.eval.alphas = (1.0,)
  result.eval.flip_rates = (0.126,)
  result.eval.select = "best"
  return result


def test_a_linear_map_is_learnt_judged_and_drawn(
  regression_config, tmp_path, capsys
):
  outcome = jaxrobust.train(regression_config, tmp_path / "run")
  assert outcome.finished
  assert "validation mse" in capsys.readouterr().out
  values = {
    (row["perturbation"], row["metric"]): row["value"] for row in outcome.rows
  }
  assert {metric for _, metric in values} == {"rmse", "mse", "mae", "finite"}
  assert {row["n_examples"] for row in outcome.rows} == {25}
  assert values["clean", "rmse"] < 0.1
  # A linear map turns noise of deviation s into errors of s times its norm.
  expected = 0.2 * np.sqrt((WEIGHTS**2).sum() / 2)
  assert values["gaussian", "rmse"] == pytest.approx(expected, rel=0.35)

  from rich.console import Console

  stream = io.StringIO()
  table = evaluation.accuracy_table(outcome.rows, "a run")
  Console(file=stream, width=100).print(table)
  assert "RMSE" in stream.getvalue()
  assert "accuracy" not in stream.getvalue()
  axes = figures.accuracy_against_strength(outcome.rows).axes[0]
  assert axes.get_ylabel().startswith("RMSE")
  drawn = [values["clean", "rmse"], values["alpha_stable(alpha=1.0)", "rmse"]]
  assert axes.lines[0].get_ydata().tolist() == drawn


def test_training_reports_mse_and_the_best_has_the_least_in_validation(
  regression_config, tmp_path
):
  # Too fast: the error falls and then stays about noisily.
  regression_config.optimizer.learning_rate = 0.5
  regression_config.train.epochs = 8
  outcome = jaxrobust.train(regression_config, tmp_path / "run")
  lines = [
    json.loads(line)
    for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()
  ]
  trained = [line for line in lines if "train/mse" in line]
  assert trained
  assert all(line["train/loss"] == line["train/mse"] for line in trained)
  assert not any("train/accuracy" in line for line in lines)
  errors = {
    line["step"]: line["validation/mse"]
    for line in lines
    if "validation/mse" in line
  }
  assert len(errors) == 8
  assert {row["step"] for row in outcome.rows} == {min(errors, key=errors.get)}


def test_a_checkpoint_of_infinite_error_is_saved_and_ranks_last(tmp_path):
  from jaxrobust import models
  from jaxrobust.training import state as state_lib

  model = models.build("mlp", num_classes=1, hidden=())
  run_config = jaxrobust.default_config()
  state = state_lib.create_state(
    model,
    state_lib.make_optimizer(run_config, lambda step: 0.1),
    (4, 1),
    seed=0,
    with_ema=False,
  )
  manager = checkpoints.Checkpoints(tmp_path, keep_last=2, keep_best=1)
  for step, rank in ((1, -0.5), (2, -np.inf)):
    manager.save(state.replace(step=np.int32(step)), {}, rank)
  manager.wait()
  assert manager.restore(state, "best").step == 1
  manager.close()


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("method.objective.name", "cross_entropy", "must be one of mse with .*=2"),
    ("data.targets", 0, "num_classes=0: must be at least 2, or 0 with"),
    ("data.num_classes", 3, "targets=2: must be 0 with .*num_classes=3"),
    ("data.targets", -1, "targets=-1: must be at least 0"),
  ],
)
def test_what_does_not_go_together_is_refused(
  regression_config, field, value, message
):
  section = regression_config
  *path, name = field.split(".")
  for part in path:
    section = section[part]
  section[name] = value
  with pytest.raises(jaxrobust.ConfigError, match=message):
    jaxrobust.validate(regression_config)


def test_mse_of_classes_is_refused():
  of_classes = jaxrobust.default_config()
  of_classes.method.objective.name = "mse"
  with pytest.raises(jaxrobust.ConfigError, match="must be none of mse with"):
    jaxrobust.validate(of_classes)


def test_other_data_than_the_declared_targets_are_refused(
  regression_config, tmp_path
):
  from jaxrobust import data

  regression_config.data.targets = 3
  with pytest.raises(data.DataError, match="targets is 3, but linear has 2"):
    data.load(regression_config.data, "train")
  regression_config.data.update({"targets": 0, "num_classes": 2})
  with pytest.raises(data.DataError, match="allowed: a vector of integers"):
    data.load(regression_config.data, "train")
  regression_config.data.update({"source": "tfds", "targets": 1})
  with pytest.raises(data.DataError, match="for source 'tfds', which has cla"):
    data.load(regression_config.data, "train")


def test_evaluation_of_a_finished_regression_finds_its_rows(
  regression_config, tmp_path
):
  regression_config.train.epochs = 1
  outcome = jaxrobust.train(regression_config, tmp_path / "run")
  before = (tmp_path / "run/results.csv").read_text()
  assert training.evaluate(tmp_path / "run") == outcome.rows
  assert (tmp_path / "run/results.csv").read_text() == before
  assert config.load(tmp_path / "run/config.json").data.targets == 2


def test_a_run_whose_data_have_moved_is_told_their_place(
  regression_config, tmp_path, capsys
):
  regression_config.train.epochs = 1
  outcome = jaxrobust.train(regression_config, tmp_path / "run")
  moved = (tmp_path / "linear.npz").rename(tmp_path / "moved.npz")
  words = ["evaluate", f"--workdir={tmp_path / 'run'}"]
  assert commands.main(words) == 2
  assert "linear.npz" in capsys.readouterr().err
  assert commands.main([*words, f"--path={moved}"]) == 0
  assert training.evaluate(tmp_path / "run", path=str(moved)) == outcome.rows


def test_a_mixture_of_linear_examples_is_learnt_as_well(
  regression_config, tmp_path
):
  # A linear map of mixed inputs is the mixture of their targets.
  regression_config.method.name = "mixup_mse"
  regression_config.method.input.name = "mixup"
  regression_config.method.input.alpha = 1.0
  rows = jaxrobust.train(regression_config, tmp_path / "run").rows
  clean = {
    r["metric"]: r["value"] for r in rows if r["perturbation"] == "clean"
  }
  assert clean["rmse"] < 0.15


def test_the_stand_in_of_a_regression_has_its_targets(regression_config):
  from jaxrobust import data

  quick = jaxrobust.variant(regression_config, "quick")
  jaxrobust.validate(quick)
  dataset = data.load(quick.data, quick.data.train_split)
  assert dataset.labels.shape == (384, 2)
  assert dataset.labels.dtype == np.float32
  assert 0 <= dataset.labels.min() < dataset.labels.max() <= 1
