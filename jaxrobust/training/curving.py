"""Measuring curvature on all devices, a few images at a time.

The probes of an image stand in a batch with it, so that few images fill one.
"""

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

# Larger batches are slower on a CPU, where the activations leave the cache.
_BATCH = 250


class CurvatureJudge:
  """Measures curvature, compiled once per kind of measurement.

  Args:
    model: The model.
    forward: How it is evaluated.
    is_image: Whether noisy inputs stay in [0, 1] where they are counted.
    launcher: The devices.
    batch_size: The most inputs at a time on one device, probes included.
    probes: How many probes an estimate has.
  """

  def __init__(
    self,
    model: nn.Module,
    forward: ForwardFn,
    is_image: bool,
    launcher: parallel.Launcher,
    batch_size: int,
    probes: int,
  ):
    self._launcher = launcher
    if launcher.devices[0].platform == "cpu":
      batch_size = min(batch_size, _BATCH)
    each = max(batch_size // probes, 1)
    self._batch_size = each * len(launcher.devices)
    steps = evaluation.make_curvature_steps(model, forward, is_image, probes)

    @functools.cache
    def program(kind: str) -> Callable[..., Any]:
      return launcher.map(
        getattr(steps, kind),
        sharded_in=(False, True, False, False),
        sharded_out=True,
      )

    self._program = program

  def __call__(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.Curvature,
    dataset: data.Dataset,
    key: jax.Array,
  ) -> dict[str, np.ndarray]:
    """The numbers of each example of one measurement, [n] each.

    Args:
      variables: On every device.
      cell: The measurement.
      dataset: The split, of which the first `cell.first` are measured.
      key: The run's key, on every device.

    Returns:
      What the function of its kind in `evaluation.CurvatureSteps` gives.
    """
    program = self._program(cell.kind)
    strength = self._launcher.replicate(np.float32(cell.strength))
    found = []
    for batch, real in pipeline.first_batches(
      dataset, cell.count(len(dataset)), self._batch_size
    ):
      measured = program(variables, self._launcher.shard(batch), key, strength)
      whole = self._launcher.gather(measured)
      found.append({k: v[:real] for k, v in whole.items()})
    return {k: np.concatenate([part[k] for part in found]) for k in found[0]}
