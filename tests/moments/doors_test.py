"""Both doors, the models' operations and `propagate`, have the same rules."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import models, moments

SHAPES = {
  "mlp": (4, 4, 1),
  "lenet5": (28, 28, 1),
  "small_cnn": (8, 8, 1),
  "fcn1d": (12, 2),
  "vgg11": (8, 8, 1),
  "resnet18": (8, 8, 1),
  "resnet1d": (12, 2),
  "lstm": (4, 2),
  "vit_tiny": (8, 8, 1),
  "convnext": (8, 8, 1),
  "efficientnet": (8, 8, 1),
}
# Their layer norm is for the first door.
NORMALISED = ("vit_tiny", "convnext")
LAPLACE = moments.Rules(relu="laplace")
LINEAR = moments.Rules(relu="linear")
MOMENT = moments.Rules(relu="moment")
GATHER = moments.Rules(relu="moment", pool="gather")
CASES = [
  *((name, LAPLACE) for name in SHAPES if name not in NORMALISED),
  *((name, LINEAR) for name in ("mlp", "lenet5", "small_cnn", "fcn1d")),
  *((name, LINEAR) for name in ("vgg11", "resnet18", "resnet1d", "lstm")),
  ("efficientnet", LINEAR),
  *((name, MOMENT) for name in ("mlp", "small_cnn", "fcn1d", "lstm")),
  ("lenet5", MOMENT),
  # Their maximum of Gaussians takes half a minute to compile, each.
  *((name, GATHER) for name in ("lenet5", "vgg11", "resnet18", "resnet1d")),
]
# Programs that run once: compiled fast rather than fast.
_FAST = {
  "xla_backend_optimization_level": 0,
  "xla_llvm_disable_expensive_passes": True,
}


@functools.cache
def network(name):
  """A small model, drawn variables, batch averages among them, and inputs."""
  shape, rng = SHAPES[name], np.random.default_rng(0)
  channels = shape[-1]
  model = models.build(
    name,
    num_classes=3,
    mean=(0.5,) * channels,
    std=(0.3,) * channels,
    **models.quick_options(name),
  )
  inputs = rng.uniform(size=(2, *shape)).astype(np.float32)

  def draw(path, leaf):
    if path[-1].key == "var":
      return rng.uniform(0.5, 2, leaf.shape).astype(np.float32)
    width = np.sqrt(1 / max(np.prod(leaf.shape[:-1]), 4))
    return rng.normal(scale=width, size=leaf.shape).astype(np.float32)

  variables = jax.tree_util.tree_map_with_path(
    draw, jax.eval_shape(model.init, jax.random.key(0), inputs)
  )
  return model, variables, jnp.asarray(inputs)


def first_door(model, variables, state):
  with moments.intercepting():
    return model.apply(variables, state)


def second_door(model, variables, state):
  return moments.propagate(lambda x: model.apply(variables, x))(state)


def assert_doors_agree(name, make_state):
  model, variables, inputs = network(name)

  def both(variables, inputs):
    doors = first_door, second_door
    return [door(model, variables, make_state(inputs)) for door in doors]

  compiled = jax.jit(both).lower(variables, inputs).compile(_FAST)
  first, second = compiled(variables, inputs)
  assert jax.tree.structure(first) == jax.tree.structure(second)
  for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(a).max())


def assert_moments_agree(name, rules):
  assert_doors_agree(
    name, lambda x: moments.Moments(x, jnp.full(x.shape, 0.04), rules)
  )


@pytest.mark.parametrize(("name", "rules"), CASES)
def test_doors_agree_on_every_model(name, rules):
  assert_moments_agree(name, rules)


@pytest.mark.quick
@pytest.mark.parametrize("name", ["mlp", "fcn1d", "lstm"])
def test_doors_agree_on_this_python(name):
  assert_moments_agree(name, LAPLACE)


@pytest.mark.parametrize(
  "name",
  ["small_cnn", "resnet1d", "lstm", "vit_tiny", "convnext", "efficientnet"],
)
def test_doors_agree_on_directions_of_noise(name):
  assert_doors_agree(
    name, lambda x: moments.Tangents(x, jnp.stack([jnp.cos(9 * x), 0.1 * x]))
  )


@pytest.mark.parametrize("name", ["small_cnn", "lstm"])
def test_doors_agree_on_stable_noise(name):
  assert_doors_agree(
    name, lambda x: moments.Stable(x, jnp.full(x.shape, 0.1), 1.5)
  )


@pytest.mark.parametrize("name", NORMALISED)
def test_a_written_out_layer_norm_is_refused(name):
  model, variables, inputs = network(name)
  state = moments.Moments(inputs, jnp.ones_like(inputs))
  with pytest.raises(moments.PropagationError, match="LayerNorm"):
    second_door(model, variables, state)


def test_attention_of_the_same_tokens_is_refused():
  tokens = jnp.asarray(
    np.random.default_rng(0).normal(size=(2, 3, 4)), jnp.float32
  )
  layer = nn.MultiHeadDotProductAttention(num_heads=2)
  variables = layer.init(jax.random.key(0), tokens)
  state = moments.Moments(tokens, jnp.ones_like(tokens))
  with pytest.raises(moments.PropagationError, match="queries and keys"):
    moments.propagate(lambda x: layer.apply(variables, x))(state)


@pytest.mark.quick
@pytest.mark.parametrize("name", ["fcn1d", "resnet18"])
def test_batch_statistics_in_training_are_refused(name):
  model, variables, inputs = network(name)
  state = moments.Moments(inputs, jnp.ones_like(inputs))

  def train(x):
    return model.apply(variables, x, train=True, mutable=["batch_stats"])

  with pytest.raises(moments.PropagationError, match="of the same units"):
    moments.propagate(train)(state)


@pytest.mark.parametrize("name", ["small_cnn", "resnet1d"])
def test_doors_cost_the_same(name):
  model, variables, inputs = network(name)
  costs = []
  for door in (first_door, second_door):

    def logits(variables, x, door=door):
      state = moments.Moments(x, jnp.full(x.shape, 0.04), LINEAR)
      return door(model, variables, state).logits

    compiled = jax.jit(logits).lower(variables, inputs).compile()
    costs.append(compiled.cost_analysis())
  first, second = costs
  for quantity in ("flops", "bytes accessed"):
    assert second[quantity] == pytest.approx(first[quantity], rel=0.05)
