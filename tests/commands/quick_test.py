"""Every config's quick variant trains and is judged, end to end."""

import importlib.util
import pathlib

import pytest

import jaxrobust.main
from jaxrobust import commands, evaluation, training
from jaxrobust.training import checks

FOLDER = pathlib.Path(__file__).parents[2] / "configs"
CONFIGS = sorted(FOLDER.glob("[a-z]*.py"))
# One of each kind, for the other Python.
QUICK = (
  "digits_alpha_stable",
  "ecg200_lstm",
  "libras_fcn1d",
  "mnist_stochastic",
  "returns_forecast",
)


@pytest.mark.parametrize(
  "path",
  [
    pytest.param(path, marks=[pytest.mark.quick] if path.stem in QUICK else [])
    for path in CONFIGS
  ],
  ids=lambda path: path.stem,
)
def test_the_quick_variant_trains_and_is_judged(path, tmp_path, capsys):
  # Two devices, for compiling goes with their number and the cores are few.
  words = [
    f"--config={path}:quick",
    f"--workdir={tmp_path}",
    "--config.train.devices=2",
  ]
  assert jaxrobust.main.main(["main", *words]) == 0
  out, err = capsys.readouterr()
  assert err == ""
  assert "ETA" in out
  assert str(tmp_path / "results.csv") in out
  config = training.config.load(tmp_path / "config.json")
  rows = evaluation.read_rows(tmp_path / "results.csv")
  prefix = "digits" if len(config.data.shape) == 3 else "synthetic"
  assert {row["dataset"] for row in rows} == {f"{prefix}-as-{config.data.name}"}
  assert {row["method"] for row in rows} == {config.method.name}
  # Attacks are made on the first 64.
  assert {
    (row["n_examples"], evaluation.is_attack(row["perturbation"]))
    for row in rows
  } <= {(128, False), (64, True)}
  names = {row["perturbation"] for row in rows}
  assert {"clean", "gaussian"} < names
  accuracies = [r["value"] for r in rows if r["metric"] == "accuracy"]
  assert all(0 <= value <= 1 for value in accuracies)


def test_configs_were_found():
  assert len(CONFIGS) >= 5


def test_evaluate_adds_the_rows_that_are_not_there(tmp_path, capsys):
  path = tmp_path / "results.csv"
  workdir = f"--workdir={tmp_path}"
  digits = f"--config={FOLDER}/digits_alpha_stable.py:quick"
  words = [digits, workdir, "--config.train.devices=2"]
  assert commands.main(["train", *words]) == 0
  before = path.read_text()

  capsys.readouterr()
  assert commands.main(["evaluate", workdir]) == 0
  assert path.read_text() == before
  assert "clean" in capsys.readouterr().out

  words = [workdir, "--split=test[128:200]", "--select=best"]
  assert commands.main(["evaluate", *words]) == 0
  assert path.read_text().startswith(before)
  rows = evaluation.read_rows(path)
  assert {r["split"] for r in rows} == {"test[:128]", "test[128:200]"}
  assert {r["n_examples"] for r in rows} == {128, 72}


@pytest.mark.parametrize("name", ["mnist_stochastic", "cifar_stochastic"])
def test_every_variant_of_a_config_is_valid(name):
  path = FOLDER / f"{name}.py"
  spec = importlib.util.spec_from_file_location(name, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  names = set()
  for variant in (None, *module.VARIANTS):
    config = module.get_config(variant)
    names.add((config.method.name, config.model.name))
    checks.validate(config)
    assert variant is None or f"  {variant} " in module.__doc__
  assert len(names) == 1 + len(module.VARIANTS)
  with pytest.raises(training.ConfigError, match="'learned' or 'per_channel'"):
    module.get_config("nonsense")
