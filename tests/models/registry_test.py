"""Building models from names and plain options."""

import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxrobust import models


class Own(nn.Module):
  """A model of one's own, with the fields it needs and no more."""

  num_classes: int
  width: int = 4
  rate: float = 0.5

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    features = nn.Dense(self.width)(inputs.reshape(inputs.shape[0], -1))
    return models.Outputs(nn.Dense(self.num_classes)(features), features)


class Incomplete(nn.Module):
  num_classes: int

  def __call__(self, inputs, train=False):
    return inputs


class Unsized(nn.Module):
  def __call__(self, inputs, train=False, mask=None):
    return inputs


@pytest.fixture
def own(monkeypatch):
  """Returns the name of a module that has the classes above."""
  module = types.ModuleType("own_models")
  for value in (Own, Incomplete, Unsized):
    setattr(module, value.__name__, value)
  module.number = 3
  monkeypatch.setitem(__import__("sys").modules, "own_models", module)
  return "own_models"


def test_a_model_of_ones_own_is_built_by_its_path(own):
  model = models.build(
    f"{own}:Own", num_classes=3, axis_name="devices", width=5
  )
  x = jnp.zeros((2, 4, 4, 1))
  outputs, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), x)
  assert outputs.logits.shape == (2, 3)
  assert outputs.features.shape == (2, 5)
  assert models.options(f"{own}:Own") == {
    "width": (int, 4),
    "rate": (float, 0.5),
  }
  assert models.quick_options(f"{own}:Own") == {}


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("resnet19", "model must be mlp |.*'package.module:Class', got 'resnet19'"),
    ("own_models:Missing", "cannot be imported"),
    ("no_such_package:Own", "cannot be imported"),
    (":Own", "cannot be imported"),
    ("own_models:number", "must be a flax.linen module"),
    ("own_models:Unsized", "must have a field num_classes"),
    ("own_models:Incomplete", "got no mask"),
  ],
)
def test_a_wrong_model_is_one_line(own, name, message):
  with pytest.raises(ValueError, match=message) as caught:
    models.build(name, num_classes=3)
  assert "\n" not in str(caught.value)


def test_what_ones_own_model_cannot_do_is_refused(own):
  name = f"{own}:Own"
  with pytest.raises(ValueError, match="no field mean"):
    models.build(name, num_classes=3, mean=(0.5,), std=(1.0,))
  with pytest.raises(ValueError, match="no field dtype"):
    models.build(name, num_classes=3, dtype="bfloat16")


@pytest.mark.parametrize(
  ("name", "fields", "message"),
  [
    ("lstm", {"widht": 3}, "no option 'widht', got 3; its options are width"),
    ("lstm", {"width": 0}, "width must be an integer of at least 1, got 0"),
    ("lstm", {"width": 2.0}, "width must be an integer"),
    ("lstm", {"width": True}, "width must be an integer"),
    ("resnet18", {"feature_dim": -1}, "feature_dim must be .* at least 0"),
    ("resnet18", {"norm": "layer"}, "norm must be batch | group, got 'layer'"),
    (
      "mlp",
      {"hidden": (3, 0)},
      r"hidden must be positive integers, got \(3, 0",
    ),
    ("mlp", {"hidden": "33"}, "hidden must be positive integers, got '33'"),
    ("mlp", {"num_classes": 0}, "num_classes must be .* at least 1, got 0"),
    ("mlp", {"dtype": "float16"}, "dtype must be float32 | bfloat16"),
    ("mlp", {"mean": (0.5,)}, "same number of channels, got 1 and 0"),
    ("mlp", {"mean": (0.0,), "std": (0.0,)}, "std must be positive"),
    ("mlp", {"mean": ("a",), "std": (1.0,)}, "mean must be finite numbers"),
    ("mlp", {"axis_name": 3}, "axis_name must be a string or None, got 3"),
    ("mlp", {"parent": None}, "no option 'parent'"),
  ],
)
def test_a_wrong_field_is_named_with_its_value(name, fields, message):
  with pytest.raises(ValueError, match=message) as caught:
    models.build(name, **{"num_classes": 3, **fields})
  assert "\n" not in str(caught.value)


def test_own_option_types_are_checked(own):
  with pytest.raises(ValueError, match="rate must be a number, got 'fast'"):
    models.build(f"{own}:Own", num_classes=3, rate="fast")
  assert models.build(f"{own}:Own", num_classes=3, rate=1).rate == 1.0


def test_lists_stand_for_tuples():
  model = models.build("mlp", num_classes=3, hidden=[4, 5], mean=[0.5], std=[1])
  assert model.hidden == (4, 5)
  assert model.mean == (0.5,)
  hash(model)


def test_options_are_the_fields_of_ones_own():
  for name in models.MODELS:
    found = models.options(name)
    assert not {"num_classes", "mean", "std", "dtype", "name"} & set(found)
    assert set(models.quick_options(name)) <= set(found)
    defaults = {field: default for field, (_, default) in found.items()}
    assert models.build(name, num_classes=3, **defaults) == models.build(
      name, num_classes=3
    )


@pytest.mark.parametrize(
  ("name", "shape", "message"),
  [
    ("lstm", (8, 8, 1), r"takes series \[T, C\]"),
    ("fcn1d", (8, 8, 1), r"takes series \[T, C\]"),
    ("resnet1d", (8,), r"takes series \[T, C\]"),
    ("lenet5", (96, 1), r"takes images \[H, W, C\]"),
    ("resnet18", (8, 8), r"takes images \[H, W, C\]"),
    ("vgg16", (0, 8, 1), "got empty inputs"),
    ("vit_tiny", (30, 32, 3), "sides that patch=4 divides"),
    ("convnext", (8, 8), r"takes images \[H, W, C\]"),
    ("efficientnet", (8, 8), r"takes images \[H, W, C\]"),
  ],
)
def test_inputs_that_a_model_cannot_take_are_named(name, shape, message):
  with pytest.raises(ValueError, match=message):
    models.build(name, num_classes=2).check_input(shape)
  model = models.build(name, num_classes=3)
  x = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(model.init, jax.random.key(0), x)


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("convnext", {"depths": (1, 1)}, "as many depths as widths"),
    ("convnext", {"depths": (), "widths": ()}, "as many depths as widths"),
    ("efficientnet", {"depths": ()}, "1 to 7 stages, got depths"),
    ("efficientnet", {"depths": (1,) * 8}, "1 to 7 stages, got depths"),
  ],
)
def test_stages_that_do_not_fit_are_named(name, options, message):
  model = models.build(name, num_classes=2, **options)
  with pytest.raises(ValueError, match=message):
    model.check_input((8, 8, 1))


def test_vit_tiny_takes_large_patches_of_large_images():
  model = models.build("vit_tiny", num_classes=3, patch=16)
  model.check_input((224, 224, 3))
  with pytest.raises(ValueError, match="patch=16 divides"):
    model.check_input((225, 224, 3))


def test_images_and_series_of_any_size_are_taken():
  for side in (1, 2, 5, 8, 33):
    for name in (
      "mlp",
      "lenet5",
      "small_cnn",
      "resnet18",
      "vgg11",
      "vgg16",
      "convnext",
      "efficientnet",
    ):
      x = jax.ShapeDtypeStruct((2, side, side, 1), jnp.float32)
      model = models.build(name, num_classes=3, **models.quick_options(name))
      jax.eval_shape(model.init, jax.random.key(0), x)
    for name in ("mlp", "fcn1d", "resnet1d", "lstm"):
      x = jax.ShapeDtypeStruct((2, side, 1), jnp.float32)
      model = models.build(name, num_classes=3, **models.quick_options(name))
      jax.eval_shape(model.init, jax.random.key(0), x)


def test_heads_that_do_not_divide_the_width_are_named():
  with pytest.raises(ValueError, match="multiple of heads=3, got 64"):
    models.build("vit_tiny", num_classes=2, width=64).check_input((32, 32, 3))


def test_normalisation_of_another_number_of_channels_is_named():
  model = models.build("mlp", num_classes=3, mean=(0.5,), std=(1.0,))
  with pytest.raises(ValueError, match="mean has 1 channels, the input has 3"):
    jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((2, 4, 4, 3)))
