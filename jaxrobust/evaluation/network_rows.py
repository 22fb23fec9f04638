"""The network itself as result rows: its cost, its gain, its noise."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrobust.evaluation.results import Results
from jaxrobust.evaluation.suite import Subject
from jaxrobust.methods import inner_noise
from jaxrobust.methods.forwards import ForwardFn

NETWORK = "network"
# A program's cost is not quite linear in the batch.
_BATCH = 100


def prediction_flops(
  model: nn.Module,
  forward: ForwardFn,
  variables: Mapping[str, Any],
  shape: tuple[int, ...],
) -> float:
  """The floating-point operations of one example's prediction.

  As the compiler counts them in the program before its optimisation, with
  noise, moments and samples in it; random bits are integer arithmetic and do
  not count.

  Args:
    model: The model.
    forward: How it is evaluated.
    variables: Its variables, or their shapes.
    shape: The shape of one example.

  Returns:
    Operations per example.
  """

  def predict(variables, inputs):
    mask = jnp.ones(len(inputs))
    return forward(model, variables, inputs, mask, False)[0].logits

  inputs = jax.ShapeDtypeStruct((_BATCH, *shape), jnp.float32)
  # Models sum over a named axis in training only.
  lowered = jax.jit(predict).lower(variables, inputs)
  cost: Any = lowered.cost_analysis()
  return cost["flops"] / _BATCH


def measure_network(
  subject: Subject,
  model: nn.Module,
  forward: ForwardFn,
  variables: Mapping[str, Any],
  shape: tuple[int, ...],
  results: Results,
) -> None:
  """Appends the rows of the network itself, unless they are all there.

  Their perturbation is "network" and their strength 0; the metrics are
  `flops_per_example`, of a prediction; `path_norm`, from the first layer to the
  logits; and of a stochastic forward `sigma`, the noise's at the end of the
  training, the mean over channels.

  Args:
    subject: The shared columns.
    model: The model.
    forward: How it is evaluated.
    variables: Its variables.
    shape: The shape of one example.
    results: Where the rows go.
  """

  def row(metric, value):
    return {
      **dataclasses.asdict(subject),
      "perturbation": NETWORK,
      "strength": 0.0,
      "severity": None,
      "metric": metric,
      "value": value,
    }

  noise = getattr(forward, "noise", None)
  names = ["flops_per_example", "path_norm", *(["sigma"] if noise else [])]
  if all(row(name, None) in results for name in names):
    return
  norm = jax.jit(functools.partial(inner_noise.path_norm, model, shape=shape))
  values = {
    "flops_per_example": prediction_flops(model, forward, variables, shape),
    "path_norm": float(norm(variables)),
  }
  if noise:
    values["sigma"] = float(noise.strength(variables["params"], 1.0).mean())
  results.append([row(name, value) for name, value in values.items()])
