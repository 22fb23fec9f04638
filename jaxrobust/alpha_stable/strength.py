"""How strong symmetric stable noise is, and the scale of a given strength.

A stable law has no variance below alpha = 2, so strength has several
readings, and two of them are easily confused. The canonical parameter here
is the scale c of exp(-|c t|^alpha); signal processing often writes
exp(-gamma |t|^alpha) with the dispersion gamma = c^alpha instead. Scales
chosen at equal flip rate do about equal damage to images in [0, 1], which
makes it the fair way to compare tail indices.

Every function is pure, elementwise and differentiable, broadcasts its
arguments, and takes Python numbers as well as arrays, traced or not.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrobust.alpha_stable import checks

_NODES = 400
_NEGLIGIBLE = 17.0  # exp(-17) is less than float32's rounding of 1


def scale_from_dispersion(alpha: Any, dispersion: Any) -> jax.Array:
  """Converts the dispersion gamma of exp(-gamma |t|^alpha) to the scale.

      c = gamma^(1/alpha)

  Args:
    alpha: tail index in (0, 2].
    dispersion: gamma >= 0, in the data's units to the power alpha.

  Returns:
    The scale c, float32, in the units of the data.

  Raises:
    ValueError: a known argument is out of range.

  Example:
    >>> round(float(scale_from_dispersion(0.5, 0.1)), 6)
    0.01
  """
  checks.require_alpha(alpha)
  checks.require_scale(dispersion, "dispersion")
  return _array(dispersion) ** (1.0 / _array(alpha))


def scale_from_std(std: Any) -> jax.Array:
  """Converts a standard deviation to the scale of the Gaussian, alpha = 2.

      c = std / sqrt(2)

  Args:
    std: standard deviation >= 0, in the units of the data. It exists for
      alpha = 2 only.

  Returns:
    The scale c, float32.

  Raises:
    ValueError: `std` is known and negative or infinite.

  Example:
    >>> round(float(scale_from_std(0.2)), 6)
    0.141421
  """
  checks.require_scale(std, "std")
  return _array(std) / math.sqrt(2.0)


def geometric_power(alpha: Any, scale: Any) -> jax.Array:
  """Computes the geometric power of symmetric stable noise.

      S = exp(E log|X|) = c exp(g (1/alpha - 1)),  g = 0.5772 (Euler)

  It is a strength that exists for every tail index.

  Args:
    alpha: tail index in (0, 2].
    scale: c >= 0.

  Returns:
    S, float32, in the units of the data.

  Raises:
    ValueError: a known argument is out of range.

  Example:
    >>> round(float(geometric_power(0.5, 1.0)), 3)
    1.781
  """
  checks.require_alpha(alpha)
  checks.require_scale(scale)
  return _array(scale) * jnp.exp(np.euler_gamma * (1.0 / _array(alpha) - 1.0))


def scale_from_geometric_power(alpha: Any, power: Any) -> jax.Array:
  """Converts a geometric power to the scale; inverts `geometric_power`.

  Args:
    alpha: tail index in (0, 2].
    power: S >= 0, in the units of the data.

  Returns:
    The scale c, float32.

  Raises:
    ValueError: a known argument is out of range.

  Example:
    >>> round(float(scale_from_geometric_power(2.0, 0.749306)), 4)
    1.0
  """
  checks.require_alpha(alpha)
  checks.require_scale(power, "power")
  return _array(power) * jnp.exp(np.euler_gamma * (1.0 - 1.0 / _array(alpha)))


def flip_rate(alpha: Any, scale: Any, threshold: Any = 0.5) -> jax.Array:
  """Computes how often symmetric noise exceeds a threshold in magnitude.

      P(|c X| > threshold),  X symmetric stable of scale 1

  With the default threshold it is the share of pixels in [0, 1] whose side
  of 1/2 the noise can turn. It is erfc and arctan for alpha = 2 and 1, and
  for traced or other alpha the inversion integral of the characteristic
  function along a ray on which it does not oscillate; the absolute error is
  below 1e-6 for alpha >= 0.1 in all cases.

  Args:
    alpha: tail index in (0, 2].
    scale: c >= 0, in the units of the data.
    threshold: positive, in the units of the data.

  Returns:
    The probability, float32, of the broadcast shape; differentiable in all
    arguments.

  Raises:
    ValueError: a known argument is out of range.

  Example:
    >>> round(float(flip_rate(1.0, 0.1)), 3)
    0.126
  """
  checks.require_alpha(alpha)
  checks.require_scale(scale)
  _require_positive("threshold", threshold)
  scale = _array(scale)
  positive = jnp.where(scale > 0.0, scale, 1.0)
  rate = _exceedance(alpha, jnp.log(_array(threshold) / positive))
  return jnp.where(scale > 0.0, rate, 0.0)


def scale_from_flip_rate(
  alpha: Any, rate: Any, threshold: Any = 0.5
) -> jax.Array:
  """Finds the scale at which noise has a given flip rate.

  Inverts `flip_rate` by bisection in log c, followed by one Newton step
  through which the gradient flows.

  Args:
    alpha: tail index in (0, 2].
    rate: wanted P(|c X| > threshold), in (0, 1).
    threshold: positive, in the units of the data.

  Returns:
    The scale c, float32, of the broadcast shape; differentiable in all
    arguments (first derivatives).

  Raises:
    ValueError: a known argument is out of range.

  Example:
    >>> round(float(scale_from_flip_rate(1.0, 0.126)), 3)
    0.1
  """
  checks.require_alpha(alpha)
  checks.require("rate", rate, "in (0, 1)", lambda p: (p > 0) & (p < 1))
  _require_positive("threshold", threshold)
  rate = _array(rate)
  shape = jnp.broadcast_shapes(jnp.shape(alpha), rate.shape)
  fixed_alpha = alpha if _closed_form(alpha) else lax.stop_gradient(alpha)
  fixed_rate = lax.stop_gradient(rate)

  def halve(_, bracket):
    low, high = bracket
    middle = 0.5 * (low + high)
    too_rare = _exceedance(fixed_alpha, middle) < fixed_rate
    return jnp.where(too_rare, low, middle), jnp.where(too_rare, middle, high)

  # |log x| of every quantile that float32 can hold, and then some.
  limit = jnp.full(shape, 100.0, rate.dtype)
  bracket = -limit, limit
  low, high = lax.fori_loop(0, 32, halve, bracket)
  log_level = lax.stop_gradient(0.5 * (low + high))
  _, slope = jax.jvp(
    lambda level: _exceedance(fixed_alpha, level),
    (log_level,),
    (jnp.ones_like(log_level),),
  )
  # Where the rate is so close to 0 or 1 that float32 sees no slope, the
  # bisection's answer stands.
  slope = jnp.minimum(lax.stop_gradient(slope), -1e-6)
  step = (rate - _exceedance(alpha, log_level)) / slope
  return _array(threshold) * jnp.exp(-log_level - jnp.clip(step, -1.0, 1.0))


def _exceedance(alpha: Any, log_level: jax.Array) -> jax.Array:
  """P(|X| > exp(log_level)) for X symmetric stable of scale 1."""
  if checks.is_number(alpha, 2):
    return lax.erfc(0.5 * jnp.exp(log_level))
  if checks.is_number(alpha, 1):
    return (2.0 / math.pi) * jnp.arctan(jnp.exp(-log_level))
  return _inversion_integral(*jnp.broadcast_arrays(_array(alpha), log_level))


def _inversion_integral(alpha: jax.Array, log_level: jax.Array) -> jax.Array:
  """P(|X| > x) from the characteristic function, smooth in alpha.

      P = 1 - (2/pi) int_0^inf sin(x t) exp(-t^alpha) dt/t

  is the imaginary part of an analytic integrand, so the path may be turned
  to t = r exp(i a). The arc at the origin gives the angle a. At half the
  largest angle that keeps both exponentials decaying, the integrand dies
  before it oscillates; in log r it is analytic in a strip of half-width a
  and decays at both ends, where the trapezoidal rule converges
  exponentially: its error is exp(-2 pi a/step).
  """
  angle = 0.5 * jnp.minimum(math.pi, 0.5 * math.pi / lax.stop_gradient(alpha))
  # Beyond these, both exponents are negligible or one is overwhelming.
  start = jnp.minimum(-_NEGLIGIBLE - log_level, -_NEGLIGIBLE / alpha)
  level_end = jnp.log(_NEGLIGIBLE / jnp.sin(angle)) - log_level
  power_end = jnp.log(_NEGLIGIBLE / jnp.cos(alpha * angle)) / alpha
  end = jnp.minimum(level_end, power_end)
  start, end = lax.stop_gradient((start, end))
  step = (end - start) / (_NODES - 1)
  grid = jnp.arange(_NODES, dtype=step.dtype)
  log_radius = start[..., None] + step[..., None] * grid
  alpha, angle = alpha[..., None], angle[..., None]
  level = jnp.exp(log_radius + log_level[..., None])
  power = jnp.exp(alpha * log_radius)
  decay = level * jnp.sin(angle) + power * jnp.cos(alpha * angle)
  phase = level * jnp.cos(angle) - power * jnp.sin(alpha * angle)
  integral = step * jnp.sum(jnp.exp(-decay) * jnp.sin(phase), axis=-1)
  probability = 1.0 - (2.0 / math.pi) * (angle[..., 0] + integral)
  return jnp.clip(probability, 0.0, 1.0)


def _closed_form(alpha: Any) -> bool:
  return checks.is_number(alpha, 1) or checks.is_number(alpha, 2)


def _require_positive(name: str, value: Any) -> None:
  checks.require(
    name, value, "finite and positive", lambda v: (v > 0) & (v < np.inf)
  )


def _array(value: Any) -> jax.Array:
  return jnp.asarray(value, jnp.float32)
