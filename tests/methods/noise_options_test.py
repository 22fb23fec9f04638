"""Shared impulses, several laws and schedules of noise keep their promises."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrobust import data, methods

IMAGE, SERIES = (6, 5, 3), (12, 4)
COUNT = 300


def noise_of(name, shape, step=3, progress=0.0, count=COUNT, index=None,
             **parameters):  # fmt: skip
  """The noise on zeros, float64 [count, ...]."""
  draw_inputs = _compiled(name, shape, tuple(parameters.items()))
  index = jnp.arange(count) if index is None else jnp.asarray(index)
  noise = draw_inputs(index, jnp.int32(step), jnp.float32(progress))
  return np.asarray(noise, np.float64)


@functools.cache
def _compiled(name, shape, parameters):
  function = methods.INPUTS[name](shape, clip=False, **dict(parameters))

  @jax.jit
  def draw_inputs(index, step, progress):
    draw = data.Draw(jax.random.key(0), index, step)
    batch = {"inputs": jnp.zeros((len(index), *shape))}
    return function(batch, methods.Context(draw, progress))["inputs"]

  return draw_inputs


# At alpha = 0.4 impulses differ by orders of magnitude, and elements that
# share one by a Gaussian factor only: Var log|G| = pi^2/8.
@pytest.mark.parametrize(
  ("shape", "share", "shared", "apart"),
  [
    (IMAGE, "example", (1, 2, 3), (0,)),
    (IMAGE, "row", (2, 3), (0, 1)),
    (IMAGE, "column", (1, 3), (0, 2)),
    (IMAGE, "channel", (1, 2), (0, 3)),
    (SERIES, "example", (1, 2), (0,)),
    (SERIES, "time", (2,), (0, 1)),
    (SERIES, "variate", (1,), (0, 2)),
  ],
)
def test_what_shares_an_impulse_is_what_the_name_says(
  shape, share, shared, apart
):
  noise = noise_of("alpha_stable", shape, alpha=0.4, scale=0.1, share=share)
  logs = np.log(np.abs(noise))
  inner = logs.var(axis=shared, ddof=1).mean()
  assert inner == pytest.approx(math.pi**2 / 8, rel=0.1)
  for axis in apart:
    # Var log sqrt(A) = pi^2/24 (4/alpha^2 - 1), where impulses are others.
    means = logs.mean(axis=shared, keepdims=True)
    between = means.var(axis=axis, ddof=1).mean()
    assert between == pytest.approx(math.pi**2 / 24 * 24, rel=0.4)


@pytest.mark.parametrize("share", ["example", "row"])
def test_shared_noise_has_the_marginal_law(share):
  noise = noise_of("alpha_stable", IMAGE, alpha=1.0, scale=0.1, share=share)
  one_per_block = noise[:, 0, 0, 0] if share == "example" else noise[:, :, 0, 0]
  law = stats.cauchy(scale=0.1)
  assert stats.kstest(one_per_block.ravel(), law.cdf).pvalue > 1e-3


def test_an_element_of_its_own_is_the_default():
  plain = noise_of("alpha_stable", SERIES, alpha=1.0, scale=0.1, count=5)
  named = noise_of(
    "alpha_stable", SERIES, alpha=1.0, scale=0.1, share="element", count=5
  )
  np.testing.assert_array_equal(plain, named)


def test_several_laws_share_impulses_at_their_flip_rate():
  noise = noise_of(
    "alpha_stable", SERIES, alphas=(0.8, 2.0), flip_rate=0.3, share="time",
    count=1000,
  )  # fmt: skip
  flips = (np.abs(noise) > 0.5).mean(axis=(1, 2))
  assert flips.mean() == pytest.approx(0.3, abs=4.5 * stats.sem(flips))


def test_scales_belong_to_their_alphas():
  # A Gaussian of scale 10 and a Cauchy of scale 0.001 cannot be confused.
  noise = noise_of(
    "alpha_stable", (400,), alphas=(1.0, 2.0), scales=(0.001, 10.0), count=200
  )
  size = np.median(np.abs(noise), axis=1)
  cauchy, gauss = noise[size < 0.1], noise[size > 0.1]
  assert len(cauchy) == pytest.approx(100, abs=4.5 * math.sqrt(50))
  law = stats.cauchy(scale=0.001)
  assert stats.kstest(cauchy.ravel(), law.cdf).pvalue > 1e-3
  assert np.std(gauss) == pytest.approx(10 * math.sqrt(2), rel=0.02)


def test_one_scale_for_several_alphas_is_the_same_c():
  noise = noise_of(
    "alpha_stable", (400,), alphas=(1.0, 2.0), scale=0.1, count=200
  )
  # Medians of |X| at c = 1: 1 and 2 erfinv(1/2).
  size = np.sort(np.median(np.abs(noise), axis=1))
  assert size[:100].mean() > 0.08
  assert size.mean() == pytest.approx(0.1 * (1 + 0.954) / 2, rel=0.03)


LAWS = {"alphas": (1.0, 2.0), "scales": (0.001, 10.0)}


def test_a_batch_draws_one_alpha_anew_at_each_step():
  def is_gauss(step, **more):
    noise = noise_of(
      "alpha_stable", (50,), step, count=20, alpha_per="batch", **LAWS, **more
    )
    large = np.median(np.abs(noise), axis=1) > 0.1
    assert large.all() or not large.any()
    return bool(large[0])

  drawn = [is_gauss(step) for step in range(24)]
  assert 4 < sum(drawn) < 20
  # The same on a device that holds other rows of the batch.
  assert [is_gauss(s, index=[70, 3, 9]) for s in range(6)] == drawn[:6]


NOISES = [
  ("gaussian", SERIES, {"std": 0.2}),
  ("uniform", SERIES, {"eps": 0.2}),
  ("laplace", IMAGE, {"std": 0.2}),
  ("alpha_stable", IMAGE, {"alpha": 1.0, "scale": 0.2}),
  (
    "burst",
    SERIES,
    {"alpha": 1.5, "scale": 0.2, "share_of_time": 0.5, "mean_length": 3.0},
  ),
]


@pytest.mark.parametrize(("name", "shape", "parameters"), NOISES)
@pytest.mark.parametrize(
  ("schedule", "factors"),
  [
    ({"schedule": "constant"}, (1, 1, 1, 1)),
    ({"schedule": "linear"}, (0, 0.25, 0.5, 1)),
    ({"schedule": "cosine"}, (0, 0.5 - 0.5**1.5, 0.5, 1)),
    (
      {"schedule": "linear", "schedule_from": 2.0, "schedule_to": 0.5},
      (2, 1.625, 1.25, 0.5),
    ),
  ],
)
def test_the_scale_follows_the_schedule(
  name, shape, parameters, schedule, factors
):
  whole = noise_of(name, shape, count=4, **parameters)
  for progress, factor in zip((0, 0.25, 0.5, 1), factors, strict=True):
    got = noise_of(
      name, shape, progress=progress, count=4, **parameters, **schedule
    )
    np.testing.assert_allclose(got, factor * whole, rtol=1e-5, atol=1e-7)


def test_noise_drawn_once_changes_in_scale_alone():
  def at(step, progress):
    return noise_of(
      "alpha_stable", IMAGE, step, progress, 4, alpha=1.0, scale=0.1,
      resample="once", schedule="linear",
    )  # fmt: skip

  np.testing.assert_allclose(at(9, 0.5), 2 * at(2, 0.25), rtol=1e-6)


def test_scheduled_noise_on_images_is_clipped_after_its_factor():
  # Noise of deviation 3, halved: clipped before its factor, it would leave
  # 0.5 + 0.5 (clip(0.5 + noise) - 0.5), all within [0.25, 0.75].
  function = methods.INPUTS["gaussian"](IMAGE, std=3.0, schedule="linear")
  draw = data.Draw(jax.random.key(0), jnp.arange(30), jnp.int32(0))
  batch = {"inputs": jnp.full((30, *IMAGE), 0.5)}
  noisy = function(batch, methods.Context(draw, 0.5))["inputs"]
  whole = noise_of("gaussian", IMAGE, step=0, count=30, std=3.0)
  np.testing.assert_allclose(noisy, np.clip(0.5 + 0.5 * whole, 0, 1), atol=1e-5)
  at_the_ends = np.isin(noisy, (0.0, 1.0)).mean()
  expected = 2 * stats.norm.sf(0.5 / 1.5)
  assert at_the_ends == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize("progress", [0.0, 0.5])
def test_scheduled_noise_that_overflows_is_never_nan(progress):
  parameters = {"alpha": 0.3, "scale": 1e38}
  assert np.isinf(noise_of("alpha_stable", SERIES, **parameters)).any()
  noise = noise_of(
    "alpha_stable", SERIES, progress=progress, schedule="linear", **parameters
  )
  assert np.isfinite(noise).all()
  assert (noise == 0).all() == (progress == 0)


def test_bursts_hit_all_variates_of_their_share_of_the_time():
  noise = noise_of(
    "burst", (60, 3), alpha=1.0, scale=0.1, share_of_time=0.25,
    mean_length=4.0,
  )  # fmt: skip
  on = noise != 0
  assert (on.all(axis=2) == on.any(axis=2)).all()
  shares = on.any(axis=2).mean(axis=1)
  assert shares.mean() == pytest.approx(0.25, abs=4.5 * stats.sem(shares))
  law = stats.cauchy(scale=0.1)
  assert stats.kstest(noise[on], law.cdf).pvalue > 1e-3
  # Series burst at times of their own.
  together = (on[::2, :, 0] & on[1::2, :, 0]).mean()
  assert together == pytest.approx(0.25**2, abs=0.02)


def test_a_series_keeps_its_bursts_in_another_batch():
  parameters = dict(NOISES[-1][2])
  one = noise_of("burst", SERIES, index=[4, 9, 2], **parameters)
  two = noise_of("burst", SERIES, index=[2, 30, 4], **parameters)
  np.testing.assert_array_equal(one[[0, 2]], two[[2, 0]])
  once = [
    noise_of("burst", SERIES, step, count=3, resample="once", **parameters)
    for step in (1, 2)
  ]
  np.testing.assert_array_equal(*once)


STABLE = {"alpha": 1.0, "scale": 0.1}
BURST = NOISES[-1][2]
TWO = {"alphas": (1.0, 2.0)}


@pytest.mark.parametrize(
  ("name", "shape", "parameters", "words"),
  [
    ("alpha_stable", IMAGE, {"share": "time"}, "share='time': .*row.* images"),
    ("alpha_stable", SERIES, {"share": "row"}, "share='row': .*time.* series"),
    (
      "alpha_stable",
      IMAGE,
      {"share": "row", "beta": 0.5},
      "share='row' with beta=0.5: only for beta=0",
    ),
    ("alpha_stable", IMAGE, {"scales": (1.0,)}, r"\['scale', 'scales'\]"),
    (
      "alpha_stable",
      IMAGE,
      {"alpha": None, "scale": None, "scales": (1.0,), **TWO},
      r"scales=\(1.0,\): must be one per .* alphas=\(1.0, 2.0\)",
    ),
    ("alpha_stable", IMAGE, {"alpha_per": "row"}, "'row': .*'example' or 'b"),
    ("alpha_stable", IMAGE, {"alpha_per": "batch"}, "needs alphas"),
    (
      "alpha_stable",
      IMAGE,
      {"alpha": None, **TWO, "alpha_per": "batch", "resample": "once"},
      "alpha_per='batch' with resample='once'",
    ),
    ("alpha_stable", IMAGE, {"schedule": "up"}, "schedule='up': .*linear"),
    (
      "alpha_stable",
      IMAGE,
      {"schedule_to": 2.0},
      "schedule_to=2.0 with schedule='constant'",
    ),
    (
      "alpha_stable",
      IMAGE,
      {"schedule": "cosine", "schedule_from": -1.0},
      "schedule_from=-1.0: .*>= 0",
    ),
    ("burst", IMAGE, {}, r"bursts of shape \(6, 5, 3\): only for series"),
    ("burst", SERIES, {"share_of_time": 2.0}, "share_of_time must .*got 2.0"),
    ("burst", SERIES, {"mean_length": 0.0}, "mean_length must .*got 0.0"),
    ("burst", SERIES, {"share_of_time": 0.9}, r"at most L/\(L\+1\)"),
    ("burst", SERIES, {"alpha": 3.0}, "alpha must be .*got 3.0"),
    ("burst", SERIES, {"flip_rate": 0.2}, r"\['flip_rate', 'scale'\]"),
    ("burst", SERIES, {"gamma": 0.2}, "gamma=0.2: ambiguous"),
    ("burst", SERIES, {"p_noisy": 2}, "p_noisy=2"),
  ],
)
def test_a_wrong_parameter_is_named_in_one_line(name, shape, parameters, words):
  base = BURST if name == "burst" else STABLE
  with pytest.raises(ValueError, match=words) as error:
    methods.INPUTS[name](shape, **{**base, **parameters})
  assert "\n" not in str(error.value)
