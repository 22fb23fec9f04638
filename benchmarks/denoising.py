"""How well the smoothers denoise, each tuned: decibels, not seconds.

  python -m benchmarks.denoising
  python -m benchmarks.denoising --shrink=1

Images of 32 x 32 pixels, crops of 128 x 128 from scikit-learn's two photographs
averaged over 4 x 4 (--shrink), which are less flat than crops of 32 x 32; under
Gaussian noise of four strengths, as it is and clipped to [0, 1] as stored
images are: clipped noise has another mean where an image is dark, which an
average keeps and a median does not. Every smoother has a grid of its strength,
and what counts is its best: the highest mean PSNR over the images, which nobody
knows without the clean images. Results are clipped to [0, 1].

- Ours: the inverse-scale smoother's levels of one path, with edges of each
  channel (aniso) and edges that the channels share (color), and its three
  outputs: Px and Py are constant over pieces, x is not.
- The classical ones of `jaxrobust.filters`, each channel for itself: total
  variation (Chambolle), median, Gaussian blur, low-pass.
- scikit-image's Chambolle at our best weight, for the same number.

The last line is one JSON object; its claims are ratios of decibels. Exit code
2: scikit-image is missing.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import filters, inverse_scale

SIDE = 32
STDS = (0.04, 0.08, 0.12, 0.2)
FRACTIONS = (0.05, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)
NU, STEPS = 0.1, 60
WEIGHTS = tuple(np.geomspace(0.01, 0.5, 12).tolist())
ITERATIONS = 200
SIGMAS = tuple(np.geomspace(0.3, 4.0, 16).tolist())
RADIUS = 16
CUTOFFS = tuple(np.linspace(0.05, 1.0, 20).tolist())
SIZES = (3, 5, 7, 9)
AS_GOOD = 1.0  # of tuned Chambolle's decibels


class Best(NamedTuple):
  """The best of a smoother's grid."""

  psnr: float
  setting: str
  value: float


class Family(NamedTuple):
  """Smoothers that share a computation, and the grid of their setting.

  Attributes:
    names: One per smoother.
    setting: What the grid is of.
    grid: The settings.
    smooth: From images to those of each smoother and setting, [S, G, ...].
  """

  names: Sequence[str]
  setting: str
  grid: Sequence[float]
  smooth: Callable[[jax.Array], jax.Array]


def main() -> int:
  parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0]
  )
  parser.add_argument("--crops", type=int, default=64, help="how many images")
  parser.add_argument(
    "--shrink", type=int, default=4, help="pixels to a side that are averaged"
  )
  args = parser.parse_args()
  try:
    from skimage import restoration
  except ImportError as error:
    print(
      f"scikit-image is missing ({error}): install the test extra",
      file=sys.stderr,
    )
    return 2
  clean, noisy = problem(args.crops, args.shrink)
  device = jax.local_devices()[0]
  what = f"1 x {device.device_kind}"
  print(
    f"jax {jax.__version__} on {what}; {args.crops} images of {SIDE} x {SIDE}, "
    "mean PSNR in dB at the best setting"
  )
  claims = []
  tried = [(family, scored(family, clean)) for family in families()]
  for kind, images in (("", noisy), (" clipped", np.clip(noisy, 0, 1))):
    found = tuned(tried, images)
    print_table(f"noise{kind}", found, images, clean)
    for number, std in enumerate(STDS):
      peer = found["Chambolle"][number].psnr
      for name in ("ours, x, color", "ours, Px, color"):
        text = f"PSNR of {name}, against tuned Chambolle, noise{kind} of std"
        value = found[name][number].psnr
        claims.append(claim(f"{text} {std:g}", value, peer, AS_GOOD))
  best = found["Chambolle"][1]
  theirs = [
    restoration.denoise_tv_chambolle(
      image, best.value, eps=0, max_num_iter=ITERATIONS + 1, channel_axis=-1
    )
    for image in np.clip(noisy[1], 0, 1)
  ]
  theirs = float(mean_psnr(np.asarray(theirs, np.float32)[None], clean)[0])
  text = f"PSNR of our Chambolle, against scikit-image's, clipped std {STDS[1]}"
  claims.append(claim(text, best.psnr, theirs, 0.999))
  print(json.dumps({"device": what, "claims": claims}))
  return 0


def problem(crops: int, shrink: int) -> tuple[np.ndarray, np.ndarray]:
  """Clean images [N, 32, 32, 3], and noisy ones [4, N, 32, 32, 3]."""
  from sklearn import datasets

  rng = np.random.default_rng(0)
  photographs = datasets.load_sample_images().images
  clean = np.empty((crops, SIDE, SIDE, 3), np.float32)
  for number in range(crops):
    photograph = photographs[number % len(photographs)]
    height, width = photograph.shape[:2]
    side = shrink * SIDE
    top = rng.integers(height - side + 1)
    left = rng.integers(width - side + 1)
    crop = photograph[top : top + side, left : left + side] / 255
    blocks = crop.reshape((SIDE, shrink, SIDE, shrink, 3))
    clean[number] = blocks.mean(axis=(1, 3))
  noise = rng.standard_normal((len(STDS), *clean.shape), np.float32)
  stds = np.asarray(STDS, np.float32).reshape((-1, 1, 1, 1, 1))
  return clean, clean + stds * noise


def families() -> list[Family]:
  """All smoothers; ours once for each kind of edges."""

  def ours(images, edges):
    levels = inverse_scale.path(
      images, FRACTIONS, nu=NU, steps=STEPS, edges=edges, output="x"
    )

    def project(level):
      smooth, support = level
      labels = inverse_scale.component_labels(support)
      return jnp.stack(
        [
          smooth,
          inverse_scale.component_means(smooth, labels),
          inverse_scale.component_means(images, labels),
        ]
      )

    both = jax.lax.map(project, (levels.images, levels.support))
    return jnp.moveaxis(both, 1, 0)

  def tv(images, weight):
    return filters.chambolle(images, weight, iterations=ITERATIONS)

  def blur(images, sigma):
    return filters.gaussian_blur(images, sigma, radius=RADIUS)

  def over(grid, smooth):
    return lambda images: jax.lax.map(
      lambda value: smooth(images, value), jnp.asarray(grid, jnp.float32)
    )[None]

  def medians(images):
    return jnp.stack([filters.median(images, size) for size in SIZES])[None]

  return [
    Family(["Chambolle"], "weight", WEIGHTS, over(WEIGHTS, tv)),
    Family(["median"], "size", SIZES, medians),
    Family(["Gaussian blur"], "sigma", SIGMAS, over(SIGMAS, blur)),
    Family(["low-pass"], "cutoff", CUTOFFS, over(CUTOFFS, filters.low_pass)),
    *(
      Family(
        [f"ours, {output}, {edges}" for output in ("x", "Px", "Py")],
        "f",
        FRACTIONS,
        lambda images, edges=edges: ours(images, edges),
      )
      for edges in ("aniso", "color")
    ),
  ]


def scored(family: Family, clean: np.ndarray) -> Callable[[Any], jax.Array]:
  """From noisy images to decibels [S, G], compiled once."""
  return jax.jit(
    lambda images: jnp.stack(
      [mean_psnr(smoothed, clean) for smoothed in family.smooth(images)]
    )
  )


def tuned(
  tried: Sequence[tuple[Family, Callable[[Any], jax.Array]]],
  noisy: np.ndarray,
) -> dict[str, list[Best]]:
  """The best setting of every smoother under each strength of the noise."""
  found: dict[str, list[Best]] = {}
  for family, score in tried:
    for images in noisy:
      for name, row in zip(
        family.names, np.asarray(score(images)), strict=True
      ):
        place = int(row.argmax())
        value = family.grid[place]
        best = Best(float(row[place]), f"{family.setting} {value:.2g}", value)
        found.setdefault(name, []).append(best)
  return found


def print_table(
  what: str, found: dict[str, list[Best]], noisy: np.ndarray, clean: np.ndarray
) -> None:
  print(f"\n| {what} | " + " | ".join(f"std {std:g}" for std in STDS) + " |")
  print("|---" * (1 + len(STDS)) + "|")
  raw = [float(mean_psnr(one[None], clean)[0]) for one in noisy]
  print("| none | " + " | ".join(f"{value:.1f}" for value in raw) + " |")
  for name, bests in found.items():
    cells = (f"{best.psnr:.1f} ({best.setting})" for best in bests)
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def mean_psnr(smoothed: Any, clean: np.ndarray) -> jax.Array:
  """Decibels [G] of [G, N, 32, 32, 3], the mean over crops."""
  smoothed = jnp.clip(smoothed, 0, 1)
  return jnp.mean(
    jax.vmap(lambda images: inverse_scale.psnr(images, jnp.asarray(clean)))(
      smoothed
    ),
    axis=1,
  )


def claim(text: str, ours: float, peer: float, aim: float) -> dict[str, Any]:
  """A claim that ours is at least `aim` times the peer."""
  return {
    "claim": text,
    "ours": round(ours, 2),
    "peer": round(peer, 2),
    "ratio": round(ours / peer, 4),
    "aim": aim,
    "met": ours >= aim * peer,
  }


if __name__ == "__main__":
  sys.exit(main())
