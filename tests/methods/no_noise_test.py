"""A stochastic forward whose noise is 0 is the deterministic one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import models
from jaxrobust.methods import forwards, sampled, stochastic

SHAPES = {
  "mlp": (4, 4, 1),
  "lenet5": (12, 12, 1),
  "small_cnn": (8, 8, 1),
  "resnet18": (8, 8, 3),
  "resnet1d": (12, 2),
  "lstm": (5, 2),
}
MODES = {
  "laplace": {"relu": "laplace"},
  "laplace_clark": {"relu": "laplace", "pool": "clark"},
  "linear": {"relu": "linear"},
  "moment": {"relu": "moment"},
  "full": {"relu": "moment", "covariance": "full"},
  "probes": {"covariance": "probes", "probes": 2},
  "jacobian": {"covariance": "jacobian"},
  "stable": {"alpha": 1.5},
  "sampled": None,
}


def cases():
  for name in SHAPES:
    for mode in MODES:
      if mode == "full" and name != "mlp":
        continue
      if mode == "laplace_clark" and name != "lenet5":
        continue
      # Of two alike, and of the slowest to compile, two modes are enough.
      few = name in ("small_cnn", "resnet18")
      if few and mode not in ("laplace", "moment"):
        continue
      quick = (name, mode) in {("mlp", "moment"), ("mlp", "full")}
      marks = [pytest.mark.quick] if quick else []
      yield pytest.param(name, mode, id=f"{name}-{mode}", marks=marks)


def make_forward(mode, **options):
  if MODES[mode] is None:
    return sampled.sampled(sigma=0.0, samples=2, **options)
  return stochastic.moments_forward(sigma=0.0, **MODES[mode], **options)


@functools.cache
def pieces(name):
  shape = SHAPES[name]
  options = models.quick_options(name)
  model = models.build(name, num_classes=3, **options)
  rng = np.random.default_rng(0)
  x = rng.uniform(size=(4, *shape)).astype(np.float32)
  variables = jax.jit(model.init)(jax.random.key(0), x)
  # Statistics that are not those of a fresh network.
  statistics = jax.tree.map(lambda s: s + 0.5, variables.get("batch_stats", {}))
  variables = {"params": variables["params"], "batch_stats": statistics}
  return model, variables, x


def evaluate(forward, name):
  """Outputs in training with gradients, and in evaluation."""
  model, variables, x = pieces(name)
  mask = jnp.array([1.0, 1, 1, 0])
  keys = jax.random.split(jax.random.key(1), 4)
  weights = jnp.arange(12.0).reshape(4, 3)

  def train(params):
    own = {**variables, "params": params}
    outputs, statistics = forward(model, own, x, mask, True, keys)
    loss = jnp.sum(mask[:, None] * weights * outputs.logits)
    return loss, (outputs.logits[:3], outputs.features[:3], statistics)

  # It runs once: what counts is how long it compiles.
  @functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
  )
  def everything(params):
    evaluated, _ = forward(model, variables, x, mask, False)
    trained = train(params)
    if name != "resnet18":  # Of residual networks, resnet1d has the gradients.
      trained = jax.value_and_grad(train, has_aux=True)(params)
    return trained, (evaluated.logits, evaluated.features)

  return everything(variables["params"])


@functools.cache
def expected(name):
  return evaluate(forwards.deterministic(), name)


@pytest.mark.parametrize(("name", "mode"), list(cases()))
def test_values_and_gradients_are_the_deterministic_ones(name, mode):
  got = evaluate(make_forward(mode, predict="mean"), name)

  def compare(found, right):
    scale = max(np.abs(right).max(), 0.1)
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5 * scale)

  jax.tree.map(compare, got, expected(name))


@pytest.mark.quick
@pytest.mark.parametrize("mode", ["laplace", "linear", "moment", "jacobian"])
def test_the_variance_is_nothing(mode):
  model, variables, x = pieces("mlp")
  outputs, _ = make_forward(mode)(model, variables, x, jnp.ones(4), True)
  np.testing.assert_array_equal(outputs.distribution.var, 0)
