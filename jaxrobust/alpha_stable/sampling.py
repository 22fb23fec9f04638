"""Variates of the stable law from two uniforms, safe in float32.

The Chambers-Mallows-Stuck transformation is a closed form, but written as in
the textbooks it fails in float32: it divides by 1 - alpha, subtracts two
numbers that grow without bound as alpha nears 1, and takes powers of
float32's negative cos(pi/2). Here it is rearranged so that nothing cancels.

With eps = 1 - alpha, U = pi (u - 1/2), W = -log w, q = 1 - u:

    S(t) = sin(pi eps t) / (2 sin(pi eps/2))
    A    = (1+beta) S(u) + (1-beta) S(q)
    L    = log(A / (W cos U)),   z = eps L/alpha,   D = (exp(z) - 1)/eps
    K(t) = (cos(pi eps t) - cos(pi eps/2)) / sin(pi eps/2)
           - 2 S(t) cot(pi t)
    Y(t) = K(t) + D sin(pi alpha t) eps / (sin(pi eps/2) cos U)
    X    = (1+beta)/2 Y(u) - (1-beta)/2 Y(q)

is a standard variate in Nolan's S0 parametrisation. A is a sum of positive
terms, and every quotient by eps is an entire function of eps, for
sin(pi x)/x is a polynomial to float32: there is no special case near
alpha = 1, and gradients in alpha are continuous. For beta = 0 it is

    X = sin(alpha U)/cos U  exp((eps/alpha) log(cos(eps U) / (W cos U))).

Uniforms of 23 bits truncate the tails: quantiles beyond 1 - 1e-7 do not
occur (the largest |X| of 4e7 Cauchy variates is about 5e6). For float32's
sake |X| is at most exp(80) where beta = 0, and z at most 50 elsewhere; this
shows below alpha = 0.3 only.

References: J. M. Chambers, C. L. Mallows and B. W. Stuck, A method for
simulating stable random variables, JASA 71 (1976); J. P. Nolan, Univariate
Stable Distributions, Springer 2020 (S0, S1); arXiv 2311.10803 (the use).
"""

import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

from jaxrobust.alpha_stable import checks, uniforms

Parameterization = Literal["S0", "S1"]

# sin(pi x) = x (1 - x^2) Q(x^2): Q's Chebyshev fit on [0, 1], relative error
# 4e-9. The factors keep the relative accuracy at the zeros.
_SINE = (
  3.14159264075,
  -2.02611929094,
  0.524034815756,
  -0.0751836212164,
  0.00685610617962,
  -0.000384330030525,
)
_LARGEST_EXPONENT = 80.0
# Room for the general form's gradients, which float32 must hold, too.
_LARGEST_SKEWED_EXPONENT = 50.0


def from_uniforms(
  u: jax.Array, w: jax.Array, alpha: Any, beta: Any = 0.0
) -> jax.Array:
  """Maps two uniforms to a standard alpha-stable variate (S0).

  The formula is at the head of this file. Where `alpha` is the Python number
  1 and `beta` is 0 it is tan U, where `alpha` is 2 it is 2 sqrt(W) sin U
  (Box-Muller), and where `beta` is 0 it is the symmetric form; values that
  are traced take the general form, which agrees with these to rounding.

  Args:
    u: [...] in the open interval (0, 1), multiples of 2^-24 for best
      accuracy; gives the angle.
    w: [...] in the open interval (0, 1), independent of `u`; gives the
      exponential time.
    alpha: tail index in (0, 2], a number or an array that broadcasts.
    beta: skewness in [-1, 1], likewise.

  Returns:
    Variates of scale 1 and location 0, of the broadcast shape and of `u`'s
    dtype; differentiable in alpha and beta. In float32, err = |x - exact| /
    (1 + |exact|) is below 1.5e-7 in the median and 1e-5 for 99.9 %.

  Raises:
    ValueError: a known `alpha` or `beta` is out of range.

  Example:
    >>> u, w = jnp.float32(0.75), jnp.float32(0.5)
    >>> round(float(from_uniforms(u, w, alpha=1.0)), 6)  # tan(pi/4)
    1.0
  """
  checks.require_alpha(alpha)
  checks.require_beta(beta)
  u, w = jnp.asarray(u), jnp.asarray(w)
  form = _choose_form(alpha, beta)
  return form(u, w, jnp.asarray(alpha, u.dtype), jnp.asarray(beta, u.dtype))


def sample(
  key: jax.Array,
  alpha: Any,
  beta: Any = 0.0,
  scale: Any = 1.0,
  loc: Any = 0.0,
  shape: tuple[int, ...] = (),
  dtype: Any = jnp.float32,
  parameterization: Parameterization = "S0",
) -> jax.Array:
  """Draws independent alpha-stable variates.

  In S0 (continuous in every parameter) and in S1 (scipy's default), the
  characteristic function is exp(-|c t|^alpha (1 + i beta sgn(t) h) + i loc t)
  with c the scale and, for alpha != 1 and alpha = 1 in turn,

      S0:  h = tan(pi alpha/2) (|c t|^(1-alpha) - 1),   (2/pi) log|c t|
      S1:  h = -tan(pi alpha/2),                        (2/pi) log|t|

  The symmetric law, beta = 0, is exp(-|c t|^alpha) in both. The scale is c
  and not the dispersion c^alpha: see `strength`. Parameters may be arrays
  that broadcast against `shape` and may be traced; draws are differentiable
  in all four. Where beta is the Python number 0, the faster symmetric form
  is compiled. The draw of element i depends on the key, i and its own
  parameters only, so `jax.vmap` over keys equals single draws bit for bit.

  Args:
    key: one JAX key.
    alpha: tail index in (0, 2].
    beta: skewness in [-1, 1].
    scale: c >= 0, in the units of the data; 0 gives the constant `loc`.
    loc: location, in the units of the data.
    shape: shape of the result.
    dtype: dtype of the result. The draw is made in float32 and cast, with
      magnitudes cut at the dtype's largest finite number.
    parameterization: 'S0' or 'S1'.

  Returns:
    Variates of `shape` and `dtype`, finite for every key. Tails end near the
    quantile 1 - 1e-7.

  Raises:
    ValueError: a parameter that is known (not traced) is out of range, or
      does not broadcast to `shape`.

  Example:
    >>> noise = sample(jax.random.key(0), 1.5, scale=0.1, shape=(32, 32, 3))
    >>> noise.shape, bool(jnp.isfinite(noise).all())
    ((32, 32, 3), True)
  """
  checks.require_alpha(alpha)
  checks.require_beta(beta)
  checks.require_scale(scale)
  require_parameterization(parameterization)
  if not jnp.issubdtype(dtype, jnp.floating):
    raise ValueError(f"dtype must be a floating type, got {dtype}")
  shape = tuple(shape)
  parameters = {"alpha": alpha, "beta": beta, "scale": scale, "loc": loc}
  for name, value in parameters.items():
    if not _broadcasts(jnp.shape(value), shape):
      raise ValueError(
        f"{name} must broadcast to shape {shape}, got shape {jnp.shape(value)}"
      )
    parameters[name] = jnp.asarray(value, jnp.float32)
  return _draw(
    key,
    **parameters,
    form=_choose_form(alpha, beta),
    shifted=parameterization == "S1" and not checks.is_number(beta, 0),
    shape=shape,
    dtype=jnp.dtype(dtype),
  )


def require_parameterization(value: str) -> None:
  """Refuses any parametrisation but 'S0' and 'S1' with a ValueError."""
  if value not in ("S0", "S1"):
    raise ValueError(f"parameterization must be 'S0' or 'S1', got {value!r}")


@functools.partial(
  jax.jit, static_argnames=("form", "shifted", "shape", "dtype"), inline=True
)
def _draw(key, alpha, beta, scale, loc, *, form, shifted, shape, dtype):
  # Folded constants would round differently from traced parameters.
  alpha, beta, scale, loc = lax.optimization_barrier((alpha, beta, scale, loc))
  u, w = uniforms.uniform_pair(key, shape)
  draw = scale * form(u, w, alpha, beta) + loc
  if shifted:
    draw = draw + s1_shift(alpha, beta, scale)
  if jnp.finfo(dtype).max < jnp.finfo(draw.dtype).max:
    largest = jnp.asarray(jnp.finfo(dtype).max, draw.dtype)
    draw = lax.clamp(-largest, draw, largest)
  return draw.astype(dtype)


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
  aligned = zip(reversed(shape), reversed(target), strict=False)
  return len(shape) <= len(target) and all(n in (1, m) for n, m in aligned)


def _choose_form(alpha: Any, beta: Any):
  if checks.is_number(alpha, 2):  # skewness has no effect on a Gaussian
    return _gaussian
  if checks.is_number(beta, 0):
    return _cauchy if checks.is_number(alpha, 1) else _symmetric
  return _skewed


def _gaussian(u, w, alpha, beta):
  del alpha, beta
  v = u - 0.5
  return 2.0 * jnp.sqrt(-jnp.log(w)) * _sinpi(1.0 - v, v)


def _cauchy(u, w, alpha, beta):
  del w, alpha, beta
  v = u - 0.5
  return _sinpi(1.0 - v, v) / _sinpi(u, 0.5 - v)


def _symmetric(u, w, alpha, beta):
  del beta
  v = u - 0.5
  eps = 1.0 - alpha
  cos_angle = _sinpi(u, 0.5 - v)
  amplitude = _sinpi(0.5 - eps * v, 0.5 + eps * v)  # cos(eps U)
  exponent = (eps / alpha) * _log_ratio(amplitude, w, cos_angle)
  sine = _sinpi(1.0 - alpha * v, alpha * v)  # sin(alpha U)
  growth = jnp.exp(jnp.minimum(exponent, _LARGEST_EXPONENT))
  # lax.clamp's gradient selects, where jnp.clip's multiplies by zero and so
  # makes NaN of an infinite tangent.
  largest = jnp.asarray(math.exp(_LARGEST_EXPONENT), u.dtype)
  return lax.clamp(-largest, sine / cos_angle * growth, largest)


def _skewed(u, w, alpha, beta):
  v, q = u - 0.5, 1.0 - u
  eps = 1.0 - alpha
  # Divisions by parameters come first: dividing by a number or by an array
  # that holds it may round differently.
  inverse_alpha = 1.0 / alpha
  inverse_sine = 1.0 / sinpi_ratio(eps / 2.0)  # (eps/2) / sin(pi eps/2)
  cos_angle = _sinpi(u, q)
  tan_angle = _sinpi(1.0 - v, v) / cos_angle
  share_u = u * sinpi_ratio(eps * u) * inverse_sine  # S(u)
  share_q = q * sinpi_ratio(eps * q) * inverse_sine
  amplitude = (1.0 + beta) * share_u + (1.0 - beta) * share_q
  rate = _log_ratio(amplitude, w, cos_angle) * inverse_alpha  # L/alpha
  exponent = jnp.minimum(eps * rate, _LARGEST_SKEWED_EXPONENT)  # z
  growth = rate * expm1_ratio(exponent)  # D
  centre = eps * inverse_sine * sinpi_ratio(eps * v / 2.0)

  def one_sided(t, angle_from_end, share, cotangent):
    bounded = centre * (0.5 + t) * angle_from_end
    bounded = bounded * sinpi_ratio(eps * (0.5 + t) / 2.0)
    bounded = bounded - 2.0 * share * cotangent  # K(t)
    reach = _sinpi(alpha * t, 1.0 - alpha * t) / cos_angle
    return bounded + 2.0 * inverse_sine * reach * growth

  upper = one_sided(u, -v, share_u, -tan_angle)
  lower = one_sided(q, v, share_q, tan_angle)
  return 0.5 * ((1.0 + beta) * upper - (1.0 - beta) * lower)


def s1_shift(alpha, beta, scale):
  """S1 minus S0 of one variate: beta c tan(pi alpha/2), or its rule at 1."""
  eps = 1.0 - alpha
  numerator = 2.0 * _sinpi(alpha / 2.0, 1.0 - alpha / 2.0)
  tangent = numerator / (
    jnp.where(eps == 0.0, 1.0, eps) * sinpi_ratio(eps / 2.0)
  )
  positive = jnp.where(scale > 0.0, scale, 1.0)
  at_one = (2.0 / math.pi) * jnp.log(positive)
  return beta * scale * jnp.where(eps == 0.0, at_one, tangent)


def _sinpi(x, complement):
  """sin(pi x) on [0, 2] or [-1, 1], given x and 1 - x.

  Its relative error is float32's at all zeros when the caller has 1 - x
  without cancellation. On [0, 2] the polynomial is in 1 - x.
  """
  return x * complement * (1.0 + complement) * _sine_polynomial(complement)


def sinpi_ratio(x):
  """sin(pi x) / x on [-1, 1], smooth at 0."""
  return (1.0 - x) * (1.0 + x) * _sine_polynomial(x)


def _sine_polynomial(x):
  square = x * x
  value = jnp.full_like(square, _SINE[-1])
  for coefficient in _SINE[-2::-1]:
    value = value * square + coefficient
  return value


def _log_ratio(amplitude, w, cos_angle):
  """log(A / (W cos U)), one logarithm for three factors."""
  time = jnp.maximum(-jnp.log(w), 2.0**-24)
  return jnp.log(jnp.maximum(amplitude, 1e-30) / (time * cos_angle))


def expm1_ratio(z):
  """(exp(z) - 1) / z with a value and gradient that are smooth at 0."""
  small = jnp.abs(z) < 0.5
  away = jnp.where(small, 1.0, z)
  near = jnp.where(small, z, 0.0)
  series = jnp.full_like(z, 1.0 / math.factorial(9))
  for order in range(8, 0, -1):
    series = series * near + 1.0 / math.factorial(order)
  return jnp.where(small, series, (jnp.exp(away) - 1.0) / away)
