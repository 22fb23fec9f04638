"""The dual projection is scikit-image's, and solves what it says it does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from jaxrobust import filters

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(2, 9, 12, 3)).astype(np.float32)


@pytest.mark.parametrize("weight", [0.02, 0.5])
@pytest.mark.parametrize("iterations", [0, 1, 40])
def test_it_is_scikit_images_with_as_many_iterations(weight, iterations):
  restoration = pytest.importorskip("skimage.restoration")
  expected = [
    restoration.denoise_tv_chambolle(
      image.astype(np.float64),
      weight,
      eps=0,
      max_num_iter=iterations + 1,
      channel_axis=-1,
    )
    for image in IMAGES
  ]
  found = filters.chambolle(IMAGES, weight, iterations=iterations)
  np.testing.assert_allclose(found, np.stack(expected), atol=2e-6)


def test_it_tends_to_the_minimum():
  image, weight = IMAGES[:1, :4, :4, :1].astype(np.float64), 0.1

  def objective(flat):
    x = flat.reshape((4, 4))
    down = np.pad(np.diff(x, axis=0), ((0, 1), (0, 0)))
    along = np.pad(np.diff(x, axis=1), ((0, 0), (0, 1)))
    variation = np.sqrt(down**2 + along**2 + 1e-12).sum()
    return 0.5 * ((x - image[0, ..., 0]) ** 2).sum() + weight * variation

  least = optimize.minimize(objective, image.ravel(), tol=1e-10).fun
  found = filters.chambolle(image, weight, iterations=2000)
  value = objective(np.asarray(found, np.float64).ravel())
  assert value == pytest.approx(least, abs=2e-5)


def test_larger_weights_are_smoother_and_zero_changes_nothing():
  def variation(weight):
    smooth = filters.chambolle(IMAGES, weight, iterations=100)
    return float(jnp.abs(jnp.diff(smooth, axis=1)).sum())

  values = [variation(weight) for weight in (0.0, 0.05, 0.2, 1.0)]
  assert values == sorted(values, reverse=True)
  np.testing.assert_array_equal(filters.chambolle(IMAGES, 0.0), IMAGES)


def test_the_mean_stays_and_the_range_nearly_so():
  smooth = filters.chambolle(IMAGES, 0.3)
  np.testing.assert_allclose(
    jnp.mean(smooth, (1, 2)), IMAGES.mean((1, 2)), atol=1e-6
  )
  assert smooth.min() > IMAGES.min() - 0.01
  assert smooth.max() < IMAGES.max() + 0.01


@pytest.mark.parametrize("weight", [0.0, 0.2])
def test_flat_images_have_finite_gradients(weight):
  flat = np.full((1, 5, 6, 1), 0.5, np.float32)
  gradient = jax.grad(
    lambda x, w: jnp.sum(filters.chambolle(x, w, iterations=8) ** 2),
    argnums=(0, 1),
  )(flat, weight)
  np.testing.assert_allclose(gradient[0], 1.0, atol=1e-6)
  assert np.isfinite(gradient[1])


def test_the_backward_pass_keeps_the_dual_of_each_iteration_alone():
  images = np.zeros((4, 16, 16, 3), np.float32)

  def bytes_kept(iterations):
    pulled = jax.jit(
      jax.grad(
        lambda x: jnp.sum(filters.chambolle(x, 0.1, iterations=iterations) ** 2)
      )
    )
    memory = pulled.lower(images).compile().memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes

  more = bytes_kept(80) - bytes_kept(40)
  assert more <= 40 * 8 * images.size * 1.1


@pytest.mark.parametrize(
  ("weight", "iterations", "message"),
  [
    (-1.0, 5, "weight=-1.0: must be finite and >= 0"),
    (0.1, -1, "iterations=-1: must be a whole number >= 0"),
    (0.1, 2.5, r"iterations=2.5"),
  ],
)
def test_other_arguments_are_refused(weight, iterations, message):
  with pytest.raises(ValueError, match=message):
    filters.chambolle(IMAGES, weight, iterations=iterations)
