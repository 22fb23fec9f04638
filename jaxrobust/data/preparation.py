"""Makes TFDS data sets from the published archives, without TensorFlow.

TFDS itself needs TensorFlow to prepare images. Here its builder gets encoded
images from our own readers instead, and does the rest: features, record order,
shards and metadata are those of the genuine data set.
"""

import contextlib
import io
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxrobust.data import archives as archives_lib
from jaxrobust.data.download import Archive, Progress, check_file, fetch
from jaxrobust.data.errors import DataError
from jaxrobust.data.tfds_source import default_data_dir

_READERS: dict[str, Callable[[archives_lib.Files], archives_lib.Contents]] = {
  "mnist": archives_lib.read_idx,
  "fashion_mnist": archives_lib.read_idx,
  "cifar10": archives_lib.read_cifar10,
  "cifar100": archives_lib.read_cifar100,
  "svhn_cropped": archives_lib.read_svhn,
}
# How many examples pass between two calls of `progress`.
_REPORT_EVERY = 500


def prepare(
  names: Sequence[str],
  data_dir: str = "",
  source_folder: str | None = None,
  *,
  archives: Mapping[str, Sequence[Archive]] | None = None,
  progress: Progress | None = None,
  wait: float = 1.0,
) -> dict[str, pathlib.Path]:
  """Downloads data sets and writes them for source 'tfds'.

  Archives are kept in `DATA_DIR/downloads/NAME`. A data set that is there
  already is left alone; one that is interrupted leaves nothing that looks
  finished, and the next call goes on with its download.

  Args:
    names: of mnist, fashion_mnist, cifar10, cifar100, svhn_cropped.
    data_dir: the root; '' for TFDS' default.
    source_folder: take archives from here, or from the folder in it with the
      data set's name, and download nothing.
    archives: data set -> archives, in place of those that TFDS states.
    progress: called with (task, done, total, unit).
    wait: seconds before a broken download is tried again; see
      `jaxrobust.data.download.fetch`.

  Returns:
    Data set -> the folder it landed in.

  Raises:
    DataError: for an unknown name, a failed download, or a wrong checksum.

  Example:
    >>> prepare(["mnsit"])
    Traceback (most recent call last):
    ...
    jaxrobust.data.errors.DataError: unknown data set 'mnsit'; allowed: mnist,
    fashion_mnist, cifar10, cifar100, svhn_cropped
  """
  for name in names:
    if name not in _READERS:
      raise DataError(
        f"unknown data set {name!r}; allowed: {', '.join(_READERS)}"
      )
  root = pathlib.Path(data_dir).expanduser() if data_dir else default_data_dir()
  landed = {}
  for name in dict.fromkeys(names):
    builder = _builder(name, root)
    landed[name] = pathlib.Path(builder.data_path)
    if (landed[name] / "dataset_info.json").exists():
      continue
    wanted = (archives or {}).get(name) or published_archives(name)
    if source_folder is None:
      downloads = root / "downloads" / name
      files = {
        archive.filename: fetch(archive, downloads, progress, wait=wait)
        for archive in wanted
      }
    else:
      folder = pathlib.Path(source_folder).expanduser()
      files = {a.filename: _find(folder, name, a) for a in wanted}
    _write(builder, _READERS[name](files), progress)
  return landed


def published_archives(name: str) -> list[Archive]:
  """The archives of a data set, as its TFDS builder states them."""
  import tensorflow_datasets as tfds

  infos: Any = tfds.builder_cls(name).url_infos
  return [
    Archive(url, info.filename, int(info.size), info.checksum)
    for url, info in sorted(infos.items())
  ]


def _builder(name: str, root: pathlib.Path) -> Any:
  import tensorflow_datasets as tfds

  builder_class: Any = tfds.builder_cls(name)
  return builder_class(
    data_dir=str(root), file_format=tfds.core.FileFormat.ARRAY_RECORD
  )


def _find(folder: pathlib.Path, name: str, archive: Archive) -> pathlib.Path:
  """A file that somebody downloaded, checked."""
  for path in (folder / name / archive.filename, folder / archive.filename):
    if path.exists():
      check_file(path, archive)
      return path
  raise DataError(
    f"{folder} has no file {archive.filename}, which {name} needs; it is "
    f"published at {archive.url}"
  )


def _write(
  builder: Any, contents: archives_lib.Contents, progress: Progress | None
):
  """Lets a TFDS builder write examples that we read."""
  import tensorflow_datasets as tfds

  for feature, names in contents.class_names.items():
    builder.info.features[feature].names = names
  # TFDS prints a banner and its own bars; `progress` still reaches the
  # streams that were there before.
  streams = sys.stdout, sys.stderr

  def report(split: str, done: int, total: int):
    if progress is None:
      return
    out, err = streams
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
      progress(f"{builder.name} {split}", done, total, "examples")

  def generate(split: str) -> Iterator[tuple[int, dict[str, Any]]]:
    table = contents.splits[split]()
    for position, example in enumerate(table.examples()):
      yield position, {**example, "image": _png(example["image"])}
      if (position + 1) % _REPORT_EVERY == 0 or position + 1 == len(table):
        report(split, position + 1, len(table))

  # TFDS calls this method of the builder with its download manager, which
  # has nothing to do.
  builder._split_generators = lambda _: {
    split: generate(split) for split in contents.splits
  }
  unheard = io.StringIO()
  config = tfds.download.DownloadConfig(try_download_gcs=False)
  with (
    contextlib.redirect_stdout(unheard),
    contextlib.redirect_stderr(unheard),
  ):
    builder.download_and_prepare(download_config=config)


def _png(image: np.ndarray) -> bytes:
  from PIL import Image

  pixels = image[..., 0] if image.shape[-1] == 1 else image
  file = io.BytesIO()
  Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
  return file.getvalue()
