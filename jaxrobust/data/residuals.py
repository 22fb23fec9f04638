"""Noise read from disk: pairs of clean and noisy data, or residuals."""

import dataclasses
import pathlib
import re
from typing import NamedTuple

import numpy as np

from jaxrobust.data.errors import DataError

_IMAGES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp", ".tif", ".tiff"})
_TEXT = frozenset({".csv", ".tsv", ".txt"})


class Noise(NamedTuple):
  """Values of noise.

  Attributes:
    values: float64 [n].
    limits: (lower, upper), float64 [n] each, what clipping allowed the noise
      to be; None if nothing was clipped.
  """

  values: np.ndarray
  limits: tuple[np.ndarray, np.ndarray] | None


@dataclasses.dataclass(frozen=True)
class Residuals:
  """Noisy values, and the clean ones that belong to them.

  Attributes:
    noisy: [n], as stored.
    clean: [n], as stored; None if `noisy` are residuals already.
    units: (of noisy, of clean): what 1 is stored as, 255 for 8-bit values.
    clipped: whether the noisy values were clipped to [0, 1].
  """

  noisy: np.ndarray
  clean: np.ndarray | None = None
  units: tuple[int, int] = (1, 1)
  clipped: bool = False

  def __len__(self) -> int:
    return len(self.noisy)

  def draw(self, limit: int, seed: int) -> Noise:
    """The noise of at most `limit` values, chosen at random.

    Values that were rounded to whole steps are spread over their steps (a
    uniform draw between -1/2 and 1/2 step is added), since a density describes
    no grid.

    Args:
      limit: the most values to take.
      seed: of the choice and of the spreading.

    Returns:
      noisy - clean, with its limits where the noisy values were clipped.
    """
    rng = np.random.default_rng(seed)
    chosen = slice(None)
    if len(self) > limit:
      chosen = np.sort(rng.choice(len(self), limit, replace=False))
    noisy = self.noisy[chosen].astype(np.float64) / self.units[0]
    if self.clean is None:
      return Noise(noisy, None)
    clean = self.clean[chosen].astype(np.float64) / self.units[1]
    values = noisy - clean
    if self.units[0] > 1:
      values = values + rng.uniform(-0.5, 0.5, len(values)) / self.units[0]
    if not self.clipped:
      return Noise(values, None)
    lower, upper = -clean, 1.0 - clean
    values = np.where(
      noisy <= 0.0, lower, np.where(noisy >= 1.0, upper, values)
    )
    return Noise(values, (lower, upper))


def read_pair(clean: str, noisy: str, clipped: bool | None = None) -> Residuals:
  """Reads clean data and the same data with noise.

  Args:
    clean: an .npy file, an .npz file of one array, an image, or a folder of
      images.
    noisy: the same with noise, of equal shape; in a folder, files of equal
      names.
    clipped: whether the noisy values were clipped to [0, 1]; by default they
      were if both are images or all values of both lie in [0, 1].

  Returns:
    The pair. 8-bit and 16-bit values are in units of 1/255 and 1/65535.

  Raises:
    DataError: if a file is absent or damaged, or the shapes differ.
  """
  first, second = _find(clean, "clean"), _find(noisy, "noisy")
  if first.is_dir() != second.is_dir():
    raise DataError(
      f"clean {clean!r} and noisy {noisy!r} must both be files or both folders"
    )
  pairs = _equal_names(first, second) if first.is_dir() else [(first, second)]
  stored = []
  for path, partner in pairs:
    left, left_unit = _read(path)
    right, right_unit = _read(partner)
    if left.shape != right.shape:
      raise DataError(
        f"clean {path} has shape {left.shape} but noisy {partner} has "
        f"{right.shape}"
      )
    stored.append((left.ravel(), right.ravel(), left_unit, right_unit))
  units = {(right_unit, left_unit) for *_, left_unit, right_unit in stored}
  if len(units) > 1:
    raise DataError(f"{first} and {second} mix images of 8 and of 16 bits")
  (unit,) = units
  lefts = np.concatenate([left for left, *_ in stored])
  rights = np.concatenate([right for _, right, *_ in stored])
  if clipped is None:
    clipped = _in_unit_range(rights, unit[0]) and _in_unit_range(lefts, unit[1])
  return Residuals(rights, lefts, unit, clipped)


def read_residuals(path: str) -> Residuals:
  """Reads an array of residuals: noise alone.

  Args:
    path: an .npy file, an .npz file of one array, or a .csv, .tsv or .txt file
      of numbers between commas, semicolons or blanks, with or without a line
      of names.

  Returns:
    The residuals, in the file's units.

  Raises:
    DataError: if the file is absent, damaged or holds no real numbers.
  """
  file = _find(path, "residuals")
  if file.suffix.lower() in _TEXT:
    return Residuals(_read_text(file))
  if file.is_dir() or file.suffix.lower() in _IMAGES:
    raise DataError(
      f"residuals {path!r} must be one of .npy, .npz, .csv, .tsv, .txt; for "
      "images give clean and noisy ones"
    )
  array, _ = _read(file)
  return Residuals(array.ravel())


def _find(path: str, name: str) -> pathlib.Path:
  found = pathlib.Path(path).expanduser()
  if not found.exists():
    raise DataError(f"{name} {path!r}: no such file or folder")
  return found


def _equal_names(
  clean: pathlib.Path, noisy: pathlib.Path
) -> list[tuple[pathlib.Path, pathlib.Path]]:
  """The images of two folders, subfolders included, paired by name."""
  names = [
    {
      file.relative_to(folder).as_posix()
      for file in folder.rglob("*")
      if file.suffix.lower() in _IMAGES
    }
    for folder in (clean, noisy)
  ]
  common = sorted(names[0] & names[1])
  if not common:
    raise DataError(f"{clean} and {noisy} have no images of equal names")
  alone = sorted(names[0] ^ names[1])
  if alone:
    raise DataError(
      f"{clean} and {noisy} must have images of equal names; {len(alone)} "
      f"are in one only, such as {alone[0]}"
    )
  return [(clean / name, noisy / name) for name in common]


def _read(file: pathlib.Path) -> tuple[np.ndarray, int]:
  """An array of a file, and what 1 is stored as."""
  suffix = file.suffix.lower()
  if suffix in _IMAGES:
    array = _read_image(file)
  elif suffix in (".npy", ".npz"):
    array = _read_numpy(file)
  else:
    raise DataError(
      f"{file} must be one of .npy, .npz, {', '.join(sorted(_IMAGES))}"
    )
  if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
    raise DataError(f"{file} has {array.dtype} values, not real numbers")
  if not np.all(np.isfinite(array)):
    raise DataError(f"{file} has values that are not finite")
  return array, {np.dtype("u1"): 255, np.dtype("u2"): 65535}.get(array.dtype, 1)


def _read_image(file: pathlib.Path) -> np.ndarray:
  from PIL import Image

  try:
    with Image.open(file) as image:
      if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
      if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
      return np.asarray(image)
  # Pillow tells of damage by several types, SyntaxError among them.
  except (OSError, ValueError, SyntaxError, EOFError) as error:
    raise DataError(f"{file} is no readable image: {error}") from error


def _read_numpy(file: pathlib.Path) -> np.ndarray:
  try:
    loaded = np.load(file, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
      return loaded
    with loaded:
      names = list(loaded)
      arrays = [loaded[name] for name in names[:1]]
  # A truncated archive raises BadZipFile or zlib.error, which share no base.
  except Exception as error:
    raise DataError(f"{file} is no readable array: {error}") from error
  if len(names) != 1:
    raise DataError(f"{file} must hold one array; it has: {names}")
  return arrays[0]


def _read_text(file: pathlib.Path) -> np.ndarray:
  try:
    # Some programs write a byte order mark first.
    lines = file.read_text(encoding="utf-8-sig").splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise DataError(f"{file} is no readable text: {error}") from error
  values: list[float] = []
  for number, line in enumerate(lines):
    words = line.replace(",", " ").replace(";", " ").split()
    try:
      values += [float(word) for word in words]
    except ValueError as error:
      # The first line may hold the columns' names, none of them a number.
      if number or any(map(_is_number, _fields(line))):
        raise DataError(f"{file}, line {number + 1}: {error}") from error
  array = np.asarray(values)
  if not np.all(np.isfinite(array)):
    raise DataError(f"{file} has values that are not finite")
  return array


def _fields(line: str) -> list[str]:
  """The fields of a line; blanks separate only where nothing else does."""
  return re.split("[,;\t]", line) if re.search("[,;\t]", line) else line.split()


def _is_number(word: str) -> bool:
  try:
    float(word)
  except ValueError:
    return False
  return True


def _in_unit_range(array: np.ndarray, unit: int) -> bool:
  return bool(array.min(initial=0) >= 0 and array.max(initial=0) <= unit)
