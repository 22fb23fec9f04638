"""Smoothing a training set once, and keeping the result for the next run.

What is kept is named by all that it depends on: the recipe, its level, and the
data themselves. It lies in chunks, each written whole or not at all, so that
an interrupted smoothing goes on where it was, and several runs share it.
"""

import functools
import hashlib
import json
import pathlib
import time
import uuid
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from jaxrobust import data, methods
from jaxrobust.data import pipeline
from jaxrobust.training import parallel
from jaxrobust.training.logging import Progress

# Changes whenever the same recipe gives other images.
_VERSION = 1
_CHUNK_BYTES, _LEAST_CHUNK = 2**25, 256
# Numbers of one batch: larger ones leave the processor's cache.
_BATCH_NUMBERS = 2**18
_SAY_EVERY = 5.0  # seconds


class Stopped(Exception):
  """The smoothing was asked to stop; the next one goes on where it was."""


def smoothed(
  config: ml_collections.ConfigDict,
  dataset: data.Dataset,
  stop: Callable[[], bool] = lambda: False,
) -> data.Dataset:
  """The training set as the train step of a run wants it.

  Args:
    config: A run's config.
    dataset: The training set as it was loaded.
    stop: Asked between batches; True ends the smoothing, to be resumed.

  Returns:
    The same set, unless the input keeps a cache of smoothed examples; then
    these, in `uint8` for images, of the level of each epoch if it has several.

  Raises:
    Stopped: If `stop` said so.
    OSError: If the cache cannot be written.
  """
  own = methods.build(config.method, tuple(config.data.shape)).input
  if not isinstance(own, methods.Smoothing) or not own.cache:
    return dataset
  keep = _Keeper(config, own, dataset)
  keep.complete(stop)
  if len(own.schedule.fractions) == 1:
    return keep.level(0)
  levels = [keep.level(k) for k in range(len(own.schedule.fractions))]

  def of_epoch(epoch: int) -> data.Dataset:
    return levels[own.schedule.stage(epoch / config.train.epochs)]

  return data.EpochDataset(dataset, of_epoch)


class _Keeper:
  """The smoothed images of one training set, on disk."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    own: methods.Smoothing,
    dataset: data.Dataset,
  ):
    self._own, self._dataset = own, dataset
    self._launcher = parallel.Launcher(
      config.train.launcher, jax.local_devices()
    )
    self._numbers = int(np.prod(dataset.shape))
    self._size = max(_CHUNK_BYTES // self._numbers, _LEAST_CHUNK)
    is_image = len(dataset.shape) == 3
    self._dtype = np.dtype(np.uint8 if is_image else np.float32)
    about = {
      "version": _VERSION,
      "recipe": dict(own.recipe),
      "fractions": own.schedule.fractions,
      "shape": dataset.shape,
      "examples": len(dataset),
      "chunk": self._size,
      "data": _fingerprint(dataset),
    }
    text = json.dumps(about, indent=1, sort_keys=True, default=list)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    place = config.data.smoothed_dir
    place = pathlib.Path(place) if place else data.user_cache() / "smoothed"
    self._folder = place.expanduser() / f"{dataset.name}-{key}".replace(
      "/", "-"
    )
    self._folder.mkdir(parents=True, exist_ok=True)
    _write(self._folder / "about.json", lambda file: file.write(text.encode()))

  def _path(self, what: str, chunk: int) -> pathlib.Path:
    return self._folder / f"{what}-{chunk:06d}.npy"

  def _paths(self, chunk: int) -> list[pathlib.Path]:
    """The files of a chunk: one per level, and one of its labels."""
    stages = range(len(self._own.schedule.fractions))
    return [self._path(f"level{k}", chunk) for k in stages] + [
      self._path("labels", chunk)
    ]

  def _is_kept(self, chunk: int) -> bool:
    return all(path.exists() for path in self._paths(chunk))

  def complete(self, stop: Callable[[], bool]) -> None:
    """Smooths what is not there yet."""
    count = len(self._dataset)
    missing = [
      chunk
      for chunk in range(-(-count // self._size))
      if not self._is_kept(chunk)
    ]
    if not missing:
      return
    # Processes that share a folder begin apart, and leave out what others did.
    start = jax.process_index() * len(missing) // jax.process_count()
    missing = [*missing[start:], *missing[:start]]
    devices = len(self._launcher.devices)
    batch_size = max(min(_BATCH_NUMBERS // self._numbers, 256), devices)
    batch_size -= batch_size % devices
    smooth = self._launcher.map(
      self._levels, sharded_in=(True,), sharded_out=True
    )
    left = sum(min(self._size, count - k * self._size) for k in missing)
    progress = Progress(count, "example", count - left)
    progress.say(f"smoothing {self._dataset.name} once, into {self._folder}")
    said = time.monotonic()
    try:
      for chunk in missing:
        if self._is_kept(chunk):
          continue
        first = chunk * self._size
        places = np.arange(first, min(first + self._size, count))
        images, labels = [], []
        for start in range(0, len(places), batch_size):
          index = places[start : start + batch_size]
          if stop():
            raise Stopped
          batch = pipeline.padded(self._dataset, index, batch_size)
          found = smooth(self._launcher.shard(batch["inputs"]))
          images.append(self._launcher.gather(found)[: len(index)])
          labels.append(batch["labels"][: len(index)])
          if time.monotonic() - said > _SAY_EVERY:
            said = time.monotonic()
            progress.update(int(index[-1]) + 1, "smoothed")
        levels = np.concatenate(images).swapaxes(0, 1)
        arrays = [*levels, np.concatenate(labels)]
        for path, array in zip(self._paths(chunk), arrays, strict=True):
          _write(path, lambda file, array=array: np.save(file, array))
    finally:
      progress.close()

  def _levels(self, inputs: jax.Array) -> jax.Array:
    """[n, ...] as stored -> [n, L, ...] as kept."""
    images = self._own.levels(data.as_float(inputs)).swapaxes(0, 1)
    if self._dtype == np.uint8:
      # Rounded as images are; out of range is possible, but by little.
      images = jnp.clip(jnp.round(255 * images), 0, 255)
    return images.astype(self._dtype)

  def level(self, stage: int) -> data.Dataset:
    """The smoothed examples of one level: in memory if the others were."""
    count = len(self._dataset)

    def whole(what: str) -> np.ndarray:
      chunks = range(-(-count // self._size))
      return np.concatenate([np.load(self._path(what, k)) for k in chunks])

    if not isinstance(self._dataset, data.OnDemandDataset):
      images = whole(f"level{stage}")
      return self._dataset.map_inputs(lambda inputs: images)
    labels = whole("labels")

    # Each is an open file, of which a process may have a thousand or so.
    @functools.lru_cache(maxsize=64)
    def chunk(number: int) -> np.ndarray:
      return np.load(self._path(f"level{stage}", number), mmap_mode="r")

    def read(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
      rows = [chunk(int(i) // self._size)[i % self._size] for i in indices]
      return np.stack(rows), labels[indices]

    return data.OnDemandDataset(
      self._dataset.name,
      self._dataset.split,
      read,
      count,
      self._dataset.shape,
      self._dataset.class_names,
    )


def _fingerprint(dataset: data.Dataset) -> str:
  """What tells one set of inputs from another."""
  digest = hashlib.sha256()
  if isinstance(dataset, data.OnDemandDataset):
    # To read all of them would cost as much as the cache saves.
    told = f"{dataset.name} {dataset.split} {dataset.identity}"
    digest.update(told.encode())
    sample = np.linspace(0, len(dataset) - 1, 64).astype(int)
    inputs = dataset.gather(sample)
  else:
    inputs = dataset.inputs
  contiguous: Any = np.ascontiguousarray(inputs)
  digest.update(contiguous)
  return digest.hexdigest()


def _write(path: pathlib.Path, fill: Callable[[Any], Any]) -> None:
  """Writes a file whole or not at all, whoever else writes it, too."""
  partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
  try:
    with partial.open("wb") as file:
      fill(file)
    partial.replace(path)
  finally:
    partial.unlink(missing_ok=True)
