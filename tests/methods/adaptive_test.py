"""What an adaptive attack climbs of a network with noise inside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import evaluation, methods, models, moments
from jaxrobust.methods import sampled, smoothing, stochastic

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.uniform(size=(6, 4, 4, 1)), jnp.float32)
MODEL = models.build("mlp", num_classes=4, hidden=(12,))
VARIABLES = MODEL.init(jax.random.key(0), X)
MASK = jnp.ones(6)


def outputs_of(forward):
  return forward(MODEL, VARIABLES, X, MASK, False)[0]


def test_expected_logits_have_about_the_mean_softmax():
  mean = jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32)
  var = jnp.asarray(RNG.uniform(0.2, 1.0, size=(3, 4)), jnp.float32)
  draws = np.asarray(mean) + np.sqrt(var) * RNG.normal(size=(20_000, 3, 4))
  wanted = np.asarray(jax.nn.softmax(draws, axis=-1)).mean(axis=0)
  law = moments.Moments(mean, var)
  found = stochastic.expected_logits(models.Outputs(mean, mean, law))
  np.testing.assert_allclose(jax.nn.softmax(found), wanted, atol=0.03)
  # Nearer than the softmax of the mean, which is too sure.
  plain = np.abs(jax.nn.softmax(mean) - wanted).max()
  assert np.abs(jax.nn.softmax(found) - wanted).max() < plain


def test_expected_logits_of_draws_are_exact():
  draws = jnp.asarray(RNG.normal(size=(7, 3, 4)), jnp.float32)
  law = models.Samples(draws)
  found = stochastic.expected_logits(models.Outputs(draws[0], draws[0], law))
  wanted = jax.nn.softmax(draws).mean(axis=0)
  np.testing.assert_allclose(jnp.exp(found), wanted, rtol=1e-5)


def test_each_gradient_is_of_the_forward_that_it_names():
  forward = stochastic.moments_forward(sigma=0.5)
  assert forward.seen_by("derivative") is forward
  np.testing.assert_allclose(
    outputs_of(forward.seen_by("noise_off")).logits,
    MODEL.apply(VARIABLES, X).logits,
  )
  laws = {
    factor: outputs_of(
      forward.seen_by(f"expected(sigma*{factor})")
    ).distribution
    for factor in ("0.5", "1", "2")
  }
  # This mode's variance is a quadratic of sigma.
  np.testing.assert_allclose(laws["2"].var, 16 * laws["0.5"].var, rtol=1e-4)
  once = outputs_of(forward.seen_by("expected(sigma*1)"))
  shrunk = once.distribution.mean / np.sqrt(
    1 + np.pi / 8 * np.asarray(once.distribution.var)
  )
  np.testing.assert_allclose(once.logits, shrunk, rtol=1e-5)
  # The forward itself is as it was: judged without noise.
  assert outputs_of(forward).distribution is None


def test_a_forward_that_draws_is_climbed_in_its_mean():
  forward = sampled.sampled(sigma=0.5, samples=5)
  found = outputs_of(forward.seen_by("expected(sigma*1)"))
  np.testing.assert_allclose(jnp.exp(found.logits).sum(axis=1), 1.0, rtol=1e-5)


def test_every_name_of_the_table_is_a_forward():
  forward = stochastic.moments_forward(sigma=0.5, relu="moment")
  for name in forward.adaptive:
    assert outputs_of(forward.seen_by(name)).logits.shape == (6, 4)


def test_behind_a_smoother_both_are_climbed():
  inside = stochastic.moments_forward(sigma=0.5)
  behind = smoothing.BehindSmoother(inside, lambda images: images / 2)
  assert behind.adaptive == (*methods.GRADIENTS, *inside.adaptive[1:])
  halved = inside.seen_by("noise_off")(MODEL, VARIABLES, X / 2, MASK, False)[0]
  through = outputs_of(behind.seen_by("noise_off"))
  np.testing.assert_allclose(through.logits, halved.logits)
  for name in behind.adaptive:
    assert outputs_of(behind.seen_by(name)).logits.shape == (6, 4)
  # Without noise there is nothing to adapt to.
  plain = smoothing.BehindSmoother(
    methods.forwards.deterministic(), lambda images: images
  )
  assert not hasattr(plain, "adaptive")


def test_the_smoother_has_gradients_of_its_own():
  assert "adaptive" not in methods.GRADIENTS
  with pytest.raises(ValueError, match="could not convert"):
    stochastic.moments_forward(sigma=0.5).seen_by("transfer")
  (cell,) = evaluation.apgd_cells([0.1], losses=["ce"], gradient="adaptive")
  assert cell.name == "apgd-ce(steps=100, gradient=adaptive)"
