"""Standardisation of series: each by itself, or by the training split."""

from collections.abc import Callable

import numpy as np

from jaxrobust.data.dataset import Dataset
from jaxrobust.data.errors import DataError

STANDARDISE = ("none", "series", "dataset")


def standardised(
  dataset: Dataset, how: str, load_train: Callable[[], Dataset]
) -> Dataset:
  """Brings series to mean 0 and standard deviation 1, channel by channel.

  It is done once, as data are loaded and so before any noise, whose strength
  is then in units of the standard deviation.

  Args:
    dataset: a split of series [T, C].
    how: 'none'; 'series', each by its own mean and standard deviation over
      time; or 'dataset', all by those of the training split, over examples
      and time.
    load_train: gives the training split; called for 'dataset' only.

  Returns:
    The split, standardised. A channel that does not vary becomes 0.

  Raises:
    DataError: if `how` is unknown, or if inputs are images, which have
      config.model.mean and .std.

  Example:
    >>> series = np.asarray([[[1.0], [3.0]]], np.float32)
    >>> dataset = Dataset("set", "train", series, np.asarray([0]), "a")
    >>> standardised(dataset, "series", lambda: dataset).inputs[0, :, 0]
    array([-1.,  1.], dtype=float32)
  """
  if how not in STANDARDISE:
    raise DataError(
      f"config.data.standardise is {how!r}; allowed: {', '.join(STANDARDISE)}"
    )
  if how == "none":
    return dataset
  if len(dataset.shape) != 2:
    raise DataError(
      f"config.data.standardise is {how!r}; allowed for images: 'none', and "
      "config.model.mean and .std"
    )
  if how == "series":
    return dataset.map_inputs(lambda series: _scaled(series, *_moments(series)))
  train = load_train()
  # Examples laid end to end are one long series.
  whole = train.gather(np.arange(len(train))).reshape(1, -1, train.shape[1])
  moments = _moments(whole)
  return dataset.map_inputs(lambda series: _scaled(series, *moments))


def _moments(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Mean and standard deviation over time: float64 [N, 1, C] each."""
  mean = series.mean(1, keepdims=True, dtype=np.float64)
  return mean, series.std(1, keepdims=True, dtype=np.float64)


def _scaled(
  series: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
  # Rounding leaves a constant channel a spread of about 1e-7 of its level.
  varies = std > 1e-6 * np.abs(mean)
  scaled = (series - mean) / np.where(varies, std, 1.0)
  return np.where(varies, scaled, 0.0).astype(np.float32)
