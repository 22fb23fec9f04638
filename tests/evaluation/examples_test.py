"""Strips of examples show the images, and their names tell cells apart."""

import itertools
import pathlib

import numpy as np
import pytest
from PIL import Image

from jaxrobust import evaluation

RNG = np.random.default_rng(0)


def saved(folder, images):
  path = evaluation.save_examples(folder, "gaussian", 0.1, None, images)
  with Image.open(path) as picture:
    return np.asarray(picture)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_first_eight_images_stand_side_by_side(tmp_path, channels):
  images = RNG.random((11, 32, 20, channels))
  strip = saved(tmp_path / "examples", images)
  # Twice the size, two pixels between.
  assert strip.shape[:2] == (64, 8 * 40 + 7 * 2)
  strip = strip.reshape(64, -1, channels).astype(float)
  for number, image in enumerate(images[:8]):
    left = number * 42
    for down, across in itertools.product((0, 1), (0, 1)):
      found = strip[down::2, left + across : left + 40 : 2]
      assert np.abs(found - 255 * image).max() <= 0.5


def test_large_images_keep_their_size(tmp_path):
  assert saved(tmp_path, RNG.random((2, 100, 70, 3))).shape == (100, 142, 3)


def test_bytes_are_taken_as_they_are(tmp_path):
  images = RNG.integers(0, 256, (1, 64, 64, 1), dtype=np.uint8)
  np.testing.assert_array_equal(saved(tmp_path, images), images[0, ..., 0])


def test_what_is_no_brightness_is_clipped(tmp_path):
  images = np.full((1, 64, 64, 1), 0.5)
  images[0, 0, :4, 0] = -np.inf, np.inf, np.nan, 7.0
  assert saved(tmp_path, images)[0, :5].tolist() == [0, 255, 0, 255, 128]


def test_a_strip_replaces_the_last_one_and_leaves_nothing_else(tmp_path):
  for value in (0.0, 1.0):
    strip = saved(tmp_path, np.full((1, 64, 64, 1), value))
  assert strip.min() == 255
  assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
  "shape", [(2, 9, 3), (2, 8, 8, 2), (0, 8, 8, 1), (2, 0, 8, 1)]
)
def test_what_is_no_image_is_refused(tmp_path, shape):
  with pytest.raises(ValueError, match=r"images of shape .*: must be \[N, H"):
    evaluation.save_examples(tmp_path, "clean", 0.0, None, np.zeros(shape))
  assert not list(tmp_path.iterdir())


def test_a_perturbation_needs_a_name():
  with pytest.raises(ValueError, match="perturbation='': must have a name"):
    evaluation.example_path("examples", "", 0.0, None)


def test_two_cells_never_share_a_name():
  cells = itertools.product(
    ("a", "a@1.0", "a/1.0", "../a", "a b", "a%20b", 'a"<>:|?*\\b', "π"),
    (0.0, 1.0, 0.1, 0.1 + 1e-16, 1e-300, float("nan")),
    (None, 0, 1, 10),
  )
  names = set()
  count = len(set(map(repr, cells_list := list(cells))))
  for cell in cells_list:
    path = evaluation.example_path("examples", *cell)
    assert path.parent == pathlib.Path("examples")
    assert not set(path.name) & set('/\\"<>:|?*')
    names.add(path.name)
  assert len(names) == count
