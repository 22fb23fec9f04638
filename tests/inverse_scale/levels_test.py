"""The level follows the noise, estimated or measured."""

import functools

import dense_inverse_scale as dense
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import inverse_scale

RNG = np.random.default_rng(0)
estimate_noise = jax.jit(inverse_scale.estimate_noise)


@pytest.mark.parametrize("shape", [(64, 64, 3), (400, 2), (1, 600, 1)])
def test_the_noise_of_a_ramp_is_estimated_per_image(shape):
  stds = np.float32([0.0, 0.05, 0.2])
  ramp = np.linspace(0, 1, max(shape[:-1]), dtype=np.float32)
  ramp = (
    ramp.reshape((-1, 1))
    if shape[0] > 1 and len(shape) == 2
    else (ramp.reshape((1, -1, 1)))
  )
  noise = RNG.normal(size=(3, *shape)).astype(np.float32)
  images = ramp + stds.reshape((3,) + (1,) * len(shape)) * noise
  np.testing.assert_allclose(estimate_noise(images), stds, rtol=0.15, atol=1e-6)


def test_edges_along_the_axes_are_not_noise():
  images = np.zeros((1, 16, 16, 1), np.float32)
  images[:, :, 5:] = 1
  images[:, 9:] += 0.5
  assert estimate_noise(images) == 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 1, 1), (1, 1), (2, 1)])
def test_what_is_too_short_has_no_noise(shape):
  images = RNG.uniform(size=(2, *shape)).astype(np.float32)
  np.testing.assert_array_equal(estimate_noise(images), [0, 0])


def test_levels_are_the_measured_ones_and_stay_at_the_ends():
  stds = jnp.asarray([0.0, 0.04, 0.08, 0.12, 0.2, 1.0])
  small = inverse_scale.levels_for(stds)
  np.testing.assert_allclose(
    small, [0.6, 0.6, 0.5, 0.45, 0.35, 0.35], rtol=1e-6
  )
  large = inverse_scale.levels_for(stds, side=224)
  np.testing.assert_allclose(
    large, [0.575, 0.575, 0.5, 0.475, 0.45, 0.45], rtol=1e-6
  )
  middle = inverse_scale.levels_for(0.2, side=85)
  assert small[-1] < middle < large[-1]
  with pytest.raises(ValueError, match="side=0: must be a whole number"):
    inverse_scale.levels_for(0.1, side=0)


def test_more_noise_is_best_smoothed_to_fewer_edges():
  clean = dense.photographs(8, 16)
  noise = RNG.normal(size=clean.shape).astype(np.float32)
  levels = np.float32([0.2, 0.4, 0.6, 0.8, 1.0])
  measure = jax.jit(
    functools.partial(inverse_scale.reconstruction_errors, steps=40)
  )
  best = []
  for std in (0.0, 0.05, 0.2):
    errors = measure(clean + std * noise, clean, levels)
    assert errors.shape == (5, 8)
    best.append(levels[np.mean(errors, axis=1).argmin()])
  assert best[0] > best[1] > best[2]


def test_errors_are_those_of_the_path():
  clean = dense.photographs(2, 8)
  noisy = clean + np.float32(0.1)
  errors = inverse_scale.reconstruction_errors(
    noisy, clean, (0.3, 0.7), output="Py", steps=5
  )
  smoothed = inverse_scale.path(noisy, (0.3, 0.7), output="Py", steps=5).images
  expected = np.mean((np.asarray(smoothed) - clean) ** 2, axis=(2, 3, 4))
  np.testing.assert_allclose(errors, expected, rtol=1e-5)
  with pytest.raises(ValueError, match="clean of shape"):
    inverse_scale.reconstruction_errors(noisy, clean[:1], (0.3,))
