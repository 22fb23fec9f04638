"""The chain of bounds on the curvature of a smoothed loss, and its ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from curved_networks import HEAD, features, gelu, hessians, inputs, keys, relu

from jaxrobust import evaluation

STD = 0.5
SIZE = 4
RNG = np.random.default_rng(0)
SQUARE = RNG.normal(size=(SIZE, SIZE))
SQUARE = ((SQUARE + SQUARE.T) / 2).astype(np.float32)
HIDDEN = RNG.normal(size=(SIZE, 16)).astype(np.float32)
OUT = RNG.normal(size=(16, 3)).astype(np.float32)


def bounds(logits_fn, x, labels, pairs, std=STD):
  @jax.jit
  def run(keys, x, labels):
    return evaluation.loss_variance(
      keys, logits_fn, x, labels, std=std, pairs=pairs
    )

  return jax.tree.map(np.asarray, run(keys(len(x)), x, labels))


def quadratic(x):
  """Its loss for class 0 is x^T A x / 2 + b, far from the other's."""
  form = jnp.einsum("ni,ij,nj->n", x, SQUARE, x) / 2
  return jnp.stack([-form, jnp.full(len(x), 60.0)], axis=1)


def kinked(x):
  return jax.nn.relu(x @ HIDDEN) @ OUT


def by_noise_alone(loss, x, std, count=2_000_000):
  """Var, E of the square, and ||H_s||^2 by Hermite polynomials, in float64."""
  rng = np.random.default_rng(1)
  e = rng.normal(size=(count, SIZE))
  change = loss(x + std * e) - loss(x)
  second = (change[:, None] * e).T @ e / count - change.mean() * np.eye(SIZE)
  linear = (change[:, None] * e).mean(0)
  return {
    "norm": (second**2).sum() / std**4,
    "variance": 2 * change.var() / std**4,
    "nonlinear": 2 * (change.var() - (linear**2).sum()) / std**4,
    "mean_square": 2 * (change**2).mean() / std**4,
  }


def test_a_centred_quadratic_has_equality():
  x = jnp.zeros((1, SIZE))
  found = bounds(quadratic, x, jnp.zeros(1, int), pairs=200_000)
  norm = (SQUARE**2).sum()
  for value in (found.variance, found.nonlinear, found.even):
    assert value[0] == pytest.approx(norm, rel=0.03)
  # The mean square has the square of the mean besides.
  assert found.mean_square[0] == pytest.approx(
    norm + np.trace(SQUARE) ** 2 / 2, rel=0.03
  )


def test_off_the_centre_the_linear_part_is_what_is_taken_off():
  x = jnp.asarray([[0.5, -1.0, 0.3, 0.8]])
  found = bounds(quadratic, x, jnp.zeros(1, int), pairs=200_000)
  norm = (SQUARE**2).sum()
  linear = 2 * float(((SQUARE @ x[0]) ** 2).sum()) / STD**2
  assert found.variance[0] == pytest.approx(norm + linear, rel=0.03)
  assert found.nonlinear[0] == pytest.approx(norm, rel=0.03)
  assert found.even[0] == pytest.approx(norm, rel=0.03)


def test_kinks_keep_to_the_chain_and_to_an_oracle_without_gradients():
  """ReLU and logsumexp; the oracle draws noise of its own in float64."""
  x = np.asarray([0.3, -0.2, 0.1, 0.4])

  def loss(x):
    z = np.maximum(x @ HIDDEN.astype(np.float64), 0) @ OUT
    top = z.max(-1, keepdims=True)
    return np.log(np.exp(z - top).sum(-1)) + top[..., 0] - z[..., 1]

  true = by_noise_alone(loss, x, STD)
  found = bounds(
    kinked, jnp.asarray(x[None], jnp.float32), jnp.ones(1, int), pairs=200_000
  )
  for name in ("variance", "nonlinear", "mean_square"):
    assert getattr(found, name)[0] == pytest.approx(true[name], rel=0.03)
  order = [true["norm"], found.even[0], found.nonlinear[0], found.variance[0]]
  order += [found.mean_square[0], found.logits[0]]
  assert (np.diff(order) > 0).all()


def test_few_pairs_are_right_on_average():
  """Unbiased: the mean over many examples with two pairs each."""
  count = 100_000
  x = jnp.broadcast_to(jnp.asarray([0.3, -0.2, 0.1, 0.4]), (count, SIZE))
  labels = jnp.ones(count, int)
  few = bounds(kinked, x, labels, pairs=2)
  many = bounds(kinked, x[:1], labels[:1], pairs=count)
  for name in few._fields:
    assert getattr(few, name).mean() == pytest.approx(
      getattr(many, name)[0], rel=0.06
    )


def test_the_antithetic_form_is_the_hessian_of_a_smooth_network():
  images, labels = inputs(6)
  found = bounds(gelu, images, labels, pairs=1000, std=0.01)
  true = (hessians(gelu, images, labels) ** 2).sum((1, 2))
  np.testing.assert_allclose(found.even, true, rtol=0.25)
  assert np.mean(found.even / true) == pytest.approx(1, abs=0.1)


def test_features_move_as_far_as_noise_takes_them():
  x = jnp.zeros((2, SIZE))
  found = evaluation.feature_stability(
    keys(2), lambda x: x @ HIDDEN, x, std=0.1, pairs=20_000
  )
  np.testing.assert_allclose(found, 0.01 * (HIDDEN**2).sum(), rtol=0.03)


def test_the_bound_by_the_features_holds_and_is_loose():
  images, labels = inputs(6)
  found = bounds(relu, images, labels, pairs=200, std=0.03)
  moved = evaluation.feature_stability(
    keys(6), lambda x: features(x, jax.nn.relu), images, std=0.03, pairs=200
  )
  gap = evaluation.largest_gap(HEAD)
  differences = HEAD.T[:, None] - HEAD.T[None]
  assert gap == pytest.approx(np.linalg.norm(differences, axis=-1).max(), 1e-6)
  bound = 2 * gap**2 / 0.03**4 * np.asarray(moved)
  assert (bound > found.mean_square).all()


def test_the_noise_of_both_is_the_same():
  """So that one pass of the network can serve both."""
  x, labels = jnp.zeros((2, SIZE)), jnp.zeros(2, int)

  def first(x):
    return jnp.stack([x[:, 0], -x[:, 0]], axis=1)

  found = bounds(first, x, labels, pairs=3)
  moved = evaluation.feature_stability(
    keys(2), lambda x: x[:, :1], x, std=STD, pairs=3
  )
  np.testing.assert_allclose(found.logits * STD**4 / 8, moved, rtol=1e-5)
