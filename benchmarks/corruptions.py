"""The common corruptions, beside the maintained fork of imagecorruptions.

  python -m benchmarks.corruptions
  python -m benchmarks.corruptions --images=500 --peer_images=100

Every corruption of CIFAR-10-C, the 15 and the 4 extra ones, of images of
32 x 32 pixels at severities 1, 3 and 5 of ImageNet-C's table, which is the only
one that the fork has. Ours are one batch of all images, each severity a call of
the same program, from host arrays to host arrays; the fork takes one image at a
time, from a PIL image to bytes. Both were called before. They are measured
in turns, a severity each, the fork on as many images as `--peer_images` and
scaled; stated are seconds for 10,000 images, means over severities of medians
over rounds.

Images are crops of scikit-learn's two photographs. The last line is one JSON
object. Exit code 2: imagecorruptions-imaug is missing.
"""

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxrobust import corruptions

SIDE, SHRINK = 32, 4
SEVERITIES = (1, 3, 5)
RATE = 10_000
AIM = 5.0


def main() -> int:
  parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0]
  )
  parser.add_argument("--images", type=int, default=500)
  parser.add_argument(
    "--peer_images", type=int, default=50, help="that the fork is timed on"
  )
  parser.add_argument("--rounds", type=int, default=3)
  args = parser.parse_args()
  try:
    claims = measure(args.images, args.peer_images, args.rounds)
  except ImportError as error:
    print(
      f"imagecorruptions-imaug is missing ({error}): install the test extra",
      file=sys.stderr,
    )
    return 2
  what = f"1 x {jax.local_devices()[0].device_kind}"
  print(json.dumps({"device": what, "claims": claims}))
  return 0


def measure(
  count: int = 500, peer_count: int = 50, rounds: int = 3
) -> list[dict[str, Any]]:
  """Corrupts images in turns; prints the table and returns the claim.

  Args:
    count: The number of images.
    peer_count: That the fork is timed on.
    rounds: How often.

  Returns:
    The claims.

  Raises:
    ImportError: If imagecorruptions-imaug is missing.
  """
  # Of numba and OpenCV, and what the fork's scikit-image calls say.
  warnings.simplefilter("ignore")
  from imagecorruptions import (  # pyright: ignore[reportMissingImports]
    corruptions as fork,
  )

  what = f"1 x {jax.local_devices()[0].device_kind}"
  print(
    f"jax {jax.__version__} on {what}; {count} images of {SIDE} x {SIDE},"
    f" seconds for {RATE:,}"
  )
  print(f"\n| {'corruption':18} | {'ours':>8} | {'fork':>8} | {'ratio':>6} |")
  print("|---|---|---|---|")
  images = photographs(count)
  totals = np.zeros(2)
  for name in (*corruptions.COMMON, *corruptions.EXTRA):
    both = np.asarray(
      compare(name, images, getattr(fork, name), peer_count, rounds)
    )
    totals += both
    print_row(name, *both)
  print_row("all of them", *totals)
  text = f"all corruptions of {RATE:,} CIFAR-sized images, seconds"
  return [claim(text, *totals)]


def photographs(count: int) -> np.ndarray:
  """Crops of two photographs, made smaller: uint8 [N, 32, 32, 3]."""
  from sklearn import datasets

  rng = np.random.default_rng(0)
  large = datasets.load_sample_images().images
  images = np.empty((count, SIDE, SIDE, 3), np.uint8)
  wide = SIDE * SHRINK
  for number in range(count):
    photograph = large[number % len(large)]
    top, left = (rng.integers(side - wide + 1) for side in photograph.shape[:2])
    crop = photograph[top : top + wide, left : left + wide]
    blocks = crop.reshape((SIDE, SHRINK, SIDE, SHRINK, 3))
    images[number] = blocks.mean(axis=(1, 3))
  return images


def compare(
  name: str,
  images: np.ndarray,
  fork: Callable[..., Any],
  peer_images: int,
  rounds: int,
) -> tuple[float, float]:
  """Seconds for 10,000 images: ours, and the fork's."""
  keys = jax.random.split(jax.random.key(0), len(images))
  pictures = [Image.fromarray(image) for image in images[:peer_images]]

  def ours(severity):
    floats = jnp.asarray(images.astype(np.float32) / 255)
    return np.asarray(
      corruptions.common(name, keys, floats, severity, "imagenet")
    )

  def theirs(severity):
    return [np.uint8(fork(picture, severity)) for picture in pictures]

  mine: list[list[float]] = [[] for _ in SEVERITIES]
  peer: list[list[float]] = [[] for _ in SEVERITIES]
  ours(SEVERITIES[0])
  for severity in SEVERITIES:
    # Numba compiles again for other types of the numbers.
    fork(pictures[0], severity)
  for _ in range(rounds):
    for place, severity in enumerate(SEVERITIES):
      mine[place].append(seconds(ours, severity) / len(images))
      peer[place].append(seconds(theirs, severity) / len(pictures))
  first, second = (
    RATE * statistics.mean(map(statistics.median, times))
    for times in (mine, peer)
  )
  return first, second


def seconds(function: Callable[[int], Any], severity: int) -> float:
  begin = time.perf_counter()
  function(severity)
  return time.perf_counter() - begin


def print_row(name: str, ours: float, peer: float) -> None:
  print(
    f"| {name:18} | {ours:8.2f} | {peer:8.2f} | {peer / ours:6.1f} |",
    flush=True,
  )


def claim(text: str, ours: float, peer: float) -> dict[str, Any]:
  """A claim that the peer takes at least `AIM` times as long."""
  return {
    "claim": text,
    "ours": round(float(ours), 2),
    "peer": round(float(peer), 2),
    "ratio": round(float(peer / ours), 2),
    "aim": AIM,
    "met": bool(peer >= AIM * ours),
  }


if __name__ == "__main__":
  sys.exit(main())
