"""Blur and low-pass are scipy's and numpy's, and keep means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxrobust import filters

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(2, 9, 12, 3)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.4, 1.3, 6.0])
def test_the_blur_is_scipys(sigma):
  expected = ndimage.gaussian_filter(
    IMAGES.astype(np.float64), sigma, mode="reflect", axes=(1, 2)
  )
  found = filters.gaussian_blur(IMAGES, sigma)
  np.testing.assert_allclose(found, expected, atol=2e-6)


def test_a_traced_blur_is_that_of_its_sigma():
  found = jax.jit(lambda s: filters.gaussian_blur(IMAGES, s, radius=5))(1.7)
  expected = ndimage.gaussian_filter(
    IMAGES.astype(np.float64), 1.7, radius=5, mode="reflect", axes=(1, 2)
  )
  np.testing.assert_allclose(found, expected, atol=2e-6)
  with pytest.raises(ValueError, match="radius=None: must be given"):
    jax.jit(lambda s: filters.gaussian_blur(IMAGES, s))(1.7)


@pytest.mark.parametrize("cutoff", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("odd", [False, True])
def test_the_low_pass_is_that_of_a_loop_over_frequencies(cutoff, odd):
  images = IMAGES[:, odd:, odd:]
  height, width = images.shape[1:3]
  spectrum = np.fft.fft2(images.astype(np.float64), axes=(1, 2))
  for u in range(height):
    for v in range(width):
      down, along = min(u, height - u) / height, min(v, width - v) / width
      if 4 * (down**2 + along**2) > cutoff**2 + 1e-6:
        spectrum[:, u, v] = 0
  expected = np.fft.ifft2(spectrum, axes=(1, 2)).real
  found = filters.low_pass(images, cutoff)
  np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize(
  ("name", "strength"), [("gaussian_blur", 2.0), ("low_pass", 0.3)]
)
def test_means_and_flat_images_stay_as_they_are(name, strength):
  smoother = getattr(filters, name)
  found = smoother(IMAGES, strength)
  np.testing.assert_allclose(
    jnp.mean(found, (1, 2)), IMAGES.mean((1, 2)), atol=1e-6
  )
  flat = np.full((1, 5, 1, 2), 0.7, np.float32)
  np.testing.assert_allclose(smoother(flat, strength), flat, atol=1e-6)


@pytest.mark.parametrize(
  ("name", "strength", "message"),
  [
    ("gaussian_blur", 0.0, "sigma=0.0: must be positive and finite"),
    ("gaussian_blur", np.inf, "sigma=inf"),
    ("low_pass", 0.0, r"cutoff=0.0: must lie in \(0, 1\]"),
    ("low_pass", 1.5, "cutoff=1.5"),
  ],
)
def test_strengths_out_of_range_are_refused(name, strength, message):
  with pytest.raises(ValueError, match=message):
    getattr(filters, name)(IMAGES, strength)


@pytest.mark.parametrize(
  "images",
  [IMAGES[0], IMAGES[:, :0], np.zeros((1, 4, 4, 1), np.uint8)],
  ids=["series", "empty", "uint8"],
)
@pytest.mark.parametrize(
  ("name", "strength"),
  [
    ("gaussian_blur", 1.0),
    ("low_pass", 0.5),
    ("median", 3),
    ("chambolle", 0.1),
  ],
)
def test_what_is_no_images_is_refused_in_one_line(images, name, strength):
  with pytest.raises(ValueError, match="images of") as error:
    getattr(filters, name)(images, strength)
  assert "\n" not in str(error.value)
