"""A run and a model of one's own are judged by a suite, once."""

import jax
import numpy as np
import pytest

import jaxrobust
from jaxrobust import evaluation, models
from jaxrobust.training.config import load, model_arguments
from jaxrobust.training.judge import Judge
from jaxrobust.training.judging import describe, judge_dataset
from jaxrobust.training.runs import restore

SUITE = """
def set_suite(config):
  own = config.eval
  own.examples = 30
  own.gaussian_stds, own.alphas, own.flip_rates = (0.3,), (), ()
  own.corruptions, own.corruption_severities = ("brightness", "fog"), (1, 5)
  own.attack_eps, own.attacks = (0.1,), ("pgd", "standard")
  own.attack_steps = own.standard_steps = 3
  own.standard_queries = 4
  own.calibration = own.pictures = True
  own.certify_stds, own.certify_draws = (0.2,), 30
  own.certify_selection_draws = own.certify_examples = 10
"""


def digits():
  config = jaxrobust.default_config()
  config.data.source = config.data.name = "digits"
  config.data.shape = (8, 8, 1)
  config.data.validation_split = ""
  config.model.name = "mlp"
  config.model.hidden = (16,)
  config.train.batch_size = 50
  config.eval.alphas = config.eval.gaussian_stds = ()
  return config


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  config = digits()
  config.data.train_split = "train[:500]"
  config.data.validation_split = "train[500:600]"
  config.data.test_split = "test[:50]"
  config.train.epochs = 2
  folder = tmp_path_factory.mktemp("run")
  (folder / "suite.py").write_text(SUITE)
  jaxrobust.train(config, folder / "run")
  return folder


@pytest.fixture(scope="module")
def rows(workdir):
  suite = str(workdir / "suite.py")
  return jaxrobust.evaluate(workdir / "run", suite=suite)


def test_a_run_gets_the_rows_of_all_that_the_suite_names(rows):
  # The run's own clean row is of all 50 examples.
  counts = {row["n_examples"] for row in rows if row["perturbation"] == "clean"}
  assert counts == {30, 50}
  by_name = {}
  for row in rows:
    if row["n_examples"] != 50:
      by_name.setdefault(row["perturbation"], []).append(row)
  assert set(by_name) >= {
    "gaussian",
    "brightness(cifar-c, generated)",
    "fog(cifar-c, generated)",
    "pgd(steps=3, restarts=1)",
    "standard(linf, steps=3, queries=4)",
    "self_check",
    "calibration",
    "reliability",
    "temperature_scaled",
    "certified(std=0.2, draws=30)",
  }
  fog = by_name["fog(cifar-c, generated)"]
  assert {row["severity"] for row in fog} == {1, 5}
  assert {row["strength"] for row in fog} == {1.0, 5.0}
  certified = by_name["certified(std=0.2, draws=30)"]
  assert {row["n_examples"] for row in certified} == {10}


def test_rows_that_are_there_are_not_made_again(workdir, rows, monkeypatch):
  def judged(self, variables, cell):
    raise AssertionError(f"{cell.name} is judged again")

  monkeypatch.setattr(Judge, "__call__", judged)
  suite = str(workdir / "suite.py")
  again = jaxrobust.evaluate(workdir / "run", suite=suite)
  assert again == rows


def test_every_noise_and_corruption_has_a_picture(workdir, rows):
  folder = workdir / "run" / "examples"
  for name, strength, severity in (
    ("clean", 0.0, None),
    ("gaussian", 0.3, None),
    ("fog(cifar-c, generated)", 5.0, 5),
  ):
    assert evaluation.example_path(folder, name, strength, severity).exists()
  assert len(list(folder.iterdir())) == 6


def test_the_same_network_as_a_function_has_the_same_rows(
  workdir, rows, tmp_path
):
  config = load(workdir / "run" / "config.json")
  model = models.build(**model_arguments(config))
  variables = restore(config, workdir / "run", model).state.variables()

  def function(images):
    return model.apply(variables, images).logits

  found = jaxrobust.judge_function(
    config, tmp_path / "own", function, "mine", str(workdir / "suite.py")
  )
  assert {row["method"] for row in found} == {"mine"}

  def values(rows):
    return {
      (row["perturbation"], row["strength"], row["metric"]): row["value"]
      for row in rows
      if row["n_examples"] != 50
    }

  own, wanted = values(found), values(rows)
  assert own.keys() == wanted.keys()
  for key, value in wanted.items():
    assert own[key] == pytest.approx(value, rel=1e-4, abs=1e-5), key


def test_an_evaluation_that_is_stopped_goes_on_where_it_was(workdir, tmp_path):
  config = load(workdir / "run" / "config.json")
  config.eval.gaussian_stds = (0.1, 0.2, 0.3)
  dataset = jaxrobust.data.load(config.data, "test[:50]")
  model = models.Foreign(lambda x: x.reshape((len(x), -1))[:, :10])
  subject = describe(config, "own", 0, dataset)
  calls = []

  def stop():
    calls.append(None)
    return len(calls) == 2

  def judged():
    return judge_dataset(
      config,
      tmp_path,
      dataset,
      jax.local_devices()[:1],
      model,
      subject,
      {"params": {}},
      stop,
    )

  assert len({row["strength"] for row in judged()}) == 2
  text = (tmp_path / "results.csv").read_text()
  # As a kill may leave it.
  (tmp_path / "results.csv").write_text(text + '"own",mine,0')
  rows = judged()
  assert len({row["strength"] for row in rows}) == 4
  assert (tmp_path / "results.csv").read_text().startswith(text)


def test_what_has_no_weights_is_not_asked_for_them(tmp_path):
  config = digits()
  config.data.test_split = "test[:20]"
  config.eval.sparsity = config.eval.network = True

  def function(images):
    return np.ones((len(images), 10)) * images.mean()

  rows = jaxrobust.judge_function(config, tmp_path, function, "constant")
  assert {row["perturbation"] for row in rows} == {"clean"}
  assert {row["trained_on"] for row in rows} == {None}
