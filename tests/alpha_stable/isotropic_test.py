"""Isotropic noise: its law in every direction, its blocks, its edges.

Seeds are fixed. A z-score is a deviation over its standard error; 4.5 is
passed by chance once in 150,000 comparisons.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxrobust import alpha_stable
from jaxrobust.alpha_stable import isotropic, positive_stable, sample_isotropic

_SIZE = 100_000
_ALPHAS = np.asarray([0.31, 0.5, 1.0, 1.5, 1.95, 2.0], np.float32)
_SCALE = 0.7
_Z = 4.5


@pytest.fixture(scope="module")
def blocks():
  """Vectors of three that share an impulse, float64 [alphas, _SIZE, 3]."""

  @jax.jit
  def draw(alpha):
    keys = jax.random.split(jax.random.key(1), len(_ALPHAS))
    return jax.vmap(
      lambda key, alpha: sample_isotropic(
        key, alpha, _SCALE, shape=(_SIZE, 3), shared_axes=(1,)
      )
    )(keys, alpha)

  return np.asarray(draw(_ALPHAS), np.float64)


@pytest.mark.parametrize("index", [0.3, 0.5, 0.75, 0.975])
def test_positive_variates_have_the_laplace_transform(index):
  draw = positive_stable(jax.random.key(0), index, (_SIZE,))
  a = np.asarray(draw, np.float64)
  index = float(np.float32(index))
  for s in (0.1, 1.0, 4.0):
    want, square = (np.exp(-((k * s) ** index)) for k in (1, 2))
    error = math.sqrt((square - want**2) / _SIZE)
    assert abs(np.exp(-s * a).mean() - want) / error < _Z


def test_positive_variates_of_index_a_half_are_levy():
  a = positive_stable(jax.random.key(2), 0.5, (_SIZE,))
  assert stats.kstest(np.asarray(a), stats.levy(scale=0.5).cdf).pvalue > 1e-3


def test_positive_variates_agree_with_kanter_in_float64():
  u, w = alpha_stable.uniform_pair(jax.random.key(3), (100_000,))
  t = np.pi * np.asarray(u, np.float64)
  time = -np.log(np.asarray(w, np.float64))
  # sin(T) from the near end, where pi - T is exact.
  sine = np.sin(np.pi * np.minimum(u, 1 - np.asarray(u, np.float64)))
  for alpha in (0.35, 0.8, 1.3, 1.9, 1.999, 2.0):
    a = float(np.float32(alpha) / 2)
    log = np.log(np.sin(a * t) / sine)
    if a < 1:
      log += (1 - a) / a * np.log(np.sin((1 - a) * t) / (time * sine))
    got = np.asarray(isotropic._log_positive(u, w, np.float32(a)), np.float64)
    error = np.abs(got - log) / (1 + np.abs(log))
    assert np.quantile(error, 0.999) < 3e-6, alpha


@pytest.mark.parametrize(
  "direction",
  [(1, 0, 0), (0, 0, 1), (1 / 3, 2 / 3, -2 / 3), (0.6, -0.8, 0)],
  ids=str,
)
def test_every_direction_has_the_symmetric_characteristic_function(
  blocks, direction
):
  for vectors, alpha in zip(blocks, _ALPHAS, strict=True):
    x = vectors @ np.asarray(direction)
    for t in np.asarray([0.2, 1.0, 3.0]) / _SCALE:
      want, twice = (
        np.exp(-((_SCALE * k * t) ** float(alpha))) for k in (1, 2)
      )
      variance = (1 + twice) / 2 - want**2
      z = (np.cos(t * x).mean() - want) / math.sqrt(variance / _SIZE)
      assert abs(z) < _Z, (alpha, t)
      z = np.sin(t * x).mean() / math.sqrt((1 - twice) / 2 / _SIZE)
      assert abs(z) < _Z, (alpha, t)


@pytest.mark.parametrize(
  ("alpha", "law"),
  [
    (1.0, stats.cauchy(scale=_SCALE)),
    (2.0, stats.norm(scale=_SCALE * math.sqrt(2))),
  ],
  ids=["Cauchy", "Gauss"],
)
def test_marginals_pass_kolmogorov_smirnov(blocks, alpha, law):
  x = blocks[np.flatnonzero(_ALPHAS == alpha)[0]][:, 1]
  assert stats.kstest(x, law.cdf).pvalue > 1e-3


def test_a_block_is_large_together_as_a_student_vector_is(blocks):
  # At alpha = 1 the block is multivariate Cauchy. Its tail dependence, the
  # probability that one element is beyond a far quantile given that another
  # is, is that of Student's t with one degree of freedom.
  cauchy = blocks[np.flatnonzero(_ALPHAS == 1.0)[0]]
  level = np.quantile(np.abs(cauchy), 0.99)
  far = np.abs(cauchy) > level
  both = (far[:, 0] & far[:, 1]).mean() / far[:, 0].mean()
  # |X| is symmetric: two corners of the t copula with correlation 0 each.
  want = 2 * 2 * stats.t.sf(math.sqrt(2), df=2)
  assert both == pytest.approx(want, abs=_Z * math.sqrt(want / (0.01 * _SIZE)))
  gauss = np.abs(blocks[-1]) > np.quantile(np.abs(blocks[-1]), 0.99)
  assert (gauss[:, 0] & gauss[:, 1]).mean() / gauss[:, 0].mean() < 0.03


def test_the_direction_of_a_block_is_uniform(blocks):
  # Of points on the sphere in three dimensions, each coordinate is uniform.
  for vectors in blocks:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for axis in range(3):
      uniform = stats.uniform(-1, 2)
      assert stats.kstest(unit[:, axis], uniform.cdf).pvalue > 1e-4


@pytest.mark.parametrize("shared", [(1, 2), (-1, 1), (0, 2), (0, 1, 2), ()])
def test_the_impulse_is_shared_along_these_axes_alone(shared):
  # At alpha = 0.4 impulses of different blocks differ by orders of magnitude,
  # and the mean of log|G| tells the impulse of a block of 256 elements.
  size = 16
  noise = sample_isotropic(
    jax.random.key(4), 0.4, shape=(size,) * 3, shared_axes=shared
  )
  logs = np.log(np.abs(np.asarray(noise, np.float64)))
  axes = tuple(axis % 3 for axis in shared)
  gaussian_variance = math.pi**2 / 8  # Var log|G|
  inner = logs.var(axis=axes).mean() if axes else 0.0
  between = logs.mean(axis=axes) if axes else logs
  if axes:
    assert inner == pytest.approx(gaussian_variance, rel=0.15)
  if between.size > 1:
    # Var log sqrt(A) = pi^2/24 (4/alpha^2 - 1) by the log moments of A.
    want = math.pi**2 / 24 * (4 / 0.4**2 - 1)
    want += gaussian_variance / (logs.size / between.size)
    relative = 5 * math.sqrt(4.4 / between.size)
    assert between.var(ddof=1) == pytest.approx(want, rel=relative)


def test_elements_that_share_nothing_are_stable_and_independent():
  x = np.asarray(
    sample_isotropic(
      jax.random.key(5), 1.0, 0.1, shape=(_SIZE // 2, 2), shared_axes=()
    )
  )
  assert stats.kstest(x.ravel(), stats.cauchy(scale=0.1).cdf).pvalue > 1e-3
  far = np.abs(x) > np.quantile(np.abs(x), 0.9)
  assert (far[:, 0] & far[:, 1]).mean() == pytest.approx(0.01, abs=0.002)


def test_parameters_broadcast_per_block_and_scale_per_element():
  alpha = jnp.asarray([[0.5], [2.0]])
  scale = jnp.asarray([[0.0, 1.0, 2.0]])

  def draw(alpha, scale):
    return sample_isotropic(
      jax.random.key(6), alpha, scale, shape=(2, 3), shared_axes=(1,)
    )

  noise = draw(alpha, scale)
  assert (noise[:, 0] == 0).all()
  np.testing.assert_array_equal(noise[1], draw(2.0, scale)[1])
  np.testing.assert_array_equal(noise[:, 2], 2 * draw(alpha, 1.0)[:, 2])


@pytest.mark.quick
def test_extreme_uniforms_give_finite_values_and_gradients():
  ulp = 2.0**-24
  edges = itertools.product(
    (ulp, 3 * ulp, 0.5 - ulp, 1 - 3 * ulp, 1 - ulp),
    (ulp, 0.5, 1 - ulp),
    (0.005, 0.1, 0.15, 0.2, 0.5, 0.99, 1 - ulp, 1.0),
  )
  u, w, a = np.asarray(list(edges), np.float32).T
  value, slope = jax.jit(
    lambda u, w, a: jax.jvp(
      lambda a: isotropic._log_positive(u, w, a), (a,), (jnp.ones_like(a),)
    )
  )(u, w, a)
  assert np.isfinite(value).all()
  assert np.isfinite(slope).all()
  # From alpha = 0.4 on, the bound of exp(160) is never met.
  assert (np.asarray(value)[a >= 0.2] < 160).all()
  assert (np.asarray(value)[a == 1] == 0).all()


@pytest.mark.quick
def test_gradients_in_alpha_and_scale_are_those_of_differences():
  @jax.jit
  def draw(alpha, scale):
    return sample_isotropic(
      jax.random.key(7), alpha, scale, shape=(3, 2), shared_axes=(1,)
    )

  slopes = jax.jit(jax.jacfwd(draw, argnums=(0, 1)))
  for alpha in (0.7, 1.0, 1.6):
    by_alpha, by_scale = slopes(alpha, 0.3)
    step = 2.0**-9
    want = (draw(alpha + step, 0.3) - draw(alpha - step, 0.3)) / (2 * step)
    np.testing.assert_allclose(by_alpha, want, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(by_scale, draw(alpha, 1.0), rtol=1e-5)
  for alpha in (1.9999, 2.0):
    assert np.isfinite(slopes(alpha, 0.3)[0]).all()


def test_a_draw_is_continuous_at_the_gaussian_end():
  draw = jax.jit(
    lambda alpha: sample_isotropic(
      jax.random.key(8), alpha, shape=(1000,), shared_axes=()
    )
  )
  gauss = draw(2.0)
  for step, tolerance in ((2**-12, 0.01), (2**-20, 1e-4)):
    change = np.abs(draw(2 - step) / gauss - 1)
    assert np.quantile(change, 0.95) < tolerance


@pytest.mark.quick
@pytest.mark.parametrize("shape", [(), (5, 3)])
def test_a_draw_depends_only_on_its_key(shape):
  keys = jax.random.split(jax.random.key(9), 8)

  def draw(key, alpha):
    return sample_isotropic(
      key, alpha, 0.1, shape=shape, shared_axes=range(len(shape))[1:]
    )

  alpha = jnp.full(8, 1.5)
  single = np.stack([draw(key, 1.5) for key in keys])
  np.testing.assert_array_equal(single, jax.jit(jax.vmap(draw))(keys, alpha))
  np.testing.assert_array_equal(single, jax.pmap(draw)(keys, alpha))


def test_the_law_draws_isotropic_noise_about_its_location():
  key = jax.random.key(10)
  law = alpha_stable.AlphaStable(1.5, scale=0.2, loc=3.0)
  noise = sample_isotropic(key, 1.5, 0.2, shape=(4, 5), shared_axes=(1,))
  np.testing.assert_array_equal(
    law.sample_isotropic(key, (4, 5), (1,)), noise + 3.0
  )


def test_log_moments_of_the_noise_are_those_of_the_law(blocks):
  for vectors, alpha in zip(blocks, _ALPHAS.astype(float), strict=True):
    logs = np.log(np.abs(vectors[:, 0]))
    mean = math.log(_SCALE) + np.euler_gamma * (1 / alpha - 1)
    variance = math.pi**2 / 6 * (1 / alpha**2 + 0.5)
    assert variance == pytest.approx(
      special.polygamma(1, 0.5) / 4 + math.pi**2 / 24 * (4 / alpha**2 - 1)
    )
    assert abs(logs.mean() - mean) / math.sqrt(variance / _SIZE) < _Z


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"alpha": 0.0}, r"alpha must be in \(0, 2\], got 0.0"),
    ({"scale": -1.0}, "scale must be .* got -1.0"),
    ({"shared_axes": (3,)}, r"shared_axes must be .*\(2, 3, 4\), got \(3,\)"),
    ({"shared_axes": (0, -3)}, "shared_axes must be different axes"),
    ({"alpha": np.ones((2, 3, 1))}, r"alpha must broadcast to .*\(2, 1, 1\)"),
    ({"scale": np.ones(5)}, r"scale must broadcast to shape \(2, 3, 4\)"),
  ],
)
def test_impossible_arguments_are_refused_in_one_line(arguments, message):
  arguments = {
    "alpha": 1.0,
    "shape": (2, 3, 4),
    "shared_axes": (1, 2),
    **arguments,
  }
  with pytest.raises(ValueError, match=message) as error:
    sample_isotropic(jax.random.key(0), **arguments)
  assert "\n" not in str(error.value)


def test_other_refusals_are_one_line_too():
  with pytest.raises(ValueError, match=r"index must be in \(0, 1\], got 1.5"):
    positive_stable(jax.random.key(0), 1.5)
  with pytest.raises(ValueError, match=r"beta must be 0 for .*, got 0.5"):
    alpha_stable.AlphaStable(1.5, 0.5).sample_isotropic(
      jax.random.key(0), (3,), (0,)
    )
