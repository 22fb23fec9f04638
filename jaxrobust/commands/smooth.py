"""`jaxrobust smooth`: images with few sharp edges, and how they fall apart."""

import argparse
import csv
import io
import pathlib
import time
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from jaxrobust.commands import shell
from jaxrobust.data.photographs import photographs
from jaxrobust.inverse_scale.differences import EDGES
from jaxrobust.inverse_scale.smooth import OUTPUTS

HELP = "smooth images to shares of their edges, and show what is left"
EXAMPLE = "jaxrobust smooth --images=photos --fractions=.2,.4,.6 --out=smoothed"

_SHOWN = 12  # images on the contact sheet


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds this verb's arguments."""
  parser.add_argument(
    "--images",
    help="a folder of .png or .jpg images, each of its own size (default: "
    "scikit-learn's photographs china and flower)",
  )
  parser.add_argument(
    "--fractions",
    default=".1,.2,.3,.4,.5,.6",
    help="the shares of edges to keep, in [0, 1] (default: %(default)s)",
  )
  parser.add_argument("--out", required=True, help="the folder to write to")
  parser.add_argument(
    "--nu",
    type=float,
    default=0.3,
    help="the splitting: small follows the exact inverse scale space, and "
    "takes more steps (default: %(default)s)",
  )
  parser.add_argument(
    "--steps",
    type=int,
    default=80,
    help="of the flow, to the largest fraction (default: %(default)s)",
  )
  parser.add_argument(
    "--edges",
    choices=EDGES,
    default="aniso",
    help="of each channel for itself, shared by the channels, or the two of a "
    "pixel together (default: %(default)s)",
  )
  parser.add_argument(
    "--output",
    choices=OUTPUTS,
    default="Px",
    help="the flow's image averaged over pieces, the image itself averaged, "
    "or the flow's image (default: %(default)s)",
  )
  parser.add_argument(
    "--max_side",
    type=int,
    default=640,
    help="larger images are made smaller first, in pixels "
    "(default: %(default)s)",
  )


def run(args: argparse.Namespace) -> int:
  """Smooths image by image, then writes the sheet and the report."""
  from jaxrobust.report import smoothing

  shell.use_compilation_cache()
  fractions = _fractions(args.fractions)
  if args.max_side < 1:
    raise shell.UsageError(f"--max_side={args.max_side}: must be at least 1")
  out = pathlib.Path(args.out).expanduser()
  if args.images and pathlib.Path(args.images).expanduser().resolve() == (
    out.resolve()
  ):
    raise shell.UsageError(f"--out={args.out}: must not be the images' folder")
  if out.exists() and not out.is_dir():
    raise shell.UsageError(f"--out={args.out}: must be a folder")
  shown, rows = [], []
  for photograph in photographs(args.images, args.max_side):
    begin = time.perf_counter()
    try:
      scene = smoothing.scene(
        photograph.name,
        photograph.pixels / np.float32(255),
        fractions,
        nu=args.nu,
        steps=args.steps,
        edges=args.edges,
        output=args.output,
      )
    except ValueError as error:
      raise shell.UsageError(str(error)) from error
    # Not before: a wrong flag leaves nothing behind.
    out.mkdir(parents=True, exist_ok=True)
    for level in scene.levels:
      _write_image(out / f"{scene.name}_f{level.fraction:g}.png", level.image)
    rows += [level.row(scene.name) for level in scene.levels]
    if len(shown) < _SHOWN:
      shown.append(scene)
    print(_line(photograph, time.perf_counter() - begin), flush=True)
  _write(out / "percolation.csv", lambda stream: _write_rows(stream, rows))
  about = (
    f"inverse scale space of total variation: output {args.output}, "
    f"edges {args.edges}, nu {args.nu:g}, {args.steps} steps"
  )
  for name, figure in (
    ("percolation.png", smoothing.percolation(rows)),
    ("contact_sheet.png", smoothing.contact_sheet(shown, about)),
  ):
    _write(
      out / name,
      lambda stream, figure=figure: figure.savefig(
        stream, dpi=150, format="png"
      ),
    )
  images = len(rows) // len(fractions)
  if images > len(shown):
    print(f"the contact sheet shows the first {len(shown)} of {images} images")
  for name in ("percolation.csv", "percolation.png", "contact_sheet.png"):
    print(out / name)
  return shell.DONE


def _fractions(text: str) -> list[float]:
  """The fractions, from coarse to fine."""
  try:
    found = sorted({float(word) for word in text.split(",")})
  except ValueError:
    found = []
  if not found or not all(0 <= fraction <= 1 for fraction in found):
    raise shell.UsageError(
      f"--fractions={text}: must be numbers in [0, 1], as .2,.4,.6"
    )
  return found


def _line(photograph: Any, seconds: float) -> str:
  height, width = photograph.pixels.shape[:2]
  shrunk = ""
  if photograph.shrunk_from:
    before = photograph.shrunk_from
    shrunk = f" (made smaller from {before[1]} x {before[0]})"
  return f"{photograph.name}: {width} x {height}{shrunk}, {seconds:.1f} s"


def _write_image(path: pathlib.Path, image: np.ndarray) -> None:
  from PIL import Image

  pixels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
  picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
  _write(path, lambda stream: picture.save(stream, "PNG"))


def _write_rows(stream: IO[bytes], rows: list[dict[str, Any]]) -> None:
  text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
  writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
  writer.writeheader()
  for row in rows:
    writer.writerow(
      {
        name: f"{value:.6g}" if isinstance(value, float) else value
        for name, value in row.items()
      }
    )
  text.flush()
  text.detach()


def _write(path: pathlib.Path, write: Callable[[IO[bytes]], Any]) -> None:
  """Writes a file whole or not at all."""
  part = path.with_name(f"{path.name}.part")
  with part.open("wb") as stream:
    write(stream)
  part.replace(path)
