"""Bursts: the chain's stationary law, its lengths, and the noise inside."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrobust.alpha_stable import burst_mask, sample, sample_bursts

_SHARE, _LENGTH = 0.3, 5.0
_SERIES, _TIME = 4000, 200


@pytest.fixture(scope="module")
def masks():
  """Independent paths, bool [_SERIES, _TIME]."""
  keys = jax.random.split(jax.random.key(0), _SERIES)
  draw = jax.jit(
    jax.vmap(lambda key: burst_mask(key, _SHARE, _LENGTH, length=_TIME))
  )
  return np.asarray(draw(keys))


def _runs(masks):
  """The lengths of bursts that begin and end inside their series."""
  lengths = []
  for mask in masks:
    runs = [(on, len(list(run))) for on, run in itertools.groupby(mask)]
    lengths += [length for on, length in runs[1:-1] if on]
  return np.asarray(lengths)


def test_the_start_is_stationary_and_stays_so(masks):
  error = math.sqrt(_SHARE * (1 - _SHARE) / _SERIES)
  for time in (0, 1, 10, _TIME - 1):
    assert masks[:, time].mean() == pytest.approx(_SHARE, abs=4.5 * error)


def test_the_share_of_time_is_the_promised_one(masks):
  shares = masks.mean(axis=1)
  assert shares.mean() == pytest.approx(_SHARE, abs=4.5 * stats.sem(shares))


def test_mean_length_and_memory_are_a_geometric_law_s(masks):
  # Uncensored over the whole path: of the bursts that are on, as many stay
  # on as the mean length says, however long they have been on.
  stay = 1 - 1 / _LENGTH
  on = masks[:, :-1]
  age = np.zeros(_SERIES, int)
  ages = []
  for time in range(_TIME):
    age = np.where(masks[:, time], age + 1, 0)
    ages.append(age.copy())
  ages = np.stack(ages, 1)[:, :-1]
  for k in (1, 2, 5, 10):
    chosen = on & (ages == k)
    kept = masks[:, 1:][chosen].mean()
    error = math.sqrt(stay * (1 - stay) / chosen.sum())
    assert kept == pytest.approx(stay, abs=4.5 * error), k


def test_lengths_have_the_mean_and_spread_of_a_geometric_law(masks):
  lengths = _runs(masks)
  # Bursts that fit wholly inside 200 steps are shorter by about L/T.
  assert lengths.mean() == pytest.approx(_LENGTH, rel=0.06)
  assert lengths.std() == pytest.approx(
    math.sqrt(_LENGTH * (_LENGTH - 1)), rel=0.08
  )


def test_gaps_have_the_length_that_the_share_needs(masks):
  off = ~masks[:, :-1]
  entered = masks[:, 1:][off].mean()
  want = _SHARE / (1 - _SHARE) / _LENGTH
  error = math.sqrt(want * (1 - want) / off.sum())
  assert entered == pytest.approx(want, abs=4.5 * error)


def test_the_path_is_that_of_a_sequential_chain():
  # Two states seen far apart correlate as powers of the second eigenvalue.
  keys = jax.random.split(jax.random.key(1), 20_000)
  path = np.asarray(
    jax.jit(jax.vmap(lambda key: burst_mask(key, 0.4, 3.0, length=6)))(keys)
  ).astype(float)
  eigenvalue = 1 - 1 / 3 - 0.4 / (0.6 * 3)
  for lag in range(1, 6):
    got = np.corrcoef(path[:, 0], path[:, lag])[0, 1]
    assert got == pytest.approx(eigenvalue**lag, abs=4.5 / math.sqrt(20_000))


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_noise_can_be_never_and_always_on(share, expected):
  keys = jax.random.split(jax.random.key(2), 20)

  @jax.jit
  def draw(share):
    return jax.vmap(lambda key: burst_mask(key, share, 1.0, length=50))(keys)

  assert draw(share).mean() == expected


def test_gaps_of_one_step_are_the_largest_share():
  keys = jax.random.split(jax.random.key(3), 50)
  path = np.asarray(
    jax.vmap(lambda key: burst_mask(key, 0.75, 3.0, length=100))(keys)
  )
  assert not (~path[:, 1:] & ~path[:, :-1]).any()
  assert path.mean() == pytest.approx(0.75, abs=0.02)


def test_noise_is_the_sampler_s_inside_a_burst_and_zero_outside():
  key, shape = jax.random.key(4), (500, 3)
  noise = np.asarray(sample_bursts(key, 1.0, 0.2, 0.4, 6.0, shape=shape))
  whole = np.asarray(sample(key, 1.0, scale=0.2, shape=shape))
  on = (noise != 0).any(axis=1)
  assert 0.1 < on.mean() < 0.8
  np.testing.assert_array_equal(noise[on], whole[on])
  assert (noise[~on] == 0).all()
  always = sample_bursts(key, 1.0, 0.2, 1.0, 6.0, shape=shape)
  np.testing.assert_array_equal(always, whole)


def test_noise_inside_bursts_follows_its_law():
  keys = jax.random.split(jax.random.key(5), 300)
  noise = np.asarray(
    jax.jit(
      jax.vmap(
        lambda key: sample_bursts(key, 1.0, 0.2, 0.5, 4.0, shape=(100, 2))
      )
    )(keys)
  )
  inside = noise[noise != 0]
  assert stats.kstest(inside, stats.cauchy(scale=0.2).cdf).pvalue > 1e-3


def test_gradients_flow_to_alpha_and_scale():
  @jax.jit
  @jax.grad
  def total(parameters):
    return sample_bursts(
      jax.random.key(6), *parameters, 0.5, 4.0, shape=(20, 2)
    ).sum()

  scale = 0.3
  noise = sample_bursts(jax.random.key(6), 1.5, scale, 0.5, 4.0, shape=(20, 2))
  by_alpha, by_scale = total((1.5, scale))
  assert math.isfinite(by_alpha)
  assert float(by_scale) == pytest.approx(float(noise.sum()) / scale, rel=1e-4)


@pytest.mark.quick
def test_a_draw_depends_only_on_its_key():
  keys = jax.random.split(jax.random.key(7), 8)

  def draw(key, share):
    return sample_bursts(key, 1.5, 0.1, share, 4.0, shape=(30, 2))

  shares = jnp.full(8, 0.25)
  single = np.stack([draw(key, 0.25) for key in keys])
  np.testing.assert_array_equal(single, jax.jit(jax.vmap(draw))(keys, shares))
  np.testing.assert_array_equal(single, jax.pmap(draw)(keys, shares))


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"share_of_time": 1.5}, r"share_of_time must be in \[0, 1\], got 1.5"),
    ({"share_of_time": math.nan}, "share_of_time must be"),
    ({"mean_length": 0.5}, "mean_length must be .* at least 1, got 0.5"),
    ({"mean_length": math.inf}, "mean_length must be finite"),
    ({"share_of_time": 0.8}, r"1 or at most L/\(L\+1\) for .*3.0, got 0.8"),
    ({"length": 0}, "length must be at least 1, got 0"),
  ],
)
def test_impossible_arguments_are_refused_in_one_line(arguments, message):
  arguments = {
    "share_of_time": 0.2,
    "mean_length": 3.0,
    "length": 5,
    **arguments,
  }
  with pytest.raises(ValueError, match=message) as error:
    burst_mask(jax.random.key(0), **arguments)
  assert "\n" not in str(error.value)


def test_noise_without_time_is_refused():
  with pytest.raises(ValueError, match="shape must be"):
    sample_bursts(jax.random.key(0), 1.0, 0.1, 0.2, 3.0, shape=())
