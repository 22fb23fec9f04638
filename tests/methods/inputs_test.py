"""Inputs follow their law, touch only what they say, and refuse nonsense."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrobust import data, methods

SHAPE, SERIES = (10, 10, 1), (50, 2)
COUNT = 400


def feed(name, shape=SHAPE, step=3, index=None, level=0.5, **parameters):
  """What an input makes of examples that are `level` everywhere."""
  function = methods.INPUTS[name](shape, **parameters)
  index = jnp.arange(COUNT) if index is None else jnp.asarray(index)

  @jax.jit
  def draw_inputs(index, step):
    draw = data.Draw(jax.random.key(0), index, step)
    batch = {"inputs": jnp.full((len(index), *shape), level)}
    return function(batch, methods.Context(draw))["inputs"]

  return np.asarray(draw_inputs(index, jnp.int32(step)), np.float64)


def test_clean_gives_back_the_examples():
  assert (feed("clean") == 0.5).all()


def test_gaussian_noise_follows_its_law():
  noise = feed("gaussian", std=0.3, clip=False) - 0.5
  assert stats.kstest(noise.ravel(), stats.norm(scale=0.3).cdf).pvalue > 1e-3
  # Elements of an example and examples of a batch are independent.
  correlation = np.corrcoef(noise[:, 0, 0, 0], noise[:, 5, 5, 0])[0, 1]
  assert abs(correlation) < 5 / math.sqrt(COUNT)


@pytest.mark.parametrize(
  ("name", "parameters", "law"),
  [
    ("uniform", {"eps": 0.3}, stats.uniform(-0.3, 0.6)),
    # The scale of the Laplace law is its standard deviation over sqrt 2.
    ("laplace", {"std": 0.3}, stats.laplace(scale=0.3 / math.sqrt(2))),
  ],
)
def test_light_tailed_noise_follows_its_law(name, parameters, law):
  noise = feed(name, clip=False, **parameters) - 0.5
  assert stats.kstest(noise.ravel(), law.cdf).pvalue > 1e-3
  assert np.std(noise) == pytest.approx(law.std(), rel=0.02)
  correlation = np.corrcoef(noise[:, 0, 0, 0], noise[:, 5, 5, 0])[0, 1]
  assert abs(correlation) < 5 / math.sqrt(COUNT)


@pytest.mark.parametrize(
  ("alpha", "law"),
  [(1.0, stats.cauchy(scale=0.1)), (2.0, stats.norm(scale=0.1 * 2**0.5))],
)
def test_stable_noise_follows_its_law(alpha, law):
  noise = feed("alpha_stable", alpha=alpha, scale=0.1, clip=False) - 0.5
  assert stats.kstest(noise.ravel(), law.cdf).pvalue > 1e-3


@pytest.mark.parametrize("parameterization", ["S0", "S1"])
def test_skewed_noise_follows_its_law(parameterization):
  noise = feed(
    "alpha_stable",
    alpha=1.5,
    beta=0.8,
    scale=0.1,
    clip=False,
    parameterization=parameterization,
  )
  # The characteristic function as Nolan's book defines it.
  t = np.asarray([2.0, 5.0, 10.0])
  tangent = math.tan(0.75 * math.pi)
  skew = tangent * ((0.1 * t) ** -0.5 - 1)
  if parameterization == "S1":
    skew = -tangent
  expected = np.exp(-((0.1 * t) ** 1.5) * (1 + 0.8j * skew) + 0.5j * t)
  got = np.exp(1j * t[:, None] * noise.ravel()).mean(axis=1)
  np.testing.assert_allclose(got, expected, atol=5 / math.sqrt(noise.size))


@pytest.mark.parametrize(
  "strength",
  [
    {"scale": 0.1},
    {"dispersion": 0.1},
    {"flip_rate": 2 / math.pi * math.atan(0.2)},
    {"geometric_power": 0.1},
  ],
  ids=lambda strength: next(iter(strength)),
)
def test_every_strength_gives_the_same_cauchy_noise(strength):
  # For alpha = 1 and scale 0.1, in closed form.
  expected = feed("alpha_stable", alpha=1.0, scale=0.1)
  got = feed("alpha_stable", alpha=1.0, **strength)
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_std_gives_the_gaussian_of_that_deviation():
  noise = feed("alpha_stable", alpha=2.0, std=0.3, clip=False)
  assert np.std(noise) == pytest.approx(0.3, rel=5 / math.sqrt(noise.size))


def test_alphas_are_drawn_per_example_at_equal_flip_rate():
  noise = feed(
    "alpha_stable", SERIES, alphas=(0.8, 1.0, 2.0), flip_rate=0.2, level=0.0
  )
  flips = (np.abs(noise) > 0.5).mean()
  spread = math.sqrt(0.2 * 0.8 / noise.size)
  assert flips == pytest.approx(0.2, abs=5 * spread)
  # One law per example: the largest of 100 values tells a Gaussian example,
  # whose standard deviation is 0.39, from a heavy-tailed one.
  largest = np.abs(noise).max(axis=(1, 2))
  share = (largest < 2.5).mean()
  assert share == pytest.approx(1 / 3, abs=0.12)


@pytest.mark.parametrize(
  ("name", "parameters"),
  [
    ("gaussian", {"std": 2.0}),
    ("uniform", {"eps": 3.0}),
    ("laplace", {"std": 2.0}),
    ("alpha_stable", {"alpha": 1.0, "scale": 2.0}),
  ],
)
def test_images_are_clipped_and_series_are_not(name, parameters):
  def bounds(shape, **more):
    noisy = feed(name, shape, **parameters, **more)
    return noisy.min(), noisy.max()

  assert bounds(SHAPE) == (0, 1)
  low, high = bounds(SERIES)
  assert low < -1
  assert high > 2
  assert bounds(SERIES, clip=True) == (0, 1)
  assert bounds(SHAPE, clip=False)[1] > 2


def test_p_noisy_is_the_share_of_corrupted_examples():
  # Beyond 1, where a clipped example would show.
  noisy = feed("alpha_stable", alpha=0.5, scale=1, p_noisy=0.3, level=1.25)
  touched = (noisy != 1.25).reshape(COUNT, -1).any(axis=1)
  assert touched.mean() == pytest.approx(0.3, abs=5 * (0.21 / COUNT) ** 0.5)


@pytest.mark.parametrize(("p_noisy", "share"), [(0.0, 0), (1.0, 1)])
def test_p_noisy_can_be_none_and_all(p_noisy, share):
  noisy = feed("gaussian", std=0.1, p_noisy=p_noisy)
  assert (noisy != 0.5).any(axis=(1, 2, 3)).mean() == share


@pytest.mark.parametrize(
  ("name", "parameters"),
  [
    ("gaussian", {"std": 0.1}),
    ("uniform", {"eps": 0.1}),
    ("laplace", {"std": 0.1}),
    ("alpha_stable", {"alphas": (0.8, 1.5), "scale": 0.1}),
  ],
)
def test_noise_is_drawn_anew_unless_it_is_drawn_once(name, parameters):
  parameters = {**parameters, "p_noisy": 0.5, "clip": False}
  index = np.arange(20)
  once = [feed(name, step=s, resample="once", index=index, **parameters)
          for s in (3, 4)]  # fmt: skip
  np.testing.assert_array_equal(*once)
  anew = [feed(name, step=s, index=index, **parameters) for s in (3, 4)]
  touched = (anew[0] != 0.5).any((1, 2, 3)) & (anew[1] != 0.5).any((1, 2, 3))
  assert touched.any()
  assert (anew[0][touched] != anew[1][touched]).mean() > 0.99


def test_an_example_keeps_its_noise_in_another_batch():
  one = feed("gaussian", std=0.1, index=[4, 9, 2])
  two = feed("gaussian", std=0.1, index=[2, 30, 4, 7])
  np.testing.assert_array_equal(one[[0, 2]], two[[2, 0]])


STABLE = {"alpha": 1.0, "scale": 0.1}


@pytest.mark.parametrize(
  ("name", "parameters", "words"),
  [
    ("gaussian", {"std": -0.1}, "std=-0.1: must be .* >= 0"),
    ("gaussian", {"std": math.nan}, "std=nan: must be"),
    ("gaussian", {"std": math.inf}, "std=inf: must be"),
    ("gaussian", {"std": 1, "resample": "x"}, "resample='x': .*epoch.*once"),
    ("gaussian", {"std": 1, "p_noisy": 1.5}, r"p_noisy=1.5: .* \[0, 1\]"),
    ("uniform", {"eps": -0.1}, "eps=-0.1: must be .* >= 0"),
    ("uniform", {"eps": math.nan}, "eps=nan: must be"),
    ("laplace", {"std": math.inf}, "std=inf: must be"),
    ("laplace", {"std": 1, "p_noisy": 1.5}, r"p_noisy=1.5: .* \[0, 1\]"),
    ("alpha_stable", {**STABLE, "gamma": 2}, r"gamma=2: ambiguous; .*scale"),
    ("alpha_stable", {"scale": 1}, r"alpha=None, alphas=\(\): .* exactly one"),
    ("alpha_stable", {**STABLE, "alphas": (1,)}, r"alphas=\(1,\): .* one of"),
    ("alpha_stable", {"alpha": 1}, "strength given by nothing: .* flip_rate"),
    ("alpha_stable", {**STABLE, "std": 1}, r"\['scale', 'std'\]: .* exactly"),
    ("alpha_stable", {**STABLE, "alpha": 2.1}, r"alpha must .*\(0, 2\].*2.1"),
    ("alpha_stable", {"alphas": (1, 0), "scale": 1}, "alpha must .*got 0"),
    ("alpha_stable", {**STABLE, "beta": -2}, r"beta must .*\[-1, 1\].*-2"),
    ("alpha_stable", {**STABLE, "scale": -1}, "scale must .*-1"),
    ("alpha_stable", {"alpha": 1, "flip_rate": 2}, r"flip_rate=2 .*\(0, 1\)"),
    ("alpha_stable", {"alpha": 1, "dispersion": -2}, "dispersion=-2 .*least 0"),
    ("alpha_stable", {"alpha": 1, "geometric_power": -2}, "geometric_power=-2"),
    ("alpha_stable", {"alpha": 2, "std": -1}, "std must .*-1"),
    ("alpha_stable", {"alpha": 1, "std": 1}, "std=1 with alpha=1: .*alpha=2"),
    (
      "alpha_stable",
      {"alpha": 1, "flip_rate": 0.1, "beta": 0.5},
      "flip_rate=0.1 with beta=0.5: .*use scale",
    ),
    ("alpha_stable", {**STABLE, "parameterization": "S2"}, "'S0' or 'S1'"),
    ("alpha_stable", {**STABLE, "p_noisy": -1}, "p_noisy=-1"),
  ],
)
def test_a_wrong_parameter_is_named_in_one_line(name, parameters, words):
  with pytest.raises(ValueError, match=words) as error:
    methods.INPUTS[name](SHAPE, **parameters)
  assert "\n" not in str(error.value)
