"""An exported model at work: images in, classes out."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

# Inputs at a time, by default.
BATCH_SIZE = 256


class Predictor:
  """A loaded model.

  Inputs are images [N, H, W, C], `uint8` or floats in [0, 1], or float series
  [N, T, C]; N is any number. They are computed in batches of one size, the
  last one filled up, so that a program is compiled once per size.

  Attributes:
    classes: One name per class, in the order of the logits; () in a regression.
    shape: The shape of one input.
    about: What the export says of itself: format, run, method, step, versions.

  Args:
    function: float32 inputs [N, ...] -> logits [N, K], or targets.
    about: The export's manifest.

  Example:
    >>> about = {"shape": [2, 1, 1], "classes": ["dark", "light"], "outputs": 2}
    >>> def mean(images):
    ...   light = images.mean((1, 2, 3))
    ...   return np.stack([0.5 - light, light - 0.5], axis=1)
    >>> model = Predictor(mean, about)
    >>> model.predict(np.full((3, 2, 1, 1), 200, np.uint8))
    array([1, 1, 1], dtype=int32)
    >>> labels = model.predict(np.zeros((1, 2, 1, 1)))
    >>> [model.classes[label] for label in labels]
    ['dark']
  """

  def __init__(
    self,
    function: Callable[[np.ndarray], Any],
    about: Mapping[str, Any],
  ):
    self._function = function
    self._outputs = int(about["outputs"])
    self.about = dict(about)
    self.classes = tuple(about["classes"])
    self.shape = tuple(about["shape"])

  def predict(
    self, images: np.ndarray, *, batch_size: int = BATCH_SIZE
  ) -> np.ndarray:
    """The class of each image; in a regression its targets.

    Args:
      images: As the class says.
      batch_size: How many at a time.

    Returns:
      int32 [N], places in `classes`; in a regression float32 [N, D].

    Raises:
      ValueError: If the images have another shape, type or range.
    """
    logits = self.logits(images, batch_size=batch_size)
    if not self.classes:
      return logits
    return logits.argmax(axis=1).astype(np.int32)

  def probabilities(
    self, images: np.ndarray, *, batch_size: int = BATCH_SIZE
  ) -> np.ndarray:
    """The softmax of the logits, in float64 and rounded once.

    They are the network's own confidence, which is not calibrated.

    Args:
      images: As the class says.
      batch_size: How many at a time.

    Returns:
      float32 [N, K], rows that sum to 1.

    Raises:
      ValueError: If the images have another shape, type or range, or the model
        is a regression.
    """
    if not self.classes:
      raise ValueError("probabilities: a regression has no classes")
    logits = self.logits(images, batch_size=batch_size).astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)

  def logits(
    self, images: np.ndarray, *, batch_size: int = BATCH_SIZE
  ) -> np.ndarray:
    """The logits of each image; in a regression its targets.

    Args:
      images: As the class says.
      batch_size: How many at a time.

    Returns:
      float32 [N, K].

    Raises:
      ValueError: If the images have another shape, type or range.
    """
    if batch_size < 1:
      raise ValueError(f"batch_size={batch_size}: must be at least 1")
    images = np.asarray(images)
    self._check(images)
    size = min(batch_size, len(images))
    parts = [np.zeros((0, self._outputs), np.float32)]
    for first in range(0, len(images), size or 1):
      batch = as_float(images[first : first + size])
      real = len(batch)
      if real < size:
        batch = np.concatenate([batch, np.repeat(batch[:1], size - real, 0)])
      parts.append(np.asarray(self._function(batch), np.float32)[:real])
    return np.concatenate(parts)

  def _check(self, images: np.ndarray) -> None:
    is_image = len(self.shape) == 3
    if images.ndim != len(self.shape) + 1 or images.shape[1:] != self.shape:
      wanted = ", ".join(("N", *map(str, self.shape)))
      raise ValueError(f"images of shape {images.shape}: must be [{wanted}]")
    if is_image and images.dtype == np.uint8:
      return
    if images.dtype.kind != "f":
      allowed = "uint8 or floats" if is_image else "floats"
      raise ValueError(f"images of dtype {images.dtype}: must be {allowed}")
    if not images.size:
      return
    low, high = float(images.min()), float(images.max())
    if not np.isfinite([low, high]).all():
      raise ValueError("images with NaN or infinity: must be finite")
    if is_image and (low < 0 or high > 1):
      raise ValueError(
        f"images from {low:g} to {high:g}: floats must lie in [0, 1]; uint8 is "
        "divided by 255"
      )


def as_float(images: np.ndarray) -> np.ndarray:
  """Images as the exported function takes them.

  Args:
    images: uint8 or floats.

  Returns:
    float32, uint8 divided by 255.

  Example:
    >>> as_float(np.asarray([0, 255], np.uint8))
    array([0., 1.], dtype=float32)
  """
  if images.dtype == np.uint8:
    return images.astype(np.float32) / np.float32(255)
  return images.astype(np.float32)
