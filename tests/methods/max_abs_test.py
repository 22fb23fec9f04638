"""Winsorised noise on series is the free one, clipped by numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import data, methods

SERIES = np.random.default_rng(0).normal(size=(40, 9, 2)).astype(np.float32)
PARTS = [
  ("gaussian", {"std": 3.0}),
  ("uniform", {"eps": 5.0}),
  ("laplace", {"std": 3.0}),
  ("alpha_stable", {"alpha": 1.0, "scale": 1.0}),
]


def noisy(name, shape=(9, 2), **parameters):
  draw = data.Draw(jax.random.key(0), jnp.arange(40), jnp.asarray(3))
  corrupt = methods.INPUTS[name](shape, **parameters)
  return corrupt({"inputs": SERIES}, methods.Context(draw))["inputs"]


@pytest.mark.parametrize(("name", "parameters"), PARTS)
def test_noisy_series_are_set_to_the_bound(name, parameters):
  free = noisy(name, **parameters)
  bounded = noisy(name, **parameters, max_abs=2.5)
  assert np.abs(free).max() > 2.5
  np.testing.assert_array_equal(bounded, np.clip(free, -2.5, 2.5))


@pytest.mark.parametrize("max_abs", [0.0, -1.0, float("inf"), float("nan")])
def test_a_bound_that_is_none_is_refused(max_abs):
  with pytest.raises(ValueError, match=f"max_abs={max_abs}: must be"):
    noisy("gaussian", std=1.0, max_abs=max_abs)


def test_images_have_a_clip_of_their_own():
  with pytest.raises(ValueError, match="not clipped"):
    noisy("gaussian", shape=(3, 3, 1), std=1.0, max_abs=1.0)
