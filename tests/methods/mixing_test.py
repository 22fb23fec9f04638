"""Mixed inputs: whom an example is mixed with, by how much, and its target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxrobust import data, methods, models
from jaxrobust.methods import mixing

ROWS, REAL, CLASSES = 24, 19, 6
SHAPE = (6, 5, 1)


def make_batch(shape=SHAPE):
  rng = np.random.default_rng(0)
  real = np.arange(ROWS) < REAL
  inputs = rng.uniform(size=(ROWS, *shape)).astype(np.float32)
  inputs[~real] = np.nan  # What padding holds must reach no real example.
  return {
    "inputs": inputs,
    "labels": rng.integers(0, CLASSES, ROWS).astype(np.int32),
    "index": np.where(real, rng.permutation(ROWS), -1).astype(np.int32),
    "mask": real.astype(np.float32),
  }


def feed(name, batch=None, devices=1, step=3, **parameters):
  """What an input makes of a batch on some devices, as one batch again."""
  batch = batch or make_batch()
  function = methods.INPUTS[name](batch["inputs"].shape[1:], **parameters)

  def logits(x):
    # Finite for padding too.
    x = jnp.nan_to_num(x).reshape((len(x), -1))
    return x[:, :CLASSES] - x[:, CLASSES : 2 * CLASSES]

  def on_device(rows):
    draw = data.Draw(jax.random.key(0), rows["index"], jnp.int32(step))
    return function(rows, methods.Context(draw, 0.0, logits, "devices"))

  split = jax.tree.map(lambda x: x.reshape((devices, -1, *x.shape[1:])), batch)
  fed = jax.pmap(on_device, axis_name="devices")(split)
  return {
    k: np.asarray(v).reshape((ROWS, *v.shape[2:])) for k, v in fed.items()
  }


@pytest.mark.parametrize("devices", [2, 4, 8])
@pytest.mark.parametrize(
  ("name", "parameters"),
  [
    ("mixup", {}),
    ("mixup", {"per_batch": True}),
    ("augmix", {}),
    ("adversarial", {"eps": 0.1, "steps": 2}),
  ],
  ids=["mixup", "mixup_per_batch", "augmix", "adversarial"],
)
def test_devices_do_not_change_the_fed_batch(name, parameters, devices):
  one = feed(name, **parameters)
  many = feed(name, devices=devices, **parameters)
  assert one.keys() == many.keys()
  for entry, values in one.items():
    np.testing.assert_allclose(
      many[entry][:REAL], values[:REAL], rtol=1e-5, atol=1e-6
    )
  assert np.isfinite(one["inputs"][:REAL]).all()
  assert (one["inputs"] != make_batch()["inputs"])[:REAL].any()


def recovered(fed, batch):
  """The weights and partners by least squares over all pairs."""
  x = batch["inputs"].reshape((ROWS, -1))[:REAL].astype(np.float64)
  mixed = fed["inputs"].reshape((ROWS, -1))[:REAL].astype(np.float64)
  partners, weights = [], []
  for row in range(REAL):
    residuals = []
    for other in range(REAL):
      way = x[row] - x[other]
      weight = 1.0
      if other != row:
        weight = (mixed[row] - x[other]) @ way / (way @ way)
      rest = x[other] + weight * way - mixed[row]
      residuals.append((np.abs(rest).max(), other, weight))
    # One's own partner: any other with the weight 1 would explain it too.
    alone = (mixed[row] == x[row]).all()
    best = (0.0, row, 1.0) if alone else min(residuals)
    assert best[0] < 1e-5
    partners.append(best[1])
    weights.append(best[2])
  return np.asarray(partners), np.asarray(weights)


def test_mixup_mixes_inputs_and_labels_alike_with_real_partners():
  batch = make_batch()
  fed = feed("mixup", alpha=1.0)
  partners, weights = recovered(fed, batch)
  # A permutation of the real rows, and so none is padding.
  assert sorted(partners) == list(range(REAL))
  assert len(set(np.round(weights, 4))) > REAL // 2
  one_hot = np.eye(CLASSES)[batch["labels"][:REAL]]
  expected = weights[:, None] * one_hot
  expected += (1 - weights)[:, None] * one_hot[partners]
  np.testing.assert_allclose(fed["targets"][:REAL], expected, atol=1e-4)


def test_one_weight_for_a_batch_is_one_weight():
  partners, weights = recovered(
    feed("mixup", alpha=1.0, per_batch=True), make_batch()
  )
  mixed = weights[partners != np.arange(REAL)]
  np.testing.assert_allclose(mixed, mixed[0], atol=1e-4)


def test_mixup_mixes_the_real_labels_of_a_regression():
  batch = make_batch()
  labels = np.random.default_rng(1).normal(size=(ROWS, 2)).astype(np.float32)
  batch["labels"] = labels
  fed = feed("mixup", batch, alpha=1.0)
  partners, weights = recovered(fed, batch)
  expected = weights[:, None] * labels[:REAL]
  expected += (1 - weights)[:, None] * labels[partners]
  np.testing.assert_allclose(fed["targets"][:REAL], expected, atol=1e-4)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_the_weights_follow_the_symmetric_beta_law(alpha):
  rng = np.random.default_rng(2)
  uniforms = rng.uniform(size=(2, 20_000)).astype(np.float32)
  drawn = np.asarray(mixing.symmetric_beta(*uniforms, alpha), np.float64)
  # Away from 1, where float32 cannot tell the last 2 % of alpha = 0.2 apart.
  points = np.linspace(0.001, 0.999, 999)
  found = np.searchsorted(np.sort(drawn), points) / len(drawn)
  distance = np.abs(found - stats.beta(alpha, alpha).cdf(points)).max()
  # Kolmogorov's bound at the level 1e-3.
  assert distance < 1.95 / np.sqrt(len(drawn))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_takes_the_targets_of_the_batch(smoothing):
  rng = np.random.default_rng(3)
  logits = rng.normal(size=(5, CLASSES))
  targets = rng.dirichlet(np.ones(CLASSES), 5)
  objective = methods.OBJECTIVES["cross_entropy"](label_smoothing=smoothing)
  outputs = models.Outputs(jnp.asarray(logits), jnp.zeros((5, 1)))
  batch = {"labels": jnp.zeros(5, int), "targets": jnp.asarray(targets)}
  smooth = (1 - smoothing) * targets + smoothing / CLASSES
  expected = -(smooth * special.log_softmax(logits, axis=1)).sum(1)
  got, _ = objective(outputs, batch, methods.Setting())
  np.testing.assert_allclose(got, expected, 1e-5)


def test_an_adversarial_batch_is_within_its_ball_and_raises_the_loss():
  batch = make_batch()
  fed = feed("adversarial", eps=0.1, steps=3)
  change = (fed["inputs"] - batch["inputs"])[:REAL]
  assert np.abs(change).max() <= 0.1 + 1e-7
  assert fed["inputs"][:REAL].min() >= 0
  assert fed["inputs"][:REAL].max() <= 1

  def loss(inputs):
    x = inputs.reshape((ROWS, -1))[:REAL]
    logits = x[:, :CLASSES] - x[:, CLASSES : 2 * CLASSES]
    rows = np.arange(REAL)
    return -special.log_softmax(logits, axis=1)[rows, batch["labels"][:REAL]]

  assert (loss(fed["inputs"]) > loss(batch["inputs"])).all()


@pytest.mark.parametrize(
  ("name", "parameters", "words"),
  [
    ("mixup", {"alpha": 0.0}, "alpha=0.0: must be a finite number > 0"),
    ("adversarial", {"eps": -1.0}, "eps=-1.0: must be"),
    ("adversarial", {"eps": 0.1, "norm": "l1"}, "norm='l1': must be one of"),
    ("augmix", {"alpha": -1.0}, "alpha=-1.0: must be"),
    ("augmix", {"width": 0}, "width=0: must be at least 1"),
    ("augmix", {"depth": 4}, "depth=4: must be 1, 2 or 3, or -1"),
    ("augmix", {"severity": 11.0}, r"severity=11.0: must lie in \[0.1, 10\]"),
  ],
)
def test_a_wrong_parameter_is_named(name, parameters, words):
  with pytest.raises(ValueError, match=words):
    methods.INPUTS[name](SHAPE, **parameters)


def test_augmix_takes_images_only():
  with pytest.raises(ValueError, match=r"images \[H, W, C\]"):
    methods.INPUTS["augmix"]((50, 2))
