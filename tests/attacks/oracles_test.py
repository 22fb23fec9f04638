"""Robust accuracies agree with exact ones and with another library's.

Within one point, on 400 images.
"""

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

COUNT = 400
IMAGES = images(COUNT)
KEYS = jax.random.split(jax.random.key(0), COUNT)


def labels_of(logits_fn):
  return classes_of(logits_fn, IMAGES)


def fallen(logits_fn, name, **options):
  labels = labels_of(logits_fn)

  @jax.jit
  def run(keys, images):
    function = getattr(attacks, name)
    return function(keys, logits_fn, images, labels, **options)

  found = np.argmax(np.asarray(logits_fn(run(KEYS, IMAGES))), axis=1)
  return found != labels


def exactly_fallen(classes, eps):
  """Who falls within the ball and [0, 1], pair by pair of classes.

  The difference of two logits is largest at the corner of the box that the
  signs of the weights' difference choose.
  """
  images = IMAGES.reshape((COUNT, -1)).astype(np.float64)
  weights = WEIGHTS[:, :classes].astype(np.float64)
  labels = (images @ weights).argmax(axis=1)
  lower, upper = np.maximum(images - eps, 0), np.minimum(images + eps, 1)
  falls = np.zeros(COUNT, bool)
  for rival in range(classes):
    difference = weights[:, rival] - weights.T[labels]
    corner = np.where(difference > 0, upper, lower)
    falls |= (difference * corner).sum(axis=1) > 0
  return falls


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("fgsm", {"loss": "ce"}),
    ("fgsm", {"loss": "margin"}),
    ("pgd", {"loss": "ce", "restarts": 2}),
    ("pgd", {"loss": "margin", "restarts": 2}),
  ],
)
def test_a_linear_model_of_two_classes_has_its_exact_robust_accuracy(
  name, options
):
  def two(x):
    return linear(x)[:, :2]

  for eps in (0.03, 0.08):
    exact = exactly_fallen(2, eps)
    assert 0.1 < exact.mean() < 0.9
    found = fallen(two, name, eps=eps, **options)
    assert found.mean() == pytest.approx(exact.mean(), abs=0.01)


@pytest.mark.parametrize("loss", ["ce", "margin"])
def test_a_linear_model_of_five_classes_falls_where_it_can_and_nowhere_else(
  loss,
):
  exact = exactly_fallen(CLASSES, 0.05)
  assert 0.1 < exact.mean() < 0.9
  found = fallen(linear, "pgd", eps=0.05, loss=loss)
  assert (found <= exact).all()
  assert found.mean() == pytest.approx(exact.mean(), abs=0.01)


def of_foolbox(name, loss, eps, **options):
  """Who falls by foolbox, which knows the cross-entropy alone by itself."""
  import eagerpy
  import foolbox

  class Attack(getattr(foolbox.attacks, name)):
    def get_loss_fn(self, model, labels):
      if loss == "ce":
        return super().get_loss_fn(model, labels)

      def margin(inputs):
        logits = model(inputs)
        own = logits[range(len(labels)), labels]
        rows = labels.raw[:, None] == jnp.arange(CLASSES)
        rest = logits - eagerpy.astensor(1e9 * rows.astype(jnp.float32))
        return (rest.max(axis=1) - own).sum()

      return margin

  model = foolbox.JAXModel(net, bounds=(0, 1))
  labels = labels_of(net)
  _, found, _ = Attack(**options)(
    model, jnp.asarray(IMAGES), jnp.asarray(labels), epsilons=eps
  )
  return np.argmax(np.asarray(net(found)), axis=1) != labels


@pytest.mark.parametrize("loss", ["ce", "margin"])
@pytest.mark.parametrize(
  ("theirs", "norm", "eps"),
  [("LinfPGD", "linf", 0.05), ("L2PGD", "l2", 0.2)],
)
@pytest.mark.filterwarnings("ignore")
def test_as_many_fall_by_forty_steps_as_by_foolbox(theirs, norm, eps, loss):
  pytest.importorskip("foolbox")
  share = of_foolbox(
    theirs, loss, eps, steps=40, rel_stepsize=2.5 / 40, random_start=False
  ).mean()
  ours = fallen(net, "pgd", eps=eps, norm=norm, loss=loss, random_start=False)
  assert 0.1 < share < 0.9
  assert ours.mean() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("loss", ["ce", "margin"])
@pytest.mark.parametrize(
  ("theirs", "norm", "eps"),
  [
    ("LinfFastGradientAttack", "linf", 0.05),
    ("L2FastGradientAttack", "l2", 0.2),
  ],
)
@pytest.mark.filterwarnings("ignore")
def test_as_many_fall_by_one_step_as_by_foolbox(theirs, norm, eps, loss):
  pytest.importorskip("foolbox")
  share = of_foolbox(theirs, loss, eps, random_start=False).mean()
  ours = fallen(net, "fgsm", eps=eps, norm=norm, loss=loss)
  assert 0.1 < share < 0.95
  assert ours.mean() == pytest.approx(share, abs=0.01)


def test_a_gradient_that_is_no_number_fools_nobody():
  """The square root's is none where the features are zero."""

  def broken(x):
    flat = x.reshape((len(x), -1))
    none = jnp.sqrt(jnp.sum(jnp.maximum(flat - 2.0, 0.0) ** 2, axis=1))
    return jnp.stack([1.0 + none, none], axis=1) + 1e-3 * flat[:, :2]

  assert not fallen(broken, "pgd", eps=0.1, steps=3).any()
