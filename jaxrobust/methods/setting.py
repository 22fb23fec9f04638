"""What an objective is given beside outputs and batch, and what it gives."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from flax.core import FrozenDict

from jaxrobust import models


class Setting(NamedTuple):
  """What an objective is given beside the outputs and the batch.

  Attributes:
    second: The outputs for the second view; None if there is none.
    state: What the objective carries from step to step; {} if nothing.
    head: The parameters of the model's last layer: `kernel` [d, K] and `bias`
      [K].
    axis_name: The axis that the step is mapped over, for sums over the batch.

  Example:
    >>> Setting().second is None
    True
  """

  second: models.Outputs | None = None
  state: Any = FrozenDict()
  head: Mapping[str, jax.Array] = FrozenDict()
  axis_name: str | None = None


class Notes(NamedTuple):
  """What an objective notes of a batch beside its values.

  Attributes:
    sums: What its state is to learn of the batch, of this device alone; the
      step adds up micro-batches and devices.
    metrics: Numbers of the whole batch to log, the same on all devices.

  Example:
    >>> Notes().metrics
    FrozenDict({})
  """

  sums: Any = FrozenDict()
  metrics: Mapping[str, jax.Array] = FrozenDict()


ObjectiveFn = Callable[
  [models.Outputs, Mapping[str, jax.Array], Setting], tuple[jax.Array, Notes]
]
