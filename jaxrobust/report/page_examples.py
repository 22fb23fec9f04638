"""Examples of perturbations on a page: strips of images as data URIs."""

import base64
import dataclasses
import io
import pathlib
from collections.abc import Sequence

from jaxrobust import data, evaluation
from jaxrobust.report import perturbed
from jaxrobust.report.page_rows import Section, corruption_of, kind
from jaxrobust.report.page_sources import Source

_LARGE = 1280  # pixels: wider strips are made smaller


@dataclasses.dataclass(frozen=True)
class Strip:
  """Images under one perturbation at one strength."""

  label: str
  alt: str
  uri: str
  width: int
  height: int


@dataclasses.dataclass(frozen=True)
class Strips:
  """The strips of one perturbation, from weak to strong."""

  name: str
  strips: Sequence[Strip]


def examples(section: Section, sources: Sequence[Source]) -> list[Strips]:
  """The strips that the runs of a section have saved.

  Args:
    section: The rows.
    sources: Where they come from; with several the first that has a strip.

  Returns:
    Per perturbation its strips, the clean images first.

  Raises:
    data.DataError: If a picture is damaged.
  """
  known = {name for name, _ in section.runs}
  folders = [s.folder / "examples" for s in sources if s.name in known]
  folders = [folder for folder in folders if folder.is_dir()]
  if not folders:
    return []
  cells = dict.fromkeys(
    (cell.perturbation, cell.strength, cell.severity)
    for cell in section.values
    if kind(cell.perturbation) not in ("measured", "reliability", "certified")
    and cell.strength is not None
  )
  found: dict[str, list[Strip]] = {}
  for name, strength, severity in sorted(
    cells, key=lambda c: (c[0] != "clean", c[1])
  ):
    for folder in folders:
      path = evaluation.example_path(folder, name, strength, severity)
      if path.exists():
        label = _label(name, strength)
        found.setdefault(name, []).append(_strip(path, name, label))
        break
  order = dict.fromkeys(("clean", *(name for name, *_ in cells)))
  return [Strips(name, found[name]) for name in order if name in found]


def _label(name: str, strength: float) -> str:
  if name == "clean":
    return "as they are"
  if corruption_of(name):
    return f"severity {strength:g}"
  return perturbed.cell_label("strength", strength)


def _strip(path: pathlib.Path, name: str, label: str) -> Strip:
  """A picture as the page holds it."""
  from PIL import Image, UnidentifiedImageError

  try:
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as image:
      image.load()
      kind_of_file = "png"
      width, height = image.size
      if width > _LARGE:
        buffer = io.BytesIO()
        height = max(1, round(height * _LARGE / width))
        width, kind_of_file = _LARGE, "jpeg"
        smaller = image.convert("RGB").resize((width, height))
        smaller.save(buffer, "JPEG", quality=88)
        content = buffer.getvalue()
  except (UnidentifiedImageError, OSError, SyntaxError) as error:
    raise data.DataError(f"{path}: no picture ({error})") from error
  return Strip(
    label,
    f"The first test images, {name}, {label}",
    f"data:image/{kind_of_file};base64,{base64.b64encode(content).decode()}",
    width,
    height,
  )
