"""Test noises have the strength they state and depend on nothing but it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxrobust import data, evaluation, methods, models
from jaxrobust.methods import forwards

SHAPE = (4, 4, 1)


def test_the_grid_is_clean_then_gaussian_then_stable():
  cells = evaluation.grid([0.1, 1], [1, 0.5], [0.05, 0.126])
  assert [(cell.name, cell.strength) for cell in cells] == [
    ("clean", 0.0),
    ("gaussian", 0.1),
    ("gaussian", 1),
    ("alpha_stable(alpha=1.0)", 0.05),
    ("alpha_stable(alpha=1.0)", 0.126),
    ("alpha_stable(alpha=0.5)", 0.05),
    ("alpha_stable(alpha=0.5)", 0.126),
  ]
  assert cells[0].scale == 0


def test_the_scale_of_a_cell_has_its_strength():
  # Cauchy, Gaussian and Levy-like laws of scipy: P(|x| > 0.5) = 0.126.
  one, two = evaluation.grid([], [1.0, 2.0], [0.126])[1:]
  cauchy, gaussian = (
    stats.cauchy(scale=one.scale),
    stats.norm(scale=two.scale * math.sqrt(2)),
  )
  for law in (cauchy, gaussian):
    assert 2 * law.sf(0.5) == pytest.approx(0.126, rel=1e-4)
  (cell,) = evaluation.grid([0.3], [], [])[1:]
  assert (cell.alpha, cell.scale) == (2.0, pytest.approx(0.3 / math.sqrt(2)))


@pytest.fixture(scope="module")
def predict():
  """Judges examples under one noise; jitted once for images and once not."""
  model = models.build("mlp", num_classes=3, hidden=(5,))
  variables = model.init(jax.random.key(1), jnp.zeros((1, *SHAPE)))
  steps = {
    is_image: jax.jit(
      evaluation.make_predict_step(
        model, forwards.deterministic(), is_image=is_image
      )
    )
    for is_image in (True, False)
  }

  def run(images, index, alpha=2.0, scale=0.0, tag=data.Tag.TEST, seed=0,
          is_image=True, bursts=(1.0, 1.0)):  # fmt: skip
    index = np.asarray(index, np.int32)
    batch = {
      "inputs": images,
      "labels": index % 3,
      "index": index,
      "mask": np.ones(len(index), np.float32),
    }
    noise = np.asarray([alpha, scale, *bursts], np.float32)
    key = jax.random.key(seed)
    judged = steps[is_image](variables, batch, key, np.int32(tag), noise)
    return jax.device_get(judged)

  run.steps = steps
  run.logits = lambda inputs: model.apply(variables, inputs).logits
  return run


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).integers(0, 256, (6, *SHAPE), np.uint8)


def test_clean_is_the_plain_forward(predict, images):
  index = np.arange(6)
  judged = predict(images, index)
  logits = np.asarray(predict.logits(images / np.float32(255)), np.float64)
  likelihood = special.softmax(logits, axis=1)
  np.testing.assert_allclose(
    judged["nll"], -np.log(likelihood[index, index % 3]), rtol=1e-4
  )
  np.testing.assert_allclose(
    judged["confidence"], likelihood.max(axis=1), rtol=1e-5
  )
  np.testing.assert_array_equal(
    judged["hits"], likelihood.argmax(axis=1) == index % 3
  )


def test_noise_depends_on_seed_tag_and_index_alone(predict, images):
  cauchy = {"alpha": 1.0, "scale": 0.3}
  index = [5, 0, 9, 14, 2, 7]
  whole = predict(images, index, **cauchy)["nll"]
  order = [4, 1, 5, 0, 3, 2]
  moved = predict(images[order], np.asarray(index)[order], **cauchy)["nll"]
  np.testing.assert_array_equal(moved, whole[order])
  # Other rows in the same batch change nothing.
  mixed = images.copy()
  mixed[1:] = 0
  other = predict(mixed, [5, 30, 31, 32, 33, 34], **cauchy)["nll"]
  assert other[0] == whole[0]
  for change in (
    {"seed": 1},
    {"tag": data.Tag.VALIDATION},
    {"index": np.asarray(index) + 3},
  ):
    changed = predict(images, **{"index": index, **cauchy, **change})["nll"]
    assert (changed != whole).all()


def test_test_noise_is_not_training_noise():
  used_in_training = {data.Tag.INPUT, data.Tag.CHOICE, data.Tag.COIN}
  assert not used_in_training & {data.Tag.TEST, data.Tag.VALIDATION}
  key, index = jax.random.key(0), jnp.arange(100)
  draw = data.Draw(key, index, jnp.int32(0))
  noise = methods.INPUTS["gaussian"](
    SHAPE, std=1.0, clip=False, resample="once"
  )
  batch = {"inputs": jnp.zeros((100, *SHAPE))}
  train = noise(batch, methods.Context(draw))["inputs"]
  test = jax.vmap(lambda k: jax.random.normal(k, SHAPE))(
    data.example_keys(key, data.Tag.TEST, index)
  )
  correlation = np.corrcoef(np.ravel(train), np.ravel(test))[0, 1]
  assert abs(correlation) < 5 / math.sqrt(test.size)


def test_images_are_clipped_and_series_are_not(predict, images):
  black = np.zeros_like(images)
  # Noise of one sign at every pixel is a corner of the cube if it is clipped.
  noisy = predict(black, range(6), 1.0, 1e6)["nll"]
  unbounded = predict(black, range(6), 1.0, 1e6, is_image=False)["nll"]
  assert noisy.max() < 50
  assert unbounded.max() > 1e3


def test_judging_equals_the_softmax_in_float64():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(50, 4), scale=5).astype(np.float32)
  labels = rng.integers(0, 4, 50).astype(np.int32)
  judged = evaluation.judge(logits, labels)
  likelihood = special.softmax(logits.astype(np.float64), axis=1)
  picked = likelihood[np.arange(50), labels]
  np.testing.assert_allclose(judged["nll"], -np.log(picked), rtol=1e-4)
  np.testing.assert_allclose(
    judged["confidence"], likelihood.max(axis=1), rtol=1e-5
  )
  expected = likelihood.argmax(axis=1) == labels
  np.testing.assert_array_equal(judged["hits"], expected)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_a_miss_without_confidence(broken):
  logits = np.asarray([[broken, 0, 0], [5, 0, 0]], np.float32)
  judged = jax.device_get(evaluation.judge(logits, np.zeros(2, np.int32)))
  assert judged["hits"].tolist() == [False, True]
  assert judged["confidence"][0] == 0
  assert judged["nll"][0] == np.inf
  summary = evaluation.summarise(judged)
  assert summary["accuracy"] == 0.5
  assert 0 <= summary["ece"] <= 1


def test_bursts_come_last_and_carry_their_share_and_length():
  (_, cell, _) = evaluation.grid(
    [], [], [], burst_alphas=[1], burst_rates=[0.126, 0.3]
  )
  assert cell.name == "burst(alpha=1.0, share=0.2, length=8)"
  assert cell.strength == 0.126
  # P(|x| > 0.5) = 0.126 of a Cauchy variate, inside the bursts.
  scale = 0.5 / math.tan(math.pi / 2 * (1 - 0.126))
  np.testing.assert_allclose(cell.noise, [1.0, scale, 0.2, 8.0], rtol=1e-4)


def test_bursts_corrupt_the_promised_share_of_series(predict):
  # A burst in a series of one step: the others are judged as clean ones.
  series = np.zeros((600, *SHAPE), np.float32)
  index = np.arange(600)
  clean = predict(series, index, is_image=False)["nll"]
  noise = {"alpha": 2.0, "scale": 10.0, "is_image": False}
  noisy = predict(series, index, bursts=(0.05, 1.0), **noise)["nll"]
  touched = (noisy != clean).mean()
  expected = 1 - 0.95 * (1 - 0.05 / 0.95) ** 3  # Four steps, no two in a row.
  assert touched == pytest.approx(expected, abs=0.08)
  always = predict(series, index, **noise)["nll"]
  assert (always != clean).mean() > 0.95  # All units off is no change.


def test_one_program_serves_every_cell(predict, images):
  for step in predict.steps.values():
    step.clear_cache()
  cells = evaluation.grid(
    [0.1], [0.5, 1.0], [0.1, 0.3], burst_alphas=[2.0], burst_rates=[0.3]
  )
  for cell in cells:
    alpha, scale, *bursts = cell.noise
    predict(images, range(6), alpha, scale, bursts=bursts, is_image=False)
  assert predict.steps[False]._cache_size() == 1
