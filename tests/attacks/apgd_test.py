"""Auto-PGD takes the published steps, and finds exact worst cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import CLASSES, WEIGHTS, classes_of, images, linear, net

from jaxrobust import attacks
from jaxrobust.attacks import objectives
from jaxrobust.attacks.apgd import apgd_start, apgd_step, check_points

COUNT = 60
IMAGES = images(COUNT)
KEYS = jax.random.split(jax.random.key(0), COUNT)
LABELS = classes_of(net, IMAGES)
LOSS = objectives.margin


@pytest.mark.parametrize("steps", [20, 37, 100])
def test_the_step_is_checked_when_the_paper_says(steps):
  # Its section 3.1, in steps: p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06).
  least, less = max(int(0.06 * steps), 1), max(int(0.03 * steps), 1)
  at, width, wanted = 0, max(int(0.22 * steps), 1), []
  while at + width <= steps:
    at += width
    wanted.append((at - 1, width))
    width = max(width - less, least)
  checks, windows = check_points(steps)
  found = [(int(i), int(windows[i])) for i in np.flatnonzero(checks)]
  assert found == wanted


def reference(start, labels, eps, norm, steps, gradient_of, bounds):
  """The published loop on numpy, one array of losses; all iterates of it."""

  def length(x):
    return np.sqrt((x**2).sum(axis=(1, 2, 3), keepdims=True))

  def project(x):
    if norm == "linf":
      return np.clip(np.clip(x, IMAGES - eps, IMAGES + eps), *bounds)
    offset = x - IMAGES
    return np.clip(
      IMAGES + offset * np.minimum(eps / np.maximum(length(offset), 1e-12), 1),
      *bounds,
    )

  count = len(start)
  loss, gradient = gradient_of(start, labels)
  x, old, best, best_gradient = start, start, start, gradient
  best_loss, at_check = loss.copy(), loss.copy()
  size = np.full((count, 1, 1, 1), 2 * eps)
  reduced = np.ones(count, bool)
  losses, iterates = [loss], []
  window, since = max(int(0.22 * steps), 1), 0
  for number in range(steps):
    way = np.sign(gradient) if norm == "linf" else gradient / length(gradient)
    a = 0.75 if number else 1.0
    z = project(x + size * way)
    new = project(x + a * (z - x) + (1 - a) * (x - old))
    old, x = x, new
    loss, gradient = gradient_of(x, labels)
    iterates.append(x)
    losses.append(loss)
    better = loss > best_loss
    best = np.where(better[:, None, None, None], x, best)
    best_gradient = np.where(
      better[:, None, None, None], gradient, best_gradient
    )
    best_loss = np.maximum(best_loss, loss)
    since += 1
    if since == window:
      rises = sum(losses[-i] > losses[-i - 1] for i in range(1, window + 1))
      halve = (rises <= 0.75 * window) | (~reduced & (at_check >= best_loss))
      size = np.where(halve[:, None, None, None], size / 2, size)
      x = np.where(halve[:, None, None, None], best, x)
      gradient = np.where(halve[:, None, None, None], best_gradient, gradient)
      reduced, at_check = halve, best_loss.copy()
      window = max(
        window - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1)
      )
      since = 0
  return iterates


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 0.6)])
def test_the_iterates_are_those_of_the_published_loop(norm, eps):
  steps, options = 30, {"loss_fn": LOSS, "eps": eps, "norm": norm}

  @jax.jit
  def gradient_of(x, labels):
    def summed(x):
      losses = LOSS(net(x), labels)
      return losses.sum(), losses

    gradient, losses = jax.grad(summed, has_aux=True)(x)
    return losses, gradient

  def on_numpy(x, labels):
    return map(np.asarray, gradient_of(x.astype(np.float32), labels))

  step = jax.jit(
    lambda climb, first, check, window: apgd_step(
      net,
      climb,
      IMAGES,
      LABELS,
      first=first,
      check=check,
      window=window,
      **options,
    )
  )
  climb, _ = apgd_start(KEYS, net, jnp.asarray(IMAGES), LABELS, **options)
  wanted = reference(
    np.asarray(climb.x), LABELS, eps, norm, steps, on_numpy, (0, 1)
  )
  checks, windows = check_points(steps)
  apart = []
  for number in range(steps):
    climb, x, _ = step(climb, number == 0, checks[number], windows[number])
    apart.append(np.abs(np.asarray(x) - wanted[number]).max(axis=(1, 2, 3)))
  # Later, where they have converged, rounding decides whether a loss rose.
  compared = 20
  assert checks[:compared].sum() == 5
  assert np.max(apart[:compared]) < 1e-4
  assert np.unique(climb.length).size > 1


@pytest.mark.parametrize("loss", ["ce", "margin"])
def test_a_linear_model_of_two_classes_has_its_exact_robust_accuracy(loss):
  def two(x):
    return linear(x)[:, :2]

  labels = classes_of(two, IMAGES)
  flat = IMAGES.reshape((COUNT, -1)).astype(np.float64)
  difference = (WEIGHTS.T[1 - labels] - WEIGHTS.T[labels]).astype(np.float64)
  for eps in (0.03, 0.08):
    corner = np.where(
      difference > 0, np.minimum(flat + eps, 1), np.maximum(flat - eps, 0)
    )
    exact = (difference * corner).sum(axis=1) > 0
    x = attacks.apgd(KEYS, two, IMAGES, labels, eps=eps, steps=20, loss=loss)
    np.testing.assert_array_equal(classes_of(two, x) != labels, exact)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 0.6)])
def test_it_stays_in_the_ball_and_is_as_strong_as_pgd(norm, eps):
  options = {"eps": eps, "norm": norm, "steps": 20}
  found = attacks.apgd(KEYS, net, IMAGES, LABELS, loss="dlr", **options)
  plain = attacks.pgd(KEYS, net, IMAGES, LABELS, loss="margin", **options)
  offset = np.asarray(found, np.float64) - IMAGES
  size = (
    np.abs(offset)
    if norm == "linf"
    else np.sqrt((offset**2).sum(axis=(1, 2, 3)))
  )
  assert size.max() <= eps * (1 + 1e-6)
  assert found.min() >= 0
  assert found.max() <= 1
  fallen = classes_of(net, found) != LABELS
  assert 0.2 < fallen.mean() < 1
  assert fallen.mean() >= (classes_of(net, plain) != LABELS).mean() - 0.02


def test_huge_logits_hide_from_the_cross_entropy_and_not_from_the_ratio():
  def huge(x):
    return 1e5 * net(x)

  def fallen(loss):
    x = attacks.apgd(KEYS, huge, IMAGES, LABELS, eps=0.1, steps=20, loss=loss)
    return (classes_of(net, x) != LABELS).mean()

  plain = attacks.apgd(KEYS, net, IMAGES, LABELS, eps=0.1, steps=20, loss="dlr")
  assert fallen("dlr") == (classes_of(net, plain) != LABELS).mean()
  assert fallen("ce") < fallen("dlr") - 0.1


def test_a_targeted_attack_lifts_its_target_over_the_label():
  targets = (LABELS + 1) % CLASSES
  x = attacks.apgd(
    KEYS, net, IMAGES, LABELS, eps=0.5, steps=30, targets=jnp.asarray(targets)
  )
  rows, logits = np.arange(COUNT), np.asarray(net(x))
  assert (logits[rows, targets] > logits[rows, LABELS]).mean() > 0.9


def test_a_wrong_answer_is_left_as_it_is_and_the_batch_does_not_matter():
  labels = LABELS.copy()
  labels[:5] = (labels[:5] + 1) % CLASSES
  attack = jax.jit(
    lambda keys, x, labels: attacks.apgd(
      keys, net, x, labels, eps=0.1, steps=10
    )
  )
  whole = attack(KEYS, IMAGES, labels)
  np.testing.assert_array_equal(whole[:5], IMAGES[:5])
  some = attack(KEYS[20:], IMAGES[20:], labels[20:])
  np.testing.assert_allclose(whole[20:], some, atol=1e-6)


def test_what_targets_are_is_the_likeliest_of_the_others():
  logits = np.asarray(net(IMAGES))
  others = np.where(np.arange(CLASSES) == LABELS[:, None], -np.inf, logits)
  wanted = np.argsort(-others, axis=1)[:, :3]
  found = attacks.likeliest(jnp.asarray(logits), LABELS, 3)
  np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"steps": 0}, "steps=0: must be at least 1"),
    ({"eps": -1.0}, "eps=-1.0: must be"),
    ({"loss": "cw"}, "loss='cw': must be one of"),
    ({"low": 1.0, "high": 0.0}, "low=1.0, high=0.0: low must"),
  ],
)
def test_a_wrong_parameter_is_named_in_one_line(options, words):
  options = {"eps": 0.1, **options}
  with pytest.raises(ValueError, match=words):
    attacks.apgd(KEYS, net, IMAGES, LABELS, **options)


def test_a_ratio_needs_its_classes():
  two = jnp.zeros((1, 2))
  label = jnp.asarray([0])
  with pytest.raises(ValueError, match="2 classes: the ratio needs at least 3"):
    objectives.dlr(two, label)
  with pytest.raises(ValueError, match="2 classes: the ratio needs at least 4"):
    objectives.towards(label)(two, label)
  with pytest.raises(ValueError, match="count=2: must be from 1 to 1"):
    attacks.likeliest(two, label, 2)
