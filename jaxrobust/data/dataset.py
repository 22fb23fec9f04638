"""One loaded split: in host arrays, or read on demand."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxrobust.data.errors import DataError


class Dataset:
  """One split of a data set, held in host arrays.

  Attributes:
    name: the label that result rows carry.
    split: the split expression that was loaded.
    class_names: one name per class.

  Example:
    >>> import numpy as np
    >>> images = np.zeros((3, 8, 8, 1), np.uint8)
    >>> dataset = Dataset("zeros", "train", images, np.arange(3), "abc")
    >>> len(dataset), dataset.gather(np.asarray([2, 0])).shape
    (3, (2, 8, 8, 1))
  """

  # Threads that a loader should use: a copy out of an array needs but one.
  read_threads = 1

  def __init__(
    self,
    name: str,
    split: str,
    inputs: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
  ):
    """Holds arrays; see `load` for reading and checking them.

    Args:
      name: the label that result rows carry.
      split: the split expression that was loaded.
      inputs: [N, H, W, C] uint8 or float32 in [0, 1], or [N, T, C] float32.
      labels: integer [N]; or float [N, D], the targets of a regression.
      class_names: one name per class; none for a regression.
    """
    self.name = name
    self.split = split
    self.class_names = tuple(class_names)
    self._inputs = inputs
    real_valued = labels.dtype.kind == "f"
    self._labels = labels.astype(np.float32 if real_valued else np.int32)

  def __len__(self) -> int:
    return len(self._labels)

  @property
  def shape(self) -> tuple[int, ...]:
    """The shape of one input."""
    return self._inputs.shape[1:]

  @property
  def dtype(self) -> np.dtype:
    """The dtype of the inputs: uint8 or float32."""
    return self._inputs.dtype

  @property
  def inputs(self) -> np.ndarray:
    """All inputs: uint8 or float32 [N, ...]."""
    return self._inputs

  @property
  def labels(self) -> np.ndarray:
    """All labels: int32 [N]; or targets: float32 [N, D]."""
    return self._labels

  @property
  def no_labels(self) -> np.ndarray:
    """Labels of no example, to tell their shape and dtype."""
    return self._labels[:0]

  @property
  def num_classes(self) -> int:
    """The number of classes, of which some may have no example here.

    It is 0 for a regression.
    """
    return len(self.class_names)

  def map_inputs(
    self, function: Callable[[np.ndarray], np.ndarray]
  ) -> "Dataset":
    """The same examples with other inputs of the same shape.

    Args:
      function: inputs [B, ...] -> inputs [B, ...].

    Returns:
      The new split.
    """
    inputs = function(self._inputs)
    names = self.class_names
    return Dataset(self.name, self.split, inputs, self._labels, names)

  def at_epoch(self, epoch: int) -> "Dataset":
    """What a loader reads in an epoch: this split, in every one.

    Args:
      epoch: its number, from 0.

    Returns:
      A split of as many examples, in the same order.
    """
    del epoch
    return self

  def gather(self, indices: np.ndarray) -> np.ndarray:
    """The inputs at some positions.

    Args:
      indices: integer [B], positions in this split.

    Returns:
      [B, ...], uint8 or float32.
    """
    return self.examples(indices)[0]

  def examples(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inputs and the labels at some positions."""
    return self._inputs[indices], self._labels[indices]


# Reads positions of a split: integer [B] -> (inputs [B, ...], labels [B]).
Reader = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class OnDemandDataset(Dataset):
  """One split of a data set that is read and decoded when it is asked for.

  It holds no array of inputs, and a loader reads several batches of it at a
  time, in threads.
  """

  read_threads = 8

  def __init__(
    self,
    name: str,
    split: str,
    read: Reader,
    size: int,
    shape: Sequence[int],
    class_names: Sequence[str],
    identity: str = "",
  ):
    """Holds the means to read a split.

    Args:
      name: the label that result rows carry.
      split: the split expression that was loaded.
      read: integer [B] positions -> (inputs [B, ...], labels [B]).
      size: the number of examples.
      shape: the shape of one input.
      class_names: one name per class.
      identity: what tells its files from others of the same name.
    """
    # The base class's arrays are replaced by the properties below.
    self.name = name
    self.split = split
    self.class_names = tuple(class_names)
    self.identity = identity
    self._read = read
    self._size = size
    self._shape = tuple(shape)
    self._all_labels = None

  def __len__(self) -> int:
    return self._size

  @property
  def shape(self) -> tuple[int, ...]:
    """The shape of one input."""
    return self._shape

  @property
  def dtype(self) -> np.dtype:
    """The dtype of the inputs: uint8 for images, float32 for series."""
    return np.dtype(np.uint8 if len(self._shape) == 3 else np.float32)

  @property
  def inputs(self) -> np.ndarray:
    """Refused: there is no such array."""
    raise DataError(
      f"{self.name} is read on demand and has no array of inputs; "
      "set config.data.cache=True (config.data.device_resident needs it)"
    )

  @property
  def no_labels(self) -> np.ndarray:
    """Labels of no example, to tell their shape and dtype."""
    return np.zeros(0, np.int32)

  @property
  def labels(self) -> np.ndarray:
    """All labels: int32 [N]; reads the whole split the first time."""
    if self._all_labels is None:
      chunks = np.array_split(np.arange(self._size), -(-self._size // 256))
      labels = [self.examples(chunk)[1] for chunk in chunks]
      self._all_labels = np.concatenate(labels)
    return self._all_labels

  def map_inputs(self, function: Callable[[np.ndarray], np.ndarray]) -> Dataset:
    """The same examples with other inputs of the same shape."""

    def read(indices):
      inputs, labels = self._read(indices)
      return function(inputs), labels

    return OnDemandDataset(
      self.name,
      self.split,
      read,
      self._size,
      self._shape,
      self.class_names,
      self.identity,
    )

  def examples(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inputs and the labels, int32 [B], at some positions."""
    inputs, labels = self._read(indices)
    check_inputs(self.name, inputs, self._shape)
    check_labels(self.name, labels, self.num_classes)
    return inputs, labels.astype(np.int32)


class EpochDataset(Dataset):
  """One split whose inputs change from epoch to epoch.

  It has no array of inputs that would do for all epochs.

  Example:
    >>> images = np.zeros((3, 8, 8, 1), np.uint8)
    >>> dark, light = (
    ...   Dataset("some", "train", images + grey, np.arange(3), "abc")
    ...   for grey in (0, 9)
    ... )
    >>> changing = EpochDataset(dark, lambda epoch: light if epoch else dark)
    >>> [int(changing.at_epoch(e).inputs.max()) for e in (0, 1)]
    [0, 9]
  """

  def __init__(self, first: Dataset, of_epoch: Callable[[int], Dataset]):
    """Holds the splits.

    Args:
      first: one of them, for the labels and all that does not change.
      of_epoch: epoch, from 0 -> the split that is read in it.
    """
    # The base class's arrays are replaced by the properties below.
    self.name = first.name
    self.split = first.split
    self.class_names = first.class_names
    self.read_threads = first.read_threads
    self._first = first
    self._of_epoch = of_epoch

  def __len__(self) -> int:
    return len(self._first)

  @property
  def shape(self) -> tuple[int, ...]:
    """The shape of one input."""
    return self._first.shape

  @property
  def dtype(self) -> np.dtype:
    """The dtype of the inputs."""
    return self._of_epoch(0).dtype

  @property
  def inputs(self) -> np.ndarray:
    """Refused: there is no one such array."""
    raise DataError(
      f"{self.name} changes from epoch to epoch and has no one array of "
      "inputs; set config.data.device_resident=False"
    )

  @property
  def labels(self) -> np.ndarray:
    """All labels: int32 [N]; or targets: float32 [N, D]."""
    return self._first.labels

  @property
  def no_labels(self) -> np.ndarray:
    """Labels of no example, to tell their shape and dtype."""
    return self._first.no_labels

  def at_epoch(self, epoch: int) -> Dataset:
    """The split that is read in an epoch."""
    return self._of_epoch(epoch)

  def map_inputs(self, function: Callable[[np.ndarray], np.ndarray]) -> Dataset:
    """The same examples with other inputs of the same shape."""
    return EpochDataset(
      self._first.map_inputs(function),
      lambda epoch: self._of_epoch(epoch).map_inputs(function),
    )

  def examples(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those of the first epoch."""
    return self._of_epoch(0).examples(indices)


def check_inputs(name: str, inputs: np.ndarray, shape: Sequence[int]):
  """Refuses inputs that are not what the config declares.

  Args:
    name: the data set, for the message.
    inputs: the array to check.
    shape: the declared shape of one input, (H, W, C) or (T, C).

  Raises:
    DataError: if the shape, the dtype or a value is not allowed.
  """
  shape = tuple(shape)
  if len(inputs) == 0:
    raise DataError(f"{name} has no examples in this split")
  if inputs.shape[1:] != shape:
    raise DataError(
      f"config.data.shape is {shape}, but {name} has inputs of shape "
      f"{inputs.shape[1:]}"
    )
  is_image = len(shape) == 3
  if inputs.dtype == np.uint8 and is_image:
    return
  if inputs.dtype != np.float32:
    allowed = "uint8, float32" if is_image else "float32"
    raise DataError(
      f"{name} has inputs of dtype {inputs.dtype}; allowed: {allowed}"
    )
  low, high = inputs.min(), inputs.max()
  if not np.isfinite(low) or not np.isfinite(high):
    raise DataError(f"{name} has inputs that are NaN or infinite")
  if is_image and (low < 0 or high > 1):
    raise DataError(
      f"{name} has float images from {low:g} to {high:g}; allowed: 0 to 1 "
      "(or uint8)"
    )


def check_labels(name: str, labels: np.ndarray, num_classes: int):
  """Refuses labels that are not integers from 0 to num_classes - 1.

  Args:
    name: the data set, for the message.
    labels: the array to check.
    num_classes: the declared number of classes.

  Raises:
    DataError: if the rank, the dtype or a value is not allowed.
  """
  if labels.ndim != 1 or labels.dtype.kind not in "iu":
    raise DataError(
      f"{name} has labels of shape {labels.shape} and dtype {labels.dtype}; "
      "allowed: a vector of integers"
    )
  low, high = labels.min(), labels.max()
  if low < 0 or high >= num_classes:
    raise DataError(
      f"{name} has labels from {low} to {high}; allowed by "
      f"config.data.num_classes={num_classes}: 0 to {num_classes - 1}"
    )


def check_targets(name: str, targets: np.ndarray, count: int):
  """Refuses targets that are not finite numbers, so many per example.

  Args:
    name: the data set, for the message.
    targets: the array to check.
    count: the declared number of targets of an example.

  Raises:
    DataError: if the shape, the dtype or a value is not allowed.
  """
  if targets.ndim != 2 or targets.dtype.kind != "f":
    raise DataError(
      f"{name} has targets of shape {targets.shape} and dtype "
      f"{targets.dtype}; allowed: floats [N, D]"
    )
  if targets.shape[1] != count:
    raise DataError(
      f"config.data.targets is {count}, but {name} has {targets.shape[1]}"
    )
  if not np.isfinite(targets).all():
    raise DataError(f"{name} has targets that are NaN or infinite")
