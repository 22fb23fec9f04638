"""A function of x on cells, as polynomials: made in float64, read in float32.

A table holds the same polynomial degree on every cell of a coordinate that
reaches from one end of float32's range to the other. With x measured from a
centre m in units of a width w,

    z = asinh((x - m)/w) / stretch.

Cells are equally long for |z| < 3.6, where they are short enough for a
density's change from a light to a heavy tail, and grow by a sixth each from
there to |z| = 105, where all that changes is log x. What is stored is
asinh(g) for the wanted g, so that a rounding of the stored value is one of g
where |g| < 1, and a relative one where it is larger.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_CORE_CELLS = 72
_CORE_STEP = 0.05
_GROWTH = math.log(1.16)
_OUTER_CELLS = 23
DEGREE = 6
LARGEST_LOG = 600.0  # of 2 |x - m| / w

_CORE_END = _CORE_CELLS * _CORE_STEP
_OUTER = _CORE_END * np.exp(_GROWTH * np.arange(_OUTER_CELLS + 1))
_HALF = np.concatenate([_CORE_STEP * np.arange(_CORE_CELLS), _OUTER])
EDGES = np.concatenate([-_HALF[:0:-1], _HALF])
CELLS = len(EDGES) - 1
MIDDLES = 0.5 * (EDGES[1:] + EDGES[:-1])
HALVES = 0.5 * (EDGES[1:] - EDGES[:-1])
# Chebyshev's points, and the map from values there to monomials' coefficients.
POINTS = np.cos(math.pi * (np.arange(DEGREE, -1, -1) + 0.5) / (DEGREE + 1))
_TO_COEFFICIENTS = np.linalg.inv(np.vander(POINTS, increasing=True))


def coordinate(
  distance: jax.Array, w: jax.Array, stretch: jax.Array
) -> jax.Array:
  """Maps x - m to z, without overflow."""
  size = jnp.abs(distance)
  large = size > 1e6 * w
  ratio = jnp.where(large, 0.0, distance / w)
  far = jnp.log(jnp.where(large, size, 1.0)) + jnp.log(2.0 / w)
  far = jnp.where(distance < 0.0, -far, far)
  return jnp.where(large, far, jnp.arcsinh(ratio)) / stretch


def distance(z: jax.Array, w: jax.Array, stretch: jax.Array) -> jax.Array:
  """Maps z to x - m; inverts `coordinate`."""
  size = jnp.minimum(jnp.abs(z * stretch), LARGEST_LOG)
  large = size > 10.0
  near = w * jnp.sinh(jnp.where(large, 0.0, size))
  far = jnp.exp(jnp.where(large, size, 0.0) + jnp.log(0.5 * w))
  return jnp.where(z < 0.0, -1.0, 1.0) * jnp.where(large, far, near)


def coefficients(values: jax.Array) -> jax.Array:
  """The monomials' coefficients of values [..., DEGREE + 1] at POINTS.

  It is a sum of products: batching a matrix product of float64 outside of
  its context (see `double`) would round it to float32.
  """
  return jnp.sum(values[..., None, :] * _TO_COEFFICIENTS, axis=-1)


def cell_of(z: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The cell that z lies in, and where in it, from -1 to 1."""
  size = lax.stop_gradient(jnp.abs(z))
  outer = jnp.log(jnp.maximum(size, _CORE_END) * (1.0 / _CORE_END))
  outer = _CORE_CELLS + (outer * (1.0 / _GROWTH)).astype(jnp.int32)
  core = (size * (1.0 / _CORE_STEP)).astype(jnp.int32)
  rank = jnp.where(size < _CORE_END, core, outer)
  rank = jnp.minimum(rank, CELLS // 2 - 1)
  cell = jnp.where(z < 0.0, CELLS // 2 - 1 - rank, CELLS // 2 + rank)
  place = jnp.asarray(np.stack([MIDDLES, 1.0 / HALVES], 1), z.dtype)[cell]
  return cell, (z - place[..., 0]) * place[..., 1]


def evaluate(table: jax.Array, cell: Any, t: jax.Array) -> jax.Array:
  """The polynomials [CELLS, DEGREE + 1] of cells at t, by Horner's rule."""
  return horner(table[cell], t)


def horner(terms: jax.Array, t: jax.Array) -> jax.Array:
  """Polynomials [..., DEGREE + 1] of rising powers at t [...]."""
  value = terms[..., DEGREE]
  for power in range(DEGREE - 1, -1, -1):
    value = value * t + terms[..., power]
  return value
