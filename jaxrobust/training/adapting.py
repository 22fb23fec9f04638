"""Carrying out the adaptation to test inputs without labels, on all devices."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import ml_collections
import numpy as np

from jaxrobust import data, evaluation
from jaxrobust.data import pipeline
from jaxrobust.methods.forwards import ForwardFn
from jaxrobust.training import parallel

# A batch on the devices -> its perturbed inputs, there.
PerturbFn = Callable[[Any], Any]


class Adapter:
  """Adapts a network to the inputs of one cell, compiled once for all cells.

  Batches are of as many examples whatever the devices, so that the devices
  change nothing.

  Args:
    config: A run's config: `eval.batch_size`, of AdaBN, and `eval.tent_*`.
    model: The model.
    forward: How it is evaluated.
    launcher: The devices.
    judge: (logits [N, K], labels) -> per-example numbers.
  """

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    model: nn.Module,
    forward: ForwardFn,
    launcher: parallel.Launcher,
    judge: Callable[..., dict[str, jax.Array]],
  ):
    self._launcher = launcher
    self._adabn_size = config.eval.batch_size
    self._tent_size = config.eval.tent_batch_size
    self._layers = evaluation.norm_layers(model, tuple(config.data.shape))
    self._optimizer = evaluation.tent_optimizer(
      config.eval.tent_optimizer, config.eval.tent_learning_rate
    )
    whole, split = False, True
    self._statistics = launcher.map(
      evaluation.make_statistics_step(
        model, forward, self._layers, parallel.AXIS
      ),
      sharded_in=(whole, split, split),
      sharded_out=False,
    )
    self._learn = launcher.map(
      evaluation.make_tent_step(
        model, forward, self._optimizer, parallel.AXIS, judge
      ),
      sharded_in=(whole, whole, whole, split, split),
      sharded_out=(split, whole, whole, whole),
    )

  def adabn(
    self,
    variables: Mapping[str, Any],
    dataset: data.Dataset,
    perturb: PerturbFn,
  ) -> dict[str, Any]:
    """The network with the statistics of a split, perturbed as it is.

    In one pass, in which every layer is fed by layers that are normalised by
    the statistics of the batch, as in training. The statistics of the batches
    are pooled: those of the first layer are the split's exactly, and those of
    the others too if it fits into one batch.

    Args:
      variables: On every device.
      dataset: The split; its labels are not looked at.
      perturb: Gives the perturbed inputs.

    Returns:
      The variables with other `batch_stats`, on every device.
    """
    counts, parts = [], []
    for batch, real in self._batches(dataset, self._adabn_size):
      found = self._statistics(variables, batch, perturb(batch))
      counts.append(real)
      parts.append(jax.device_get(found))
    pooled = evaluation.pool_statistics(counts, parts)
    statistics = evaluation.with_arrays(
      variables["batch_stats"], self._launcher.replicate(pooled)
    )
    return {**variables, "batch_stats": statistics}

  def tent(
    self,
    variables: Mapping[str, Any],
    dataset: data.Dataset,
    perturb: PerturbFn,
  ) -> dict[str, np.ndarray]:
    """The numbers of each example of a split, [N] each, judged as it learns.

    One update per batch, in the order of the split, from the trained network
    to the end of the split; every example is predicted before it is learned
    from.

    Args:
      variables: On every device.
      dataset: The split; its labels serve to judge only.
      perturb: Gives the perturbed inputs.

    Returns:
      What `judge` gives.
    """
    arrays = evaluation.norm_parameters(variables["params"], self._layers)
    opt_state = self._launcher.replicate(self._optimizer.init(arrays))
    found = []
    for batch, real in self._batches(dataset, self._tent_size):
      judged, arrays, opt_state, _ = self._learn(
        variables, arrays, opt_state, batch, perturb(batch)
      )
      whole = self._launcher.gather(judged)
      found.append({name: values[:real] for name, values in whole.items()})
    return {k: np.concatenate([part[k] for part in found]) for k in found[0]}

  def _batches(
    self, dataset: data.Dataset, size: int
  ) -> Iterator[tuple[Any, int]]:
    """Batches in order on the devices, and how many of their rows are real."""
    count = len(self._launcher.devices)
    rows = -(-size // count) * count
    for first in range(0, len(dataset), size):
      index = np.arange(first, min(first + size, len(dataset)))
      batch = pipeline.padded(dataset, index, rows)
      yield self._launcher.place_shards(batch), len(index)
