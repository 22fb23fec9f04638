"""The table of sources, and the one function that loads a split."""

import importlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxrobust.data import embedded, files, returns, ucr
from jaxrobust.data import images as images_lib
from jaxrobust.data.dataset import (
  Dataset,
  OnDemandDataset,
  check_inputs,
  check_labels,
  check_targets,
)
from jaxrobust.data.errors import DataError
from jaxrobust.data.splits import Split, parse_split
from jaxrobust.data.standardise import standardised

# The stand-in of a regression has the class numbers of so many as its targets.
_STAND_IN_LEVELS = 10
# Images that are tried and not kept.
_TRIED_AT_ONCE = 256


def load(config: Any, split: str) -> Dataset:
  """Loads one split of the data set that a config declares.

  Args:
    config: the `data` section of a config, with the fields

      * `source`: 'tfds', 'digits', 'folder', 'npz', 'ucr', 'returns',
        'synthetic_series', or 'package.module:function' with
        function(split name) -> (inputs, labels);
      * `name`: the TFDS or UCR name, and the label that result rows carry;
      * `data_dir`: the root for 'tfds', '' for TFDS' default;
      * `path`: the folder or the .npz file;
      * `shape`: (H, W, C) of an image or (T, C) of a series;
      * `num_classes`: the number of classes, 0 for a regression;
      * `targets`: the number D of real-valued targets of an example, float
        [N, D], in place of labels; 0 for a classification;
      * `standardise`: 'none', or for series 'series' (each by itself) or
        'dataset' (by the training split); see `standardised`;
      * `train_split`: the training split, for 'dataset';
      * `cache`: decode once into host arrays (True), or on demand (False;
        'tfds' and 'folder' only, the others are arrays already);
      * `skip_corrupt`: leave out images of a folder that cannot be read, with
        a warning that counts them, in place of an error;
      * `stand_in`: take embedded data of the declared shape and number of
        classes in place of the source.
    split: a split expression such as 'train[:90%]' or 'train[fold 0/5]'; see
      `parse_split`.

  Returns:
    The loaded split.

  Raises:
    DataError: if data is absent, damaged, or not as declared.

  Example:
    >>> import types
    >>> config = types.SimpleNamespace(
    ...   source="digits", name="digits", shape=(8, 8, 1), num_classes=10,
    ...   targets=0, data_dir="", path="", cache=True, stand_in=False,
    ...   standardise="none", train_split="train",
    ... )
    >>> dataset = load(config, "train[:100]")
    >>> dataset.name, len(dataset), dataset.inputs.dtype
    ('digits', 100, dtype('uint8'))
  """
  shape = tuple(config.shape)
  if len(shape) not in (2, 3) or not all(
    isinstance(side, int) and side > 0 for side in shape
  ):
    raise DataError(
      f"config.data.shape is {shape}; allowed: (height, width, channels) of "
      "an image or (steps, channels) of a series"
    )
  part = parse_split(split)
  dataset = _load_raw(config, part)

  def load_train() -> Dataset:
    if split == config.train_split:
      return dataset
    return _load_raw(config, parse_split(config.train_split))

  return standardised(dataset, config.standardise, load_train)


def _load_raw(config: Any, part: Split) -> Dataset:
  """One split of the source as it is there."""
  if config.stand_in:
    return _load_stand_in(config, part)
  if config.source in SOURCES:
    return SOURCES[config.source](config, part)
  if ":" in config.source:
    return _load_function(config, part)
  raise DataError(
    f"config.data.source is {config.source!r}; allowed: "
    f"{', '.join(map(repr, SOURCES))}, 'package.module:function'"
  )


def _load_stand_in(config: Any, split: Split) -> Dataset:
  shape, num_classes = tuple(config.shape), config.num_classes
  if len(shape) == 3:
    prefix, make = "digits", embedded.digits_as
  else:
    prefix, make = "synthetic", embedded.synthetic_series
  inputs, labels = make(shape, num_classes or _STAND_IN_LEVELS, split.base)
  if config.targets:
    levels = labels.astype(np.float32)[:, None] / (_STAND_IN_LEVELS - 1)
    labels = np.repeat(levels, config.targets, axis=1)
  name = f"{prefix}-as-{config.name}"
  return _from_arrays(name, config, split, inputs, labels)


def _load_tfds(config: Any, split: Split) -> Dataset:
  # Imported here because the module's user needs tensorflow_datasets.
  from jaxrobust.data.tfds_source import TfdsSplit

  _only_classes(config)
  source = TfdsSplit(
    config.name, config.data_dir, split.expression, config.shape
  )
  _check_classes(config, source.class_names)
  if source.shape != tuple(config.shape):
    raise DataError(
      f"config.data.shape is {tuple(config.shape)}, but {config.name} has "
      f"inputs of shape {source.shape}"
    )
  if not config.cache:
    return OnDemandDataset(
      config.name,
      split.expression,
      source.read,
      source.size,
      source.shape,
      source.class_names,
    )
  inputs, labels = source.read(np.arange(source.size))
  check_inputs(config.name, inputs, config.shape)
  check_labels(config.name, labels, config.num_classes)
  return Dataset(
    config.name, split.expression, inputs, labels, source.class_names
  )


def _load_digits(config: Any, split: Split) -> Dataset:
  _only_classes(config)
  return _from_arrays(config.name, config, split, *embedded.digits(split.base))


def _load_synthetic_series(config: Any, split: Split) -> Dataset:
  _only_classes(config)
  if len(config.shape) != 2:
    raise DataError(
      f"config.data.shape is {tuple(config.shape)}; allowed for source "
      "'synthetic_series': (steps, channels)"
    )
  arrays = embedded.synthetic_series(
    config.shape, config.num_classes, split.base
  )
  return _from_arrays(config.name, config, split, *arrays)


def _load_folder(config: Any, split: Split) -> Dataset:
  _only_classes(config)
  folder = files.ImageFolder(config.path, split.base, config.shape)
  _check_classes(config, folder.class_names)
  total = len(folder.files)
  positions = np.arange(total)[split.positions(total, lambda: folder.labels)]

  if config.cache or config.skip_corrupt:
    images, corrupt = _decode(folder, positions, keep=config.cache)
    readable = np.ones(len(positions), bool)
    readable[list(corrupt)] = False
    if corrupt:
      told = _tell_corrupt(corrupt, len(positions))
      if not readable.any():
        raise DataError(told)
      if not config.skip_corrupt:
        raise DataError(
          f"{told}; config.data.skip_corrupt=True leaves such out"
        )
      warnings.warn(f"{told}; left out", stacklevel=2)
      images, positions = images[readable[: len(images)]], positions[readable]

  def read(indices):
    chosen = positions[indices]
    images = np.empty((len(chosen), *config.shape), np.uint8)
    try:
      images_lib.decode_into(
        images, lambda place: folder.decode(int(chosen[place]))
      )
    except DataError as error:
      raise DataError(
        f"{error}; config.data.skip_corrupt=True, in a new --workdir, tries "
        "all of them first and leaves such out"
      ) from error
    return images, folder.labels[chosen]

  name = config.name
  if not config.cache:
    return OnDemandDataset(
      name,
      split.expression,
      read,
      len(positions),
      config.shape,
      folder.class_names,
      folder.identity(),
    )
  labels = folder.labels[positions]
  return Dataset(name, split.expression, images, labels, folder.class_names)


def _decode(
  folder: files.ImageFolder, positions: np.ndarray, keep: bool
) -> tuple[np.ndarray, dict[int, DataError]]:
  """Decodes images; those that cannot be read are told apart.

  Args:
    folder: Where they are.
    positions: Which of its files.
    keep: False to try them only.

  Returns:
    The images, none without `keep`, zeros where one cannot be read; and for
    the places of those why.
  """
  corrupt: dict[int, DataError] = {}
  size = len(positions) if keep else min(len(positions), _TRIED_AT_ONCE)
  images = np.empty((size, *folder.shape), np.uint8)
  for first in range(0, len(positions), size):
    part = positions[first : first + size]

    def decode(place, first=first, part=part):
      try:
        return folder.decode(int(part[place]))
      except DataError as error:
        corrupt[first + place] = error
        return np.zeros(folder.shape, np.uint8)

    images_lib.decode_into(images[: len(part)], decode)
  return (images if keep else images[:0]), dict(sorted(corrupt.items()))


def _tell_corrupt(corrupt: dict[int, DataError], total: int) -> str:
  first = next(iter(corrupt.values()))
  return f"{len(corrupt)} of {total} images cannot be read, as {first}"


def _load_npz(config: Any, split: Split) -> Dataset:
  return _from_arrays(
    config.name, config, split, *files.read_npz(config.path, split.base)
  )


def _load_ucr(config: Any, split: Split) -> Dataset:
  series, labels, class_names = ucr.read_ucr(
    config.path, config.name, split.base, real_valued=config.targets > 0
  )
  if not config.targets:
    _check_classes(config, class_names)
  return _from_arrays(config.name, config, split, series, labels, class_names)


def _load_returns(config: Any, split: Split) -> Dataset:
  if len(config.shape) != 2 or config.shape[1] != 1 or not config.targets:
    raise DataError(
      f"config.data.shape is {tuple(config.shape)} and config.data.targets is "
      f"{config.targets}; allowed for source 'returns': (days, 1), and the "
      "weeks to forecast, at least 1"
    )
  arrays = returns.volatility_windows(
    returns.daily_returns(config.name),
    split.base,
    window=config.shape[0],
    weeks=config.targets,
  )
  return _from_arrays(config.name, config, split, *arrays)


def _load_function(config: Any, split: Split) -> Dataset:
  module_name, _, function_name = config.source.partition(":")
  try:
    function = getattr(importlib.import_module(module_name), function_name)
  except (ImportError, AttributeError, ValueError) as error:
    raise DataError(
      f"config.data.source is {config.source!r}: {error}"
    ) from error
  inputs, labels = map(np.asarray, function(split.base))
  return _from_arrays(config.name, config, split, inputs, labels)


def _from_arrays(
  name: str,
  config: Any,
  split: Split,
  inputs: np.ndarray,
  labels: np.ndarray,
  class_names: Sequence[str] = (),
) -> Dataset:
  """Checks a whole split's arrays and takes the part that is asked for."""
  check_inputs(name, inputs, config.shape)
  if config.targets:
    # One target need not have an axis of its own.
    labels = labels[:, None] if labels.ndim == 1 else labels
    check_targets(name, labels, config.targets)
  else:
    check_labels(name, labels, config.num_classes)
  if len(inputs) != len(labels):
    raise DataError(f"{name} has {len(inputs)} inputs, {len(labels)} labels")
  part = split.positions(len(labels), lambda: labels)
  class_names = class_names or list(map(str, range(config.num_classes)))
  return Dataset(
    name, split.expression, inputs[part], labels[part], class_names
  )


def _only_classes(config: Any):
  if config.targets:
    raise DataError(
      f"config.data.targets is {config.targets}; allowed for source "
      f"{config.source!r}, which has classes: 0"
    )


def _check_classes(config: Any, class_names: list[str]):
  if len(class_names) != config.num_classes:
    raise DataError(
      f"config.data.num_classes is {config.num_classes}, but {config.name} "
      f"has {len(class_names)} classes"
    )


SOURCES: dict[str, Callable[[Any, Split], Dataset]] = {
  "tfds": _load_tfds,
  "digits": _load_digits,
  "folder": _load_folder,
  "npz": _load_npz,
  "ucr": _load_ucr,
  "returns": _load_returns,
  "synthetic_series": _load_synthetic_series,
}
