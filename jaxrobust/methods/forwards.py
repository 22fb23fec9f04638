"""The forward slot: how the network is evaluated.

A forward is a builder: `builder(**parameters)` returns a pure function of
(model, variables, inputs, mask, train, keys, progress) that gives the model's
`Outputs` and the new batch statistics. `keys` [N] are the examples' own, for
what is random in training; without them, as in evaluation, nothing is.
`progress` is the share of the training that is done. A forward with parameters
of its own, to be learned with the network's, has a method
`parameters(model, variables, inputs)` that gives the first ones, under names
that no module has. The keyword parameters of the builders in `FORWARDS` are the
fields of `config.method.forward`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import flax.linen as nn
import jax

from jaxrobust import models
from jaxrobust.methods import sampled, stochastic


class ForwardFn(Protocol):
  """Evaluates the network; see the head of this file."""

  def __call__(
    self,
    model: nn.Module,
    variables: Mapping[str, Any],
    inputs: jax.Array,
    mask: jax.Array,
    train: bool,
    keys: jax.Array | None = None,
    progress: jax.Array | float = 1.0,
  ) -> tuple[models.Outputs, Any]:
    """The outputs for `inputs`, and the new batch statistics."""
    ...


def deterministic() -> ForwardFn:
  """The network as it stands: one value per unit.

  A model with a field `dropout` above 0 is given the keys in training; no
  other model sees them.

  Returns:
    The forward function.

  Example:
    >>> import jax.numpy as jnp
    >>> model = models.build("mlp", num_classes=3, hidden=(4,))
    >>> x = jnp.zeros((2, 5, 1))
    >>> variables = model.init(jax.random.key(0), x)
    >>> outputs, _ = deterministic()(model, variables, x, jnp.ones(2), False)
    >>> outputs.logits.shape
    (2, 3)
  """

  def forward(
    model: nn.Module,
    variables: Mapping[str, Any],
    inputs: jax.Array,
    mask: jax.Array,
    train: bool,
    keys: jax.Array | None = None,
    progress: jax.Array | float = 1.0,
  ) -> tuple[Any, Any]:
    del progress
    if not train:
      outputs = model.apply(variables, inputs, train=False, mask=mask)
      return outputs, variables.get("batch_stats", {})
    random: dict[str, Any] = (
      {"keys": keys} if getattr(model, "dropout", 0) else {}
    )
    outputs, updated = model.apply(
      variables,
      inputs,
      train=True,
      mask=mask,
      mutable=["batch_stats"],
      **random,
    )
    return outputs, updated.get("batch_stats", {})

  return forward


FORWARDS: dict[str, Callable[..., ForwardFn]] = {
  "deterministic": deterministic,
  "moments": stochastic.moments_forward,
  "sampled": sampled.sampled,
}
