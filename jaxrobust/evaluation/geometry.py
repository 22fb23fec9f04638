"""The geometry of activations: how tight classes are, and how far apart.

Two passes over the examples: one sums the activations of each class, the other
takes every example's distance to the mean of its class, so that nothing is lost
by subtracting large sums. The passes run on the devices in float32, what they
give is put together here in float64.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import centroids, data
from jaxrobust.evaluation.perturbations import perturb

# The layer that stands for the penultimate features, `Outputs.features`.
FEATURES = "features"
_HEAD = "head"


@dataclasses.dataclass(frozen=True)
class Activations:
  """What two passes over n examples of K classes found.

  Attributes:
    counts: [K], the number of examples of each class.
    means: [K, D] of each layer, float64; zeros for a class without examples.
    squares: [n] of each layer, every example's squared distance to the mean of
      its class.
    margins: [n], every example's signed distance to the nearest boundary of
      its class; None without a linear head.
  """

  counts: np.ndarray
  means: Mapping[str, np.ndarray]
  squares: Mapping[str, np.ndarray]
  margins: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class ActivationSteps:
  """The per-device functions of the two passes; see `make_activation_steps`."""

  sums: Callable[..., dict[str, jax.Array]]
  spread: Callable[..., dict[str, Any]]


def make_activation_steps(
  model: nn.Module,
  is_image: bool,
  num_classes: int,
  smooth: Callable[[jax.Array], jax.Array] | None = None,
) -> ActivationSteps:
  """Builds the per-device functions of the two passes.

  A layer is a direct child of the model, and its activations are what its last
  call returns, before whatever function follows it. They are flattened: that
  is what the next layer sees, and a spatial average would let noise cancel
  before it is measured. The memory is K x H x W x C numbers per layer.

  The noise inside a stochastic network is not drawn: what is measured are its
  layers as they stand.

  Args:
    model: The model.
    is_image: Whether noisy inputs are clipped to [0, 1].
    num_classes: K.
    smooth: images -> images, what a network judged behind a smoother sees.

  Returns:
    `sums` (variables, batch, key, tag, noise) -> [1, K, D] of each layer;
    `spread` (variables, batch, key, tag, noise, means) -> of each example, [N]
    each, "squares" of each layer and, with a linear head, "margins". The noise
    is that of `perturb`.

  Example:
    >>> from jaxrobust import models
    >>> model = models.build("mlp", num_classes=2, hidden=(4,))
    >>> variables = model.init(jax.random.key(0), jnp.ones((1, 3)))
    >>> steps = make_activation_steps(model, True, 2)
    >>> batch = {"inputs": jnp.ones((5, 3)), "index": jnp.arange(5)}
    >>> batch |= {"labels": jnp.zeros(5, int), "mask": jnp.ones(5)}
    >>> clean = jnp.asarray([2.0, 0.0, 1.0, 1.0])
    >>> sums = steps.sums(variables, batch, jax.random.key(0), 0, clean)
    >>> {name: value.shape for name, value in sums.items()}["features"]
    (1, 2, 4)
  """

  def activations(variables, batch, key, tag, noise):
    keys = data.example_keys(key, tag, batch["index"])
    one = functools.partial(perturb, is_image=is_image)
    noisy = jax.vmap(one, in_axes=(0, None, 0))(
      keys, noise, data.as_float(batch["inputs"])
    )
    seen = noisy if smooth is None else smooth(noisy)
    return _layers(model, variables, seen, batch["mask"])

  def sums(variables, batch, key, tag, noise):
    layers = activations(variables, batch, key, tag, noise)

    def of_classes(values):
      found = centroids.class_sums(
        values, batch["labels"], num_classes, mask=batch["mask"]
      )
      return found.sums[None]

    return {name: of_classes(values) for name, values in layers.items()}

  def spread(variables, batch, key, tag, noise, means):
    layers = activations(variables, batch, key, tag, noise)
    labels = batch["labels"]
    found: dict[str, Any] = {
      "squares": {
        name: jnp.sum((values - means[name][labels]) ** 2, axis=1)
        for name, values in layers.items()
      }
    }
    head = linear_head(variables)
    if head is not None:
      margins, _ = centroids.nearest_boundary(layers[FEATURES], labels, *head)
      found["margins"] = margins
    return found

  return ActivationSteps(sums, spread)


def _layers(
  model: nn.Module,
  variables: Mapping[str, Any],
  inputs: jax.Array,
  mask: jax.Array,
) -> dict[str, jax.Array]:
  """The activations of each layer, flattened, float32 [N, D]."""
  outputs, state = model.apply(
    variables,
    inputs,
    train=False,
    mask=mask,
    capture_intermediates=lambda module, method: (
      method == "__call__" and len(module.path) == 1
    ),
    mutable=["intermediates"],
  )

  def flat(values):
    return values.reshape((len(inputs), -1)).astype(jnp.float32)

  layers = {}
  for name, child in state["intermediates"].items():
    # A layer may return several arrays, as a recurrent one its state.
    parts = [
      flat(leaf)
      for leaf in jax.tree.leaves(child["__call__"][-1])
      if leaf.ndim and len(leaf) == len(inputs)
    ]
    if parts:
      layers[name] = jnp.concatenate(parts, axis=1)
  head = layers.pop(_HEAD, None)
  layers[FEATURES] = flat(outputs.features)
  if head is not None:
    layers[_HEAD] = head
  return layers


def layer_names(
  model: nn.Module, variables: Mapping[str, Any], shape: tuple[int, ...]
) -> list[str]:
  """The layers of a model in the order in which they are called.

  Args:
    model: The model.
    variables: Its variables, or their shapes.
    shape: The shape of one example.

  Returns:
    The names of its direct children, and before the last, if that is `head`,
    "features" for the penultimate features.

  Example:
    >>> from jaxrobust import models
    >>> model = models.build("mlp", num_classes=2, hidden=(4,))
    >>> variables = model.init(jax.random.key(0), jnp.ones((1, 3)))
    >>> layer_names(model, variables, (3,))
    ['normalize', 'Dense_0', 'features', 'head']
  """
  names: list[str] = []

  def run(variables, inputs):
    # A traced function's dictionaries come out sorted.
    names.extend(_layers(model, variables, inputs, jnp.ones(len(inputs))))

  inputs = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
  jax.eval_shape(run, variables, inputs)
  return names


def linear_head(
  variables: Mapping[str, Any],
) -> tuple[jax.Array, jax.Array] | None:
  """The linear map from features to logits, if the model names it `head`.

  Args:
    variables: The model's.

  Returns:
    The kernel [d, K] and the bias [K], or None.

  Example:
    >>> linear_head({"params": {"Dense_0": {}}}) is None
    True
  """
  head = variables["params"].get(_HEAD, {})
  if "kernel" not in head:
    return None
  kernel = head["kernel"]
  return kernel, head.get("bias", jnp.zeros(kernel.shape[1]))


def separability(
  means: np.ndarray, counts: np.ndarray, squares: np.ndarray
) -> float:
  """How far the classes are apart for how wide they are.

    trace S_b / trace S_w = sum_c n_c ||m_c - m||^2 / sum_i ||x_i - m_{y_i}||^2

  Args:
    means: [K, D], the mean of each class.
    counts: [K], the number of its examples.
    squares: [n], every example's squared distance to the mean of its class.

  Returns:
    The ratio; infinite if all examples are at the means of their classes.

  Example:
    >>> means = np.asarray([[0.0], [2.0]])
    >>> separability(means, np.asarray([1, 1]), np.asarray([0.25, 0.25]))
    4.0
  """
  weights = counts / counts.sum()
  centre = weights @ means
  between = counts @ np.sum((means - centre) ** 2, axis=1)
  within = float(np.sum(squares, dtype=np.float64))
  return float(between / within) if within else np.inf


def summarise_geometry(
  found: Activations,
  head: tuple[Any, Any] | None = None,
  clean: Activations | None = None,
) -> dict[str, float]:
  """The numbers of one view of the examples.

  Args:
    found: Of the view.
    head: As of `linear_head`.
    clean: Of the clean view, if `found` is of another.

  Returns:
    By metric: `intra_radius`, the mean distance of an example's features to
    the mean of its class, and `intra_radius_q95`, their 95 % quantile;
    `inter_distance` and `inter_distance_min`, the mean and the least distance
    of two classes' means; `inter_over_intra`, the mean of these over the mean
    of those. With a head `class_margin` and `class_margin_min`, of the signed
    distances of the classes' means to the nearest boundary, `sample_margin`
    and `sample_margin_q05`, of the examples'. With a clean view `alignment`,
    the mean distance of a class's mean to its clean one over the clean
    `intra_radius`. For each layer `separability[LAYER]`.

  Example:
    >>> found = Activations(
    ...   counts=np.asarray([2, 2]),
    ...   means={"features": np.asarray([[0.0, 0.0], [3.0, 4.0]])},
    ...   squares={"features": np.ones(4)},
    ... )
    >>> summarise_geometry(found)["inter_over_intra"]
    5.0
  """
  here = found.counts > 0
  means = found.means[FEATURES][here]
  distances = np.sqrt(found.squares[FEATURES].astype(np.float64))
  radius = float(distances.mean())
  first, second = np.triu_indices(len(means), 1)
  apart = _lengths(means)[first, second]
  values = {
    "intra_radius": radius,
    "intra_radius_q95": np.quantile(distances, 0.95),
    "inter_distance": apart.mean() if len(apart) else np.nan,
    "inter_distance_min": apart.min() if len(apart) else np.nan,
  }
  values["inter_over_intra"] = values["inter_distance"] / radius
  if head is not None and found.margins is not None:
    kernel, bias = (np.asarray(part, np.float32) for part in head)
    of_means, _ = centroids.nearest_boundary(
      jnp.asarray(means, jnp.float32),
      jnp.asarray(np.flatnonzero(here)),
      jnp.asarray(kernel),
      jnp.asarray(bias),
    )
    margins = found.margins.astype(np.float64)
    values |= {
      "class_margin": np.mean(of_means),
      "class_margin_min": np.min(of_means),
      "sample_margin": margins.mean(),
      "sample_margin_q05": np.quantile(margins, 0.05),
    }
  if clean is not None:
    moved = np.linalg.norm(means - clean.means[FEATURES][here], axis=1)
    of_clean = np.sqrt(clean.squares[FEATURES].astype(np.float64)).mean()
    values["alignment"] = moved.mean() / of_clean
  for name in found.means:
    values[f"separability[{name}]"] = separability(
      found.means[name], found.counts, found.squares[name]
    )
  return {name: float(value) for name, value in values.items()}


def _lengths(points: np.ndarray) -> np.ndarray:
  """The distances of all pairs, [M, M], a row at a time."""
  return np.stack([np.linalg.norm(points - one, axis=1) for one in points])
