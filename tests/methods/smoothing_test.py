"""Smoothers as inputs, and the networks behind them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import filters, inverse_scale, methods, models
from jaxrobust.methods import forwards, smoothing

SHAPE = (8, 8, 1)
IMAGES = jax.random.uniform(jax.random.key(0), (3, *SHAPE))
MASK = jnp.ones(3)
MODEL = models.build("mlp", num_classes=3, hidden=(5,))
VARIABLES = MODEL.init(jax.random.key(1), IMAGES)


def built(**fields):
  config = methods.preset("inverse_scale")
  config.input.update(fields)
  return methods.build(config, SHAPE)


def logits(forward, images):
  return forward(MODEL, VARIABLES, images, MASK, False)[0].logits


def test_on_the_fly_each_level_is_that_of_the_smoother():
  part = built(fractions=(0.2, 0.6), cache=False).input
  for progress, fraction in ((0.0, 0.2), (0.49, 0.2), (0.5, 0.6), (0.99, 0.6)):
    expected = inverse_scale.smooth(IMAGES, fraction, nu=1.0, steps=20).images
    np.testing.assert_allclose(
      part.prepare(IMAGES, jnp.asarray(progress)), expected, atol=1e-6
    )


def test_all_levels_at_once_are_the_levels_one_by_one():
  part = built(fractions=(0.2, 0.6), cache=False).input
  one_by_one = [part.prepare(IMAGES, progress) for progress in (0.0, 0.9)]
  np.testing.assert_allclose(part.levels(IMAGES), one_by_one, atol=1e-6)


def test_carried_levels_are_those_of_one_run_of_the_flow():
  part = built(fractions=(0.2, 0.6), flow="carried", steps=60).input
  run = inverse_scale.path(IMAGES, (0.2, 0.6), nu=1.0, steps=60).images
  np.testing.assert_allclose(part.levels(IMAGES), run, atol=1e-6)


def test_a_cached_input_leaves_smoothed_examples_as_they_are():
  part = built(cache=True).input
  assert part.prepare(IMAGES, 0.0) is IMAGES
  assert part({"inputs": IMAGES}, None) == {"inputs": IMAGES}


def test_in_evaluation_the_network_sees_smoothed_images():
  forward = built(fractions=(0.1, 0.3)).forward
  smoothed = inverse_scale.smooth(IMAGES, 0.3, nu=1.0, steps=20).images
  seen = logits(forwards.deterministic(), smoothed)
  np.testing.assert_allclose(logits(forward, IMAGES), seen, atol=1e-5)


def test_in_training_the_network_sees_what_it_is_fed():
  forward = built().forward
  outputs, _ = forward(MODEL, VARIABLES, IMAGES, MASK, True)
  plain, _ = forwards.deterministic()(MODEL, VARIABLES, IMAGES, MASK, True)
  np.testing.assert_array_equal(outputs.logits, plain.logits)


def test_without_smoothing_in_evaluation_the_forward_is_the_plain_one():
  forward = built(smooth_eval="off").forward
  assert not isinstance(forward, smoothing.BehindSmoother)


def test_adaptive_smoothing_takes_a_level_for_each_image():
  noise = 0.2 * jax.random.normal(jax.random.key(2), IMAGES.shape)
  flat = jnp.full(SHAPE, 0.5)
  images = jnp.stack([flat, flat + noise[0], flat + 0.3 * noise[1]])
  levels = inverse_scale.levels_for(
    inverse_scale.estimate_noise(images), side=8
  )
  assert len(set(levels.round(3).tolist())) == 3
  expected = [
    inverse_scale.smooth(image[None], level, nu=1.0, steps=20).images[0]
    for image, level in zip(images, levels, strict=True)
  ]
  forward = built(smooth_eval="adaptive").forward
  np.testing.assert_allclose(forward.smooth(images), expected, atol=1e-6)


def test_the_derivative_is_that_of_averaging_with_the_support_held():
  forward = built(fractions=(0.3,)).forward
  found = inverse_scale.smooth(IMAGES, 0.3, nu=1.0, steps=20)
  labels = inverse_scale.component_labels(found.support)

  def loss(x):
    return logits(forward.seen_by("derivative"), x)[:, 0].sum()

  inner = jax.grad(lambda x: logits(forwards.deterministic(), x)[:, 0].sum())(
    found.images
  )
  averaged = inverse_scale.component_means(inner, labels)
  np.testing.assert_allclose(jax.grad(loss)(IMAGES), averaged, atol=1e-5)


def test_straight_through_has_the_smoothers_values_and_no_derivative_of_it():
  forward = built(fractions=(0.3,)).forward
  straight = forward.seen_by("straight_through")
  np.testing.assert_allclose(
    logits(straight, IMAGES), logits(forward, IMAGES), atol=1e-5
  )

  def gradient(network, x):
    return jax.grad(lambda x: logits(network, x)[:, 0].sum())(x)

  np.testing.assert_allclose(
    gradient(straight, IMAGES),
    gradient(forwards.deterministic(), forward.smooth(IMAGES)),
    atol=1e-5,
  )


def test_transfer_is_the_network_without_its_smoother():
  forward = built().forward
  plain = logits(forwards.deterministic(), IMAGES)
  np.testing.assert_array_equal(
    logits(forward.seen_by("transfer"), IMAGES), plain
  )


def test_a_smoother_in_front_of_noise_inside_keeps_what_the_forward_has():
  config = methods.preset("stochastic")
  config.name = "smoothed, stochastic"
  config.input.name = "inverse_scale"
  config.forward.sigma = 0.3
  forward = methods.build(config, SHAPE).forward
  assert forward.noise.place == "first"
  variables = dict(VARIABLES)
  own = forward.parameters(MODEL, variables, IMAGES)
  variables["params"] = {**variables["params"], **own}
  outputs, _ = forward(MODEL, variables, IMAGES, MASK, False)
  inner, _ = forward.forward(
    MODEL, variables, forward.smooth(IMAGES), MASK, False
  )
  np.testing.assert_array_equal(outputs.logits, inner.logits)


@pytest.mark.parametrize(
  ("name", "parameters", "function"),
  [
    ("blur", {"sigma": 0.8}, lambda x: filters.gaussian_blur(x, 0.8)),
    ("low_pass", {"cutoff": 0.5}, lambda x: filters.low_pass(x, 0.5)),
    ("median", {"size": 3}, lambda x: filters.median(x, 3)),
    (
      "chambolle",
      {"weight": 0.1, "iterations": 7},
      lambda x: filters.chambolle(x, 0.1, iterations=7),
    ),
  ],
)
def test_a_filter_is_what_is_fed_and_judged(name, parameters, function):
  config = methods.preset("standard")
  config.name, config.input.name = name, name
  config.input.cache = False
  config.input.update(parameters)
  method = methods.build(config, SHAPE)
  expected = jnp.clip(function(IMAGES), 0, 1)
  np.testing.assert_allclose(
    method.input.prepare(IMAGES, 0.0), expected, atol=1e-6
  )
  np.testing.assert_allclose(method.forward.smooth(IMAGES), expected, atol=1e-6)


def test_the_cache_is_on_unless_there_is_a_second_view():
  assert built().input.cache is True
  config = methods.preset("inverse_scale")
  config.view.name, config.view.std = "gaussian", 0.1
  config.objective.name = "stability"
  config.name = "smoothed, stability"
  assert methods.build(config, SHAPE).input.cache is False


def test_a_smoothed_second_view_is_smoothed_on_the_fly():
  config = methods.preset("stability")
  config.name = "stability, smoothed view"
  config.view.name, config.view.fractions = "inverse_scale", (0.3,)
  method = methods.build(config, SHAPE)
  expected = inverse_scale.smooth(IMAGES, 0.3, nu=1.0, steps=20).images
  np.testing.assert_allclose(
    method.view.input.prepare(IMAGES, 0.0), expected, atol=1e-6
  )
  assert not isinstance(method.forward, smoothing.BehindSmoother)


@pytest.mark.parametrize(
  ("fields", "words"),
  [
    ({"fractions": (0.2, 1.2)}, r"input: fractions=\(0.2, 1.2\): must be"),
    ({"smooth_eval": "yes"}, "smooth_eval='yes': must be one of .*adaptive"),
    ({"flow": "new"}, "flow='new': must be one of .*carried"),
    ({"edges": "all"}, "edges='all': must be one of"),
    ({"nu": 0.0}, "nu=0.0: must be positive"),
    ({"fractions": (0.2, "a")}, r"fractions=\(0.2, 'a'\): must be numbers"),
    (
      {"flow": "carried", "cache": False},
      "flow='carried' with cache=False: must be 'anew'",
    ),
  ],
)
def test_a_wrong_parameter_is_refused_by_its_name(fields, words):
  with pytest.raises(ValueError, match=words):
    built(**fields)


@pytest.mark.parametrize(
  ("slot", "field", "value", "words"),
  [
    ("input", "cache", True, "input.cache=True: must be False with a second"),
    ("input", "flow", "carried", "input.flow='carried': must be 'anew' with"),
    ("view", "cache", True, "view.cache=True: must be False with a second"),
    ("view", "smooth_eval", "on", "view.smooth_eval='on': must be None"),
  ],
)
def test_what_a_second_view_excludes_is_refused(slot, field, value, words):
  config = methods.preset("stability")
  config.name = "own"
  config.input.name = config.view.name = "inverse_scale"
  config[slot][field] = value
  with pytest.raises(ValueError, match=words):
    methods.build(config, SHAPE)


def test_adaptive_levels_are_of_the_inverse_scale_smoother_alone():
  config = methods.preset("standard")
  config.name = config.input.name = "blur"
  config.input.sigma, config.input.smooth_eval = 1.0, "adaptive"
  with pytest.raises(ValueError, match=r"'adaptive': must be one of .*off"):
    methods.build(config, SHAPE)


def test_adaptive_levels_are_those_of_images():
  config = methods.preset("inverse_scale")
  config.input.smooth_eval = "adaptive"
  with pytest.raises(ValueError, match="must be 'on' or 'off' for series"):
    methods.build(config, (12, 1))


def test_beyond_the_range_the_value_is_cut_and_the_derivative_is_not():
  images = jnp.asarray([-0.2, 0.0, 0.5, 1.3]).reshape((1, 4, 1, 1))
  cut = smoothing.in_range(images).ravel()
  np.testing.assert_allclose(cut, [0.0, 0.0, 0.5, 1.0])
  slope = jax.grad(lambda x: smoothing.in_range(x).sum())(images)
  np.testing.assert_array_equal(slope, jnp.ones_like(images))
