"""The official corrupted test sets: CIFAR-10-C, CIFAR-100-C and MNIST-C.

A corruption is always named, and so is its severity where there are several:
the sets have no default. In TFDS a set without a config is one corruption by
chance of the alphabet, and the .npy files hold five severities in a row.
"""

import pathlib

import numpy as np

from jaxrobust.data.dataset import Dataset
from jaxrobust.data.errors import DataError

SEVERITIES = (1, 2, 3, 4, 5)
# What TFDS calls otherwise.
_TFDS_NAMES = {
  "elastic_transform": "elastic",
  "glass_blur": "frosted_glass_blur",
}
# Of the sets that TFDS has: the shape of an image, and whether a corruption
# comes in five severities.
_TFDS_SETS = {
  "cifar10_corrupted": ((32, 32, 3), True),
  "mnist_corrupted": ((28, 28, 1), False),
}


def corrupted_npy(
  folder: str | pathlib.Path,
  corruption: str,
  severity: int,
  *,
  num_classes: int = 10,
) -> Dataset:
  """Reads one corruption at one severity from CIFAR-10-C's or CIFAR-100-C's.

  The folder is what the archives unpack to: a file CORRUPTION.npy for each,
  uint8 [50000, 32, 32, 3], that holds the test set at severity 1, then at 2,
  and so on; and labels.npy, the test set's labels five times over.

  Args:
    folder: That has the files.
    corruption: As "fog"; see `corruptions.COMMON` and `corruptions.EXTRA`.
    severity: From 1 to 5.
    num_classes: 10, or 100 for CIFAR-100-C.

  Returns:
    The test set: uint8 images, in the order of the clean one.

  Raises:
    DataError: If a file is absent, damaged, or holds something else.

  References:
    D. Hendrycks and T. Dietterich, Benchmarking Neural Network Robustness to
    Common Corruptions and Perturbations, ICLR 2019.
  """
  folder = pathlib.Path(folder).expanduser()
  _check_severity(severity)
  file = folder / f"{corruption}.npy"
  if not file.exists():
    there = sorted(path.stem for path in folder.glob("*.npy"))
    raise DataError(
      f"{file}: no such file; the folder has: "
      f"{', '.join(name for name in there if name != 'labels') or 'none'}"
    )
  images = _load(file)
  labels = _load(folder / "labels.npy")
  if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3):
    raise DataError(
      f"{file} is {images.dtype} {list(images.shape)}; must be uint8 "
      "[N, 32, 32, 3]"
    )
  labels_file = folder / "labels.npy"
  if labels.dtype.kind not in "iu" or labels.ndim != 1:
    raise DataError(
      f"{labels_file} is {labels.dtype} {list(labels.shape)}; must be whole "
      "numbers [N]"
    )
  if len(images) != len(labels):
    raise DataError(
      f"{file} has {len(images)} images, {labels_file} {len(labels)} labels"
    )
  size, rest = divmod(len(images), len(SEVERITIES))
  if rest or not size:
    raise DataError(
      f"{file} has {len(images)} images; must be five times a test set's"
    )
  labels = np.asarray(labels).reshape((len(SEVERITIES), size))
  for number, block in zip(SEVERITIES, labels, strict=True):
    if (block != labels[0]).any():
      raise DataError(
        f"{labels_file}: labels of severity {number} differ from those of 1; "
        "the file must be one test set's labels five times over"
      )
  if labels.min() < 0 or labels.max() >= num_classes:
    raise DataError(
      f"{labels_file} has labels from {labels.min()} to {labels.max()}; must "
      f"be from 0 to {num_classes - 1}"
    )
  first = (int(severity) - 1) * size
  return Dataset(
    f"{folder.name}/{corruption}/{severity}",
    "test",
    np.array(images[first : first + size]),
    labels[0],
    list(map(str, range(num_classes))),
  )


def corrupted_tfds(
  name: str,
  corruption: str,
  severity: int | None = None,
  *,
  data_dir: str = "",
) -> Dataset:
  """Reads one corruption of a corrupted test set that TFDS prepared.

  Args:
    name: "mnist_corrupted" or "cifar10_corrupted".
    corruption: As "fog"; TFDS' "elastic" and "frosted_glass_blur" are
      "elastic_transform" and "glass_blur" here, as elsewhere.
    severity: From 1 to 5; None for mnist_corrupted, which has but one.
    data_dir: TFDS' root; "" for its default.

  Returns:
    The test set: uint8 images.

  Raises:
    DataError: If it is absent or damaged, or a severity is missing or too much.
  """
  # Imported here because the module's user needs tensorflow_datasets.
  from jaxrobust.data.tfds_source import TfdsSplit

  if name not in _TFDS_SETS:
    raise DataError(
      f"data set {name!r}: must be one of {', '.join(sorted(_TFDS_SETS))}"
    )
  shape, graded = _TFDS_SETS[name]
  if graded:
    _check_severity(severity)
    config = f"{_TFDS_NAMES.get(corruption, corruption)}_{severity}"
  else:
    if severity is not None:
      raise DataError(
        f"severity is {severity!r}; must be None for {name}, which has but one"
      )
    config = corruption
  if not corruption:
    raise DataError(f"corruption is {corruption!r}; {name} needs one's name")
  source = TfdsSplit(f"{name}/{config}", data_dir, "test", shape)
  if source.shape != shape:
    raise DataError(
      f"{name}/{config} has inputs of shape {source.shape}; must be {shape}"
    )
  images, labels = source.read(np.arange(source.size))
  return Dataset(f"{name}/{config}", "test", images, labels, source.class_names)


def _check_severity(severity: int | None) -> None:
  if severity not in SEVERITIES:
    raise DataError(f"severity is {severity!r}; must be 1, 2, 3, 4 or 5")


def _load(file: pathlib.Path) -> np.ndarray:
  try:
    # Of the 150 MB only one severity is read.
    return np.load(file, mmap_mode="r")
  except FileNotFoundError as error:
    raise DataError(f"{file}: no such file") from error
  # A damaged file raises ValueError or EOFError; pickles are refused.
  except Exception as error:
    raise DataError(f"{file} is no readable .npy file: {error}") from error
