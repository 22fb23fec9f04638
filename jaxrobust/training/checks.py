"""Every check of a config that can be made before anything compiles."""

import itertools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from jaxrobust import data, evaluation, methods, models
from jaxrobust.training.conditions import (
  at_least,
  check,
  in_unit,
  numbers_in,
  one_of,
)
from jaxrobust.training.config import ConfigError, model_arguments
from jaxrobust.training.eval_checks import (
  validate_eval,
  validate_norm_layers,
)
from jaxrobust.training.smoother_checks import validate_smoother

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
    at_least(config, field, 1)
  for field in ("train.log_every", "eval.batch_size"):
    at_least(config, field, 1)
  for field in ("checkpoint.every_epochs", "checkpoint.keep_last"):
    at_least(config, field, 1)
  for field in (
    "train.devices",
    "train.skip_nonfinite",
    "augment.crop_padding",
    "checkpoint.keep_best",
    "optimizer.weight_decay",
    "optimizer.l1",
    "optimizer.clip_norm",
    "schedule.warmup_epochs",
    "schedule.factor",
    "seed",
  ):
    at_least(config, field, 0)
  one_of(config, "train.launcher", LAUNCHERS)
  one_of(config, "model.dtype", DTYPES)
  one_of(config, "optimizer.name", ("sgd", "adam", "adamw"))
  one_of(config, "optimizer.decay_on", ("all", "kernels"))
  one_of(config, "schedule.name", ("constant", "cosine", "multistep"))
  one_of(config, "eval.select", ("last", "best", "best_test"))
  noise_rate = config.optimizer.noise_rate
  learns = bool(config.method.forward.learn)
  check(
    0 < noise_rate < math.inf and (learns or noise_rate == 1),
    "optimizer.noise_rate",
    noise_rate,
    "> 0" if learns else "1 without config.method.forward.learn=True",
  )
  rate = config.optimizer.learning_rate
  check(0 < rate < math.inf, "optimizer.learning_rate", rate, "> 0")
  in_unit(config, "train.ema_decay")
  in_unit(config, "optimizer.momentum")
  warmup = config.schedule.warmup_epochs
  check(
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
    "eval.uniform_eps",
    "eval.resolutions",
    "eval.salt_and_pepper",
    "eval.shot",
    "eval.drift_stds",
    "eval.features_stds",
    "eval.pruned_shares",
    "eval.attack_eps",
    "eval.curvature_h",
    "eval.curvature_std",
  ):
    numbers_in(config, field)
  boundaries = tuple(config.schedule.boundaries)
  if config.schedule.name == "multistep":
    rising = all(a < b for a, b in itertools.pairwise(boundaries))
    check(
      bool(boundaries) and rising and boundaries[0] > warmup,
      "schedule.boundaries",
      boundaries,
      "rising epochs after the warm-up",
    )
  _validate_data(config)
  validate_eval(config)
  try:
    model = models.build(**model_arguments(config))
    if isinstance(model, models.Model):  # One's own takes any shape.
      model.check_input(tuple(config.data.shape))
  except ValueError as error:
    raise ConfigError(f"config.model: {error}") from error
  if config.eval.sparsity:
    _validate_kernels(config, model)
  if config.eval.adapt:
    validate_norm_layers(config, model)
  try:
    method = methods.build(config.method, tuple(config.data.shape))
    methods.check_name(config.method)
  except ValueError as error:
    raise ConfigError(str(error)) from error
  validate_smoother(config, method)
  if hasattr(method.forward, "parameters"):
    _validate_forward(config, model, method)
  if config.method.objective.name in methods.HARD_LABELS:
    _validate_head(config, model)


def _validate_data(config: ml_collections.ConfigDict) -> None:
  source = config.data.source
  check(
    source in data.SOURCES or ":" in source,
    "data.source",
    source,
    f"one of {sorted(data.SOURCES)} or 'module:function'",
  )
  shape = tuple(config.data.shape)
  check(
    len(shape) in (2, 3) and all(isinstance(n, int) and n > 0 for n in shape),
    "data.shape",
    shape,
    "(height, width, channels) or (time, channels)",
  )
  one_of(config, "data.standardise", data.STANDARDISE)
  is_series = len(shape) == 2
  check(
    is_series or config.data.standardise == "none",
    "data.standardise",
    config.data.standardise,
    "'none' for images, which have config.model.mean and .std",
  )
  _validate_task(config)
  _validate_splits(config)
  check(
    config.eval.select != "best" or bool(config.data.validation_split),
    "eval.select",
    config.eval.select,
    "'last' unless config.data.validation_split is set",
  )
  check(
    config.eval.select != "best_test" or not config.data.validation_split,
    "eval.select",
    config.eval.select,
    "'last' or 'best' with config.data.validation_split set; 'best_test' is to "
    "reproduce papers that choose the epoch on the test set",
  )
  check(
    config.eval.select == "last" or config.checkpoint.keep_best > 0,
    "checkpoint.keep_best",
    config.checkpoint.keep_best,
    f"at least 1 with config.eval.select={config.eval.select!r}",
  )
  check(
    config.data.cache or not config.data.device_resident,
    "data.cache",
    config.data.cache,
    "True with config.data.device_resident=True",
  )
  is_image = len(shape) == 3
  for field in ("crop_padding", "flip"):
    check(
      is_image or not config.augment[field],
      f"augment.{field}",
      config.augment[field],
      "off for series",
    )
  channels = shape[-1]
  for field in ("mean", "std"):
    value = tuple(config.model[field])
    check(
      len(value) in (0, channels),
      f"model.{field}",
      value,
      f"() or {channels} numbers, one per channel",
    )
  check(
    all(s > 0 for s in config.model.std),
    "model.std",
    tuple(config.model.std),
    "positive",
  )


def _validate_task(config: ml_collections.ConfigDict) -> None:
  classes, targets = config.data.num_classes, config.data.targets
  check(
    targets == 0 or config.method.forward.name != "moments",
    "method.forward.name",
    config.method.forward.name,
    f"another with config.data.targets={targets}: its objectives take classes",
  )
  at_least(config, "data.targets", 0)
  check(
    classes >= 2 or (classes == 0 and targets > 0),
    "data.num_classes",
    classes,
    "at least 2, or 0 with config.data.targets at least 1",
  )
  check(
    classes == 0 or targets == 0,
    "data.targets",
    targets,
    f"0 with config.data.num_classes={classes}",
  )
  regression = config.method.objective.name in methods.REGRESSION_OBJECTIVES
  check(
    regression == (targets > 0),
    "method.objective.name",
    config.method.objective.name,
    f"{'one' if targets else 'none'} of "
    f"{', '.join(methods.REGRESSION_OBJECTIVES)} with "
    f"config.data.targets={targets}",
  )
  check(
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
    check(
      not (matters and one.overlaps(other)),
      f"data.{second}",
      other.expression,
      f"disjoint from config.data.{first}={one.expression!r}",
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


def _validate_head(config: ml_collections.ConfigDict, model: nn.Module) -> None:
  """Refuses a model of one's own whose boundaries cannot be told."""
  inputs = jnp.zeros((1, *config.data.shape))
  variables = jax.eval_shape(model.init, jax.random.key(0), inputs)
  head = variables["params"].get("head", {})
  if not {"kernel", "bias"} <= set(head):
    raise ConfigError(
      f"config.model.name={config.model.name!r}: must have a last layer Dense "
      "named 'head', with a bias, for config.method.objective.name="
      f"{config.method.objective.name!r}"
    )


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
