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
) -> float | None:
  """The floating-point operations of one example's prediction.

  As the compiler counts them in the program before its optimisation, with
  noise, moments and samples in it; random bits are integer arithmetic and do
  not count. The compiler counts what a loop repeats once, so that of a network
  with a loop, as an LSTM, there is no such number.

  Args:
    model: The model.
    forward: How it is evaluated.
    variables: Its variables, or their shapes.
    shape: The shape of one example.

  Returns:
    Operations per example, or None for a network with a loop.

  Example:
    >>> from jaxrobust import methods, models
    >>> model = models.build("mlp", num_classes=2, hidden=())
    >>> variables = model.init(jax.random.key(0), jnp.ones((1, 50)))
    >>> forward = methods.build(methods.preset("standard"), (50,)).forward
    >>> prediction_flops(model, forward, variables, (50,))
    202.0
  """

  def predict(variables, inputs):
    mask = jnp.ones(len(inputs))
    return forward(model, variables, inputs, mask, False)[0].logits

  inputs = jax.ShapeDtypeStruct((_BATCH, *shape), jnp.float32)
  if _has_loop(jax.make_jaxpr(predict)(variables, inputs).jaxpr):
    return None
  lowered = jax.jit(predict).lower(variables, inputs)
  cost: Any = lowered.cost_analysis()
  return cost["flops"] / _BATCH


def _has_loop(jaxpr: Any) -> bool:
  """Whether there is a loop in it, or in what it calls."""
  for equation in jaxpr.eqns:
    if equation.primitive.name in ("scan", "while"):
      return True
    for parameter in equation.params.values():
      inner = getattr(parameter, "jaxpr", parameter)
      if hasattr(inner, "eqns") and _has_loop(inner):
        return True
  return False


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
  `flops_per_example`, of a prediction, if the network has no loop; `path_norm`,
  from the noise's place to the logits, if the model carries random values; and
  of a stochastic forward `sigma`, the noise's at the end of the training, the
  mean over channels.

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
  place = noise.place if noise else "first"
  rows = []
  flops = prediction_flops(model, forward, variables, shape)
  if flops is not None:
    rows.append(row("flops_per_example", flops))
  if inner_noise.carries_states(model, variables, shape, place):
    norm = functools.partial(
      inner_noise.path_norm, model, shape=shape, place=place
    )
    rows.append(row("path_norm", float(jax.jit(norm)(variables))))
  if noise:
    sigma = noise.strength(variables["params"], 1.0)
    rows.append(row("sigma", float(sigma.mean())))
  results.append([row for row in rows if row not in results])
