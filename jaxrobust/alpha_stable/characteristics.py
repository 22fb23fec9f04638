"""What is known of the stable law in closed form: moments, tails, transform.

References: J. P. Nolan, Univariate Stable Distributions, Springer 2020;
E. E. Kuruoglu, Density parameter estimation of skewed alpha-stable
distributions, IEEE Trans. Signal Processing 49 (2001).
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrobust.alpha_stable import checks, sampling
from jaxrobust.alpha_stable.sampling import expm1_ratio, sinpi_ratio


def characteristic_function(
  t: Any,
  alpha: Any,
  beta: Any = 0.0,
  scale: Any = 1.0,
  loc: Any = 0.0,
  parameterization: sampling.Parameterization = "S0",
) -> jax.Array:
  """Computes E exp(i t X), smoothly through alpha = 1.

      exp(-|c t|^alpha (1 + i beta sgn(t) h) + i loc t)

  with h as in `sampling.sample`. In S0 it is

      h = tau L (exp(eps L) - 1) / (eps L),  L = log|c t|,  eps = 1 - alpha,

  with tau = eps/tan(pi eps/2), which has no pole.

  Args:
    t: [...] frequency, in inverse units of the data.
    alpha: tail index in (0, 2].
    beta: skewness in [-1, 1].
    scale: c >= 0, in the units of the data.
    loc: location, in the units of the data.
    parameterization: 'S0' or 'S1', the meaning of loc.

  Returns:
    The transform, complex64, of the broadcast shape.

  Raises:
    ValueError: a known parameter is out of range.

  Example:
    >>> round(float(characteristic_function(1.0, 1.5).real), 4)  # exp(-1)
    0.3679
  """
  checks.require_alpha(alpha)
  checks.require_beta(beta)
  checks.require_scale(scale)
  sampling.require_parameterization(parameterization)
  t, scale, loc = _array(t), _array(scale), _array(loc)
  if parameterization == "S1" and not checks.is_number(beta, 0):
    loc = loc + sampling.s1_shift(_array(alpha), _array(beta), scale)
  alpha, beta = _array(alpha), _array(beta)
  reach = jnp.abs(scale * t)
  moving = reach > 0.0
  log_reach = jnp.log(jnp.where(moving, reach, 1.0))
  eps = 1.0 - alpha
  power = jnp.where(moving, jnp.exp(alpha * log_reach), 0.0)
  # |ct|^alpha h = tau (|ct| - |ct|^alpha)/eps, bounded as t goes to 0.
  exponent = eps * log_reach
  skew = power * _tau(eps) * log_reach * expm1_ratio(exponent)
  angle = loc * t - beta * jnp.sign(t) * skew
  size = jnp.exp(-power)
  return lax.complex(size * jnp.cos(angle), size * jnp.sin(angle))


def log_moments(alpha: Any, scale: Any = 1.0) -> tuple[jax.Array, jax.Array]:
  """Computes mean and variance of log|X|, which exist for every alpha.

      E log|X| = log c + g (1/alpha - 1),  g = 0.5772 (Euler)
      Var log|X| = (pi^2/6) (1/alpha^2 + 1/2)

  for the symmetric law around 0.

  Args:
    alpha: tail index in (0, 2].
    scale: c > 0, in the units of the data.

  Returns:
    Mean and variance, float32.

  Raises:
    ValueError: a known argument is out of range.

  Example:
    >>> mean, variance = log_moments(1.0)
    >>> round(float(mean), 4), round(float(variance), 4)
    (0.0, 2.4674)
  """
  checks.require_alpha(alpha)
  checks.require_scale(scale)
  rate = 1.0 / _array(alpha)
  mean = jnp.log(_array(scale)) + np.euler_gamma * (rate - 1.0)
  return mean, (math.pi**2 / 6.0) * (rate * rate + 0.5) + jnp.zeros_like(mean)


def fractional_moment(p: Any, alpha: Any, scale: Any = 1.0) -> jax.Array:
  """Computes E|X|^p of the symmetric law around 0, -1 < p < alpha.

      E|X|^p = c^p Gamma(1 - p/alpha) / (Gamma(1-p) cos(pi p/2))

  which, by reflection, is smooth at p = 0 and 1 in the form that is used,

      c^p 2^p Gamma((1+p)/2) Gamma(1-p/alpha) / (sqrt(pi) Gamma(1-p/2)).

  Args:
    p: order in (-1, alpha), and any number above -1 for alpha = 2.
    alpha: tail index in (0, 2].
    scale: c > 0, in the units of the data.

  Returns:
    The moment, float32; infinite where p >= alpha < 2.

  Raises:
    ValueError: a known argument is out of range.

  Example:
    >>> round(float(fractional_moment(1.0, 2.0)), 4)  # 2/sqrt(pi)
    1.1284
  """
  checks.require_alpha(alpha)
  checks.require_scale(scale)
  checks.require("p", p, "above -1", lambda p: p > -1)
  p, alpha, scale = _array(p), _array(alpha), _array(scale)
  gaussian = (alpha == 2.0) & (p >= 2.0)
  exists = (p > -1.0) & ((p < alpha) | gaussian)
  p = jnp.where(exists, p, 0.0)
  # At alpha = 2 the two gammas cancel.
  ratio = jnp.where(gaussian, 0.0, p / jnp.where(gaussian, 1.0, alpha))
  half = jnp.where(gaussian, 0.0, 0.5 * p)
  log_moment = p * jnp.log(2.0 * scale) - 0.5 * math.log(math.pi)
  log_moment = log_moment + lax.lgamma(0.5 * (1.0 + p))
  log_moment = log_moment + lax.lgamma(1.0 - ratio) - lax.lgamma(1.0 - half)
  return jnp.where(exists, jnp.exp(log_moment), jnp.inf)


def tail_asymptote(
  x: Any,
  alpha: Any,
  beta: Any = 0.0,
  scale: Any = 1.0,
  loc: Any = 0.0,
) -> jax.Array:
  """Computes the leading term of the tails, alpha < 2.

      P(X > x)  ~ (1+beta) C (c/(x-loc))^alpha,     x - loc > 0
      P(X <= x) ~ (1-beta) C (c/(loc-x))^alpha,     x - loc < 0
      C = Gamma(alpha) sin(pi alpha/2) / pi

  Args:
    x: [...] where, in the units of the data, other than `loc`.
    alpha: tail index in (0, 2]; C is 0 at 2.
    beta: skewness in [-1, 1].
    scale: c > 0, in the units of the data.
    loc: location, in the units of the data.

  Returns:
    The asymptote on the side of x, float32, of the broadcast shape.

  Raises:
    ValueError: a known parameter is out of range.

  Example:
    >>> round(float(tail_asymptote(100.0, 1.0)), 6)  # 1/(pi x)
    0.003183
  """
  checks.require_alpha(alpha)
  checks.require_beta(beta)
  checks.require_scale(scale)
  alpha, beta = _array(alpha), _array(beta)
  distance = (_array(x) - _array(loc)) / _array(scale)
  share = 1.0 + beta * jnp.sign(distance)
  # sin(pi alpha/2) by its distance to the zero at 2.
  sine = (1.0 - 0.5 * alpha) * sinpi_ratio(1.0 - 0.5 * alpha)
  size = jnp.exp(lax.lgamma(alpha) - alpha * jnp.log(jnp.abs(distance)))
  return share * sine * size / math.pi


def _tau(eps):
  """The pole-free eps / tan(pi eps/2) on [-1, 1]."""
  half = 0.5 * eps
  # sin(pi eps/2)/eps = sinpi_ratio(eps/2)/2; the cosine by its zeros at +-1.
  away = 0.5 * (1.0 - jnp.abs(eps))
  return 2.0 * away * sinpi_ratio(away) / sinpi_ratio(half)


_array = functools.partial(jnp.asarray, dtype=jnp.float32)
