"""Every config's quick variant trains and is judged, end to end."""

import pathlib

import pytest

import jaxrobust.main
from jaxrobust import evaluation, training

CONFIGS = sorted(
  (pathlib.Path(__file__).parents[2] / "configs").glob("[a-z]*.py")
)


@pytest.mark.quick
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
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
  assert {row["n_examples"] for row in rows} == {128}
  names = {row["perturbation"] for row in rows}
  assert {"clean", "gaussian"} < names
  accuracies = [r["value"] for r in rows if r["metric"] == "accuracy"]
  assert all(0 <= value <= 1 for value in accuracies)


def test_configs_were_found():
  assert len(CONFIGS) >= 5


def test_evaluate_adds_the_rows_that_are_not_there(
  command, config_file, tmp_path
):
  path = config_file("digits_alpha_stable")
  words = [f"--config={path}:quick", f"--workdir={tmp_path}"]
  assert command("train", *words, "--config.train.devices=2").code == 0
  before = (tmp_path / "results.csv").read_text()

  again = command("evaluate", f"--workdir={tmp_path}")
  assert again.code == 0
  assert (tmp_path / "results.csv").read_text() == before
  assert "clean" in again.out

  best = command(
    "evaluate",
    f"--workdir={tmp_path}",
    "--split=test[128:200]",
    "--select=best",
  )
  assert best.code == 0
  after = (tmp_path / "results.csv").read_text()
  assert after.startswith(before)
  splits = {r["split"] for r in evaluation.read_rows(tmp_path / "results.csv")}
  assert splits == {"test[:128]", "test[128:200]"}
