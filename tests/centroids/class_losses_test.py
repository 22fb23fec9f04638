"""The losses on centroids are those of a loop, and so are their gradients."""

import itertools

import class_loops
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighted_loss import (
  BIAS,
  CLASSES,
  CLEAN,
  DELTA_D,
  DELTA_V,
  GAMMA,
  KERNEL,
  LABELS,
  MASK,
  NOISY,
  OLD,
  WEIGHTS,
  WIDTH,
  looped,
  tried,
)

from jaxrobust import centroids


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_loss_of_each_class_is_that_of_a_loop(name):
  _, values, _, _ = tried()
  _, expected = looped()
  assert np.count_nonzero(expected[name]) >= 3
  assert not values[name][4:].any()
  np.testing.assert_allclose(values[name], expected[name], rtol=2e-6)


def test_the_weighted_loss_is_that_of_a_loop():
  np.testing.assert_allclose(tried()[0], looped()[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["clean", "noisy", "kernel", "bias"])
def test_gradients_are_the_central_differences_of_the_loop(name):
  places = {"clean": CLEAN, "noisy": NOISY, "kernel": KERNEL, "bias": BIAS}
  expected = class_loops.central_differences(
    lambda x: looped(**{name: x})[0], places[name]
  )
  found = tried()[3][list(places).index(name)]
  assert np.abs(expected).max() > 0.01
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-7)


def test_both_views_together_are_the_mean_of_all_their_examples():
  _, values, _, _ = tried()
  naive, counts = class_loops.naive(CLEAN, LABELS, CLASSES, MASK)
  means = class_loops.updated(OLD.means, OLD.seen, naive, counts, GAMMA)
  fused = class_loops.compactness(
    np.concatenate([CLEAN, NOISY]),
    np.concatenate([LABELS, LABELS]),
    means,
    DELTA_V,
    np.concatenate([MASK, MASK]),
  )
  both = (values["compactness"] + values["alignment"]) / 2
  np.testing.assert_allclose(both, fused, rtol=2e-6)


def test_a_class_within_its_ball_and_beyond_its_margin_has_only_a_length():
  _, values, _, slopes = tried(delta_v=100.0, delta_d=-100.0)
  for name in ("compactness", "alignment", "margin"):
    assert not values[name].any()
  assert values["length"].any()
  assert not any(slope.any() for slope in slopes[1:])


@pytest.mark.parametrize("momentum", [0.5, 0.9, 0.99])
def test_momentum_would_weaken_the_margin_by_its_complement(momentum):
  first = centroids.class_sums(CLEAN, LABELS, CLASSES)
  # Where the centroids are, so that they stay there, whatever the momentum.
  old = centroids.update(centroids.init(CLASSES, WIDTH), first, 0.0)

  def lack(features, momentum):
    batch = centroids.class_sums(features, LABELS, CLASSES)
    means = centroids.update(old, batch, momentum).means
    carried = batch._replace(sums=means * batch.counts[:, None])
    return centroids.margin(carried, KERNEL, BIAS, delta_d=DELTA_D)[0].sum()

  slope = jax.jit(jax.grad(lack))
  naive, weak = slope(CLEAN, 0.0), slope(CLEAN, momentum)
  assert naive.any()
  np.testing.assert_allclose(naive * (1 - momentum), weak, rtol=1e-5, atol=1e-8)


# The family that moves scale from the features to the head.
def transformed(a, clean, old):
  scaled = old._replace(means=np.float32(a) * old.means)
  family = {
    "clean": np.float32(a) * clean,
    "noisy": np.float32(a) * NOISY,
    "kernel": KERNEL / np.float32(a),
    "old": scaled,
  }
  return family, tried(**family)[1]


def rightly_classified():
  """Features whose class means are on the right side of every boundary."""
  across = (KERNEL - KERNEL.mean(axis=1, keepdims=True)).T
  # Of this head w_c is the best class at a large multiple of itself.
  assert ((across @ across.T).argmax(axis=1) == np.arange(CLASSES))[:4].all()
  return (4 * across[LABELS] + 0.3 * CLEAN).astype(np.float32)


SCALES = (0.25, 0.5, 1.0, 2.0)


def test_the_trivial_family_leaves_the_logits():
  logits = CLEAN @ KERNEL + BIAS
  for a in SCALES:
    family, _ = transformed(a, CLEAN, OLD)
    np.testing.assert_allclose(
      family["clean"] @ family["kernel"] + BIAS, logits, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("name", ["compactness", "alignment", "length"])
def test_the_trivial_family_lowers_all_but_the_margin_as_it_shrinks(name):
  values = [transformed(a, CLEAN, OLD)[1][name] for a in SCALES]
  present = values[-1] > 0
  assert present.sum() >= 3
  for small, large in itertools.pairwise(values):
    assert (small[present] <= large[present]).all()
  assert (values[0][present] < values[-1][present]).all()


def test_the_trivial_family_improves_the_margin_of_centroids_that_are_right():
  clean = rightly_classified()
  means, counts = class_loops.naive(clean, LABELS, CLASSES, MASK)
  for c in np.flatnonzero(counts):
    assert class_loops.nearest(means[c], c, KERNEL, BIAS) > 0
  values = [centroids_lack(a, clean, delta_d=100.0)[counts > 0] for a in SCALES]
  for small, large in itertools.pairwise(values):
    assert (small > large).all()


def test_the_trivial_family_worsens_the_margin_of_centroids_that_are_wrong():
  clean = -rightly_classified()
  means, counts = class_loops.naive(clean, LABELS, CLASSES, MASK)
  for c in np.flatnonzero(counts):
    assert class_loops.nearest(means[c], c, KERNEL, BIAS) < 0
  values = [centroids_lack(a, clean, delta_d=100.0)[counts > 0] for a in SCALES]
  for small, large in itertools.pairwise(values):
    assert (small < large).all()


def centroids_lack(a, clean, delta_d):
  family, _ = transformed(a, clean, OLD)
  return np.asarray(tried(**family, delta_d=delta_d)[1]["margin"])


def test_features_in_bfloat16_give_the_losses_of_float32():
  half = [jnp.asarray(x, jnp.bfloat16) for x in (CLEAN, NOISY, KERNEL, BIAS)]
  total, values, _, slopes = tried(*half)
  full, expected, _, expected_slopes = tried(
    *(np.asarray(x, np.float32) for x in half)
  )
  assert all(x.dtype == jnp.float32 for x in (total, *values.values()))
  np.testing.assert_allclose(total, full, rtol=1e-6)
  for name in WEIGHTS:
    np.testing.assert_allclose(values[name], expected[name], rtol=1e-6)
  for found, slope in zip(slopes, expected_slopes, strict=True):
    assert found.dtype == jnp.bfloat16
    # The parts of a gradient are rounded before they are added up.
    np.testing.assert_allclose(
      found.astype(np.float32), slope, atol=2**-7 * np.abs(slope).max()
    )


def test_the_mean_counts_the_classes_that_are_present():
  values = jnp.asarray([1.0, 5.0, jnp.nan, 6.0])
  present = np.asarray([True, True, False, True])
  assert centroids.mean_over_classes(values, present) == 4
  assert centroids.mean_over_classes(values, 0 * present != 0) == 0
