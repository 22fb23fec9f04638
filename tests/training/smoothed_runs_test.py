"""Runs on smoothed examples, and networks judged behind their smoother."""

import dataclasses
import signal

import chex
import jax
import numpy as np
import pytest

import jaxrobust
from jaxrobust import commands, data, methods, models
from jaxrobust.training import loop, parallel, replicates, smoothed, step
from jaxrobust.training import state as state_lib
from jaxrobust.training.config import model_arguments
from jaxrobust.training.runs import restore

SHAPE = (8, 8, 1)


@pytest.fixture
def config(smoothed_config):
  return smoothed_config


def train_set(config):
  return data.load(config.data, config.data.train_split)


def test_the_whole_run_trains_on_what_is_kept(config, tmp_path):
  """As a run without an input does on a set that was smoothed beforehand."""
  config.method.input.smooth_eval = "off"
  config.data.validation_split = ""
  jaxrobust.train(config, tmp_path / "smoother")
  kept = smoothed.smoothed(config, train_set(config))
  plain = config.copy_and_resolve_references()
  plain.method = methods.preset("standard")
  plain.data.source = "npz"
  plain.data.path = str(tmp_path / "kept.npz")
  plain.data.train_split, plain.data.test_split = "train", "test"
  test = data.load(config.data, config.data.test_split)
  np.savez(
    tmp_path / "kept.npz",
    train_images=kept.inputs,
    train_labels=kept.labels,
    test_images=np.asarray(test.inputs),
    test_labels=test.labels,
  )
  jaxrobust.train(plain, tmp_path / "plain")

  def losses(folder):
    lines = (tmp_path / folder / "metrics.jsonl").read_text().splitlines()
    return [line.partition('"train/loss":')[2][:18] for line in lines]

  assert losses("smoother") == losses("plain")


def parameters(config, folder):
  model = models.build(**model_arguments(config), axis_name=parallel.AXIS)
  return jax.device_get(restore(config, folder, model).state.params)


def test_an_iterative_run_resumes_on_the_level_it_was_at(
  config, tmp_path, monkeypatch
):
  config.method.input.fractions = (0.1, 0.6)
  jaxrobust.train(config, tmp_path / "whole")
  shard, seen = parallel.Launcher.shard_own, []

  def interrupt(self, batch):
    seen.append(batch)
    if len(seen) == 5:  # In the second epoch; one was of the validation.
      signal.raise_signal(signal.SIGTERM)
    return shard(self, batch)

  smoothed.smoothed(config, train_set(config))
  monkeypatch.setattr(loop.parallel.Launcher, "shard_own", interrupt)
  outcome = jaxrobust.train(config, tmp_path / "parts")
  assert (outcome.finished, outcome.step) == (False, 4)
  monkeypatch.undo()
  assert jaxrobust.train(config, tmp_path / "parts").finished
  chex.assert_trees_all_equal(
    parameters(config, tmp_path / "parts"),
    parameters(config, tmp_path / "whole"),
  )


def test_replicates_of_iterative_training_are_runs_of_their_own(
  config, tmp_path
):
  config.method.input.fractions = (0.1, 0.6)
  config.train.devices = 1
  configs = []
  for seed in (3, 4):
    own = config.copy_and_resolve_references()
    own.seed = seed
    configs.append(own)
  together = replicates.train_replicates(configs)
  outcome = jaxrobust.train(configs[1], tmp_path / "run")
  assert outcome.finished
  chex.assert_trees_all_close(
    jax.device_get(together[1].params),
    parameters(configs[1], tmp_path / "run"),
    rtol=2e-4,
    atol=2e-6,
  )


def one_step(config, devices, launcher="pmap"):
  """The parameters and the loss of a step on 24 examples."""
  config.augment.crop_padding = 1
  model = models.build("mlp", num_classes=10, hidden=(4,))
  schedule = state_lib.learning_rate_schedule(config, 3)
  optimizer = state_lib.make_optimizer(config, schedule)
  method = methods.build(config.method, SHAPE)
  launch = parallel.Launcher(launcher, jax.devices()[:devices])
  mapped = launch.map(
    step.make_train_step(
      config, model, method, optimizer, schedule, 6, parallel.AXIS
    ),
    sharded_in=(False, True, False),
    sharded_out=(False, False),
  )
  state = state_lib.create_state(
    model, optimizer, SHAPE, 0, with_ema=False, method=method
  )
  fed = smoothed.smoothed(config, train_set(config))
  batch = {
    "inputs": fed.inputs[:24],
    "labels": fed.labels[:24],
    "index": np.arange(24, dtype=np.int32),
    "mask": np.ones(24, np.float32),
  }
  state, metrics = mapped(launch.replicate(state), launch.shard(batch), {})
  return jax.device_get((state.params, metrics["loss"]))


@pytest.mark.parametrize("launcher", ["pmap", "shard_map"])
def test_smoothing_on_the_fly_is_the_same_on_all_devices(config, launcher):
  config.method.input.cache = False
  chex.assert_trees_all_close(
    one_step(config, 4, launcher), one_step(config, 1), atol=1e-6
  )


def test_on_the_fly_the_loss_is_that_of_the_cache(config):
  """Also with a crop, before which both smooth; up to half a grey level."""
  _, kept = one_step(config, 1)
  config.method.input.cache = False
  _, on_the_fly = one_step(config, 1)
  config.method = methods.preset("standard")
  _, raw = one_step(config, 1)
  assert abs(on_the_fly - kept) < 1e-3 < 10 * abs(raw - kept)


def test_one_training_is_judged_in_several_ways(config, tmp_path):
  """As runs of their own would be, that differ in smooth_eval alone."""
  config.eval.gaussian_stds = (0.3,)
  config.eval.smooth_evals = ("off", "adaptive")
  rows = jaxrobust.train(config, tmp_path / "together").rows
  config.eval.smooth_evals = ()
  for way in ("off", "adaptive"):
    config.method.input.smooth_eval = way
    alone = jaxrobust.train(config, tmp_path / way).rows
    together = [
      row for row in rows if row["method"].endswith(f", smooth_eval={way}")
    ]
    assert [row["value"] for row in together] == [row["value"] for row in alone]
  assert len(rows) == 3 * len(alone)


def test_another_way_is_judged_later(config, tmp_path, capsys):
  jaxrobust.train(config, tmp_path)
  assert (
    commands.main(["evaluate", f"--workdir={tmp_path}", "--smooth_evals=off"])
    == 0
  )
  assert "smooth_eval=off" in capsys.readouterr().out
  assert (
    commands.main(["evaluate", f"--workdir={tmp_path}", "--smooth_evals=on"])
    == 2
  )
  assert "eval.smooth_evals=('on',): must be different" in (
    capsys.readouterr().err
  )


def test_a_network_without_a_smoother_has_no_other_way(tiny_config):
  tiny_config.eval.smooth_evals = ("off",)
  with pytest.raises(
    jaxrobust.ConfigError, match=r"eval.smooth_evals=\('off',\): must be \(\)"
  ):
    jaxrobust.training.validate(tiny_config)


def test_a_run_stopped_while_it_smooths_ends_unfinished(
  config, tmp_path, monkeypatch
):
  smooth = smoothed._Keeper.complete

  def interrupt(self, stop):
    signal.raise_signal(signal.SIGTERM)
    smooth(self, stop)

  monkeypatch.setattr(smoothed._Keeper, "complete", interrupt)
  outcome = jaxrobust.train(config, tmp_path)
  assert (outcome.finished, outcome.step) == (False, 0)
  monkeypatch.undo()
  assert jaxrobust.train(config, tmp_path).finished


def test_without_its_smoother_a_network_has_one_gradient(config, tmp_path):
  config.eval.smooth_evals = ("off",)
  config.eval.attack_eps, config.eval.attack_steps = (0.05,), 2
  config.eval.attack_examples = 20
  config.eval.attack_gradients = ("straight_through",)
  rows = jaxrobust.train(config, tmp_path).rows
  names = {
    row["perturbation"]
    for row in rows
    if row["method"].endswith("smooth_eval=off")
  }
  assert names == {"clean", "fgsm", "pgd(steps=2, restarts=1)"}


def test_every_level_has_an_epoch_or_the_run_is_refused(config):
  config.method.input.fractions = (0.1, 0.3, 0.6)
  with pytest.raises(
    jaxrobust.ConfigError, match=r"train.epochs=2: must be enough for each of"
  ):
    jaxrobust.training.validate(config)
  config.method.input.cache = False
  jaxrobust.training.validate(config)


def test_an_attack_in_training_is_on_the_network_that_is_trained(config):
  """What it is fed is smoothed already; its own smoother would hide it."""
  seen = []
  method = methods.build(config.method, SHAPE)

  def look(batch, context):
    seen.append(context.logits(batch["inputs"]))
    return batch

  model = models.build("mlp", num_classes=10, hidden=(4,))
  schedule = state_lib.learning_rate_schedule(config, 3)
  optimizer = state_lib.make_optimizer(config, schedule)
  method = dataclasses.replace(method, input=look)
  state = state_lib.create_state(
    model, optimizer, SHAPE, 0, with_ema=False, method=method
  )
  raw = train_set(config)
  batch = {
    "inputs": raw.inputs[:4],
    "labels": raw.labels[:4],
    "index": np.arange(4, dtype=np.int32),
    "mask": np.ones(4, np.float32),
  }
  train_step = step.make_train_step(
    config, model, method, optimizer, schedule, 6, parallel.AXIS
  )

  def logits_of(state, batch):
    train_step(state, batch, {})
    return seen.pop()

  found = jax.vmap(logits_of, (None, 0), axis_name=parallel.AXIS, axis_size=1)(
    state, jax.tree.map(lambda x: x[None], batch)
  )
  plain = model.apply({"params": state.params}, raw.inputs[:4] / 255).logits
  np.testing.assert_allclose(found[0], plain, atol=1e-5)
