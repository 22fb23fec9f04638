"""Pictures of a perturbation: the first images of a batch, side by side."""

import math
import pathlib
import urllib.parse

import numpy as np

_SHOWN = 8  # images of a strip
_GAP = 2  # pixels between two images
_GREY = 128  # of the gaps: seen beside black and beside white
_SIDE = 64  # smaller images are enlarged to at least this height, in pixels


def example_path(
  folder: str | pathlib.Path,
  perturbation: str,
  strength: float,
  severity: int | None,
) -> pathlib.Path:
  """Where the strip of one cell of the suite lies.

  Args:
    folder: The folder of the strips, as RUN/examples.
    perturbation: As rows name it.
    strength: As in the rows.
    severity: As in the rows; None for none.

  Returns:
    A path in the folder. Its name has the three, quoted, so that two cells
    never share a file.

  Raises:
    ValueError: If the perturbation has no name.

  Example:
    >>> example_path("examples", "fog(mnist-c, generated)", 1.0, None).name
    'fog(mnist-c,%20generated)@1.0.png'
    >>> example_path("examples", "a/b", 2.0, 2).name
    'a%2Fb@2.0@2.png'
  """
  if not perturbation:
    raise ValueError("perturbation='': must have a name")
  # Of these characters every file system takes; @ parts the fields.
  words = [urllib.parse.quote(perturbation, safe="()=,+ ").replace(" ", "%20")]
  words.append(repr(float(strength)))
  if severity is not None:
    words.append(str(int(severity)))
  return pathlib.Path(folder) / f"{'@'.join(words)}.png"


def save_examples(
  folder: str | pathlib.Path,
  perturbation: str,
  strength: float,
  severity: int | None,
  images: np.ndarray,
) -> pathlib.Path:
  """Writes the first images of a batch as one strip, whole or not at all.

  Small images are enlarged by a whole factor, every pixel a square, to a
  height of at least 64 pixels.

  Args:
    folder: Where it goes; made if it is not there.
    perturbation: As rows name it.
    strength: As in the rows.
    severity: As in the rows; None for none.
    images: float [N, H, W, C] in [0, 1], or uint8, of 1 or 3 channels; the
      first 8 are drawn. What is beyond the range is clipped, and not a number
      is black.

  Returns:
    The strip's path, that of `example_path`.

  Raises:
    ValueError: If they are no images, or none.

  Example:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...   save_examples(folder, "clean", 0.0, None, np.zeros((2, 4, 4, 1))).name
    'clean@0.0.png'
  """
  from PIL import Image

  images = np.asarray(images)
  if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
    raise ValueError(
      f"images of shape {images.shape}: must be [N, H, W, C] with N, H and W "
      "at least 1 and C 1 or 3"
    )
  path = example_path(folder, perturbation, strength, severity)
  pixels = _strip(images[:_SHOWN])
  picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f"{path.name}.part")
  picture.save(partial, "PNG", optimize=True)
  partial.replace(path)
  return path


def _strip(images: np.ndarray) -> np.ndarray:
  """Images [N, H, W, C] as one of uint8, enlarged, with gaps."""
  if images.dtype != np.uint8:
    images = np.clip(np.nan_to_num(images.astype(np.float64)), 0.0, 1.0)
    images = np.round(255 * images).astype(np.uint8)
  factor = max(1, math.ceil(_SIDE / images.shape[1]))
  images = images.repeat(factor, axis=1).repeat(factor, axis=2)
  gap = np.full((images.shape[1], _GAP, images.shape[-1]), _GREY, np.uint8)
  parts = [images[0]]
  for image in images[1:]:
    parts += [gap, image]
  return np.concatenate(parts, axis=1)
