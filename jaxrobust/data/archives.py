"""Readers of the archives that the authors of data sets publish."""

import dataclasses
import gzip
import pathlib
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from jaxrobust.data.errors import DataError

# The archives of one data set by file name.
Files = Mapping[str, pathlib.Path]


@dataclasses.dataclass(frozen=True)
class Table:
  """One split, in its published order.

  Attributes:
    images: uint8 [N, H, W, C].
    labels: feature name -> integer [N].
    id_format: how an example's `id` is made of its position; '' for none.
  """

  images: np.ndarray
  labels: Mapping[str, np.ndarray]
  id_format: str = ""

  def __len__(self) -> int:
    return len(self.images)

  def examples(self) -> Iterator[dict[str, Any]]:
    """The examples, as features by name."""
    for position, image in enumerate(self.images):
      example: dict[str, Any] = {"image": image}
      for name, values in self.labels.items():
        example[name] = int(values[position])
      if self.id_format:
        example["id"] = self.id_format.format(position)
      yield example


@dataclasses.dataclass(frozen=True)
class Contents:
  """What the archives of a data set hold.

  Attributes:
    splits: split name -> a function that reads it, so that no two splits need
      be in memory at once.
    class_names: label feature -> names, where the archives state them.
  """

  splits: Mapping[str, Callable[[], Table]]
  class_names: Mapping[str, list[str]] = dataclasses.field(default_factory=dict)


def read_idx(files: Files) -> Contents:
  """MNIST and its like: gzipped arrays, one file each.

  References:
    LeCun, Cortes, Burges: The MNIST database of handwritten digits.
  """

  def table(prefix: str) -> Table:
    images = _idx_array(files[f"{prefix}-images-idx3-ubyte.gz"])
    labels = _idx_array(files[f"{prefix}-labels-idx1-ubyte.gz"])
    return Table(images[..., None], {"label": labels})

  return Contents(
    {"train": lambda: table("train"), "test": lambda: table("t10k")}
  )


def _idx_array(path: pathlib.Path) -> np.ndarray:
  try:
    content = gzip.decompress(path.read_bytes())
  except (OSError, EOFError) as error:
    raise DataError(f"{path} is no gzip file: {error}") from error
  # Two zero bytes, the type (8: unsigned byte), the rank, the dimensions.
  rank = content[3] if len(content) > 3 else 0
  shape = np.frombuffer(content[4 : 4 + 4 * rank], ">u4").tolist()
  pixels = np.frombuffer(content[4 + 4 * rank :], np.uint8)
  if content[:3] != b"\0\0\x08" or pixels.size != np.prod(shape, dtype=int):
    raise DataError(f"{path} is no idx file of unsigned bytes")
  return pixels.reshape(shape)


def read_cifar10(files: Files) -> Contents:
  """CIFAR-10's binary version: a label byte and 3,072 pixels a record.

  References:
    Krizhevsky: Learning multiple layers of features from tiny images, 2009.
  """
  path = files["cifar-10-binary.tar.gz"]
  batches = [f"data_batch_{number}.bin" for number in range(1, 6)]
  members = _tar_members(path)
  names = _lines(members, path, "batches.meta.txt")
  return Contents(
    {
      "train": lambda: _cifar_table(members, path, batches, ["label"], "train"),
      "test": lambda: _cifar_table(
        members, path, ["test_batch.bin"], ["label"], "test"
      ),
    },
    {"label": names},
  )


def read_cifar100(files: Files) -> Contents:
  """CIFAR-100's binary version: as CIFAR-10's, after a coarse label byte."""
  path = files["cifar-100-binary.tar.gz"]
  members = _tar_members(path)
  labels = ["coarse_label", "label"]
  return Contents(
    {
      split: lambda split=split: _cifar_table(
        members, path, [f"{split}.bin"], labels, split
      )
      for split in ("train", "test")
    },
    {
      "coarse_label": _lines(members, path, "coarse_label_names.txt"),
      "label": _lines(members, path, "fine_label_names.txt"),
    },
  )


def _tar_members(path: pathlib.Path) -> dict[str, bytes]:
  """The files of a tar archive by their names without folders."""
  try:
    with tarfile.open(path) as archive:
      return {
        pathlib.PurePosixPath(member.name).name: file.read()
        for member in archive
        if (file := archive.extractfile(member)) is not None
      }
  except (OSError, EOFError, tarfile.TarError) as error:
    raise DataError(f"{path} is no tar archive: {error}") from error


def _member(
  members: Mapping[str, bytes], path: pathlib.Path, name: str
) -> bytes:
  if name not in members:
    raise DataError(f"{path} has no file {name}; it has: {sorted(members)}")
  return members[name]


def _lines(
  members: Mapping[str, bytes], path: pathlib.Path, name: str
) -> list[str]:
  text = _member(members, path, name).decode()
  return [line for line in text.split("\n") if line]


def _cifar_table(
  members: Mapping[str, bytes],
  path: pathlib.Path,
  names: list[str],
  labels: list[str],
  split: str,
) -> Table:
  content = b"".join(_member(members, path, name) for name in names)
  width = len(labels) + 3 * 32 * 32
  if len(content) % width:
    raise DataError(f"{path}: {names} are no records of {width} bytes")
  records = np.frombuffer(content, np.uint8).reshape(-1, width)
  # Channels come first in a record.
  images = records[:, len(labels) :].reshape(-1, 3, 32, 32)
  columns = {label: records[:, place] for place, label in enumerate(labels)}
  return Table(images.transpose(0, 2, 3, 1), columns, f"{split}_{{:05d}}")


def read_svhn(files: Files) -> Contents:
  """SVHN's cropped digits: MATLAB files with the example axis last.

  References:
    Netzer et al.: Reading digits in natural images with unsupervised feature
    learning, 2011.
  """

  def table(split: str) -> Table:
    from scipy import io

    path = files[f"{split}_32x32.mat"]
    try:
      arrays = io.loadmat(path)
      images, labels = arrays["X"], arrays["y"]
    # A damaged .mat fails in scipy, zlib or struct, by many types.
    except Exception as error:
      raise DataError(f"{path} is no SVHN .mat file: {error}") from error
    # The digit 0 is published as 10.
    digits = labels[:, 0] % 10
    return Table(
      np.moveaxis(images, -1, 0), {"label": digits}, f"{split}_{{:06d}}"
    )

  return Contents(
    {
      split: lambda split=split: table(split)
      for split in ("train", "test", "extra")
    }
  )
