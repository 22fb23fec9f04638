"""Every public pure function, under every transformation, from one table.

A row names a public function and gives it example arguments with a leading
axis of two examples. Each row is run with and without jit, on and off the
device and under pmap; vmap must equal a loop, gradients must equal numerical
ones where the function is smooth, outputs must be finite, and two calls with
the same shapes must trace once. A public function without a row is an error:
add one to ROWS, or an entry to HOST_SIDE with the reason.
"""

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from jax.test_util import check_grads

from jaxrobust import (
  alpha_stable,
  centroids,
  data,
  inverse_scale,
  methods,
  models,
  moments,
)
from jaxrobust.methods.moment_objectives import MOMENT_OBJECTIVES
from jaxrobust.moments import pairs

# The packages whose public functions need rows, as far as they are there.
PACKAGES = [
  name
  for name in (
    "alpha_stable",
    "moments",
    "centroids",
    "inverse_scale",
    "filters",
    "attacks",
    "corruptions",
    "data",
    "models",
    "evaluation",
  )
  if importlib.util.find_spec(f"jaxrobust.{name}")
]

_MODULE = "a linen module, called through apply"
_FILES = "reads or writes files"
_HOST = "works on host values before or after the accelerator does"
_PLACE = "says where noise enters a model; see tests/moments/intercept_test.py"
HOST_SIDE = {
  "alpha_stable.AlphaStable": "a constructor; its methods have rows",
  **{
    f"alpha_stable.AlphaStable.{name}": "calls the function of its name"
    for name in (
      "cdf",
      "characteristic_function",
      "fractional_moment",
      "isf",
      "log_moments",
      "log_prob",
      "quantile",
      "sf",
      "tail_asymptote",
    )
  },
  "alpha_stable.Fit": "a result on the host",
  "alpha_stable.fit": _HOST,
  "alpha_stable.ks_distance": _HOST,
  "alpha_stable.probability_transform": _HOST,
  "attacks.likeliest": "chooses classes; see tests/attacks/apgd_test.py",
  "attacks.transfer": "composes others; see tests/attacks/transfer_test.py",
  "attacks.over_draws": "makes a function; see tests/attacks/draws_test.py",
  "centroids.Centroids": "a tuple",
  "centroids.ClassSums": "a tuple",
  "centroids.init": "makes zeros of a shape",
  "centroids.signed_distances": "infinite for the own class; nearest_boundary "
  "has a row",
  "corruptions.parameters": "makes arrays of a severity",
  "data.DataError": "an exception",
  "data.Dataset": _HOST,
  "data.Draw": "a constructor; its call is example_keys",
  "data.Loader": _HOST,
  "data.EpochDataset": _HOST,
  "data.OnDemandDataset": _FILES,
  "data.corrupted_npy": _FILES,
  "data.corrupted_tfds": _FILES,
  "data.user_cache": _HOST,
  "data.Split": _HOST,
  "data.Tag": "an enumeration",
  "data.load": _FILES,
  "data.parse_split": _HOST,
  "data.prepare": _FILES,
  "data.standardised": _HOST,
  "data.stratified_folds": _HOST,
  "evaluation.adapted": _HOST,
  "evaluation.is_variant": _HOST,
  "evaluation.own_method": _HOST,
  "evaluation.smoothed_as": _HOST,
  "evaluation.make_perturb_step": "a builder; its result has tests of its own",
  "evaluation.make_statistics_step": "a builder; its result has tests of its "
  "own",
  "evaluation.make_tent_step": "a builder; its result has tests of its own",
  "evaluation.norm_layers": _HOST,
  "evaluation.norm_parameters": "chooses arrays of a tree",
  "evaluation.pool_statistics": _HOST,
  "evaluation.tent_optimizer": "makes an optimiser",
  "evaluation.with_arrays": "puts arrays into a tree",
  "evaluation.Attack": _HOST,
  "evaluation.AttackSteps": "a record of functions",
  "evaluation.SquareAttack": _HOST,
  "evaluation.SquareSteps": "a record of functions",
  **{
    f"evaluation.{name}": _HOST
    for name in (
      "Calibration",
      "Certified",
      "adaptive_calibration_error",
      "brier_score",
      "calibration_cells",
      "certified_cells",
      "certify",
      "fit_temperature",
      "predict_smoothed",
      "reliability",
    )
  },
  **{
    f"evaluation.{name}": "a tuple"
    for name in ("Certificate", "Predictions", "Reliability", "Votes")
  },
  "evaluation.make_vote_step": "a builder; its result has tests of its own",
  "evaluation.measure_calibration": _FILES,
  "evaluation.measure_certified": _FILES,
  "evaluation.CommonCorruption": _HOST,
  "evaluation.Corruption": _HOST,
  "evaluation.Curvature": _HOST,
  "evaluation.CurvatureSteps": "a record of functions",
  "evaluation.Groups": "a tuple",
  "evaluation.example_path": _HOST,
  "evaluation.save_examples": _FILES,
  "evaluation.LossVariance": "a tuple",
  "evaluation.Perturbation": _HOST,
  "evaluation.Probed": "a tuple",
  "evaluation.Results": _FILES,
  "evaluation.Spectrum": "a tuple",
  "evaluation.Subject": _HOST,
  "evaluation.Task": "a constructor; its functions have rows of their own",
  "evaluation.accuracy_table": _HOST,
  "evaluation.attack_cells": _HOST,
  "evaluation.square_cells": _HOST,
  "evaluation.Activations": "a record of what two passes found",
  "evaluation.ActivationSteps": "a record of functions",
  "evaluation.Geometry": _HOST,
  **{
    f"evaluation.{name}": _HOST
    for name in (
      "Apgd",
      "Ensemble",
      "Fab",
      "OfficialCorruption",
      "SelfCheck",
      "Transfer",
      "after",
      "apgd_cells",
      "ensemble_cells",
      "fab_cells",
      "kind_of",
      "name_of",
      "named_corruptions",
      "official_cells",
      "self_check_cells",
      "transfer_cells",
      "warnings_of",
    )
  },
  "evaluation.ApgdSteps": "a record of functions",
  "evaluation.logits_of": "a network as a function",
  "evaluation.make_apgd_steps": "a builder; its results have tests of their "
  "own",
  "evaluation.make_fab_step": "a builder; its result has tests of its own",
  "evaluation.run_self_checks": _FILES,
  "evaluation.common_cells": _HOST,
  "evaluation.corruption_cells": _HOST,
  "evaluation.make_common_step": "a builder; its result has tests of its own",
  "evaluation.mean_corruption_error": _HOST,
  "evaluation.mnist_c_cells": _HOST,
  "evaluation.relative_mean_corruption_error": _HOST,
  "evaluation.unnormalised_corruption_error": _HOST,
  "evaluation.curvature_cells": _HOST,
  "evaluation.geometry_cells": _HOST,
  "evaluation.layer_names": _HOST,
  "evaluation.linear_head": _HOST,
  "evaluation.make_activation_steps": "a builder; its results have tests of "
  "their own",
  "evaluation.measure_geometry": _FILES,
  "evaluation.separability": _HOST,
  "evaluation.summarise_geometry": _HOST,
  "evaluation.expected_calibration_error": _HOST,
  "evaluation.grid": _HOST,
  "evaluation.is_attack": _HOST,
  "evaluation.make_attack_steps": "a builder; its results have tests of their "
  "own",
  "evaluation.make_square_steps": "a builder; its results have tests of their "
  "own",
  "evaluation.make_curvature_steps": "a builder; its results have tests of "
  "their own",
  "evaluation.make_corrupt_step": "a builder; its result has tests of its own",
  "evaluation.make_judge_step": "a builder; its result has tests of its own",
  "evaluation.make_predict_step": "a builder; its result has tests of its own",
  "evaluation.measure_curvature": _FILES,
  "evaluation.measure_network": _FILES,
  "evaluation.measure_weights": _FILES,
  "evaluation.parse_combined": _HOST,
  "evaluation.parse_patches": _HOST,
  "evaluation.prediction_flops": _HOST,
  "evaluation.pruned_cells": _HOST,
  "evaluation.read_rows": _FILES,
  "evaluation.robustness_groups": _HOST,
  "evaluation.run": _FILES,
  "evaluation.summarise": _HOST,
  "evaluation.summarise_regression": _HOST,
  "evaluation.task_of": _HOST,
  "evaluation.wilson_interval": _HOST,
  **{
    f"inverse_scale.{name}": "a tuple"
    for name in ("ExactFlow", "Flow", "Smoothed")
  },
  "inverse_scale.LevelSchedule": "has tests of its own",
  "inverse_scale.edge_count": "a number of a shape",
  "inverse_scale.squared_norm": "a number of a shape",
  "moments.Injection": _PLACE,
  "moments.inject": _PLACE,
  "moments.intercepting": _PLACE,
  "moments.register_module_rule": _HOST,
  "moments.Rules": "a constructor of options",
  "moments.State": "what the states share; moments.ops has rows",
  **{
    f"moments.{name}": "a constructor; moments.ops has rows"
    for name in ("Joint", "Linear", "Moments", "Stable", "Tangents")
  },
  "models.BatchNorm": _MODULE,
  "models.Foreign": _MODULE,
  "models.from_callback": "makes a function; see tests/models/foreign_test.py",
  "models.from_torch": "makes a function; see tests/models/foreign_test.py",
  "models.Model": _MODULE,
  "models.Normalize": _MODULE,
  "models.Outputs": "a tuple",
  "models.Samples": "a tuple",
  "models.build": _HOST,
  "models.norm_layer": "makes linen modules",
  "models.options": _HOST,
  "models.quick_options": _HOST,
  "moments.PropagationError": "an exception",
  "moments.propagate": "a transformation, with tests of its own",
  "moments.register_rule": "fills a table",
}


@dataclasses.dataclass(frozen=True)
class Row:
  """One public function and what it is tried on.

  Attributes:
    name: "package.function", "package.Class.method", or "methods.TABLE.part".
    arguments: Arrays (or pytrees of them) with a leading axis of two examples.
    options: Keyword arguments that are not arrays.
    smooth: Positions of the arguments that gradients are checked in.
  """

  name: str
  arguments: tuple[Any, ...]
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  smooth: tuple[int, ...] = ()

  @property
  def function(self) -> Callable[..., Any]:
    """The function of one example; keys come out as numbers."""
    called = _resolve(self.name, self.options)

    def function(*arguments):
      return jax.tree.map(_key_data, called(*arguments))

    return function

  def example(self, position: int) -> tuple[Any, ...]:
    """The arguments of one of the two examples."""
    return jax.tree.map(lambda x: x[position], self.arguments)


def _resolve(name: str, options: Mapping[str, Any]) -> Callable[..., Any]:
  package, *path = name.split(".")
  if package == "methods":
    return _part(*path, options)
  found = importlib.import_module(f"jaxrobust.{package}")
  for attribute in path:
    found = getattr(found, attribute)
  if package == "corruptions" and "name" in options:
    # Their first argument says which corruption.
    rest = {key: value for key, value in options.items() if key != "name"}
    return functools.partial(found, options["name"], **rest)
  place = _NETWORK_AT.get(name, 1 if package == "attacks" else None)
  if place is not None:
    return lambda *arguments: found(
      *arguments[:place], _first_pixels, *arguments[place:], **options
    )
  return functools.partial(found, **options)


# Which argument is the network, of functions that take one; of attacks it is 1.
_NETWORK_AT = {
  "attacks.fab": 0,
  "evaluation.gauss_newton": 0,
  **{
    f"evaluation.{name}": 1
    for name in (
      "count_votes",
      "feature_stability",
      "finite_difference",
      "hutchinson",
      "loss_variance",
      "robustness_count",
      "top_eigenvalue",
    )
  },
}


def _first_pixels(images):
  """A network for those who need one: five logits of an image."""
  return 3 * images.reshape((len(images), -1))[:, :5]


def _part(table, name, options):
  """An input or an objective as a function of arrays alone."""
  build = getattr(methods, table)[name]
  if table == "INPUTS":
    options = {"shape": (4, 4, 1), **options}
    part = build(**options)

    def fed(key, index, step, inputs):
      if hasattr(part, "prepare"):
        inputs = part.prepare(inputs, 0.7)
      batch = {
        "inputs": inputs,
        "labels": jnp.zeros(len(inputs), int),
        "mask": jnp.ones(len(inputs)),
      }
      draw = data.Draw(key, index, step)
      return part(batch, methods.Context(draw, logits=_first_pixels))["inputs"]

    return fed
  part = build(**options)

  def judged(logits, features, labels):
    # Those of a stochastic forward take the features for variances.
    law = moments.Moments(logits, features)
    outputs = models.Outputs(logits, features, law)
    state: Any = {}
    if hasattr(part, "initial_state"):
      state = part.initial_state(outputs)
    head = {"kernel": _LAST_LAYER[: features.shape[-1]], "bias": _LAST_LAYER[0]}
    second = outputs._replace(features=features + 1)
    batch = {"labels": labels, "mask": jnp.ones(len(logits))}
    return part(outputs, batch, methods.Setting(second, state, head))

  return judged


def _key_data(leaf):
  leaf = jnp.asarray(leaf)
  if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    return jax.random.key_data(leaf)
  return leaf


_RNG = np.random.default_rng(0)
_F = functools.partial(np.asarray, dtype=np.float32)
_KEY = jax.random.split(jax.random.key(0), 2)
_KEYS = jax.random.split(jax.random.key(1), (2, 3))
_INDEX = np.asarray([[0, 5, -1], [2, 1, 0]], np.int32)
_STEP = np.asarray([4, 5], np.int32)
_IMAGES = _RNG.uniform(0.1, 0.9, (2, 3, 4, 4, 1)).astype(np.float32)
_LOGITS = _RNG.normal(size=(2, 3, 5)).astype(np.float32)
_LABELS = np.asarray([[0, 4, 2], [1, 1, 3]], np.int32)
_LAST_LAYER = _RNG.normal(size=(5, 5)).astype(np.float32)
_ALPHA, _SCALE, _RATE = _F([1.5, 0.8]), _F([0.2, 0.1]), _F([0.3, 0.1])
_LAW = alpha_stable.AlphaStable(_ALPHA, _F([0.5, 0]), _SCALE, _F([0, 1]))
_DRAWN = (_KEYS[:, 0], _INDEX, _STEP, _IMAGES)
_SHAPE = {"shape": (3,)}
_VARIANCES = 0.5 + np.abs(_LOGITS)
_COVARIANCES = np.float32(1) + _VARIANCES[..., None] * np.eye(5, dtype="f")
_TARGETS = np.eye(5, dtype=np.float32)[_LABELS]
_POOLED = (_RNG.normal(size=(2, 1, 4, 4, 2)).astype(np.float32),)
_RANDOM = moments.Moments(*_POOLED, 0.5 + np.abs(_POOLED[0]))
_COVARIANCES_3 = np.broadcast_to(_COVARIANCES[:, :1], (2, 3, 5, 5))
_HEADS = _RNG.normal(size=(2, 1, 3, 2, 2)).astype(np.float32)
_LSTM = [
  _RNG.normal(size=(2, *shape)).astype(np.float32)
  for shape in ((5, 8), (2, 8), (8,))
]
_CLASS_SUMS = centroids.ClassSums(
  _RNG.normal(size=(2, 5, 5)).astype(np.float32),
  _F([[1, 0, 1, 0, 1], [0, 2, 0, 1, 0]]),
)
_CENTROIDS = centroids.Centroids(
  _RNG.normal(size=(2, 5, 5)).astype(np.float32),
  np.asarray([[True] * 5, [True, False] * 2 + [True]]),
  np.ones((2, 5), np.int32),
)
_DUAL = _RNG.normal(size=(2, 3, 2, 4, 4, 1)).astype(np.float32)
_FLOW = inverse_scale.Flow(_IMAGES, _DUAL, 1 + np.abs(_LOGITS[..., 0]))
_PIECES = np.broadcast_to(np.int32([0, 0, 2, 2])[:, None], _IMAGES.shape)
_HEAD = (_RNG.normal(size=(2, 5, 5)).astype(np.float32), _LOGITS[:, 0])
_PARAMS = {
  "Conv_0": {"kernel": _POOLED[0], "bias": _F([[1, 0], [0, 1]])},
  "Dense_0": {"kernel": _LOGITS},
}

ROWS = (
  Row(
    "alpha_stable.sample",
    (_KEY, _ALPHA, _F([0.5, -0.5]), _SCALE, _F([0, 1])),
    _SHAPE,
    smooth=(1, 2, 3, 4),
  ),
  Row("alpha_stable.AlphaStable.sample", (_LAW, _KEY), _SHAPE, smooth=(0,)),
  Row(
    "alpha_stable.from_uniforms",
    (_F([0.3, 0.6]), _F([0.7, 0.2]), _ALPHA, _F([0.5, -0.5])),
    smooth=(0, 1, 2, 3),
  ),
  Row("alpha_stable.uniform_pair", (_KEY,), _SHAPE),
  Row("alpha_stable.positive_stable", (_KEY, _RATE), _SHAPE, smooth=(1,)),
  Row(
    "alpha_stable.sample_isotropic",
    (_KEY, _ALPHA, _SCALE),
    {"shape": (3, 2), "shared_axes": (1,)},
    smooth=(1, 2),
  ),
  Row(
    "alpha_stable.AlphaStable.sample_isotropic",
    (alpha_stable.AlphaStable(_ALPHA, _F([0, 0]), _SCALE, _F([0, 1])), _KEY),
    {"shape": (3, 2), "shared_axes": (1,)},
  ),
  Row("alpha_stable.burst_mask", (_KEY, _RATE, _F([3, 1])), {"length": 5}),
  Row(
    "alpha_stable.sample_bursts",
    (_KEY, _ALPHA, _SCALE, _RATE, _F([3, 2])),
    {"shape": (5, 2)},
    smooth=(1, 2),
  ),
  *(
    Row(
      f"alpha_stable.{name}",
      (_RATE, _ALPHA, _F([0.5, -0.5]), _F([1, 2]), _F([0, 1])),
      smooth=smooth,
    )
    # Compiling the gradients of a table is slow; the rest have own tests.
    for name, smooth in (
      ("cdf", ()),
      ("isf", ()),
      ("log_prob", (0, 1, 2, 3, 4)),
      ("quantile", (0, 1, 2, 3, 4)),
      ("sf", ()),
    )
  ),
  Row(
    "alpha_stable.characteristic_function",
    (_RATE, _ALPHA, _F([0.5, -0.5])),
  ),
  Row("alpha_stable.fractional_moment", (_RATE, _ALPHA), smooth=(0, 1)),
  Row("alpha_stable.log_moments", (_ALPHA, _SCALE), smooth=(0, 1)),
  Row("alpha_stable.tail_asymptote", (_F([9, -9]), _ALPHA), smooth=(0, 1)),
  Row("alpha_stable.flip_rate", (_ALPHA, _SCALE), smooth=(0, 1)),
  Row("alpha_stable.geometric_power", (_ALPHA, _SCALE), smooth=(0, 1)),
  *(
    Row(f"alpha_stable.{name}", (_ALPHA, strength), smooth=(0, 1))
    for kind, strength in (
      ("dispersion", _SCALE),
      ("flip_rate", _RATE),
      ("geometric_power", _SCALE),
    )
    for name in (f"scale_from_{kind}", f"AlphaStable.from_{kind}")
  ),
  Row("alpha_stable.scale_from_std", (_SCALE,), smooth=(0,)),
  Row("alpha_stable.AlphaStable.from_std", (_SCALE,), smooth=(0,)),
  Row("attacks.fgsm", (_KEYS, _IMAGES, _LABELS), {"eps": 0.1}),
  Row(
    "attacks.pgd",
    (_KEYS, _IMAGES, _LABELS),
    {"eps": 0.3, "steps": 2, "norm": "l2", "restarts": 2},
  ),
  Row("attacks.square", (_KEYS, _IMAGES, _LABELS), {"eps": 0.1, "queries": 5}),
  Row(
    "attacks.square_l2",
    (
      _KEYS,
      jnp.pad(_IMAGES, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0))),
      _LABELS,
    ),
    {"eps": 0.5, "queries": 3},
  ),
  Row("attacks.apgd", (_KEYS, _IMAGES, _LABELS), {"eps": 0.1, "steps": 3}),
  Row("attacks.fab", (_IMAGES, _LABELS, (_LABELS + 1) % 5), {"steps": 2}),
  Row("corruptions.uniform", (_KEYS, _IMAGES, _SCALE), smooth=(1, 2)),
  Row("corruptions.gaussian", (_KEYS, _IMAGES, _F([0.01, 0.02])), smooth=(1,)),
  Row("corruptions.salt_and_pepper", (_KEYS, _IMAGES, _RATE), smooth=(1,)),
  Row("corruptions.shot", (_KEYS, _IMAGES, _F([5, 50]))),
  Row("corruptions.drifting_std", (_INDEX, _SCALE), {"period": 9}, (1,)),
  Row(
    "corruptions.drifting_gaussian",
    (_KEYS, _IMAGES, _INDEX, _F([0.01, 0.02])),
    {"period": 9},
    smooth=(1,),
  ),
  Row(
    "corruptions.patches",
    (_KEYS, _IMAGES),
    {"count": 2, "side": 2},
    smooth=(1,),
  ),
  Row(
    "corruptions.gaussian_and_patches",
    (_KEYS, _IMAGES, _F([0.01, 0.02])),
    {"count": 1, "side": 3},
    smooth=(1,),
  ),
  Row(
    "corruptions.common",
    (_KEYS, _IMAGES),
    {"name": "fog", "severity": 3},
  ),
  Row(
    "corruptions.corrupt",
    (_KEYS, _IMAGES, (_SCALE,)),
    {"name": "speckle_noise"},
    smooth=(1,),
  ),
  Row(
    "corruptions.mnist_c",
    (_KEYS, np.resize(_IMAGES, (2, 3, 28, 28, 1))),
    {"name": "rotate"},
  ),
  Row("corruptions.resolution", (_IMAGES,), {"factor": 0.5}, smooth=(0,)),
  Row("centroids.class_sums", (_LOGITS, _LABELS), {"num_classes": 5}, (0,)),
  # Gradients of results with counts beside them have own tests.
  Row("centroids.update", (_CENTROIDS, _CLASS_SUMS, _RATE)),
  Row("centroids.nearest_boundary", (_LOGITS, _LABELS, *_HEAD)),
  Row("centroids.margin", (_CLASS_SUMS, *_HEAD), {"delta_d": 3.0}),
  *(
    Row(
      f"centroids.{name}",
      (_LOGITS, _LABELS, _CENTROIDS.means, _CLASS_SUMS.counts),
      {"delta_v": 0.1},
      smooth=(0, 2),
    )
    for name in ("alignment", "compactness")
  ),
  *(
    Row(f"centroids.{name}", (values, _CLASS_SUMS.present), smooth=(0,))
    for name, values in (
      ("mean_over_classes", _LOGITS[:, 1]),
      ("regulariser", _CENTROIDS.means),
    )
  ),
  Row("centroids.safe_norm", (_LOGITS,), smooth=(0,)),
  Row("data.as_float", (np.asarray([[0, 255], [7, 8]], np.uint8),)),
  Row("data.example_keys", (_KEY, np.int32([4, 6]), _INDEX, _STEP)),
  Row("data.random_crop", (_KEYS, _IMAGES), {"padding": 2}, smooth=(1,)),
  Row("data.random_flip", (_KEYS, _IMAGES), smooth=(1,)),
  Row("evaluation.apply_temperature", (_LOGITS, _RATE), smooth=(0, 1)),
  Row(
    "evaluation.count_votes",
    (_KEYS, _IMAGES),
    {"std": 0.3, "draws": 5, "batch": 2},
  ),
  Row("evaluation.feature_stability", (_KEYS, _IMAGES), {"std": 0.1}),
  Row(
    "evaluation.finite_difference",
    (_KEYS, _IMAGES, _LABELS),
    {"h": 0.1, "probes": 3},
  ),
  Row("evaluation.gauss_newton", (_IMAGES,)),
  Row("evaluation.hutchinson", (_KEYS, _IMAGES, _LABELS), {"probes": 3}),
  Row("evaluation.largest_gap", (_LOGITS,), smooth=(0,)),
  # Differences of losses, squared, have the rounding of the losses.
  Row(
    "evaluation.loss_variance",
    (_KEYS, _IMAGES, _LABELS),
    {"std": 1.0, "pairs": 3},
  ),
  Row("evaluation.robustness_count", (_KEYS, _IMAGES, _LABELS), {"std": 0.3}),
  Row("evaluation.top_eigenvalue", (_KEYS, _IMAGES, _LABELS), {"steps": 3}),
  Row("evaluation.judge", (_LOGITS, _LABELS)),
  Row(
    "evaluation.perturb",
    (
      _KEY,
      _F([[1.5, 0.1, 1.0, 1.0], [1.0, 0.2, 0.3, 2.0]]),
      _F(np.ones((2, 5, 1))),
    ),
    {"is_image": False},
  ),
  Row("evaluation.entropy", (_LOGITS,), smooth=(0,)),
  Row("evaluation.exact_zeros", (_PARAMS,)),
  Row("evaluation.hoyer", (_PARAMS,), smooth=(0,)),
  Row("evaluation.hoyer_per_tensor", (_PARAMS,), smooth=(0,)),
  Row("evaluation.prune", (_PARAMS, _F([0.5, 0.3]))),
  *(
    Row(f"evaluation.{name}", (_PARAMS, _F([0.5, 0.2])))
    for name in ("share_below", "share_below_relative", "share_below_rms")
  ),
  Row("evaluation.weight_norm", (_PARAMS,), smooth=(0,)),
  Row("inverse_scale.advance", (_FLOW, _IMAGES), {"steps": 3}),
  Row("filters.chambolle", (_IMAGES, _RATE), {"iterations": 5}, (0, 1)),
  Row("filters.gaussian_blur", (_IMAGES, _SCALE + 1), {"radius": 3}, (0, 1)),
  Row("filters.low_pass", (_IMAGES, _F([0.6, 1.0])), smooth=(0,)),
  # Far apart from one another, so that no difference changes their order.
  Row(
    "filters.median",
    (np.argsort(_IMAGES, axis=None).reshape(_IMAGES.shape) / np.float32(48),),
    {"size": 3},
    smooth=(0,),
  ),
  Row("inverse_scale.component_labels", (_DUAL > 0.5,)),
  *(
    Row(f"inverse_scale.{name}", (_PIECES,))
    for name in ("component_count", "component_sizes", "largest_component")
  ),
  Row("inverse_scale.component_means", (_IMAGES, _PIECES), smooth=(0,)),
  Row("inverse_scale.contrast", (_IMAGES, _RATE)),
  Row("inverse_scale.differences", (_IMAGES,), smooth=(0,)),
  Row("inverse_scale.differences_adjoint", (_DUAL,), smooth=(0,)),
  Row("inverse_scale.estimate_noise", (_IMAGES,)),
  Row(
    "inverse_scale.exact_flow",
    (_IMAGES, _F([0.5, 1])),
    {"times": 2, "iterations": 30},
  ),
  Row("inverse_scale.fraction_from_level", (_RATE,), {"convention": "zeros"}),
  Row("inverse_scale.hit_fraction", (_FLOW,), {"edges": "iso"}),
  Row("inverse_scale.kth_largest", (np.abs(_LOGITS), np.int32([2, 3]))),
  Row("inverse_scale.largest_edges", (np.abs(_DUAL), np.int32([2, 3]))),
  Row("inverse_scale.levels_for", (_RATE,)),
  Row(
    "inverse_scale.path",
    (_IMAGES, _F([[0.3, 0.6], [0.1, 0.5]])),
    {"steps": 5},
  ),
  Row(
    "inverse_scale.reconstruction_errors",
    (_IMAGES, _IMAGES + 0.1, _F([[0.3, 0.6], [0.1, 0.5]])),
    {"steps": 5},
  ),
  Row("inverse_scale.psnr", (_IMAGES, _IMAGES**2), smooth=(0, 1)),
  Row("inverse_scale.screened_poisson", (_IMAGES, _SCALE), smooth=(0, 1)),
  Row("inverse_scale.smooth", (_IMAGES, _RATE), {"steps": 5}),
  Row("inverse_scale.start", (_FLOW.images, _FLOW.kappa), smooth=(0, 1)),
  Row("inverse_scale.support_fraction", (_DUAL > 0.5,)),
  # The operations, on arrays, random values and directions of noise.
  Row("moments.ops.avg_pool", _POOLED, {"window": (2, 3)}, smooth=(0,)),
  Row("moments.ops.max_pool", (_RANDOM,), {"window": (2, 2)}, smooth=(0,)),
  Row("moments.ops.global_avg_pool", (_RANDOM,), smooth=(0,)),
  Row("moments.ops.relu", (_RANDOM,), smooth=(0,)),
  Row("moments.ops.gelu", (_RANDOM,), smooth=(0,)),
  Row("moments.ops.maximum", (_RANDOM, _POOLED[0]), smooth=(0, 1)),
  Row("moments.ops.softmax", (moments.Stable(_LOGITS, _VARIANCES, 1.5),)),
  Row(
    "moments.ops.dense",
    (moments.Joint(_LOGITS, _COVARIANCES_3), _COVARIANCES[:, 0], _LOGITS[:, 0]),
    smooth=(0, 1, 2),
  ),
  Row(
    "moments.ops.attention",
    (*3 * [moments.Tangents(_HEADS, _HEADS[:, None] + 1)],),
    smooth=(0, 1, 2),
  ),
  Row(
    "moments.ops.lstm",
    (moments.Moments(_LOGITS[:, None], _VARIANCES[:, None]), *_LSTM),
    smooth=(0, 1, 2, 3),
  ),
  Row(
    "models.toeplitz_conv",
    (*_POOLED, _RNG.normal(size=(2, 3, 3, 2, 2)).astype(np.float32)),
    {
      "window_strides": (1, 1),
      "padding": "SAME",
      "dimension_numbers": jax.lax.ConvDimensionNumbers(
        (0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)
      ),
    },
    smooth=(0, 1),
  ),
  Row("methods.INPUTS.clean", _DRAWN, smooth=(3,)),
  Row("methods.INPUTS.gaussian", _DRAWN, {"std": 0.1, "p_noisy": 0.5}),
  Row("methods.INPUTS.uniform", _DRAWN, {"eps": 0.1, "p_noisy": 0.5}),
  Row("methods.INPUTS.laplace", _DRAWN, {"std": 0.1}),
  Row(
    "methods.INPUTS.alpha_stable",
    _DRAWN,
    {"alphas": (0.8, 1.5), "flip_rate": 0.1, "resample": "once"}
    | {"share": "row", "schedule": "cosine", "schedule_from": 0.5},
  ),
  Row("methods.INPUTS.adversarial", _DRAWN, {"eps": 0.1, "steps": 2}),
  Row("methods.INPUTS.mixup", _DRAWN),
  Row("methods.INPUTS.augmix", _DRAWN),
  Row(
    "methods.INPUTS.burst",
    (*_DRAWN[:3], _IMAGES[..., 0]),
    {"shape": (4, 4), "alpha": 1.5, "scale": 0.1}
    | {"share_of_time": 0.5, "mean_length": 2.0},
  ),
  Row(
    "methods.INPUTS.inverse_scale",
    _DRAWN,
    {"fractions": (0.2, 0.6), "steps": 5},
  ),
  Row("methods.INPUTS.blur", _DRAWN, {"sigma": 0.7}),
  Row("methods.INPUTS.low_pass", _DRAWN, {"cutoff": 0.6}),
  Row("methods.INPUTS.median", _DRAWN, {"size": 3}),
  Row("methods.INPUTS.chambolle", _DRAWN, {"weight": 0.1, "iterations": 5}),
  Row("evaluation.judge_regression", (_LOGITS, _LOGITS + 1)),
  Row(
    "methods.OBJECTIVES.cross_entropy",
    (_LOGITS, _LOGITS, _LABELS),
    {"label_smoothing": 0.1},
    smooth=(0,),
  ),
  *(
    Row(
      f"methods.OBJECTIVES.{name}", (_LOGITS, 2 * _LOGITS, _LABELS), smooth=(0,)
    )
    for name in ("discriminative", "stability")
  ),
  Row("methods.OBJECTIVES.mse", (_LOGITS, _LOGITS, _LOGITS + 1), smooth=(0, 2)),
  *(
    Row(f"methods.OBJECTIVES.{name}", (_LOGITS, _VARIANCES, _LABELS))
    for name in MOMENT_OBJECTIVES
  ),
  *(
    Row(f"moments.{name}", (_LOGITS, _VARIANCES, _TARGETS), smooth=(0, 1, 2))
    for name in (
      "cross_entropy_bohning",
      "cross_entropy_delta",
      "cross_entropy_exponential",
      "expected_brier",
      "expected_mse",
      "gaussian_nll",
      "rectified_mse",
    )
  ),
  # Its gradient is the bound's at the best a, which 20 steps are at.
  Row(
    "moments.cross_entropy_tilted",
    (_LOGITS, _COVARIANCES, _TARGETS),
    {"iterations": 20},
    smooth=(0, 1, 2),
  ),
  Row("moments.cross_entropy_lower", (_LOGITS, _TARGETS), smooth=(0, 1)),
  Row(
    "moments.cross_entropy_mean_field",
    (_LOGITS, _VARIANCES, _LABELS),
    smooth=(0, 1),
  ),
  Row(
    "moments.pairwise",
    (_LOGITS, _LABELS, _VARIANCES),
    {"log_cdf": pairs.cauchy_log_cdf},
    smooth=(0, 2),
  ),
  Row("moments.gaussian_log_cdf", (_F([-12, 1.5]),), smooth=(0,)),
  Row("moments.cauchy_log_cdf", (_F([-12, 1.5]),), smooth=(0,)),
  Row("moments.variance_difference_scale", (_VARIANCES, _LABELS), smooth=(0,)),
  # Its gradient at the label is 0, where the square root has none.
  Row("moments.covariance_difference_scale", (_COVARIANCES, _LABELS)),
  Row(
    "moments.independent_difference_scale",
    (_VARIANCES, _LABELS),
    {"alpha": 1.5},
    smooth=(0,),
  ),
  Row(
    "moments.jacobian_difference_scale",
    (_COVARIANCES, _SCALE, _LABELS),
    {"alpha": 1.5},
    smooth=(1,),
  ),
)


def public_functions(package: types.ModuleType) -> Iterator[str]:
  """The names of a package's public callables, methods of pytrees included."""
  short = package.__name__.removeprefix("jaxrobust.")
  names = getattr(package, "__all__", None) or [
    name
    for name, value in vars(package).items()
    if not name.startswith("_") and not inspect.ismodule(value)
  ]
  for name in sorted(names):
    value = getattr(package, name)
    if inspect.isfunction(value) or hasattr(value, "__wrapped__"):
      yield f"{short}.{name}"
    elif inspect.isclass(value):
      yield f"{short}.{name}"
      if hasattr(value, "tree_unflatten"):
        yield from (
          f"{short}.{name}.{method}"
          for method in vars(value)
          if not method.startswith(("_", "tree_"))
          and callable(getattr(value, method))
        )


def without_row(package: types.ModuleType) -> list[str]:
  """The public callables that have neither a row nor a reason."""
  covered = {row.name for row in ROWS} | set(HOST_SIDE)
  return [name for name in public_functions(package) if name not in covered]


def _finite(tree) -> bool:
  return all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(tree))


_named = parameterized.named_parameters(
  *((row.name.replace(".", "_"), row) for row in ROWS)
)


class TransformationsTest(chex.TestCase):
  @chex.all_variants
  @_named
  def test_every_variant_gives_the_same_finite_values(self, row):
    arguments = row.example(0)
    expected = jax.jit(row.function)(*arguments)
    got = self.variant(n_devices=2)(row.function)(*arguments)
    assert _finite(got)
    chex.assert_trees_all_close(got, expected, rtol=2e-5, atol=1e-6)

  @_named
  @pytest.mark.quick
  def test_vmap_equals_a_loop_and_two_calls_trace_once(self, row):
    chex.clear_trace_counter()
    one = jax.jit(chex.assert_max_traces(row.function, 1))
    loop = [one(*row.example(i)) for i in range(2)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *loop)
    together = jax.jit(jax.vmap(row.function))(*row.arguments)
    assert jax.tree.leaves(together)
    chex.assert_trees_all_close(together, stacked, rtol=2e-5, atol=1e-6)

  @parameterized.named_parameters(
    *((row.name.replace(".", "_"), row) for row in ROWS if row.smooth)
  )
  def test_gradients_equal_numerical_ones(self, row):
    arguments = list(row.example(0))

    @jax.jit
    def function(*smooth):
      for position, value in zip(row.smooth, smooth, strict=True):
        arguments[position] = value
      return jax.tree.leaves(row.function(*arguments))

    check_grads(
      function,
      [arguments[position] for position in row.smooth],
      order=1,
      modes=("fwd", "rev"),
      eps=2e-3,
      rtol=2e-2,
      atol=2e-2,
    )


@pytest.mark.quick
@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_function_has_a_row(name):
  package = importlib.import_module(f"jaxrobust.{name}")
  assert list(public_functions(package))
  assert without_row(package) == []


@pytest.mark.parametrize("table", ["INPUTS", "OBJECTIVES"])
def test_every_part_of_a_method_has_a_row(table):
  names = {f"methods.{table}.{name}" for name in getattr(methods, table)}
  assert names <= {row.name for row in ROWS}


def test_every_reason_is_about_something_that_is_there():
  for name in HOST_SIDE:
    _resolve(name, {})


@pytest.mark.parametrize("declared", [False, True])
def test_a_new_public_function_without_a_row_fails(declared):
  package = types.ModuleType("jaxrobust.alpha_stable")
  vars(package).update(vars(alpha_stable))
  if not declared:
    del package.__all__
  assert without_row(package) == []
  package.brand_new = jax.jit(lambda x: x)
  package.plainly_new = lambda x: x
  if declared:
    package.__all__ = [*package.__all__, "brand_new", "plainly_new"]
  assert without_row(package) == [
    "alpha_stable.brand_new",
    "alpha_stable.plainly_new",
  ]
