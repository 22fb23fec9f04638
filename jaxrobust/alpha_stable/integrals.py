"""The stable density as an integral of positive terms, in float64.

With S1's centre zeta = -beta tan(pi alpha/2) and xi = x - zeta > 0 (the
other side by reflection), phi in (0, Phi), psi = Phi - phi and

    W = (xi sin(psi)/sin(alpha phi))^(alpha/(alpha-1))
        cos(theta)^(1/(alpha-1)) sin(kappa - eps psi) / sin(psi)

the density is f = alpha / (pi |eps| xi) int W exp(-W) dphi, eps = 1 - alpha,
theta = arctan(beta tan(pi alpha/2)), Phi = pi/2 + theta/alpha and kappa = pi
- alpha Phi. W is monotone, the integrand positive and, as a function of y =
log(phi/psi), close to a Gumbel density: it decays like an exponential on one
side and like exp(-exp) on the other. So it is integrated by Gauss-Legendre
over panels between its maximum, its ends and the corner of W next to a light
tail, which bisection finds; relative accuracy in the tails comes for free.

Every sine is taken of the angle's distance to the nearer zero, which is a
sum of positive terms: nothing cancels at beta = +-1, at alpha = 2 or far in
the tails. The integrand is a step of width |eps| near alpha = 1; within
|eps| < 1e-3 the density is interpolated in alpha, in which it is analytic.
Near xi = 0 it is interpolated in xi. At beta = +-1 and at alpha = 2 a heavy
tail sets in, from a part of the integral that is not there yet: derivatives
along beta and alpha are inward differences there.

Reference: J. P. Nolan, Univariate Stable Distributions, Springer 2020,
chapter 3; V. M. Zolotarev, One-dimensional Stable Distributions, 1986.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# log W above this is beyond what a float32 log density can show.
_LARGEST_LOG = 300.0
_NODES = 20  # of each of the five panels
_DROP = 24.0  # the integrand's logarithm falls by this to either end
_SHOULDER = 5.0
_SMALLEST = 1e-140  # whose square, in second derivatives, is no underflow
_REACH = 230.0  # of |y|
_TOLERANCE = 0.02  # of a panel's end, in units of the integrand's width
_ALPHA_STEP = 1e-3
_XI_STEP = 1e-4
_EDGE_STEP = 1e-5
# asinh(log f) is kept within this.
LARGEST_BENT = 250.0

# sin(x)/x as a polynomial of x^2 to x^18, for |x| <= pi/2.
_SINE = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(10))


def zeta(alpha: jax.Array, beta: jax.Array) -> jax.Array:
  """S1's centre in S0's coordinate, -beta tan(pi alpha/2)."""
  # A tangent of 2 - alpha for the sake of alpha = 2.
  high = beta * jnp.tan(0.5 * math.pi * (2.0 - alpha))
  return jnp.where(alpha < 1.0, -beta * jnp.tan(0.5 * math.pi * alpha), high)


def width(alpha: jax.Array) -> jax.Array:
  """How far from zeta the density begins to fall.

  It is sqrt(Gamma(1/alpha) / Gamma(3/alpha)), from the first terms of the
  series around zeta.
  """
  rate = 1.0 / alpha
  return jnp.exp(0.5 * (lax.lgamma(rate) - lax.lgamma(3.0 * rate)))


def log_density(
  alpha: jax.Array, beta: jax.Array, x: jax.Array, from_zeta: jax.Array
) -> jax.Array:
  """Computes asinh(log f) of the standard law (S0).

  Args:
    alpha: [...] tail index in (0, 2], float64.
    beta: [...] skewness in [-1, 1].
    x: [...] where.
    from_zeta: [...] whether `x` is measured from zeta, True, or from 0.

  Returns:
    [...] asinh(log f), at least -250, differentiable in alpha, beta, x.
  """
  shape = jnp.broadcast_shapes(*map(jnp.shape, (alpha, beta, x)))
  alpha, beta, x = (jnp.broadcast_to(a, shape) for a in (alpha, beta, x))
  near_one = jnp.abs(alpha - 1.0) < _ALPHA_STEP
  step = _XI_STEP * width(lax.stop_gradient(alpha))
  xi = x - jnp.where(from_zeta, 0.0, zeta(alpha, beta))
  near_zeta = ~near_one & (jnp.abs(xi) < step)
  offset = (alpha - 1.0) / _ALPHA_STEP
  nodes = jnp.where(jnp.any(near_one), 4, jnp.where(jnp.any(near_zeta), 2, 1))
  gaussian = alpha == 2.0
  extreme = ~gaussian & (jnp.abs(beta) == 1.0)
  # 0, but with a derivative: how far the parameters lie from the edge.
  inwards = jnp.where(gaussian, 2.0 - alpha, 0.0)
  inwards = jnp.where(extreme, 1.0 - jnp.abs(beta), inwards) / _EDGE_STEP
  at_edge = gaussian | extreme
  last = nodes * jnp.where(jnp.any(at_edge), 2, 1)

  def add(state):
    number, total = state
    number, moved = number % nodes, number // nodes
    node = 2.0 * number - 3.0  # -3, -1, 1, 3
    alpha_weight = jnp.ones_like(offset)
    for other in (-3.0, -1.0, 1.0, 3.0):
      same = node == other
      factor = (offset - other) / jnp.where(same, 1.0, node - other)
      alpha_weight = jnp.where(same, alpha_weight, alpha_weight * factor)
    end = jnp.where(number == 0, -1.0, 1.0)
    xi_weight = jnp.where(number < 2, 0.5 * (1.0 + end * xi / step), 0.0)
    weight = jnp.where(number == 0, 1.0, 0.0)
    weight = jnp.where(near_zeta, xi_weight, weight)
    weight = jnp.where(near_one, alpha_weight, weight)
    share = jnp.where(moved == 0, 1.0 - inwards, inwards)
    weight = weight * jnp.where(at_edge | (moved == 0), share, 0.0)
    shift = jnp.where(moved == 0, 0.0, _EDGE_STEP)
    at_alpha = jnp.where(near_one, 1.0 + _ALPHA_STEP * node, alpha)
    # Nodes of an interpolation do not move with what is interpolated.
    at_alpha = jnp.where(gaussian, 2.0 - shift, at_alpha)
    at_beta = jnp.where(extreme, lax.stop_gradient(beta) * (1.0 - shift), beta)
    at_xi = x - jnp.where(from_zeta, 0.0, zeta(at_alpha, at_beta))
    at_xi = jnp.where(near_zeta, end * step, at_xi)
    value = jnp.arcsinh(_log_density(at_alpha, at_beta, at_xi))
    value = jnp.maximum(value, -LARGEST_BENT)
    return state[0] + 1, total + weight * value

  start = jnp.zeros_like(last), jnp.zeros_like(xi)
  return lax.while_loop(lambda state: state[0] < last, add, start)[1]


def _log_density(alpha, beta, xi):
  """The log density away from alpha = 1 and from xi = 0."""
  side = jnp.where(xi < 0.0, -1.0, 1.0)
  distance = jnp.maximum(side * xi, 1e-300)
  beta = side * beta
  outside = (alpha < 1.0) & (beta <= -1.0)
  beta = jnp.where(outside, 0.0, beta)
  law = _geometry(alpha, beta), jnp.log(distance)
  ends = lax.stop_gradient(_panels(*lax.stop_gradient((alpha, law))))
  nodes, weights = np.polynomial.legendre.leggauss(_NODES)
  half = 0.5 * (ends[1:] - ends[:-1])[..., None]
  middle = 0.5 * (ends[1:] + ends[:-1])[..., None]
  at = jax.tree.map(lambda a: a[None, ..., None], (alpha, law))
  log_time, measure = _log_time(*at, middle + half * nodes)
  mass = jnp.maximum(measure * half * weights, _SMALLEST)
  exponent = log_time - jnp.exp(log_time) + jnp.log(mass)
  top = lax.stop_gradient(jnp.max(exponent, axis=(0, -1)))
  terms = jnp.exp(exponent - top[..., None])
  total = jnp.log(jnp.sum(terms, axis=(0, -1))) + top
  front = jnp.log(alpha / (math.pi * jnp.abs(1.0 - alpha)))
  return jnp.where(outside, -math.inf, total + front - law[1])


def _geometry(alpha, beta):
  """Phi, pi - Phi, kappa, pi - kappa and log cos(theta)."""
  low = alpha < 1.0
  angle = 0.5 * math.pi * jnp.where(low, alpha, 2.0 - alpha)
  s, c = jnp.sin(angle), jnp.cos(angle)
  up = jnp.arctan2((1.0 + beta) * s * c, c * c - beta * s * s)
  down = jnp.arctan2((1.0 - beta) * s * c, c * c + beta * s * s)
  reach = jnp.where(low, up, math.pi - up) / alpha
  rest = jnp.where(low, down, math.pi * (alpha - 1.0) + up) / alpha
  kappa = jnp.where(low, math.pi - up, up)
  rest_kappa = jnp.where(low, up, math.pi - up)
  return reach, rest, kappa, rest_kappa, -0.5 * jnp.log1p((beta * s / c) ** 2)


def _log_time(alpha, law, y):
  """The logarithm of W and dphi/dy at y, which runs so that W grows."""
  (reach, rest, kappa, rest_kappa, log_cosine), log_distance = law
  eps = 1.0 - alpha
  low = alpha < 1.0
  y = jnp.where(low, y, -y)
  decay = jnp.exp(-jnp.abs(y))
  near, far = decay / (1.0 + decay), 1.0 / (1.0 + decay)
  phi = reach * jnp.where(y < 0.0, near, far)
  psi = reach * jnp.where(y < 0.0, far, near)
  first = _sine(jnp.minimum(psi, rest + phi))
  second = _sine(jnp.minimum(alpha * phi, kappa + alpha * psi))
  tilt = jnp.where(low, rest + eps * phi, kappa - eps * psi)
  rest_tilt = jnp.where(low, rest_kappa + eps * psi, reach - eps * phi)
  third = _sine(jnp.minimum(tilt, rest_tilt))
  # Logarithms apart: a quotient's second derivative would overflow.
  first, second, third = jnp.log(first), jnp.log(second), jnp.log(third)
  power = alpha * (second - first - log_distance) - log_cosine
  log_time = third - first + power / eps
  measure = reach * near * far
  return jnp.minimum(log_time, _LARGEST_LOG), measure


def _sine(angle):
  square = angle * angle
  value = jnp.full_like(square, _SINE[-1])
  for coefficient in _SINE[-2::-1]:
    value = value * square + coefficient
  return angle * value


def _panels(alpha, law):
  """The six ends of the five panels, increasing."""

  def log_integrand(y):
    log_time, measure = _log_time(alpha, law, y)
    measure = jnp.log(jnp.maximum(measure, 1e-300))
    return log_time - jnp.exp(log_time) + measure

  def is_rising(y):
    log_time, measure = _log_time(alpha, law, jnp.stack([y, y + 1e-6]))
    slope = (log_time[1] - log_time[0]) * (1.0 - jnp.exp(log_time[0]))
    slope = slope + jnp.log(measure[1] / measure[0])
    return (slope > 0.0) & (log_time[0] < _LARGEST_LOG)

  # Next to a light tail W stops falling where phi ~ rest or psi ~ kappa. The
  # integrand may have one maximum on either side of that corner.
  reach, rest, kappa, *_ = law[0]
  edge = jnp.where(alpha < 1.0, rest, kappa)
  corner = jnp.log(jnp.maximum(edge, 1e-80) / reach)
  limit = jnp.full_like(corner, _REACH)
  # The integrand's features are as narrow as |eps|.
  narrow = _TOLERANCE * jnp.min(jnp.abs(1.0 - alpha))
  halvings = jnp.ceil(jnp.log2(2.0 * _REACH / narrow)).astype(jnp.int32)
  low = jnp.stack([jnp.minimum(-limit, corner), corner])
  high = jnp.stack([corner, jnp.maximum(limit, corner)])
  low, high = _bisect(halvings, is_rising, low, high)
  peaks = 0.5 * (low + high)
  tops = log_integrand(peaks)
  top = jnp.max(tops, axis=0)
  highest = jnp.where(tops[1] > tops[0], peaks[1], peaks[0])

  def falls_less(drop):
    return lambda y: log_integrand(y) > top - drop

  start = jnp.where(tops > top - _DROP, peaks, peaks[::-1])
  end = jnp.stack([-limit, limit])
  _, (left, right) = _bisect(halvings, falls_less(_DROP), start, end)
  # On its long side the integrand may first fall fast and then slowly.
  shoulder, _ = _bisect(halvings, falls_less(_SHOULDER), highest, left)
  ends = jnp.stack([left, *peaks, corner, shoulder, right])
  return jnp.sort(jnp.clip(ends, left, right), axis=0)


def _bisect(halvings, holds, inside, outside):
  """Narrows a bracket whose first end is, or might be, where `holds` is."""

  def halve(_, bracket):
    inside, outside = bracket
    middle = 0.5 * (inside + outside)
    good = holds(middle)
    return jnp.where(good, middle, inside), jnp.where(good, outside, middle)

  return lax.fori_loop(0, halvings, halve, (inside, outside))
