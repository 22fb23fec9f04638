"""The suites: what a finished model is judged under, in three sizes.

A suite sets fields of `config.eval`. What it takes from the run is the radii of
attacks and the tail indices and strengths of the noise grids, where the config
has some, so that what a model was trained on is tested, too. Choosing a
model never looks at a suite: only `evaluate` applies it.
"""

import importlib.util
import pathlib
from collections.abc import Callable, Mapping

import ml_collections

from jaxrobust import methods
from jaxrobust.training.config import ConfigError, default_config

# Of undefended and of adversarially trained networks on such images, by the
# side of an image: the first whose side is large enough.
_RADII = {64: (1 / 255, 4 / 255), 30: (2 / 255, 8 / 255), 0: (0.1, 0.3)}
_L2_RADII = {64: (0.5, 3.0), 30: (0.1, 0.5), 0: (0.5, 2.0)}


def apply_suite(config: ml_collections.ConfigDict, suite: str) -> None:
  """Sets what a model is judged under.

  Args:
    config: The config of a run; its `eval` is changed.
    suite: "quick", "standard", "full", or a Python file that has a function
      `set_suite(config)` which does the same.

  Raises:
    ConfigError: If there is no such suite or file, or the file has no such
      function.

  Example:
    >>> from jaxrobust.training import default_config
    >>> config = default_config()
    >>> apply_suite(config, "quick")
    >>> config.eval.examples, config.eval.attack_steps
    (200, 20)
  """
  if suite.endswith(".py"):
    _from_file(suite)(config)
    return
  if suite not in SUITES:
    allowed = ", ".join(SUITES)
    raise ConfigError(f"--suite={suite}: must be one of {allowed}, or FILE.py")
  SUITES[suite](config)


def _quick(config: ml_collections.ConfigDict) -> None:
  """200 images: clean, Gaussian, PGD with 20 steps."""
  own = config.eval
  _nothing(config)
  own.examples = 200
  own.gaussian_stds = tuple(own.gaussian_stds) or (0.1,)
  own.attack_eps = _radii(config)[:1]
  own.attacks = ("pgd",)
  own.attack_steps = 20


def _standard(config: ml_collections.ConfigDict) -> None:
  """Noise grids and occlusion on all images; attacks on 1,000."""
  own = config.eval
  usual = default_config().eval
  grids = {name: tuple(own[name]) or tuple(usual[name]) for name in _GRIDS}
  _nothing(config)
  own.update(grids)
  own.calibration = not config.data.targets
  own.attack_eps = _radii(config)
  own.attacks = ("standard",)
  own.attack_examples = 1000
  forward = methods.build(config.method, tuple(config.data.shape)).forward
  if hasattr(forward, "adaptive"):
    own.attack_gradients = ("adaptive",)
  if len(config.data.shape) == 3:
    side = min(config.data.shape[:2])
    own.pictures = True
    own.patches = tuple(f"{n}x{max(side // 4, 1)}" for n in (1, 4))
    own.resolutions = (0.5, 0.25)
    own.salt_and_pepper = (0.05, 0.2)
    own.uniform_eps = (8 / 255, 32 / 255)
    _common(config)
    own.corruption_severities = (1, 3, 5)
    own.corruption_examples = 2000


def _full(config: ml_collections.ConfigDict) -> None:
  """Everything on everything."""
  _standard(config)
  own = config.eval
  own.attacks = ("fgsm", "pgd", "apgd-ce", "apgd-dlr", "standard")
  if config.data.targets:
    own.attacks = ()
  else:
    own.curvature_examples = 1000
    own.features_stds = (0.1,)
    own.certify_stds = (0.12, 0.25)
    own.certify_draws = 10_000
  own.attack_examples = 0
  own.sparsity = own.network = True
  own.corruption_severities = (1, 2, 3, 4, 5)
  own.corruption_examples = 0
  if len(config.data.shape) == 3:
    own.shot = (500.0, 50.0, 5.0)
  else:
    own.burst_rates = tuple(own.burst_rates) or (0.05, 0.126, 0.3)


SUITES: Mapping[str, Callable[[ml_collections.ConfigDict], None]] = {
  "quick": _quick,
  "standard": _standard,
  "full": _full,
}

_GRIDS = ("gaussian_stds", "alphas", "flip_rates", "burst_rates")


def _nothing(config: ml_collections.ConfigDict) -> None:
  """Takes out all cells but the clean one, and the radii's attacks."""
  own = config.eval
  own.examples = 0
  for name in (
    *_GRIDS[1:],
    "uniform_eps",
    "patches",
    "resolutions",
    "salt_and_pepper",
    "combined",
    "shot",
    "drift_stds",
    "corruptions",
    "features_stds",
    "certify_stds",
    "adapt",
    "surrogates",
  ):
    own[name] = ()
  own.sparsity = own.network = own.calibration = own.pictures = False
  own.curvature_examples = own.attack_queries = 0


def _common(config: ml_collections.ConfigDict) -> None:
  """All common corruptions that images of this shape can have."""
  own, (height, width, channels) = config.eval, config.data.shape
  if (height, width, channels) == (28, 28, 1):
    own.corruption_table, own.corruptions = "mnist", ("common",)
    return
  own.corruption_table = "imagenet" if min(height, width) >= 64 else "cifar"
  own.corruptions = ("common", "extra")
  if channels == 1:
    # It works on colours.
    own.corruptions = ("common", "speckle_noise", "gaussian_blur", "spatter")


def _radii(config: ml_collections.ConfigDict) -> tuple[float, ...]:
  """The run's own radii, or those of such images."""
  if config.data.targets:
    return ()
  if config.eval.attack_eps:
    return tuple(config.eval.attack_eps)
  if len(config.data.shape) == 2:
    return (0.1, 0.3)
  table = _RADII if config.eval.attack_norm == "linf" else _L2_RADII
  side = min(config.data.shape[:2])
  return next(radii for least, radii in table.items() if side >= least)


def _from_file(path: str) -> Callable[[ml_collections.ConfigDict], None]:
  """The function `set_suite` of a Python file."""
  if not pathlib.Path(path).is_file():
    raise ConfigError(f"--suite={path}: no such file")
  spec = importlib.util.spec_from_file_location("suite", path)
  if spec is None or spec.loader is None:
    raise ConfigError(f"--suite={path}: no Python file")
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
    return module.set_suite
  except Exception as error:
    # A file is a program and may raise anything.
    raise ConfigError(f"--suite={path}: {error}") from error
