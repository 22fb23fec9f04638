"""The config of a run: its fields, its `:quick` variant and its file."""

import json
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

import ml_collections

from jaxrobust import methods, models
from jaxrobust.methods import method


class ConfigError(ValueError):
  """A config that cannot run: field, value and what is allowed, in one line."""


def default_config() -> ml_collections.ConfigDict:
  """Every field of a run, for a config file to fill in.

  Fields of the model and of the method that are None take the default of the
  model or of the part; the other values below are neutral ones. A config file
  states whatever its paper does.

  Returns:
    A new ConfigDict, locked: a misspelt field is an error.

  Example:
    >>> config = default_config()
    >>> config.train.epochs = 3
    >>> config.data.source, config.method.name
    ('tfds', 'standard')
  """
  config = ml_collections.ConfigDict()
  config.seed = 0

  config.data = ml_collections.ConfigDict()
  config.data.source = "tfds"  # a key of data.SOURCES or "module:function"
  config.data.name = "mnist"  # the TFDS name; the name that rows carry
  config.data.data_dir = ""  # TFDS directory; "" is TFDS's own default
  config.data.path = ""  # of the sources folder, npz and ucr
  config.data.train_split = "train"
  config.data.validation_split = ""  # as "train[90%:]"; "" for none
  config.data.test_split = "test"
  config.data.shape = (28, 28, 1)  # [H, W, C], or [T, C] for series
  config.data.num_classes = 10  # 0 for a regression
  config.data.targets = 0  # real-valued targets of an example, in a regression
  config.data.standardise = "none"  # series: none, series, dataset
  config.data.cache = True  # decode once into host memory
  config.data.skip_corrupt = False  # leave out images that cannot be read
  config.data.smoothed_dir = ""  # of smoothed sets; "" is the user's cache
  config.data.device_resident = False  # keep the set on the accelerator
  config.data.stand_in = False  # embedded data in this shape; set by :quick

  config.augment = ml_collections.ConfigDict()
  config.augment.crop_padding = 0  # pixels of zero padding before the crop
  config.augment.flip = False  # horizontal

  config.model = ml_collections.ConfigDict()
  config.model.name = "mlp"  # a key of models.MODELS or "module:Class"
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
  config.optimizer.l1 = 0.0  # l1 * sign(w) is added to the gradient
  config.optimizer.decay_on = "all"  # all, kernels; for both decays
  config.optimizer.noise_rate = 1.0  # of a learned sigma, times the rate
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
  config.train.skip_nonfinite = 0  # updates in a row that may be left out

  config.checkpoint = ml_collections.ConfigDict()
  config.checkpoint.every_epochs = 1
  config.checkpoint.keep_last = 2
  config.checkpoint.keep_best = 1  # by the accuracy, or mse, in validation

  config.eval = ml_collections.ConfigDict()
  config.eval.batch_size = 500
  config.eval.select = "last"  # last, best; best_test only to reproduce
  config.eval.examples = 0  # the most of the split's that are judged; 0: all
  config.eval.pictures = False  # of every perturbation, in the run's folder
  config.eval.gaussian_stds = (0.1, 0.2, 0.3)
  config.eval.alphas = (0.5, 1.0, 1.5, 2.0)
  config.eval.flip_rates = (0.02, 0.05, 0.126, 0.2, 0.3)
  config.eval.burst_alphas = (1.0,)
  config.eval.burst_rates = ()  # flip rates inside bursts; series only
  config.eval.burst_share = 0.2  # of the time steps
  config.eval.burst_length = 8.0  # mean, in time steps
  config.eval.uniform_eps = ()  # images only, as the nine that follow
  config.eval.patches = ()  # "4x8": 4 black squares of 8 pixels a side
  config.eval.resolutions = ()  # factors of height and width, in (0, 1)
  config.eval.salt_and_pepper = ()  # shares of the pixels
  config.eval.combined = ()  # "0.1+4x8": Gaussian noise, then patches
  config.eval.shot = ()  # photons per unit of intensity; fewer is noisier
  config.eval.drift_stds = ()  # peaks of Gaussian noise that drifts
  config.eval.drift_period = 1000  # examples from one fade to the next
  config.eval.corruptions = ()  # names, or "common", "extra": all of a table's
  config.eval.corruption_table = "cifar"  # cifar, imagenet, mnist
  config.eval.corruption_severities = (1, 3, 5)  # not of the table "mnist"
  config.eval.corruption_examples = 2000  # the first ones of the split; 0: all
  config.eval.corrupted_files = ""  # official ones: a .npy folder, or "tfds"
  config.eval.adapt = ()  # to test inputs without labels: adabn, tent
  config.eval.tent_optimizer = "adam"  # adam, sgd
  config.eval.tent_learning_rate = 1e-3
  config.eval.tent_batch_size = 128
  config.eval.features_stds = ()  # of the noise on the inputs of feature rows
  config.eval.features_examples = 0  # the first ones of the split; 0: all
  config.eval.network = False  # rows of a prediction's cost, the path norm
  config.eval.sparsity = False  # rows of the weights and of pruning them
  config.eval.pruned_shares = (0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
  config.eval.attack_eps = ()  # radii of all attacks, in input units
  config.eval.attack_norm = "linf"  # linf, l2
  config.eval.attacks = ("fgsm", "pgd")  # apgd-ce, -dlr, -t, fab-t, standard
  config.eval.smooth_evals = ()  # as which method.input.smooth_eval, too
  config.eval.attack_gradients = ("worst",)  # of a smoother; adaptive: noise
  config.eval.attack_steps = 40  # of PGD
  config.eval.attack_restarts = 1  # of PGD, at random points
  config.eval.attack_examples = 1000  # the first ones of the split; 0: all
  config.eval.surrogates = ()  # folders of runs; PGD on them, shown to this one
  config.eval.standard_steps = 100  # of Auto-PGD and FAB
  config.eval.standard_queries = 5000  # of the ensemble's Square
  config.eval.attack_queries = 0  # of the Square attack alone; 0: none
  config.eval.attack_query_examples = 200  # the first ones of the split
  config.eval.calibration = False  # rows of reliability and of a temperature
  config.eval.certify_stds = ()  # of the noise under which copies vote
  config.eval.certify_radii = (0.0, 0.25, 0.5, 0.75, 1.0)  # l2, input units
  config.eval.certify_draws = 1000  # that estimate a class's chance
  config.eval.certify_selection_draws = 100  # that select a class
  config.eval.certify_alpha = 1e-3  # the chance of a wrong certificate
  config.eval.certify_examples = 200  # the first ones of the split
  config.eval.certify_clip = False  # noisy copies to [0, 1], as in training
  config.eval.curvature_examples = 0  # the first ones of the split; 0: none
  config.eval.curvature_h = (0.01,)  # of the finite difference, input units
  config.eval.curvature_probes = 20  # per example
  config.eval.curvature_std = (8 / 255,)  # of the noise, input units
  return config.lock()


def variant(
  config: ml_collections.ConfigDict,
  name: str | None,
  others: tuple[str, ...] = (),
) -> ml_collections.ConfigDict:
  """Applies the part of `--config=FILE:NAME` behind the colon.

  `quick` shrinks data, model and steps to seconds and needs no download: the
  embedded digits (for series, a synthetic set) stand in for the data set, in
  its shape and with its number of classes.

  Args:
    config: The full config; changed in place.
    name: None or "" for the config as it is, or "quick".
    others: The variants that the config file has applied itself, for the
      message.

  Returns:
    The config.

  Raises:
    ConfigError: If there is no such variant.

  Example:
    >>> quick = variant(default_config(), "quick")
    >>> quick.data.stand_in, quick.train.epochs
    (True, 2)
  """
  if not name:
    return config
  if name != "quick":
    allowed = " or ".join(repr(own) for own in ("quick", *others))
    raise ConfigError(f"--config=FILE:{name}: the variant must be {allowed}")
  config.data.stand_in = True
  config.data.device_resident = False
  config.model.update(models.quick_options(config.model.name))
  config.train.batch_size = min(config.train.batch_size, 64)
  config.train.epochs = min(config.train.epochs, 2)
  config.train.log_every = 10
  if config.method.input.fractions:
    # A level needs an epoch.
    levels = config.method.input.fractions[-config.train.epochs :]
    config.method.input.fractions = levels
    config.method.input.starts = None
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
  config.eval.burst_alphas = config.eval.burst_alphas[:1]
  config.eval.burst_rates = config.eval.burst_rates[:1]
  for corruption in (
    "uniform_eps",
    "patches",
    "resolutions",
    "salt_and_pepper",
    "combined",
    "shot",
    "drift_stds",
  ):
    config.eval[corruption] = config.eval[corruption][:1]
  config.eval.drift_period = min(config.eval.drift_period, 64)
  severities = config.eval.corruption_severities
  config.eval.corruption_severities = severities[:1]
  config.eval.corruption_examples = 64
  config.eval.standard_steps = min(config.eval.standard_steps, 5)
  config.eval.standard_queries = min(config.eval.standard_queries, 20)
  config.eval.certify_stds = config.eval.certify_stds[:1]
  config.eval.certify_draws = min(config.eval.certify_draws, 100)
  select = config.eval.certify_selection_draws
  config.eval.certify_selection_draws = min(select, 20)
  config.eval.certify_examples = min(config.eval.certify_examples, 32)
  config.eval.tent_batch_size = min(config.eval.tent_batch_size, 64)
  config.eval.features_stds = config.eval.features_stds[:1]
  config.eval.pruned_shares = config.eval.pruned_shares[:2]
  config.eval.attack_eps = config.eval.attack_eps[:1]
  config.eval.attack_steps = min(config.eval.attack_steps, 5)
  config.eval.attack_restarts = min(config.eval.attack_restarts, 1)
  config.eval.attack_examples = min(config.eval.attack_examples or 64, 64)
  config.eval.attack_queries = min(config.eval.attack_queries, 20)
  queried = config.eval.attack_query_examples
  config.eval.attack_query_examples = min(queried, 64)
  config.eval.curvature_examples = min(config.eval.curvature_examples, 16)
  config.eval.curvature_h = config.eval.curvature_h[:1]
  config.eval.curvature_probes = min(config.eval.curvature_probes, 4)
  config.eval.curvature_std = config.eval.curvature_std[:1]
  if config.schedule.name == "multistep":
    config.schedule.name = "constant"
  return config


def model_arguments(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The arguments of `models.build`: set options only."""
  given = {k: v for k, v in config.model.items() if v is not None}
  outputs = config.data.num_classes or config.data.targets
  return {**given, "num_classes": outputs}


def save(config: ml_collections.ConfigDict, path: pathlib.Path) -> None:
  """Writes a config as JSON, whole or not at all."""
  write_whole(path, json.dumps(config.to_dict(), indent=2, default=list) + "\n")


def write_whole(path: pathlib.Path, text: str) -> None:
  """Writes a file whole or not at all, whoever else writes it, too."""
  partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
  try:
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
  finally:
    partial.unlink(missing_ok=True)


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
  return from_saved(saved, f"{path}: config")


def from_saved(
  saved: Mapping[str, Any], where: str
) -> ml_collections.ConfigDict:
  """The config of which JSON holds these fields.

  Args:
    saved: Nested fields, with lists for tuples; others have their defaults.
    where: What an error calls the config.

  Returns:
    The config.

  Raises:
    ConfigError: If there are fields that this version does not know.

  Example:
    >>> from_saved({"seed": 3}, "config").seed
    3
  """
  config = default_config()
  _fill(config, saved, where)
  return config


def _fill(config: Any, saved: Mapping[str, Any], where: str) -> None:
  for key, value in saved.items():
    if key not in config:
      raise ConfigError(f"{where}.{key}: unknown to this version of jaxrobust")
    if isinstance(value, dict):
      _fill(config[key], value, f"{where}.{key}")
    else:
      config[key] = tuple(value) if isinstance(value, list) else value


def refuse_other(
  config: ml_collections.ConfigDict,
  path: pathlib.Path,
  free_to_change: tuple[str, ...],
) -> None:
  """Refuses to go on with work that was begun with another config.

  Args:
    config: The config now.
    path: What `save` wrote when the work was begun, in the work's folder.
    free_to_change: How the names of those fields begin that may differ.

  Raises:
    ConfigError: If another field differs.
  """
  begun = flat(load(path).to_dict())
  for field, value in flat(config.to_dict()).items():
    if field.startswith(free_to_change) or begun.get(field) == value:
      continue
    raise ConfigError(
      f"config.{field}={value!r}: {path.parent} was begun with "
      f"{begun.get(field)!r}; resume it with that, or use a new --workdir"
    )


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  """Every field with its dotted name."""
  fields = {}
  for name, value in tree.items():
    field = prefix + name
    if isinstance(value, dict):
      fields.update(flat(value, field + "."))
    else:
      fields[field] = list(value) if isinstance(value, tuple) else value
  return fields
