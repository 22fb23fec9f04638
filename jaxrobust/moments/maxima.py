"""Exact moments of max(X, 0) and max(X, Y) of Gaussians.

All arrays are float32. Values and gradients are finite at a variance of 0 and
equal there to the operation itself, and nothing cancels.
"""

import math

import jax
import jax.numpy as jnp

# Below it, in units of the variance's own scale, a Gaussian is taken for a
# point: the square root has no derivative there.
TINY = 1e-12
_SQRT_2PI = math.sqrt(2 * math.pi)

# Coefficients in t = 1 / (1 + 0.35 a), lowest power first, of three functions
# of a >= 0, each over its leading power of t: with Mills' ratio
# M = Phi(-a) / phi(a) they are M / t, (1 - a M) / t² and
# ((1 + a²) M - a) / t³. Fitted to relative errors of 2e-8, 8e-8 and 6e-7; one
# exponential is then all that a moment needs, and nothing cancels.
_MILLS_SLOPE = 0.35
# fmt: off
_TAIL = (
  0.35000001, 0.34999834, 0.30720445, 0.21990106, 0.12242177, -0.075773354,
  0.18599127, -0.58423416, 0.60787267, -0.28028768, 0.050219759,
)
_FIRST = (
  0.1225, 0.24499832, 0.32258306, 0.30761461, 0.21589405, -0.16541481,
  0.47005103, -1.6559605, 1.9316281, -0.98873469, 0.19484088,
)
_SECOND = (
  0.085749984, 0.25725359, 0.45137702, 0.54232541, 0.4204559, -0.25365991,
  0.90046492, -4.5240901, 6.0752898, -3.4360245, 0.7341727,
)
# fmt: on
# At this many standard deviations from 0 float32 has no density left: a point.
_FAR = 40.0


def _polynomial(coefficients, t):
  """Horner's rule."""
  value = jnp.full_like(t, coefficients[-1])
  for coefficient in coefficients[-2::-1]:
    value = value * t + coefficient
  return value


def _excess(distance, var):
  """Of X ~ N(-distance, var): moments of relu(X), P(X > 0) and phi / 2s.

  The last is the derivative of the first in the variance. Of a point all four
  are 0.
  """
  random = var > TINY * jnp.maximum(distance * distance, 1e-6)
  scale = jnp.sqrt(jnp.where(random, var, 1.0))
  a = jnp.where(random, distance, _FAR) / scale
  u = 1 + _MILLS_SLOPE * a
  t = 1 / u
  density = jnp.exp(-0.5 * a * a) / _SQRT_2PI
  # Of a law of unit variance. Each ends in a division, for `stored`'s reason.
  tail = density * _polynomial(_TAIL, t) / u
  first = density * _polynomial(_FIRST, t) / u**2
  second = density * _polynomial(_SECOND, t) / u**3
  return (
    scale * first,
    var * (second - first * first),
    tail,
    0.5 * density / scale,
  )


def stored(x: jax.Array) -> jax.Array:
  """X, divided by 1: XLA's CPU compiler does not compute a division twice.

  It would compute anything cheaper again in every loop that reads it.

  Args:
    x: [...].

  Returns:
    x.

  Example:
    >>> float(stored(jnp.asarray(3.0)))
    3.0
  """
  return x / jnp.where(jnp.isnan(x), 2.0, 1.0)


@jax.custom_jvp
def rectified(
  mean: jax.Array, var: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Moments of relu(X) of a Gaussian X, exactly, and P(X > 0).

    E[relu X]   = m Phi(a) + s phi(a),             a = m / s
    E[relu² X]  = (m² + v) Phi(a) + m s phi(a)

  The variance is computed without the cancellation of E[relu²] - E[relu]²:
  with the mean r and the variance w of relu(-X), it is v - w - 2 r (m + r)
  for m > 0.

  Args:
    mean: float32 [...].
    var: float32, of the same shape, at least 0.

  Returns:
    mean, variance and P(X > 0), of the same shape.

  Example:
    >>> [round(float(x), 4) for x in rectified(jnp.zeros(()), jnp.ones(()))]
    [0.3989, 0.3408, 0.5]

  References: B. J. Frey and G. E. Hinton, Variational Learning in Nonlinear
  Gaussian Belief Networks, Neural Computation 11, 1999. The derivatives are
  Phi, phi / 2s, 2 E[relu X] (1 - Phi) and Phi - E[relu X] phi / s.
  """
  return _rectified(mean, var)[:3]


def _rectified(mean, var):
  """The three results, and the derivative of the first in the variance."""
  positive = mean > 0
  rest_mean, rest_var, tail, slope = _excess(
    jnp.where(positive, mean, -mean), var
  )
  upper_var = jnp.maximum(
    var - rest_var - 2 * rest_mean * (mean + rest_mean), 0
  )
  return (
    jnp.maximum(mean, 0.0) + rest_mean,
    jnp.where(positive, upper_var, rest_var),
    jnp.where(positive, 1 - tail, tail),
    slope,
  )


@rectified.defjvp
def _rectified_jvp(primals, tangents):
  out_mean, out_var, gate, slope = _rectified(*primals)
  random = slope > 0
  mean, var = primals
  of_gate_in_var = -slope * mean / jnp.where(random, var, 1.0)
  of_var_in_mean = jnp.where(random, 2 * out_mean * (1 - gate), 0.0)
  of_var_in_var = gate - 2 * out_mean * slope
  mean, var = tangents
  return (out_mean, out_var, gate), (
    gate * mean + slope * var,
    of_var_in_mean * mean + of_var_in_var * var,
    2 * slope * mean + of_gate_in_var * var,
  )


@jax.custom_jvp
def larger(
  mean: jax.Array, var: jax.Array, other_mean: jax.Array, other_var: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Moments of max(X, Y) of independent Gaussians, exactly (Clark).

  With X that of the larger mean, and R = relu(Y - X),

    max(X, Y) = X + R,
    Var max(X, Y) = Var X (1 - 2 P(Y > X)) + Var R

  which is Clark's formula, written so that nothing cancels.

  Args:
    mean: of X, float32 [...].
    var: of X, of the same shape.
    other_mean: of Y.
    other_var: of Y.

  Returns:
    mean and variance, of the same shape.

  Example:
    >>> zero, one = jnp.zeros(()), jnp.ones(())
    >>> [round(float(x), 4) for x in larger(zero, one, zero, one)]
    [0.5642, 0.6817]

  Reference: C. E. Clark, The Greatest of a Finite Set of Random Variables,
  Operations Research 9, 1961, equations (2) to (4).
  """
  return _larger(mean, var, other_mean, other_var)[:2]


def _larger(mean, var, other_mean, other_var):
  """The two results, and what their derivatives are made of."""
  gap = stored(mean - other_mean)
  first = gap > 0
  # Not |gap|, which has no second derivative at 0.
  distance = jnp.where(first, gap, -gap)
  upper_var = jnp.where(first, var, other_var)
  excess = _excess(distance, var + other_var)
  rest_mean, rest_var, swap, _ = excess
  return (
    stored(jnp.where(first, mean, other_mean) + rest_mean),
    stored(upper_var * (1 - 2 * swap) + rest_var),
    (first, distance, upper_var, excess),
  )


@larger.defjvp
def _larger_jvp(primals, tangents):
  _, var, _, other_var = primals
  out_mean, out_var, parts = _larger(*primals)
  first, distance, upper_var, (rest_mean, _, swap, slope) = parts
  random = slope > 0
  # Equal points share the derivative, as in `jnp.maximum`.
  share = jnp.where(random | (distance > 0), swap, 0.5)
  density = 2 * upper_var * slope
  pull = distance / jnp.where(random, var + other_var, 1.0)
  in_lower_mean = 2 * (rest_mean * (1 - swap) - density)
  in_lower_var = swap - 2 * rest_mean * slope - density * pull
  in_upper_var = in_lower_var + 1 - 2 * swap
  # Stored, so that few arrays wait for the way back.
  gate = stored(jnp.where(first, 1 - share, share))
  slope = stored(slope)
  in_mean = stored(jnp.where(first, -in_lower_mean, in_lower_mean))
  in_var = stored(jnp.where(first, in_upper_var, in_lower_var))
  in_other_var = stored(jnp.where(first, in_lower_var, in_upper_var))
  mean, var, other_mean, other_var = tangents
  return (out_mean, out_var), (
    gate * mean + (1 - gate) * other_mean + slope * (var + other_var),
    in_mean * (mean - other_mean) + in_var * var + in_other_var * other_var,
  )
