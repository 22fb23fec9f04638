"""A loaded model takes images as they come, and refuses what are none."""

import numpy as np
import pytest

from jaxrobust.export import Predictor

SHAPE = (4, 4, 1)


class Recorder:
  """A function from images to logits that notes what it is given."""

  def __init__(self):
    self.batches = []

  def __call__(self, images):
    self.batches.append(images)
    light = images.mean((1, 2, 3))
    return np.stack([light, 1 - light, 0 * light], axis=1)


@pytest.fixture
def function():
  return Recorder()


@pytest.fixture
def model(function):
  about = {"shape": list(SHAPE), "classes": ["a", "b", "c"], "outputs": 3}
  return Predictor(function, about)


def images(count):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def test_uint8_images_equal_their_floats(model):
  stored = images(5)
  floats = stored.astype(np.float32) / np.float32(255)
  np.testing.assert_array_equal(model.logits(stored), model.logits(floats))
  assert (model.predict(stored) == model.predict(floats)).all()


@pytest.mark.parametrize("count", [0, 1, 3, 7, 8])
def test_any_number_of_images_is_computed_in_batches_of_one_size(
  model, function, count
):
  found = model.logits(images(count), batch_size=3)
  assert found.shape == (count, 3)
  assert found.dtype == np.float32
  assert len({len(batch) for batch in function.batches}) <= 1
  np.testing.assert_allclose(
    found, Recorder()(images(count) / np.float32(255)), rtol=1e-6
  )


def test_predictions_are_the_largest_logits_and_probabilities_their_softmax(
  model,
):
  logits = model.logits(images(6)).astype(np.float64)
  labels = model.predict(images(6))
  assert labels.dtype == np.int32
  np.testing.assert_array_equal(labels, logits.argmax(1))
  odds = np.exp(logits)
  np.testing.assert_allclose(
    model.probabilities(images(6)), odds / odds.sum(1, keepdims=True), 1e-6
  )


def test_a_regression_predicts_its_targets(function):
  about = {"shape": list(SHAPE), "classes": [], "outputs": 3}
  model = Predictor(function, about)
  np.testing.assert_array_equal(
    model.predict(images(2)), model.logits(images(2))
  )
  with pytest.raises(ValueError, match="a regression has no classes"):
    model.probabilities(images(2))


@pytest.mark.parametrize(
  ("wrong", "message"),
  [
    (images(2)[0], r"images of shape \(4, 4, 1\): must be \[N, 4, 4, 1\]"),
    (images(2)[..., 0], r"must be \[N, 4, 4, 1\]"),
    (images(2).astype(np.int32), "images of dtype int32: must be uint8 or"),
    (images(2).astype(np.float32), r"floats must lie in \[0, 1\]"),
    (images(2) / 255 - 0.5, r"floats must lie in \[0, 1\]"),
    (np.full((1, *SHAPE), np.nan), "NaN"),
  ],
)
def test_other_arrays_are_refused_in_one_line(model, wrong, message):
  with pytest.raises(ValueError, match=message) as caught:
    model.predict(wrong)
  assert "\n" not in str(caught.value)


def test_a_batch_has_at_least_one_image(model):
  with pytest.raises(ValueError, match="batch_size=0: must be at least 1"):
    model.predict(images(2), batch_size=0)
