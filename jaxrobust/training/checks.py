"""Every check of a config that can be made before anything compiles."""

import itertools
import math
import typing
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from jaxrobust import attacks, data, evaluation, methods, models
from jaxrobust.alpha_stable.bursts import require_bursts
from jaxrobust.training.config import ConfigError, model_arguments

LAUNCHERS = ("pmap", "shard_map")
DTYPES = ("float32", "bfloat16")


def validate(config: ml_collections.ConfigDict) -> None:
  """Checks every field that can be checked before anything compiles.

  Args:
    config: The config of a run.

  Raises:
    ConfigError: Naming the first field that is wrong, its value and what is
      allowed.

  Example:
    >>> from jaxrobust.training.config import default_config
    >>> config = default_config()
    >>> config.train.epochs = 0
    >>> validate(config)
    Traceback (most recent call last):
    ...
    jaxrobust.training.config.ConfigError: config.train.epochs=0: must be at
    least 1
  """
  for field in ("train.epochs", "train.batch_size", "train.accumulate"):
    _at_least(config, field, 1)
  for field in ("train.log_every", "eval.batch_size"):
    _at_least(config, field, 1)
  for field in ("checkpoint.every_epochs", "checkpoint.keep_last"):
    _at_least(config, field, 1)
  for field in (
    "train.devices",
    "augment.crop_padding",
    "checkpoint.keep_best",
    "optimizer.weight_decay",
    "optimizer.l1",
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
  noise_rate = config.optimizer.noise_rate
  learns = bool(config.method.forward.learn)
  _check(
    0 < noise_rate < math.inf and (learns or noise_rate == 1),
    "optimizer.noise_rate",
    noise_rate,
    "> 0" if learns else "1 without config.method.forward.learn=True",
  )
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
  for field in (
    "schedule.boundaries",
    "model.mean",
    "model.std",
    "eval.gaussian_stds",
    "eval.alphas",
    "eval.flip_rates",
    "eval.burst_alphas",
    "eval.burst_rates",
    "eval.pruned_shares",
    "eval.attack_eps",
  ):
    _numbers_in(config, field)
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
    model = models.build(**model_arguments(config))
    if isinstance(model, models.Model):  # One's own takes any shape.
      model.check_input(tuple(config.data.shape))
  except ValueError as error:
    raise ConfigError(f"config.model: {error}") from error
  if config.eval.sparsity:
    _validate_kernels(config, model)
  try:
    method = methods.build(config.method, tuple(config.data.shape))
    methods.check_name(config.method)
  except ValueError as error:
    raise ConfigError(str(error)) from error
  if hasattr(method.forward, "parameters"):
    _validate_forward(config, model, method)


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
  _one_of(config, "data.standardise", data.STANDARDISE)
  is_series = len(shape) == 2
  _check(
    is_series or config.data.standardise == "none",
    "data.standardise",
    config.data.standardise,
    "'none' for images, which have config.model.mean and .std",
  )
  _validate_task(config)
  _validate_splits(config)
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


def _validate_task(config: ml_collections.ConfigDict) -> None:
  classes, targets = config.data.num_classes, config.data.targets
  _check(
    targets == 0 or config.method.forward.name != "moments",
    "method.forward.name",
    config.method.forward.name,
    f"another with config.data.targets={targets}: its objectives take classes",
  )
  _at_least(config, "data.targets", 0)
  _check(
    classes >= 2 or (classes == 0 and targets > 0),
    "data.num_classes",
    classes,
    "at least 2, or 0 with config.data.targets at least 1",
  )
  _check(
    classes == 0 or targets == 0,
    "data.targets",
    targets,
    f"0 with config.data.num_classes={classes}",
  )
  regression = config.method.objective.name in methods.REGRESSION_OBJECTIVES
  _check(
    regression == (targets > 0),
    "method.objective.name",
    config.method.objective.name,
    f"{'one' if targets else 'none'} of "
    f"{', '.join(methods.REGRESSION_OBJECTIVES)} with "
    f"config.data.targets={targets}",
  )
  _check(
    targets == 0 or config.method.input.name != "adversarial",
    "method.input.name",
    config.method.input.name,
    "another with config.data.targets>0: the attack ascends the cross-entropy "
    "of classes",
  )


def _validate_splits(config: ml_collections.ConfigDict) -> None:
  splits = {}
  for field in ("train_split", "test_split", "validation_split"):
    expression = config.data[field]
    if expression or field != "validation_split":
      try:
        splits[field] = data.parse_split(expression)
      except ValueError as error:
        raise ConfigError(f"config.data.{field}: {error}") from error
  for (first, one), (second, other) in itertools.combinations(
    splits.items(), 2
  ):
    # Ranges of the training split may be judged on, to see how it is fitted,
    # but nothing may be chosen on them.
    judged = (first, second) == ("train_split", "test_split")
    matters = not judged or one.folds or other.folds
    _check(
      not (matters and one.overlaps(other)),
      f"data.{second}",
      other.expression,
      f"disjoint from config.data.{first}={one.expression!r}",
    )


def _validate_eval(config: ml_collections.ConfigDict) -> None:
  stds = tuple(config.eval.gaussian_stds)
  _check(all(s > 0 for s in stds), "eval.gaussian_stds", stds, "positive")
  alphas = tuple(config.eval.alphas)
  _check(all(0 < a <= 2 for a in alphas), "eval.alphas", alphas, "in (0, 2]")
  rates = tuple(config.eval.flip_rates)
  _check(all(0 < r < 1 for r in rates), "eval.flip_rates", rates, "in (0, 1)")
  alphas = tuple(config.eval.burst_alphas)
  _check(
    all(0 < a <= 2 for a in alphas), "eval.burst_alphas", alphas, "in (0, 2]"
  )
  rates = tuple(config.eval.burst_rates)
  _check(all(0 < r < 1 for r in rates), "eval.burst_rates", rates, "in (0, 1)")
  is_series = len(config.data.shape) == 2
  _check(is_series or not rates, "eval.burst_rates", rates, "() for images")
  share, length = config.eval.burst_share, config.eval.burst_length
  try:
    require_bursts(share, length)
  except ValueError as error:
    raise ConfigError(
      f"config.eval.burst_share={share}, eval.burst_length={length}: {error}"
    ) from error
  shares = tuple(config.eval.pruned_shares)
  _check(
    all(0 < s < 1 for s in shares), "eval.pruned_shares", shares, "in (0, 1)"
  )
  _validate_attacks(config)


def _validate_attacks(config: ml_collections.ConfigDict) -> None:
  for field in ("steps", "restarts", "examples"):
    _at_least(config, f"eval.attack_{field}", 1)
  norm = config.eval.attack_norm
  _one_of(config, "eval.attack_norm", typing.get_args(attacks.Norm))
  radii = tuple(config.eval.attack_eps)
  is_pixel = len(config.data.shape) == 3 and norm == "linf"
  most = 1 if is_pixel else math.inf
  _check(
    all(0 < eps <= most and eps < math.inf for eps in radii),
    "eval.attack_eps",
    radii,
    "in (0, 1], in units of the input" if is_pixel else "positive",
  )
  _check(
    not radii or config.data.targets == 0,
    "eval.attack_eps",
    radii,
    f"() with config.data.targets={config.data.targets}: attacks are on "
    "classes",
  )


def _validate_forward(
  config: ml_collections.ConfigDict, model: nn.Module, method: methods.Method
) -> None:
  """Noise inside: whether this network can be evaluated with it."""

  def evaluated():
    inputs = jnp.zeros((2, *config.data.shape))
    variables = dict(model.init(jax.random.key(0), inputs))
    forward: Any = method.forward
    own = forward.parameters(model, variables, inputs)
    variables["params"] = {**variables["params"], **own}
    keys = jax.random.split(jax.random.key(0), 2)
    mask = jnp.ones(2)
    return [
      forward(model, variables, inputs, mask, True, keys),
      forward(model, variables, inputs, mask, False),
    ]

  try:
    jax.eval_shape(evaluated)
  except (NotImplementedError, TypeError, ValueError) as error:
    reason = str(error).strip().partition("\n")[0]
    if isinstance(error, TypeError):
      reason += (
        "; functions of random values are those of jaxrobust.moments.ops"
      )
    raise ConfigError(
      f"config.method.forward with config.model.name={config.model.name!r}: "
      f"{reason}"
    ) from error


def _validate_kernels(
  config: ml_collections.ConfigDict, model: nn.Module
) -> None:
  def measured():
    inputs = jnp.zeros((1, *config.data.shape))
    variables = model.init(jax.random.key(0), inputs)
    return evaluation.weight_norm(variables["params"])

  try:
    jax.eval_shape(measured)
  except ValueError as error:
    raise ConfigError(f"config.eval.sparsity=True: {error}") from error


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


def _numbers_in(config: ml_collections.ConfigDict, field: str) -> None:
  values = tuple(_value(config, field))
  numbers = all(isinstance(v, (int, float)) for v in values)
  _check(numbers, field, values, "numbers")


def _in_unit(config: ml_collections.ConfigDict, field: str) -> None:
  value = _value(config, field)
  _check(0 <= value < 1, field, value, "in [0, 1)")


def _one_of(
  config: ml_collections.ConfigDict, field: str, allowed: tuple[str, ...]
) -> None:
  value = _value(config, field)
  _check(value in allowed, field, value, f"one of {', '.join(allowed)}")
