"""The sampler's numerics: accuracy, edges, gradients, purity, refusals."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrobust.alpha_stable import from_uniforms, sample, uniform_pair

# alpha and beta as arguments: the general form, compiled once.
_general = jax.jit(from_uniforms)
_symmetric = jax.jit(functools.partial(from_uniforms, beta=0.0))


def _textbook(u, w, alpha, beta):
  """Weron's form of Chambers-Mallows-Stuck in float64, moved to S0."""
  u, w = np.asarray(u, np.float64), np.asarray(w, np.float64)
  angle, time = np.pi * (u - 0.5), -np.log(w)
  cosine = np.sin(np.pi * np.minimum(u, 1 - u))
  if alpha == 1:
    base = np.pi / 2 + beta * angle
    log = np.log(np.pi / 2 * time * cosine / base) if beta else 0.0
    return 2 / np.pi * (base * np.sin(angle) / cosine - beta * log)
  skew = beta * np.tan(np.pi * alpha / 2)
  turn = np.arctan(skew) / alpha
  rest = np.cos(angle - alpha * (angle + turn)) / time
  return (1 + skew**2) ** (1 / (2 * alpha)) * np.sin(
    alpha * (angle + turn)
  ) / cosine ** (1 / alpha) * rest ** ((1 - alpha) / alpha) - skew


@pytest.fixture(scope="module")
def pair():
  return uniform_pair(jax.random.key(3), (200_000,))


@pytest.mark.quick
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, -1.0])
@pytest.mark.parametrize(
  "alpha", [0.3, 0.5, 0.8, 0.99, 1.0, 1.005, 1.2, 1.5, 1.8, 1.95, 2.0]
)
def test_float32_agrees_with_the_textbook_in_float64(pair, alpha, beta):
  exact = _textbook(*pair, float(np.float32(alpha)), beta)
  forms = [_general(*pair, alpha, beta)]
  if beta == 0.0:
    forms.append(_symmetric(*pair, alpha))
  for got in forms:
    error = np.abs(np.asarray(got, np.float64) - exact) / (1 + np.abs(exact))
    assert np.median(error) <= 1.5e-7
    assert np.quantile(error, 0.999) <= 1e-5


@pytest.mark.parametrize(("alpha", "beta"), [(1, 0), (2.0, 0.0), (2, 0.7)])
def test_closed_forms_agree_with_the_general_form(pair, alpha, beta):
  closed = from_uniforms(*pair, alpha, beta)
  np.testing.assert_allclose(
    closed, _general(*pair, float(alpha), float(beta)), rtol=3e-6, atol=2e-6
  )


_ULP = 2.0**-24
_EDGES_U = (
  _ULP,
  3 * _ULP,
  0.25,
  0.5 - _ULP,
  0.5 + _ULP,
  1 - 3 * _ULP,
  1 - _ULP,
)
_EDGES_W = (_ULP, 0.5, 1 - 3 * _ULP, 1 - _ULP)
_ALPHAS = (0.1, 0.3, 0.5, 0.8, 0.999999, 1.0, 1.0000001, 1.2, 1.5, 1.99, 2.0)


@pytest.mark.quick
def test_extreme_uniforms_give_finite_values_and_gradients():
  edges = itertools.product(_EDGES_U, _EDGES_W, _ALPHAS, (0.0, 0.5, 1.0, -1.0))
  u, w, alpha, beta = np.asarray(list(edges), np.float32).T
  assert np.isfinite(_general(u, w, alpha, beta)).all()
  assert np.isfinite(_symmetric(u, w, alpha)).all()
  ones = (jnp.ones_like(alpha), jnp.ones_like(beta))

  @jax.jit
  def both_modes(u, w, alpha, beta):
    draw = functools.partial(from_uniforms, u, w)
    forward = jax.jvp(draw, (alpha, beta), ones)[1]
    backward = jax.vjp(draw, alpha, beta)[1](ones[0])
    symmetric = jax.vjp(functools.partial(draw, beta=0.0), alpha)[1](ones[0])
    return forward, backward, symmetric

  for gradient in jax.tree.leaves(both_modes(u, w, alpha, beta)):
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("alpha", [1, 2])
def test_closed_forms_are_finite_at_extreme_uniforms(alpha):
  u, w = np.asarray(list(itertools.product(_EDGES_U, _EDGES_W)), np.float32).T
  assert np.isfinite(from_uniforms(u, w, alpha)).all()


_slope = jax.jit(jax.grad(from_uniforms, argnums=2))


def test_alpha_gradient_at_one_has_the_worked_out_value():
  got = _slope(jnp.float32(0.9), jnp.float32(0.3), 1.0, 1.0)
  assert float(got) == pytest.approx(-8.7691, abs=2e-4)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("u", [0.1, 0.4, 0.9])
def test_value_and_alpha_gradient_are_continuous_across_one(u, beta):
  u, w = jnp.float32(u), jnp.float32(0.3)
  value, slope = _general(u, w, 1.0, beta), _slope(u, w, 1.0, beta)
  for step in (5e-7, 2e-6, 1e-4):
    for alpha in (1 - step, 1 + step):
      tolerance = 2e-6 + 50 * step
      assert abs(_general(u, w, alpha, beta) - value) < tolerance
      assert abs(_slope(u, w, alpha, beta) - slope) < 10 * tolerance


@pytest.mark.parametrize("beta", [0.0, 0.5, -1.0])
@pytest.mark.parametrize("alpha", [0.5, 0.8, 1.25, 1.75])
def test_alpha_gradient_agrees_with_differences_in_float64(alpha, beta):
  step = 1e-6
  u, w = jnp.float32(0.8125), jnp.float32(0.375)
  difference = (
    _textbook(u, w, alpha + step, beta) - _textbook(u, w, alpha - step, beta)
  ) / (2 * step)
  got = float(_slope(u, w, alpha, beta))
  assert got == pytest.approx(difference, rel=2e-5, abs=2e-6)


@settings(deadline=None, max_examples=200)
@given(
  u=st.integers(1, 2**24 - 1),
  w=st.integers(1, 2**24 - 1),
  alpha=st.floats(0.0625, 2.0, width=32),
  beta=st.floats(-1.0, 1.0, width=32),
)
def test_every_uniform_and_parameter_gives_a_finite_variate(u, w, alpha, beta):
  uniforms = np.float32(u) * _ULP, np.float32(w) * _ULP
  assert math.isfinite(_general(*uniforms, alpha, beta))
  assert math.isfinite(_symmetric(*uniforms, alpha))


@pytest.mark.quick
@pytest.mark.parametrize("beta", [0.0, 0.5])
@pytest.mark.parametrize("shape", [(), (5, 3)])
def test_a_draw_depends_only_on_its_key(shape, beta):
  keys = jax.random.split(jax.random.key(1), 8)
  draw = functools.partial(sample, alpha=1.5, beta=beta, scale=0.1, shape=shape)
  single = np.stack([draw(key) for key in keys])
  together = jax.jit(jax.vmap(draw))(keys)
  mapped = jax.pmap(draw)(keys)
  np.testing.assert_array_equal(single, together)
  np.testing.assert_array_equal(single, mapped)


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_a_draw_with_its_own_alpha_does_not_depend_on_the_devices(beta):
  keys = jax.random.split(jax.random.key(1), 8)
  alpha = jnp.asarray([0.5, 0.8, 1.0, 1.2, 1.5, 1.8, 1.95, 2.0])

  def draw(key, alpha):
    return sample(key, alpha, beta, 0.1, shape=(5, 3))

  together = jax.jit(jax.vmap(draw))(keys, alpha)
  np.testing.assert_array_equal(jax.pmap(draw)(keys, alpha), together)


def test_traced_parameters_give_the_bits_of_known_ones():
  key = jax.random.key(2)
  traced = jax.jit(lambda a, c: sample(key, a, scale=c, shape=(64,)))(1.5, 0.3)
  np.testing.assert_array_equal(
    traced, sample(key, 1.5, scale=0.3, shape=(64,))
  )


def test_parameters_broadcast_per_example():
  key = jax.random.key(4)
  alpha = jnp.asarray([[0.5], [1.0], [2.0]])
  scale = jnp.asarray([[1.0], [2.0], [0.0]])
  batch = sample(key, alpha, scale=scale, loc=0.25, shape=(3, 1000))
  u, w = uniform_pair(key, (3, 1000))
  expected = scale * from_uniforms(u, w, alpha) + 0.25
  np.testing.assert_allclose(batch, expected, rtol=1e-6, atol=1e-6)
  assert (batch[2] == 0.25).all()


def test_gradients_flow_to_all_parameters():
  @jax.jit
  @jax.grad
  def total_slope(parameters):
    alpha, beta, scale, loc = parameters
    draw = functools.partial(sample, jax.random.key(5), shape=(4,))
    s0 = draw(alpha, beta, scale, loc)
    return (s0 + draw(alpha, beta, scale, loc, parameterization="S1")).sum()

  for alpha in (0.7, 1.0, 2.0):
    gradients = total_slope((alpha, 0.5, 2.0, 0.1))
    assert np.isfinite(gradients).all()
    assert float(gradients[3]) == pytest.approx(8.0)


def test_low_precision_results_are_finite():
  draw = sample(jax.random.key(0), 0.3, shape=(5000,), dtype=jnp.float16)
  assert draw.dtype == jnp.float16
  assert jnp.isfinite(draw).all()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"alpha": 0.0}, r"alpha must be in \(0, 2\], got 0.0"),
    ({"alpha": 2.5}, r"alpha must be in \(0, 2\], got 2.5"),
    ({"alpha": math.nan}, "alpha must be"),
    ({"alpha": np.array([1.0, 3.0])}, "alpha must be .* got 3.0"),
    ({"alpha": 1.5, "beta": -1.5}, r"beta must be in \[-1, 1\], got -1.5"),
    ({"alpha": 1.5, "scale": -1.0}, "scale must be .* got -1.0"),
    ({"alpha": 1.5, "scale": np.inf}, "scale must be finite"),
    ({"alpha": 1.5, "parameterization": "S2"}, "'S0' or 'S1', got 'S2'"),
    ({"alpha": 1.5, "dtype": np.int32}, "dtype must be a floating type"),
    ({"alpha": np.ones(3), "shape": (2,)}, r"broadcast to shape \(2,\)"),
  ],
)
def test_impossible_arguments_are_refused_in_one_line(arguments, message):
  with pytest.raises(ValueError, match=message) as error:
    sample(jax.random.key(0), **arguments)
  assert "\n" not in str(error.value)
