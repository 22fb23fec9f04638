"""Data that needs no download: scikit-learn's digits and synthetic series."""

from collections.abc import Sequence

import numpy as np

from jaxrobust.data.errors import DataError

Arrays = tuple[np.ndarray, np.ndarray]

_DIGITS = 10
_SERIES_EXAMPLES = {"train": 512, "test": 256}


def digits(split: str) -> Arrays:
  """The 8x8 handwritten digits that ship with scikit-learn.

  Every fifth example of each class is for testing: 1,442 and 355 examples,
  always the same.

  Args:
    split: 'train' or 'test'.

  Returns:
    (images uint8 [N, 8, 8, 1], labels int32 [N]).

  Raises:
    DataError: for another split.

  Example:
    >>> images, labels = digits("test")
    >>> images.shape, images.max()
    ((355, 8, 8, 1), np.uint8(255))

  References:
    Alpaydin, Kaynak: Optical Recognition of Handwritten Digits, UCI, 1998.
  """
  from sklearn import datasets

  _check_split("digits", split)
  images, labels = map(np.asarray, datasets.load_digits(return_X_y=True))
  # How many examples of the same class came before each example.
  rank = np.zeros(len(labels), np.int64)
  for label in range(_DIGITS):
    members = labels == label
    rank[members] = np.arange(members.sum())
  chosen = (rank % 5 == 4) == (split == "test")
  # The source's grey levels run from 0 to 16.
  pixels = np.round(images[chosen] * (255 / 16)).astype(np.uint8)
  return pixels.reshape(-1, 8, 8, 1), labels[chosen].astype(np.int32)


def digits_as(shape: Sequence[int], num_classes: int, split: str) -> Arrays:
  """The digits in the shape and with the class count of another data set.

  Pixels are repeated to the declared size and channels. With more than ten
  classes, class 10 g + d is digit d rolled round by g rows, then columns; with
  fewer, digits share classes.

  Args:
    shape: (H, W, C) of the images wanted.
    num_classes: the number of classes wanted.
    split: 'test', or any other name for the digits' training split.

  Returns:
    (images uint8 [N, H, W, C], labels int32 [N]).

  Example:
    >>> images, labels = digits_as((32, 32, 3), 100, "train")
    >>> images.shape, len(set(labels.tolist()))
    ((1442, 32, 32, 3), 100)
  """
  images, labels = digits("test" if split == "test" else "train")
  height, width, channels = shape
  groups = -(-num_classes // _DIGITS)
  # Examples of one digit take turns in the groups.
  group = np.empty(len(labels), np.int64)
  for digit in range(_DIGITS):
    members = np.flatnonzero(labels == digit)
    # The last group may lack the higher digits.
    available = max(1, groups - (digit + _DIGITS * (groups - 1) >= num_classes))
    group[members] = np.arange(len(members)) % available
  for shift in range(1, groups):
    rolled = images[group == shift]
    images[group == shift] = np.roll(rolled, divmod(shift, 8)[::-1], (1, 2))
  rows = np.arange(height) * 8 // height
  columns = np.arange(width) * 8 // width
  images = images[:, rows[:, None], columns[None, :]]
  labels = (labels + _DIGITS * group) % num_classes
  return np.repeat(images, channels, axis=-1), labels.astype(np.int32)


def synthetic_series(
  shape: Sequence[int], num_classes: int, split: str
) -> Arrays:
  """Sinusoids in noise, whose frequency tells the class.

      x[t, c] = sin(2 pi (f_k t / T + c / C) + phase) + 0.3 noise,
      f_k = 1 + (T / 2 - 2) k / K cycles for class k of K.

  Phases and noise are drawn once for all, from a fixed seed per split.

  Args:
    shape: (T, C): time steps and channels.
    num_classes: K.
    split: 'test', or any other name for the training split.

  Returns:
    (series float32 [N, T, C], labels int32 [N]).

  Example:
    >>> series, labels = synthetic_series((96, 1), 2, "train")
    >>> series.shape, np.bincount(labels).tolist()
    ((512, 96, 1), [256, 256])
  """
  split = "test" if split == "test" else "train"
  size = _SERIES_EXAMPLES[split]
  steps, channels = shape
  generator = np.random.default_rng([20_240_926, split == "test"])
  labels = np.arange(size) % num_classes
  cycles = 1 + max(steps / 2 - 2, 0) * labels / num_classes
  time = np.arange(steps)[:, None] / steps
  channel = np.arange(channels) / channels
  turns = cycles[:, None, None] * time + channel
  phase = generator.uniform(0, 2 * np.pi, (size, 1, 1))
  series = np.sin(2 * np.pi * turns + phase)
  series += 0.3 * generator.standard_normal(series.shape)
  return series.astype(np.float32), labels.astype(np.int32)


def _check_split(source: str, split: str):
  if split not in ("train", "test"):
    raise DataError(
      f"{source} has no split {split!r}; allowed: 'train', 'test'"
    )
