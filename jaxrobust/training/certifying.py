"""The votes of a smoothed classifier, and the logits of clean examples."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxrobust import data, evaluation
from jaxrobust.data import pipeline
from jaxrobust.methods.forwards import ForwardFn
from jaxrobust.training import parallel

# Votes are counted in slices of so many draws, so that a program stays small.
_DRAWS = 1000


class LogitJudge:
  """What calibration and certification take: logits, and votes under noise.

  Args:
    model: The model.
    forward: How it is evaluated; nothing in it may be random.
    is_image: Whether inputs are clipped to [0, 1].
    launcher: The devices.
    batch_size: The number of examples at a time, over all devices.
  """

  def __init__(
    self,
    model: nn.Module,
    forward: ForwardFn,
    is_image: bool,
    launcher: parallel.Launcher,
    batch_size: int,
  ):
    count = len(launcher.devices)
    self._size = -(-batch_size // count) * count
    self._launcher = launcher
    whole, split = False, True

    @functools.cache
    def vote(clip: bool) -> Callable[..., Any]:
      return launcher.map(
        evaluation.make_vote_step(model, forward, clip),
        sharded_in=(whole, split, whole, whole, whole, whole),
        sharded_out=True,
      )

    def logits(
      variables: Mapping[str, Any], batch: Mapping[str, jax.Array]
    ) -> jax.Array:
      seen = evaluation.logits_of(model, forward, variables, batch)
      return seen(data.as_float(batch["inputs"]))

    self._vote = vote
    self._logits = launcher.map(
      logits, sharded_in=(whole, split), sharded_out=True
    )

  def predictions(
    self, variables: Mapping[str, Any], dataset: data.Dataset, count: int
  ) -> evaluation.Predictions:
    """The logits of a split's first examples, as they are.

    Args:
      variables: On every device.
      dataset: The split.
      count: How many examples.

    Returns:
      Their logits and labels.
    """
    logits, labels = [], []
    for batch, rows in pipeline.first_batches(dataset, count, self._size):
      found = self._logits(variables, self._launcher.shard(batch))
      logits.append(self._launcher.gather(found)[:rows])
      labels.append(batch["labels"][:rows])
    return evaluation.Predictions(
      np.concatenate(logits), np.concatenate(labels)
    )

  def votes(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.Certified,
    dataset: data.Dataset,
    key: jax.Array,
  ) -> evaluation.Votes:
    """The votes of noisy copies of each example, of one smoothing.

    Args:
      variables: On every device.
      cell: The smoothing.
      dataset: The split, of which the first `cell.first` are judged.
      key: The run's key, on every device.

    Returns:
      The votes that select a class, and those that estimate its chance.
    """
    program, whole = self._vote(cell.clip), self._launcher.replicate
    std = whole(np.float32(cell.strength))

    def counted(batch, first, draws):
      total: Any = 0
      for done in range(first, first + draws, _DRAWS):
        some = min(_DRAWS, first + draws - done)
        numbers = whole(np.int32(done)), whole(np.int32(some))
        found = program(variables, batch, key, std, *numbers)
        total = total + self._launcher.gather(found)
      return total

    selection, estimation, labels = [], [], []
    for batch, rows in pipeline.first_batches(
      dataset, cell.count(len(dataset)), self._size
    ):
      placed = self._launcher.place_shards(batch)
      select = cell.selection_draws
      selection.append(counted(placed, 0, select)[:rows])
      estimation.append(counted(placed, select, cell.draws)[:rows])
      labels.append(batch["labels"][:rows])
    return evaluation.Votes(
      np.concatenate(selection),
      np.concatenate(estimation),
      np.concatenate(labels),
    )
