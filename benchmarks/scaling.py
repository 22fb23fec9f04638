"""How the train step scales: measured here, and expected on more chips.

  python -m benchmarks.scaling
  python -m benchmarks.scaling --rounds=3 --steps=40

- Measured: milliseconds of one step of LeNet-5 on 28x28x1 images, with 1 to 8
  virtual CPU devices of one process, and 1, 2 and 4 processes of one device
  that talk over the loopback interface; strong scaling shares a batch of 256,
  weak scaling gives each device 64. Each configuration is a process, or a job,
  of its own, asked in turn. Devices beyond the cores of the machine show what
  the mapping costs, not what it gains.
- Counted: the bytes that a step sums over devices for every method, of
  ResNet-18 on 32x32x3 images, 10 classes, float32: the operands of all
  collectives of the traced step, and how many collectives.
- Expected, from those and from published figures of chips and their
  interconnects: the share of time that a chip computes, on 8, 64 and 512 chips
  with 128 images each. The assumptions stand in `EXPECTATION` and are printed.

The last line is one JSON object.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
STRONG, WEAK = 256, 64
DEVICES = (1, 2, 4, 8)
PROCESSES = (1, 2, 4)
CHIPS = (8, 64, 512)
IMAGES_PER_CHIP = 128


class Chip(NamedTuple):
  """Published figures: peak bfloat16 FLOP/s, and bytes/s one way per chip.

  `island` chips share the fast links; beyond them, a chip has its share of
  the network.
  """

  flops: float
  fast: float
  island: int
  network: float
  source: str


# A link's published bandwidth counts both directions; half of it is one way.
TABLE = {
  "TPU v5e": Chip(
    197e12,
    400e9 / 2,
    256,
    6.4e12 / 8 / 256,
    "cloud.google.com/tpu/docs/v5e: 197 TFLOP/s, 400 GB/s between chips both "
    "ways, pods of 256, 6.4 Tbit/s of network a pod",
  ),
  "H100 SXM": Chip(
    989e12,
    900e9 / 2,
    8,
    400e9 / 8,
    "NVIDIA's data sheets: 989 TFLOP/s dense, NVLink 900 GB/s both ways among "
    "8, 400 Gbit/s of InfiniBand for each",
  ),
}
UTILISATION, HOP = 0.3, 5e-6
EXPECTATION = f"""assumptions:
- a chip computes the standard step at {UTILISATION:.0%} of its peak; a method
  that computes more hides its sums better
- sums are rings: 2 (n - 1) / n of the bytes pass each chip's links; among
  islands, each chip sums its share of the island's result over the network
- {HOP * 1e6:.0f} microseconds for each doubling of the chips and sum; one sum
  for each leaf of the gradient, though XLA combines those into a few
- "apart" adds sums to computing, "hidden" overlaps them wholly: what is to be
  expected lies between
- no chip waits for its host, or for another chip that is slower"""


def main() -> int:
  """Prints the tables and returns the exit code."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--steps", type=int, default=30)
  parser.add_argument("--worker", help=argparse.SUPPRESS)
  parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.worker == "time":
    return time_step(args.batch, args.steps)
  if args.worker == "count":
    return count_bytes()
  claims = measured(args.rounds, args.steps)
  expected(json.loads(_worker(1, 1, "count")))
  what = f"{os.cpu_count()} cores"
  print(json.dumps({"device": what, "claims": claims}))
  return 0


# --- measured


def measured(rounds: int, steps: int) -> list[dict[str, Any]]:
  """Times every configuration, in turns, and prints them."""
  cases = [(1, d) for d in DEVICES] + [(p, 1) for p in PROCESSES[1:]]
  times: dict[tuple[str, int, int], list[float]] = {}
  for _ in range(rounds):
    for kind in ("strong", "weak"):
      for processes, devices in cases:
        batch = STRONG if kind == "strong" else WEAK * processes * devices
        words = ("time", f"--batch={batch}", f"--steps={steps}")
        found = float(_worker(processes, devices, *words))
        times.setdefault((kind, processes, devices), []).append(found)
  median = {case: statistics.median(each) for case, each in times.items()}
  print("ms a step, medians; efficiency beside one device of one process")
  print(f"{'processes':>9} {'devices':>7} {'strong':>8} {'':>6} {'weak':>8}")
  for processes, devices in cases:
    strong, weak = (median[k, processes, devices] for k in ("strong", "weak"))
    n = processes * devices
    gained = median["strong", 1, 1] / strong / n
    kept = median["weak", 1, 1] / weak
    print(
      f"{processes:9} {devices:7} {strong:8.1f} {gained:6.0%} "
      f"{weak:8.1f} {kept:6.0%}"
    )
  return [
    _claim(
      "strong scaling, 2 devices beside 1",
      median["strong", 1, 2],
      median["strong", 1, 1],
      aim=1.0,
    ),
    _claim(
      "strong scaling, 2 processes beside 2 devices of one",
      median["strong", 2, 1],
      median["strong", 1, 2],
      aim=0.7,
    ),
  ]


def _claim(name: str, ours: float, peer: float, aim: float) -> dict[str, Any]:
  ratio = peer / ours
  return {
    "claim": name,
    "ours": round(ours, 2),
    "peer": round(peer, 2),
    "ratio": round(ratio, 2),
    "aim": aim,
    "met": ratio >= aim,
  }


def _worker(processes: int, devices: int, *words: str) -> str:
  """What a process, or the first of several, prints in its last line."""
  command = [sys.executable, "-m", "benchmarks.scaling", f"--worker={words[0]}"]
  command += words[1:]
  if processes > 1:
    command = [str(ROOT / "launch" / "local.sh"), str(processes), *command]
  done = subprocess.run(
    command,
    check=True,
    cwd=ROOT,
    env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)},
    stdout=subprocess.PIPE,
    text=True,
  )
  return done.stdout.strip().splitlines()[-1]


def time_step(batch_size: int, steps: int) -> int:
  """Prints the milliseconds of a step over all devices of the job."""
  from jaxrobust.training import processes

  processes.join()
  import jax
  import numpy as np

  from jaxrobust.training import parallel

  config = _config("lenet5", (28, 28, 1), "standard", batch_size)
  launcher = parallel.Launcher("pmap", parallel.all_devices())
  step, state = _step(config)
  mapped = launcher.map(
    step,
    sharded_in=(False, True, False),
    sharded_out=(False, False),
    donate=(0,),
  )
  state = launcher.replicate(state)
  rng = np.random.default_rng(0)
  batch = {
    "inputs": rng.integers(0, 256, (batch_size, 28, 28, 1), np.uint8),
    "labels": rng.integers(0, 10, batch_size).astype(np.int32),
    "index": np.arange(batch_size, dtype=np.int32),
    "mask": np.ones(batch_size, np.float32),
  }
  for _ in range(3):
    state, metrics = mapped(state, launcher.shard(batch), {})
  jax.block_until_ready(metrics)
  began = time.perf_counter()
  for _ in range(steps):
    state, metrics = mapped(state, launcher.shard(batch), {})
  jax.block_until_ready((state, metrics))
  print(1e3 * (time.perf_counter() - began) / steps, flush=True)
  return processes.leave(0)


# --- counted


def count_bytes() -> int:
  """Prints, for each method, the bytes and the number of its collectives."""
  import jax
  import numpy as np
  from jax.sharding import Mesh
  from jax.sharding import PartitionSpec as P

  from jaxrobust import methods
  from jaxrobust.training import parallel

  mesh = Mesh(np.asarray(jax.devices()[:1]), (parallel.AXIS,))
  found: dict[str, Any] = {}
  for name in methods.PRESETS:
    config = _config("resnet18", (32, 32, 3), name, IMAGES_PER_CHIP)
    step, state = _step(config, shapes_only=True)
    mapped = jax.shard_map(
      step,
      mesh=mesh,
      in_specs=(P(), P(parallel.AXIS), P()),
      out_specs=(P(), P()),
      check_vma=False,
    )
    rows = IMAGES_PER_CHIP
    batch = {
      "inputs": jax.ShapeDtypeStruct((rows, 32, 32, 3), np.uint8),
      "labels": jax.ShapeDtypeStruct((rows,), np.int32),
      "index": jax.ShapeDtypeStruct((rows,), np.int32),
      "mask": jax.ShapeDtypeStruct((rows,), np.float32),
    }
    total, count = _collectives(jax.make_jaxpr(mapped)(state, batch, {}).jaxpr)
    found[name] = {"bytes": total, "collectives": count}
    if name == "standard":
      cost: Any = jax.jit(mapped).lower(state, batch, {}).cost_analysis()
      found[name]["flops"] = cost["flops"]
  print(json.dumps(found))
  return 0


_SUMS = ("psum", "pmax", "pmin", "all_gather", "all_to_all", "reduce_scatter")


def _collectives(jaxpr: Any, times: int = 1) -> tuple[int, int]:
  """The bytes and the number of the collectives of a program."""
  total = count = 0
  for equation in jaxpr.eqns:
    inner_times = times
    if equation.primitive.name == "scan":
      inner_times *= equation.params["length"]
    if equation.primitive.name.startswith(_SUMS):
      operands = [v.aval for v in equation.invars if hasattr(v.aval, "dtype")]
      total += times * sum(a.size * a.dtype.itemsize for a in operands)
      count += times
    for parameter in equation.params.values():
      parts = parameter if isinstance(parameter, tuple | list) else [parameter]
      for part in parts:
        inner = getattr(part, "jaxpr", part)
        if hasattr(inner, "eqns"):
          more = _collectives(inner, inner_times)
          total, count = total + more[0], count + more[1]
  return total, count


def _config(
  model: str, shape: tuple[int, ...], method: str, batch_size: int
) -> Any:
  import jaxrobust
  from jaxrobust import methods

  config: Any = jaxrobust.default_config()
  config.data.shape = shape
  config.model.name = model
  config.method = methods.preset(method)
  for slot, options in _SET.get(method, {}).items():
    config.method[slot].update(options)
  config.train.batch_size = batch_size
  return config


# What presets leave to the user.
_SET = {
  "gaussian": {"input": {"std": 0.1}},
  "alpha_stable": {"input": {"alpha": 1.0, "scale": 0.1}},
  "adversarial": {"input": {"eps": 0.03}},
  "inverse_scale": {"input": {"fractions": (0.3,)}},
  "stochastic": {"forward": {"sigma": 0.5}},
  "monte_carlo": {"forward": {"sigma": 0.5}},
  "discriminative": {"view": {"std": 0.1}},
  "stability": {"view": {"std": 0.1}},
  "clean_and_noisy": {"view": {"std": 0.1}},
}


def _step(config: Any, shapes_only: bool = False) -> tuple[Any, Any]:
  """The package's train step of a config, and a first state."""
  import jax

  from jaxrobust import methods, models
  from jaxrobust.training import config as config_lib
  from jaxrobust.training import parallel
  from jaxrobust.training import state as state_lib
  from jaxrobust.training.step import make_train_step

  shape = tuple(config.data.shape)
  model = models.build(
    **config_lib.model_arguments(config), axis_name=parallel.AXIS
  )
  schedule = state_lib.learning_rate_schedule(config, steps_per_epoch=100)
  optimizer = state_lib.make_optimizer(config, schedule)
  method = methods.build(config.method, shape)
  step = make_train_step(
    config, model, method, optimizer, schedule, 1000, parallel.AXIS
  )
  arguments = (model, optimizer, shape, 0, False, method)
  if shapes_only:
    return step, jax.eval_shape(lambda: state_lib.initial_state(*arguments))
  return step, state_lib.create_state(*arguments)


# --- expected


def seconds_of_sums(
  chip: Chip, chips: int, size: float, collectives: int
) -> float:
  """The time of summing `size` bytes over chips, under `EXPECTATION`."""
  inside = min(chips, chip.island)
  islands = chips // inside
  seconds = 2 * (inside - 1) / inside * size / chip.fast
  if islands > 1:
    share = size / inside
    seconds += 2 * (islands - 1) / islands * share / chip.network
  return seconds + HOP * math.log2(chips) * collectives


def expected(found: dict[str, Any]) -> None:
  """Prints bytes per method, and the expected efficiency."""
  flops = found["standard"]["flops"]
  print(
    f"\nResNet-18, {IMAGES_PER_CHIP} images of 32x32x3 a chip: "
    f"{flops / 1e9:.0f} GFLOP a step; summed over chips in a step:"
  )
  for name, own in found.items():
    print(
      f"  {name:20} {own['bytes'] / 1e6:6.1f} MB in {own['collectives']:3} sums"
    )
  print(f"\nexpected efficiency, {EXPECTATION}")
  for name, chip in TABLE.items():
    compute = flops / (UTILISATION * chip.flops)
    print(f"\n{name} ({chip.source}): {1e3 * compute:.2f} ms of computing")
    print(f"{'':20}" + "".join(f"{n:>9} chips     " for n in CHIPS))
    print(f"{'':20}" + "   apart  hidden   " * len(CHIPS))
    for method, own in found.items():
      cells = []
      for chips in CHIPS:
        sums = seconds_of_sums(chip, chips, own["bytes"], own["collectives"])
        apart = compute / (compute + sums)
        hidden = compute / max(compute, sums)
        cells.append(f"{apart:8.1%}{hidden:8.1%}   ")
      print(f"{method:20}" + "".join(cells))


if __name__ == "__main__":
  sys.exit(main())
