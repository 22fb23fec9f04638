"""One's own data: class folders of images, and .npz files."""

import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxrobust.data import images as images_lib
from jaxrobust.data.errors import DataError

_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})


class ImageFolder:
  """The images at PATH/SPLIT/CLASS/*.png (or .jpg, .jpeg, .bmp, .webp).

  Classes are the sorted names of the folders of all splits, so that a class
  keeps its number where a split has none of it.

  Attributes:
    files: the images' paths, sorted by class and name.
    labels: int32 [N].
    class_names: one name per class.
    shape: (H, W, C) that images are brought to.
  """

  def __init__(self, path: str, split: str, shape: Sequence[int]):
    """Lists the files; reads none.

    Args:
      path: the root folder.
      split: the name of the split's folder.
      shape: (H, W, C) that images are brought to; C is 1 or 3.

    Raises:
      DataError: if a folder is absent or has no images.
    """
    root = pathlib.Path(path).expanduser()
    folder = root / split
    if not path or not root.is_dir():
      raise DataError(f"config.data.path is {path!r}, which is no folder")
    if not folder.is_dir():
      splits = sorted(p.name for p in root.iterdir() if p.is_dir())
      raise DataError(f"{path} has no split {split!r}; it has: {splits}")
    if len(shape) != 3 or shape[2] not in (1, 3):
      raise DataError(
        f"config.data.shape is {tuple(shape)}; allowed for a folder of "
        "images: (height, width, 1) or (height, width, 3)"
      )
    self.shape = tuple(shape)
    self.class_names = sorted({p.name for p in root.glob("[!.]*/[!.]*/")})
    self.files: list[pathlib.Path] = []
    labels = []
    for label, name in enumerate(self.class_names):
      files = sorted(
        file
        for file in (folder / name).glob("*")
        if file.suffix.lower() in _SUFFIXES
      )
      self.files.extend(files)
      labels.extend([label] * len(files))
    if not self.files:
      raise DataError(
        f"{folder} has no images in class folders; allowed: CLASS/FILE with "
        f"a suffix of {sorted(_SUFFIXES)}"
      )
    self.labels = np.asarray(labels, np.int32)

  def identity(self) -> str:
    """What tells these files from others: names, sizes, times of change."""
    digest = hashlib.sha256()
    for file in self.files:
      status = file.stat()
      told = f"{file} {status.st_size} {status.st_mtime_ns}\n"
      digest.update(told.encode())
    return digest.hexdigest()

  def decode(self, position: int) -> np.ndarray:
    """One image: uint8 [H, W, C].

    Raises:
      DataError: if the file is damaged.
    """
    file = self.files[position]
    try:
      return images_lib.decode_image(file, self.shape)
    # Pillow tells of damage by several types, SyntaxError among them.
    except (OSError, ValueError, SyntaxError, EOFError) as error:
      raise DataError(f"{file} is no readable image: {error}") from error


def read_npz(path: str, split: str) -> tuple[np.ndarray, np.ndarray]:
  """Reads one split of an .npz file, named as MedMNIST names them.

  Args:
    path: a file with arrays `{split}_images` or `{split}_series`, and
      `{split}_labels` of shape [N] or [N, 1]. Images may lack the channel
      axis.
    split: 'train', 'val', 'test', or whatever the file has.

  Returns:
    (images uint8 or float32 [N, H, W, C] or series float32 [N, T, C],
    labels [N]).

  Raises:
    DataError: if the file is absent, damaged or lacks an array.
  """
  try:
    with (
      pathlib.Path(path).expanduser().open("rb") as stream,
      np.load(stream) as file,
    ):
      arrays = {
        kind: file[f"{split}_{kind}"]
        for kind in ("images", "series", "labels")
        if f"{split}_{kind}" in file
      }
      names = list(file)
  except FileNotFoundError as error:
    raise DataError(f"config.data.path is {path!r}: no such file") from error
  # A truncated archive raises BadZipFile or zlib.error, which share no base.
  except Exception as error:
    raise DataError(f"{path} is no readable .npz file: {error}") from error
  kinds = [kind for kind in ("images", "series") if kind in arrays]
  if len(kinds) != 1 or "labels" not in arrays:
    raise DataError(
      f"{path} must have {split}_labels and one of {split}_images, "
      f"{split}_series; it has: {names}"
    )
  inputs, labels = arrays[kinds[0]], arrays["labels"]
  if labels.ndim == 2 and labels.shape[1] == 1:
    labels = labels[:, 0]
  # Grey images without a channel axis, series of one channel likewise.
  if inputs.ndim == (3 if kinds == ["images"] else 2):
    inputs = inputs[..., None]
  if inputs.dtype != np.uint8 or kinds == ["series"]:
    inputs = inputs.astype(np.float32)
  if len(inputs) != len(labels):
    raise DataError(
      f"{path} has {len(inputs)} {split}_{kinds[0]} but {len(labels)} "
      f"{split}_labels"
    )
  return inputs, labels
