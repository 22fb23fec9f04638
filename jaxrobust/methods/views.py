"""The view slot: a second look at each example, for objectives that take two.

A second view is what an input of the table makes of the example, from a crop,
a flip and draws of its own. Its outputs reach the objective as
`Setting.second`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrobust import models
from jaxrobust.methods.context import InputFn
from jaxrobust.methods.forwards import ForwardFn
from jaxrobust.methods.inputs import INPUTS

BATCH_NORM = ("sequential", "joint", "clean_only")


def none(shape: tuple[int, ...]) -> None:
  """No second view.

  Args:
    shape: The shape of one example.

  Returns:
    None.

  Example:
    >>> none((8, 8, 1)) is None
    True
  """
  del shape


VIEWS: dict[str, Callable[..., InputFn | None]] = {"none": none, **INPUTS}


@dataclasses.dataclass(frozen=True)
class View:
  """How the second view is made and evaluated.

  Attributes:
    input: Makes it of the augmented examples.
    shared_aug: Whether both views have the same crop and flip; the paper's
      have not.
    batch_norm: What batch statistics the views are normalised with. In
      training every pass uses those of its own batch; "sequential" (the
      paper's) passes the clean view, then the other, and both move the running
      averages; with "clean_only" the second does not; "joint" passes both as
      one batch of 2 N.
  """

  input: InputFn
  shared_aug: bool = False
  batch_norm: str = "sequential"

  def __post_init__(self):
    if self.batch_norm not in BATCH_NORM:
      raise ValueError(
        f"batch_norm={self.batch_norm!r}: must be one of {BATCH_NORM}"
      )

  def evaluate(
    self,
    forward: ForwardFn,
    model: nn.Module,
    variables: Mapping[str, Any],
    inputs: tuple[jax.Array, jax.Array],
    mask: jax.Array,
    keys: tuple[jax.Array, jax.Array],
    progress: jax.Array | float,
  ) -> tuple[models.Outputs, models.Outputs, Any]:
    """Evaluates the network on both views, in training.

    Args:
      forward: How it is evaluated.
      model: The model.
      variables: `params` and `batch_stats`.
      inputs: The two views, [N, ...] each.
      mask: [N], 1 for a real example.
      keys: [N] each, the examples' keys for what is random in the forward.
      progress: The share of the training that is done.

    Returns:
      The outputs for both views, and the new batch statistics.
    """
    if self.batch_norm == "joint":
      both, stats = forward(
        model,
        variables,
        jnp.concatenate(inputs),
        jnp.concatenate([mask, mask]),
        True,
        jnp.concatenate(keys),
        progress,
      )
      count = len(mask)
      return (
        jax.tree.map(lambda x: x[:count], both),
        jax.tree.map(lambda x: x[count:], both),
        stats,
      )
    first, stats = forward(
      model, variables, inputs[0], mask, True, keys[0], progress
    )
    second, later = forward(
      model,
      {**variables, "batch_stats": stats},
      inputs[1],
      mask,
      True,
      keys[1],
      progress,
    )
    return first, second, stats if self.batch_norm == "clean_only" else later
