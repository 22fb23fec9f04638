"""Data sets in TFDS' own format on disk, read without TensorFlow."""

import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxrobust.data import images as images_lib
from jaxrobust.data.errors import DataError
from jaxrobust.data.splits import parse_split

# What `jaxrobust prepare` can make.
PREPARABLE = ("mnist", "fashion_mnist", "cifar10", "cifar100", "svhn_cropped")
# Sets of our configs that no builder of TFDS makes.
_NOT_OF_TFDS = ("ecg200", "libras")


def default_data_dir() -> pathlib.Path:
  """Where TFDS keeps its data: $TFDS_DATA_DIR or ~/tensorflow_datasets."""
  default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
  return pathlib.Path(default).expanduser()


def find_version(name: str, data_dir: str) -> pathlib.Path:
  """The folder of the newest prepared version of a data set.

  Args:
    name: 'mnist', 'mnist:3.0.1', 'imagenette/160px-v2' or with both.
    data_dir: the root; '' for TFDS' default.

  Returns:
    The folder that has `dataset_info.json`.

  Raises:
    DataError: if there is none; it says which command makes it.
  """
  root = pathlib.Path(data_dir).expanduser() if data_dir else default_data_dir()
  path, _, version = name.partition(":")
  if not path:
    raise DataError("config.data.name is ''; source 'tfds' needs a name")
  for levels in ("", "*/"):
    found = (root / path).glob(
      f"{levels}{version or '[0-9]*'}/dataset_info.json"
    )
    versions = sorted((info.parent for info in found), key=_version_number)
    configs = sorted({folder.parent.name for folder in versions})
    if levels and len(configs) > 1:
      raise DataError(
        f"{name} has several configs in {root}; set config.data.name to one "
        f"of: {', '.join(f'{path}/{config}' for config in configs)}"
      )
    if versions:
      return versions[-1]
  if path in _NOT_OF_TFDS:
    raise DataError(
      f"data set {name!r} is not in {root}, and TFDS has no builder of it: "
      "give a folder that has it prepared, or the archive's UCR files with "
      "--config.data.source=ucr --config.data.path=FOLDER"
    )
  if path in PREPARABLE:
    command = f"jaxrobust prepare {path} --data_dir={root}"
  else:
    command = f"tfds build {path} --file_format=array_record --data_dir={root}"
  raise DataError(f"data set {name!r} is not in {root}; prepare it: {command}")


class TfdsSplit:
  """One split of an image or series classification data set.

  The input is the split's only image, or else its only numeric tensor; the
  label is its only ClassLabel, or the one of its supervised keys.

  Attributes:
    size: the number of examples.
    shape: the shape of one input.
    class_names: one name per class.
  """

  def __init__(
    self, name: str, data_dir: str, split: str, shape: Sequence[int]
  ):
    """Opens the split; reads no example.

    Args:
      name: as in `find_version`.
      data_dir: the root; '' for TFDS' default.
      split: a split expression.
      shape: the declared shape of one input; images that come in many sizes
        are brought to it.

    Raises:
      DataError: if it is absent, damaged or no classification data set.
    """
    import tensorflow_datasets as tfds

    folder = find_version(name, data_dir)
    try:
      builder: Any = tfds.builder_from_directory(folder)
      features: dict[str, Any] = dict(builder.info.features)
    # Damaged JSON and unknown feature classes raise whatever they raise.
    except Exception as error:
      raise DataError(f"{folder} is no TFDS data set: {error}") from error
    self._name = name
    self._input_key, self._label_key = _keys(builder.info, features, folder)
    self._feature = features[self._input_key]
    self.class_names = features[self._label_key].names
    part = parse_split(split)
    if part.base not in builder.info.splits:
      raise DataError(
        f"{name} has no split {part.base!r}; it has: "
        f"{sorted(builder.info.splits)}"
      )
    try:
      source: Any = builder.as_data_source(
        split=part.base,
        deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
      )
      total = len(source)
    except NotImplementedError as error:
      file_format = builder.info.file_format
      raise DataError(
        f"{folder} is in format {file_format and file_format.value}; "
        "only array_record is read without TensorFlow"
      ) from error
    # array_record raises several types for absent and damaged files.
    except Exception as error:
      raise DataError(f"{folder} cannot be read: {error}") from error
    self._records = source
    self._positions = np.arange(total)[
      part.positions(total, lambda: self._labels_of(range(total)))
    ]
    self.size = len(self._positions)
    self._is_image = isinstance(self._feature, tfds.features.Image)
    native = self._feature.shape
    if self._is_image and None in native:
      native = tuple(shape)
    elif not self._is_image and len(native) == 1:
      native = (*native, 1)
    self.shape = native

  def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reads and decodes some examples.

    Args:
      indices: integer [B], positions in this split.

    Returns:
      (images uint8 [B, H, W, C] or series float32 [B, T, C], labels int64 [B]).

    Raises:
      DataError: if a record is damaged.
    """
    try:
      positions = self._positions[np.asarray(indices)].tolist()
      records = self._records.__getitems__(positions)
      return (
        self._decode_images(records)
        if self._is_image
        else (self._decode_series(records))
      )
    # A damaged record fails in array_record, protobuf, zlib or Pillow.
    except Exception as error:
      raise DataError(f"{self._name} cannot be read: {error}") from error

  def _labels_of(self, positions: Sequence[int]) -> np.ndarray:
    """The labels of some records of the whole split, int64; decodes no more."""
    try:
      records = self._records.__getitems__(list(positions))
      values = [_values(record)[self._label_key] for record in records]
      return np.asarray([value.int64_list.value[0] for value in values])
    except Exception as error:
      raise DataError(f"{self._name} cannot be read: {error}") from error

  def _decode_images(self, records):
    encoded, labels = [], np.empty(len(records), np.int64)
    for position, record in enumerate(records):
      values = _values(record)
      encoded.append(values[self._input_key].bytes_list.value[0])
      labels[position] = values[self._label_key].int64_list.value[0]

    def decode_at(position):
      return images_lib.decode_image(encoded[position], self.shape)

    images = np.empty((len(records), *self.shape), np.uint8)
    return images_lib.decode_into(images, decode_at), labels

  def _decode_series(self, records):
    features = self._records.dataset_info.features
    examples = [features.deserialize_example_np(record) for record in records]
    series = [example[self._input_key] for example in examples]
    labels = [example[self._label_key] for example in examples]
    return (
      np.stack(series).astype(np.float32).reshape(-1, *self.shape),
      np.asarray(labels),
    )


def _values(record: bytes) -> Any:
  """The values of a record, by feature.

  TFDS' own deserialiser takes four times as long (0.1 ms an example).
  """
  from tensorflow_datasets.proto import tf_example_generated_pb2

  # The class is made at import, where a type checker does not see it.
  example_class: Any = vars(tf_example_generated_pb2)["Example"]
  return example_class.FromString(record).features.feature


def _version_number(folder: pathlib.Path) -> list[int]:
  return [int(number) for number in re.findall(r"\d+", folder.name)]


def _keys(info: Any, features: dict[str, Any], folder: pathlib.Path):
  """The keys of the input and of the label."""
  import tensorflow_datasets as tfds

  def keys_of(feature_class):
    return [
      key
      for key, feature in features.items()
      # Subclasses of Tensor, such as ClassLabel, are other things.
      if type(feature) is feature_class
    ]

  inputs = keys_of(tfds.features.Image)
  if not inputs:
    inputs = [
      key
      for key in keys_of(tfds.features.Tensor)
      if len(features[key].shape) in (1, 2)
    ]
  labels = keys_of(tfds.features.ClassLabel)
  supervised = info.supervised_keys or ()
  inputs = [key for key in inputs if key in supervised] or inputs
  labels = [key for key in labels if key in supervised] or labels
  if len(inputs) != 1 or len(labels) != 1:
    raise DataError(
      f"{folder} has features {sorted(features)}; it must have one image or "
      "series and one ClassLabel"
    )
  return inputs[0], labels[0]
