"""The checks of what a model is to be judged under."""

import functools
import math
import pathlib
import typing

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from jaxrobust import attacks, corruptions, evaluation, methods
from jaxrobust.alpha_stable.bursts import require_bursts
from jaxrobust.training.conditions import (
  at_least,
  check,
  numbers_in,
  one_of,
  value_of,
)
from jaxrobust.training.config import ConfigError
from jaxrobust.training.runs import config_of_run

_ATTACKS = ("fgsm", "pgd", "apgd-ce", "apgd-dlr", "apgd-t", "fab-t", "standard")


def validate_eval(config: ml_collections.ConfigDict) -> None:
  """Checks `config.eval`.

  Args:
    config: The config of a run.

  Raises:
    ConfigError: Naming the first field that is wrong.
  """
  stds = tuple(config.eval.gaussian_stds)
  check(all(s > 0 for s in stds), "eval.gaussian_stds", stds, "positive")
  alphas = tuple(config.eval.alphas)
  check(all(0 < a <= 2 for a in alphas), "eval.alphas", alphas, "in (0, 2]")
  rates = tuple(config.eval.flip_rates)
  check(all(0 < r < 1 for r in rates), "eval.flip_rates", rates, "in (0, 1)")
  alphas = tuple(config.eval.burst_alphas)
  check(
    all(0 < a <= 2 for a in alphas), "eval.burst_alphas", alphas, "in (0, 2]"
  )
  rates = tuple(config.eval.burst_rates)
  check(all(0 < r < 1 for r in rates), "eval.burst_rates", rates, "in (0, 1)")
  is_series = len(config.data.shape) == 2
  check(is_series or not rates, "eval.burst_rates", rates, "() for images")
  share, length = config.eval.burst_share, config.eval.burst_length
  try:
    require_bursts(share, length)
  except ValueError as error:
    raise ConfigError(
      f"config.eval.burst_share={share}, eval.burst_length={length}: {error}"
    ) from error
  shares = tuple(config.eval.pruned_shares)
  check(
    all(0 < s < 1 for s in shares), "eval.pruned_shares", shares, "in (0, 1)"
  )
  at_least(config, "eval.examples", 0)
  _validate_corruptions(config)
  _validate_common_corruptions(config)
  _validate_certificates(config)
  _validate_adaptation(config)
  _validate_features(config)
  _validate_attacks(config)
  _validate_surrogates(config)
  _validate_curvature(config)


def _validate_corruptions(config: ml_collections.ConfigDict) -> None:
  shape = tuple(config.data.shape)
  for field in (
    "uniform_eps",
    "patches",
    "resolutions",
    "salt_and_pepper",
    "combined",
    "shot",
    "drift_stds",
  ):
    value = tuple(config.eval[field])
    field = f"eval.{field}"
    check(len(shape) == 3 or not value, field, value, "() for series")
  eps = tuple(config.eval.uniform_eps)
  check(all(0 < e <= 1 for e in eps), "eval.uniform_eps", eps, "in (0, 1]")
  factors = tuple(config.eval.resolutions)
  inside = all(0 < f < 1 for f in factors)
  check(inside, "eval.resolutions", factors, "in (0, 1)")
  shares = tuple(config.eval.salt_and_pepper)
  inside = all(0 < share <= 1 for share in shares)
  check(inside, "eval.salt_and_pepper", shares, "in (0, 1]")
  for field in ("eval.shot", "eval.drift_stds"):
    strengths = tuple(value_of(config, field))
    positive = all(0 < s < math.inf for s in strengths)
    check(positive, field, strengths, "positive")
  at_least(config, "eval.drift_period", 2)
  for field, parse in (
    ("eval.patches", evaluation.parse_patches),
    ("eval.combined", evaluation.parse_combined),
  ):
    for text in value_of(config, field):
      try:
        side = parse(text)[-1]
      except ValueError as error:
        raise ConfigError(f"config.{field}: {error}") from error
      allowed = f"of at most {min(shape[:2])} pixels a side"
      check(side <= min(shape[:2]), field, text, allowed)


def _validate_common_corruptions(config: ml_collections.ConfigDict) -> None:
  own, shape = config.eval, tuple(config.data.shape)
  names, table = tuple(own.corruptions), own.corruption_table
  one_of(config, "eval.corruption_table", ("cifar", "imagenet", "mnist"))
  at_least(config, "eval.corruption_examples", 0)
  severities = tuple(own.corruption_severities)
  check(
    bool(severities) and all(s in range(1, 6) for s in severities),
    "eval.corruption_severities",
    severities,
    "some of 1, 2, 3, 4, 5",
  )
  is_image = len(shape) == 3
  check(is_image or not names, "eval.corruptions", names, "() for series")
  check(
    is_image or not own.pictures, "eval.pictures", own.pictures, "for images"
  )
  try:
    found = evaluation.named_corruptions(names, table)
  except ValueError as error:
    raise ConfigError(f"config.eval.corruptions: {error}") from error
  if not found:
    return
  if table == "mnist":
    wanted = "of (28, 28, 1) with config.eval.corruption_table='mnist'"
    check(shape == (28, 28, 1), "data.shape", shape, wanted)
  for name in found if table != "mnist" and not own.corrupted_files else ():
    try:
      image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
      keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
      settings = corruptions.parameters(name, 1, shape, table)
      jax.eval_shape(
        functools.partial(corruptions.corrupt, name), keys, image, settings
      )
    except ValueError as error:
      raise ConfigError(f"config.eval.corruptions: {name}: {error}") from error
  files = own.corrupted_files
  check(
    not files or table != "imagenet",
    "eval.corrupted_files",
    files,
    "'' with config.eval.corruption_table='imagenet'",
  )
  check(
    not files or table != "mnist" or files == "tfds",
    "eval.corrupted_files",
    files,
    "'tfds' with config.eval.corruption_table='mnist'",
  )


def _validate_certificates(config: ml_collections.ConfigDict) -> None:
  own = config.eval
  for field in ("stds", "radii"):
    numbers_in(config, f"eval.certify_{field}")
  stds, radii = tuple(own.certify_stds), tuple(own.certify_radii)
  positive = all(0 < std < math.inf for std in stds)
  check(positive, "eval.certify_stds", stds, "positive, in units of the input")
  fine = all(0 <= radius < math.inf for radius in radii)
  check(fine, "eval.certify_radii", radii, "at least 0")
  for field in ("draws", "selection_draws", "examples"):
    at_least(config, f"eval.certify_{field}", 1)
  alpha = own.certify_alpha
  check(0 < alpha < 1, "eval.certify_alpha", alpha, "in (0, 1)")
  for field, value in (
    ("eval.certify_stds", stds),
    ("eval.calibration", own.calibration),
  ):
    allowed = f"off with config.data.targets={config.data.targets}: it is of"
    check(
      not (value and config.data.targets), field, value, f"{allowed} classes"
    )
  drawn = config.method.forward.name == "sampled"
  check(
    not (stds and drawn),
    "eval.certify_stds",
    stds,
    "() with config.method.forward.name='sampled': a vote is of a network that "
    "draws nothing itself",
  )


def _validate_adaptation(config: ml_collections.ConfigDict) -> None:
  names = tuple(config.eval.adapt)
  known = set(names) <= set(evaluation.ADAPTATIONS)
  check(
    known and len(set(names)) == len(names),
    "eval.adapt",
    names,
    f"some of {', '.join(evaluation.ADAPTATIONS)}",
  )
  one_of(config, "eval.tent_optimizer", evaluation.TENT_OPTIMIZERS)
  rate = config.eval.tent_learning_rate
  check(0 < rate < math.inf, "eval.tent_learning_rate", rate, "> 0")
  at_least(config, "eval.tent_batch_size", 2)
  for field, wrong, why in (
    ("data.targets", config.data.targets > 0, "entropy is that of classes"),
    (
      "method.forward.name",
      config.method.forward.name == "sampled",
      "it would draw its noise",
    ),
    ("model.dropout", bool(config.model.dropout), "it would drop units"),
  ):
    value = value_of(config, field)
    allowed = f"() with config.{field}={value!r}: {why}"
    check(not (names and wrong), "eval.adapt", names, allowed)


def validate_norm_layers(
  config: ml_collections.ConfigDict, model: nn.Module
) -> None:
  """Refuses to adapt a network that has nothing to adapt.

  Args:
    config: The config of a run.
    model: Its model.

  Raises:
    ConfigError: If the network has no batch statistics or, for TENT, no
      parameters beside them.
  """
  names = tuple(config.eval.adapt)
  inputs = jnp.zeros((1, *config.data.shape))
  try:
    layers = evaluation.norm_layers(model, tuple(config.data.shape))
  except ValueError as error:
    raise ConfigError(f"config.eval.adapt={names!r}: {error}") from error
  where = f"() with config.model.name={config.model.name!r}"
  what = f"{where}, a network without batch statistics"
  check(bool(layers), "eval.adapt", names, what)
  shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)
  learned = evaluation.norm_parameters(shapes["params"], layers)
  check(
    bool(learned) or "tent" not in names,
    "eval.adapt",
    names,
    f"without 'tent' with config.model.name={config.model.name!r}, whose batch "
    "normalisation has no scale and no bias",
  )


def _validate_features(config: ml_collections.ConfigDict) -> None:
  at_least(config, "eval.features_examples", 0)
  stds = tuple(config.eval.features_stds)
  positive = all(0 < std < math.inf for std in stds)
  check(positive, "eval.features_stds", stds, "positive")
  targets = config.data.targets
  check(
    not stds or targets == 0,
    "eval.features_stds",
    stds,
    f"() with config.data.targets={targets}: the rows are of classes",
  )


def _validate_attacks(config: ml_collections.ConfigDict) -> None:
  for field in ("steps", "restarts", "query_examples"):
    at_least(config, f"eval.attack_{field}", 1)
  at_least(config, "eval.attack_examples", 0)
  at_least(config, "eval.standard_steps", 1)
  at_least(config, "eval.standard_queries", 1)
  wanted = tuple(config.eval.attacks)
  check(
    set(wanted) <= set(_ATTACKS) and len(set(wanted)) == len(wanted),
    "eval.attacks",
    wanted,
    f"some of {', '.join(_ATTACKS)}, each once",
  )
  norm = config.eval.attack_norm
  one_of(config, "eval.attack_norm", typing.get_args(attacks.Norm))
  at_least(config, "eval.attack_queries", 0)
  queries, is_image = config.eval.attack_queries, len(config.data.shape) == 3
  check(
    queries == 0 or bool(config.eval.attack_eps),
    "eval.attack_queries",
    queries,
    "0 without radii in config.eval.attack_eps",
  )
  check(
    is_image or not queries,
    "eval.attack_queries",
    queries,
    "0 for series: its squares are those of images",
  )
  gradients = tuple(config.eval.attack_gradients)
  allowed = ("worst", *methods.GRADIENTS, "adaptive")
  check(
    bool(gradients)
    and set(gradients) <= set(allowed)
    and len(set(gradients)) == len(gradients),
    "eval.attack_gradients",
    gradients,
    f"some of {', '.join(allowed)}, each once",
  )
  radii = tuple(config.eval.attack_eps)
  is_pixel = is_image and norm == "linf"
  most = 1 if is_pixel else math.inf
  check(
    all(0 < eps <= most and eps < math.inf for eps in radii),
    "eval.attack_eps",
    radii,
    "in (0, 1], in units of the input" if is_pixel else "positive",
  )
  check(
    not radii or config.data.targets == 0,
    "eval.attack_eps",
    radii,
    f"() with config.data.targets={config.data.targets}: attacks are on "
    "classes",
  )


def _validate_surrogates(config: ml_collections.ConfigDict) -> None:
  folders = tuple(config.eval.surrogates)
  field = "eval.surrogates"
  names = [evaluation.name_of(folder) for folder in folders]
  check(
    len(set(names)) == len(names),
    field,
    folders,
    "folders of runs, each once",
  )
  check(
    not folders or bool(config.eval.attack_eps),
    field,
    folders,
    "() without radii in config.eval.attack_eps",
  )
  for folder in folders:
    try:
      other = config_of_run(pathlib.Path(folder).expanduser())
    except ConfigError as error:
      raise ConfigError(f"config.{field}: {error}") from error
    for name in ("shape", "num_classes"):
      own, others = config.data[name], other.data[name]
      check(
        own == others,
        field,
        folders,
        f"runs with config.data.{name}={own}; that of {folder} has {others}",
      )


def _validate_curvature(config: ml_collections.ConfigDict) -> None:
  at_least(config, "eval.curvature_examples", 0)
  at_least(config, "eval.curvature_probes", 2)
  for field in ("eval.curvature_h", "eval.curvature_std"):
    values = tuple(value_of(config, field))
    positive = all(0 < v < math.inf for v in values)
    check(positive, field, values, "positive, in units of the input")
  check(
    config.eval.curvature_examples == 0 or config.data.targets == 0,
    "eval.curvature_examples",
    config.eval.curvature_examples,
    f"0 with config.data.targets={config.data.targets}: the loss is the "
    "cross-entropy of classes",
  )
