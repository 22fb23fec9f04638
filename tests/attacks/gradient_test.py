"""Attacks find the exact worst case where it is known, and never cheat."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import (
  CLASSES,
  WEIGHTS,
  classes_of,
  images,
  linear,
  net,
)

from jaxrobust import attacks

COUNT = 60
IMAGES = images(COUNT)
KEYS = jax.random.split(jax.random.key(0), COUNT)


def labels_of(logits_fn):
  return classes_of(logits_fn, IMAGES)


def attack(name="pgd", logits_fn=net, images=IMAGES, keys=KEYS, **options):
  labels = labels_of(logits_fn)[: len(images)]

  @jax.jit
  def run(keys, images, labels):
    function = getattr(attacks, name)
    return function(keys, logits_fn, images, labels, **options)

  return np.asarray(run(keys, images, labels))


def fooled(logits_fn, images):
  found = np.argmax(np.asarray(logits_fn(images)), axis=1)
  return found != labels_of(logits_fn)[: len(images)]


@pytest.mark.parametrize("loss", ["ce", "margin"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_two_classes_of_a_linear_model_fall_exactly_beyond_their_margin(
  norm, loss
):
  """Without bounds the distance to the boundary is known."""

  def two(x):
    return linear(x)[:, :2]

  logits = np.asarray(two(IMAGES), np.float64)
  margin = np.abs(logits[:, 0] - logits[:, 1])
  difference = (WEIGHTS[:, 0] - WEIGHTS[:, 1]).astype(np.float64)
  dual = {"linf": np.abs(difference).sum(), "l2": np.linalg.norm(difference)}
  distance = margin / dual[norm]
  for factor, falls in ((1.02, True), (0.98, False)):
    eps = (factor * distance).astype(np.float32)
    found = attack(
      logits_fn=two,
      eps=eps,
      step_size=0.5 * eps,
      norm=norm,
      loss=loss,
      low=None,
      high=None,
      steps=20,
    )
    assert (fooled(two, found) == falls).all()


def test_one_step_is_enough_for_a_linear_model():
  def two(x):
    return linear(x)[:, :2]

  logits = np.asarray(two(IMAGES), np.float64)
  margin = np.abs(logits[:, 0] - logits[:, 1])
  difference = np.abs(WEIGHTS[:, 0] - WEIGHTS[:, 1]).sum()
  eps = (1.02 * margin / difference).astype(np.float32)
  found = attack("fgsm", two, eps=eps, low=None, high=None)
  assert fooled(two, found).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("random_start", [False, True])
def test_a_ball_of_radius_zero_holds_the_image_alone(norm, random_start):
  found = attack(
    eps=0.0, step_size=0.1, steps=2, norm=norm, random_start=random_start
  )
  np.testing.assert_array_equal(found, IMAGES)


def test_the_largest_change_is_eps_to_the_last_bit_and_bounds_hold():
  for eps in (0.1, 8 / 255, 1 / 3):
    found = attack(eps=eps, steps=3)
    # In float64, where the difference of two float32 is exact.
    change = np.abs(found.astype(np.float64) - IMAGES)
    assert change.max() <= np.float64(np.float32(eps))
    assert change.max() > 0.99 * eps
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_euclidean_distance_is_at_most_eps():
  found = attack(eps=0.5, steps=3, norm="l2")
  change = (found.astype(np.float64) - IMAGES).reshape((COUNT, -1))
  distance = np.linalg.norm(change, axis=1)
  assert distance.max() <= 0.5 + 2e-6
  # The bounds take a little away from some.
  assert np.median(distance) > 0.45
  assert found.min() >= 0
  assert found.max() <= 1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_starts_are_uniform_in_the_ball(norm):
  """A flat loss leaves the starts where they are."""

  def flat(x):
    return jnp.zeros((len(x), 2))

  images = np.full((2000, 3), 0.5, np.float32)
  keys = jax.random.split(jax.random.key(1), len(images))
  found = attacks.pgd(
    keys, flat, images, jnp.zeros(2000, int), eps=0.25, steps=1, norm=norm,
    keep="last",
  )  # fmt: skip
  offset = np.asarray(found, np.float64) - 0.5
  distance = {
    "linf": np.abs(offset).max(axis=1),
    "l2": np.linalg.norm(offset, axis=1),
  }[norm]
  # The share of a ball's volume within a radius r is r^3.
  share = np.sort((distance / 0.25) ** 3)
  assert np.abs(share - (np.arange(2000) + 0.5) / 2000).max() < 0.05
  assert np.abs(offset.mean(axis=0)).max() < 0.02


def test_more_steps_and_restarts_never_help_the_network():
  def fallen(**options):
    return fooled(net, attack(eps=0.05, step_size=0.02, **options))

  few, many = fallen(steps=2), fallen(steps=2, restarts=3)
  assert (few <= many).all()
  assert (fallen(steps=1, random_start=False)
          <= fallen(steps=4, random_start=False)).all()  # fmt: skip


def test_a_misclassified_image_stays_so():
  wrong = (labels_of(net) + 1) % CLASSES
  found = attacks.pgd(KEYS, net, IMAGES, wrong, eps=0.3, steps=2)
  assert (np.argmax(np.asarray(net(found)), axis=1) != wrong).all()


def test_an_image_falls_alike_in_another_batch():
  whole = attack(eps=0.1, steps=3, restarts=2)
  part = attack(eps=0.1, steps=3, restarts=2, images=IMAGES[:8], keys=KEYS[:8])
  np.testing.assert_allclose(part, whole[:8], atol=1e-6)


def test_devices_do_not_change_an_attack():
  def run(keys, images, labels):
    return attacks.pgd(keys, net, images, labels, eps=0.1, steps=3)

  def split(x):
    return x.reshape((4, -1, *x.shape[1:]))

  labels = labels_of(net)
  found = jax.pmap(run)(split(KEYS), split(IMAGES), split(labels))
  np.testing.assert_allclose(
    np.asarray(found).reshape(IMAGES.shape),
    attack(eps=0.1, steps=3),
    atol=1e-6,
  )


def test_a_vanishing_gradient_still_has_a_direction():
  """Its squares underflow in float32."""

  def faint(x):
    total = 1e-30 * x.sum(1)
    return jnp.stack([total, -total], axis=1)

  found = attacks.pgd(
    None, faint, jnp.full((1, 4), 0.5), jnp.asarray([0]), eps=0.1, steps=1,
    norm="l2", loss="margin", random_start=False, keep="last",
  )  # fmt: skip
  np.testing.assert_allclose(found, 0.45, rtol=1e-5)


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"eps": -0.1}, "eps=-0.1: must be a finite number >= 0"),
    ({"eps": math.nan}, "eps=nan: must be"),
    ({"eps": 1, "step_size": -1}, "step_size=-1: must be"),
    ({"eps": 1, "steps": 0}, "steps=0: must be at least 1"),
    ({"eps": 1, "restarts": 0}, "restarts=0: must be at least 1"),
    ({"eps": 1, "norm": "l1"}, "norm='l1': must be one of .*linf.*l2"),
    ({"eps": 1, "loss": "cw"}, "loss='cw': must be one of .*ce.*margin.*dlr"),
    ({"eps": 1, "keep": "all"}, "keep='all': must be one of"),
    ({"eps": 1, "keep": "last", "restarts": 2}, "keep='last' with restarts=2"),
    ({"eps": 1, "restarts": 2, "random_start": False}, "restarts=2: must be 1"),
    ({"eps": 1, "low": 1.0, "high": 0.0}, "low=1.0, high=0.0: low must"),
    ({"eps": 1, "key": None}, "key=None: a random start needs a key"),
    ({"eps": 1, "key": KEYS[:3]}, r"key of shape \(3,\): must be .*60"),
  ],
)
def test_a_wrong_parameter_is_named_in_one_line(options, words):
  options = {"key": KEYS, **options}
  with pytest.raises(ValueError, match=words) as error:
    attacks.pgd(options.pop("key"), net, IMAGES, labels_of(net), **options)
  assert "\n" not in str(error.value)
