"""Probabilities and quantiles of the stable law, from one table.

The table of log f (see `density`) is integrated over the parts of its cells
by Gauss-Legendre, in float64, and summed from both ends, so that both tails
keep their relative accuracy. What is stored is the log odds

    lambda = log F - log(1 - F),

from which cdf = 1/(1 + exp(-lambda)) and sf = 1/(1 + exp(lambda)); quantiles
solve lambda(x) = log p - log(1 - p) in the table.

Measured for alpha from 0.1 to 2 and all beta: cdf and sf within 1e-6, and
relatively within 1e-6 of their logarithm, down to 1e-30; cdf(quantile(p))
within 1e-6 of p.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrobust.alpha_stable import (
  checks,
  density,
  integrals,
  sampling,
  tables,
)
from jaxrobust.alpha_stable.double import in_double

_SMALLEST = 1e-300
# Gauss-Legendre points between -1, a cell's Chebyshev points and 1.
_ENDS = np.concatenate([[-1.0], tables.POINTS, [1.0]])
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_HALVES = 0.5 * np.diff(_ENDS)[:, None]
_PLACES = 0.5 * (_ENDS[1:] + _ENDS[:-1])[:, None] + _HALVES * _NODES
_HALVINGS = 26


def cdf(
  x: Any,
  alpha: Any,
  beta: Any = 0.0,
  scale: Any = 1.0,
  loc: Any = 0.0,
  parameterization: sampling.Parameterization = "S0",
) -> jax.Array:
  """Computes P(X <= x) of the stable law.

  A table is made for every (alpha, beta), which takes about ten
  milliseconds, and read at all x.

  Args:
    x: [...] where, in the units of the data.
    alpha: tail index in (0, 2].
    beta: skewness in [-1, 1].
    scale: c > 0, in the units of the data.
    loc: location, in the units of the data.
    parameterization: 'S0' or 'S1', the meaning of loc; see `sampling.sample`.

  Returns:
    The probability, float32, of the broadcast shape, within 1e-6, and with a
    relative error of 1e-6 max(1, |log F|). Differentiable in all
    arguments.

  Raises:
    ValueError: a known parameter is out of range.

  Example:
    >>> round(float(cdf(1.0, 1.0)), 4)
    0.75
  """
  law = density.standardise(x, alpha, beta, scale, loc, parameterization)
  return jax.nn.sigmoid(_log_odds(*law[:3]))


def sf(
  x: Any,
  alpha: Any,
  beta: Any = 0.0,
  scale: Any = 1.0,
  loc: Any = 0.0,
  parameterization: sampling.Parameterization = "S0",
) -> jax.Array:
  """Computes P(X > x) of the stable law, accurately in the upper tail.

  Args:
    x: [...] where, in the units of the data.
    alpha: tail index in (0, 2].
    beta: skewness in [-1, 1].
    scale: c > 0, in the units of the data.
    loc: location, in the units of the data.
    parameterization: 'S0' or 'S1', the meaning of loc; see `sampling.sample`.

  Returns:
    The probability, float32, of the broadcast shape, within 1e-6, and with a
    relative error of 1e-6 max(1, |log(1-F)|). Differentiable in all
    arguments.

  Raises:
    ValueError: a known parameter is out of range.

  Example:
    >>> print(f"{float(sf(1e9, 1.0)):.3e}")  # 1/(pi x)
    3.183e-10
  """
  law = density.standardise(x, alpha, beta, scale, loc, parameterization)
  return jax.nn.sigmoid(-_log_odds(*law[:3]))


def quantile(
  p: Any,
  alpha: Any,
  beta: Any = 0.0,
  scale: Any = 1.0,
  loc: Any = 0.0,
  parameterization: sampling.Parameterization = "S0",
) -> jax.Array:
  """Computes the x with P(X <= x) = p.

  Args:
    p: [...] probability in [0, 1]; for p near 1 see `isf`.
    alpha: tail index in (0, 2].
    beta: skewness in [-1, 1].
    scale: c > 0, in the units of the data.
    loc: location, in the units of the data.
    parameterization: 'S0' or 'S1', the meaning of loc; see `sampling.sample`.

  Returns:
    The quantile, float32, of the broadcast shape, such that its cdf is
    within 1e-6 of p, and for small p within 4e-5 p,
    as far as float32 x can be: next to the end of a support it cannot.
    Differentiable once in all arguments. The quantiles of 0 and 1 are the
    ends of the support.

  Raises:
    ValueError: a known parameter is out of range.

  Example:
    >>> round(float(quantile(0.75, 1.0)), 4)
    1.0
  """
  checks.require("p", p, "in [0, 1]", lambda p: (p >= 0) & (p <= 1))
  return _solve(_array(p), 1.0, alpha, beta, scale, loc, parameterization)


def isf(
  p: Any,
  alpha: Any,
  beta: Any = 0.0,
  scale: Any = 1.0,
  loc: Any = 0.0,
  parameterization: sampling.Parameterization = "S0",
) -> jax.Array:
  """Computes the x with P(X > x) = p, for p down to float32's smallest.

  Args:
    p: [...] probability in [0, 1].
    alpha: tail index in (0, 2].
    beta: skewness in [-1, 1].
    scale: c > 0, in the units of the data.
    loc: location, in the units of the data.
    parameterization: 'S0' or 'S1', the meaning of loc; see `sampling.sample`.

  Returns:
    The quantile of 1 - p, float32, of the broadcast shape; see `quantile`.

  Raises:
    ValueError: a known parameter is out of range.

  Example:
    >>> print(f"{float(isf(1e-12, 1.0)):.4e}")  # 1/(pi p)
    3.1831e+11
  """
  checks.require("p", p, "in [0, 1]", lambda p: (p >= 0) & (p <= 1))
  return _solve(_array(p), -1.0, alpha, beta, scale, loc, parameterization)


def _table(alpha, beta):
  """The coefficients of asinh of the log odds, float64."""
  bent = tables.coefficients(density.table_nodes(alpha, beta))
  w, stretch = density.units(alpha)
  inside = tables.horner(bent[:, None, None], jnp.asarray(_PLACES, bent.dtype))
  z = tables.MIDDLES[:, None, None] + tables.HALVES[:, None, None] * _PLACES
  log_size = jnp.minimum(jnp.abs(z * stretch), tables.LARGEST_LOG)
  # dx/dz = w stretch cosh(stretch z), and none where x is no longer grown.
  slope = log_size + jnp.log1p(jnp.exp(-2.0 * log_size)) - math.log(2.0)
  slope = slope + jnp.log(w * stretch)
  # Neither sinh nor exp may overflow; the density is 0 below.
  log_mass = jnp.sinh(jnp.clip(inside, -20.0, 7.0)) + slope
  grown = log_size < tables.LARGEST_LOG
  mass = jnp.where(grown, jnp.exp(jnp.where(grown, log_mass, 0.0)), 0.0)
  mass = mass * _HALVES * _WEIGHTS * tables.HALVES[:, None, None]
  mass = jnp.sum(mass, axis=-1)
  parts = mass.ravel()
  # What is left beyond the table is |x| f / alpha of a power law.
  ends = jnp.stack([log_mass[0, 0, 0], log_mass[-1, -1, -1]])
  lower, upper = jnp.exp(ends) / (stretch * alpha)
  below = (lower + jnp.cumsum(parts)).reshape(mass.shape)
  above = (upper + jnp.cumsum(parts[::-1])[::-1]).reshape(mass.shape)
  # Part i ends at point i, where part i + 1 begins.
  odds = jnp.log(jnp.maximum(below[:, :-1], _SMALLEST)) - jnp.log(
    jnp.maximum(above[:, 1:], _SMALLEST)
  )
  return tables.coefficients(jnp.arcsinh(odds))


_single_table = jax.jit(in_double(_table))


def _log_odds(z, alpha, beta):
  """The log odds of standard laws."""
  z, laws, own = _laws(z, alpha, beta)
  frames = density.frame(*laws)[:, own]
  odds = jnp.sinh(_bent_log_odds(z, frames, own, _all_tables(*laws)))
  return jnp.where(jnp.isinf(z), z, odds)


def _laws(z, alpha, beta):
  """Gives z its full shape, the laws one axis, and each z its law."""
  alpha, beta = jnp.broadcast_arrays(_array(alpha), _array(beta))
  shape: Any = jnp.broadcast_shapes(z.shape, alpha.shape)
  own = np.arange(alpha.size).reshape(alpha.shape)
  own = np.broadcast_to(own, shape) if alpha.size > 1 else 0
  return jnp.broadcast_to(z, shape), (alpha.ravel(), beta.ravel()), own


def _all_tables(alpha, beta):
  """The coefficients of all laws, [laws, cells, degree + 1]."""
  if alpha.size == 1:
    return _single_table(alpha[0], beta[0])[None]
  return lax.map(lambda law: _single_table(*law), (alpha, beta))


def _bent_log_odds(z, frames, own, coefficients):
  cell, t = density.place(z, frames)
  return tables.evaluate(coefficients, (own, cell), t)


def _solve(p, sign, alpha, beta, scale, loc, parameterization):
  law = density.standardise(0.0, alpha, beta, scale, loc, parameterization)
  shift, alpha, beta, _ = law
  p = jnp.broadcast_to(
    p, jnp.broadcast_shapes(p.shape, shift.shape, jnp.shape(scale))
  )
  p, laws, own = _laws(p, alpha, beta)
  proper = (p > 0.0) & (p < 1.0)
  safe = jnp.where(proper, p, 0.5)
  wanted = jnp.arcsinh(sign * (jnp.log(safe) - jnp.log1p(-safe)))
  coefficients = _all_tables(*laws)
  frames = density.frame(*laws)[:, own]
  z = lax.stop_gradient(_invert(wanted, frames, own, coefficients))

  def odds(z):
    return _bent_log_odds(z, frames, own, coefficients)

  # One step of Newton's that moves nothing but carries the gradients.
  _, slope = jax.jvp(odds, (z,), (jnp.ones_like(z),))
  slope = lax.stop_gradient(jnp.maximum(slope, 1e-37))
  rest = wanted - odds(z)
  z = z + (rest - lax.stop_gradient(rest)) / slope
  is_upper = (p > 0.5) == (sign > 0.0)
  z = jnp.where(proper, z, _end(is_upper, *(a[own] for a in laws)))
  return (z - shift) * _array(scale)


def _end(is_upper, alpha, beta):
  """An end of the support: zeta for one-sided laws, or infinity."""
  side = jnp.where(is_upper, -1.0, 1.0)
  one_sided = (alpha < 1.0) & (beta == side)
  zeta = _zeta(jnp.where(one_sided, alpha, 0.5), beta)
  return jnp.where(one_sided, zeta, -side * jnp.inf)


_zeta = jax.jit(in_double(integrals.zeta))


def _invert(wanted, frames, own, coefficients):
  """The standard quantile, by bisection over cells and then in one."""

  def at_left(cell):
    return tables.evaluate(coefficients, (own, cell), -jnp.ones_like(wanted))

  def narrow(_, bracket):
    low, high = bracket
    middle = (low + high) // 2
    over = at_left(middle) > wanted
    return jnp.where(over, low, middle), jnp.where(over, middle, high)

  low = jnp.zeros(wanted.shape, jnp.int32)
  high = jnp.full(wanted.shape, tables.CELLS, jnp.int32)
  steps = math.ceil(math.log2(tables.CELLS))
  cell, _ = lax.fori_loop(0, steps, narrow, (low, high))
  mine = coefficients[own, cell]

  def halve(_, bracket):
    low, high = bracket
    middle = 0.5 * (low + high)
    over = tables.horner(mine, middle) > wanted
    return jnp.where(over, low, middle), jnp.where(over, middle, high)

  one = jnp.ones_like(wanted)
  low, high = lax.fori_loop(0, _HALVINGS, halve, (-one, one))
  middles, halves = (
    jnp.asarray(a, wanted.dtype)[cell] for a in (tables.MIDDLES, tables.HALVES)
  )
  z = middles + halves * 0.5 * (low + high)
  w, stretch, coarse, fine = frames
  return tables.distance(z, w, stretch) + fine + coarse


_array = functools.partial(jnp.asarray, dtype=jnp.float32)
