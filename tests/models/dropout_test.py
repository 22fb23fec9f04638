"""Dropout drops its share, in training only, by the examples' own keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import models
from jaxrobust.methods import forwards

KEYS = jax.random.split(jax.random.key(1), 200)
INPUTS = np.random.default_rng(0).uniform(size=(200, 8, 8, 1))
INPUTS = INPUTS.astype(np.float32)
MASK = np.ones(200, np.float32)


def run(name, rate, train, keys, inputs=INPUTS, hidden=(40, 30)):
  model = models.build(name, num_classes=3, hidden=hidden, dropout=rate)
  variables = model.init(jax.random.key(0), inputs[:1])
  mask = MASK[: len(inputs)]
  forward = forwards.deterministic()
  outputs, _ = forward(model, variables, inputs, mask, train, keys)
  return np.asarray(outputs.features), np.asarray(outputs.logits)


@pytest.mark.parametrize("name", ["mlp", "small_cnn"])
def test_the_share_of_dropped_units_is_the_rate(name):
  whole, _ = run(name, 0.0, True, KEYS, hidden=(40,))
  dropped, _ = run(name, 0.4, True, KEYS, hidden=(40,))
  alive = whole.mean(axis=0) > 0.02
  share = (dropped == 0)[:, alive].mean() - (whole == 0)[:, alive].mean()
  expected = 0.4 * (whole != 0)[:, alive].mean()
  assert share == pytest.approx(expected, abs=0.08)


def test_kept_units_are_scaled_up_so_that_the_mean_stays():
  units = jnp.ones((200, 50))
  dropped = np.asarray(models.base.dropout(units, 0.3, KEYS, 0))
  kept = dropped[dropped > 0]
  np.testing.assert_allclose(kept, 1 / 0.7, rtol=1e-6)
  assert len(kept) / dropped.size == pytest.approx(0.7, abs=0.025)
  other = np.asarray(models.base.dropout(units, 0.3, KEYS, 1))
  both = ((dropped > 0) & (other > 0)).mean()
  assert both == pytest.approx(0.49, abs=0.025)


@pytest.mark.parametrize("name", ["mlp", "small_cnn"])
def test_nothing_is_dropped_in_evaluation(name):
  for keys in (None, KEYS):
    for found, expected in zip(
      run(name, 0.4, False, keys), run(name, 0.0, False, None), strict=True
    ):
      np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["mlp", "small_cnn"])
def test_an_example_keeps_its_mask_in_another_batch(name):
  _, whole = run(name, 0.4, True, KEYS)
  _, part = run(name, 0.4, True, KEYS[:20], INPUTS[:20])
  np.testing.assert_allclose(part, whole[:20], rtol=1e-5, atol=1e-6)


def test_training_without_keys_is_refused():
  with pytest.raises(ValueError, match=r"dropout=0.4 needs keys \[N\]"):
    run("mlp", 0.4, True, None)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
  with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\), got"):
    models.build("mlp", num_classes=3, dropout=rate)
