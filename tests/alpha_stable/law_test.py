"""The law is a pytree with checked constructors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import alpha_stable
from jaxrobust.alpha_stable import AlphaStable


def test_a_law_samples_what_its_parameters_say():
  law = AlphaStable(0.8, 0.5, 2.0, -1.0, parameterization="S1")
  key = jax.random.key(0)
  want = alpha_stable.sample(
    key, 0.8, 0.5, 2.0, -1.0, shape=(9,), parameterization="S1"
  )
  np.testing.assert_array_equal(law.sample(key, (9,)), want)


def test_a_law_passes_through_transformations():
  laws = AlphaStable(jnp.asarray([0.5, 1.0, 2.0]), 0.0, 1.0, jnp.zeros(3))
  keys = jax.random.split(jax.random.key(1), 3)
  axes = AlphaStable.tree_unflatten("S0", (0, None, None, 0))

  @jax.jit
  def draw(law, keys):
    return jax.vmap(lambda law, key: law.sample(key, (4,)), (axes, 0))(
      law, keys
    )

  want = [
    AlphaStable(jnp.float32(a), jnp.float32(0)).sample(k, (4,))
    for a, k in zip((0.5, 1.0, 2.0), keys, strict=True)
  ]
  np.testing.assert_array_equal(draw(laws, keys), np.stack(want))


def test_gradients_of_a_law_are_a_law():
  law = AlphaStable(1.5, 0.0, 1.0, 0.0)

  @jax.jit
  @jax.grad
  def total_slope(law):
    return law.sample(jax.random.key(2), (5,)).sum()

  slope = total_slope(law)
  assert isinstance(slope, AlphaStable)
  assert float(slope.loc) == 5.0


def test_leaves_are_named_and_the_parametrisation_is_structure():
  law = AlphaStable(1.5, parameterization="S1")
  paths, structure = jax.tree_util.tree_flatten_with_path(law)
  names = [jax.tree_util.keystr(path) for path, _ in paths]
  assert names == [".alpha", ".beta", ".scale", ".loc"]
  assert structure != jax.tree.structure(AlphaStable(1.5))


def test_a_law_prints_its_canonical_parameters():
  assert repr(AlphaStable(1.5, scale=0.2)) == (
    "AlphaStable(alpha=1.5, beta=0.0, scale=0.2, loc=0.0, "
    "parameterization='S0')"
  )


@pytest.mark.parametrize(
  ("law", "scale"),
  [
    (AlphaStable.from_dispersion(0.5, 0.1), 0.01),
    (AlphaStable.from_std(0.2), 0.1414214),
    (AlphaStable.from_geometric_power(2.0, 0.7493060), 1.0),
    (AlphaStable.from_flip_rate(1.0, 0.5, threshold=0.25), 0.25),
  ],
)
def test_constructors_by_strength_give_the_scale(law, scale):
  assert float(law.scale) == pytest.approx(scale, rel=1e-5)
  assert (law.beta, law.loc) == (0.0, 0.0)


def test_gamma_is_refused_with_both_of_its_readings():
  with pytest.raises(ValueError, match=r"scale=c .*from_dispersion"):
    AlphaStable(1.5, gamma=0.1)


def test_an_unknown_parameter_is_refused():
  with pytest.raises(TypeError, match="'sigma'"):
    AlphaStable(1.5, sigma=0.1)


@pytest.mark.parametrize(
  "parameters",
  [
    {"alpha": 0.0},
    {"alpha": 1.0, "beta": 2.0},
    {"alpha": 1.0, "scale": -1.0},
    {"alpha": 1.0, "parameterization": "M"},
  ],
)
def test_parameters_out_of_range_are_refused(parameters):
  with pytest.raises(ValueError, match="must be"):
    AlphaStable(**parameters)
