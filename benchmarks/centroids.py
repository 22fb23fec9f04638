"""The losses on class centroids beside a training step, and beside a loop.

  python -m benchmarks.centroids
  python -m benchmarks.centroids --rounds=5

64 clean and 64 noisy features of width 128, with 10 and with 1,000 classes:
the update of the centroids, the four losses and their gradients with respect to
both views, the kernel and the bias.

- Beside a step: the cross-entropy of ResNet-18 on the 64 clean images with a
  second forward pass of 64 noisy ones, and the gradient of both, timed a few
  times in the same process.
- Beside PyTorch: the same formulae as they are usually written, a Python loop
  over the classes that picks each one's examples by a boolean index and has the
  differences of its row of the head to all others as an array. Both are
  asserted to give the same values and gradients, and are timed in turns.
  PyTorch is timed with one thread and with all, the faster one counts.
- Memory: the compiler's figure for intermediate values, against the array of
  all differences of rows.

Reported are medians over rounds. The last line is one JSON object. Exit code
2: PyTorch is missing.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import centroids, models

ROWS, WIDTH = 64, 128
CLASSES = (10, 1000)
IMAGE = (32, 32, 3)
MOMENTUM, DELTA_V, DELTA_D = 0.99, 0.5, 5.0
# Of compactness, alignment, margin and the lengths of centroids.
WEIGHTS = (0.5, 0.5, 1.0, 0.001)
SHARE = 0.03


class Problem(NamedTuple):
  """What both sides are given, as host arrays."""

  clean: np.ndarray
  noisy: np.ndarray
  kernel: np.ndarray
  bias: np.ndarray
  labels: np.ndarray
  means: np.ndarray
  seen: np.ndarray


def main() -> int:
  parser = argparse.ArgumentParser(
    description=(__doc__ or "").partition("\n")[0]
  )
  parser.add_argument("--rounds", type=int, default=11)
  parser.add_argument(
    "--steps", type=int, default=3, help="of ResNet-18 that are timed"
  )
  args = parser.parse_args()
  try:
    import torch  # pyright: ignore[reportMissingImports]
  except ImportError as error:
    print(
      f"PyTorch is missing ({error}): install the bench extra", file=sys.stderr
    )
    return 2
  device = jax.local_devices()[0]
  what = f"1 x {device.device_kind}"
  print(
    f"jax {jax.__version__} on {what}, torch {torch.__version__}"
    f" with {torch.get_num_threads()} threads"
  )
  step_ms = resnet_step_ms(args.steps)
  print(
    f"ResNet-18, {ROWS} + {ROWS} images: {step_ms:.0f} ms a step, median of"
    f" {args.steps}"
  )
  print(
    f"{'classes':>8}{'ours':>12}{'of a step':>10}{'torch':>12}"
    f"{'threaded':>12}{'ratio':>8}"
    f"{'memory':>12}{'K x K x d':>12}{'compile':>10}"
  )
  claims = []
  for num_classes in CLASSES:
    claims += compare(num_classes, step_ms, args.rounds)
  print(json.dumps({"device": what, "claims": claims}))
  return 0


def compare(
  num_classes: int, step_ms: float, rounds: int
) -> list[dict[str, Any]]:
  """Measures one number of classes, prints its line and returns its claims."""
  problem = make_problem(num_classes)
  begin = time.perf_counter()
  compiled = jax.jit(ours).lower(*problem).compile()
  compile_s = time.perf_counter() - begin
  on_device = jax.device_put(problem)
  peer = TorchStep(problem)
  check_equal(compiled(*on_device), peer.single())

  def run():
    jax.block_until_ready(compiled(*on_device))

  ours_ms, single_ms, threaded_ms = in_turns(
    (run, peer.single, peer.threaded), rounds
  )
  peer_ms = min(single_ms, threaded_ms)
  memory = cast(Any, compiled.memory_analysis()).temp_size_in_bytes
  naive = 4 * num_classes**2 * WIDTH
  print(
    f"{num_classes:>8}{ours_ms:>9.2f} ms{ours_ms / step_ms:>10.3%}"
    f"{single_ms:>9.2f} ms{threaded_ms:>9.2f} ms{ours_ms / peer_ms:>8.3f}"
    f"{memory / 2**20:>8.2f} MiB{naive / 2**20:>8.2f} MiB{compile_s:>8.1f} s",
    flush=True,
  )
  of = f"centroid losses, {num_classes} classes:"
  claims = [
    claim(f"{of} ms against a ResNet-18 step", ours_ms, step_ms, SHARE),
    claim(f"{of} ms against a loop in PyTorch", ours_ms, peer_ms, 1.0),
  ]
  if num_classes == max(CLASSES):
    text = f"{of} bytes of intermediates against K x K x d"
    claims.append(claim(text, memory, naive, 0.1))
  return claims


def claim(text: str, ours: float, peer: float, aim: float) -> dict[str, Any]:
  """A claim that ours is at most `aim` times the peer."""
  return {
    "claim": text,
    "ours": round(ours, 3),
    "peer": round(peer, 3),
    "ratio": round(ours / peer, 5),
    "aim": aim,
    "met": ours <= aim * peer,
  }


def in_turns(calls: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
  """The median milliseconds of each call, all of them timed in each round."""
  # The first calls are not counted; they say how many fit into a round.
  repeats = [max(1, round(100 / timed(call, 1))) for call in calls]
  times = [
    [timed(call, n) for call, n in zip(calls, repeats, strict=True)]
    for _ in range(rounds)
  ]
  return [statistics.median(column) for column in zip(*times, strict=True)]


def timed(call: Callable[[], Any], repeats: int) -> float:
  """Milliseconds of a call."""
  begin = time.perf_counter()
  for _ in range(repeats):
    call()
  return 1e3 * (time.perf_counter() - begin) / repeats


def make_problem(num_classes: int) -> Problem:
  """Features about class centres, a tenth of the classes not seen before."""
  rng = np.random.default_rng(0)

  def normal(*shape):
    return rng.standard_normal(shape, np.float32)

  means = normal(num_classes, WIDTH)
  labels = rng.integers(0, num_classes, ROWS).astype(np.int32)
  clean = means[labels] + 0.3 * normal(ROWS, WIDTH)
  return Problem(
    clean=clean,
    noisy=clean + 0.3 * normal(ROWS, WIDTH),
    kernel=normal(WIDTH, num_classes) / np.float32(WIDTH**0.5),
    bias=0.1 * normal(num_classes),
    labels=labels,
    means=means,
    seen=rng.random(num_classes) < 0.9,
  )


def ours(clean, noisy, kernel, bias, labels, means, seen):
  """The loss and the new centroids, and the gradients."""
  num_classes = len(means)
  old = centroids.Centroids(means, seen, jnp.zeros(num_classes, jnp.int32))

  def total(clean, noisy, kernel, bias):
    batch = centroids.class_sums(clean, labels, num_classes)
    state = centroids.update(old, batch, MOMENTUM)
    common = (labels, state.means, batch.counts)
    values = (
      centroids.compactness(clean, *common, delta_v=DELTA_V),
      centroids.alignment(noisy, *common, delta_v=DELTA_V),
      centroids.margin(batch, kernel, bias, delta_d=DELTA_D)[0],
      centroids.regulariser(state.means, batch.present),
    )
    weighted = cast(
      Any, sum(w * value for w, value in zip(WEIGHTS, values, strict=True))
    )
    return centroids.mean_over_classes(weighted, batch.present), state.means

  (loss, new), gradients = jax.value_and_grad(
    total, (0, 1, 2, 3), has_aux=True
  )(clean, noisy, kernel, bias)
  return loss, new, *gradients


class TorchStep:
  """The same as `ours`, in loops in PyTorch."""

  def __init__(self, problem: Problem):
    import torch  # pyright: ignore[reportMissingImports]

    # The weight of a head there has a row for each class.
    ordered = problem._replace(kernel=np.ascontiguousarray(problem.kernel.T))
    self._given = [torch.from_numpy(np.asarray(x)) for x in ordered]
    self._threads = torch.get_num_threads()

  def threaded(self) -> tuple[Any, ...]:
    """With as many threads as PyTorch chooses."""
    return self._run(self._threads)

  def single(self) -> tuple[Any, ...]:
    """With one thread, which suits small arrays."""
    return self._run(1)

  def _run(self, threads):
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(threads)
    leaves = [x.detach().clone().requires_grad_() for x in self._given[:4]]
    clean, noisy, weight, bias = leaves
    labels, means, seen = self._given[4:]
    new = means.clone()
    losses = []
    for c in range(len(means)):
      members = labels == c
      if not members.any():
        continue
      features, noised = clean[members], noisy[members]
      naive = features.mean(dim=0)
      centre = naive
      if seen[c]:
        centre = MOMENTUM * means[c] + (1 - MOMENTUM) * naive
      new[c] = centre.detach()
      compact, aligned = (
        torch.relu((x - centre).norm(dim=1) - DELTA_V).square().mean()
        for x in (features, noised)
      )
      own = torch.arange(len(means)) == c
      across = weight[c] - weight
      ahead = across @ naive + bias[c] - bias
      length = across.norm(dim=1).masked_fill(own, 1.0)
      distance = (ahead / length).masked_fill(own, torch.inf).min()
      values = (compact, aligned, torch.relu(DELTA_D - distance), centre.norm())
      losses.append(
        sum(w * value for w, value in zip(WEIGHTS, values, strict=True))
      )
    loss = torch.stack(cast(Any, losses)).mean()
    loss.backward()
    slopes = clean.grad, noisy.grad, cast(Any, weight.grad).T, bias.grad
    return loss.detach(), new, *slopes


def check_equal(ours, peer) -> None:
  """Asserts values and gradients equal to 1e-5 of the largest of each."""
  for mine, theirs in zip(ours, peer, strict=True):
    theirs = theirs.numpy()
    scale = np.abs(theirs).max()
    assert scale > 0
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5 * scale)


def resnet_step_ms(steps: int) -> float:
  """Milliseconds of ResNet-18's losses of two views with all gradients."""
  model = models.build("resnet18", num_classes=10, feature_dim=WIDTH)
  rng = np.random.default_rng(0)
  clean, noisy = rng.random((2, ROWS, *IMAGE), np.float32)
  labels = rng.integers(0, 10, ROWS)
  variables = model.init(jax.random.key(0), clean[:1])
  params, stats = variables["params"], variables["batch_stats"]

  def forward(params, stats, images):
    return cast(
      Any,
      model.apply(
        {"params": params, "batch_stats": stats},
        images,
        train=True,
        mutable=["batch_stats"],
      ),
    )

  @jax.jit
  @jax.grad
  def step(params):
    outputs, changed = forward(params, stats, clean)
    aligned, _ = forward(params, changed["batch_stats"], noisy)
    logs = jax.nn.log_softmax(outputs.logits)
    picked = jnp.take_along_axis(logs, labels[:, None], axis=1)
    return -jnp.mean(picked) + jnp.mean(aligned.features**2)

  def run():
    jax.block_until_ready(step(params))

  run()
  return statistics.median(timed(run, 1) for _ in range(steps))


if __name__ == "__main__":
  sys.exit(main())
