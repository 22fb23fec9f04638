"""Certificates hold: of a linear classifier, whose radius is its margin."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrobust import evaluation

_RNG = np.random.default_rng(0)
WEIGHTS = _RNG.normal(size=12).astype(np.float32)
WEIGHTS /= np.linalg.norm(WEIGHTS)
STD, COUNT = 0.5, 3000


def linear(x):
  """Two classes apart by a plane; the first is where the distance is > 0."""
  distance = x.reshape((len(x), -1)) @ WEIGHTS
  return jnp.stack([distance, -distance], axis=1)


def images_at(distances):
  """Images [N, 2, 3, 2] at so many signed distances from the plane."""
  along = np.asarray(distances, np.float32)[:, None] * WEIGHTS
  aside = _RNG.normal(size=along.shape).astype(np.float32)
  aside -= np.outer(aside @ WEIGHTS, WEIGHTS)
  return (along + aside).reshape((-1, 2, 3, 2))


def keys(count, seed=0):
  return jax.random.split(jax.random.key(seed), count)


@functools.partial(jax.jit, static_argnames=("logits_fn", "batch"))
def votes_jit(keys, images, draws, first=0, std=STD, logits_fn=linear, batch=8):
  return evaluation.count_votes(
    keys, logits_fn, images, std=std, draws=draws, batch=batch, first=first
  )


def votes_of(*arguments, **options):
  return np.asarray(votes_jit(*arguments, **options))


def test_votes_are_binomial_with_the_chance_of_one_draw():
  found = votes_of(keys(COUNT), images_at(np.full(COUNT, 0.2)), 10, batch=40)
  assert found.dtype == np.int32
  assert (found.sum(axis=1) == 10).all()
  chance = stats.norm.cdf(0.2 / STD)
  expected = COUNT * stats.binom.pmf(np.arange(11), 10, chance)
  seen = np.bincount(found[:, 0], minlength=11)
  kept = expected > 5
  statistic = ((seen - expected)[kept] ** 2 / expected[kept]).sum()
  assert statistic < stats.chi2.ppf(0.999, kept.sum() - 1)


def test_votes_depend_neither_on_the_batch_nor_on_who_else_is_there():
  images = images_at(_RNG.normal(size=7, scale=0.3))
  whole = votes_of(keys(7), images, 50)
  np.testing.assert_array_equal(votes_of(keys(7), images, 50, batch=7), whole)
  order = np.asarray([2, 3, 0, 1, 0, 6, 5])
  others = votes_of(keys(7)[order], images[order], 50)
  np.testing.assert_array_equal(others, whole[order])


def test_the_votes_of_several_calls_add_up():
  images = images_at(_RNG.normal(size=7, scale=0.3))
  parts = [votes_of(keys(7), images, n, f) for n, f in ((9, 0), (41, 9))]
  assert (parts[0].sum(axis=1) == 9).all()
  np.testing.assert_array_equal(sum(parts), votes_of(keys(7), images, 50))


def test_noise_is_not_clipped_and_logits_that_are_no_numbers_have_no_vote():
  def parted(x):
    """By the pixel: below 0 broken, above 1 the second class, or the first."""
    first = jnp.where(x < 0, jnp.nan, x <= 1)
    return jnp.concatenate([first, x > 1], axis=1)

  found = votes_of(keys(50), np.zeros((50, 1)), 40, logits_fn=parted)
  above, below = 2000 * stats.norm.sf(1 / STD), 1000
  assert found[:, 1].sum() == pytest.approx(above, abs=5 * above**0.5)
  assert 2000 - found.sum() == pytest.approx(below, abs=5 * below**0.5)


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"std": 0.0}, "std=0.0: must be a finite number > 0"),
    ({"draws": 0}, "draws=0: must be at least 1"),
    ({"batch": 0}, "batch=0: must be at least 1"),
    ({"keys": keys(2)}, r"keys of shape \(2,\): must be \[3\]"),
  ],
)
def test_votes_that_cannot_be_counted_are_refused(options, words):
  options = {"keys": keys(3), "std": 1.0, "draws": 2, **options}
  with pytest.raises(ValueError, match=words):
    evaluation.count_votes(
      options.pop("keys"), linear, np.zeros((3, 12)), **options
    )


@pytest.mark.parametrize("alpha", [0.001, 0.05])
@pytest.mark.parametrize("draws", [1, 37, 100_000])
def test_radii_are_those_of_clopper_and_pearsons_bound(alpha, draws):
  most = np.unique(np.linspace(0, draws, 12).astype(int))
  estimation = np.stack([draws - most, most], axis=1)
  selection = np.tile([1, 9], (len(most), 1))
  found = evaluation.certify(
    selection, estimation, std=STD, draws=draws, alpha=alpha
  )
  for k, predicted, radius in zip(
    most, found.classes, found.radii, strict=True
  ):
    low = (
      stats.binomtest(int(k), draws, alternative="greater")
      .proportion_ci(1 - alpha, "exact")
      .low
    )
    if k:
      assert low == pytest.approx(stats.beta.ppf(alpha, k, draws - k + 1))
    if low > 0.5:
      assert predicted == 1
      assert radius == pytest.approx(STD * stats.norm.ppf(low), rel=1e-6)
    else:
      assert (predicted, radius) == (-1, 0)


def test_the_class_is_the_one_selected_not_the_one_estimated():
  selection, estimation = np.asarray([[6, 4]]), np.asarray([[10, 990]])
  found = evaluation.certify(selection, estimation, std=STD, draws=1000)
  assert found.classes.tolist() == [-1]


def test_votes_for_nobody_lower_the_radius():
  selection, estimation = np.asarray([[9, 0]]), np.asarray([[900, 0]])
  sure = evaluation.certify(selection, estimation, std=STD, draws=900)
  less = evaluation.certify(selection, estimation, std=STD, draws=1000)
  assert 0 < less.radii[0] < sure.radii[0]


def test_certificates_are_wrong_no_more_often_than_promised():
  """The true radius is the distance from the plane, whatever the noise."""
  alpha, draws = 0.1, 100
  images = images_at(np.full(COUNT, 0.15))
  few = votes_of(keys(COUNT), images, 20, batch=40)
  votes = votes_of(keys(COUNT), images, draws, 20, batch=40)
  found = evaluation.certify(few, votes, std=STD, draws=draws, alpha=alpha)
  wrong = (found.radii > 0.15) | (found.classes == 1)
  assert wrong.sum() <= stats.binom.ppf(0.999, COUNT, alpha)
  # And is not safe by being useless: a discrete bound errs nearly as often.
  assert wrong.sum() > 0.04 * COUNT


def test_with_many_draws_the_radius_is_the_distance_from_the_plane():
  distances = np.asarray([0.1, -0.2, 0.4, -0.6])
  draws = 200_000
  votes = votes_of(keys(4), images_at(distances), draws, batch=2000)
  found = evaluation.certify(votes, votes, std=STD, draws=draws)
  assert found.classes.tolist() == [0, 1, 0, 1]
  np.testing.assert_allclose(found.radii, abs(distances), atol=0.01)
  assert (found.radii < abs(distances)).all()


@pytest.mark.parametrize("alpha", [0.001, 0.2])
def test_predictions_are_those_of_a_two_sided_binomial_test(alpha):
  votes = _RNG.integers(0, 50, size=(400, 4))
  votes[0], votes[1] = [0, 0, 0, 0], [5, 0, 5, 0]
  found = evaluation.predict_smoothed(votes, alpha)
  assert len(set(found)) == 5
  for own, predicted in zip(votes, found, strict=True):
    first, second = np.argsort(-own, kind="stable")[:2]
    total = int(own[first] + own[second])
    sure = total > 0 and stats.binomtest(int(own[first]), total).pvalue <= alpha
    assert predicted == (first if sure else -1)


@pytest.mark.parametrize(
  ("call", "words"),
  [
    (
      lambda votes: evaluation.certify(votes, votes, std=0, draws=9),
      "std=0: must be",
    ),
    (
      lambda votes: evaluation.certify(votes, votes, std=1, draws=2),
      "draws=2: must be at least 3, the votes",
    ),
    (
      lambda votes: evaluation.certify(votes, votes[:1], std=1, draws=9),
      r"must both be \[N, K\]",
    ),
    (
      lambda votes: evaluation.certify(votes, votes, std=1, draws=9, alpha=1),
      r"alpha=1: must lie in \(0, 1\)",
    ),
    (lambda votes: evaluation.predict_smoothed(votes, 0), "alpha=0: must lie"),
    (
      lambda votes: evaluation.predict_smoothed(votes[:, :1]),
      r"votes of shape \(2, 1\)",
    ),
  ],
)
def test_what_certifies_nothing_is_refused(call, words):
  with pytest.raises(ValueError, match=words):
    call(np.asarray([[1, 2], [2, 0]]))
