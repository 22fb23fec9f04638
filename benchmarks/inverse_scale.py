"""The inverse-scale smoother beside numpy, the joint dynamics, scikit-image.

  python -m benchmarks.inverse_scale
  python -m benchmarks.inverse_scale --rounds=3 --sides=32

Patches of scikit-learn's two photographs, 32 x 32 and 224 x 224 in three
channels, a share of 0.6 of the edges, 20 steps with nu = 1, averaged over
pieces. Ours runs on all devices of the machine, on a CPU one per core.

- numpy: the same algorithm in float64 with scipy's cosine transform, its sort
  and csgraph's components, the oracle of our tests; one process.
- joint: Split LBI (kappa = 5, nu = 1), as published for sparse models, until
  every image of a batch has its share of edges open: it stops at 20,000 steps.
- scikit-image: denoise_tv_chambolle with its defaults, another algorithm.

Reported is the median over rounds in which all take turns, but for the joint
dynamics, which is timed once. The last line is one JSON object. Exit code 2:
scikit-image is missing.
"""

import argparse
import importlib.util
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import inverse_scale
from jaxrobust.training import parallel

FRACTION, NU, STEPS = 0.6, 1.0, 20
# side: (images of ours, of numpy, of scikit-image, images a second aimed at)
SIZES = {32: (256, 16, 64, 1200.0), 224: (8, 1, 4, 30.0)}
JOINT_IMAGES, JOINT_KAPPA, JOINT_CHUNK, JOINT_CAP = 16, 5.0, 500, 20_000


def main() -> int:
  parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0]
  )
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument(
    "--sides", type=int, nargs="+", choices=SIZES, default=list(SIZES)
  )
  args = parser.parse_args()
  try:
    from skimage.restoration import denoise_tv_chambolle
  except ImportError as error:
    print(
      f"scikit-image is missing ({error}): install the test extra",
      file=sys.stderr,
    )
    return 2
  parallel.use_all_cores()
  devices = jax.local_devices()
  what = f"{len(devices)} x {devices[0].device_kind}"
  print(f"jax {jax.__version__} on {what}; images a second")
  peer = oracle()
  launcher = parallel.Launcher("pmap", devices)
  smooth = launcher.map(
    lambda images: (
      inverse_scale.smooth(images, FRACTION, nu=NU, steps=STEPS).images
    ),
    sharded_in=(True,),
    sharded_out=True,
  )
  claims: list[dict[str, Any]] = []
  for side in args.sides:
    count, few, some, aim = SIZES[side]
    images = peer.photographs(count, side, shrink=4 if side == 32 else 1)
    placed = launcher.place_shards(images)
    check_equal(launcher.gather(smooth(placed))[:few], peer, images[:few])

    def ours(placed=placed):
      jax.block_until_ready(smooth(placed))

    def numpy_and_scipy(images=images[:few]):
      peer.smooth(images, FRACTION, NU, STEPS)

    def chambolle(images=images[:some]):
      for image in images:
        denoise_tv_chambolle(image, channel_axis=-1)

    rates = in_turns(
      [(ours, count), (numpy_and_scipy, few), (chambolle, some)], args.rounds
    )
    print(
      f"{side:>4} px  ours {rates[0]:.1f}  numpy and csgraph {rates[1]:.1f}"
      f"  scikit-image's Chambolle {rates[2]:.1f}",
      flush=True,
    )
    size = f"{side}x{side}x3"
    claims += [
      claim(f"{size}: images/s", rates[0], aim, 1.0),
      claim(f"{size}: images/s against numpy", rates[0], rates[1], 5.0),
    ]
    if side == 32:
      joint, steps, arrived = joint_rate(images[:JOINT_IMAGES])
      print(
        f"{side:>4} px  joint dynamics {joint:.1f}: {arrived} of "
        f"{JOINT_IMAGES} images there after {steps} steps"
      )
      text = f"{size}: images/s against the joint dynamics"
      claims.append(claim(text, rates[0], joint, 20.0))
  print(json.dumps({"device": what, "claims": claims}))
  return 0


def oracle() -> Any:
  """The numpy implementation that the tests compare with."""
  path = pathlib.Path(__file__).parents[1] / "tests" / "inverse_scale"
  spec: Any = importlib.util.spec_from_file_location(
    "dense_inverse_scale", path / "dense_inverse_scale.py"
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def check_equal(found: np.ndarray, peer: Any, images: np.ndarray) -> None:
  """Both give the same images, but where a rounding error changes an edge."""
  expected, _ = peer.smooth(images, FRACTION, NU, STEPS)
  share = np.mean(np.abs(found - expected) > 1 / 255)
  if share > 0.001:
    raise AssertionError(f"{share:.2%} of the pixels differ from numpy's")


def joint_rate(images: np.ndarray) -> tuple[float, int, int]:
  """Images a second of the joint dynamics, its steps, and how many arrived."""
  inputs = jnp.asarray(images)

  @jax.jit
  def advance(flow):
    flow = inverse_scale.advance(
      flow, inputs, JOINT_CHUNK, nu=NU, dynamics="joint"
    )
    return flow, inverse_scale.hit_fraction(flow) >= FRACTION

  first = inverse_scale.start(inputs, JOINT_KAPPA, nu=NU)
  jax.block_until_ready(advance(first))
  begin = time.perf_counter()
  flow, there, steps = first, np.zeros(len(images), bool), 0
  while steps < JOINT_CAP and not there.all():
    flow, there = advance(flow)
    there, steps = np.asarray(there), steps + JOINT_CHUNK
  return len(images) / (time.perf_counter() - begin), steps, int(there.sum())


def in_turns(
  calls: list[tuple[Callable[[], None], int]], rounds: int
) -> list[float]:
  """The median rate of each call, all of them timed in each round."""
  for call, _ in calls:
    call()
  rates = [[rate(*call) for call in calls] for _ in range(rounds)]
  return [statistics.median(column) for column in zip(*rates, strict=True)]


def rate(call: Callable[[], None], images: int) -> float:
  """Images a second of one call."""
  begin = time.perf_counter()
  call()
  return images / (time.perf_counter() - begin)


def claim(text: str, ours: float, peer: float, aim: float) -> dict[str, Any]:
  """A claim that ours is at least `aim` times the peer."""
  return {
    "claim": text,
    "ours": round(ours, 1),
    "peer": round(peer, 1),
    "ratio": round(ours / peer, 3),
    "aim": aim,
    "met": ours >= aim * peer,
  }


if __name__ == "__main__":
  sys.exit(main())
