"""Noise inside a network: how strong it is, and the parameter that says so."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrobust import moments
from jaxrobust.methods.schedule import FactorFn, strength_schedule

# Where a learned strength lives among the network's parameters.
# No attribute of a module has a hyphen, so no module of a model is so named.
NOISE = "noise-inside"
_LOG_SIGMA = "log_sigma"


@dataclasses.dataclass(frozen=True)
class InnerNoise:
  """The standard deviation of the noise at one place inside a network.

  For stable noise with a tail index below 2 it is the scale of the law.

  Attributes:
    sigma: the strength, or where learning it starts.
    learn: whether log sigma is a parameter.
    per_channel: whether every channel has its own.
    relative: whether it is in units of the root mean square of an example's
      values at the place, through which no gradient flows.
    place: as of `moments.Injection`.
    factor: what multiplies it as a function of the progress of training.
  """

  sigma: float
  learn: bool
  per_channel: bool
  relative: bool
  place: moments.Place
  factor: FactorFn | None

  def parameters(
    self, model: nn.Module, variables: Mapping[str, Any], inputs: jax.Array
  ) -> dict[str, Any]:
    """The parameters that are learned with the network's.

    Args:
      model: The model.
      variables: Its variables.
      inputs: A batch.

    Returns:
      {} or {"log_sigma": float32 [] or [F]}.
    """
    if not self.learn:
      return {}
    shape = ()
    if self.per_channel:
      shape = self.shape_at_place(model, variables, inputs)[-1:]
    log_sigma = jnp.full(shape, math.log(self.sigma), jnp.float32)
    return {NOISE: {_LOG_SIGMA: log_sigma}}

  def shape_at_place(
    self, model: nn.Module, variables: Mapping[str, Any], inputs: jax.Array
  ) -> tuple[int, ...]:
    """The shape of the values that the noise is added to."""
    seen = []

    def look(values):
      seen.append(values.shape)
      return values

    def run(variables, inputs):
      with moments.intercepting(moments.Injection(look, self.place)):
        return model.apply(variables, inputs, train=False)

    jax.eval_shape(run, network(variables), inputs)
    return seen[0]

  def strength(
    self, params: Mapping[str, Any], progress: jax.Array | float
  ) -> jax.Array:
    """Sigma at a moment of training, float32 [] or [F]."""
    if self.learn:
      return jnp.exp(params[NOISE][_LOG_SIGMA])
    factor = 1.0 if self.factor is None else self.factor(progress)
    return jnp.asarray(self.sigma * factor, jnp.float32)

  def at(self, values: jax.Array, sigma: jax.Array) -> jax.Array:
    """The standard deviation at the place, float32 of the values' shape."""
    if self.relative:
      rms = root_mean_square(values)
      sigma = sigma * jax.lax.stop_gradient(rms)
    return jnp.broadcast_to(sigma, values.shape)


def inner_noise(
  sigma: float,
  learn: bool,
  per_channel: bool,
  relative: bool,
  place: moments.Place,
  schedule: str,
  schedule_from: float | None,
  schedule_to: float | None,
) -> InnerNoise:
  """Checks the parameters and makes the noise.

  Raises:
    ValueError: If one is out of range or does not fit the others.
  """
  if not 0 <= sigma < math.inf:
    raise ValueError(f"sigma={sigma}: must be a finite number >= 0")
  if learn and sigma == 0:
    raise ValueError(
      "sigma=0 with learn=True: must be > 0, its logarithm moves"
    )
  if learn and schedule != "constant":
    raise ValueError(
      f"schedule={schedule!r} with learn=True: must be 'constant'"
    )
  if per_channel and not learn:
    raise ValueError("per_channel=True: only with learn=True")
  moments.Injection(lambda x: x, place)
  return InnerNoise(
    sigma=float(sigma),
    learn=learn,
    per_channel=per_channel,
    relative=relative,
    place=place,
    factor=strength_schedule(schedule, schedule_from, schedule_to),
  )


def network(variables: Mapping[str, Any]) -> dict[str, Any]:
  """The variables without the noise's own parameters."""
  params = {k: v for k, v in variables["params"].items() if k != NOISE}
  return {**variables, "params": params}


def root_mean_square(values: jax.Array) -> jax.Array:
  """Of each example, float32 [N, 1, ...]."""
  axes = tuple(range(1, values.ndim))
  square = jnp.square(values.astype(jnp.float32))
  return jnp.sqrt(square.mean(axes, keepdims=True) + 1e-12)


def carries_states(
  model: nn.Module,
  variables: Mapping[str, Any],
  shape: tuple[int, ...],
  place: moments.Place = "first",
) -> bool:
  """Whether a model is written so that `moments` go through it.

  Args:
    model: The model.
    variables: Its variables.
    shape: The shape of one example.
    place: As of `moments.Injection`.

  Returns:
    False for a model that calls functions of arrays on random values.

  Example:
    >>> from jaxrobust import models
    >>> model = models.build("mlp", num_classes=2, hidden=(3,))
    >>> variables = model.init(jax.random.key(0), jnp.ones((1, 4)))
    >>> carries_states(model, variables, (4,))
    True
  """
  try:
    jax.eval_shape(lambda: path_norm(model, variables, shape, place))
  except (NotImplementedError, TypeError, ValueError):
    return False
  return True


def path_norm(
  model: nn.Module,
  variables: Mapping[str, Any],
  shape: tuple[int, ...],
  place: moments.Place = "first",
) -> jax.Array:
  """The l2 path norm from the place of the noise to the logits.

    ( sum over paths p prod_{w on p} w² )^(1/2)

  of a network of affine layers, ReLU and pooling: the root of what the mode
  "laplace" makes of unit variances, on which the input has no influence but
  for where maxima lie. Other activations and the statistics of an example are
  linearised at one input of uniform noise, always the same.

  Args:
    model: The model.
    variables: Its variables.
    shape: The shape of one example.
    place: As of `moments.Injection`.

  Returns:
    float32 [].

  Example:
    >>> from jaxrobust import models
    >>> model = models.build("mlp", num_classes=2, hidden=(3,))
    >>> variables = model.init(jax.random.key(0), jnp.ones((1, 4)))
    >>> head = variables["params"]["head"]["kernel"]
    >>> norm = path_norm(model, variables, (4,))
    >>> bool(jnp.isclose(norm, jnp.sqrt((head**2).sum())))
    True

  Reference: B. Neyshabur, R. Salakhutdinov and N. Srebro, Path-SGD, 2015,
  equation (6).
  """

  def noise(values):
    ones = jnp.ones(values.shape, jnp.float32)
    return moments.Moments(values, ones, moments.Rules(relu="laplace"))

  inputs = jax.random.uniform(jax.random.key(0), (1, *shape))
  with moments.intercepting(moments.Injection(noise, place)):
    outputs: Any = model.apply(network(variables), inputs, train=False)
  return jnp.sqrt(jnp.sum(outputs.logits.var))
