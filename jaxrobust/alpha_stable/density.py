"""The log density of the stable law, in float32 to 1e-5, for all parameters.

Two routes lead to the integral of `integrals`:

- Scalar alpha and beta, many x: the integral is computed in float64 at the
  1,330 nodes of a table (see `tables`), which is then read in float32.
- Arrays of alpha or beta, or few x: the integral is computed at every x.

Measured against quadrature of 200 nodes a panel and against inversion of the
characteristic function in 40 digits, for alpha from 0.1 to 2, |x| <= 1e30
and all beta, |alpha - 1| down to 0 and 1 - |beta| down to 0 included: the
error is below 1e-5 max(1, |log f|). (From a table it is larger next to the
end of the support of one-sided laws with alpha > 0.7, where f < 1e-38.)

Both are differentiable to any order in all arguments; table and integral are
evaluated in float64 whatever JAX's global setting (see `double`).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrobust.alpha_stable import checks, integrals, sampling, tables
from jaxrobust.alpha_stable.double import in_double

# Below this alpha the density is a narrow peak at zeta, and x is measured
# from there.
_PEAKED = 0.7
# With fewer x than this the table costs more than it saves.
_FEW = 256
_CHUNK = 256
_HUGE = np.float32(3e38)
_LARGEST = 87.0  # asinh of what float32 can hold, nearly


def log_prob(
  x: Any,
  alpha: Any,
  beta: Any = 0.0,
  scale: Any = 1.0,
  loc: Any = 0.0,
  parameterization: sampling.Parameterization = "S0",
) -> jax.Array:
  """Computes the logarithm of the density of the stable law.

      log f(x) = log[alpha / (pi |1-alpha| xi) int W exp(-W) dphi] - log c

  with the terms at the head of `integrals`. Known alpha = 2 (Gaussian),
  alpha = 1 with beta = 0 (Cauchy) and alpha = 1/2 with |beta| = 1 (Levy)
  take closed forms, which agree with the integral to rounding.

  Args:
    x: [...] where, in the units of the data.
    alpha: tail index in (0, 2]; the error's bound is tested from 0.1. Where
      alpha and beta are scalars, a table is made once for all x.
    beta: skewness in [-1, 1].
    scale: c > 0, in the units of the data.
    loc: location, in the units of the data.
    parameterization: 'S0' or 'S1', the meaning of loc; see `sampling.sample`.

  Returns:
    log f, float32, of the broadcast shape, with an error below 1e-5
    max(1, |log f|); -inf outside the support and where the density's
    logarithm is below -3e37. Differentiable in all arguments.

  Raises:
    ValueError: a known parameter is out of range.

  Example:
    >>> round(float(log_prob(0.0, 1.0)), 4)  # -log(pi)
    -1.1447
  """
  law = standardise(x, alpha, beta, scale, loc, parameterization)
  z, alpha, beta, log_scale = law
  closed = _closed_form(alpha, beta)
  if closed is not None:
    return closed(z, _array(beta)) - log_scale
  shape = jnp.broadcast_shapes(z.shape, jnp.shape(alpha), jnp.shape(beta))
  z, alpha, beta = jnp.broadcast_to(z, shape), _array(alpha), _array(beta)
  if max(alpha.size, beta.size) == 1 and z.size > _FEW:
    bent = _from_table(z, alpha.reshape(()), beta.reshape(()))
  else:
    at = lax.clamp(-_HUGE, z, _HUGE)
    bent = _at_each(*jnp.broadcast_arrays(alpha, beta, at))
  finite = jnp.abs(z) <= _HUGE
  return jnp.where(finite | jnp.isnan(z), unbend(bent), -jnp.inf) - log_scale


def standardise(x, alpha, beta, scale, loc, parameterization):
  """Checks the parameters and returns (x - loc)/c in S0, and log c."""
  checks.require_alpha(alpha)
  checks.require_beta(beta)
  checks.require(
    "scale", scale, "finite and positive", lambda c: (c > 0) & (c < math.inf)
  )
  sampling.require_parameterization(parameterization)
  x, scale, loc = _array(x), _array(scale), _array(loc)
  if parameterization == "S1" and not checks.is_number(beta, 0):
    loc = loc + sampling.s1_shift(_array(alpha), _array(beta), scale)
  return (x - loc) / scale, alpha, beta, jnp.log(scale)


def unbend(bent: jax.Array) -> jax.Array:
  """sinh, and -inf where the value was cut."""
  inside = bent > -_LARGEST
  return jnp.where(inside, jnp.sinh(jnp.where(inside, bent, 0.0)), -jnp.inf)


@jax.jit
@in_double
def frame(alpha: jax.Array, beta: jax.Array) -> jax.Array:
  """Where a law's table lies: [4, ...] unit, stretch and centre in two parts.

  The centre is zeta for peaked laws, to which one float32 is too coarse, and
  0 for others.
  """
  peaked = alpha < _PEAKED
  safe = jnp.where(peaked, alpha, 0.5)
  centre = jnp.where(peaked, integrals.zeta(safe, beta), 0.0)
  coarse = lax.stop_gradient(centre).astype(jnp.float32).astype(centre.dtype)
  w, stretch = units(alpha)
  return jnp.stack([w, stretch, coarse, centre - coarse])


def place(z: jax.Array, where: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The cell of the table at `where` that z lies in, and where in it."""
  w, stretch, coarse, fine = where
  z = lax.clamp(-_HUGE, z, _HUGE)
  return tables.cell_of(tables.coordinate((z - coarse) - fine, w, stretch))


def units(alpha: jax.Array) -> jax.Array:
  """A table's unit of x and its stretch, float64 that float32 can hold."""
  alpha = lax.stop_gradient(alpha)
  peaked = alpha < _PEAKED
  w = jnp.where(peaked, integrals.width(jnp.maximum(alpha, 0.05)), 1.0)
  # The smaller alpha, the more powers of ten lie between centre and tail.
  stretch = 0.5 / alpha * jnp.maximum(1.0, 0.3 / alpha) ** 0.7
  both = jnp.stack([w, jnp.where(peaked, stretch, 1.0)])
  return both.astype(jnp.float32).astype(alpha.dtype)


def table_nodes(alpha, beta):
  """Values of asinh(log f) at the table's nodes, float64 [cells, points]."""
  bent = integrals.log_density(alpha, beta, _distances(alpha), alpha < _PEAKED)
  # A polynomial cannot hold the end of a support.
  outside = jnp.any(bent <= -integrals.LARGEST_BENT, axis=-1, keepdims=True)
  return jnp.where(outside, -integrals.LARGEST_BENT, bent)


def _distances(alpha):
  w, stretch = units(alpha)
  z = tables.MIDDLES[:, None] + tables.HALVES[:, None] * tables.POINTS
  return tables.distance(jnp.asarray(z, alpha.dtype), w, stretch)


@jax.jit
@in_double
def _table(alpha, beta):
  return tables.coefficients(table_nodes(alpha, beta))


@jax.jit
@in_double
def _elementwise(alpha, beta, z):
  return integrals.log_density(alpha, beta, z, jnp.zeros((), bool))


def _at_each(alpha, beta, z):
  """The integral at every element, in chunks.

  Chunks stay in the cache, and only those with special cases pay for them.
  """
  count = -(-z.size // _CHUNK)
  if count <= 1:
    return _elementwise(alpha, beta, z)

  def chunks(a):
    padded = jnp.pad(a.ravel(), (0, count * _CHUNK - z.size), mode="edge")
    return padded.reshape(count, _CHUNK)

  each = lax.map(
    lambda chunk: _elementwise(*chunk), tuple(map(chunks, (alpha, beta, z)))
  )
  return each.ravel()[: z.size].reshape(z.shape)


def _from_table(z, alpha, beta):
  cell, t = place(z, frame(alpha, beta))
  return tables.evaluate(_table(alpha, beta), cell, t)


def _closed_form(alpha, beta):
  if checks.is_number(alpha, 2):
    return _gaussian
  if checks.is_number(alpha, 1) and checks.is_number(beta, 0):
    return _cauchy
  if checks.is_number(alpha, 0.5) and (
    checks.is_number(beta, 1) or checks.is_number(beta, -1)
  ):
    return _levy
  return None


def _gaussian(z, beta):
  del beta
  return -0.25 * z * z - 0.5 * math.log(4.0 * math.pi)


def _cauchy(z, beta):
  del beta
  size = jnp.abs(z)
  large = size > 1e4
  far = 2.0 * jnp.log(jnp.where(large, size, 1.0))
  near = jnp.log1p(jnp.where(large, 0.0, z * z))
  return -jnp.where(large, far, near) - math.log(math.pi)


def _levy(z, beta):
  xi = beta * z + 1.0  # zeta = -beta
  inside = xi > 0.0
  xi = jnp.where(inside, xi, 1.0)
  value = -1.5 * jnp.log(xi) - 0.5 / xi - 0.5 * math.log(2.0 * math.pi)
  return jnp.where(inside, value, -jnp.inf)


def _array(value: Any) -> jax.Array:
  return jnp.asarray(value, jnp.float32)
