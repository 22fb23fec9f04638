"""The median filter is scipy's, and its derivative the chosen pixel's."""

import itertools

import jax
import numpy as np
import pytest
from scipy import ndimage

from jaxrobust import filters
from jaxrobust.filters.median import _exchanges

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(2, 9, 12, 3)).astype(np.float32)


@pytest.mark.parametrize(
  ("size", "shape"),
  [
    (1, IMAGES.shape),
    (3, IMAGES.shape),
    (5, IMAGES.shape),
    (5, (1, 1, 9, 1)),
    (5, (1, 2, 1, 1)),
  ],
)
def test_the_median_is_scipys_to_the_bit(size, shape):
  images = IMAGES.reshape(-1)[: np.prod(shape)].reshape(shape)
  expected = ndimage.median_filter(
    images, size=size, mode="reflect", axes=(1, 2)
  )
  np.testing.assert_array_equal(filters.median(images, size), expected)


def test_the_exchanges_bring_the_median_of_any_zeros_and_ones_to_the_middle():
  # By the 0-1 principle that is all that has to be shown of a network.
  values = np.asarray(list(itertools.product((0, 1), repeat=9))).T
  expected = np.median(values, axis=0)
  for low, high in _exchanges(9):
    values[[low, high]] = np.sort(values[[low, high]], axis=0)
  np.testing.assert_array_equal(values[4], expected)


@pytest.mark.parametrize("number", [25, 49])
def test_larger_networks_find_medians_too(number):
  # Binary values of every number of ones, in random places.
  ones = RNG.integers(0, number + 1, 20_000)
  places = RNG.permuted(np.tile(np.arange(number), (len(ones), 1)), axis=1)
  values = (places < ones[:, None]).astype(int).T
  expected = np.median(values, axis=0)
  for low, high in _exchanges(number):
    values[[low, high]] = np.sort(values[[low, high]], axis=0)
  np.testing.assert_array_equal(values[number // 2], expected)


def test_the_gradient_goes_to_the_pixel_that_is_the_median():
  cotangent = RNG.normal(size=IMAGES.shape).astype(np.float32)
  _, pullback = jax.vjp(lambda x: filters.median(x, 3), IMAGES)
  (found,) = pullback(cotangent)
  expected = np.zeros(IMAGES.shape)
  height, width = IMAGES.shape[1:3]
  for n, i, j, c in np.ndindex(IMAGES.shape):
    # Of the window's places as they are in the image, mirrored: the middle.
    window = [
      (min(max(k, 0), height - 1), min(max(m, 0), width - 1))
      for k in range(i - 1, i + 2)
      for m in range(j - 1, j + 2)
    ]
    window.sort(key=lambda place: IMAGES[n, *place, c])
    expected[n, *window[4], c] += cotangent[n, i, j, c]
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pixels_that_tie_share_the_gradient():
  flat = np.full((1, 6, 6, 1), 0.5, np.float32)
  _, pullback = jax.vjp(lambda x: filters.median(x, 3), flat)
  (found,) = pullback(np.ones_like(flat))
  np.testing.assert_allclose(found[0, 1:-1, 1:-1], 1, atol=1e-6)
  np.testing.assert_allclose(found.sum(), flat.size, rtol=1e-6)


@pytest.mark.parametrize("size", [0, 2, 2.5, -3])
def test_windows_without_a_middle_are_refused(size):
  with pytest.raises(ValueError, match=f"size={size}: must be an odd whole"):
    filters.median(IMAGES, size)
