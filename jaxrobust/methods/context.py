"""What an input is given beside the batch, and the type of an input."""

import dataclasses
from collections.abc import Callable, Mapping

import jax

from jaxrobust import data

Batch = Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Context:
  """The moment in training at which a batch is fed to the network.

  Attributes:
    draw: Gives each example its keys, by purpose tag.
    progress: float32 [], the share of the training that is done, in [0, 1).
    logits: The network as it is now, as a function of inputs [N, ...] to
      logits [N, K], evaluated as the method evaluates it after training.
    axis_name: The axis that the step is mapped over; inputs that look at
      other examples gather them over it.

  Example:
    >>> import jax.numpy as jnp
    >>> draw = data.Draw(jax.random.key(0), jnp.arange(2), jnp.asarray(0))
    >>> Context(draw).draw(data.Tag.INPUT).shape
    (2,)
  """

  draw: data.Draw
  progress: jax.Array | float = 0.0
  logits: Callable[[jax.Array], jax.Array] | None = None
  axis_name: str | None = None


InputFn = Callable[[Batch, Context], Batch]
