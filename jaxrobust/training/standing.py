"""Examples under attack: batches of those that still stand.

What is found of an example depends on the example alone, so those that have
fallen can be left out, and the others can share batches as it suits. What an
attack keeps of each example between two passes lies on the host.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from jaxrobust import data
from jaxrobust.data import pipeline
from jaxrobust.training import parallel

# What is kept of the examples that are under attack at a time, in bytes.
_KEPT_BYTES = 2**28

Put = Callable[[Any], None]


class Standing:
  """Examples under attack, and what is known of each.

  Attributes:
    known: What `evaluation.judge` gives of each, and whatever else an attack
      keeps, arrays [N, ...] on the host; "hits" says who stands.

  Args:
    dataset: The split.
    launcher: The devices.
    known: As the attribute.
    positions: Of the examples in the split; by default they are its first.
  """

  def __init__(
    self,
    dataset: data.Dataset,
    launcher: parallel.Launcher,
    known: dict[str, np.ndarray],
    positions: np.ndarray | None = None,
  ):
    self.known = known
    self._dataset, self._launcher = dataset, launcher
    if positions is None:
      positions = np.arange(len(known["hits"]))
    self._positions = positions

  @property
  def shape(self) -> tuple[int, ...]:
    """Of an example."""
    return self._dataset.shape

  def batches(self, *sizes: int) -> Iterator[tuple[Any, Any, Put]]:
    """Batches of those that stand, padded.

    Args:
      sizes: Numbers of examples of a batch, over all devices, the largest
        first. The rest that does not fill the largest goes where it is padded
        least.

    Yields:
      A batch and what is known of its examples, both on the devices, and a
      function that takes what is known then.
    """
    standing = np.flatnonzero(self.known["hits"])
    first = 0
    while (left := len(standing) - first) > 0:
      size = sizes[0]
      if left < size:
        size = min(sizes, key=lambda size: -(-left // size) * size)
      chosen = standing[first : first + size]
      first += size
      batch = pipeline.padded(self._dataset, self._positions[chosen], size)
      before = {}
      for name, values in self.known.items():
        before[name] = np.zeros((size, *values.shape[1:]), values.dtype)
        before[name][: len(chosen)] = values[chosen]

      def put(judged: Mapping[str, Any], chosen: np.ndarray = chosen) -> None:
        for name, values in self._launcher.gather(dict(judged)).items():
          if name not in self.known:
            shape = len(self._positions), *values.shape[1:]
            self.known[name] = np.zeros(shape, values.dtype)
          self.known[name][chosen] = values[: len(chosen)]

      place = self._launcher.place_shards
      yield place(batch), place(before), put

  def parts(self, kept: int, size: int) -> Iterator["Standing"]:
    """Those that stand, in parts of which more can be kept in memory.

    Args:
      kept: How many arrays of an example's shape an attack keeps of each.
      size: The number of examples of a batch.

    Yields:
      Each part. What it knows comes here when the next is asked for, but for
      what is not known here.
    """
    standing = np.flatnonzero(self.known["hits"])
    each = 4 * kept * int(np.prod(self._dataset.shape))
    most = max(_KEPT_BYTES // each // size, 1) * size
    for first in range(0, len(standing), most):
      chosen = standing[first : first + most]
      part = Standing(
        self._dataset,
        self._launcher,
        {name: values[chosen] for name, values in self.known.items()},
        self._positions[chosen],
      )
      yield part
      for name, values in self.known.items():
        values[chosen] = part.known[name]

  def any_stands(self, found: Mapping[str, Any]) -> bool:
    """Whether an example of a batch stands, of what is found of it."""
    return bool(self._launcher.gather(found["hits"]).any())


def nothing_found(count: int) -> dict[str, np.ndarray]:
  """What `evaluation.judge` might give before anything is judged.

  Args:
    count: The number of examples.

  Returns:
    Its arrays; every example stands, and any judgement is worse.

  Example:
    >>> nothing_found(2)["hits"].tolist()
    [True, True]
  """
  return {
    "nll": np.full(count, -np.inf, np.float32),
    "confidence": np.zeros(count, np.float32),
    "hits": np.ones(count, bool),
  }
