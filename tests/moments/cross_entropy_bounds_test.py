"""Expected cross-entropies: bounds bound, and approximations are close."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

from jaxrobust.moments import cross_entropy_bounds as bounds

RNG = np.random.default_rng(0)
CLASSES = 10
# Twelve random logits, from certain to vague, under weak and strong noise.
SIZE = np.tile([2.0, 6.0], 6)[:, None]
MEAN = (SIZE * RNG.normal(size=(12, CLASSES))).astype(np.float32)
LEVEL = np.repeat([0.1, 1.0, 4.0, 9.0], 3)[:, None]
VAR = (LEVEL * RNG.uniform(0.5, 1.5, (12, CLASSES))).astype(np.float32)
LABELS = RNG.integers(0, CLASSES, 12)
TARGETS = np.eye(CLASSES, dtype=np.float32)[LABELS]
ROOT = RNG.normal(size=(12, CLASSES, CLASSES)) * np.sqrt(LEVEL[..., None] / 10)
COV = (ROOT @ ROOT.swapaxes(1, 2)).astype(np.float32)

WITH_TARGETS = {
  name: getattr(bounds, f"cross_entropy_{name}")
  for name in ("delta", "tilted", "bohning", "exponential")
}
WITH_TARGETS["lower"] = lambda mean, var, targets: bounds.cross_entropy_lower(
  mean, targets
)
ALL = WITH_TARGETS | {
  "mean_field": lambda mean, var, targets: bounds.cross_entropy_mean_field(
    mean, var, targets.argmax(-1)
  )
}


def plain(logits, targets):
  """Cross-entropy of known logits, in float64."""
  return -(targets * special.log_softmax(logits, -1)).sum(-1)


def sampled(root, count=40_000):
  """The expected cross-entropy with noise root @ e, and standard error."""
  noise = np.random.default_rng(1).normal(size=(count, 1, CLASSES, 1))
  values = np.concatenate(
    [
      plain(MEAN + (root @ part)[..., 0], TARGETS)
      for part in np.split(noise, 10)
    ]
  )
  return values.mean(0), values.std(0) / np.sqrt(count)


@functools.cache
def exact_of_two():
  """Pairs of logits, and their E CE by Gauss-Hermite quadrature."""
  rng = np.random.default_rng(2)
  mean = rng.normal(size=(40, 2), scale=3)
  var = rng.uniform(0, 1, (40, 2)) * np.repeat([0.05, 1, 5, 20], 10)[:, None]
  nodes, weights = np.polynomial.hermite_e.hermegauss(180)
  spread = np.sqrt(var.sum(-1))[:, None] * nodes
  # CE of class 0 is softplus(z_1 - z_0).
  gap = (mean[:, 1] - mean[:, 0])[:, None] + spread
  weights = weights / weights.sum()
  expected = np.logaddexp(0, gap) @ weights
  probability = special.expit(-gap) @ weights
  return mean, var, expected, probability


def test_the_bounds_are_in_order_around_the_mean_over_samples():
  mean, error = sampled(np.sqrt(VAR)[..., None] * np.eye(CLASSES))
  got = {name: loss(MEAN, VAR, TARGETS) for name, loss in ALL.items()}
  assert (got["lower"] <= mean + 4.5 * error).all()
  assert (mean <= got["tilted"] + 4.5 * error).all()
  assert (got["tilted"] <= got["exponential"] + 1e-5).all()
  assert (mean <= got["bohning"] + 4.5 * error).all()


def test_the_bounds_are_in_order_around_the_integral_for_two_classes():
  mean, var, expected, _ = exact_of_two()
  targets = np.tile([1.0, 0.0], (40, 1))
  got = {name: loss(mean, var, targets) for name, loss in ALL.items()}
  slack = 1e-5 * (1 + expected)
  assert (got["lower"] <= expected + slack).all()
  assert (expected <= got["tilted"] + slack).all()
  assert (got["tilted"] <= got["exponential"] + slack).all()
  assert (expected <= got["bohning"] + slack).all()


def test_delta_and_tilted_are_close_to_the_integral_for_small_noise():
  mean, var, expected, _ = exact_of_two()
  targets = np.tile([1.0, 0.0], (40, 1))
  small = var.max(-1) < 0.05
  for name in ("delta", "tilted"):
    got = WITH_TARGETS[name](mean, var, targets)
    np.testing.assert_allclose(got[small], expected[small], atol=3e-4)


def test_mean_field_is_close_to_the_mean_probability():
  mean, var, _, probability = exact_of_two()
  got = bounds.cross_entropy_mean_field(mean, var, np.zeros(40, int))
  np.testing.assert_allclose(np.exp(-got), probability, atol=0.02)


def test_mean_field_is_its_formula():
  values = []
  for mean, var, label in zip(MEAN, VAR, LABELS, strict=True):
    others = [j for j in range(CLASSES) if j != label]
    gaps = [
      (mean[label] - mean[j]) / np.sqrt(1 + np.pi / 8 * (var[label] + var[j]))
      for j in others
    ]
    values.append(np.log1p(np.exp(-np.asarray(gaps, float)).sum()))
  got = bounds.cross_entropy_mean_field(MEAN, VAR, LABELS)
  np.testing.assert_allclose(got, values, rtol=1e-5)


@pytest.mark.parametrize("full", [False, True])
def test_tilted_is_the_best_of_its_family(full):
  noise = COV if full else VAR
  for i in range(12):
    mean = MEAN[i].astype(float)
    cov = (COV[i] if full else np.diag(VAR[i])).astype(float)

    def bound(a, mean=mean, cov=cov):
      moved = mean + 0.5 * np.diag(cov) - cov @ a
      value = 0.5 * a @ cov @ a + special.logsumexp(moved)
      return value, cov @ (a - special.softmax(moved))

    best = optimize.minimize(bound, special.softmax(mean), jac=True)
    got = bounds.cross_entropy_tilted(
      MEAN[i : i + 1], noise[i : i + 1], TARGETS[i : i + 1]
    )
    expected = best.fun - mean[LABELS[i]]
    np.testing.assert_allclose(got, [expected], atol=0.01, rtol=1e-4)


def test_more_iterations_make_the_tilted_bound_no_worse():
  got = [
    bounds.cross_entropy_tilted(MEAN, 3 * VAR, TARGETS, iterations=n)
    for n in (1, 3, 8, 30)
  ]
  for before, after in itertools.pairwise(got):
    assert (after <= before + 1e-4).all()


def test_the_tilted_gradient_is_that_of_the_bound():
  def total(var):
    return bounds.cross_entropy_tilted(MEAN, var, TARGETS, iterations=30).sum()

  slope = jax.grad(total)(VAR)
  direction = RNG.normal(size=VAR.shape).astype(np.float32) * VAR
  step = 1e-2
  up, down = (total(VAR + sign * step * direction) for sign in (1, -1))
  numerical = (up - down) / (2 * step)
  np.testing.assert_allclose((slope * direction).sum(), numerical, rtol=2e-2)


def test_the_bounds_hold_for_correlated_logits():
  mean, error = sampled(ROOT)
  for name in ("tilted", "bohning"):
    assert (mean <= WITH_TARGETS[name](MEAN, COV, TARGETS) + 4.5 * error).all()


def test_delta_has_the_curvature_of_log_sum_exp():
  hessian = jax.vmap(jax.hessian(jax.nn.logsumexp))(MEAN)
  excess = 0.5 * np.einsum("njk,njk->n", hessian, COV.astype(float))
  got = bounds.cross_entropy_delta(MEAN, COV, TARGETS)
  expected = plain(MEAN.astype(float), TARGETS) + excess
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["delta", "tilted", "bohning"])
def test_a_diagonal_covariance_is_as_good_as_variances(name):
  diagonal = VAR[..., None] * np.eye(CLASSES, dtype=np.float32)
  np.testing.assert_allclose(
    WITH_TARGETS[name](MEAN, diagonal, TARGETS),
    WITH_TARGETS[name](MEAN, VAR, TARGETS),
    rtol=1e-4,
    atol=1e-5,
  )


@pytest.mark.parametrize("name", ["delta", "tilted", "bohning"])
def test_noise_that_all_logits_share_costs_nothing(name):
  loss = WITH_TARGETS[name]
  np.testing.assert_allclose(
    loss(MEAN, COV + 5, TARGETS), loss(MEAN, COV, TARGETS), atol=2e-2
  )


@pytest.mark.parametrize("name", ALL)
def test_without_noise_it_is_the_cross_entropy_of_the_means(name):
  def total(mean, var):
    return ALL[name](mean, var, TARGETS).sum()

  got = ALL[name](MEAN, 0 * VAR, TARGETS)
  np.testing.assert_allclose(got, plain(MEAN, TARGETS), rtol=1e-5, atol=1e-6)
  slopes = jax.grad(total, (0, 1))(MEAN, 0 * VAR)
  expected = special.softmax(MEAN, -1) - TARGETS
  np.testing.assert_allclose(slopes[0], expected, atol=1e-5)
  assert np.isfinite(slopes[1]).all()


@pytest.mark.parametrize("name", ["delta", "tilted", "bohning"])
def test_without_noise_a_covariance_has_finite_gradients(name):
  def total(cov):
    return WITH_TARGETS[name](MEAN, cov, TARGETS).sum()

  value, slope = jax.value_and_grad(total)(0 * COV)
  np.testing.assert_allclose(value, plain(MEAN, TARGETS).sum(), rtol=1e-5)
  assert np.isfinite(slope).all()


@pytest.mark.parametrize("name", ALL)
def test_strong_noise_and_large_logits_stay_finite(name):
  def total(mean, var):
    return ALL[name](mean, var, TARGETS).sum()

  value, slopes = jax.value_and_grad(total, (0, 1))(
    1e3 * MEAN, jnp.full_like(VAR, 1e3)
  )
  assert np.isfinite(value)
  assert all(np.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize("name", ALL)
def test_certain_logits_lose_no_accuracy_by_their_size(name):
  mean = MEAN + np.float32(1024)
  np.testing.assert_allclose(
    ALL[name](mean, VAR, TARGETS),
    ALL[name](mean - np.float32(1024), VAR, TARGETS),
    rtol=1e-4,
    atol=1e-5,
  )


@pytest.mark.parametrize("name", WITH_TARGETS)
def test_targets_mix_linearly(name):
  first, second = TARGETS, np.roll(TARGETS, 1, axis=-1)
  loss = functools.partial(WITH_TARGETS[name], MEAN, VAR)
  mixed = loss(0.3 * first + 0.7 * second)
  expected = 0.3 * loss(first) + 0.7 * loss(second)
  np.testing.assert_allclose(mixed, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_an_example_has_the_same_loss_in_every_batch(name):
  together = ALL[name](MEAN, VAR, TARGETS)
  for i in (0, 7):
    part = slice(i, i + 1)
    alone = ALL[name](MEAN[part], VAR[part], TARGETS[part])
    np.testing.assert_allclose(together[part], alone, rtol=1e-5, atol=1e-6)


def test_no_iteration_is_refused():
  with pytest.raises(ValueError, match="iterations=0: must be at least 1"):
    bounds.cross_entropy_tilted(MEAN, VAR, TARGETS, iterations=0)
