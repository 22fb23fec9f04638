"""What other networks' attacks find is tried on the one that is judged."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import classes_of, images, net

from jaxrobust import attacks

EPS = 0.1
IMAGES = images(40)
LABELS = classes_of(net, IMAGES)
ATTACK = functools.partial(attacks.pgd, eps=EPS, steps=10)


def masked(x):
  """The same answers, and no gradient."""
  return net(jnp.round(x * 4096) / 4096)


def wrong(logits_fn, found):
  return int(np.sum(np.argmax(logits_fn(found), 1) != LABELS))


def mirrored(x):
  return -net(x)


def test_a_surrogate_without_masking_breaks_what_white_box_attacks_do_not():
  key = jax.random.key(0)
  blind = ATTACK(key, masked, IMAGES, LABELS)
  found = attacks.transfer(key, [net], masked, IMAGES, LABELS, attack=ATTACK)
  assert wrong(masked, found) > wrong(masked, blind)
  assert np.abs(np.asarray(found) - IMAGES).max() <= EPS + 1e-6


def test_each_example_keeps_the_worst_of_all_surrogates_and_of_itself():
  keys = jax.random.split(jax.random.key(1), len(IMAGES))
  surrogates = [mirrored, net, masked]
  found = attacks.transfer(keys, surrogates, net, IMAGES, LABELS, attack=ATTACK)

  def margins(x):
    logits = np.array(net(x))
    rows = np.arange(len(x))
    own = logits[rows, LABELS]
    logits[rows, LABELS] = -np.inf
    return logits.max(1) - own

  candidates = [margins(IMAGES)]
  for number, surrogate in enumerate(surrogates):
    own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
    candidates.append(margins(ATTACK(own, surrogate, IMAGES, LABELS)))
  np.testing.assert_allclose(margins(found), np.max(candidates, 0), atol=1e-5)


def test_no_surrogate_is_refused():
  with pytest.raises(ValueError, match=r"surrogates=.*at least one"):
    attacks.transfer(jax.random.key(0), [], net, IMAGES, LABELS, attack=ATTACK)
