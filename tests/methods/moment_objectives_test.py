"""Objectives of a stochastic forward read the law that it gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxrobust import methods, models
from jaxrobust.methods import moment_objectives
from jaxrobust.moments import (
  Joint,
  Linear,
  Moments,
  Stable,
  cross_entropy_bounds,
  losses,
)

NAMES = moment_objectives.MOMENT_OBJECTIVES
OF_CLASSES = ("pairwise", "cross_entropy_mean_field")
OF_COVARIANCES = (
  "pairwise",
  "cross_entropy_delta",
  "cross_entropy_tilted",
  "cross_entropy_bohning",
)
RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=(5, 4)).astype(np.float32)
VAR = RNG.uniform(0.1, 2.0, (5, 4)).astype(np.float32)
LABELS = np.asarray([0, 3, 1, 1, 2], np.int32)
ONE_HOT = np.eye(4, dtype=np.float32)[LABELS]
ROOT = RNG.normal(size=(5, 4, 4)).astype(np.float32)
COV = ROOT @ ROOT.swapaxes(1, 2)


def values(name, law, batch=None, **parameters):
  objective = methods.OBJECTIVES[name](**parameters)
  outputs = models.Outputs(MEAN, MEAN, law)
  got, notes = objective(
    outputs, batch or {"labels": LABELS}, methods.Setting()
  )
  assert notes == methods.Notes()
  assert got.shape == (5,)
  assert got.dtype == jnp.float32
  return np.asarray(got)


def gaussian_pairs(mean, cov):
  """-sum of log Phi, in float64."""
  totals = []
  for m, s, c in zip(mean, cov.astype(float), LABELS, strict=True):
    others = [j for j in range(4) if j != c]
    std = [np.sqrt(s[c, c] + s[j, j] - 2 * s[c, j]) for j in others]
    totals.append(-stats.norm.logcdf((m[c] - m[others]) / std).sum())
  return np.asarray(totals)


def diagonal(var):
  return var[..., None] * np.eye(4, dtype=np.float32)


def test_all_are_in_the_table():
  assert set(NAMES) <= set(methods.OBJECTIVES)


def expected(name):
  mean, var = MEAN.astype(float), VAR.astype(float)
  if name == "expected_mse":
    return ((ONE_HOT - mean) ** 2 + var).sum(-1)
  if name == "cross_entropy_lower":
    return -(ONE_HOT * special.log_softmax(mean, -1)).sum(-1)
  if name == "pairwise":
    return gaussian_pairs(mean, diagonal(var))
  if name == "cross_entropy_mean_field":
    return cross_entropy_bounds.cross_entropy_mean_field(MEAN, VAR, LABELS)
  module = losses if hasattr(losses, name) else cross_entropy_bounds
  return getattr(module, name)(MEAN, VAR, ONE_HOT)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_loss_of_its_name(name):
  got = values(name, Moments(MEAN, VAR))
  np.testing.assert_allclose(got, expected(name), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_stable_noise_of_index_2_is_gaussian_with_twice_its_squared_scale(name):
  law = Stable(MEAN, np.sqrt(VAR / 2), alpha=2.0)
  np.testing.assert_allclose(values(name, law), expected(name), rtol=1e-4)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(OF_CLASSES)))
def test_targets_of_the_batch_take_the_place_of_labels(name):
  law = Moments(MEAN, VAR)
  got = values(name, law, {"labels": 0 * LABELS, "targets": ONE_HOT})
  np.testing.assert_array_equal(got, values(name, law))


@pytest.mark.parametrize("name", OF_CLASSES)
def test_those_of_classes_refuse_mixed_targets(name):
  batch = {"labels": LABELS, "targets": ONE_HOT}
  with pytest.raises(ValueError, match=f"{name} needs one class per example"):
    values(name, Moments(MEAN, VAR), batch)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("law", [None, models.Outputs(MEAN, MEAN)])
def test_a_forward_without_moments_is_refused(name, law):
  expected = f"objective {name} needs .*config.method.forward.name='moments'"
  with pytest.raises(ValueError, match=expected):
    values(name, law)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"pairwise"}))
def test_a_law_without_variances_is_refused(name):
  expected = f"objective {name} needs variances.* alpha=1.5 < 2 has no second"
  with pytest.raises(ValueError, match=expected):
    values(name, Stable(MEAN, VAR, alpha=1.5))


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.5])
def test_pairwise_of_stable_noise_has_the_stable_law(alpha):
  got = values("pairwise", Stable(MEAN, VAR, alpha=alpha))
  for value, m, s, c in zip(got[:2], MEAN, VAR, LABELS, strict=False):
    others = [j for j in range(4) if j != c]
    scale = (s[c] ** alpha + s[others] ** alpha) ** (1 / alpha)
    cdf = stats.levy_stable.cdf((m[c] - m[others]) / scale, alpha, 0)
    np.testing.assert_allclose(value, -np.log(cdf).sum(), rtol=1e-4)


@pytest.mark.parametrize("alpha", [1.0, 1.5])
def test_pairwise_of_a_jacobian_knows_what_two_logits_share(alpha):
  # Independent logits with a disturbance that all of them share.
  shared = np.ones((5, 4, 1), np.float32)
  jacobian = np.concatenate([diagonal(VAR), shared], -1)
  got = values("pairwise", Linear(MEAN, jacobian, alpha=alpha))
  alone = values("pairwise", Stable(MEAN, VAR, alpha=alpha))
  np.testing.assert_allclose(got, alone, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_jacobian_of_gaussian_noise_is_a_covariance(name):
  got = values(name, Linear(MEAN, ROOT / np.sqrt(2), alpha=2.0))
  np.testing.assert_allclose(got, values(name, Joint(MEAN, COV)), rtol=1e-4)


def test_pairwise_of_stable_noise_can_be_trained():
  def total(mean, scale):
    law = Stable(mean, scale, alpha=1.5)
    outputs = models.Outputs(mean, mean, law)
    objective = moment_objectives.pairwise()
    return objective(outputs, {"labels": LABELS}, {})[0].sum()

  gradient = jax.jit(jax.grad(total, (0, 1)))
  # Wrong and certain by far, and right by far.
  for mean, scale in ((MEAN, VAR), (1e4 * MEAN, 0 * VAR)):
    slopes = gradient(mean, scale)
    assert all(np.isfinite(slope).all() for slope in slopes)
    assert any((slope != 0).any() for slope in slopes)


@pytest.mark.parametrize("name", NAMES)
def test_a_covariance_is_used_where_it_matters(name):
  got = values(name, Joint(MEAN, COV))
  var = np.diagonal(COV, axis1=1, axis2=2)
  alone = values(name, Moments(MEAN, var))
  if name not in OF_COVARIANCES:
    np.testing.assert_allclose(got, alone, rtol=1e-6)
    return
  if name == "pairwise":
    full = gaussian_pairs(MEAN, COV)
  else:
    full = getattr(cross_entropy_bounds, name)(MEAN, COV, ONE_HOT)
  np.testing.assert_allclose(got, full, rtol=1e-4)
  assert np.abs(got - alone).max() > 0.05


def test_the_expected_squared_error_of_samples_is_their_average():
  samples = RNG.normal(size=(7, 5, 4)).astype(np.float32)
  got = values("expected_mse", models.Samples(samples))
  average = ((samples - ONE_HOT) ** 2).sum(-1).mean(0)
  np.testing.assert_allclose(got, average, rtol=1e-5)


@pytest.mark.parametrize(
  ("name", "parameter", "value"),
  [
    ("gaussian_nll", "var_floor", 0.0),
    ("gaussian_nll", "var_floor", float("nan")),
    ("pairwise", "scale_floor", -1.0),
    ("pairwise", "scale_floor", float("inf")),
    ("cross_entropy_tilted", "iterations", 0),
  ],
)
def test_a_parameter_out_of_range_is_refused(name, parameter, value):
  with pytest.raises(ValueError, match=f"{parameter}={value}: must be"):
    methods.OBJECTIVES[name](**{parameter: value})


def test_parameters_reach_the_losses():
  law = Moments(MEAN, 0 * VAR)
  floored = values("gaussian_nll", law, var_floor=0.25)
  assert (floored == losses.gaussian_nll(MEAN, 0 * VAR + 0.25, ONE_HOT)).all()
  wide = values("pairwise", law, scale_floor=2.0)
  at_floor = gaussian_pairs(MEAN, diagonal(0 * VAR + 2.0))
  np.testing.assert_allclose(wide, at_floor, rtol=1e-5)
  few, many = (
    values("cross_entropy_tilted", Moments(MEAN, 20 * VAR), iterations=count)
    for count in (1, 20)
  )
  assert (many < few).any()


def test_parameters_are_fields_of_the_config():
  config = methods.preset("stochastic")
  config.name = "own"
  config.forward.sigma = 0.6
  config.objective.name = "cross_entropy_tilted"
  config.objective.iterations = 3
  assert callable(methods.build(config, (2,)).objective)
  config.objective.iterations = 0
  with pytest.raises(
    ValueError, match=r"config\.method\.objective: iterations"
  ):
    methods.build(config, (2,))
