"""The inverse scale space: both dynamics, their limit, and how they are run."""

import dense_inverse_scale as dense
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import inverse_scale

RNG = np.random.default_rng(0)


def flow_after(images, steps, kappa, **options):
  """The state after some steps from the start."""

  @jax.jit
  def run(images, steps, kappa, damping):
    nu = options.get("nu", 0.3)
    flow = inverse_scale.start(images, kappa, nu=nu)
    changes = {**options, "damping": damping}
    return inverse_scale.advance(flow, images, steps, **changes)

  return run(images, steps, kappa, options.pop("damping", 1.0))


def support_at(flow, fraction):
  """The strongest edges of a state of one channel, so large a share."""
  magnitudes = jnp.abs(flow.dual)
  total = inverse_scale.edge_count(flow.images.shape[1:])
  return inverse_scale.largest_edges(magnitudes, round(fraction * total))


@pytest.mark.parametrize("edges", ["aniso", "color", "iso"])
def test_joint_and_reduced_dynamics_open_the_same_edges(edges):
  images = dense.photographs(4, 12)[..., :2]
  nu = 1.0
  kappa = 60 * inverse_scale.contrast(images, 0.5, nu=nu, edges=edges)
  reduced = flow_after(images, 70, kappa, nu=nu, edges=edges)
  # A joint step moves the dual by that much less than a reduced one.
  slower = 1 + nu + inverse_scale.squared_norm((12, 12))
  joint = flow_after(
    images, round(70 * slower), kappa, nu=nu, edges=edges, dynamics="joint"
  )
  opened = []
  for flow in (reduced, joint):
    hit = inverse_scale.hit_fraction(flow, edges=edges)
    assert ((hit > 0.3) & (hit < 0.7)).all()
    squares = flow.dual**2
    if edges != "aniso":
      squares = squares.sum(axis=-1 if edges == "color" else 1, keepdims=True)
    opened.append(squares > kappa.reshape((-1, 1, 1, 1, 1)) ** 2)
  assert dense.jaccard(*opened).mean() > 0.99
  np.testing.assert_allclose(reduced.images, joint.images, atol=1e-2)


def test_the_reduced_dynamics_is_the_loop_on_the_dual_variable():
  images = dense.photographs(2, 12)
  fraction, nu, steps = 0.5, 0.3, 7
  kappa = steps * inverse_scale.contrast(images, fraction, nu=nu)
  flow = flow_after(images, steps, kappa, nu=nu)
  expected, support = dense.smooth(images, fraction, nu, steps, output="x")
  np.testing.assert_allclose(flow.images, expected, atol=2e-5)
  found = support_at(flow, fraction)
  assert (np.asarray(found) != support).mean() < 1e-3


def test_steps_at_once_and_in_parts_are_the_same():
  images = RNG.uniform(size=(2, 6, 5, 1)).astype(np.float32)
  at_once = flow_after(images, 12, 2.0)
  flow = inverse_scale.start(images, 2.0)
  for steps in (5, 0, 7):
    flow = inverse_scale.advance(flow, images, steps)
  np.testing.assert_allclose(flow.images, at_once.images, atol=1e-6)
  np.testing.assert_allclose(flow.dual, at_once.dual, atol=1e-5)


def test_a_damping_below_two_is_stable_and_one_above_is_not():
  images = RNG.uniform(size=(2, 8, 8, 1)).astype(np.float32)
  slow = flow_after(images, 6000, 1.0, nu=1.0)
  np.testing.assert_allclose(slow.images, images, atol=1e-3)
  for dynamics in ("reduced", "joint"):
    flow = flow_after(images, 6000, 1.0, nu=1.0, damping=1.9, dynamics=dynamics)
    np.testing.assert_allclose(flow.images, images, atol=1e-3)
  flow = flow_after(images, 6000, 1.0, nu=1.0, damping=2.5, dynamics="joint")
  assert not np.abs(flow.images).max() < 1e3


def test_a_blank_start_is_forgotten():
  images = RNG.uniform(size=(1, 6, 6, 1)).astype(np.float32)
  blank = inverse_scale.start(images, 3.0, blank=True)
  assert not np.asarray(blank.images).any()
  smooth = inverse_scale.start(images, 3.0)
  ends = [
    inverse_scale.advance(flow, images, 2000, dynamics="joint").images
    for flow in (blank, smooth)
  ]
  np.testing.assert_allclose(*ends, atol=1e-3)


def test_the_contrast_is_that_of_sorting():
  images = dense.photographs(3, 10)
  smooth = dense.solve(images.astype(np.float64), 0.3)
  for edges, axis in (("aniso", ()), ("color", -1), ("iso", 1)):
    total = inverse_scale.edge_count((10, 10, 3), edges)
    squares = dense_differences(smooth) ** 2
    groups = np.sqrt(squares.sum(axis=axis)).reshape((3, -1))
    expected = np.sort(groups, axis=1)[:, -round(0.4 * total)]
    found = inverse_scale.contrast(images, 0.4, edges=edges)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def dense_differences(images):
  """Differences with zeros where no edge is, by numpy."""
  edges = np.zeros((len(images), 2, *images.shape[1:]))
  edges[:, 0, :-1] = np.diff(images, axis=1)
  edges[:, 1, :, :-1] = np.diff(images, axis=2)
  return edges


def test_the_exact_flow_of_a_step_opens_when_its_dual_is_full():
  # The dual of the edge in the middle gains 0.5 * 8 / 2 = 2 per unit of time.
  step = np.repeat([0.0, 1.0], 4).astype(np.float32).reshape((1, 8, 1))
  flow = inverse_scale.exact_flow(step, 7.0, 5)
  levels = np.asarray(flow.images)[:, 0, :, 0]
  np.testing.assert_allclose(levels[:3], 0.5, atol=1e-4)
  np.testing.assert_allclose(levels[4:], step[None, 0, :, 0], atol=1e-4)
  opened = np.asarray(flow.supports)[:, 0, 0, :, 0]
  assert not opened[:3].any()
  np.testing.assert_array_equal(np.flatnonzero(opened[4]), [3])


@pytest.mark.parametrize("edges", ["aniso", "iso"])
def test_a_step_of_the_exact_flow_minimises_a_total_variation(edges):
  from skimage.restoration import denoise_tv_chambolle

  image = dense.photographs(1, 16)[0, ..., 0]
  flow = inverse_scale.exact_flow(
    image[None, :, :, None], 0.2, 1, iterations=500, edges=edges
  )
  found = np.asarray(flow.images)[0, 0, :, :, 0]

  def objective(x):
    slopes = dense_differences(x[None, ..., None])[0]
    kinds = np.abs(slopes) if edges == "aniso" else np.hypot(*slopes)
    return 0.5 * np.sum((x - image) ** 2) + 0.2 * np.sum(kinds)

  oracle = denoise_tv_chambolle(
    image.astype(np.float64), weight=0.2, eps=1e-9, max_num_iter=3000
  )
  if edges == "iso":
    np.testing.assert_allclose(found, oracle, atol=2e-3)
  assert objective(found) <= objective(oracle) + 1e-4
  for scale in (1e-2, 1e-3):
    moved = found + scale * RNG.normal(size=found.shape)
    assert objective(found) < objective(moved)


def test_a_small_splitting_follows_the_exact_flow():
  images = dense.photographs(3, 12)[..., :1]
  images = images - images.min(axis=(1, 2), keepdims=True)
  images /= images.max(axis=(1, 2), keepdims=True)
  flow = inverse_scale.exact_flow(
    images, 3.0, 24, iterations=300, tolerance=1e-3
  )
  supports = np.asarray(flow.supports)
  shares = jax.vmap(inverse_scale.support_fraction)(supports)
  assert (shares[0] == 0).all()
  at = np.argmin(np.abs(shares - 0.3), axis=0), np.arange(3)
  overlap = [
    dense.jaccard(
      inverse_scale.smooth(
        images, shares[at], nu=nu, steps=60, early_stop=True
      ).support,
      supports[at],
    ).mean()
    for nu in (10.0, 1.0, 0.1)
  ]
  assert overlap == sorted(overlap)
  assert overlap[-1] > 0.7


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"nu": 0.0}, "nu=0.0: must be positive"),
    ({"edges": "both"}, "edges='both': must be one of aniso, color, iso"),
    ({"dynamics": "split"}, "dynamics='split': must be one of"),
    ({"steps": 1.5}, "steps=1.5: must be a whole number >= 0"),
    ({"damping": -1}, "damping=-1: must be positive"),
  ],
)
def test_wrong_options_are_named(options, message):
  images = np.ones((1, 4, 4, 1), np.float32)
  flow = inverse_scale.start(images, 1.0)
  with pytest.raises(ValueError) as error:  # noqa: PT011
    inverse_scale.advance(flow, images, **{"steps": 1, **options})
  assert message in str(error.value)
