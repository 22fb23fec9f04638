"""A random network is attacked by its mean answer over draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import classes_of, images, net

from jaxrobust import attacks

COUNT, STD = 60, 0.5
IMAGES = images(COUNT)
KEYS = jax.random.split(jax.random.key(1), 16)


def noisy(key, x):
  return net(x + STD * jax.random.normal(key, x.shape))


def test_it_is_the_logarithm_of_the_mean_probability():
  found = attacks.over_draws(noisy, KEYS)(jnp.asarray(IMAGES))
  each = [jax.nn.softmax(noisy(key, IMAGES)) for key in KEYS]
  np.testing.assert_allclose(np.exp(found), np.mean(each, axis=0), rtol=1e-5)


def test_its_attack_breaks_more_of_the_mean_than_that_of_one_draw():
  judged = attacks.over_draws(noisy, jax.random.split(jax.random.key(2), 64))
  labels = classes_of(judged, IMAGES)
  starts = jax.random.split(jax.random.key(3), COUNT)

  def left(keys):
    x = attacks.pgd(
      starts,
      attacks.over_draws(noisy, keys),
      IMAGES,
      labels,
      eps=0.15,
      steps=8,
      keep="last",
    )
    return (classes_of(judged, x) == labels).mean()

  assert left(KEYS) < left(KEYS[:1]) - 0.05


def test_keys_must_be_some():
  with pytest.raises(ValueError, match=r"keys of shape \(0,\): must be \[S\]"):
    attacks.over_draws(noisy, KEYS[:0])
