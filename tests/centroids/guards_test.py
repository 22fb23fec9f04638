"""Values and gradients stay finite where a formula divides by zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighted_loss import (
  BIAS,
  CLASSES,
  CLEAN,
  KERNEL,
  LABELS,
  MASK,
  NOISY,
  WIDTH,
  looped,
  tried,
)

from jaxrobust import centroids


def duplicated(kernel):
  changed = np.array(kernel)
  changed[:, 1] = changed[:, 4] = changed[:, 0]
  return changed


FIRST = centroids.Centroids(
  np.zeros((CLASSES, WIDTH), np.float32),
  np.zeros(CLASSES, bool),
  np.zeros(CLASSES, np.int32),
)
SINGLETONS = np.asarray([1, 1, 1, 1, 1] + [0] * 7, np.float32)
HAZARDS = {
  "first-seen singletons": {
    "old": FIRST,
    "labels": np.asarray([0, 1, 2, 3, 4] + [0] * 7),
    "mask": SINGLETONS,
    "noisy": CLEAN,
    "delta_v": 0.0,
  },
  "centroids at the origin": {"old": FIRST, "clean": 0 * CLEAN},
  "duplicate rows": {"kernel": duplicated(KERNEL), "bias": BIAS},
  "duplicate classes": {"kernel": duplicated(KERNEL), "bias": 0 * BIAS},
  "a head of zeros": {"kernel": 0 * KERNEL, "bias": 0 * BIAS},
  "only one class": {"labels": 0 * LABELS},
  "only padding": {"mask": 0 * MASK},
  "padding that holds NaN": {
    "clean": np.where(MASK[:, None] != 0, CLEAN, np.nan),
    "noisy": np.where(MASK[:, None] != 0, NOISY, np.inf),
  },
  "only padding that holds NaN": {
    "mask": 0 * MASK,
    "clean": np.full_like(CLEAN, np.nan),
    "noisy": np.full_like(NOISY, np.inf),
  },
}


@pytest.mark.parametrize("name", HAZARDS)
def test_values_and_gradients_are_finite_with(name):
  total, values, _, slopes = tried(**HAZARDS[name])
  assert np.isfinite(total)
  for array in (*values.values(), *slopes):
    assert np.isfinite(array).all()


def test_first_seen_singletons_are_their_centroids():
  total, values, _, (clean, noisy, *_) = tried(
    **HAZARDS["first-seen singletons"]
  )
  assert total > 0
  assert not values["compactness"].any()
  assert not values["alignment"].any()
  assert not noisy.any()
  assert not clean[5:].any()


def test_a_batch_of_padding_has_no_loss_and_no_gradient():
  total, _, pairs, slopes = tried(**HAZARDS["only padding that holds NaN"])
  assert total == 0
  assert pairs == 0
  assert not any(slope.any() for slope in slopes)


def test_what_padding_holds_changes_nothing():
  expected = tried()
  found = tried(**HAZARDS["padding that holds NaN"])
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_the_gradient_of_padding_is_zero():
  clean, noisy, *_ = tried()[3]
  assert not clean[MASK == 0].any()
  assert not noisy[MASK == 0].any()


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("padding that holds NaN", 0),
    # 0 and 1 are present, 4 is not: 0 lacks 1 and 4, and 1 lacks 0 and 4.
    ("duplicate rows", 4),
    # Four classes are present, and each lacks all others.
    ("a head of zeros", 4 * (CLASSES - 1)),
  ],
)
def test_pairs_without_boundary_are_counted_for_present_classes(name, expected):
  _, values, pairs, _ = tried(**HAZARDS[name])
  assert pairs == expected
  assert values["margin"].any() == (name != "a head of zeros")


def test_duplicate_rows_leave_the_other_boundaries_to_count():
  kernel = duplicated(KERNEL)
  _, expected = looped(kernel=kernel)
  _, values, _, _ = tried(kernel=kernel)
  np.testing.assert_allclose(values["margin"], expected["margin"], rtol=2e-6)


def test_the_gradient_at_the_kink_of_the_margin_is_zero():
  batch = centroids.class_sums(jnp.asarray([[3.0, 7.0]]), np.asarray([0]), 2)
  kernel = jnp.asarray([[1.0, -1.0], [0.0, 0.0]])

  def lack(sums, kernel, bias, delta_d):
    return centroids.margin(
      batch._replace(sums=sums), kernel, bias, delta_d=delta_d
    )[0].sum()

  slope = jax.jit(jax.value_and_grad(lack, (0, 1, 2)))
  value, at_kink = slope(batch.sums, kernel, jnp.zeros(2), 3.0)
  assert value == 0
  assert not any(x.any() for x in at_kink)
  value, inside = slope(batch.sums, kernel, jnp.zeros(2), 3.5)
  assert value == 0.5
  np.testing.assert_array_equal(inside[0], [[-1, 0], [0, 0]])


def test_a_length_has_a_gradient_of_zero_at_the_origin():
  vectors = np.stack([0 * CLEAN[0], CLEAN[1], 1e-12 * CLEAN[2]])
  lengths = np.linalg.norm(vectors.astype(float), axis=1)
  np.testing.assert_allclose(centroids.safe_norm(vectors), lengths, rtol=1e-6)
  slope = jax.grad(lambda x: centroids.safe_norm(x).sum())(vectors)
  assert not slope[0].any()
  np.testing.assert_allclose(
    slope[1:], vectors[1:] / lengths[1:, None], rtol=1e-6
  )
