"""Pieces are those of a graph, and averaging over them is a projection."""

import dense_inverse_scale as dense
import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from jaxrobust import inverse_scale

RNG = np.random.default_rng(0)
component_labels = jax.jit(inverse_scale.component_labels)
component_means = jax.jit(inverse_scale.component_means)
DENSITIES = np.linspace(0, 1, 21)


def random_supports(sides):
  """One support for each density, from no edge to all of them."""
  uniform = RNG.uniform(size=(len(DENSITIES), len(sides), *sides, 1))
  return uniform < DENSITIES.reshape((-1,) + (1,) * (len(sides) + 2))


def walled(path, side):
  """The support whose one piece is a path, which it bars from the rest."""
  on = np.full((side, side), -1)
  for number, place in enumerate(path):
    on[place] = number
  support = np.zeros((2, side, side), bool)
  # Joined are the pixels that follow one another, and those off the path.
  apart = (np.diff(on, axis=0) ** 2 > 1) | ((on[1:] < 0) != (on[:-1] < 0))
  support[0, :-1] = apart
  apart = (np.diff(on, axis=1) ** 2 > 1) | ((on[:, 1:] < 0) != (on[:, :-1] < 0))
  support[1, :, :-1] = apart
  return support


def snake(side):
  """Along every row, each in the other direction than the one before."""
  for row in range(side):
    columns = range(side) if row % 2 == 0 else range(side - 1, -1, -1)
    yield from ((row, column) for column in columns)


def spiral(side):
  """From a corner around and inwards."""
  seen, place, step = set(), (0, 0), (0, 1)
  for _ in range(side * side):
    yield place
    seen.add(place)
    ahead = (place[0] + step[0], place[1] + step[1])
    if ahead in seen or not (0 <= min(ahead) and max(ahead) < side):
      step = (step[1], -step[0])
      ahead = (place[0] + step[0], place[1] + step[1])
    place = ahead


@pytest.mark.parametrize("sides", [(12, 9), (1, 15), (40,)])
def test_labels_are_the_smallest_index_of_each_piece(sides):
  supports = random_supports(sides)
  expected = [dense.labels(support[..., 0]) for support in supports]
  np.testing.assert_array_equal(
    component_labels(supports)[..., 0], np.stack(expected)
  )


@pytest.mark.parametrize("course", [snake, spiral])
@pytest.mark.parametrize("turned", [False, True])
def test_a_snake_and_a_spiral_are_one_piece(course, turned):
  side = 32
  path = list(course(side))
  assert len(set(path)) == side * side
  if turned:
    path = [(side - 1 - row, side - 1 - column) for row, column in path]
  # The whole path, and its second half with the rest around it.
  supports = [walled(path, side), walled(path[side * side // 2 :], side)]
  found = component_labels(np.stack(supports)[..., None])[..., 0]
  assert not found[0].any()
  for labels, support in zip(found, supports, strict=True):
    np.testing.assert_array_equal(labels, dense.labels(support))
  assert len(np.unique(found[1])) == 2


def test_shared_and_paired_edges_cut_all_that_they_stand_for():
  shared = RNG.uniform(size=(1, 2, 6, 7, 1)) < 0.5
  np.testing.assert_array_equal(
    component_labels(shared.repeat(3, axis=-1)),
    np.asarray(component_labels(shared)).repeat(3, axis=-1),
  )
  paired = RNG.uniform(size=(1, 1, 6, 7, 2)) < 0.5
  np.testing.assert_array_equal(
    component_labels(paired.repeat(2, axis=1)), component_labels(paired)
  )


def test_means_are_the_projection_by_a_pseudoinverse():
  sides = (6, 7)
  supports = random_supports(sides)
  images = RNG.normal(size=(len(supports), *sides, 1)).astype(np.float32)
  projected = component_means(images, component_labels(supports))
  matrix = dense.matrix(sides)
  for image, support, found in zip(images, supports, projected, strict=True):
    kept = matrix[~support.ravel()]
    projection = (
      np.eye(matrix.shape[1]) - np.linalg.pinv(kept, rcond=1e-10) @ kept
    )
    expected = projection @ image.ravel()
    np.testing.assert_allclose(np.ravel(found), expected, atol=1e-6)


@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(st.integers(0, 2**31), st.floats(0, 1))
def test_averaging_is_an_orthogonal_projection(seed, density):
  rng = np.random.default_rng(seed)
  images, others = rng.normal(size=(2, 1, 6, 7, 2)).astype(np.float32)
  support = rng.uniform(size=(1, 2, 6, 7, 2)) < density
  labels = component_labels(support)
  once, other = component_means(images, labels), component_means(others, labels)
  # What is constant over pieces stays as it is, to the bit.
  np.testing.assert_array_equal(component_means(once, labels), once)
  symmetric = np.sum(other * images), np.sum(others * once)
  np.testing.assert_allclose(*symmetric, atol=1e-4)
  np.testing.assert_allclose(once.mean((1, 2)), images.mean((1, 2)), atol=1e-6)
  assert once.min() >= images.min() - 1e-6
  assert once.max() <= images.max() + 1e-6


def test_averaging_over_single_pixels_changes_nothing():
  images = RNG.normal(size=(1, 6, 7, 2)).astype(np.float32)
  labels = component_labels(np.ones((1, 2, 6, 7, 2), bool))
  np.testing.assert_array_equal(component_means(images, labels), images)


def test_a_large_piece_keeps_its_precision():
  images = 0.7 + 0.001 * RNG.normal(size=(1, 224, 224, 1)).astype(np.float32)
  labels = np.zeros(images.shape, np.int32)
  expected = images.astype(np.float64).mean()
  np.testing.assert_allclose(
    component_means(images, labels), expected, atol=2e-7
  )


def test_labels_of_other_images_are_refused():
  labels = np.zeros((1, 4, 4, 2), np.int32)
  with pytest.raises(ValueError, match="labels of shape"):
    inverse_scale.component_means(np.zeros((1, 4, 4, 3), np.float32), labels)
  with pytest.raises(ValueError, match="support of shape"):
    inverse_scale.component_labels(np.zeros((1, 3, 4, 4, 1), bool))


def test_the_derivative_of_averaging_is_averaging_however_large_the_piece():
  labels = np.zeros((1, 64, 64, 1), np.int32)
  images, cotangent = RNG.normal(size=(2, *labels.shape)).astype(np.float32)
  (pulled,) = jax.vjp(lambda x: component_means(x, labels), images)[1](
    cotangent
  )
  _, pushed = jax.jvp(
    lambda x: component_means(x, labels), (images,), (cotangent,)
  )
  np.testing.assert_allclose(pulled, cotangent.mean(), atol=1e-6)
  np.testing.assert_allclose(pushed, cotangent.mean(), atol=1e-6)
