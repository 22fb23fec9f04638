"""Distances to the boundaries of a linear head: exact, guarded, and slim."""

import math

import class_loops
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import centroids

RNG = np.random.default_rng(0)
CLASSES, WIDTH, POINTS = 6, 4, 12
POINT = (2 * RNG.normal(size=(POINTS, WIDTH))).astype(np.float32)
OWN = np.arange(POINTS) % CLASSES
KERNEL = RNG.normal(size=(WIDTH, CLASSES)).astype(np.float32)
BIAS = RNG.normal(size=CLASSES).astype(np.float32)

signed = jax.jit(centroids.signed_distances)
nearest = jax.jit(centroids.nearest_boundary)


@jax.jit
def slopes(point, own, kernel, bias):
  """The gradients of the sum of finite distances."""

  def total(point, kernel, bias):
    distance, _ = centroids.nearest_boundary(point, own, kernel, bias)
    return jnp.sum(jnp.where(jnp.isposinf(distance), 0.0, distance))

  return jax.grad(total, (0, 1, 2))(point, kernel, bias)


def loop(point, own, kernel, bias):
  """Every distance, in float64, infinite where there is no boundary."""
  return np.asarray(
    [
      [
        math.inf if j == c else class_loops.distance(x, c, j, kernel, bias)
        for j in range(kernel.shape[1])
      ]
      for x, c in zip(point, own, strict=True)
    ]
  )


def test_every_distance_is_that_of_a_loop():
  expected = loop(POINT, OWN, KERNEL, BIAS)
  found = signed(POINT, OWN, KERNEL, BIAS)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_nearest_is_the_least_of_a_loop():
  distance, missing = nearest(POINT, OWN, KERNEL, BIAS)
  expected = loop(POINT, OWN, KERNEL, BIAS).min(axis=1)
  np.testing.assert_allclose(distance, expected, rtol=2e-6, atol=1e-6)
  assert not missing.any()


def test_the_foot_of_the_perpendicular_is_on_the_boundary():
  distances = np.asarray(signed(POINT, OWN, KERNEL, BIAS), float)
  for x, c, row in zip(POINT, OWN, distances, strict=True):
    for j in set(range(CLASSES)) - {c}:
      across = (KERNEL[:, c] - KERNEL[:, j]).astype(float)
      foot = x - row[j] * across / np.linalg.norm(across)
      scores = foot @ KERNEL.astype(float) + BIAS
      assert scores[c] == pytest.approx(scores[j], abs=2e-5)


def test_a_distance_is_positive_where_the_head_prefers_the_own_class():
  distance, _ = nearest(POINT, OWN, KERNEL, BIAS)
  right = (POINT @ KERNEL + BIAS).argmax(axis=1) == OWN
  assert right.any()
  assert not right.all()
  np.testing.assert_array_equal(distance > 0, right)


@pytest.mark.parametrize(
  ("kernel", "bias"),
  [
    pytest.param(3e-3 * KERNEL, 3e-3 * BIAS, id="a small head"),
    pytest.param(7e3 * KERNEL, 7e3 * BIAS, id="a large head"),
    pytest.param(KERNEL + POINT[0][:, None], BIAS, id="a shift of every w"),
    pytest.param(KERNEL, BIAS + np.float32(9), id="a shift of every b"),
  ],
)
def test_what_leaves_the_decisions_leaves_the_distances(kernel, bias):
  for function in (signed, lambda *x: nearest(*x)[0]):
    np.testing.assert_allclose(
      function(POINT, OWN, kernel, bias),
      function(POINT, OWN, KERNEL, BIAS),
      rtol=1e-5,
      atol=5e-6,
    )


def test_a_large_shift_of_every_w_costs_no_precision():
  # Sums with multiples of 2^-10 are exact.
  kernel = np.round(KERNEL * 1024) / np.float32(1024)
  shifted = kernel + np.float32([[64], [-64], [32], [0]])
  expected = loop(POINT, OWN, kernel, BIAS)
  found = signed(POINT, OWN, shifted, BIAS)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_gradients_are_the_central_differences_of_the_loop(place):
  arguments = [POINT, KERNEL, BIAS]

  def total(x):
    point, kernel, bias = (*arguments[:place], x, *arguments[place + 1 :])
    return loop(point, OWN, kernel, bias).min(axis=1).sum()

  expected = class_loops.central_differences(total, arguments[place])
  found = slopes(POINT, OWN, KERNEL, BIAS)[place]
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def with_gap(gap):
  """A head whose first two w have length 1 and differ by so much."""
  kernel = KERNEL / np.linalg.norm(KERNEL, axis=0)
  aside = np.cross(kernel[:3, 0], [0, 0, 1])
  kernel[:3, 1] = kernel[:3, 0] + gap * aside / np.linalg.norm(aside)
  kernel[3, 1] = kernel[3, 0]
  # Its boundary is by far the nearest.
  return kernel.astype(np.float32), np.asarray([0, 1, 0, 0, 0, 0], np.float32)


@pytest.mark.parametrize("gap", [0.1, 0.01, 0.002])
def test_the_nearest_is_exact_where_two_rows_are_nearly_equal(gap):
  kernel, bias = with_gap(gap)
  distance, missing = nearest(POINT, OWN, kernel, bias)
  expected = loop(POINT, OWN, kernel, bias).min(axis=1)
  np.testing.assert_allclose(distance[0], expected[0], rtol=1e-5)
  assert not missing.any()


def test_the_gradient_grows_with_the_squared_gap_of_nearly_equal_rows():
  sizes = []
  for gap in (0.1, 0.01):
    kernel, bias = with_gap(gap)
    _, slope, _ = slopes(0 * POINT, 0 * OWN, kernel, bias)
    sizes.append(np.linalg.norm(slope))
  assert sizes[1] / sizes[0] == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize("gap", [0.0, 1e-5, 1e-4])
def test_rows_that_are_equal_up_to_rounding_have_no_boundary(gap):
  kernel, bias = with_gap(gap)
  found = np.asarray(signed(POINT, OWN, kernel, bias))
  distance, missing = nearest(POINT, OWN, kernel, bias)
  expected = loop(POINT, OWN, kernel, bias)
  expected[OWN == 0, 1] = expected[OWN == 1, 0] = np.inf
  np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
  np.testing.assert_allclose(distance, expected.min(axis=1), rtol=1e-5)
  np.testing.assert_array_equal(missing, OWN < 2)
  assert all(np.isfinite(x).all() for x in slopes(POINT, OWN, kernel, bias))


def test_a_head_of_zeros_has_no_boundaries_and_no_gradient():
  distance, missing = nearest(POINT, OWN, 0 * KERNEL, BIAS)
  assert np.isposinf(distance).all()
  assert (missing == CLASSES - 1).all()
  assert not any(x.any() for x in slopes(POINT, OWN, 0 * KERNEL, BIAS))


def test_one_class_has_no_boundaries():
  distance, missing = centroids.nearest_boundary(
    POINT, 0 * OWN, KERNEL[:, :1], BIAS[:1]
  )
  assert np.isposinf(distance).all()
  assert not missing.any()


def test_of_two_boundaries_at_the_same_distance_the_first_counts():
  kernel = np.asarray([[1.0, -1.0, 1.0], [1.0, 1.0, -1.0]], np.float32)
  point, own = np.asarray([[1.0, 1.0]], np.float32), np.asarray([0])
  np.testing.assert_array_equal(
    signed(point, own, kernel, np.zeros(3, np.float32)), [[np.inf, 1, 1]]
  )
  slope, *_ = slopes(point, own, kernel, np.zeros(3, np.float32))
  np.testing.assert_allclose(slope, [[1, 0]], atol=1e-7)


def spoilt(array, place):
  changed = np.array(array)
  changed[place] = np.nan
  return changed


@pytest.mark.parametrize(
  ("point", "kernel"),
  [
    (spoilt(POINT, 0), KERNEL),
    (POINT, spoilt(KERNEL, (0, 0))),
  ],
)
def test_what_is_not_a_number_is_not_taken_for_equal_rows(point, kernel):
  distance, missing = nearest(point, OWN, kernel, BIAS)
  assert np.isnan(distance[0])
  assert not missing.any()


def test_no_array_is_classes_by_classes_by_width():
  classes, width = 40, 32

  def total(point, kernel, bias):
    own = jnp.arange(classes)
    return centroids.nearest_boundary(point, own, kernel, bias)[0].sum()

  jaxpr = jax.make_jaxpr(jax.grad(total, (0, 1, 2)))(
    jnp.ones((classes, width)), jnp.ones((width, classes)), jnp.ones(classes)
  )
  assert max(sizes_within(jaxpr.jaxpr)) <= classes * classes


def sizes_within(jaxpr):
  for equation in jaxpr.eqns:
    yield from (variable.aval.size for variable in equation.outvars)
    for parameter in equation.params.values():
      inner = getattr(parameter, "jaxpr", parameter)
      if hasattr(inner, "eqns"):
        yield from sizes_within(inner)
