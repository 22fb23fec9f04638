"""Isotropic stable vectors: one impulse hits all elements of a block alike.

A symmetric stable variate is a Gaussian one of random variance:

    X = c sqrt(2 A) G,  E exp(-s A) = exp(-s^(alpha/2)),  G ~ N(0, 1)

With one A for a whole block, the block is isotropic (sub-Gaussian): every
projection of it on a unit vector, and so every element, has the
characteristic function exp(-|c t|^alpha), but its elements are large
together. With an A for each element they are independent, as in `sample`.

A is drawn by Kanter's closed form of two uniforms, in log space. With
a = alpha/2, T = pi u and W = -log w,

    log A = log(sin(a T)/sin T)
            + (1-a)/a (log(sin((1-a) T)/(W sin T)))

At alpha = 2 it is A = 1 exactly, and the block is Gaussian.

References: M. Kanter, Stable densities under change of scale and total
variation inequalities, Annals of Probability 3 (1975), corollary 4.1;
G. Samorodnitsky and M. S. Taqqu, Stable Non-Gaussian Random Processes,
Chapman & Hall 1994, section 2.5 (sub-Gaussian vectors).
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrobust.alpha_stable import checks, sampling, uniforms

_LARGEST_EXPONENT = 80.0


def positive_stable(
  key: jax.Array, index: Any, shape: tuple[int, ...] = ()
) -> jax.Array:
  """Draws independent positive stable variates.

      E exp(-s A) = exp(-s^index),  s >= 0

  Args:
    key: one JAX key.
    index: in (0, 1], a number or an array that broadcasts to `shape`; at 1,
      A is 1.
    shape: shape of the result.

  Returns:
    Float32 variates of `shape`, finite and differentiable in `index`; the
    derivative grows like log(1 - index) towards 1, where it is cut. At most
    exp(80), which cuts about one variate in exp(80 index): one in 10^10 at
    0.3 and one in 10^5 at 0.15, for float32's sake.

  Raises:
    ValueError: a known `index` is out of range or does not broadcast.

  Example:
    >>> impulses = positive_stable(jax.random.key(0), 0.5, (3,))
    >>> impulses.shape, bool((impulses > 0).all())
    ((3,), True)
  """
  checks.require("index", index, "in (0, 1]", lambda a: (a > 0) & (a <= 1))
  shape = tuple(shape)
  _require_broadcast("index", index, shape)
  return _draw_positive(key, jnp.asarray(index, jnp.float32), shape=shape)


def sample_isotropic(
  key: jax.Array,
  alpha: Any,
  scale: Any = 1.0,
  *,
  shape: tuple[int, ...],
  shared_axes: Sequence[int],
) -> jax.Array:
  """Draws symmetric stable noise that shares one impulse per block.

  The equation is at the head of this file. A block is what is left of the
  array when the axes that are not shared are held fixed: for images [H, W, C],
  axes (1, 2) give every row of pixels one A, axes (0, 1, 2) the whole image,
  and () gives each element its own. Blocks are independent. Parameters may be
  traced; draws are differentiable in alpha and scale.

  Args:
    key: one JAX key.
    alpha: tail index in (0, 2], a number or an array that broadcasts to the
      blocks: to `shape` with 1 in place of the shared axes.
    scale: c >= 0, in the units of the data, a number or an array that
      broadcasts to `shape`.
    shape: shape of the result.
    shared_axes: the axes along which A is shared; negative ones count from
      the end.

  Returns:
    Float32 variates of `shape`, finite for every key. The tails end near the
    quantile 1 - 1e-7 of A, and at A = exp(160), which only alpha below 0.4
    can reach. The derivative in alpha grows like log(2 - alpha) towards 2,
    where it is cut.

  Raises:
    ValueError: a known parameter is out of range or does not broadcast, or
      `shared_axes` are not axes of `shape`.

  Example:
    >>> rows = sample_isotropic(
    ...   jax.random.key(0), 1.0, 0.1, shape=(32, 32, 3), shared_axes=(1, 2)
    ... )
    >>> rows.shape
    (32, 32, 3)
  """
  checks.require_alpha(alpha)
  checks.require_scale(scale)
  shape = tuple(shape)
  blocks = _block_shape(shape, tuple(shared_axes))
  _require_broadcast("alpha", alpha, blocks)
  _require_broadcast("scale", scale, shape)
  alpha, scale = (jnp.asarray(x, jnp.float32) for x in (alpha, scale))
  return _draw_isotropic(key, alpha, scale, shape=shape, blocks=blocks)


@functools.partial(jax.jit, static_argnames="shape", inline=True)
def _draw_positive(key, index, *, shape):
  # As in `sampling`: folded constants would round differently.
  index = lax.optimization_barrier(index)
  u, w = uniforms.uniform_pair(key, shape)
  return jnp.exp(jnp.minimum(_log_positive(u, w, index), _LARGEST_EXPONENT))


@functools.partial(jax.jit, static_argnames=("shape", "blocks"), inline=True)
def _draw_isotropic(key, alpha, scale, *, shape, blocks):
  alpha, scale = lax.optimization_barrier((alpha, scale))
  impulse_key, direction_key = jax.random.split(key)
  u, w = uniforms.uniform_pair(impulse_key, blocks)
  exponent = 0.5 * _log_positive(u, w, 0.5 * alpha)
  radius = jnp.exp(jnp.minimum(exponent, _LARGEST_EXPONENT))
  # The stable law of alpha = 2 has variance 2: it is sqrt(2) G.
  direction = sampling.from_uniforms(
    *uniforms.uniform_pair(direction_key, shape), alpha=2
  )
  return scale * (radius * direction)


def _log_positive(u, w, a):
  """The log of A; every sine comes with the complement of its angle."""
  q, rest = 1.0 - u, 1.0 - a
  sine = _sinpi(u, q)
  time = jnp.maximum(-jnp.log(w), 2.0**-24)
  first = jnp.log(_sinpi(a * u, q + rest * u) / sine)
  # sin((1-a) T) vanishes with 1 - a, which its factor outweighs; the floor
  # keeps value and gradient finite there.
  small = _sinpi(jnp.maximum(rest, 2.0**-24) * u, q + a * u)
  second = jnp.log(small / (time * sine))
  return first + rest / a * second


def _sinpi(x, complement):
  """sin(pi x) on (0, 1) to float32's relative accuracy, given 1 - x."""
  return jnp.sin(math.pi * jnp.minimum(x, complement))


def _block_shape(
  shape: tuple[int, ...], shared_axes: tuple[int, ...]
) -> tuple[int, ...]:
  rank = len(shape)
  axes = {axis % rank for axis in shared_axes if -rank <= axis < rank}
  if len(axes) != len(shared_axes):
    raise ValueError(
      f"shared_axes must be different axes of shape {shape}, got {shared_axes}"
    )
  return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _require_broadcast(name: str, value: Any, shape: tuple[int, ...]) -> None:
  try:
    fits = jnp.broadcast_shapes(jnp.shape(value), shape) == shape
  except ValueError:
    fits = False
  if not fits:
    raise ValueError(
      f"{name} must broadcast to shape {shape}, got shape {jnp.shape(value)}"
    )
