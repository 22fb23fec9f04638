"""Alpha-stable variates per second, ours against scipy's, in one run.

    python -m benchmarks.alpha_stable_sampling

Draws N = 2^20 variates by `jaxrobust.alpha_stable.sample` (jit, one device
and pmap over two host devices, as the train step runs), by
`scipy.stats.levy_stable.rvs`, and, for comparison, as many normals by
`jax.random.normal`. Rounds are interleaved, so that all contenders share the
machine's mood, and medians are reported. It also times the noise of one
training step, keyed by example. Takes about a minute on two cores.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jaxrobust import alpha_stable

SIZE = 2**20
ROUNDS = 11
DEVICES = 2
LAWS = ((1.5, 0.0), (1.0, 0.0), (0.5, 0.0), (1.5, 0.5))  # (alpha, beta)
AIM = 10.0
BATCH, IMAGE = 32, (32, 32, 3)

Contender = Callable[[int], Any]  # of the round's number


def medians(
  contenders: Mapping[str, Contender], rounds: int = ROUNDS
) -> dict[str, float]:
  """Times every contender once a round, in turn.

  Args:
    contenders: functions of the round's number, by name.
    rounds: how often each is timed, after two calls that are not.

  Returns:
    The median seconds of a call, by name.
  """
  seconds: dict[str, list[float]] = {name: [] for name in contenders}
  for contender in contenders.values():
    for number in range(2):
      jax.block_until_ready(contender(number))
  for number in range(rounds):
    for name, contender in contenders.items():
      start = time.perf_counter()
      jax.block_until_ready(contender(number))
      seconds[name].append(time.perf_counter() - start)
  return {name: statistics.median(s) for name, s in seconds.items()}


def _keyed(draw: Callable[[jax.Array], jax.Array]) -> Contender:
  """Jits a draw and gives it a key of its own in every round."""
  keys = list(jax.random.split(jax.random.key(0), ROUNDS + 2))
  compiled = jax.jit(draw)
  return lambda number: compiled(keys[number % len(keys)])


def _over_devices(draw: Callable[[jax.Array], jax.Array]) -> Contender:
  """Maps a draw over the host devices, each with a key of its own."""
  keys = [
    jax.random.split(jax.random.key(number), DEVICES)
    for number in range(ROUNDS + 2)
  ]
  mapped = jax.pmap(draw)
  return lambda number: mapped(keys[number])


def _scipy(alpha: float, beta: float) -> Contender:
  generator = np.random.default_rng(0)
  return lambda _: stats.levy_stable.rvs(
    alpha, beta, size=SIZE, random_state=generator
  )


def sampling_seconds() -> dict[str, float]:
  """Times SIZE variates of every law by every contender."""
  half = SIZE // DEVICES

  def stable(alpha, beta, size):
    return lambda key: alpha_stable.sample(key, alpha, beta, shape=(size,))

  def normal(size):
    return lambda key: jax.random.normal(key, (size,))

  contenders: dict[str, Contender] = {}
  for alpha, beta in LAWS:
    law = f"alpha={alpha} beta={beta}"
    contenders[f"{law} one device"] = _keyed(stable(alpha, beta, SIZE))
    contenders[f"{law} pmap"] = _over_devices(stable(alpha, beta, half))
    contenders[f"{law} scipy"] = _scipy(alpha, beta)
  contenders["jax.random.normal one device"] = _keyed(normal(SIZE))
  contenders["jax.random.normal pmap"] = _over_devices(normal(half))
  return medians(contenders)


def step_noise_seconds() -> dict[str, float]:
  """Times the noise of one training step of BATCH images of size IMAGE.

  'keyed by example' is what training does: one key per example, folded from
  the example's index, and one draw per key. 'one draw' takes one key for the
  whole batch. 'impulse per row' and 'per image' are keyed by example and
  isotropic. Divide by a step's seconds for the share of noise in it.
  """
  index = jnp.arange(BATCH)
  local = (DEVICES, BATCH // DEVICES)

  def one(key, number):
    key = jax.random.fold_in(key, number)
    return alpha_stable.sample(key, 1.5, scale=0.1, shape=IMAGE)

  def one_draw(key):
    return alpha_stable.sample(key, 1.5, scale=0.1, shape=(BATCH, *IMAGE))

  def one_shared(axes):
    def draw(key, number):
      key = jax.random.fold_in(key, number)
      return alpha_stable.sample_isotropic(
        key, 1.5, 0.1, shape=IMAGE, shared_axes=axes
      )

    rows = jax.vmap(draw, in_axes=(None, 0))
    return _keyed(lambda key: rows(key, index))

  keyed = jax.vmap(one, in_axes=(None, 0))
  mapped = jax.pmap(keyed, in_axes=(None, 0))
  root = jax.random.key(0)
  shards = np.arange(BATCH, dtype=np.int32).reshape(local)
  return medians(
    {
      "keyed by example, one device": _keyed(lambda key: keyed(key, index)),
      "keyed by example, pmap": lambda _: mapped(root, shards),
      "one draw, one device": _keyed(one_draw),
      "impulse per row, one device": one_shared((1, 2)),
      "impulse per image, one device": one_shared((0, 1, 2)),
    },
    rounds=101,
  )


def resnet_step_seconds() -> float:
  """Times the package's ResNet-18 step with this noise on its inputs."""
  from benchmarks.train_step import make_jax_step

  run, state, batch = make_jax_step(
    "resnet18", jax.local_devices(), method="alpha_stable"
  )
  state, _ = run(state, batch)
  seconds = []
  for _ in range(5):
    begin = time.perf_counter()
    state, loss = run(state, batch)
    jax.block_until_ready((state, loss))
    seconds.append(time.perf_counter() - begin)
  return statistics.median(seconds)


def _claim(name: str, ours: float, peer: float, aim: float) -> dict[str, Any]:
  ratio = ours / peer
  return {
    "claim": name,
    "ours": round(ours, 2),
    "peer": round(peer, 2),
    "ratio": round(ratio, 2),
    "aim": aim,
    "met": ratio >= aim,
  }


def main() -> None:
  jax.config.update("jax_num_cpu_devices", DEVICES)
  seconds = sampling_seconds()
  rate = {name: SIZE / s / 1e6 for name, s in seconds.items()}
  print(f"{SIZE} variates, median of {ROUNDS} interleaved rounds")
  print(
    f"{'million variates a second':<28}{'one device':>12}{'pmap':>9}", end=""
  )
  print(f"{'scipy':>9}{'ratio':>9}")
  claims = []
  for alpha, beta in LAWS:
    law = f"alpha={alpha} beta={beta}"
    one, two = rate[f"{law} one device"], rate[f"{law} pmap"]
    peer = rate[f"{law} scipy"]
    print(f"{law:<28}{one:>12.1f}{two:>9.1f}{peer:>9.2f}{one / peer:>9.1f}")
    name = f"Mvariates/s, {law}, one device against scipy's rvs"
    claims.append(_claim(name, one, peer, AIM))
  one, two = (rate[f"jax.random.normal {w}"] for w in ("one device", "pmap"))
  print(f"{'jax.random.normal':<28}{one:>12.1f}{two:>9.1f}")

  noise = step_noise_seconds()
  print(f"noise of one step, {(BATCH, *IMAGE)}, milliseconds")
  for name, value in noise.items():
    print(f"{name:<30}{1e3 * value:>10.3f}")
  step = resnet_step_seconds()
  print(f"{'ResNet-18 step with it':<30}{1e3 * step:>10.3f}")
  per_second = {name: 1.0 / value for name, value in noise.items()}
  claims.append(
    _claim(
      "step noises/s, keyed by example against one draw",
      per_second["keyed by example, one device"],
      per_second["one draw, one device"],
      0.8,
    )
  )
  share = noise["keyed by example, pmap"] / step
  claims.append(
    {
      "claim": "share of a ResNet-18 step, batch 32, that the noise takes",
      "ours": round(1e3 * noise["keyed by example, pmap"], 3),
      "peer": round(1e3 * step, 3),
      "ratio": round(share, 4),
      "aim": 0.03,
      "met": share <= 0.03,
    }
  )
  print(json.dumps({"device": _device(), "claims": claims}))


def _device() -> str:
  return f"{jax.devices()[0].device_kind}, {DEVICES} host devices"


if __name__ == "__main__":
  main()
