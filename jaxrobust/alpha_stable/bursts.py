"""Noise that comes in bursts: a Markov chain on time switches it on and off.

Disturbances of real recordings cluster: an electrode moves, a relay chatters.
A chain of two states, off and on, with

    P(on -> off) = 1/L,  P(off -> on) = p / (L (1 - p))

has bursts of mean length L (geometric, without memory), is on for the share p
of the time, and starts in its stationary law. A step of the chain is a random
map of {off, on} to itself; maps compose associatively, so the whole path is a
parallel prefix of O(log T) depth.

Reference: E. N. Gilbert, Capacity of a burst-noise channel, Bell System
Technical Journal 39 (1960).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrobust.alpha_stable import checks, sampling, uniforms


def burst_mask(
  key: jax.Array, share_of_time: Any, mean_length: Any, *, length: int
) -> jax.Array:
  """Draws when bursts are on.

  The equation is at the head of this file. Both parameters may be traced.

  Args:
    key: one JAX key.
    share_of_time: p in [0, 1]; 0 is never on, and 1 always, whatever the mean
      length.
    mean_length: L >= 1, in time steps; 1 is bursts of one step each.
      p < 1 must not exceed L/(L+1), at which the gaps between bursts are one
      step long; traced values beyond it act as L/(L+1).
    length: T, the number of time steps.

  Returns:
    bool [T].

  Raises:
    ValueError: a known parameter is out of range.

  Example:
    >>> burst_mask(jax.random.key(0), 1.0, 8.0, length=3).tolist()
    [True, True, True]
  """
  require_bursts(share_of_time, mean_length)
  if length < 1:
    raise ValueError(f"length must be at least 1, got {length}")
  share, mean = (
    jnp.asarray(x, jnp.float32) for x in (share_of_time, mean_length)
  )
  return _draw_mask(key, share, mean, length=length)


def sample_bursts(
  key: jax.Array,
  alpha: Any,
  scale: Any,
  share_of_time: Any,
  mean_length: Any,
  *,
  shape: tuple[int, ...],
) -> jax.Array:
  """Draws symmetric stable noise that is on in bursts and 0 between them.

      X[t] = on[t] c S[t],  on from `burst_mask`, S independent of index alpha

  All variates of a series burst together. The noise inside a burst is that of
  `sample` with the same key.

  Args:
    key: one JAX key.
    alpha: tail index in (0, 2]; 2 is Gaussian.
    scale: c >= 0 inside the bursts, in the units of the data.
    share_of_time: p; see `burst_mask`.
    mean_length: L in time steps; see `burst_mask`.
    shape: shape of the result, time first: [T, ...].

  Returns:
    Float32 variates of `shape`, differentiable in alpha and scale.

  Raises:
    ValueError: a known parameter is out of range, or `shape` has no time.

  Example:
    >>> key = jax.random.key(0)
    >>> sample_bursts(key, 1.0, 0.1, 0.2, 8, shape=(96, 2)).shape
    (96, 2)
  """
  if not shape:
    raise ValueError("shape must be [T, ...], time first, got ()")
  mask = burst_mask(
    jax.random.fold_in(key, 1), share_of_time, mean_length, length=shape[0]
  )
  noise = sampling.sample(key, alpha, scale=scale, shape=shape)
  return jnp.where(mask.reshape((-1,) + (1,) * (len(shape) - 1)), noise, 0.0)


def require_bursts(share_of_time: Any, mean_length: Any) -> None:
  """Refuses known values that no chain has, with a ValueError."""
  checks.require(
    "share_of_time", share_of_time, "in [0, 1]", lambda p: (p >= 0) & (p <= 1)
  )
  checks.require(
    "mean_length",
    mean_length,
    "finite and at least 1",
    lambda n: (n >= 1) & (n < float("inf")),
  )
  if checks.known(share_of_time) and checks.known(mean_length):
    checks.require(
      "share_of_time",
      share_of_time,
      f"1 or at most L/(L+1) for mean_length L={mean_length}",
      lambda p: (p == 1) | (p * (mean_length + 1) <= mean_length * (1 + 1e-6)),
    )


@functools.partial(jax.jit, static_argnames="length", inline=True)
def _draw_mask(key, share, mean, *, length):
  share, mean = lax.optimization_barrier((share, mean))
  u, _ = uniforms.uniform_pair(key, (length,))
  leave = 1.0 / mean
  odds = share / jnp.where(share < 1.0, 1.0 - share, 1.0)
  enter = jnp.minimum(leave * odds, 1.0)
  first = u[0] < enter / (enter + leave)
  # The state after a step, if it was off and if it was on before. One uniform
  # serves both, for the chain was in one of them only. The first step forgets
  # what was before it.
  maps = tuple(m.at[0].set(first) for m in (u < enter, u >= leave))

  def follow(earlier, later):
    off, on = later
    return tuple(jnp.where(state, on, off) for state in earlier)

  return lax.associative_scan(follow, maps)[0] | (share >= 1.0)
