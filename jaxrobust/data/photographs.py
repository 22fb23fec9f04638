"""Photographs as they are: a folder of images, each of its own size."""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxrobust.data.errors import DataError

_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
_GREY = frozenset({"1", "L", "LA", "La"})


class Photograph(NamedTuple):
  """One image and what it is called.

  Attributes:
    name: Of its file, without the suffix.
    pixels: uint8 [H, W, 1] for grey ones, or [H, W, 3].
    shrunk_from: (H, W) before it was made smaller, or None.
  """

  name: str
  pixels: np.ndarray
  shrunk_from: tuple[int, int] | None


def photographs(
  folder: str | None = None, max_side: int | None = None
) -> Iterator[Photograph]:
  """Reads the images of a folder, one after the other, sorted by name.

  An image is turned as its camera says, transparency is left out, and depths of
  16 bits become 8.

  Args:
    folder: With .png, .jpg, .jpeg, .bmp or .webp files; None for scikit-learn's
      two photographs, china and flower.
    max_side: Larger images are made smaller, to this length, in pixels.

  Yields:
    The photographs.

  Raises:
    DataError: If the folder is absent, has no images or two of one name, or a
      file is damaged; before the first is read where that can be known.

  Example:
    >>> [(name, pixels.shape) for name, pixels, _ in photographs()]
    [('china', (427, 640, 3)), ('flower', (427, 640, 3))]
  """
  if folder is None:
    from sklearn import datasets

    found = datasets.load_sample_images()
    for file, pixels in zip(found.filenames, found.images, strict=True):
      yield _shrunk(pathlib.Path(file).stem, _as_image(pixels), max_side)
    return
  for file in _files(pathlib.Path(folder).expanduser()):
    yield _shrunk(file.stem, _read(file), max_side)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
  if not folder.is_dir():
    raise DataError(f"{folder} is no folder of images")
  try:
    files = sorted(
      file
      for file in folder.iterdir()
      if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
    )
  except OSError as error:
    raise DataError(f"{folder} cannot be read: {error.strerror}") from error
  if not files:
    raise DataError(
      f"{folder} has no images; allowed: files with a suffix of "
      f"{', '.join(sorted(_SUFFIXES))}"
    )
  names = [file.stem for file in files]
  for name in names:
    if names.count(name) > 1:
      raise DataError(f"{folder} has two images called {name!r}: rename one")
  return files


def _read(file: pathlib.Path):
  from PIL import Image, ImageOps

  try:
    with Image.open(file) as image:
      if image.mode.startswith("I;16"):
        return _as_image((np.asarray(image) >> 8).astype(np.uint8))
      turned = ImageOps.exif_transpose(image)
      return turned.convert("L" if turned.mode in _GREY else "RGB")
  # Pillow tells of damage by several types, SyntaxError among them.
  except (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    Image.DecompressionBombError,
  ) as error:
    raise DataError(f"{file} is no readable image: {error}") from error


def _as_image(pixels: np.ndarray):
  from PIL import Image

  return Image.fromarray(pixels)


def _shrunk(name: str, image, max_side: int | None) -> Photograph:
  from PIL import Image

  width, height = image.size
  largest = max(width, height)
  before = None
  if max_side is not None and largest > max_side:
    before = (height, width)
    sides = [max(1, round(n * max_side / largest)) for n in (width, height)]
    image = image.resize(sides, Image.Resampling.LANCZOS)
  pixels = np.asarray(image)
  return Photograph(name, pixels.reshape((*pixels.shape[:2], -1)), before)
