"""What every model of the table promises."""

import inspect

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import models

NAMES = list(models.MODELS)
SERIES = {"fcn1d", "resnet1d", "lstm"}
NORMED = ["fcn1d", "resnet18", "resnet1d", "vgg11", "vgg16", "efficientnet"]


def _inputs(name, n=4):
  shape = (n, 12, 2) if name in SERIES else (n, 8, 8, 2)
  x = np.random.default_rng(0).uniform(size=shape)
  return jnp.asarray(x, jnp.float32)


def _quick(name, **options):
  options = models.quick_options(name) | options
  return models.build(name, num_classes=3, **options)


def _init(model, x):
  """Returns variables drawn by NumPy: no compilation of the initialisers."""
  shapes = jax.eval_shape(model.init, jax.random.key(0), x)
  rng = np.random.default_rng(1)

  def draw(path, leaf):
    if path[-1].key in ("scale", "var"):
      return jnp.ones(leaf.shape, leaf.dtype)
    fan_in = max(1, int(np.prod(leaf.shape[:-1])))
    values = rng.normal(0, fan_in**-0.5, leaf.shape)
    return jnp.asarray(values, leaf.dtype)

  return jax.tree_util.tree_map_with_path(draw, shapes)


def _count(name, shape, num_classes, **options):
  model = models.build(name, num_classes=num_classes, **options)
  x = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), x)
  return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


@pytest.mark.parametrize(
  ("name", "shape", "num_classes", "parameters"),
  [
    ("mlp", (28, 28, 1), 10, 535_818),
    ("lenet5", (28, 28, 1), 10, 61_706),
    ("lenet5", (32, 32, 3), 10, 62_006),
    ("small_cnn", (28, 28, 1), 10, 824_458),
    ("small_cnn", (32, 32, 3), 10, 1_070_794),
    # PyTorch's well-known CIFAR implementations have exactly these.
    ("resnet18", (32, 32, 3), 10, 11_173_962),
    ("vgg11", (32, 32, 3), 10, 9_231_114),
    ("vgg16", (32, 32, 3), 10, 14_728_266),
    # torch.nn.LSTM keeps two biases per gate, of which one is redundant.
    ("lstm", (96, 1), 2, 66_818),
    ("fcn1d", (96, 1), 2, 264_962),
    ("resnet1d", (96, 1), 2, 504_258),
    ("vit_tiny", (32, 32, 3), 10, 5_362_762),
    ("convnext", (32, 32, 3), 10, 3_376_290),
    ("efficientnet", (32, 32, 3), 10, 4_020_358),
  ],
)
def test_parameter_counts_are_pinned(name, shape, num_classes, parameters):
  assert _count(name, shape, num_classes) == parameters
  if name in ("convnext", "efficientnet"):
    assert f"{parameters:,}" in " ".join(models.MODELS[name].__doc__.split())


@pytest.mark.parametrize(
  ("name", "options", "parameters"),
  [
    # What torchvision's convnext_tiny and efficientnet_b0 have, and timm's
    # vit_tiny_patch16_224.
    (
      "convnext",
      {"patch": 4, "depths": (3, 3, 9, 3), "widths": (96, 192, 384, 768)},
      28_589_128,
    ),
    ("efficientnet", {}, 5_288_548),
    ("vit_tiny", {"patch": 16}, 5_717_416),
  ],
)
def test_networks_of_imagenet_have_their_published_size(
  name, options, parameters
):
  assert _count(name, (224, 224, 3), 1000, **options) == parameters


def test_the_feature_layer_of_resnet18_adds_its_own_parameters():
  without = 11_173_962 - (512 * 10 + 10)
  layer, head = 512 * 128 + 128, 128 * 10 + 10
  assert (
    _count("resnet18", (32, 32, 3), 10, feature_dim=128)
    == without + layer + head
  )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_parameters_are_float32(name, dtype):
  model = _quick(name, dtype=dtype)
  x = _inputs(name)
  outputs, variables = jax.eval_shape(
    model.init_with_output, jax.random.key(0), x
  )
  assert isinstance(outputs, models.Outputs)
  assert outputs.logits.shape == (4, 3)
  assert outputs.features.shape[0] == 4
  assert outputs.features.ndim == 2
  chex.assert_type(jax.tree.leaves(outputs), jnp.float32)
  chex.assert_type(jax.tree.leaves(variables), jnp.float32)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_reaches_the_computation(name):
  model = _quick(name, dtype="bfloat16")
  x = _inputs(name)
  variables = jax.eval_shape(model.init, jax.random.key(0), x)
  program = str(jax.make_jaxpr(model.apply)(variables, x))
  products = [
    line
    for line in program.splitlines()
    if "conv_general_dilated[" in line or "dot_general[" in line
  ]
  assert products
  assert any("bf16" in line for line in products)


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_the_head_applied_to_the_features(name):
  model, x = _quick(name), _inputs(name)
  variables = _init(model, x)
  outputs = jax.jit(model.apply)(variables, x)
  head = variables["params"]["head"]
  np.testing.assert_allclose(
    outputs.features @ head["kernel"] + head["bias"],
    outputs.logits,
    rtol=1e-4,
    atol=1e-5,
  )


@pytest.mark.parametrize("name", NAMES)
def test_normalisation_is_the_first_layer(name):
  mean, std = (0.2, 0.7), (0.5, 2.0)
  x = _inputs(name)
  plain, normalised = _quick(name), _quick(name, mean=mean, std=std)
  variables = _init(plain, x)
  by_hand = (np.asarray(x) - np.array(mean)) / np.array(std)
  expected = jax.jit(plain.apply)(variables, jnp.asarray(by_hand, jnp.float32))
  got = jax.jit(normalised.apply)(variables, x)
  chex.assert_trees_all_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_does_not_depend_on_the_others_in_evaluation(name):
  model, x = _quick(name), _inputs(name)
  variables = _init(model, x)
  apply = jax.jit(model.apply)
  others = x.at[1:].set(9.0)
  np.testing.assert_allclose(
    apply(variables, x).logits[0],
    apply(variables, others).logits[0],
    rtol=1e-5,
    atol=1e-6,
  )


@pytest.mark.parametrize("name", NAMES)
def test_padding_rows_do_not_reach_real_ones_in_training(name):
  model, x = _quick(name), _inputs(name)
  variables = _init(model, x)
  mask = jnp.array([1.0, 1.0, 1.0, 0.0])

  @jax.jit
  def train(x):
    outputs, changed = model.apply(
      variables, x, train=True, mask=mask, mutable=["batch_stats"]
    )
    return outputs.logits[:3], changed

  chex.assert_trees_all_equal(train(x), train(x.at[3].set(1e4)))


@pytest.mark.parametrize("name", NORMED)
def test_training_moves_the_running_averages(name):
  model, x = _quick(name), _inputs(name)
  variables = _init(model, x)
  _, changed = jax.jit(
    lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"])
  )(variables, x)
  before = jax.tree.leaves(variables["batch_stats"])
  after = jax.tree.leaves(changed["batch_stats"])
  assert all((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", NORMED)
def test_group_normalisation_keeps_no_statistics(name):
  model, x = _quick(name, norm="group"), _inputs(name)
  variables = jax.eval_shape(model.init, jax.random.key(0), x)
  assert set(variables) == {"params"}
  names = {
    key.key
    for path, _ in jax.tree_util.tree_leaves_with_path(variables)
    for key in path
  }
  assert any(key.startswith("GroupNorm") for key in names)
  assert not any(key.startswith("BatchNorm") for key in names)


def test_the_features_of_the_discriminative_method_are_affine_and_signed():
  x = _inputs("resnet18", 16)
  pooled_model = _quick("resnet18")
  model = _quick("resnet18", feature_dim=128)
  variables = _init(model, x)
  body = {k: v for k, v in variables["params"].items() if k != "Dense_0"}
  head = {"kernel": jnp.zeros((64, 3)), "bias": jnp.zeros(3)}
  pooled = jax.jit(pooled_model.apply)(
    {**variables, "params": {**body, "head": head}}, x
  ).features
  features = jax.jit(model.apply)(variables, x).features
  layer = variables["params"]["Dense_0"]
  # A ReLU before the layer changes nothing: averages of ReLUs are >= 0.
  np.testing.assert_allclose(
    np.maximum(pooled, 0) @ layer["kernel"] + layer["bias"],
    features,
    rtol=1e-4,
    atol=1e-5,
  )
  assert features.shape == (16, 128)
  assert (features < 0).any()
  assert (features > 0).any()


def test_lenet_surrounds_small_images_with_zeros():
  model = models.build("lenet5", num_classes=3)
  x = _inputs("lenet5")
  variables = _init(model, x)
  padded = jnp.pad(x, ((0, 0), (12, 12), (12, 12), (0, 0)))
  chex.assert_trees_all_close(
    jax.jit(model.apply)(variables, x),
    jax.jit(model.apply)(variables, padded),
    rtol=1e-4,
    atol=1e-5,
  )


def test_a_convnext_block_is_the_identity_without_its_layer_scale():
  x = _inputs("convnext")
  model = _quick("convnext", depths=(1,), widths=(4,))
  variables = _init(model, x)
  variables["params"]["ConvNeXtBlock_0"]["layer_scale"] *= 0
  params = variables["params"]
  got = jax.jit(model.apply)(variables, x).features
  patches = np.asarray(x).reshape((4, 4, 2, 4, 2, 2)).swapaxes(2, 3)
  patches = patches.reshape((4, 4, 4, 8))
  kernel = params["Conv_0"]["kernel"].reshape((8, 4))

  def normalised(y, layer):
    y = y - y.mean(-1, keepdims=True)
    y = y / np.sqrt((y * y).mean(-1, keepdims=True) + 1e-6)
    return y * params[layer]["scale"] + params[layer]["bias"]

  stem = normalised(patches @ kernel + params["Conv_0"]["bias"], "LayerNorm_0")
  expected = normalised(stem.mean((1, 2)), "LayerNorm_1")
  np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_a_closed_gate_of_efficientnet_leaves_the_biases_alone():
  x = _inputs("efficientnet")
  model = _quick("efficientnet", depths=(1, 1))
  variables = _init(model, x)
  apply = jax.jit(model.apply)
  block = variables["params"]["MBConv_1"]
  assert (apply(variables, x).logits != apply(variables, x[::-1]).logits).any()
  # sigmoid(-200) is 0: nothing of the input passes.
  block["Dense_1"]["bias"] = jnp.full_like(block["Dense_1"]["bias"], -200)
  logits = apply(variables, x).logits
  np.testing.assert_allclose(logits, apply(variables, x[::-1]).logits)


def test_the_lstm_follows_its_equations():
  model, x = _quick("lstm", width=3), _inputs("lstm")
  variables = _init(model, x)
  outputs = model.apply(variables, x)
  (cell,) = (v for k, v in variables["params"].items() if k != "head")

  def sigmoid(v):
    return 1 / (1 + np.exp(-v))

  h = c = np.zeros((4, 3))
  for t in range(x.shape[1]):
    gate = {
      g: np.asarray(x[:, t]) @ cell["i" + g]["kernel"]
      + h @ cell["h" + g]["kernel"]
      + cell["h" + g]["bias"]
      for g in "ifgo"
    }
    c = sigmoid(gate["f"]) * c + sigmoid(gate["i"]) * np.tanh(gate["g"])
    h = sigmoid(gate["o"]) * np.tanh(c)
  np.testing.assert_allclose(outputs.features, h, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_documents_its_options(name):
  doc = inspect.getdoc(models.MODELS[name])
  parents = inspect.getdoc(models.MODELS[name].__mro__[1]) or ""
  assert doc
  for field in models.options(name):
    assert f"{field}:" in doc or f"{field}:" in parents


def test_every_part_is_a_linen_module_with_a_head():
  for name in NAMES:
    assert issubclass(models.MODELS[name], nn.Module)
    x = _inputs(name)
    shapes = jax.eval_shape(_quick(name).init, jax.random.key(0), x)
    assert shapes["params"]["head"]["kernel"].shape[1] == 3
