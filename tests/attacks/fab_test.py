"""FAB's projections are exact, and it finds the nearest wrong answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import CLASSES, WEIGHTS, classes_of, images, linear, net
from scipy import optimize

from jaxrobust import attacks
from jaxrobust.attacks.fab import to_plane

COUNT = 40
IMAGES = images(COUNT)
RNG = np.random.default_rng(1)


def shortest(normal, offset, x, norm):
  """The length of the shortest step to the plane in the box; None if none."""
  size = len(normal)
  if norm == "linf":
    # Variables d and r: minimise r with |d_i| <= r.
    below = np.block(
      [
        [np.eye(size), -np.ones((size, 1))],
        [-np.eye(size), -np.ones((size, 1))],
      ]
    )
    found = optimize.linprog(
      np.append(np.zeros(size), 1.0),
      A_ub=below,
      b_ub=np.zeros(2 * size),
      A_eq=np.append(normal, 0.0)[None],
      b_eq=[offset],
      bounds=[*zip(-x, 1 - x, strict=True), (0, None)],
    )
    return found.fun if found.success else None
  found = optimize.lsq_linear(
    # A heavy equation beside the length of the step.
    np.vstack([np.eye(size), 1e4 * normal]),
    np.append(np.zeros(size), 1e4 * offset),
    bounds=(-x - 1e-12, 1 - x + 1e-12),
  )
  reached = abs(normal @ found.x - offset) < 1e-3
  return np.linalg.norm(found.x) if reached else None


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_step_to_a_plane_is_the_shortest_within_the_bounds(norm):
  size, count = 12, 24
  normals = RNG.normal(size=(count, size))
  normals[:, :3] = 0
  normals *= np.geomspace(1e-6, 1e6, count)[:, None]
  x = RNG.uniform(size=(count, size))
  offsets = (normals * RNG.uniform(-0.6, 0.6, (count, size))).sum(axis=1)
  steps = np.asarray(
    to_plane(
      jnp.asarray(normals, jnp.float32),
      jnp.asarray(offsets, jnp.float32),
      jnp.asarray(x, jnp.float32),
      norm=norm,
    ),
    np.float64,
  )
  assert (x + steps).min() > -1e-6
  assert (x + steps).max() < 1 + 1e-6
  lengths = (
    np.abs(steps).max(axis=1)
    if norm == "linf"
    else np.linalg.norm(steps, axis=1)
  )
  reachable = 0
  for number in range(count):
    scale = np.abs(normals[number]).max()
    wanted = shortest(
      normals[number] / scale, offsets[number] / scale, x[number], norm
    )
    if wanted is None:
      continue
    reachable += 1
    reached = normals[number] @ steps[number] / scale
    assert reached == pytest.approx(offsets[number] / scale, abs=2e-5)
    assert lengths[number] == pytest.approx(wanted, rel=1e-3, abs=1e-4)
  assert reachable > count // 2


def test_a_plane_out_of_reach_is_approached_at_the_corner():
  x = jnp.asarray([[0.25, 0.75]])
  step = to_plane(jnp.asarray([[1.0, -1.0]]), jnp.asarray([9.0]), x)
  np.testing.assert_allclose(x + step, [[1.0, 0.0]])
  step = to_plane(jnp.zeros((1, 2)), jnp.asarray([1.0]), x)
  np.testing.assert_array_equal(step, 0.0)


def exact_distances(labels, norm):
  """To the nearest boundary of a linear network, the box aside."""
  flat = IMAGES.reshape((COUNT, -1)).astype(np.float64)
  logits = flat @ WEIGHTS
  distances = np.full((COUNT, CLASSES), np.inf)
  for rival in range(CLASSES):
    normal = WEIGHTS[:, rival] - WEIGHTS.T[labels]
    gap = logits[np.arange(COUNT), labels] - logits[:, rival]
    dual = (
      np.abs(normal).sum(1) if norm == "linf" else np.sqrt((normal**2).sum(1))
    )
    other = rival != labels
    distances[other, rival] = gap[other] / dual[other]
  return distances.min(axis=1), distances.argmin(axis=1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_linear_network_has_its_exact_distances(norm):
  # Without bounds, which the closed form does not know.
  labels = classes_of(linear, IMAGES)
  exact, targets = exact_distances(labels, norm)
  found = jax.jit(
    lambda x: attacks.fab(
      linear, x, labels, targets, steps=60, norm=norm, low=-9.0, high=9.0
    )
  )(IMAGES)
  assert (classes_of(linear, found.nearest) != labels).all()
  offset = (np.asarray(found.nearest, np.float64) - IMAGES).reshape((COUNT, -1))
  size = (
    np.abs(offset).max(1) if norm == "linf" else np.linalg.norm(offset, axis=1)
  )
  np.testing.assert_allclose(found.distance, size, rtol=1e-4)
  assert (size >= exact * (1 - 1e-4)).all()
  assert np.median(size / exact) < 1.02


def test_it_finds_nearer_images_than_the_radius_of_a_gradient_attack():
  labels = classes_of(net, IMAGES)
  keys = jax.random.split(jax.random.key(0), COUNT)
  eps = 0.08
  fallen = np.zeros(COUNT, bool)
  for rank in range(CLASSES - 1):
    targets = attacks.likeliest(net(IMAGES), labels, CLASSES - 1)[:, rank]
    found = attacks.fab(net, IMAGES, labels, targets, steps=40)
    inside = np.isfinite(found.distance)
    wrong = classes_of(net, found.nearest) != labels
    np.testing.assert_array_equal(inside, wrong)
    assert found.nearest.min() >= 0
    assert found.nearest.max() <= 1
    fallen |= np.asarray(found.distance) <= eps
  x = attacks.pgd(keys, net, IMAGES, labels, eps=eps, loss="margin", restarts=3)
  broken = classes_of(net, x) != labels
  assert 0.1 < broken.mean() < 0.9
  assert abs(fallen.mean() - broken.mean()) <= 0.05


def test_a_wrong_answer_is_its_own_nearest():
  labels = (classes_of(net, IMAGES) + 1) % CLASSES
  found = attacks.fab(net, IMAGES, labels, (labels + 1) % CLASSES, steps=3)
  np.testing.assert_array_equal(found.nearest, IMAGES)
  np.testing.assert_array_equal(found.distance, 0.0)


def test_a_wrong_parameter_is_named_in_one_line():
  labels = classes_of(net, IMAGES)
  with pytest.raises(ValueError, match="steps=0: must be at least 1"):
    attacks.fab(net, IMAGES, labels, labels, steps=0)
  with pytest.raises(ValueError, match=r"low=1.0, high=0.0: low must"):
    attacks.fab(net, IMAGES, labels, labels, low=1.0, high=0.0)
