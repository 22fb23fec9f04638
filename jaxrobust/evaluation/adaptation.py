"""Adapting a network to test inputs without labels, by its batch normalisation.

AdaBN takes the statistics of the norm layers from the test inputs in place of
the training's. TENT does so batch by batch and, as it predicts, descends the
entropy of its predictions by the scales and biases of these layers. What a
device does is here; `training.adapting` carries it out.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util

from jaxrobust.evaluation.perturbations import judge
from jaxrobust.evaluation.suite import Subject
from jaxrobust.methods.forwards import ForwardFn

ADAPTATIONS = ("adabn", "tent")
_SMOOTHED = ", smooth_eval="
TENT_OPTIMIZERS = ("adam", "sgd")

# Where a module, or an array of its own, is in a tree of variables.
Path = tuple[str, ...]
Arrays = dict[Path, Any]


def adapted(subject: Subject, name: str) -> Subject:
  """Who is judged, if it adapts: its rows have a method of their own.

  Args:
    subject: Who is judged.
    name: One of `ADAPTATIONS`.

  Returns:
    The subject with the method "METHOD + NAME".

  Example:
    >>> subject = Subject("a", "standard", 0, 1, "mnist", "test", 9, "clean")
    >>> adapted(subject, "tent").method
    'standard + tent'
  """
  return dataclasses.replace(subject, method=f"{subject.method} + {name}")


def smoothed_as(subject: Subject, way: str) -> Subject:
  """Who is judged, if it is behind another smoother than its own, or none.

  Args:
    subject: Who is judged.
    way: The `smooth_eval`.

  Returns:
    The subject with the method "METHOD, smooth_eval=WAY".

  Example:
    >>> subject = Subject("a", "blur", 0, 1, "mnist", "test", 9, "blur")
    >>> smoothed_as(subject, "off").method
    'blur, smooth_eval=off'
  """
  method = f"{subject.method}{_SMOOTHED}{way}"
  return dataclasses.replace(subject, method=method)


def own_method(method: str) -> str:
  """The method of a run, of rows of its network judged in whatever way.

  Args:
    method: A row's method.

  Returns:
    It without what `adapted` and `smoothed_as` have made of it.

  Example:
    >>> [own_method(m) for m in ("blur", "blur + tent", "blur, smooth_eval=on")]
    ['blur', 'blur', 'blur']
  """
  for name in ADAPTATIONS:
    method = method.removesuffix(f" + {name}")
  return method.partition(_SMOOTHED)[0]


def is_variant(method: str) -> bool:
  """Whether rows with this method are of a run's network judged another way.

  Args:
    method: A row's method.

  Returns:
    Whether `adapted` or `smoothed_as` has made it.

  Example:
    >>> [
    ...   is_variant(method)
    ...   for method in ("blur", "blur + adabn", "blur, smooth_eval=off")
    ... ]
    [False, True, True]
  """
  return own_method(method) != method


def norm_layers(model: nn.Module, shape: tuple[int, ...]) -> dict[Path, float]:
  """Where a model has batch normalisation.

  Args:
    model: The model; its layers are flax's `BatchNorm` or made after it.
    shape: Of one example.

  Returns:
    The momentum of each layer's running averages, by its path; none for a
    network without batch statistics.

  Raises:
    ValueError: If one layer is used twice: it has statistics of two inputs.

  Example:
    >>> from jaxrobust import models
    >>> model = models.build("fcn1d", num_classes=2, width=4)
    >>> norm_layers(model, (12, 1))
    {('BatchNorm_0',): 0.9, ('BatchNorm_1',): 0.9, ('BatchNorm_2',): 0.9}
  """
  found: dict[Path, float] = {}

  def look(next_fun, args, kwargs, context):
    module = context.module
    if isinstance(module, nn.BatchNorm) and context.method_name == "__call__":
      if module.path in found:
        raise ValueError(f"layer {'/'.join(module.path)} is used twice")
      found[module.path] = float(module.momentum)
    return next_fun(*args, **kwargs)

  with nn.intercept_methods(look):
    jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape)))
  return found


def norm_parameters(
  params: Mapping[str, Any], layers: Mapping[Path, float]
) -> Arrays:
  """The scales and biases of norm layers, which are what TENT learns.

  Args:
    params: A network's parameters.
    layers: As `norm_layers` gives them.

  Returns:
    The arrays by their paths.
  """
  flat = _flat(params)
  return {path: leaf for path, leaf in flat.items() if path[:-1] in layers}


def with_arrays(tree: Mapping[str, Any], arrays: Arrays) -> dict[str, Any]:
  """A tree of variables with some of its arrays replaced.

  Args:
    tree: A nested dictionary.
    arrays: The new arrays by their paths.

  Returns:
    A new tree.

  Example:
    >>> with_arrays({"a": {"b": 1, "c": 2}}, {("a", "b"): 3})
    {'a': {'b': 3, 'c': 2}}
  """
  return traverse_util.unflatten_dict({**_flat(tree), **arrays})


def entropy(logits: jax.Array) -> jax.Array:
  """The entropy of each prediction, of which TENT takes the gradient.

    H(p) = -sum_k p_k log p_k,  p = softmax(logits)

  Args:
    logits: float32 [N, K].

  Returns:
    float32 [N], in nats, from 0 to log K.

  Example:
    >>> round(float(entropy(jnp.zeros((1, 2)))[0]), 4)
    0.6931
  """
  log_probs = jax.nn.log_softmax(logits)
  return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)


def make_statistics_step(
  model: nn.Module,
  forward: ForwardFn,
  layers: Mapping[Path, float],
  axis_name: str,
) -> Callable[..., Arrays]:
  """Builds the function that takes the statistics of one batch for AdaBN.

  Args:
    model: The model, which sums over `axis_name`.
    forward: How it is evaluated.
    layers: As `norm_layers` gives them.
    axis_name: The axis that the devices are mapped over.

  Returns:
    A function of (variables, batch, inputs), the inputs in place of the
    batch's own, that gives the mean and the biased variance of what each layer
    of the network normalises, over the real examples on all devices, by path.
  """

  def step(variables, batch, inputs):
    averages = _flat(variables["batch_stats"])
    own = {
      p: jnp.zeros_like(x) for p, x in averages.items() if p[:-1] in layers
    }
    # Averages that begin with nothing are 1 - momentum of this batch's.
    begun = {
      **variables,
      "batch_stats": with_arrays(variables["batch_stats"], own),
    }
    seen = _seen(forward, inputs)
    _, moved = forward(model, begun, seen, batch["mask"], True)
    flat = jax.lax.pmean(_flat(moved), axis_name)
    return {p: flat[p] / (1 - layers[p[:-1]]) for p in own}

  return step


def pool_statistics(counts: Sequence[int], parts: Sequence[Arrays]) -> Arrays:
  """The statistics of all batches together, by the law of total variance.

    m = sum_b n_b m_b / n,  v = sum_b n_b (v_b + (m_b - m)^2) / n

  Args:
    counts: The real examples of each batch.
    parts: Its "mean" and "var" by path, [C] each.

  Returns:
    float32 [C] each, by path.

  Example:
    >>> parts = [
    ...   {("mean",): np.ones(1), ("var",): np.zeros(1)},
    ...   {("mean",): -np.ones(1), ("var",): np.zeros(1)},
    ... ]
    >>> pool_statistics([2, 2], parts)[("var",)].tolist()
    [1.0]
  """
  weights = np.asarray(counts, np.float64) / np.sum(counts)
  pooled: Arrays = {}
  for path in parts[0]:
    if path[-1] == "mean":
      own = (*path[:-1], "var")
      means = np.stack([part[path] for part in parts]).astype(np.float64)
      variances = np.stack([part[own] for part in parts]).astype(np.float64)
      mean = weights @ means
      var = weights @ (variances + np.square(means - mean))
      pooled[path], pooled[own] = np.float32(mean), np.float32(var)
  return pooled


def tent_optimizer(
  name: str, learning_rate: float
) -> optax.GradientTransformation:
  """The optimiser of TENT, as its authors set it.

  Args:
    name: "adam", or "sgd" with a Nesterov momentum of 0.9.
    learning_rate: The paper has 1e-3 for Adam on small images and 2.5e-4 for
      SGD on ImageNet.

  Returns:
    The optax transformation.

  Raises:
    ValueError: If there is no such optimiser.
  """
  if name == "adam":
    return optax.adam(learning_rate)
  if name == "sgd":
    return optax.sgd(learning_rate, momentum=0.9, nesterov=True)
  raise ValueError(f"name={name!r}: must be one of {TENT_OPTIMIZERS}")


def make_tent_step(
  model: nn.Module,
  forward: ForwardFn,
  optimizer: optax.GradientTransformation,
  axis_name: str,
  judge: Callable[[jax.Array, jax.Array], dict[str, jax.Array]] = judge,
) -> Callable[..., Any]:
  """Builds the function that judges a batch and learns from it.

  The predictions are those before the update, with the statistics of the batch
  itself. Labels reach `judge` alone. A gradient that is not finite, as
  heavy-tailed inputs can make it, changes nothing.

  Args:
    model: The model, which sums over `axis_name`.
    forward: How it is evaluated.
    optimizer: As of `tent_optimizer`.
    axis_name: The axis that the devices are mapped over.
    judge: (logits [N, K], labels) -> per-example numbers, as `Task.judge`.

  Returns:
    A function of (variables, arrays, opt_state, batch, inputs), with arrays as
    of `norm_parameters`, that gives what `judge` does, the new arrays and
    optimiser's state, and the mean entropy of the real examples.
  """

  def step(variables, arrays, opt_state, batch, inputs):
    seen = _seen(forward, inputs)
    real = batch["mask"] > 0
    count = jax.lax.psum(jnp.sum(batch["mask"]), axis_name)

    def share_of_entropy(arrays):
      params = with_arrays(variables["params"], arrays)
      outputs, _ = forward(
        model, {**variables, "params": params}, seen, batch["mask"], True
      )
      values = jnp.where(real, entropy(outputs.logits), 0.0)
      return jnp.sum(values) / count, outputs.logits

    (share, logits), gradient = jax.value_and_grad(
      share_of_entropy, has_aux=True
    )(arrays)
    mean, gradient = jax.lax.psum((share, gradient), axis_name)
    updates, moved = optimizer.update(gradient, opt_state, arrays)
    new = optax.apply_updates(arrays, updates), moved
    finite = jnp.isfinite(optax.tree.norm(gradient))
    arrays, opt_state = jax.tree.map(
      lambda x, y: jnp.where(finite, x, y), new, (arrays, opt_state)
    )
    return judge(logits, batch["labels"]), arrays, opt_state, mean

  return step


def _flat(tree: Mapping[str, Any]) -> Arrays:
  return dict(traverse_util.flatten_dict(tree))


def _seen(forward: ForwardFn, inputs: jax.Array) -> jax.Array:
  """What the network behind a forward sees; in training it smooths nothing."""
  smooth = getattr(forward, "smooth", None)
  return inputs if smooth is None else smooth(inputs)
