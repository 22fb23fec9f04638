"""Derivatives through the smoother: averaging, or the identity."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxrobust import inverse_scale

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(2, 6, 5, 2)).astype(np.float32)
COTANGENT = RNG.normal(size=IMAGES.shape).astype(np.float32)
SMOOTH = functools.partial(inverse_scale.smooth, steps=8)


@functools.partial(jax.jit, static_argnames=("options",))
def vjp_and_jvp(images, fraction, vector, options):
  def smooth(x):
    smoothed = SMOOTH(x, fraction, **dict(options))
    return smoothed.images, smoothed.support

  images_out, pull, support = jax.vjp(smooth, images, has_aux=True)
  _, pushed, _ = jax.jvp(smooth, (images,), (vector,), has_aux=True)
  return images_out, support, pull(vector)[0], pushed


@pytest.mark.parametrize("early_stop", [False, True])
@pytest.mark.parametrize("output", ["Px", "Py", "x"])
def test_with_the_support_frozen_it_is_the_averaging(output, early_stop):
  options = (("output", output), ("early_stop", early_stop))
  _, support, pulled, pushed = vjp_and_jvp(IMAGES, 0.4, COTANGENT, options)
  labels = inverse_scale.component_labels(support)
  expected = inverse_scale.component_means(COTANGENT, labels)
  np.testing.assert_allclose(pulled, expected, atol=1e-6)
  np.testing.assert_allclose(pushed, expected, atol=1e-6)


@pytest.mark.parametrize("edges", ["color", "iso"])
def test_groups_of_edges_have_that_derivative_too(edges):
  options = (("edges", edges),)
  _, support, pulled, _ = vjp_and_jvp(IMAGES, 0.4, COTANGENT, options)
  labels = inverse_scale.component_labels(support)
  expected = inverse_scale.component_means(COTANGENT, labels)
  np.testing.assert_allclose(pulled, expected, atol=1e-6)


def test_straight_through_is_the_identity_and_the_same_images():
  straight = (("gradient", "straight_through"),)
  images, _, pulled, pushed = vjp_and_jvp(IMAGES, 0.4, COTANGENT, straight)
  np.testing.assert_array_equal(pulled, COTANGENT)
  np.testing.assert_array_equal(pushed, COTANGENT)
  frozen, *_ = vjp_and_jvp(IMAGES, 0.4, COTANGENT, ())
  np.testing.assert_array_equal(images, frozen)


def test_the_refit_has_its_numerical_derivative():
  # A support that small changes of the images leave alone.
  steps = np.float32([[0, 0, 1, 1, 0], [0, 0, 1, 1, 0]])
  images = steps.reshape((1, 2, 5, 1)) + 0.05 * IMAGES[:1, :2, :, :1]

  @jax.jit
  def smooth(x):
    return SMOOTH(x, 4 / 13, output="Py").images

  check_grads(
    smooth, (images,), 1, ("fwd", "rev"), atol=1e-2, rtol=1e-2, eps=1e-2
  )


def test_every_level_of_a_path_has_its_own_derivative():
  levels = jnp.asarray([0.2, 0.6])

  @jax.jit
  def run(images, cotangents):
    def path(x):
      smoothed = inverse_scale.path(x, levels, steps=8)
      return smoothed.images, smoothed.support

    _, pull, support = jax.vjp(path, images, has_aux=True)
    return pull(cotangents)[0], support

  cotangents = np.stack([COTANGENT, 1 - COTANGENT])
  pulled, supports = run(IMAGES, cotangents)
  expected = sum(
    inverse_scale.component_means(
      cotangent, inverse_scale.component_labels(support)
    )
    for cotangent, support in zip(cotangents, supports, strict=True)
  )
  np.testing.assert_allclose(pulled, expected, atol=1e-6)


def test_a_network_can_be_attacked_through_it():
  weights = RNG.normal(size=IMAGES[0].size).astype(np.float32)

  @jax.jit
  def loss(x):
    smoothed = SMOOTH(x, 0.5).images
    return jnp.sum(jnp.tanh(smoothed.reshape((len(x), -1)) @ weights))

  slope = jax.jit(jax.grad(loss))(IMAGES)
  assert np.isfinite(slope).all()
  assert loss(IMAGES + 0.01 * np.sign(slope)) > loss(IMAGES)
