"""The config of a run: its fields, its `:quick` variant and its checks."""

import itertools
import json
import math
import pathlib
from typing import Any

import ml_collections

from jaxrobust import data, methods, models
from jaxrobust.methods import method

LAUNCHERS = ("pmap", "shard_map")
DTYPES = ("float32", "bfloat16")


class ConfigError(ValueError):
  """A config that cannot run: field, value and what is allowed, in one line."""


def default_config() -> ml_collections.ConfigDict:
  """Every field of a run, for a config file to fill in.

  Fields of the model and of the method that are None take the default of the
  model or of the part; the other values below are neutral ones. A config file
  states whatever its paper does.

  Returns:
    A new ConfigDict.
  """
  config = ml_collections.ConfigDict()
  config.seed = 0

  config.data = ml_collections.ConfigDict()
  config.data.source = "tfds"  # a key of data.SOURCES or "module:function"
  config.data.name = "mnist"  # the TFDS name; the name that rows carry
  config.data.data_dir = ""  # TFDS directory; "" is TFDS's own default
  config.data.path = ""  # the folder or .npz file of those sources
  config.data.train_split = "train"
  config.data.validation_split = ""  # as "train[90%:]"; "" for none
  config.data.test_split = "test"
  config.data.shape = (28, 28, 1)  # [H, W, C], or [T, C] for series
  config.data.num_classes = 10
  config.data.cache = True  # decode once into host memory
  config.data.device_resident = False  # keep the set on the accelerator
  config.data.stand_in = False  # embedded data in this shape; set by :quick

  config.augment = ml_collections.ConfigDict()
  config.augment.crop_padding = 0  # pixels of zero padding before the crop
  config.augment.flip = False  # horizontal

  config.model = ml_collections.ConfigDict({"name": "mlp"})
  config.model.dtype = "float32"  # compute type; parameters are float32
  config.model.mean = ()  # per channel, of inputs in [0, 1]; () for none
  config.model.std = ()
  fields: dict[str, tuple[Any, Any]] = {}
  for name in models.MODELS:
    fields.update(models.options(name))
  config.model.update(method.placeholders(fields))

  config.method = methods.preset("standard")

  config.optimizer = ml_collections.ConfigDict()
  config.optimizer.name = "adam"  # sgd, adam, adamw
  config.optimizer.learning_rate = 1e-3
  config.optimizer.momentum = 0.9  # sgd
  config.optimizer.nesterov = True  # sgd
  config.optimizer.weight_decay = 0.0  # sgd, adam: coupled; adamw: decoupled
  config.optimizer.decay_on = "all"  # all, kernels
  config.optimizer.clip_norm = 0.0  # global gradient norm; 0 for none

  config.schedule = ml_collections.ConfigDict()
  config.schedule.name = "constant"  # constant, cosine, multistep
  config.schedule.warmup_epochs = 0.0
  config.schedule.boundaries = ()  # multistep: epochs
  config.schedule.factor = 0.1  # multistep

  config.train = ml_collections.ConfigDict()
  config.train.epochs = 10
  config.train.batch_size = 128  # global
  config.train.accumulate = 1  # micro-batches per update
  config.train.ema_decay = 0.0  # of the parameters; 0 for none
  config.train.launcher = "pmap"  # pmap, shard_map
  config.train.devices = 0  # 0 for all that divide the batch
  config.train.log_every = 50  # steps

  config.checkpoint = ml_collections.ConfigDict()
  config.checkpoint.every_epochs = 1
  config.checkpoint.keep_last = 2
  config.checkpoint.keep_best = 1  # by validation accuracy

  config.eval = ml_collections.ConfigDict()
  config.eval.batch_size = 500
  config.eval.select = "last"  # last, best
  config.eval.gaussian_stds = (0.1, 0.2, 0.3)
  config.eval.alphas = (0.5, 1.0, 1.5, 2.0)
  config.eval.flip_rates = (0.02, 0.05, 0.126, 0.2, 0.3)
  return config.lock()


def variant(
  config: ml_collections.ConfigDict, name: str | None
) -> ml_collections.ConfigDict:
  """Applies the part of `--config=FILE:NAME` behind the colon.

  `quick` shrinks data, model and steps to seconds and needs no download: the
  embedded digits (for series, a synthetic set) stand in for the data set, in
  its shape and with its number of classes.

  Args:
    config: The full config; changed in place.
    name: None or "" for the config as it is, or "quick".

  Returns:
    The config.

  Raises:
    ConfigError: If there is no such variant.
  """
  if not name:
    return config
  if name != "quick":
    raise ConfigError(f"--config=FILE:{name}: the variant must be 'quick'")
  config.data.stand_in = True
  config.data.device_resident = False
  config.model.update(models.quick_options(config.model.name))
  config.train.batch_size = min(config.train.batch_size, 64)
  config.train.epochs = min(config.train.epochs, 2)
  config.train.log_every = 10
  config.schedule.warmup_epochs = min(config.schedule.warmup_epochs, 1.0)
  config.schedule.boundaries = ()
  config.data.train_split = "train[:384]"
  config.data.test_split = "test[:128]"
  if config.data.validation_split:
    config.data.validation_split = "train[384:512]"
  config.eval.batch_size = 128
  config.eval.gaussian_stds = config.eval.gaussian_stds[:1]
  config.eval.alphas = config.eval.alphas[:2]
  config.eval.flip_rates = config.eval.flip_rates[:1]
  if config.schedule.name == "multistep":
    config.schedule.name = "constant"
  return config


def validate(config: ml_collections.ConfigDict) -> None:
  """Checks every field that can be checked before anything compiles.

  Args:
    config: The config of a run.

  Raises:
    ConfigError: Naming the first field that is wrong, its value and what is
      allowed.
  """
  for field in ("train.epochs", "train.batch_size", "train.accumulate"):
    _at_least(config, field, 1)
  for field in ("train.log_every", "eval.batch_size", "data.num_classes"):
    _at_least(config, field, 1)
  for field in ("checkpoint.every_epochs", "checkpoint.keep_last"):
    _at_least(config, field, 1)
  for field in (
    "train.devices",
    "augment.crop_padding",
    "checkpoint.keep_best",
    "optimizer.weight_decay",
    "optimizer.clip_norm",
    "schedule.warmup_epochs",
    "schedule.factor",
    "seed",
  ):
    _at_least(config, field, 0)
  _one_of(config, "train.launcher", LAUNCHERS)
  _one_of(config, "model.dtype", DTYPES)
  _one_of(config, "optimizer.name", ("sgd", "adam", "adamw"))
  _one_of(config, "optimizer.decay_on", ("all", "kernels"))
  _one_of(config, "schedule.name", ("constant", "cosine", "multistep"))
  _one_of(config, "eval.select", ("last", "best"))
  rate = config.optimizer.learning_rate
  _check(0 < rate < math.inf, "optimizer.learning_rate", rate, "> 0")
  _in_unit(config, "train.ema_decay")
  _in_unit(config, "optimizer.momentum")
  warmup = config.schedule.warmup_epochs
  _check(
    warmup < config.train.epochs,
    "schedule.warmup_epochs",
    warmup,
    f"less than config.train.epochs={config.train.epochs}",
  )
  boundaries = tuple(config.schedule.boundaries)
  if config.schedule.name == "multistep":
    rising = all(a < b for a, b in itertools.pairwise(boundaries))
    _check(
      bool(boundaries) and rising and boundaries[0] > warmup,
      "schedule.boundaries",
      boundaries,
      "rising epochs after the warm-up",
    )
  _validate_data(config)
  _validate_eval(config)
  try:
    models.build(**model_arguments(config))
    models.check_input(config.model.name, tuple(config.data.shape))
  except ValueError as error:
    raise ConfigError(f"config.model: {error}") from error
  try:
    methods.build(config.method, tuple(config.data.shape))
  except ValueError as error:
    raise ConfigError(str(error)) from error


def model_arguments(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The arguments of `models.build`: set options only."""
  given = {k: v for k, v in config.model.items() if v is not None}
  return {**given, "num_classes": config.data.num_classes}


def _validate_data(config: ml_collections.ConfigDict) -> None:
  source = config.data.source
  _check(
    source in data.SOURCES or ":" in source,
    "data.source",
    source,
    f"one of {sorted(data.SOURCES)} or 'module:function'",
  )
  shape = tuple(config.data.shape)
  _check(
    len(shape) in (2, 3) and all(isinstance(n, int) and n > 0 for n in shape),
    "data.shape",
    shape,
    "(height, width, channels) or (time, channels)",
  )
  for field in ("train_split", "test_split", "validation_split"):
    expression = config.data[field]
    if expression or field != "validation_split":
      try:
        data.parse_split(expression)
      except ValueError as error:
        raise ConfigError(f"config.data.{field}: {error}") from error
  _check(
    config.data.validation_split != config.data.test_split,
    "data.validation_split",
    config.data.validation_split,
    "different from config.data.test_split",
  )
  _check(
    config.eval.select == "last" or bool(config.data.validation_split),
    "eval.select",
    config.eval.select,
    "'last' unless config.data.validation_split is set",
  )
  _check(
    config.eval.select == "last" or config.checkpoint.keep_best > 0,
    "checkpoint.keep_best",
    config.checkpoint.keep_best,
    "at least 1 with config.eval.select='best'",
  )
  _check(
    config.data.cache or not config.data.device_resident,
    "data.cache",
    config.data.cache,
    "True with config.data.device_resident=True",
  )
  is_image = len(shape) == 3
  for field in ("crop_padding", "flip"):
    _check(
      is_image or not config.augment[field],
      f"augment.{field}",
      config.augment[field],
      "off for series",
    )
  channels = shape[-1]
  for field in ("mean", "std"):
    value = tuple(config.model[field])
    _check(
      len(value) in (0, channels),
      f"model.{field}",
      value,
      f"() or {channels} numbers, one per channel",
    )
  _check(
    all(s > 0 for s in config.model.std),
    "model.std",
    tuple(config.model.std),
    "positive",
  )


def _validate_eval(config: ml_collections.ConfigDict) -> None:
  stds = tuple(config.eval.gaussian_stds)
  _check(all(s > 0 for s in stds), "eval.gaussian_stds", stds, "positive")
  alphas = tuple(config.eval.alphas)
  _check(all(0 < a <= 2 for a in alphas), "eval.alphas", alphas, "in (0, 2]")
  rates = tuple(config.eval.flip_rates)
  _check(all(0 < r < 1 for r in rates), "eval.flip_rates", rates, "in (0, 1)")


def _check(holds: bool, field: str, value: Any, allowed: str) -> None:
  if not holds:
    raise ConfigError(f"config.{field}={value!r}: must be {allowed}")


def _value(config: ml_collections.ConfigDict, field: str) -> Any:
  value: Any = config
  for name in field.split("."):
    value = value[name]
  return value


def _at_least(
  config: ml_collections.ConfigDict, field: str, least: int
) -> None:
  value = _value(config, field)
  _check(least <= value < math.inf, field, value, f"at least {least}")


def _in_unit(config: ml_collections.ConfigDict, field: str) -> None:
  value = _value(config, field)
  _check(0 <= value < 1, field, value, "in [0, 1)")


def _one_of(
  config: ml_collections.ConfigDict, field: str, allowed: tuple[str, ...]
) -> None:
  value = _value(config, field)
  _check(value in allowed, field, value, f"one of {', '.join(allowed)}")


def save(config: ml_collections.ConfigDict, path: pathlib.Path) -> None:
  """Writes a config as JSON, whole or not at all."""
  partial = path.with_name(path.name + ".part")
  text = json.dumps(config.to_dict(), indent=2, default=list)
  partial.write_text(text + "\n")
  partial.replace(path)


def load(path: pathlib.Path) -> ml_collections.ConfigDict:
  """Reads a config that `save` wrote.

  Args:
    path: The JSON file.

  Returns:
    The config, with tuples where JSON has lists.

  Raises:
    ConfigError: If the file is missing, is not such a config, or has fields
      that this version does not know.
  """
  try:
    saved = json.loads(path.read_text())
  except FileNotFoundError as error:
    raise ConfigError(f"{path}: not found; is this a run's folder?") from error
  except ValueError as error:
    raise ConfigError(f"{path}: not a config ({error})") from error
  config = default_config()
  _fill(config, saved, f"{path}: config")
  return config


def _fill(config: Any, saved: dict[str, Any], where: str) -> None:
  for key, value in saved.items():
    if key not in config:
      raise ConfigError(f"{where}.{key}: unknown to this version of jaxrobust")
    if isinstance(value, dict):
      _fill(config[key], value, f"{where}.{key}")
    else:
      config[key] = tuple(value) if isinstance(value, list) else value
