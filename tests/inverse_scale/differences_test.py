"""Differences, their adjoint and the screened Poisson equation are matrices."""

import dense_inverse_scale as dense
import jax
import numpy as np
import pytest

from jaxrobust import inverse_scale

RNG = np.random.default_rng(0)
SIDES = [(4, 5), (5, 1), (1, 6), (1, 1), (7,)]


@pytest.mark.parametrize("sides", SIDES)
def test_differences_and_adjoint_are_a_matrix_and_its_transpose(sides):
  images = RNG.normal(size=(2, *sides, 3)).astype(np.float32)
  edges = RNG.normal(size=(2, len(sides), *sides, 3)).astype(np.float32)
  matrix = dense.matrix(sides)
  flat = images.reshape((2, -1, 3))
  expected = np.einsum("ep,npc->nec", matrix, flat).reshape(edges.shape)
  np.testing.assert_allclose(
    inverse_scale.differences(images), expected, atol=1e-6
  )
  expected = np.einsum("ep,nec->npc", matrix, edges.reshape((2, -1, 3)))
  np.testing.assert_allclose(
    inverse_scale.differences_adjoint(edges),
    expected.reshape(images.shape),
    atol=1e-6,
  )


@pytest.mark.parametrize("sides", SIDES)
def test_the_squared_norm_is_the_largest_squared_singular_value(sides):
  largest = np.linalg.norm(dense.matrix(sides), 2) ** 2
  np.testing.assert_allclose(
    inverse_scale.squared_norm(sides), largest, atol=1e-12
  )


@pytest.mark.parametrize(
  ("edges", "count"),
  [("aniso", 3 * (4 * 4 + 3 * 5)), ("color", 31), ("iso", 3 * 19)],
)
def test_edges_are_counted_without_the_padding(edges, count):
  assert inverse_scale.edge_count((4, 5, 3), edges) == count
  every = np.abs(inverse_scale.differences(RNG.normal(size=(1, 4, 5, 3))))
  axis = {"aniso": (), "color": -1, "iso": 1}[edges]
  grouped = every.sum(axis=axis, keepdims=True) > 0
  assert grouped.sum() == count
  assert inverse_scale.support_fraction(grouped) == 1


# The last two have an axis that is long enough to be folded.
@pytest.mark.parametrize("sides", [*SIDES, (3, 192), (194, 2)])
@pytest.mark.parametrize("nu", [0.1, 3.0])
def test_the_screened_poisson_equation_is_solved(sides, nu):
  images = RNG.normal(size=(2, *sides, 2)).astype(np.float32)
  matrix = dense.matrix(sides)
  system = np.eye(matrix.shape[1]) + matrix.T @ matrix / nu
  inverse = np.linalg.inv(system)
  expected = np.einsum("pq,nqc->npc", inverse, images.reshape((2, -1, 2)))
  np.testing.assert_allclose(
    inverse_scale.screened_poisson(images, nu),
    expected.reshape(images.shape),
    atol=2e-6,
  )


def test_a_screening_may_be_traced():
  images = RNG.normal(size=(1, 4, 5, 1)).astype(np.float32)
  np.testing.assert_allclose(
    jax.jit(inverse_scale.screened_poisson)(images, 0.3),
    inverse_scale.screened_poisson(images, 0.3),
    atol=1e-6,
  )


@pytest.mark.parametrize(
  ("images", "named"),
  [
    (np.zeros((4, 4), np.float32), "shape (4, 4)"),
    (np.zeros((1, 0, 4, 1), np.float32), "shape (1, 0, 4, 1)"),
    (np.zeros((1, 4, 4, 1), np.uint8), "type uint8"),
  ],
)
def test_what_is_no_image_is_refused_by_name(images, named):
  with pytest.raises(ValueError, match="images of") as error:
    inverse_scale.differences(images)
  assert named in str(error.value)
  assert "\n" not in str(error.value)


def test_edges_of_another_shape_are_refused():
  with pytest.raises(ValueError, match="edges of shape"):
    inverse_scale.differences_adjoint(np.zeros((1, 3, 4, 4, 1), np.float32))
  with pytest.raises(ValueError, match="must not be grouped"):
    inverse_scale.differences_adjoint(np.zeros((1, 1, 4, 4, 1), np.float32))
