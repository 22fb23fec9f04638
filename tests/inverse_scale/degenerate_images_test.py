"""Images that leave the smoother little to do, of all shapes."""

import functools

import dense_inverse_scale as dense
import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from jaxrobust import inverse_scale

CASES = [
  ("aniso", (1, 1, 3)),
  ("aniso", (1, 9, 1)),
  ("aniso", (5, 8, 3)),
  ("aniso", (1, 1)),
  ("aniso", (11, 2)),
  ("color", (9, 1, 2)),
  ("color", (4, 3, 3)),
  ("iso", (1, 1, 1)),
  ("iso", (4, 3, 1)),
]


@functools.cache
def compiled(edges):
  # Unoptimised: what takes long is compiling.
  level = {"xla_backend_optimization_level": 0}

  @jax.jit(compiler_options=level)
  def both(images, fraction):
    fixed = inverse_scale.smooth(images, fraction, steps=6, edges=edges)
    levels = inverse_scale.path(
      images, fraction[None], steps=6, edges=edges, output="Py"
    )
    return fixed, jax.tree.map(lambda level: level[0], levels)

  return both


@pytest.mark.parametrize(("edges", "shape"), CASES)
@hypothesis.settings(max_examples=12, deadline=None)
@hypothesis.given(
  seed=st.integers(0, 1000),
  values=st.integers(1, 4),
  fraction=st.floats(0, 1, width=32),
)
def test_any_image_is_smoothed_to_the_means_of_its_pieces(
  edges, shape, seed, values, fraction
):
  # Few values make flat images, ties and checkerboards.
  rng = np.random.default_rng(seed)
  images = rng.integers(0, values, (2, *shape)).astype(np.float32) / 4
  for smoothed in compiled(edges)(images, np.float32(fraction)):
    assert np.isfinite(smoothed.images).all()
    assert smoothed.images.shape == images.shape
    assert (
      (0 <= smoothed.reached_fraction) & (smoothed.reached_fraction <= 1)
    ).all()
    assert ((0 <= smoothed.hit_fraction) & (smoothed.hit_fraction <= 1)).all()
    means = np.mean(images, axis=tuple(range(1, images.ndim - 1)))
    found = np.mean(smoothed.images, axis=tuple(range(1, images.ndim - 1)))
    np.testing.assert_allclose(found, means, atol=1e-5)
  refit = smoothed
  planes = np.moveaxis(images, -1, 1)
  full = (2, len(shape) - 1, *shape)
  supports = np.moveaxis(np.broadcast_to(refit.support, full), -1, 1)
  for number, channel in np.ndindex(planes.shape[:2]):
    plane = planes[number, channel]
    pieces = dense.labels(supports[number, channel])
    expected = dense.means(plane.astype(np.float64), pieces)
    np.testing.assert_allclose(
      refit.images[number, ..., channel], expected, atol=1e-6
    )


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_flat_image_stays_as_it_is_and_has_no_edges(value):
  images = np.full((2, 6, 7, 3), value, np.float32)
  for smoothed in compiled("aniso")(images, np.float32(0.6)):
    np.testing.assert_array_equal(smoothed.images, images)
    assert not smoothed.support.any()
    assert (smoothed.reached_fraction == 0).all()


def test_a_flat_image_does_not_change_the_others_of_its_batch():
  images = np.random.default_rng(0).uniform(size=(2, 6, 7, 3))
  images = images.astype(np.float32)
  plain = compiled("aniso")(images, np.float32(0.6))
  images[0] = 0.5
  beside = compiled("aniso")(images, np.float32(0.6))
  for one, other in zip(plain, beside, strict=True):
    np.testing.assert_array_equal(one.images[1], other.images[1])


def test_a_checkerboard_keeps_all_of_its_equal_edges():
  board = np.indices((8, 8)).sum(axis=0) % 2
  images = board.astype(np.float32).reshape((1, 8, 8, 1))
  _, refit = compiled("aniso")(images, np.float32(0.2))
  # The cosines round, so that equal edges may differ in their last bit.
  assert refit.reached_fraction >= 0.19
  _, all_edges = compiled("aniso")(images, np.float32(1.0))
  np.testing.assert_array_equal(all_edges.images, images)
  assert all_edges.reached_fraction == 1


def test_a_batch_of_no_images_is_smoothed_to_none():
  images = np.zeros((0, 6, 7, 3), np.float32)
  for smoothed in compiled("aniso")(images, np.float32(0.6)):
    assert smoothed.images.shape == images.shape
