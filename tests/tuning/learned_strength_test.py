"""The strength moves along the derivative of the loss after an update."""

import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxrobust
from jaxrobust import data, evaluation, methods, models
from jaxrobust.training import parallel
from jaxrobust.training.assembly import Assembly, assemble, make_loader
from jaxrobust.training.config import ConfigError
from jaxrobust.training.state import create_state
from jaxrobust.tuning import learned_strength, traced_strength
from jaxrobust.tuning.hypergradient import Hyper, Strength, make_hyper_step

CLEAN = evaluation.grid((), (), ())
MIX = evaluation.grid((0.2,), (1.0,), (0.126,))
FROZEN = optax.set_to_zero()


class Linear(nn.Module):
  """One matrix: its gradient has no jumps that differences would see."""

  outputs: int = 10

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    x = inputs.reshape((len(inputs), -1))
    return models.Outputs(nn.Dense(self.outputs, use_bias=False)(x), x)


def start(strength, optimizer):
  return Hyper(strength, strength, optimizer.init(strength))


def map_step(parts, cells, optimizer, count=1, **options):
  launcher = parallel.Launcher("pmap", jax.devices()[:count])
  step = make_hyper_step(parts, cells, optimizer, parallel.AXIS, **options)
  mapped = launcher.map(
    step,
    sharded_in=(False, False, True, True, False),
    sharded_out=(False, False, False),
  )

  def call(state, hyper, batch, validation):
    batches = launcher.shard(batch), launcher.shard(validation)
    state, hyper = launcher.replicate((state, hyper))
    return mapped(state, hyper, *batches, {})

  return call


@pytest.fixture
def images(tiny_config):
  """A training on digits by plain gradient descent, and its first batches."""
  tiny_config.optimizer.name = "sgd"
  tiny_config.optimizer.momentum = 0.0
  tiny_config.optimizer.learning_rate = 2.0
  train_set = data.load(tiny_config.data, "train[:60]")
  validation_set = data.load(tiny_config.data, "train[60:90]")
  parts = assemble(tiny_config, train_set, differentiable=True)
  state = create_state(Linear(), parts.optimizer, (8, 8, 1), 0, with_ema=False)
  parts = dataclasses.replace(parts, model=Linear(), state=state)
  return (
    parts,
    next(make_loader(tiny_config, train_set)),
    next(data.Loader(validation_set, 24)),
  )


def test_the_hypergradient_is_the_difference_quotient_of_the_unrolled_loss(
  images,
):
  parts, *batches = images
  step = map_step(parts, MIX, FROZEN)

  def loss(tail, log_scale):
    strength = Strength(jnp.float32(log_scale), jnp.float32(tail))
    _, _, metrics = step(parts.state, start(strength, FROZEN), *batches)
    return jax.device_get(metrics)

  begin = Strength.of(1.3, 0.15)
  tail, log_scale = float(begin.tail), float(begin.log_scale)
  got, h = loss(tail, log_scale), 0.02
  up, down = loss(tail, log_scale + h), loss(tail, log_scale - h)
  quotient = (up["mix_loss"] - down["mix_loss"]) / (2 * h)
  assert abs(quotient) > 1e-3
  np.testing.assert_allclose(got["gradient_log_scale"], quotient, rtol=0.05)
  up, down = loss(tail + h, log_scale), loss(tail - h, log_scale)
  quotient = (up["mix_loss"] - down["mix_loss"]) / (2 * h)
  np.testing.assert_allclose(
    got["gradient_tail"], quotient, rtol=0.05, atol=2e-4
  )


def test_the_unrolled_update_is_the_ordinary_train_step(images):
  parts, batch, validation = images
  alpha, scale = traced_strength.law_of(parts.config)
  strength = Strength.of(alpha, scale)
  step = map_step(parts, CLEAN, FROZEN)
  after, _, metrics = step(
    parts.state, start(strength, FROZEN), batch, validation
  )
  ordinary = jax.pmap(
    parts.train_step(),
    axis_name=parallel.AXIS,
    in_axes=(None, 0, None),
    out_axes=None,
    devices=jax.devices()[:1],
  )
  launcher = parallel.Launcher("pmap", jax.devices()[:1])
  expected, _ = ordinary(parts.state, launcher.shard(batch), {})
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    jax.device_get(after.params),
    jax.device_get(expected.params),
  )
  # On clean validation inputs the loss needs no noise of ours.
  inputs = data.as_float(validation["inputs"])
  logits = parts.model.apply({"params": expected.params}, inputs).logits
  losses = optax.softmax_cross_entropy_with_integer_labels(
    logits, validation["labels"]
  )
  np.testing.assert_allclose(metrics["mix_loss"], losses.mean(), rtol=1e-4)


def test_two_devices_find_the_same_hypergradient(images):
  parts, *batches = images
  found = []
  for count in (1, 2):
    step = map_step(parts, MIX, FROZEN, count)
    hyper = start(Strength.of(1.3, 0.15), FROZEN)
    _, _, metrics = step(parts.state, hyper, *batches)
    found.append(
      [metrics[f"gradient_{name}"] for name in ("log_scale", "tail")]
    )
  np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_the_best_strength_for_least_squares_is_found(scale):
  # The best w under Gaussian test noise is 1 / (1 + std^2), and training with
  # the noise of the test is what leads there: c = std / sqrt(2).
  config = jaxrobust.default_config()
  config.data.shape, config.data.targets = (1, 1), 1
  config.method = methods.preset("alpha_stable")
  config.method.input.alpha, config.method.input.scale = 2.0, scale
  config.method.objective.name = "mse"
  parts = Linear(1), methods.build(config.method, (1, 1))
  x = np.random.default_rng(0).standard_normal((4096, 1, 1), np.float32)
  index = np.arange(4096, dtype=np.int32)
  batch = {"inputs": x, "labels": x[:, 0], "index": index}
  batch["mask"] = np.ones(4096, np.float32)
  sgd = optax.sgd(0.3)
  like = assemble_by_hand(config, *parts, sgd)
  std = 0.5
  optimizer = optax.adam(0.05)
  step = map_step(
    like, evaluation.grid((std,), (), ())[1:], optimizer, learn_alpha=False
  )
  state, hyper = like.state, start(Strength.of(1.9, scale), optimizer)
  for _ in range(150):
    state, hyper, _ = step(state, hyper, batch, batch)
  _, found = hyper.strength.law()
  assert float(found) == pytest.approx(std / np.sqrt(2), rel=0.15)


def assemble_by_hand(config, model, method, optimizer):
  return Assembly(
    config=config,
    model=model,
    method=method,
    optimizer=optimizer,
    schedule=optax.constant_schedule(0.3),
    state=create_state(model, optimizer, (1, 1), 0, with_ema=False),
    steps_per_epoch=1,
    total_steps=150,
    resident={},
  )


@dataclasses.dataclass
class StopsAfter:
  """An interruption that comes at the n-th time it is asked for."""

  left: int

  def __call__(self, message):
    return self

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    pass

  @property
  def requested(self):
    self.left -= 1
    return self.left < 0


def test_a_learning_that_was_interrupted_ends_as_if_it_never_was(
  tiny_config, tmp_path, monkeypatch
):
  whole = learned_strength.learn_strength(tiny_config, tmp_path / "whole")
  assert whole.finished
  rows = evaluation.read_rows(tmp_path / "whole" / "gradient" / "results.csv")
  assert {row["split"] for row in rows} == {"train[60:90]"}
  assert set(whole.by_kind) == {row["perturbation"] for row in rows}
  assert [line["step"] for line in whole.trajectory] == [1, 2, 3, 4, 5, 6]
  assert whole.trajectory[-1]["scale"] != whole.trajectory[0]["scale"]

  with monkeypatch.context() as patch:
    patch.setattr(learned_strength, "Interruption", StopsAfter(4))
    half = learned_strength.learn_strength(tiny_config, tmp_path / "half")
  assert not half.finished
  assert len(half.trajectory) == 4
  ended = learned_strength.learn_strength(tiny_config, tmp_path / "half")
  assert (ended.alpha, ended.scale) == (whole.alpha, whole.scale)
  assert ended.by_kind == whole.by_kind
  lines = (tmp_path / "half" / "gradient" / "metrics.jsonl").read_text()
  assert [json.loads(line)["step"] for line in lines.splitlines()] == [
    *range(1, 7)
  ]

  with pytest.raises(ConfigError, match=r"--rate=0.5: .* begun with 0.01"):
    learned_strength.learn_strength(tiny_config, tmp_path / "half", rate=0.5)


def test_noise_without_one_law_is_refused(tiny_config, tmp_path):
  tiny_config.method = methods.preset("standard")
  with pytest.raises(ConfigError, match=r"input\.name='clean': must be"):
    learned_strength.learn_strength(tiny_config, tmp_path)
