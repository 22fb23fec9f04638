"""Batches of a split: shuffled, sharded, prefetched, resumable.

Grain repeats the epochs, reads ahead in threads and keeps the position; its
elements here are whole batches. Shuffling is one permutation per epoch and a
batch is one copy out of an array, because work per example in Python is too
slow; `benchmarks/loader.py` measures it beside Grain's own shuffle and batch.
"""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxrobust.data.dataset import Dataset
from jaxrobust.data.keys import Tag

Batch = dict[str, np.ndarray]


class Loader(Iterator[Batch]):
  """An iterator over batches of a split, with a position that can be saved.

  Each epoch visits every example exactly once. The last batch of an epoch is
  padded, so that all batches have one shape. A batch is a dict of

    * `inputs`: uint8 or float32 [B, ...], zeros where padded;
    * `labels`: int32 [B], or float32 [B, D] targets, 0 where padded;
    * `index`: int32 [B], positions in the split, -1 where padded;
    * `mask`: float32 [B], 1 for an example, 0 for padding,

  where B is the process's part of the global batch: process p of P has the
  rows from p B to (p + 1) B.

  Attributes:
    steps_per_epoch: batches in one epoch, ceil(N / batch_size).

  Example:
    >>> import numpy as np
    >>> images = np.zeros((5, 8, 8, 1), np.uint8)
    >>> dataset = Dataset("zeros", "test", images, np.arange(5), "abcde")
    >>> loader = Loader(dataset, batch_size=4, shuffle=False, epochs=1)
    >>> [batch["index"].tolist() for batch in loader]
    [[0, 1, 2, 3], [4, -1, -1, -1]]
  """

  def __init__(
    self,
    dataset: Dataset,
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: bool = True,
    epochs: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
    indices_only: bool = False,
  ):
    """Starts before the first batch.

    Args:
      dataset: the split to read.
      batch_size: examples per step, over all processes.
      seed: the run's seed; with the epoch it gives the order.
      shuffle: draw a new order each epoch, or keep the split's own.
      epochs: how many, or None for no end.
      process_index: which process this is, from 0.
      process_count: how many processes share each batch.
      indices_only: yield only `index` and `mask`, for a step that gathers
        inputs and labels from a copy on the accelerator.

    Raises:
      ValueError: if the batch size is not a positive multiple of
        `process_count`, or another number is out of its range.
    """
    import grain

    if process_count < 1 or not 0 <= process_index < process_count:
      raise ValueError(
        f"process_index is {process_index} of process_count {process_count}; "
        "it must be from 0 to process_count - 1"
      )
    if batch_size < 1 or batch_size % process_count:
      raise ValueError(
        f"batch_size is {batch_size}; it must be a positive multiple of "
        f"process_count, which is {process_count}"
      )
    if seed < 0:
      raise ValueError(f"seed is {seed}; it must be 0 or more")
    if epochs is not None and epochs < 1:
      raise ValueError(f"epochs is {epochs}; it must be positive, or None")
    size = len(dataset)
    self.steps_per_epoch = -(-size // batch_size)
    self._identity = {
      "examples": size,
      "batch_size": batch_size,
      "seed": seed,
      "shuffle": shuffle,
    }
    local_size = batch_size // process_count
    first_row = process_index * local_size

    # Two epochs meet where batches are read ahead.
    @functools.lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
      if not shuffle:
        return np.arange(size, dtype=np.int32)
      generator = np.random.default_rng([seed, Tag.SHUFFLE, epoch])
      return generator.permutation(size).astype(np.int32)

    def read(step: int, _: int) -> Batch:
      epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
      start = step_in_epoch * batch_size + first_row
      index = order(epoch)[start : start + local_size]
      return padded(dataset.at_epoch(epoch), index, local_size, indices_only)

    threads = 1 if indices_only else dataset.read_threads
    options = grain.ReadOptions(
      num_threads=threads, prefetch_buffer_size=max(4, 2 * threads)
    )
    steps = grain.MapDataset.range(self.steps_per_epoch).repeat(epochs)
    batches = steps.map_with_index(read).to_iter_dataset(options)
    self._iterator = iter(batches)

  def __iter__(self) -> "Loader":
    return self

  def __next__(self) -> Batch:
    return next(self._iterator)

  def get_state(self) -> dict[str, Any]:
    """The position after the last batch taken, as JSON-able values.

    It is the same on every process.
    """
    return {**self._identity, "position": self._iterator.get_state()}

  def set_state(self, state: dict[str, Any]):
    """Continues from a saved position.

    Args:
      state: what `get_state` returned, by a loader with the same data, batch
        size, seed and shuffling.

    Raises:
      ValueError: if that loader was different.
    """
    for name, value in self._identity.items():
      if state[name] != value:
        raise ValueError(
          f"state has {name}={state[name]!r}; this loader allows {value!r}"
        )
    self._iterator.set_state(state["position"])


def padded(
  dataset: Dataset, index: np.ndarray, size: int, indices_only: bool = False
) -> Batch:
  """The batch of some examples, with rows of padding to the given size.

  Args:
    dataset: the split.
    index: integer [n], positions in it.
    size: the rows of the batch, at least n.
    indices_only: as for `Loader`.

  Returns:
    A batch as those of `Loader`.

  Example:
    >>> images = np.zeros((5, 8, 8, 1), np.uint8)
    >>> dataset = Dataset("zeros", "test", images, np.arange(5), "abcde")
    >>> padded(dataset, np.asarray([3, 1]), size=3)["labels"].tolist()
    [3, 1, 0]
  """
  rows = len(index)
  batch = {
    "index": np.full(size, -1, np.int32),
    "mask": np.zeros(size, np.float32),
  }
  batch["index"][:rows] = index
  batch["mask"][:rows] = 1
  if indices_only:
    return batch
  if rows == size:
    inputs, labels = dataset.examples(index)
    return {"inputs": inputs, "labels": labels, **batch}
  # A process may have padding alone, and then nothing to read.
  example = dataset.no_labels
  labels = np.zeros((size, *example.shape[1:]), example.dtype)
  if rows:
    real, labels[:rows] = dataset.examples(index)
    inputs = np.zeros((size, *dataset.shape), real.dtype)
    inputs[:rows] = real
  else:
    inputs = np.zeros((size, *dataset.shape), dataset.dtype)
  return {"inputs": inputs, "labels": labels, **batch}


def first_batches(
  dataset: Dataset, count: int, size: int
) -> Iterator[tuple[Batch, int]]:
  """Batches of the first examples of a split, in order, the last one padded.

  Args:
    dataset: the split.
    count: how many examples.
    size: the rows of a batch.

  Yields:
    A batch as those of `Loader`, and how many of its rows are examples.

  Example:
    >>> images = np.zeros((5, 8, 8, 1), np.uint8)
    >>> dataset = Dataset("zeros", "test", images, np.arange(5), "abcde")
    >>> [rows for _, rows in first_batches(dataset, count=4, size=3)]
    [3, 1]
  """
  for first in range(0, count, size):
    index = np.arange(first, min(first + size, count))
    yield padded(dataset, index, size), len(index)
