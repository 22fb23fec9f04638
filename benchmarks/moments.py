"""Analytic stochastic training against its alternatives.

  python -m benchmarks.moments
  python -m benchmarks.moments --only=lenet5

The package's own train step on one device, in turns within one process: the
deterministic one, the analytic forward in its three modes with diagonal
covariance, Monte Carlo, and PGD adversarial training. Reported is the median
over rounds of the time of a step within a round, its ratio to the
deterministic step, and the compiler's figure for the memory of intermediate
values.

Monte Carlo is compared at equal error. The moments of a trained LeNet-5's
logits under noise of standard deviation 0.6 after the first convolution are
measured with 20,000 samples; against them stand the errors of the analytic
modes and those of fewer samples, n: 1 / sqrt(n) standard deviations in the
mean, sqrt((k - (n - 3) / (n - 1)) / n) of the variance in the variance, with
the kurtosis k. How many samples it takes to err no more than the analytic mode
follows, and is checked. A step with so many takes the time on the straight line
through those with 1 and with 16.

The last line is one JSON object.
"""

import argparse
import json
import statistics
import sys
import time
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

import jaxrobust
from benchmarks.moment_errors import MODES, SIGMA, compare_errors
from jaxrobust import methods, models, moments
from jaxrobust.training import parallel, state, step

AIMS = {"laplace": 2.2, "linear": 2.2, "moment": 3.5}
PGD_AIMS = {7: 3.0, 40: 15.0}
MANY = 16


class Case(NamedTuple):
  """A model, the shape of a batch, and how often it is measured.

  Attributes:
    eps: the radius of PGD.
    attacks: the numbers of PGD's steps that are measured.
  """

  title: str
  batch: tuple[int, ...]
  rounds: int
  eps: float
  attacks: tuple[int, ...]


CASES = {
  "lenet5": Case("LeNet-5, batch 128", (128, 28, 28, 1), 7, 0.1, (7, 40)),
  # PGD-40 would take minutes a step on a CPU.
  "resnet18": Case("ResNet-18, batch 8", (8, 32, 32, 3), 2, 8 / 255, (7,)),
}


def main() -> int:
  parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0]
  )
  parser.add_argument("--only", choices=CASES, help="one model only")
  args = parser.parse_args()
  device = jax.local_devices()[0]
  print(f"jax {jax.__version__} on 1 x {device.device_kind}")
  claims = []
  counts = {}
  if args.only != "resnet18":
    counts = compare_errors()
  for name in [args.only] if args.only else CASES:
    claims += compare_steps(name, counts if name == "lenet5" else {})
  claims += compare_doors()
  what = f"1 x {device.device_kind}"
  print(json.dumps({"device": what, "claims": claims}))
  return 0


def claim(text: str, ours: float, peer: float, aim: float) -> dict[str, Any]:
  """A claim that ours is at most `aim` times the peer."""
  return {
    "claim": text,
    "ours": round(ours, 4),
    "peer": round(peer, 4),
    "ratio": round(ours / peer, 3),
    "aim": round(aim, 3),
    "met": ours <= aim * peer,
  }


def compare_steps(name: str, counts: dict[str, int]) -> list[dict[str, Any]]:
  """Times the steps of one model, prints their table and returns the claims.

  Args:
    name: of the case.
    counts: for each analytic mode, the samples that err as much.
  """
  case = CASES[name]
  steps = {"standard": TrainStep(name, "standard")}
  for mode in MODES:
    steps[mode] = TrainStep(name, "stochastic", sigma=SIGMA, relu=mode)
  for samples in (1, MANY) if counts else (1,):
    steps[f"{samples} samples"] = TrainStep(
      name, "monte_carlo", sigma=SIGMA, samples=samples
    )
  for attack in case.attacks:
    steps[f"PGD-{attack}"] = TrainStep(
      name, "adversarial", eps=case.eps, steps=attack
    )
  for _ in range(case.rounds):
    for one in steps.values():
      one.measure()
  base = steps["standard"]
  print(f"{case.title:<24}{'ms':>10}{'ratio':>8}{'memory':>12}{'compile':>10}")
  for title, one in steps.items():
    print(
      f"  {title:<22}{one.ms:>10.2f}{one.ms / base.ms:>8.2f}"
      f"{one.memory / 2**20:>8.1f} MiB{one.compile_s:>8.1f} s",
      flush=True,
    )
  for attack in PGD_AIMS.keys() - case.attacks:
    print(f"  {f'PGD-{attack}':<22}{'left out':>10}: minutes a step on a CPU")
  claims = []
  for mode in MODES:
    ms = steps[mode].ms
    text = f"analytic step, {case.title}, {mode}"
    claims.append(
      claim(f"{text}: ms against deterministic", ms, base.ms, AIMS[mode])
    )
    for attack in case.attacks:
      peer, aim = steps[f"PGD-{attack}"].ms, 1 / PGD_AIMS[attack]
      claims.append(claim(f"{text}: ms against PGD-{attack}", ms, peer, aim))
    if counts:
      one, many = (steps[f"{n} samples"].ms for n in (1, MANY))
      peer = one + (counts[mode] - 1) * (many - one) / (MANY - 1)
      print(
        f"  {mode}: {counts[mode]} samples err as little and take"
        f" {peer / ms:.1f} times as long"
      )
      text += f": ms against {counts[mode]} samples of the same error"
      claims.append(claim(text, ms, peer, 1.0))
  return claims


class TrainStep:
  """The package's own step of one method, compiled, with its times."""

  def __init__(self, name: str, method: str, **parameters):
    case = CASES[name]
    shape = case.batch[1:]
    config = cast(Any, jaxrobust.default_config())
    config.method = cast(Any, methods.preset(method))
    slot = "input" if method == "adversarial" else "forward"
    for key, value in parameters.items():
      config.method[slot][key] = value
    model = models.build(name, num_classes=10, axis_name=parallel.AXIS)
    schedule = state.learning_rate_schedule(config, steps_per_epoch=1)
    optimizer = state.make_optimizer(config, schedule)
    parts = methods.build(config.method, shape)
    launcher = parallel.Launcher("shard_map", jax.local_devices()[:1])
    mapped = cast(
      Any,
      launcher.map(
        step.make_train_step(
          config, model, parts, optimizer, schedule, 1, parallel.AXIS
        ),
        sharded_in=(False, True, False),
        sharded_out=(False, False),
        donate=(0,),
      ),
    )
    first = state.create_state(
      model, optimizer, shape, seed=0, with_ema=False, method=parts
    )
    rng = np.random.default_rng(0)
    rows = case.batch[0]
    self._state = launcher.replicate(first)
    self._batch = launcher.shard(
      {
        "inputs": rng.random(case.batch, np.float32),
        "labels": rng.integers(0, 10, rows).astype(np.int32),
        "index": np.arange(rows, dtype=np.int32),
        "mask": np.ones(rows, np.float32),
      }
    )
    begin = time.perf_counter()
    self._run = mapped.lower(self._state, self._batch, {}).compile()
    self.compile_s = time.perf_counter() - begin
    self.memory = self._run.memory_analysis().temp_size_in_bytes
    self._times: list[float] = []
    # The first call is not counted; it says how many fit into a round.
    self._repeats = 1
    self.measure()
    self._repeats = max(1, round(100 / self._times.pop()))

  def measure(self) -> None:
    """Times one round."""
    begin = time.perf_counter()
    for _ in range(self._repeats):
      self._state, metrics = self._run(self._state, self._batch, {})
    jax.block_until_ready((self._state, metrics))
    elapsed = time.perf_counter() - begin
    self._times.append(1e3 * elapsed / self._repeats)

  @property
  def ms(self) -> float:
    """The median time of a step."""
    return statistics.median(self._times)


def compare_doors() -> list[dict[str, Any]]:
  """What the gradient of LeNet-5's moments costs through either door."""
  model = models.build("lenet5", num_classes=10)
  x = jnp.zeros(CASES["lenet5"].batch)
  variables = model.init(jax.random.key(0), x[:1])

  def intercepted(variables, noisy):
    with moments.intercepting():
      return cast(models.Outputs, model.apply(variables, noisy)).logits

  def propagated(variables, noisy):
    def logits(x):
      return cast(models.Outputs, model.apply(variables, x)).logits

    return moments.propagate(logits)(noisy)

  def cost(door, mode):
    noisy = moments.Moments(x, x + 0.1, moments.Rules(relu=mode))

    def loss(variables, noisy):
      law = door(variables, noisy)
      return jnp.sum(law.mean**2) + jnp.sum(law.var)

    compiled = jax.jit(jax.grad(loss)).lower(variables, noisy).compile()
    return cast(Any, compiled.cost_analysis())

  claims = []
  print(f"{'both doors, LeNet-5':<24}{'MFLOP':>16}{'MB accessed':>18}")
  for mode in MODES:
    ours, peer = cost(propagated, mode), cost(intercepted, mode)
    line = f"  {mode:<22}"
    for what, width in (("flops", 16), ("bytes accessed", 18)):
      both = f"{ours[what] / 1e6:.1f} / {peer[what] / 1e6:.1f}"
      line += f"{both:>{width}}"
      text = f"propagate, LeNet-5, {mode}: {what} against intercepting"
      claims.append(claim(text, ours[what], peer[what], 1.1))
    print(line, flush=True)
  return claims


if __name__ == "__main__":
  sys.exit(main())
