"""AdaBN and TENT, against a network that is written out in numpy."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrobust import evaluation, models
from jaxrobust.methods import forwards

AXIS, CLASSES, EPSILON = "devices", 4, 1e-5
FORWARD = forwards.deterministic()
LAYERS = {("BatchNorm_0",): 0.9, ("BatchNorm_1",): 0.7}
_RNG = np.random.default_rng(0)
IMAGES = _RNG.uniform(size=(12, 3, 3, 1)).astype(np.float32)
LABELS = _RNG.integers(0, CLASSES, 12).astype(np.int32)


class Net(nn.Module):
  """Two dense layers, each normalised, and the last one."""

  num_classes: int = CLASSES
  momenta: tuple[float, ...] = tuple(LAYERS.values())

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    x = inputs.reshape(len(inputs), -1)
    for width, momentum in zip((6, 5), self.momenta, strict=True):
      x = nn.Dense(width)(x)
      x = models.BatchNorm(
        use_running_average=not train, momentum=momentum, axis_name=AXIS
      )(x, mask=mask)
      x = nn.tanh(x)
    return models.Outputs(nn.Dense(self.num_classes, name="head")(x), x)


NET = Net()


def drawn(path, leaf):
  low = 0.5 if path[-1].key in ("scale", "var") else -1.0
  return _RNG.uniform(low, 1.5, leaf.shape).astype(np.float32)


VARIABLES = jax.tree_util.tree_map_with_path(
  drawn, jax.eval_shape(NET.init, jax.random.key(0), IMAGES)
)
ARRAYS = evaluation.norm_parameters(VARIABLES["params"], LAYERS)


def numpy_network(images, arrays=ARRAYS):
  """Logits in float64 by the batch's own statistics, and these."""
  params, found = VARIABLES["params"], {}
  x = images.reshape(len(images), -1).astype(np.float64)
  for k in range(2):
    dense, norm = params[f"Dense_{k}"], f"BatchNorm_{k}"
    x = x @ dense["kernel"].astype(np.float64) + dense["bias"]
    found[norm, "mean"], found[norm, "var"] = x.mean(0), x.var(0)
    x = (x - x.mean(0)) / np.sqrt(x.var(0) + EPSILON)
    x = np.tanh(x * arrays[norm, "scale"] + arrays[norm, "bias"])
  return x @ params["head"]["kernel"] + params["head"]["bias"], found


def numpy_entropy(images, arrays=ARRAYS):
  logits, _ = numpy_network(images, arrays)
  probs = np.exp(logits - logits.max(1, keepdims=True))
  return stats.entropy(probs, axis=1).mean()


def numerical_gradient(images):
  """Central differences of the mean entropy by every scale and bias."""
  gradient, step = {}, 1e-5
  for path, values in ARRAYS.items():
    gradient[path] = np.zeros(values.shape)
    for k in range(len(values)):
      ends = []
      for sign in (1, -1):
        moved = {p: v.astype(np.float64) for p, v in ARRAYS.items()}
        moved[path][k] += sign * step
        ends.append(numpy_entropy(images, moved))
      gradient[path][k] = (ends[0] - ends[1]) / (2 * step)
  return gradient


def batch_of(images, rows=None, labels=LABELS):
  """A batch for one device, padded with rows that must not count."""
  rows, count = rows or len(images), len(images)
  inputs = np.full((1, rows, *images.shape[1:]), 99.0, np.float32)
  inputs[0, :count] = images
  mask = (np.arange(rows) < count).astype(np.float32)[None]
  padded = np.zeros((1, rows), np.int32)
  padded[0, :count] = labels[:count]
  return {"mask": mask, "labels": padded}, inputs


def mapped(step, in_axes, out_axes):
  return jax.jit(jax.vmap(step, in_axes, out_axes, axis_name=AXIS, axis_size=1))


def statistics_step(forward=FORWARD):
  step = evaluation.make_statistics_step(NET, forward, LAYERS, AXIS)
  return mapped(step, (None, 0, 0), None)


def tent_step(optimizer, forward=FORWARD):
  step = evaluation.make_tent_step(NET, forward, optimizer, AXIS)
  return mapped(step, (None, None, None, 0, 0), (0, None, None, None))


STATISTICS = statistics_step()
SGD = evaluation.tent_optimizer("sgd", 0.05)
TENT = tent_step(SGD)


def test_the_norm_layers_are_found_with_their_momenta():
  assert evaluation.norm_layers(NET, (3, 3, 1)) == LAYERS
  mlp = models.build("mlp", num_classes=3, hidden=(4,))
  assert evaluation.norm_layers(mlp, (3, 3, 1)) == {}
  assert {path[0] for path in ARRAYS} == {"BatchNorm_0", "BatchNorm_1"}
  assert {path[1] for path in ARRAYS} == {"scale", "bias"}


def test_a_layer_of_two_inputs_is_refused():
  class Twice(nn.Module):
    @nn.compact
    def __call__(self, inputs, train=False, mask=None):
      norm = models.BatchNorm(use_running_average=True)
      return norm(norm(inputs))

  with pytest.raises(ValueError, match="layer BatchNorm_0 is used twice"):
    evaluation.norm_layers(Twice(), (3,))


@pytest.mark.parametrize("rows", [12, 16])
def test_the_statistics_of_one_batch_are_those_of_the_activations(rows):
  batch, inputs = batch_of(IMAGES, rows)
  found = STATISTICS(VARIABLES, batch, inputs)
  _, expected = numpy_network(IMAGES)
  assert found.keys() == expected.keys()
  for path, values in expected.items():
    np.testing.assert_allclose(found[path], values, rtol=2e-5, atol=1e-5)


def test_statistics_of_unequal_batches_are_pooled():
  parts, counts, expected = [], [8, 4], []
  for images in (IMAGES[:8], IMAGES[8:]):
    batch, inputs = batch_of(images, 12)
    parts.append(jax.device_get(STATISTICS(VARIABLES, batch, inputs)))
    expected.append(numpy_network(images)[1])
  pooled = evaluation.pool_statistics(counts, parts)
  # The first layer's are those of all examples at once.
  _, whole = numpy_network(IMAGES)
  for name in ("mean", "var"):
    path = "BatchNorm_0", name
    np.testing.assert_allclose(pooled[path], whole[path], rtol=3e-5, atol=1e-5)
  # The second's are pooled: E x and E x^2 over the examples.
  path = "BatchNorm_1", "mean"
  share = np.asarray(counts)[:, None] / 12
  means = np.stack([part[path] for part in expected])
  squares = means**2 + [part["BatchNorm_1", "var"] for part in expected]
  mean = (share * means).sum(0)
  np.testing.assert_allclose(pooled[path], mean, rtol=3e-5, atol=1e-5)
  np.testing.assert_allclose(
    pooled["BatchNorm_1", "var"],
    (share * squares).sum(0) - mean**2,
    rtol=3e-5,
    atol=1e-5,
  )


def test_an_adapted_network_does_not_see_a_change_of_contrast():
  def logits(images):
    batch, inputs = batch_of(images)
    found = STATISTICS(VARIABLES, batch, inputs)
    own = evaluation.with_arrays(VARIABLES["batch_stats"], found)
    adapted = {**VARIABLES, "batch_stats": own}
    return np.asarray(NET.apply(adapted, images).logits)

  clean = logits(IMAGES)
  np.testing.assert_allclose(clean, numpy_network(IMAGES)[0], atol=1e-4)
  np.testing.assert_allclose(logits(0.3 * IMAGES + 0.2), clean, atol=1e-2)
  plain = NET.apply(VARIABLES, IMAGES).logits
  changed = NET.apply(VARIABLES, 0.3 * IMAGES + 0.2).logits
  assert np.abs(plain - changed).max() > 0.1


def test_entropy_is_scipys():
  logits = 3 * _RNG.normal(size=(20, CLASSES)).astype(np.float32)
  probs = np.exp(logits.astype(np.float64))
  np.testing.assert_allclose(
    evaluation.entropy(logits), stats.entropy(probs, axis=1), rtol=1e-5
  )


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_first_step_is_that_of_the_gradient_by_hand(name):
  rate = 0.05
  optimizer = evaluation.tent_optimizer(name, rate)
  step = TENT if name == "sgd" else tent_step(optimizer)
  batch, inputs = batch_of(IMAGES, 16)
  judged, arrays, _, mean = step(
    VARIABLES, ARRAYS, optimizer.init(ARRAYS), batch, inputs
  )
  gradient = numerical_gradient(IMAGES)
  assert arrays.keys() == gradient.keys()
  for path, slope in gradient.items():
    moved = (ARRAYS[path] - np.asarray(arrays[path])) / rate
    # Nesterov's first step is 1 + momentum gradients, Adam's a sign.
    expected = 1.9 * slope if name == "sgd" else np.sign(slope)
    clear = np.abs(slope) > 1e-4
    assert clear.any()
    np.testing.assert_allclose(moved[clear], expected[clear], atol=2e-3)
  # What is predicted is what the network said before it learned.
  assert float(mean) == pytest.approx(numpy_entropy(IMAGES), rel=1e-4)
  logits, _ = numpy_network(IMAGES)
  probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  np.testing.assert_allclose(
    judged["confidence"][0, :12], probs.max(1), rtol=1e-4
  )
  np.testing.assert_array_equal(
    judged["hits"][0, :12], logits.argmax(1) == LABELS
  )


def test_the_entropy_falls_and_labels_have_no_part_in_it():
  batch, inputs = batch_of(IMAGES)
  other, _ = batch_of(IMAGES, labels=LABELS[::-1])
  entropies, ends = [], []
  for own in (batch, other):
    arrays, state = ARRAYS, SGD.init(ARRAYS)
    for _ in range(10):
      judged, arrays, state, mean = TENT(VARIABLES, arrays, state, own, inputs)
      entropies.append(float(mean))
    ends.append((arrays, judged["confidence"]))
  assert entropies[9] < entropies[5] < entropies[0]
  jax.tree.map(np.testing.assert_array_equal, *ends)


def test_a_gradient_that_is_not_finite_changes_nothing():
  batch, inputs = batch_of(IMAGES)
  inputs[0, 3] = np.nan
  state = SGD.init(ARRAYS)
  judged, arrays, moved, _ = TENT(VARIABLES, ARRAYS, state, batch, inputs)
  jax.tree.map(np.testing.assert_array_equal, (arrays, moved), (ARRAYS, state))
  assert not judged["hits"].any()


class Behind:
  """A forward that leaves it to the input to smooth, in training."""

  def smooth(self, images):
    return 0.5 * images + 0.1 * images**2

  def __call__(self, model, variables, inputs, mask, train):
    if not train:
      inputs = self.smooth(inputs)
    return FORWARD(model, variables, inputs, mask, train)


def test_a_network_behind_a_smoother_adapts_behind_it():
  behind = Behind()
  batch, inputs = batch_of(IMAGES)
  found = statistics_step(behind)(VARIABLES, batch, inputs)
  _, expected = numpy_network(behind.smooth(IMAGES))
  for path, values in expected.items():
    np.testing.assert_allclose(found[path], values, rtol=2e-5, atol=1e-5)
  *_, mean = tent_step(SGD, behind)(
    VARIABLES, ARRAYS, SGD.init(ARRAYS), batch, inputs
  )
  assert float(mean) == pytest.approx(
    numpy_entropy(behind.smooth(IMAGES)), rel=1e-4
  )


def test_an_unknown_optimiser_is_named():
  with pytest.raises(ValueError, match=r"name='lion': must be one of \('adam"):
    evaluation.tent_optimizer("lion", 0.1)


def test_with_arrays_leaves_the_tree_alone():
  tree = {"a": {"b": jnp.zeros(2)}, "c": jnp.ones(1)}
  new = evaluation.with_arrays(tree, {("a", "b"): jnp.ones(2)})
  assert float(new["a"]["b"].sum()) == 2
  assert float(tree["a"]["b"].sum()) == 0
  assert new["c"] is tree["c"]
