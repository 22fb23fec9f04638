"""The discriminative objective and its rivals, against loops in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrobust
from jaxrobust import methods, models
from jaxrobust.methods.discriminative import discriminative, stability

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(9, 5)) * 2
NOISY = FEATURES + RNG.normal(size=(9, 5)) / 2
LABELS = np.asarray([0, 1, 1, 3, 3, 3, 0, 1, 3])
MASK = np.asarray([1, 1, 1, 1, 1, 1, 1, 0, 0])
KERNEL = RNG.normal(size=(5, 4))
BIAS = RNG.normal(size=4)
OLD = RNG.normal(size=(4, 5))
SEEN = np.asarray([True, False, True, True])


def loop_loss(
  features,
  noisy,
  kernel,
  bias,
  rho=0.5,
  delta_v=0.5,
  delta_d=5.0,
  gamma=0.99,
  weight=1.0,
  centroid="partial",
):
  """The loss of the real rows, written out class by class in float64."""
  rows = np.flatnonzero(MASK)
  logits = features[rows] @ kernel + bias
  shifted = logits - logits.max(1, keepdims=True)
  log_probs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
  cross_entropy = -np.mean(log_probs[np.arange(len(rows)), LABELS[rows]])
  present = sorted(set(LABELS[rows]))
  total = 0.0
  for c in present:
    own = [i for i in rows if LABELS[i] == c]
    naive = np.mean([features[i] for i in own], axis=0)
    moved = gamma * OLD[c] + (1 - gamma) * naive if SEEN[c] else naive
    mean = naive if centroid == "naive" else moved
    edge = moved if centroid == "momentum" else naive

    def spread(q, own=own, mean=mean):
      out = [max(np.linalg.norm(q[i] - mean) - delta_v, 0) ** 2 for i in own]
      return np.mean(out)

    distances = [
      ((kernel[:, c] - kernel[:, j]) @ edge + bias[c] - bias[j])
      / np.linalg.norm(kernel[:, c] - kernel[:, j])
      for j in range(4)
      if j != c
    ]
    compact = (1 - rho) * spread(features)
    if noisy is not None:
      compact += rho * spread(noisy)
    total += (
      compact + max(delta_d - min(distances), 0) + 0.001 * np.linalg.norm(mean)
    )
  return cross_entropy + weight * total / len(present)


def value(objective, features, noisy, kernel, bias):
  features = jnp.asarray(features, jnp.float32)
  outputs = models.Outputs(features @ kernel + bias, features)
  second = None
  if noisy is not None:
    noisy = jnp.asarray(noisy, jnp.float32)
    second = models.Outputs(noisy @ kernel + bias, noisy)
  state = objective.initial_state(outputs)._replace(
    means=jnp.asarray(OLD, jnp.float32), seen=jnp.asarray(SEEN)
  )
  setting = methods.Setting(second, state, {"kernel": kernel, "bias": bias})
  batch = {"labels": jnp.asarray(LABELS), "mask": jnp.asarray(MASK)}
  values, notes = objective(outputs, batch, setting)
  return jnp.sum(values * MASK) / MASK.sum(), notes


@pytest.mark.quick
@pytest.mark.parametrize("view", [True, False])
@pytest.mark.parametrize(
  "fields",
  [
    {},
    {"delta_v": 0.1, "delta_d": 1.0, "gamma": 0.5, "weight": 0.3},
    {"centroid": "momentum", "gamma": 0.5},
    {"centroid": "naive"},
  ],
)
def test_it_is_the_loop_over_classes(fields, view):
  noisy = NOISY if view else None
  got, _ = value(
    discriminative(**fields), FEATURES, noisy, jnp.asarray(KERNEL), BIAS
  )
  rho = 0.5 if view else 0.0
  expected = loop_loss(FEATURES, noisy, KERNEL, BIAS, rho=rho, **fields)
  np.testing.assert_allclose(got, expected, rtol=2e-6)


def test_its_gradients_are_central_differences():
  """With momentum active: the stored centroid passes no gradient."""
  fields = {"gamma": 0.6, "delta_v": 0.2}
  objective = discriminative(**fields)
  arguments = [FEATURES, NOISY, KERNEL, BIAS]
  gradients = jax.grad(
    lambda *x: value(objective, *x)[0], argnums=(0, 1, 2, 3)
  )(*(jnp.asarray(x, jnp.float32) for x in arguments))
  for which, gradient in enumerate(gradients):
    for position in list(np.ndindex(arguments[which].shape))[::3]:
      ends = []
      for sign in (1, -1):
        moved = [x.copy() for x in arguments]
        moved[which][position] += sign * 1e-6
        ends.append(loop_loss(*moved, **fields))
      np.testing.assert_allclose(
        gradient[position], (ends[0] - ends[1]) / 2e-6, rtol=2e-4, atol=2e-6
      )


def test_momentum_shrinks_the_gradient_of_the_margin():
  """By 1 - gamma, for a class that was seen before."""

  def gradient(centroid):
    objective = discriminative(
      centroid=centroid, gamma=0.9, compactness_weight=0.0, norm_weight=0.0
    )

    def margin_alone(features):
      _, notes = value(objective, features, None, jnp.asarray(KERNEL), BIAS)
      return notes.metrics["margin"]

    return np.asarray(jax.grad(margin_alone)(jnp.asarray(FEATURES)))

  own = (LABELS == 3) & (MASK == 1)
  naive, momentum = gradient("partial")[own], gradient("momentum")[own]
  assert np.abs(momentum).max() > 0
  np.testing.assert_allclose(momentum, naive * 0.1, rtol=1e-4)


@pytest.mark.parametrize("detach", [True, False])
def test_a_detached_head_has_no_gradient_of_the_margin(detach):
  objective = discriminative(detach_head=detach)

  def margin_alone(kernel):
    _, notes = value(objective, FEATURES, NOISY, kernel, jnp.asarray(BIAS))
    return notes.metrics["margin"]

  gradient = jax.grad(margin_alone)(jnp.asarray(KERNEL, jnp.float32))
  assert bool((gradient == 0).all()) == detach


def test_features_of_bfloat16_are_summed_in_float32():
  objective = discriminative()
  features = jnp.asarray(FEATURES, jnp.bfloat16)
  outputs = models.Outputs(jnp.zeros((9, 4)), features)
  setting = methods.Setting(
    None,
    objective.initial_state(outputs),
    {"kernel": jnp.asarray(KERNEL), "bias": jnp.asarray(BIAS)},
  )
  batch = {"labels": jnp.asarray(LABELS), "mask": jnp.asarray(MASK)}
  values, notes = objective(outputs, batch, setting)
  assert values.dtype == jnp.float32
  assert {x.dtype for x in jax.tree.leaves(notes)} == {jnp.dtype("float32")}


@pytest.mark.quick
def test_stability_adds_how_far_noise_moves_the_features():
  outputs = models.Outputs(jnp.zeros((9, 4)), jnp.asarray(FEATURES))
  second = outputs._replace(features=jnp.asarray(NOISY))
  values, _ = stability(weight=0.5)(
    outputs, {"labels": jnp.asarray(LABELS)}, methods.Setting(second)
  )
  moved = np.linalg.norm(FEATURES - NOISY, axis=1)
  np.testing.assert_allclose(values, np.log(4) + 0.5 * moved, rtol=1e-5)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"weight": -1.0}, "weight=-1.0: must be a finite number >= 0"),
    ({"delta_v": float("inf")}, "delta_v=inf: must be a finite number >= 0"),
    ({"rho": 1.5}, "rho=1.5: must lie in"),
    ({"gamma": 1.0}, "gamma=1.0: must lie in"),
    ({"centroid": "mean"}, "centroid='mean': must be one of"),
  ],
)
def test_parameters_out_of_range_are_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    discriminative(**fields)


def test_a_margin_of_twice_the_radius_is_warned_about(
  tiny_config, tmp_path, capsys
):
  tiny_config.method = methods.preset("margin_compactness")
  tiny_config.method.objective.delta_v = 1.0
  tiny_config.method.objective.delta_d = 2.0
  jaxrobust.train(tiny_config, tmp_path / "doubtful")
  said = capsys.readouterr().out
  assert said.count("delta_d=2 is not more than 2 delta_v=2: classes may") == 1
  tiny_config.method.objective.delta_d = 2.5
  jaxrobust.train(tiny_config, tmp_path / "sound")
  assert "delta_d" not in capsys.readouterr().out


def changed(**fields):
  config = jaxrobust.default_config()
  config.method = methods.preset("discriminative")
  config.method.name = "mine"
  config.method.view.std = 0.1
  for field, new in fields.items():
    section, _, name = field.partition("_in_")
    config.method[name][section] = new
  return config


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    (
      {"label_smoothing_in_objective": 0.1},
      "objective.label_smoothing=0.1: not a parameter of 'discriminative'",
    ),
    (
      {"name_in_input": "mixup", "alpha_in_input": 1.0},
      "input.name='mixup': must be another with .* mixtures of classes",
    ),
    (
      {"name_in_view": "mixup", "std_in_view": None, "alpha_in_view": 1.0},
      "view.name='mixup': must be another with",
    ),
    (
      {"batch_norm_in_view": "both"},
      "config.method.view: batch_norm='both': must be one of",
    ),
    (
      {"name_in_view": "none", "std_in_view": None, "rho_in_objective": 0.5},
      "objective.rho=0.5: must be 0 without a second view",
    ),
    (
      {"name_in_view": "none", "std_in_view": None, "shared_aug_in_view": True},
      "view.shared_aug=True: not a parameter of 'none'",
    ),
    (
      {
        "name_in_objective": "stability",
        "name_in_view": "none",
        "std_in_view": None,
      },
      "objective.name='stability': needs a second view",
    ),
    (
      {"name_in_forward": "sampled", "sigma_in_forward": 0.1},
      "view.name='gaussian': needs config.method.forward.name='deterministic'",
    ),
    (
      {"name_in_view": "nosuch"},
      "config.method.view.name='nosuch': must be one of",
    ),
  ],
)
def test_what_cannot_go_together_is_refused(fields, message):
  with pytest.raises(jaxrobust.ConfigError, match=message):
    jaxrobust.validate(changed(**fields))


@pytest.mark.quick
def test_any_input_can_make_the_second_view():
  for view in ("alpha_stable", "uniform", "laplace", "adversarial"):
    config = changed(name_in_view=view, std_in_view=None)
    if view == "alpha_stable":
      config.method.view.alpha, config.method.view.scale = 1.0, 0.1
    elif view == "laplace":
      config.method.view.std = 0.1
    else:
      config.method.view.eps = 0.1
    jaxrobust.validate(config)


def test_the_best_test_epoch_is_marked_in_every_row(tiny_config, tmp_path):
  tiny_config.data.validation_split = ""
  tiny_config.eval.select = "best_test"
  outcome = jaxrobust.train(tiny_config, tmp_path / "run")
  assert {row["method"] for row in outcome.rows} == {
    "alpha_stable (best test epoch)"
  }
  tiny_config.data.validation_split = "train[60:90]"
  with pytest.raises(jaxrobust.ConfigError, match=r"eval\.select='best_test'"):
    jaxrobust.validate(tiny_config)
