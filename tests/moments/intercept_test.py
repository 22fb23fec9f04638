"""Stock linen modules take random values, or say that they cannot."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import models, moments

_UNOPTIMISED = {"xla_backend_optimization_level": 0}
_MASK = np.arange(3 * 2 * 4).reshape(3, 2, 4) % 3 / 2.0
AFFINE = {
  "dense": (nn.Dense(4), (2, 3)),
  "dense_no_bias_on_series": (nn.Dense(4, use_bias=False), (2, 5, 3)),
  "dense_general": (nn.DenseGeneral((2, 3), axis=(-2, -1)), (2, 4, 3)),
  "dense_general_batched": (
    nn.DenseGeneral(3, axis=-1, batch_dims=(0,)),
    (2, 4, 3),
  ),
  "einsum": (nn.Einsum((4, 3), "nab,cb->nac"), (2, 2, 3)),
  "conv_1d": (nn.Conv(4, (3,)), (2, 6, 2)),
  "conv_2d": (nn.Conv(4, (3, 2)), (2, 5, 4, 2)),
  "conv_3d": (nn.Conv(2, (2, 2, 2)), (1, 3, 4, 3, 2)),
  "conv_without_batch": (nn.Conv(4, (3, 3)), (5, 4, 2)),
  "conv_strides": (nn.Conv(4, (3, 3), strides=2), (2, 6, 5, 2)),
  "conv_valid": (nn.Conv(4, (3,), padding="VALID"), (2, 6, 2)),
  "conv_circular": (nn.Conv(4, (3,), padding="CIRCULAR"), (2, 6, 2)),
  "conv_causal": (nn.Conv(4, (3,), padding="CAUSAL"), (2, 6, 2)),
  "conv_explicit": (nn.Conv(4, (3,), padding=((2, 0),)), (2, 6, 2)),
  "conv_dilated": (nn.Conv(4, (3,), kernel_dilation=2), (2, 7, 2)),
  "conv_input_dilated": (
    nn.Conv(4, (3,), padding=((1, 2),), input_dilation=2),
    (2, 4, 2),
  ),
  "conv_groups": (nn.Conv(4, (3,), feature_group_count=2), (2, 6, 4)),
  "conv_masked": (nn.Conv(4, (3,), mask=_MASK), (2, 6, 2)),
  "conv_toeplitz": (
    nn.Conv(3, (3, 3), conv_general_dilated=models.toeplitz_conv),
    (2, 5, 4, 2),
  ),
  "conv_transpose": (nn.ConvTranspose(3, (3,), strides=(2,)), (2, 4, 2)),
  "conv_transpose_valid": (
    nn.ConvTranspose(3, (3,), padding="VALID", transpose_kernel=True),
    (2, 4, 3),
  ),
  "conv_transpose_circular": (
    nn.ConvTranspose(3, (3,), padding="CIRCULAR"),
    (2, 4, 2),
  ),
  "conv_local": (nn.ConvLocal(3, (3,)), (2, 5, 2)),
  "weight_norm": (nn.WeightNorm(nn.Dense(4)), (2, 3)),
}
# Every example is normalised by itself.
NORMS = {
  "layer_norm": (nn.LayerNorm(), (2, 4, 6)),
  "layer_norm_axes": (nn.LayerNorm(reduction_axes=(1, 2)), (2, 4, 6)),
  "layer_norm_bare": (
    nn.LayerNorm(use_bias=False, use_scale=False, use_fast_variance=False),
    (2, 6),
  ),
  "rms_norm": (nn.RMSNorm(), (2, 4, 6)),
  "group_norm": (nn.GroupNorm(num_groups=3), (2, 4, 6)),
  "group_norm_by_size": (nn.GroupNorm(None, group_size=2), (2, 2, 3, 4)),
  "group_norm_flat": (nn.GroupNorm(num_groups=2), (2, 6)),
  "instance_norm": (nn.InstanceNorm(), (2, 3, 4, 2)),
}


def random_variables(module, x, **kwargs):
  """Parameters that are all different, scales and biases included."""
  variables = dict(jax.jit(module.init)(jax.random.key(0), x, **kwargs))

  def other(leaf):
    noise = jax.random.normal(jax.random.key(leaf.size), leaf.shape)
    return leaf + 0.3 * noise

  params = variables.get("params", {})
  return {**variables, "params": jax.tree.map(other, params)}


def compare(module, shape, with_stable):
  """What the layer makes of states, and what its Jacobian does."""
  rng = np.random.default_rng(0)
  x, tangent = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
  var = rng.uniform(0.5, 2, shape).astype(np.float32)
  variables = random_variables(module, x)

  # It runs once: what counts is how long it compiles.
  @functools.partial(jax.jit, compiler_options=_UNOPTIMISED)
  def both(x, var, tangent):
    def plain(x):
      return module.apply(variables, x)

    value = plain(x)
    jacobian = jax.jacrev(plain)(x).reshape(value.size, x.size)
    expected = [
      jacobian**2 @ var.ravel(),
      jacobian @ tangent.ravel(),
      jnp.abs(jacobian) @ var.ravel(),
    ]
    states = [
      moments.Moments(x, var),
      moments.Tangents(x, tangent[None]),
      moments.Stable(x, var, alpha=1.0),
    ]
    count = 3 if with_stable else 2
    with moments.intercepting():
      got = [module.apply(variables, state) for state in states[:count]]
    return value, expected[:count], got

  value, expected, got = both(x, var, tangent)
  for state, noise in zip(got, expected, strict=True):
    _, found = jax.tree.leaves(state)
    np.testing.assert_allclose(state.loc, value, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(
      found.ravel(), noise, rtol=2e-4, atol=2e-5 * np.abs(noise).max()
    )


@pytest.mark.parametrize("name", AFFINE)
def test_affine_layers_are_exact(name):
  compare(*AFFINE[name], with_stable=True)


@pytest.mark.parametrize("name", NORMS)
def test_norms_of_an_example_answer_as_their_jacobian(name):
  compare(*NORMS[name], with_stable=False)


@pytest.mark.quick
@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("kind", ["stock", "slow_variance", "masked", "ours"])
def test_batch_norm_divides_by_the_statistics_of_the_mean_path(kind, running):
  rng = np.random.default_rng(1)
  x = rng.normal(2, 3, (4, 5, 3)).astype(np.float32)
  var = rng.uniform(0.5, 2, x.shape).astype(np.float32)
  # With this momentum the running averages are those of the last batch.
  options = {"momentum": 0.0, "use_running_average": running}
  mask = None
  if kind == "ours":
    module, mask = models.BatchNorm(**options), jnp.array([1.0, 1, 0, 1])
  else:
    module = nn.BatchNorm(**options, use_fast_variance=kind != "slow_variance")
    if kind == "masked":
      mask = jnp.array([True, True, False, True])[:, None, None]
  variables = random_variables(module, x, mask=mask)
  variables["batch_stats"]["var"] = jnp.array([1.0, 2, 3])

  def apply(x):
    return module.apply(variables, x, mask=mask, mutable=["batch_stats"])

  plain, statistics = apply(x)
  with moments.intercepting():
    got, updated = apply(moments.Moments(x, var))
  jax.tree.map(np.testing.assert_array_equal, updated, statistics)
  np.testing.assert_array_equal(got.mean, plain)
  if not running:
    rows = x[[0, 1, 3]] if mask is not None else x
    expected = rows.reshape(-1, 3).var(0)
    found = statistics["batch_stats"]["var"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
  else:
    expected = np.array([1.0, 2, 3])
  factor = variables["params"]["scale"] / np.sqrt(expected + module.epsilon)
  np.testing.assert_allclose(got.var, factor**2 * var, rtol=1e-4)


@pytest.mark.parametrize("cls", [nn.BatchNorm, models.BatchNorm])
def test_batch_norm_over_an_axis_is_that_of_the_whole_batch(cls):
  x = jnp.asarray(np.random.default_rng(2).normal(size=(4, 3)), jnp.float32)
  parts = moments.Moments(x.reshape(2, 2, 3), jnp.ones((2, 2, 3)))
  whole = moments.Moments(x, jnp.ones((4, 3)))
  one = cls(use_running_average=False)
  variables = one.init(jax.random.key(0), x)

  def run(module, state):
    with moments.intercepting():
      return module.apply(variables, state, mutable=["batch_stats"])[0]

  split = jax.vmap(
    lambda state: run(cls(use_running_average=False, axis_name="i"), state),
    axis_name="i",
  )(parts)
  expected = run(one, whole)
  np.testing.assert_allclose(split.var.reshape(4, 3), expected.var, rtol=1e-5)


class Tanh(nn.Module):
  @nn.compact
  def __call__(self, x):
    return jnp.tanh(nn.Dense(3)(x))


class Renamed(nn.Dense):
  """A subclass that does something else."""

  @nn.compact
  def __call__(self, inputs):
    return super().__call__(inputs) * jnp.max(inputs)


@pytest.mark.quick
@pytest.mark.parametrize(
  ("module", "name"),
  [
    (Tanh(), "Tanh"),
    (Renamed(3), "Renamed"),
    (nn.Sequential([nn.Dense(3), nn.relu]), "Sequential"),
    (nn.PReLU(), "PReLU"),
    (nn.MultiHeadDotProductAttention(2), "MultiHeadDotProductAttention"),
    (nn.RNN(nn.LSTMCell(5)), "LSTMCell"),
    (nn.RNN(nn.SimpleCell(5, activation_fn=moments.ops.tanh)), "RNN"),
  ],
)
def test_a_module_without_a_rule_is_named_with_what_to_do(module, name):
  x = jnp.ones((2, 4, 6))
  variables = module.init(jax.random.key(0), x)
  with pytest.raises(TypeError) as caught, moments.intercepting():
    module.apply(variables, moments.Moments(x, x))
  line = str(caught.value)
  assert line.startswith(f"module {name} (")
  assert "\n" not in line
  for way in ("moments.ops", "register_module_rule", "moments.propagate"):
    assert way in line


@pytest.mark.quick
def test_an_embedding_of_random_values_is_refused():
  module = nn.Embed(4, 3)
  variables = module.init(jax.random.key(0), jnp.zeros(2, int))
  state = moments.Moments(jnp.ones(2), jnp.ones(2))
  with (
    pytest.raises(TypeError, match=r"module Embed .* cannot take a random"),
    moments.intercepting(),
  ):
    module.apply(variables, state)


@pytest.mark.quick
@pytest.mark.parametrize(
  ("module", "kwargs", "what"),
  [
    (nn.Dropout(0.5), {"deterministic": False}, "rate=0.5 in training"),
    (nn.Conv(3, (3,), padding="REFLECT"), {}, "padding='REFLECT'"),
    (nn.LayerNorm(), {"mask": jnp.ones((2, 4, 6), bool)}, "a mask"),
    (nn.GroupNorm(2, reduction_axes=(-1,)), {}, "reduction_axes"),
    (nn.LayerNorm(axis_name="i"), {}, "axis_name='i'"),
  ],
)
def test_an_option_without_a_right_rule_is_refused(module, kwargs, what):
  x = jnp.ones((2, 4, 6))
  keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
  variables = jax.vmap(
    lambda x: module.init(keys, x, **kwargs), axis_name="i", out_axes=None
  )(x[None])
  with (
    pytest.raises(NotImplementedError, match=what),
    moments.intercepting(),
  ):
    module.apply(variables, moments.Moments(x, x), rngs=keys, **kwargs)


def test_dropout_that_is_off_changes_nothing():
  x = jnp.ones((2, 3))
  with moments.intercepting():
    for module in (
      nn.Dropout(0.0, deterministic=False),
      nn.Dropout(0.5, deterministic=True),
    ):
      got = module.apply({}, moments.Moments(x, 2 * x))
      np.testing.assert_array_equal(got.var, 2 * x)


@pytest.mark.quick
def test_a_state_may_be_given_by_name():
  x = jnp.ones((2, 3))
  module = nn.Dense(4)
  variables = module.init(jax.random.key(0), x)
  state = moments.Moments(x, x)
  with moments.intercepting():
    named = module.apply(variables, inputs=state)
    plain = module.apply(variables, state)
  np.testing.assert_array_equal(named.var, plain.var)


@pytest.mark.quick
def test_a_registered_rule_is_used_and_the_nearest_one_wins():
  class Double(nn.Module):
    def __call__(self, x):
      return jnp.multiply(x, 2)

  class Child(Double):
    pass

  class Other(Double):
    def __call__(self, x):
      return jnp.multiply(x, 3)

  moments.register_module_rule(Double, lambda m, call, x, *_: x * 2)
  state = moments.Moments(jnp.ones(3), jnp.ones(3))
  with moments.intercepting():
    np.testing.assert_array_equal(Double().apply({}, state).var, 4 * np.ones(3))
    np.testing.assert_array_equal(Child().apply({}, state).var, 4 * np.ones(3))
    with pytest.raises(TypeError, match="module Other"):
      Other().apply({}, state)


class Marked(nn.Module):
  mark: bool = True

  @nn.compact
  def __call__(self, x):
    x = nn.Dense(3, use_bias=False, name="first")(x)
    x = nn.Dense(3, use_bias=False, name="second")(x)
    return moments.inject(x) if self.mark else x


@pytest.mark.quick
def test_noise_enters_where_the_place_says():
  x = jnp.ones((1, 3))
  model = Marked()
  variables = model.init(jax.random.key(0), x)

  def noise(values):
    return moments.Moments(values, jnp.ones(values.shape))

  second = variables["params"]["second"]["kernel"]
  for place, expected in (
    ("first", (second**2).sum(0)),
    ("marked", np.ones(3)),
  ):
    with moments.intercepting(moments.Injection(noise, place)):
      got = model.apply(variables, x)
    np.testing.assert_allclose(got.var[0], expected, rtol=1e-5)
  np.testing.assert_array_equal(moments.inject(x), x)


@pytest.mark.quick
@pytest.mark.parametrize("place", ["first", "marked"])
def test_a_place_that_is_never_passed_is_an_error(place):
  with (
    pytest.raises(ValueError, match=f"place='{place}': the model has no"),
    moments.intercepting(moments.Injection(lambda x: x, place)),
  ):
    pass


@pytest.mark.quick
def test_an_injection_can_be_used_again():
  injection = moments.Injection(lambda x: moments.Moments(x, jnp.ones(x.shape)))
  x = jnp.ones((1, 3))
  variables = Marked().init(jax.random.key(0), x)
  for _ in range(2):
    with moments.intercepting(injection):
      assert isinstance(Marked().apply(variables, x), moments.Moments)


@pytest.mark.quick
def test_an_unknown_place_is_named():
  with pytest.raises(ValueError, match="place='last': must be one of"):
    moments.Injection(lambda x: x, "last")


def test_bfloat16_keeps_variances_in_float32():
  x = jnp.ones((1, 3), jnp.bfloat16)
  module = nn.Dense(4, dtype=jnp.bfloat16)
  variables = module.init(jax.random.key(0), x)
  var = jnp.full((1, 3), 1 + 2**-12)
  with moments.intercepting():
    got = module.apply(variables, moments.Moments(x, var))
  kernel = np.asarray(variables["params"]["kernel"], np.float64)
  assert got.mean.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    got.var[0], (kernel**2).sum(0) * (1 + 2**-12), rtol=1e-6
  )
