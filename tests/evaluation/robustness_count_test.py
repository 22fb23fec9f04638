"""Robustness counts: their law, their groups, their correlations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from curved_networks import keys
from scipy import stats

from jaxrobust import evaluation

COUNT = 20_000


def above_half(x):
  return jnp.stack([x[:, 0] - 0.5, 0.5 - x[:, 0]], axis=1)


def counts(values, std, **options):
  x = jnp.full((COUNT, 1), values, jnp.float32)
  run = jax.jit(
    lambda keys: evaluation.robustness_count(
      keys, above_half, x, jnp.zeros(COUNT, int), std=std, **options
    )
  )
  return np.asarray(run(keys(COUNT)))


def test_counts_are_binomial_with_the_chance_of_one_draw():
  found = counts(0.6, 0.2)
  chance = stats.norm.cdf((0.6 - 0.5) / 0.2)
  expected = COUNT * stats.binom.pmf(np.arange(11), 10, chance)
  seen = np.bincount(found, minlength=11)
  kept = expected > 5
  statistic = ((seen - expected)[kept] ** 2 / expected[kept]).sum()
  assert statistic < stats.chi2.ppf(0.999, kept.sum() - 1)
  assert found.dtype == np.int32


def test_noisy_images_stay_within_their_bounds():
  def sees_bounds(x):
    inside = (x.min(1) >= 0) & (x.max(1) <= 1)
    return jnp.stack([inside, ~inside], axis=1).astype(jnp.float32)

  x = jnp.full((4, 50), 0.5)
  arguments = keys(4), sees_bounds, x, jnp.zeros(4, int)
  found = evaluation.robustness_count(*arguments, std=1.0)
  np.testing.assert_array_equal(found, 10)
  free = evaluation.robustness_count(*arguments, std=1.0, low=None, high=None)
  np.testing.assert_array_equal(free, 0)


def test_logits_that_are_no_numbers_are_not_recognised():
  found = evaluation.robustness_count(
    keys(3), lambda x: jnp.full((len(x), 2), jnp.nan), jnp.zeros((3, 2)),
    jnp.zeros(3, int), std=0.1,
  )  # fmt: skip
  np.testing.assert_array_equal(found, 0)


def test_groups_have_the_means_of_their_images():
  rng = np.random.default_rng(0)
  recognised = rng.integers(2, 9, size=500)
  curvatures = rng.exponential(size=500) / recognised
  groups = evaluation.robustness_groups(curvatures, recognised)
  assert groups.sizes.sum() == 500
  assert groups.sizes[[0, 1, 9, 10]].sum() == 0
  for count in range(11):
    own = curvatures[recognised == count]
    if len(own):
      assert groups.means[count] == pytest.approx(own.mean())
    else:
      assert np.isnan(groups.means[count])
  pearson = stats.pearsonr(curvatures, recognised).statistic
  assert groups.pearson == pytest.approx(pearson)
  spearman = stats.spearmanr(curvatures, recognised).statistic
  assert groups.spearman == pytest.approx(spearman)
  of_groups = stats.pearsonr(groups.means[2:9], np.arange(2, 9)).statistic
  assert groups.pearson_of_groups == pytest.approx(of_groups)


def test_images_that_are_all_alike_have_no_correlation():
  groups = evaluation.robustness_groups(np.asarray([1.0, 2.0]), [10, 10])
  assert np.isnan([groups.pearson, groups.pearson_of_groups]).all()
  assert np.isnan(groups.spearman)


def test_a_count_beyond_the_draws_is_refused():
  with pytest.raises(ValueError, match="counts from 1 to 11: must be from 0"):
    evaluation.robustness_groups(np.ones(2), np.asarray([1, 11]))
