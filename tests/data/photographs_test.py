"""Photographs are read as they are: size, colour, turn and depth."""

import numpy as np
import pytest
from PIL import Image

from jaxrobust import data
from jaxrobust.data.photographs import photographs

RNG = np.random.default_rng(0)


def test_sizes_and_channels_are_those_of_the_files(tmp_path):
  colour = RNG.integers(0, 256, (4, 7, 3), dtype=np.uint8)
  grey = RNG.integers(0, 256, (3, 2), dtype=np.uint8)
  Image.fromarray(colour).save(tmp_path / "b.png")
  Image.fromarray(grey).save(tmp_path / "a.png")
  first, second = photographs(str(tmp_path))
  assert (first.name, second.name) == ("a", "b")
  np.testing.assert_array_equal(first.pixels, grey[..., None])
  np.testing.assert_array_equal(second.pixels, colour)
  assert second.shrunk_from is None


def test_sixteen_bits_transparency_and_palettes_become_what_is_seen(tmp_path):
  deep = np.uint16([[0, 65535], [32768, 256]])
  Image.fromarray(deep).save(tmp_path / "deep.png")
  clear = np.full((2, 2, 4), 200, np.uint8)
  Image.fromarray(clear).save(tmp_path / "clear.png")
  Image.fromarray(clear[..., :3]).convert("P").save(tmp_path / "palette.png")
  found = {name: pixels for name, pixels, _ in photographs(str(tmp_path))}
  np.testing.assert_array_equal(found["deep"][..., 0], [[0, 255], [128, 1]])
  assert found["clear"].shape == found["palette"].shape == (2, 2, 3)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6  # Turn by 90 degrees.
  Image.fromarray(np.zeros((2, 5), np.uint8)).save(
    tmp_path / "turned.jpg", exif=exif
  )
  (found,) = photographs(str(tmp_path))
  assert found.pixels.shape == (5, 2, 1)


def test_large_ones_are_made_smaller_in_proportion(tmp_path):
  flat = np.full((10, 30, 3), 77, np.uint8)
  Image.fromarray(flat).save(tmp_path / "wide.png")
  (found,) = photographs(str(tmp_path), max_side=12)
  assert found.shrunk_from == (10, 30)
  np.testing.assert_array_equal(found.pixels, np.full((4, 12, 3), 77))


def test_a_folder_that_is_absent_is_an_error_of_data():
  with pytest.raises(data.DataError, match="is no folder of images"):
    next(photographs("/nosuch"))
