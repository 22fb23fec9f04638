"""Measuring the geometry of activations on all devices, in two passes."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxrobust import data, evaluation
from jaxrobust.data import pipeline
from jaxrobust.methods.forwards import ForwardFn
from jaxrobust.training import parallel


class GeometryJudge:
  """Measures views of a split, compiled once for all strengths of the noise.

  Args:
    model: The model.
    forward: How it is evaluated: what a smoother of its own leaves is seen.
    is_image: Whether noisy inputs are clipped to [0, 1].
    num_classes: The number of classes.
    launcher: The devices.
    batch_size: The examples at a time, over all devices.
  """

  def __init__(
    self,
    model: nn.Module,
    forward: ForwardFn,
    is_image: bool,
    num_classes: int,
    launcher: parallel.Launcher,
    batch_size: int,
  ):
    self._launcher = launcher
    self._num_classes = num_classes
    count = len(launcher.devices)
    self._batch_size = -(-batch_size // count) * count
    steps = evaluation.make_activation_steps(
      model, is_image, num_classes, getattr(forward, "smooth", None)
    )
    self._sums = launcher.map(
      steps.sums,
      sharded_in=(False, True, False, False, False),
      sharded_out=True,
    )
    self._spread = launcher.map(
      steps.spread,
      sharded_in=(False, True, False, False, False, False),
      sharded_out=True,
    )

  def __call__(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.Geometry,
    dataset: data.Dataset,
    key: jax.Array,
    tag: jax.Array,
  ) -> evaluation.Activations:
    """The activations of one view.

    Args:
      variables: On every device.
      cell: The view.
      dataset: The split, of which the first `cell.first` are measured.
      key: The run's key, on every device.
      tag: The purpose of the noise, on every device.

    Returns:
      What the two passes found.
    """
    gather, whole = self._launcher.gather, self._launcher.replicate
    noise, count = whole(cell.noise), cell.count(len(dataset))
    counts = np.zeros(self._num_classes, np.int64)
    sums: dict[str, np.ndarray] = {}
    for batch, real in pipeline.first_batches(dataset, count, self._batch_size):
      counts += np.bincount(batch["labels"][:real], minlength=self._num_classes)
      shard = self._launcher.shard(batch)
      found = gather(self._sums(variables, shard, key, tag, noise))
      for name, values in found.items():
        total = values.sum(axis=0, dtype=np.float64)
        sums[name] = sums[name] + total if name in sums else total
    divisor = np.maximum(counts, 1)[:, None]
    means = {name: total / divisor for name, total in sums.items()}
    placed = whole({k: v.astype(np.float32) for k, v in means.items()})
    parts = []
    for batch, real in pipeline.first_batches(dataset, count, self._batch_size):
      shard = self._launcher.shard(batch)
      found = self._spread(variables, shard, key, tag, noise, placed)
      parts.append(jax.tree.map(lambda x, n=real: x[:n], gather(found)))
    spread = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return evaluation.Activations(
      counts, means, spread["squares"], spread.get("margins")
    )
