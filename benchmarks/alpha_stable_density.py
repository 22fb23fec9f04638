"""Stable log densities per second, ours against scipy's, in one run.

    python -m benchmarks.alpha_stable_density

Computes SIZE log densities by `jaxrobust.alpha_stable.log_prob` (scalar
parameters, one device), and FEW by scipy's `levy_stable.logpdf`, with its
default method and with its fft-simpson method. The latter's grid grows with
the range, so it gets values of |x| < 20 only; most of its cost is that of the
grid, so its rate for MANY values is printed, too.
The largest errors are against the same integral, evaluated at every x in
float64 by our elementwise route, which the tests hold against inversion of
the characteristic function in 30 digits. Takes about a minute on two cores.
"""

import json
import statistics
import time
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jaxrobust import alpha_stable

SIZE = 10**6
FEW = 2000
MANY = 200_000
ROUNDS = 5
SAMPLES = 10_000
LAW = (1.5, 0.5)  # alpha, beta


def _seconds(call, rounds: int = ROUNDS) -> float:
  """The median seconds of a call, after one that is not timed."""
  jax.block_until_ready(call())
  seconds = []
  for _ in range(rounds):
    start = time.perf_counter()
    jax.block_until_ready(call())
    seconds.append(time.perf_counter() - start)
  return statistics.median(seconds)


def _scipy(x: np.ndarray, method: str) -> tuple[np.ndarray, float]:
  """Log densities by scipy, and the values per second.

  The variates are moved to S1, for scipy's fft-simpson gives NaN in S0.
  """
  law: Any = stats.levy_stable
  zeta = -LAW[1] * np.tan(np.pi * LAW[0] / 2)
  before = law.pdf_default_method
  law.pdf_default_method = method
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      start = time.perf_counter()
      value = law.logpdf(x - zeta, *LAW)
      seconds = time.perf_counter() - start
  finally:
    law.pdf_default_method = before
  return value, len(x) / seconds


def _exact(x: np.ndarray) -> np.ndarray:
  """The integral at every x."""
  alphas = np.full(x.shape, LAW[0], np.float32)
  return np.asarray(alpha_stable.log_prob(x, alphas, LAW[1]), np.float64)


def _claim(name: str, ours: float, peer: float, aim: float) -> dict[str, Any]:
  ratio = ours / peer
  return {
    "claim": name,
    "ours": round(ours),
    "peer": round(peer),
    "ratio": round(ratio, 1),
    "aim": aim,
    "met": ratio >= aim,
  }


def main() -> None:
  draw = alpha_stable.sample(jax.random.key(0), *LAW, shape=(SIZE,))
  x = np.asarray(draw)
  compiled = jax.jit(alpha_stable.log_prob)
  ours = SIZE / _seconds(lambda: compiled(draw, *LAW))
  alphas = jnp.full(FEW, LAW[0])
  each = FEW / _seconds(lambda: compiled(draw[:FEW], alphas, LAW[1]))
  default, default_rate = _scipy(x[:FEW], "piecewise")
  near = x[np.abs(x) < 20.0][:MANY]
  fft, fft_rate = _scipy(near[:FEW], "fft-simpson")
  _, near_rate = _scipy(near, "fft-simpson")

  want = _exact(x[:FEW])
  errors = {
    "jaxrobust": np.asarray(compiled(draw, *LAW))[:FEW] - want,
    "scipy default": default - want,
    "scipy fft-simpson": fft - _exact(near[:FEW]),
  }
  rates = (ours, default_rate, fft_rate)
  print(f"alpha={LAW[0]} beta={LAW[1]}, {SIZE} values")
  print(f"{'':<24}{'values a second':>16}{'largest error':>16}{'NaN':>8}")
  for (name, error), rate in zip(errors.items(), rates, strict=True):
    print(
      f"{name:<24}{rate:>16,.0f}{np.nanmax(np.abs(error)):>16.1e}"
      f"{np.isnan(error).sum():>8}"
    )
  print(f"{'one law per value':<24}{each:>16,.0f}")
  print(f"{'fft-simpson, many close':<24}{near_rate:>16,.0f}")

  gradient = jax.jit(
    jax.value_and_grad(
      lambda parameters: alpha_stable.log_prob(
        draw[:SAMPLES], *parameters
      ).sum()
    )
  )
  at = jnp.asarray([*LAW, 1.0, 0.0])
  milliseconds = 1e3 * _seconds(lambda: gradient(at), 11)
  print(f"likelihood of {SAMPLES} and its gradient: {milliseconds:.1f} ms")

  name = "log densities/s against scipy's"
  claims = [
    _claim(f"{name} default", ours, default_rate, 1000.0),
    _claim(f"{name} fft-simpson", ours, fft_rate, 50.0),
  ]
  device = f"{jax.devices()[0].device_kind}, one device"
  print(json.dumps({"device": device, "claims": claims}))


if __name__ == "__main__":
  main()
