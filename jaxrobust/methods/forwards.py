"""The forward slot: how the network is evaluated.

A forward is a builder: `builder(**parameters)` returns a pure function of
(model, variables, inputs, mask, train) that gives the model's `Outputs` and
the new batch statistics. The keyword parameters of the builders in `FORWARDS`
are the fields of `config.method.forward`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax

from jaxrobust import models

ForwardFn = Callable[
  [nn.Module, Mapping[str, Any], jax.Array, jax.Array, bool],
  tuple[models.Outputs, Any],
]


def deterministic() -> ForwardFn:
  """The network as it stands: one value per unit.

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

  def forward(model, variables, inputs, mask, train):
    if not train:
      outputs = model.apply(variables, inputs, train=False, mask=mask)
      return outputs, variables.get("batch_stats", {})
    outputs, updated = model.apply(
      variables, inputs, train=True, mask=mask, mutable=["batch_stats"]
    )
    return outputs, updated.get("batch_stats", {})

  return forward


FORWARDS: dict[str, Callable[..., ForwardFn]] = {
  "deterministic": deterministic,
}
