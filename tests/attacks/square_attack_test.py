"""The Square attack needs logits alone, and finds what gradients would."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import CLASSES, WEIGHTS, classes_of, images, linear, net

from jaxrobust import attacks
from jaxrobust.attacks.square import (
  sides,
  square_step,
  stripes,
  worst_margin,
)

COUNT = 60
IMAGES = images(COUNT)
KEYS = jax.random.split(jax.random.key(0), COUNT)


@functools.partial(jax.jit, static_argnames=("logits_fn", "queries"))
def run(keys, images, labels, eps, logits_fn, queries):
  return attacks.square(
    keys, logits_fn, images, labels, eps=eps, queries=queries
  )


def attack(logits_fn=net, images=IMAGES, keys=KEYS, eps=0.1, queries=60):
  labels = classes_of(logits_fn, IMAGES)[: len(images)]
  return np.asarray(run(keys, images, labels, eps, logits_fn, queries))


def fooled(logits_fn, found):
  labels = classes_of(logits_fn, IMAGES)[: len(found)]
  return classes_of(logits_fn, found) != labels


@pytest.mark.parametrize("eps", [0.1, 8 / 255, 1 / 3])
def test_every_pixel_is_at_an_end_of_its_range_to_the_last_bit(eps):
  found = attack(eps=eps)
  # In float64, where the difference of two float32 is exact.
  change = np.abs(found.astype(np.float64) - IMAGES)
  assert change.max() <= np.float64(np.float32(eps))
  assert found.min() >= 0
  assert found.max() <= 1
  at_end = (change > eps - 1e-6) | (found == 0) | (found == 1)
  assert at_end.all()


def test_a_key_gives_the_same_images_again_and_another_gives_others():
  np.testing.assert_array_equal(attack(), attack())
  keys = jax.random.split(jax.random.key(1), COUNT)
  different = (attack() != attack(keys=keys)).any(axis=(1, 2, 3))
  assert different.mean() > 0.9


def test_an_image_is_attacked_alike_in_another_batch():
  part = attack(images=IMAGES[:8], keys=KEYS[:8])
  np.testing.assert_array_equal(part, attack()[:8])


def test_each_image_can_have_a_radius_of_its_own():
  eps = np.linspace(0.01, 0.2, COUNT).astype(np.float32)
  change = np.abs(attack(eps=eps).astype(np.float64) - IMAGES)
  assert (change.max(axis=(1, 2, 3)) <= eps).all()


def two(x):
  return linear(x)[:, :2]


def exact_worst_margin(eps):
  """The largest z_other - z_y in the box; its corner is known."""
  inputs = IMAGES.reshape((COUNT, -1)).astype(np.float64)
  labels = classes_of(two, IMAGES)
  difference = WEIGHTS.T[1 - labels] - WEIGHTS.T[labels].astype(np.float64)
  lower, upper = np.maximum(inputs - eps, 0), np.minimum(inputs + eps, 1)
  corner = np.where(difference > 0, upper, lower)
  return (difference * corner).sum(axis=1)


def test_a_linear_model_comes_to_its_exact_worst_case_and_no_further():
  exact = exact_worst_margin(0.05)
  assert 0.2 < (exact > 0).mean() < 0.8
  found = attack(two, eps=0.05, queries=1500)
  labels = classes_of(two, IMAGES)
  margin = np.asarray(worst_margin(two(found), labels))
  clean = np.asarray(worst_margin(two(IMAGES), labels))
  assert (margin <= exact + 1e-4).all()
  standing = exact <= 0
  share = (margin - clean)[standing] / (exact - clean)[standing]
  assert share.min() > 0.98
  # Those that the corner fools have fallen, and then the attack was over.
  clearly = exact > 0.02 * (exact - clean)
  np.testing.assert_array_equal(margin[clearly] > 0, True)


def stairs(x):
  """Fifty shades of grey: a derivative of zero, everywhere."""
  return net(jnp.round(50 * x) / 50)


def test_a_network_without_gradients_falls_as_its_smooth_twin_does():
  steps = attacks.pgd(
    None, stairs, IMAGES, classes_of(stairs, IMAGES), eps=0.1, steps=3,
    random_start=False,
  )  # fmt: skip
  assert fooled(stairs, steps).mean() == 0
  smooth = fooled(net, attack(net))
  hidden = fooled(stairs, attack(stairs))
  assert smooth.mean() > 0.3
  assert hidden.mean() == pytest.approx(smooth.mean(), abs=0.07)


def test_more_queries_never_help_the_network():
  first = fooled(net, attack(queries=1))
  many = fooled(net, attack(queries=60))
  assert (first <= many).all()
  assert first.sum() < many.sum()


def test_query_by_query_the_margin_never_falls_back():
  labels, eps, queries = classes_of(net, IMAGES), 0.1, 60

  def keys_of(number):
    return jax.vmap(jax.random.fold_in, (0, None))(KEYS, number)

  step = jax.jit(square_step, static_argnames="logits_fn")
  x = stripes(keys_of(0), IMAGES, eps=eps)
  margins = [worst_margin(net(x), labels)]
  for number, side in enumerate(sides(queries, 0.8, (4, 4))[1:], 1):
    x, worst, _ = step(
      keys_of(number), net, x, margins[-1], IMAGES, labels, side=side, eps=eps
    )
    margins.append(worst)
  rises = np.diff(np.asarray(margins), axis=0)
  assert (rises >= 0).all()
  assert (rises > 0).any(axis=0).mean() > 0.9
  # One that has fallen is left as it is.
  assert (rises[np.asarray(margins[:-1]) > 0] == 0).all()
  np.testing.assert_array_equal(x, attack(eps=eps, queries=queries))


def test_a_misclassified_image_is_left_as_it_is():
  wrong = (classes_of(net, IMAGES) + 1) % CLASSES
  found = run(KEYS, IMAGES, wrong, 0.1, net, 60)
  np.testing.assert_array_equal(found, IMAGES)


def test_logits_that_are_not_numbers_are_a_wrong_answer():
  def fragile(x):
    return jnp.where((x > 0.9).any(axis=(1, 2, 3))[:, None], jnp.nan, net(x))

  middle = np.full((2, 4, 4, 3), 0.5, np.float32)
  labels = classes_of(net, middle)
  found = run(KEYS[:2], middle, labels, 0.45, fragile, 20)
  assert np.isnan(np.asarray(fragile(found))).all()


def painted(x, side, count=4000):
  """What one query makes of x, whatever the network says."""
  centres = np.full((count, *x.shape), 0.5, np.float32)
  return np.asarray(
    square_step(
      jax.random.split(jax.random.key(2), count),
      lambda images: jnp.zeros((len(images), 2)),
      np.broadcast_to(x, centres.shape),
      np.full(count, -np.inf, np.float32),
      centres,
      np.zeros(count, np.int32),
      side=side,
      eps=0.25,
    )[0]
  )


def test_squares_are_everywhere_alike_and_their_colours_fair():
  x = np.full((5, 7, 2), 0.5, np.float32)
  found = painted(x, side=3)
  inside = found != 0.5
  assert (inside.all(axis=3) == inside.any(axis=3)).all()
  assert (inside.sum(axis=(1, 2)) == 9).all()
  first = inside[..., 0].reshape((len(found), -1)).argmax(axis=1)
  places, counts = np.unique(first, return_counts=True)
  assert set(places) == {7 * r + c for r in range(3) for c in range(5)}
  # Six standard deviations of a binomial count.
  expected = len(found) / 15
  assert np.abs(counts - expected).max() < 6 * math.sqrt(expected)
  for row, place in zip(found, first, strict=True):
    square = row[place // 7 :, place % 7 :][:3, :3]
    assert (square == square[0, 0]).all()
  colours = (found.max(axis=(1, 2)) > 0.5).astype(int)
  codes = np.bincount(colours @ [1, 2], minlength=4) / len(found)
  np.testing.assert_allclose(codes, 0.25, atol=0.04)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_colour_that_changes_nothing_is_drawn_again(channels):
  x = np.full((4, 4, channels), 0.75, np.float32)
  assert (painted(x, side=2) != x).any(axis=(1, 2, 3)).mean() > 0.999


def published_share(done, queries):
  """The schedule, as AutoAttack has it."""
  it = int(done / queries * 10000)
  for power, last in enumerate(
    (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
  ):
    if it <= last:
      return 0.8 / 2**power
  return 0.8 / 512


@pytest.mark.parametrize("queries", [1, 2, 300, 5000, 20000])
def test_the_sides_follow_the_published_schedule(queries):
  expected = [0] + [
    max(round(math.sqrt(published_share(done, queries) * 28 * 32)), 1)
    for done in range(queries - 1)
  ]
  assert sides(queries, 0.8, (28, 32)).tolist() == expected


def test_a_square_fits_into_a_narrow_image():
  assert sides(100, 1.0, (2, 50)).max() == 2


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"eps": -0.1}, "eps=-0.1: must be a finite number >= 0"),
    ({"queries": 0}, "queries=0: must be at least 1"),
    ({"p_init": 0.0}, r"p_init=0.0: must be in \(0, 1\]"),
    ({"p_init": 1.5}, r"p_init=1.5: must be in \(0, 1\]"),
    ({"low": 1.0, "high": 0.0}, "low=1.0, high=0.0: low must"),
    ({"key": KEYS[:3]}, r"key of shape \(3,\): must be .*60"),
    ({"images": IMAGES[..., 0]}, r"images of shape \(60, 4, 4\): must be \[N,"),
  ],
)
def test_a_wrong_parameter_is_named_in_one_line(options, words):
  options = {
    "key": KEYS, "images": IMAGES, "labels": classes_of(net, IMAGES),
    "eps": 0.1, "queries": 2, **options,
  }  # fmt: skip
  with pytest.raises(ValueError, match=words) as error:
    attacks.square(logits_fn=net, **options)
  assert "\n" not in str(error.value)
