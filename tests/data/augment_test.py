"""Augmentation against a loop in numpy, image by image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust.data import as_float, random_crop, random_flip

KEYS = jax.random.split(jax.random.key(0), 64)
IMAGES = np.random.default_rng(0).integers(1, 256, (64, 5, 7, 2), np.uint8)


def test_bytes_become_fractions_of_255_and_floats_stay():
  every = np.arange(256, dtype=np.uint8)
  fractions = np.asarray(as_float(every))
  np.testing.assert_array_max_ulp(fractions, every / np.float32(255))
  assert fractions[-1] == 1
  floats = np.linspace(-3, 3, 7, dtype=np.float32)
  np.testing.assert_array_equal(as_float(floats), floats)
  assert as_float(every).dtype == as_float(floats).dtype == jnp.float32


def test_other_dtypes_are_refused():
  with pytest.raises(ValueError, match="int32; allowed: uint8, float32"):
    as_float(np.arange(3, dtype=np.int32))


def test_a_crop_is_a_window_of_the_padded_image():
  padding = 2
  cropped = np.asarray(jax.jit(random_crop, static_argnums=2)(KEYS, IMAGES, 2))
  corners = set()
  for key, image, crop in zip(KEYS, IMAGES, cropped, strict=True):
    top, left = np.asarray(jax.random.bits(key, (2,))) % (2 * padding + 1)
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    np.testing.assert_array_equal(crop, padded[top : top + 5, left : left + 7])
    corners.add((int(top), int(left)))
  # 64 draws of 25 corners miss some, but not most.
  assert len(corners) > 18


def test_no_padding_leaves_images_alone():
  np.testing.assert_array_equal(random_crop(KEYS, IMAGES, 0), IMAGES)


def test_a_flip_mirrors_whole_images_about_half_the_time():
  flipped = np.asarray(random_flip(KEYS, IMAGES))
  mirrored = 0
  for image, result in zip(IMAGES, flipped, strict=True):
    if np.array_equal(result, image[:, ::-1]):
      mirrored += 1
    else:
      np.testing.assert_array_equal(result, image)
  assert 18 < mirrored < 46


def test_what_an_image_gets_depends_on_its_key_alone():
  order = np.random.default_rng(1).permutation(64)
  for function in (lambda k, x: random_crop(k, x, 2), random_flip):
    together = np.asarray(function(KEYS, IMAGES))
    permuted = np.asarray(function(KEYS[order], IMAGES[order]))
    np.testing.assert_array_equal(permuted, together[order])


def test_wrong_arguments_are_refused():
  with pytest.raises(ValueError, match="padding is -1"):
    random_crop(KEYS, IMAGES, -1)
  with pytest.raises(ValueError, match="images has shape"):
    random_flip(KEYS, IMAGES[0])
