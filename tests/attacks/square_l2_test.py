"""The Square attack of "l2" keeps its length and gets only better."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import classes_of

from jaxrobust import attacks
from jaxrobust.attacks.square import worst_margin
from jaxrobust.attacks.square_l2 import (
  odd_sides,
  patterns,
  square_l2_step,
  tiles,
)

RNG = np.random.default_rng(0)
COUNT, SHAPE, EPS = 40, (10, 12, 3), 1.0
IMAGES = RNG.uniform(size=(COUNT, *SHAPE)).astype(np.float32)
WEIGHTS = RNG.normal(size=(np.prod(SHAPE), 4)).astype(np.float32)
KEYS = jax.random.split(jax.random.key(0), COUNT)


def linear(x):
  return x.reshape((len(x), -1)) @ WEIGHTS


LABELS = classes_of(linear, IMAGES)


def lengths(x):
  offset = (np.asarray(x, np.float64) - IMAGES).reshape((COUNT, -1))
  return np.linalg.norm(offset, axis=1)


def test_a_pattern_has_two_heaps_of_opposite_sign_and_unit_length():
  for side in (3, 4, 7, 10):
    upright, turned = patterns(SHAPE[:2])[side]
    np.testing.assert_allclose(np.linalg.norm(upright), 1, rtol=1e-6)
    np.testing.assert_array_equal(turned[:side, :side], upright[:side, :side].T)
    upper = upright[: side // 2, :side]
    lower = upright[side // 2 : side, :side]
    assert upper.min() > 0
    assert lower.max() < 0
    np.testing.assert_allclose(
      np.linalg.norm(upper), np.linalg.norm(lower), rtol=1e-6
    )
    # Each heap is highest in its middle.
    assert upper.argmax() == (side // 2 // 2) * side + side // 2
    assert not upright[side:].any()
    assert not upright[:, side:].any()


def test_sides_are_odd_and_fall():
  sides = odd_sides(300, 0.8, (32, 32))
  assert sides[0] == 0
  assert (sides[1:] % 2 == 1).all()
  assert sides[1] == 29
  assert sides[-1] == 3
  assert (np.diff(sides[1:]) <= 0).all()


def test_the_start_has_the_whole_length_in_every_image():
  x = tiles(KEYS, jnp.asarray(IMAGES), eps=EPS, low=None, high=None)
  np.testing.assert_allclose(lengths(x), EPS, rtol=1e-4)
  signs = np.sign(np.asarray(x) - IMAGES)
  assert len({row.tobytes() for row in signs}) == COUNT


def test_a_query_is_kept_if_and_only_if_it_harms():
  x = tiles(KEYS, jnp.asarray(IMAGES), eps=EPS)
  worst = worst_margin(linear(x), LABELS)
  shapes = jnp.asarray(patterns(SHAPE[:2]))
  step = jax.jit(
    lambda keys, x, worst: square_l2_step(
      keys, linear, x, worst, IMAGES, LABELS, side=5, shapes=shapes, eps=EPS
    )
  )
  changed = 0
  for number in range(8):
    keys = jax.vmap(jax.random.fold_in, (0, None))(KEYS, number)
    new, margin, _ = step(keys, x, worst)
    moved = (np.asarray(new) != np.asarray(x)).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(moved, np.asarray(margin > worst))
    np.testing.assert_allclose(margin, worst_margin(linear(new), LABELS))
    assert not moved[np.asarray(worst) > 0].any()
    assert lengths(new).max() <= EPS * (1 + 1e-5)
    changed += moved.sum()
    x, worst = new, margin
  assert changed > 0


def test_it_nears_the_exact_worst_case_of_a_linear_network():
  attack = jax.jit(
    lambda queries: attacks.square_l2(
      KEYS, linear, IMAGES, LABELS, eps=EPS, queries=400
    )
  )
  x = attack(400)
  assert lengths(x).max() <= EPS * (1 + 1e-5)
  assert x.min() >= 0
  assert x.max() <= 1
  fallen = (classes_of(linear, x) != LABELS).mean()
  exact = attacks.pgd(
    KEYS, linear, IMAGES, LABELS, eps=EPS, norm="l2", loss="margin"
  )
  assert 0.3 < fallen <= (classes_of(linear, exact) != LABELS).mean()


def test_wrong_answers_are_left_and_wrong_parameters_named():
  labels = (LABELS + 1) % 4
  x = attacks.square_l2(KEYS, linear, IMAGES, labels, eps=EPS, queries=3)
  np.testing.assert_array_equal(x, IMAGES)
  with pytest.raises(ValueError, match=r"\(40, 4, 12, 3\): must be .* >= 5"):
    attacks.square_l2(KEYS, linear, IMAGES[:, :4], LABELS, eps=EPS, queries=3)
  with pytest.raises(ValueError, match="queries=0: must be at least 1"):
    attacks.square_l2(KEYS, linear, IMAGES, LABELS, eps=EPS, queries=0)
