"""1, 2, 4 and 8 devices have the same centroids, losses and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import centroids
from jaxrobust.training import parallel

RNG = np.random.default_rng(0)
CLASSES, WIDTH, ROWS = 6, 3, 16
INPUTS = RNG.normal(size=(2, ROWS, 4)).astype(np.float32)
# Class 0 is on one device only, 3 is first seen, 4 and 5 are absent.
LABELS = np.asarray([0, 0, 1, 2, 2, 1, 3, 3, 1, 2, 3, 1, 2, 4, 5, 0], np.int32)
MASK = np.asarray([1] * 13 + [0] * 3, np.float32)
# What padding holds is not to be seen anywhere.
INPUTS[:, 13:] = 1e3
ENCODER = RNG.normal(size=(4, WIDTH)).astype(np.float32)
KERNEL = RNG.normal(size=(WIDTH, CLASSES)).astype(np.float32)
BIAS = RNG.normal(size=CLASSES).astype(np.float32)
PARAMS = {"encoder": ENCODER, "kernel": KERNEL, "bias": BIAS}
OLD = centroids.Centroids(
  RNG.normal(size=(CLASSES, WIDTH)).astype(np.float32),
  np.asarray([True, True, True, False, True, False]),
  np.asarray([5, 4, 3, 0, 2, 0], np.int32),
)


def losses(params, features, labels, mask, axis_name):
  """All losses, added up, and all that they are made of."""
  clean, noisy = features
  batch = centroids.class_sums(
    clean, labels, CLASSES, mask=mask, axis_name=axis_name
  )
  state = centroids.update(OLD, batch, 0.9)
  rest = {"delta_v": 0.5, "mask": mask, "axis_name": axis_name}
  common = (labels, state.means, batch.counts)
  short, pairs = centroids.margin(
    batch, params["kernel"], params["bias"], delta_d=5.0
  )
  values = {
    "compactness": centroids.compactness(clean, *common, **rest),
    "alignment": centroids.alignment(noisy, *common, **rest),
    "margin": short,
    "length": centroids.regulariser(state.means, batch.present),
  }
  loss = centroids.mean_over_classes(sum(values.values()), batch.present)
  return loss, {"batch": batch, "state": state, "pairs": pairs, **values}


def differentiate(params, inputs, labels, mask, axis_name=None, by_count=True):
  """The gradients of this device's share of the loss, as a train step's."""

  def share_of_loss(params, aside):
    features = inputs @ params["encoder"] + aside
    loss, shown = losses(params, features, labels, mask, axis_name)
    if axis_name is None:
      return loss, (loss, shown)
    own = mask.sum() if by_count else jnp.ones(())
    return loss * own / jax.lax.psum(own, axis_name), (loss, shown)

  aside = jnp.zeros((*inputs.shape[:2], WIDTH))
  gradients, shown = jax.grad(share_of_loss, (0, 1), has_aux=True)(
    params, aside
  )
  to_params, to_features = gradients
  if axis_name is not None:
    to_params = jax.lax.psum(to_params, axis_name)
  return shown, to_params, to_features.swapaxes(0, 1)


@pytest.fixture(scope="module")
def expected():
  return jax.jit(differentiate)(PARAMS, INPUTS, LABELS, MASK)


@pytest.mark.parametrize(
  ("name", "count", "by_count"),
  [
    *((name, n, True) for name in ("pmap", "shard_map") for n in (1, 2, 4, 8)),
    # Any shares that add up to the whole will do.
    ("pmap", 8, False),
  ],
)
def test_any_number_of_devices_gives_the_same(name, count, by_count, expected):
  launcher = parallel.Launcher(name, jax.devices()[:count])

  def on_a_device(params, inputs, labels, mask):
    return differentiate(
      params, inputs.swapaxes(0, 1), labels, mask, parallel.AXIS, by_count
    )

  mapped = launcher.map(
    on_a_device,
    sharded_in=(False, True, True, True),
    sharded_out=(False, False, True),
  )
  found = mapped(
    launcher.replicate(PARAMS),
    *launcher.shard((INPUTS.swapaxes(0, 1), LABELS, MASK)),
  )
  shown, to_params, to_features = found
  found = (shown, to_params, launcher.gather(to_features))
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-6),
    found,
    expected,
  )


def test_what_is_compared_has_absent_classes_padding_and_gradients(expected):
  (_, shown), to_params, to_features = expected
  np.testing.assert_array_equal(shown["batch"].counts, [2, 4, 4, 3, 0, 0])
  kept = np.asarray(shown["state"].means)[4:]
  assert kept.tobytes() == OLD.means[4:].tobytes()
  for name in ("compactness", "alignment", "margin", "length"):
    assert np.count_nonzero(shown[name]) >= 3
  assert all(np.any(x) for x in jax.tree.leaves(to_params))
  assert to_features[:13].any(axis=(1, 2)).all()
  assert not to_features[13:].any()


def test_centroids_of_each_device_alone_would_give_another_loss(expected):
  """The sums over the devices are not idle."""
  half = jax.jit(differentiate)(PARAMS, INPUTS[:, :8], LABELS[:8], MASK[:8])
  other = jax.jit(differentiate)(PARAMS, INPUTS[:, 8:], LABELS[8:], MASK[8:])
  alone = (8 * half[0][0] + 5 * other[0][0]) / 13
  assert abs(alone - expected[0][0]) > 0.1
