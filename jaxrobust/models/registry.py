"""Models by name: the table, and building one from plain options."""

import dataclasses
import importlib
import inspect
import math
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxrobust.models import (
  convnext,
  efficientnet,
  fcn1d,
  lenet5,
  lstm,
  mlp,
  resnet,
  small_cnn,
  vgg,
  vit,
)

MODELS: Mapping[str, type[nn.Module]] = types.MappingProxyType(
  {
    "mlp": mlp.Mlp,
    "fcn1d": fcn1d.Fcn1d,
    "lenet5": lenet5.LeNet5,
    "small_cnn": small_cnn.SmallCnn,
    "resnet18": resnet.ResNet18,
    "resnet1d": resnet.ResNet1d,
    "vgg11": vgg.Vgg11,
    "vgg16": vgg.Vgg16,
    "lstm": lstm.Lstm,
    "vit_tiny": vit.VitTiny,
    "convnext": convnext.ConvNeXt,
    "efficientnet": efficientnet.EfficientNet,
  }
)

_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
_BASE_FIELDS = ("num_classes", "mean", "std", "axis_name", "dtype")


def build(
  name: str,
  *,
  num_classes: int,
  mean: Sequence[float] = (),
  std: Sequence[float] = (),
  axis_name: str | None = None,
  dtype: str = "float32",
  **options,
) -> nn.Module:
  """Builds a model from its name and plain options, and checks them all.

  Args:
    name: a key of `MODELS`, or 'package.module:Class' for one's own: a linen
      module with a field `num_classes`, whose `__call__(inputs, train, mask)`
      returns `Outputs`. Of `mean`, `std`, `axis_name` and `dtype` it gets those
      it has fields for.
    num_classes: number of logits, at least 1: the classes, or the targets of
      a regression.
    mean: per-channel mean of the inputs; () for no normalisation.
    std: per-channel standard deviation of the inputs.
    axis_name: the mapped axis over which batch statistics are summed.
    dtype: 'float32' or 'bfloat16', the type of the computation.
    **options: fields of the model, as `options(name)` lists them; lists stand
      for tuples.

  Returns:
    The linen module, with no parameters yet.

  Raises:
    ValueError: one line that names the field, the value and what is allowed.

  Example:
    >>> import jax
    >>> model = build("mlp", num_classes=10, hidden=(32,))
    >>> x = jnp.zeros((4, 8, 8, 1))
    >>> variables = model.init(jax.random.key(0), x)
    >>> model.apply(variables, x).logits.shape
    (4, 10)
  """
  cls = _lookup(name)
  if dtype not in _DTYPES:
    raise ValueError(f"dtype must be {_words(_DTYPES)}, got {dtype!r}")
  if axis_name is not None and not isinstance(axis_name, str):
    raise ValueError(f"axis_name must be a string or None, got {axis_name!r}")
  if not _is_integer(num_classes) or num_classes < 1:
    raise ValueError(
      f"num_classes must be an integer of at least 1, got {num_classes!r}"
    )
  mean, std = _checked_normalisation(mean, std)
  fields: dict[str, Any] = {
    "num_classes": num_classes,
    "mean": mean,
    "std": std,
    "axis_name": axis_name,
    "dtype": _DTYPES[dtype],
  }
  declared = {field.name for field in dataclasses.fields(cls)}
  # A model without these fields cannot do what they ask for. One without
  # axis_name has nothing to sum over it.
  asked = {"mean": mean, "std": std, "dtype": dtype != "float32"}
  for field, value in asked.items():
    if value and field not in declared:
      raise ValueError(
        f"model {name!r} has no field {field}, got {field}="
        f"{dtype if field == 'dtype' else value!r}; leave it at its default"
      )
  fields = {k: v for k, v in fields.items() if k in declared}

  known = _options(cls)
  for field, value in options.items():
    if field not in known:
      raise ValueError(
        f"model {name!r} has no option {field!r}, got {value!r}; its options"
        f" are {_words(known) or 'none'}"
      )
    fields[field] = _checked_option(field, value, *known[field])
  return cls(**fields)


def options(name: str) -> dict[str, tuple[Any, Any]]:
  """Returns a model's own options: {field: (annotation, default)}.

  Raises:
    ValueError: if there is no such model.

  Example:
    >>> options("lstm")
    {'width': (<class 'int'>, 128)}
  """
  return _options(_lookup(name))


def quick_options(name: str) -> dict[str, Any]:
  """Returns options that make a model small, for tests and quick runs.

  They are empty for a model of one's own without a class attribute `quick`.

  Raises:
    ValueError: if there is no such model.

  Example:
    >>> quick_options("lstm")
    {'width': 16}
  """
  return dict(getattr(_lookup(name), "quick", {}))


def _lookup(name: str) -> type[nn.Module]:
  """Returns the class of a table entry or of 'package.module:Class'."""
  if name in MODELS:
    return MODELS[name]
  module_name, colon, class_name = str(name).partition(":")
  if not colon:
    raise ValueError(
      f"model must be {_words(MODELS)} or 'package.module:Class', got {name!r}"
    )
  try:
    cls = getattr(importlib.import_module(module_name), class_name)
  except (ImportError, AttributeError, ValueError) as error:
    raise ValueError(f"model {name!r} cannot be imported: {error}") from error
  if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
    raise ValueError(f"model {name!r} must be a flax.linen module, got {cls!r}")
  if "num_classes" not in {field.name for field in dataclasses.fields(cls)}:
    raise ValueError(f"model {name!r} must have a field num_classes, got none")
  arguments = inspect.signature(cls.__call__).parameters
  missing = {"train", "mask"} - set(arguments)
  open_ended = any(p.kind is p.VAR_KEYWORD for p in arguments.values())
  if missing and not open_ended:
    raise ValueError(
      f"model {name!r} must have __call__(self, inputs, train, mask), got no"
      f" {_words(sorted(missing))}"
    )
  return cls


def _options(cls: type[nn.Module]) -> dict[str, tuple[Any, Any]]:
  """Returns {field: (annotation, default)} without the common fields."""
  return {
    field.name: (field.type, _default(field))
    for field in dataclasses.fields(cls)
    if field.init and field.name not in (*_BASE_FIELDS, "parent", "name")
  }


def _default(field: dataclasses.Field) -> Any:
  if field.default_factory is not dataclasses.MISSING:
    return field.default_factory()
  return None if field.default is dataclasses.MISSING else field.default


def _checked_normalisation(mean, std):
  """Returns mean and std as tuples of floats, or raises."""
  for field, values in (("mean", mean), ("std", std)):
    if isinstance(values, str) or not all(
      isinstance(v, numbers.Real) and math.isfinite(v) for v in values
    ):
      raise ValueError(
        f"{field} must be finite numbers, one per channel, got {values!r}"
      )
  if len(mean) != len(std):
    raise ValueError(
      "mean and std need the same number of channels, got"
      f" {len(mean)} and {len(std)}"
    )
  if any(v <= 0 for v in std):
    raise ValueError(f"std must be positive, got {tuple(std)}")
  return tuple(float(v) for v in mean), tuple(float(v) for v in std)


def _checked_option(field: str, value: Any, annotation: Any, default: Any):
  """Returns the value as its annotation has it, or raises.

  Annotations other than the ones below, as one's own model may have, are not
  checked.
  """
  if typing.get_origin(annotation) is typing.Literal:
    choices = typing.get_args(annotation)
    if value not in choices:
      raise ValueError(f"{field} must be {_words(choices)}, got {value!r}")
  elif annotation is int:
    # 0 stands for "none" where it is the default, and is no size elsewhere.
    least = 0 if default == 0 else 1
    if not _is_integer(value) or value < least:
      raise ValueError(
        f"{field} must be an integer of at least {least}, got {value!r}"
      )
  elif annotation == tuple[int, ...]:
    if (
      not isinstance(value, Sequence)
      or isinstance(value, str)
      or not all(_is_integer(v) and v >= 1 for v in value)
    ):
      raise ValueError(f"{field} must be positive integers, got {value!r}")
    value = tuple(value)
  elif annotation in (bool, str) and not isinstance(value, annotation):
    raise ValueError(f"{field} must be a {annotation.__name__}, got {value!r}")
  elif annotation is float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
      raise ValueError(f"{field} must be a number, got {value!r}")
    value = float(value)
    if field == "dropout" and not 0 <= value < 1:
      raise ValueError(f"dropout must lie in [0, 1), got {value!r}")
  return value


def _is_integer(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool)


def _words(names) -> str:
  return " | ".join(str(name) for name in names)
