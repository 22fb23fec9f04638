"""Centroids follow the batches as the loop over classes does."""

import class_loops
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import centroids

RNG = np.random.default_rng(0)
CLASSES, WIDTH = 5, 3
FEATURES = RNG.normal(size=(3, 8, WIDTH)).astype(np.float32)
# Class 0 is in the first and the last batch, 3 comes late, 4 never.
LABELS = np.asarray(
  [[0, 0, 1, 1, 1, 2, 2, 0], [1, 2, 1, 2, 1, 1, 2, 1], [3, 0, 0, 3, 1, 1, 0, 3]]
)
MASK = np.asarray([1, 1, 1, 1, 1, 1, 0, 0], np.float32)


@jax.jit
def step(state, features, labels, mask, momentum):
  batch = centroids.class_sums(features, labels, CLASSES, mask=mask)
  return centroids.update(state, batch, momentum), batch


def after(batches, momentum=0.9, mask=MASK):
  """The states from the start to after so many batches."""
  states = [centroids.init(CLASSES, WIDTH)]
  for features, labels in list(zip(FEATURES, LABELS, strict=True))[:batches]:
    states.append(step(states[-1], features, labels, mask, momentum)[0])
  return states


@pytest.mark.parametrize("masked", [False, True])
def test_the_sums_of_a_batch_are_those_of_a_loop(masked):
  mask = MASK if masked else None
  batch = centroids.class_sums(FEATURES[0], LABELS[0], CLASSES, mask=mask)
  means, counts = class_loops.naive(FEATURES[0], LABELS[0], CLASSES, mask)
  np.testing.assert_allclose(batch.means, means, rtol=1e-6, atol=1e-7)
  np.testing.assert_array_equal(batch.counts, counts)
  np.testing.assert_array_equal(batch.present, counts > 0)


def test_three_batches_move_the_centroids_as_a_loop_does():
  means, seen = np.zeros((CLASSES, WIDTH)), np.zeros(CLASSES, bool)
  total = np.zeros(CLASSES, int)
  for features, labels, state in zip(
    FEATURES, LABELS, after(3)[1:], strict=True
  ):
    naive, counts = class_loops.naive(features, labels, CLASSES, MASK)
    means = class_loops.updated(means, seen, naive, counts, 0.9)
    seen |= counts > 0
    total += counts
    np.testing.assert_allclose(state.means, means, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(state.seen, seen)
    np.testing.assert_array_equal(state.counts, total)


def test_at_first_sight_a_centroid_is_the_mean_of_the_batch():
  state, batch = step(
    centroids.init(CLASSES, WIDTH), FEATURES[0], LABELS[0], MASK, 0.99
  )
  np.testing.assert_array_equal(state.means, batch.means)


def test_the_centroids_of_absent_classes_stay_to_the_bit():
  _, before, now = after(2)
  absent = [0, 3, 4]
  for name in ("means", "seen", "counts"):
    kept, found = (np.asarray(getattr(x, name))[absent] for x in (before, now))
    assert found.tobytes() == kept.tobytes()
  assert not np.array_equal(before.means[1], now.means[1])


def test_a_batch_of_padding_changes_nothing():
  (*_, before) = after(3)
  nothing = np.full_like(FEATURES[0], np.nan)
  now, batch = step(before, nothing, LABELS[0], 0 * MASK, 0.9)
  for kept, found in zip(before, now, strict=True):
    assert np.asarray(found).tobytes() == np.asarray(kept).tobytes()
  assert not batch.present.any()
  np.testing.assert_array_equal(batch.means, np.zeros((CLASSES, WIDTH)))


def test_padding_may_hold_anything():
  spoilt = np.where(MASK[:, None] != 0, FEATURES[0], np.nan)

  @jax.jit
  @jax.value_and_grad
  def total(features):
    batch = centroids.class_sums(features, LABELS[0], CLASSES, mask=MASK)
    return jnp.sum(batch.means**2)

  (value, slope), (expected, slopes) = total(spoilt), total(FEATURES[0])
  np.testing.assert_array_equal(value, expected)
  np.testing.assert_array_equal(slope, slopes)
  assert not slope[MASK == 0].any()


def test_without_momentum_the_centroids_are_the_naive_ones():
  before = after(2)[-1]
  now, batch = step(before, FEATURES[2], LABELS[2], MASK, 0.0)
  here = np.asarray(batch.present)
  np.testing.assert_array_equal(now.means[here], batch.means[here])


@pytest.mark.parametrize("momentum", [0.0, 0.75, 0.99])
def test_the_gradient_passes_in_the_share_of_the_batch(momentum):
  before = after(2)[-1]

  def summed(features, old, momentum):
    state, _ = step(
      before._replace(means=old), features, LABELS[2], MASK, momentum
    )
    return state.means.sum()

  slope, to_old = jax.jit(jax.grad(summed, (0, 1)))(
    FEATURES[2], before.means, momentum
  )
  _, counts = class_loops.naive(FEATURES[2], LABELS[2], CLASSES, MASK)
  # Class 3 is seen for the first time.
  share = np.where(LABELS[2] == 3, 1.0, 1 - momentum) * MASK
  expected = share / np.maximum(counts[LABELS[2]], 1)
  np.testing.assert_allclose(
    slope, np.repeat(expected[:, None], WIDTH, axis=1), rtol=1e-6
  )
  assert not to_old.any()


def test_sums_of_batches_add_up():
  def sums(rows):
    return centroids.class_sums(FEATURES[0][rows], LABELS[0][rows], CLASSES)

  parts = jax.tree.map(jnp.add, sums(slice(5)), sums(slice(5, 8)))
  whole = sums(slice(8))
  np.testing.assert_allclose(parts.means, whole.means, rtol=1e-6)
  np.testing.assert_array_equal(parts.counts, whole.counts)


def test_features_in_bfloat16_are_summed_in_float32():
  # In bfloat16 the sum of ones stops at 256.
  features = jnp.ones((1000, 1), jnp.bfloat16)
  batch = centroids.class_sums(features, jnp.zeros(1000, int), 1)
  assert batch.sums.dtype == batch.counts.dtype == jnp.float32
  assert batch.sums[0, 0] == batch.counts[0] == 1000
  state = centroids.update(centroids.init(1, 1), batch, 0.9)
  assert state.means.dtype == jnp.float32


def test_the_state_can_be_carried_through_a_scan():
  def body(state, rows):
    return step(state, *rows, MASK, 0.9)[0], None

  state, _ = jax.lax.scan(
    body, centroids.init(CLASSES, WIDTH), (FEATURES, LABELS)
  )
  jax.tree.map(
    lambda found, kept: np.testing.assert_allclose(found, kept, rtol=1e-6),
    state,
    after(3)[-1],
  )
  assert [x.dtype for x in state] == [jnp.float32, bool, jnp.int32]
