"""A run can be stopped anywhere, in any way, and ends as if it never was."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import chex
import jax
import numpy as np
import pytest

import jaxrobust
from jaxrobust import evaluation, methods
from jaxrobust.training import assembly, checkpoints, config, loop


def final_state(folder, run_config):
  """The newest checkpoint as numpy leaves."""
  from jaxrobust import models
  from jaxrobust.training.runs import abstract_state, open_checkpoints

  model = models.build(**config.model_arguments(run_config))
  manager = open_checkpoints(run_config, pathlib.Path(folder))
  restored = manager.restore(abstract_state(run_config, model))
  manager.close()
  return restored.step, jax.device_get(restored.state.replace(key=0))


def start(folder, run_config):
  """Starts the same run in a process of its own."""
  folder.parent.mkdir(exist_ok=True)
  config.save(run_config, folder.parent / "config.json")
  code = (
    "import pathlib, sys, jaxrobust\n"
    "from jaxrobust.training import config\n"
    "from jaxrobust.commands import shell\n"
    "shell.use_compilation_cache()\n"
    "path, folder = map(pathlib.Path, sys.argv[1:])\n"
    "outcome = jaxrobust.train(config.load(path), folder)\n"
    "sys.exit(0 if outcome.finished else 75)\n"
  )
  return subprocess.Popen(
    [sys.executable, "-c", code, str(folder.parent / "config.json"), folder],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    env={**os.environ, "XDG_CACHE_HOME": str(folder.parent / "cache")},
  )


def wait_for_line(process, words):
  for line in process.stdout:
    if words in line:
      return
  raise AssertionError(f"the process ended without printing {words!r}")


def test_a_run_leaves_its_papers(tiny_config, tmp_path):
  outcome = jaxrobust.train(tiny_config, tmp_path)
  assert outcome.finished
  assert outcome.step == 6
  (start_,) = json.loads((tmp_path / "environment.json").read_text())
  assert start_["versions"]["jax"] == jax.__version__
  lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
  losses = [json.loads(line) for line in lines]
  steps = [line["step"] for line in losses if "train/loss" in line]
  assert steps == [1, 2, 3, 4, 5, 6]
  assert sum("validation/accuracy" in line for line in losses) == 2
  assert list((tmp_path / "tensorboard").glob("events.*"))
  rows = evaluation.read_rows(tmp_path / "results.csv")
  assert rows == outcome.rows
  assert {row["perturbation"] for row in rows} == {
    "clean",
    "gaussian",
    "alpha_stable(alpha=1.0)",
  }
  assert {row["n_examples"] for row in rows} == {50}
  assert {row["trained_on"] for row in rows} == {"alpha_stable"}
  assert config.load(tmp_path / "config.json").to_dict() == (
    tiny_config.to_dict()
  )


def test_the_step_is_traced_once(tiny_config, tmp_path, monkeypatch):
  make = assembly.make_train_step

  def counted(*args):
    return chex.assert_max_traces(make(*args), 1)

  chex.clear_trace_counter()
  monkeypatch.setattr(assembly, "make_train_step", counted)
  tiny_config.data.train_split = "train[:70]"  # The last batch is padded.
  tiny_config.data.validation_split = "train[70:90]"
  assert jaxrobust.train(tiny_config, tmp_path).finished


def test_a_finished_run_is_not_trained_again(
  tiny_config, tmp_path, monkeypatch
):
  first = jaxrobust.train(tiny_config, tmp_path)
  monkeypatch.setattr(
    loop.Judge, "__call__", lambda *_: pytest.fail("judged again")
  )
  again = jaxrobust.train(tiny_config, tmp_path)
  assert again == first


def test_another_config_is_refused_in_a_used_folder(tiny_config, tmp_path):
  jaxrobust.train(tiny_config, tmp_path)
  tiny_config.optimizer.learning_rate = 0.5
  with pytest.raises(
    jaxrobust.ConfigError,
    match=r"config.optimizer.learning_rate=0.5: .* begun with 0.001",
  ):
    jaxrobust.train(tiny_config, tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(tiny_config, tmp_path):
  tiny_config.method = methods.preset("standard")
  tiny_config.optimizer.name = "sgd"
  tiny_config.train.epochs = 1
  jaxrobust.train(tiny_config, tmp_path / "good")
  tiny_config.train.epochs = 3
  tiny_config.optimizer.learning_rate = 1e30
  tiny_config.train.log_every = 100
  with pytest.raises(loop.NonFiniteLoss, match="at step 1;") as caught:
    jaxrobust.train(tiny_config, tmp_path / "bad")
  assert "none was saved yet" in str(caught.value)
  assert not list((tmp_path / "bad" / "checkpoints").glob("[0-9]*"))


def test_an_interrupted_run_resumes_to_the_same_bits(
  tiny_config, tmp_path, monkeypatch
):
  jaxrobust.train(tiny_config, tmp_path / "whole")
  shard = loop.parallel.Launcher.shard_own
  seen = []

  def interrupt(self, batch):
    seen.append(1)
    if len(seen) == 2:  # In the middle of the first epoch.
      signal.raise_signal(signal.SIGINT)
    return shard(self, batch)

  monkeypatch.setattr(loop.parallel.Launcher, "shard_own", interrupt)
  outcome = jaxrobust.train(tiny_config, tmp_path / "parts")
  assert (outcome.finished, outcome.step) == (False, 2)
  monkeypatch.undo()
  assert jaxrobust.train(tiny_config, tmp_path / "parts").finished
  chex.assert_trees_all_equal(
    final_state(tmp_path / "whole", tiny_config),
    final_state(tmp_path / "parts", tiny_config),
  )
  whole = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
  parts = (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()
  for one, two in zip(whole, parts, strict=True):
    one, two = json.loads(one), json.loads(two)
    one.pop("time"), two.pop("time")
    assert one == two


def test_a_damaged_newest_checkpoint_costs_an_epoch_not_the_run(
  tiny_config, tmp_path
):
  jaxrobust.train(tiny_config, tmp_path)
  expected = final_state(tmp_path, tiny_config)
  for file in (tmp_path / "checkpoints" / "6").rglob("manifest.ocdbt"):
    file.unlink()
  with pytest.warns(UserWarning, match="passed over: .*checkpoints/6"):
    outcome = jaxrobust.train(tiny_config, tmp_path)
  assert outcome.finished
  chex.assert_trees_all_equal(final_state(tmp_path, tiny_config), expected)


def test_sigterm_saves_and_says_resume_me(tiny_config, tmp_path):
  tiny_config.train.epochs = 2000
  # No checkpoint is due before the signal: the one there must be its work.
  tiny_config.checkpoint.every_epochs = 2000
  process = start(tmp_path / "run", tiny_config)
  wait_for_line(process, "epoch 2/")
  process.send_signal(signal.SIGTERM)
  output, _ = process.communicate(timeout=120)
  assert process.returncode == 75, output
  (saved,) = (tmp_path / "run" / "checkpoints").glob("[0-9]*")
  tiny_config.train.epochs = 2000
  step, _ = final_state(tmp_path / "run", tiny_config)
  assert int(saved.name) == step >= 4


def test_kill_9_at_three_moments_changes_no_bit(tiny_config, tmp_path):
  tiny_config.train.epochs = 60
  tiny_config.train.log_every = 3
  whole = start(tmp_path / "whole" / "run", tiny_config)
  whole.communicate(timeout=300)
  assert whole.returncode == 0
  rng = random.Random(0)
  folder = tmp_path / "parts" / "run"
  for _ in range(3):
    process = start(folder, tiny_config)
    wait_for_line(process, "epoch ")
    time.sleep(rng.uniform(0.0, 0.5))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
  last = start(folder, tiny_config)
  output, _ = last.communicate(timeout=300)
  assert last.returncode == 0, output
  chex.assert_trees_all_equal(
    final_state(tmp_path / "whole" / "run", tiny_config),
    final_state(folder, tiny_config),
  )
  np.testing.assert_array_equal(
    [r["value"] for r in evaluation.read_rows(folder / "results.csv")],
    [
      r["value"]
      for r in evaluation.read_rows(tmp_path / "whole/run/results.csv")
    ],
  )


def test_a_folder_of_damaged_checkpoints_is_not_begun_anew(
  tiny_config, tmp_path
):
  tiny_config.train.epochs = 1
  jaxrobust.train(tiny_config, tmp_path)
  for file in (tmp_path / "checkpoints").rglob("manifest.ocdbt"):
    file.unlink()
  with (
    pytest.warns(UserWarning, match="passed over"),
    pytest.raises(checkpoints.CheckpointError),
  ):
    jaxrobust.train(tiny_config, tmp_path)


def test_a_folder_where_nothing_was_trained_takes_another_config(
  tiny_config, tmp_path
):
  tiny_config.data.source = "npz"
  tiny_config.data.path = str(tmp_path / "absent.npz")
  with pytest.raises(jaxrobust.data.DataError):
    jaxrobust.train(tiny_config, tmp_path / "run")
  tiny_config.data.source = "digits"
  tiny_config.train.epochs = 1
  assert jaxrobust.train(tiny_config, tmp_path / "run").finished


def test_another_split_and_the_best_checkpoint_can_be_judged(
  tiny_config, tmp_path
):
  first = jaxrobust.train(tiny_config, tmp_path)
  rows = jaxrobust.evaluate(tmp_path, split="train[60:90]", select="best")
  assert {row["n_examples"] for row in rows} == {30}
  assert {row["split"] for row in rows} == {"train[60:90]"}
  everything = evaluation.read_rows(tmp_path / "results.csv")
  assert everything == first.rows + rows


@pytest.mark.parametrize("launcher", ["pmap", "shard_map"])
def test_a_resident_data_set_trains_to_the_same(
  tiny_config, tmp_path, launcher
):
  sent = jaxrobust.train(tiny_config, tmp_path / "sent")
  tiny_config.data.device_resident = True
  tiny_config.train.launcher = launcher
  resident = jaxrobust.train(tiny_config, tmp_path / "resident")
  np.testing.assert_allclose(
    [row["value"] for row in sent.rows],
    [row["value"] for row in resident.rows],
    rtol=1e-5,
  )


@pytest.mark.parametrize("name", ["lstm", "fcn1d"])
def test_series_train_without_clipping(tiny_config, tmp_path, name):
  tiny_config.data.source = tiny_config.data.name = "synthetic_series"
  tiny_config.data.shape = (16, 2)
  tiny_config.data.num_classes = 3
  tiny_config.model = jaxrobust.default_config().model
  tiny_config.model.name = name
  tiny_config.model.update(jaxrobust.models.quick_options(name))
  outcome = jaxrobust.train(tiny_config, tmp_path)
  assert outcome.finished
  assert all(np.isfinite(row["value"]) for row in outcome.rows)


def test_rows_of_another_config_are_never_passed_off(tiny_config, tmp_path):
  tiny_config.train.epochs = 1
  jaxrobust.train(tiny_config, tmp_path)
  shutil.rmtree(tmp_path / "checkpoints")
  tiny_config.optimizer.learning_rate = 0.5
  with pytest.raises(jaxrobust.ConfigError, match="was begun with"):
    jaxrobust.train(tiny_config, tmp_path)


def test_a_missing_test_set_costs_no_training(tiny_config, tmp_path):
  tiny_config.data.test_split = "test[:1000000]"
  with pytest.raises(jaxrobust.data.DataError):
    jaxrobust.train(tiny_config, tmp_path)
  assert not list((tmp_path / "checkpoints").glob("[0-9]*"))


def test_other_data_under_a_run_is_refused(tiny_config, tmp_path):
  path = tmp_path / "set.npz"

  def write(n):
    images = np.zeros((n, 8, 8, 1), np.uint8)
    labels = np.arange(n) % 10
    np.savez(
      path,
      train_images=images,
      train_labels=labels,
      test_images=images[:50],
      test_labels=labels[:50],
    )

  tiny_config.data.source, tiny_config.data.path = "npz", str(path)
  tiny_config.data.train_split = "train"
  tiny_config.data.validation_split = ""
  tiny_config.train.epochs = 1
  write(60)
  jaxrobust.train(tiny_config, tmp_path / "run")
  write(70)
  with pytest.raises(jaxrobust.ConfigError, match="not the data that"):
    jaxrobust.train(tiny_config, tmp_path / "run")
