"""Each sign that an attack cannot be trusted is seen, and none is made up."""

import jax
import jax.numpy as jnp
import numpy as np
from networks import classes_of, images, net

from jaxrobust.attacks import selfchecks

IMAGES = images(20)
LABELS = jnp.asarray(classes_of(net, IMAGES))


def test_answers_that_change_from_call_to_call_are_random():
  logits = net(IMAGES)
  assert not selfchecks.is_random(logits, logits, LABELS)
  assert not selfchecks.is_random(logits, logits * (1 + 1e-6), LABELS)
  noise = 0.01 * jax.random.normal(jax.random.key(0), logits.shape)
  assert selfchecks.is_random(logits, logits + noise, LABELS)
  assert selfchecks.is_random(logits, logits * jnp.nan, LABELS)


def test_probabilities_are_told_from_logits():
  logits = net(IMAGES)
  assert selfchecks.are_probabilities(jax.nn.softmax(logits))
  assert not selfchecks.are_probabilities(logits)
  assert not selfchecks.are_probabilities(jax.nn.log_softmax(logits))
  assert not selfchecks.are_probabilities(jax.nn.sigmoid(logits))


def test_an_image_without_a_gradient_is_named():
  def half(x):
    flat = x.reshape((len(x), -1)).sum(axis=1)
    # Rounded for the bright images.
    bright = flat > jnp.median(flat)
    return net(jnp.where(bright[:, None, None, None], jnp.round(x), x))

  flat = IMAGES.reshape((20, -1)).sum(axis=1)
  found = selfchecks.without_gradient(half, jnp.asarray(IMAGES), LABELS)
  np.testing.assert_array_equal(found, flat > np.median(flat))
  broken = selfchecks.without_gradient(
    lambda x: jnp.sqrt(net(x) * 0), jnp.asarray(IMAGES), LABELS
  )
  assert broken.all()


def test_a_black_box_that_wins_is_noticed():
  stronger = selfchecks.black_box_is_stronger
  assert stronger({"apgd-ce": 0.5, "fab-t": 0.49, "square": 0.45})
  assert not stronger({"apgd-ce": 0.5, "square": 0.499})
  assert not stronger({"square": 0.1})
  assert not stronger({"apgd-ce": 0.1})


def test_what_stands_in_a_ball_of_everything_is_noticed():
  labels = np.asarray([0] * 6 + [1] * 4)
  assert not selfchecks.large_ball_stands(0.6, labels)
  assert selfchecks.large_ball_stands(0.7, labels)


def test_every_flag_has_a_meaning_in_one_line():
  assert set(selfchecks.MEANINGS) == {
    "random",
    "probabilities",
    "zero_gradients",
    "black_box_stronger",
    "large_ball_stands",
  }
  assert all("\n" not in text for text in selfchecks.MEANINGS.values())
