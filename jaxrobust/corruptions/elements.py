"""Noise of single elements: impulses, speckle, and photons by inversion.

Elements lie in rows of H W C here: loops over the three channels of a pixel are
several times slower.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from jaxrobust.corruptions.noise import clip

# Up to here Poisson's law is summed term by term, so many terms.
_FEW, _TERMS = 8.0, 34


def gaussian_noise(
  keys: jax.Array, images: jax.Array, std: jax.Array
) -> jax.Array:
  """Adds normal noise: y = clip(x + std e), the draws of `noise.gaussian`."""

  def add(flat):
    return clip(flat + std * _normals(keys, flat))

  return _in_rows(add, images, std)


def speckle_noise(
  keys: jax.Array, images: jax.Array, std: jax.Array
) -> jax.Array:
  """Adds normal noise in proportion to intensity: y = clip(x + x std e)."""

  def add(flat):
    return clip(flat + flat * std * _normals(keys, flat))

  return _in_rows(add, images, std)


def impulse_noise(
  keys: jax.Array, images: jax.Array, share: jax.Array
) -> jax.Array:
  """Makes a share of the elements 0 or 1, each channel for itself."""

  def hit(flat):
    drawn = uniforms(keys, flat.shape[1:])
    extreme = jnp.where(drawn < share / 2, 0.0, 1.0)
    return jnp.where(drawn < share, extreme, flat)

  return _in_rows(hit, images, share)


def _in_rows(change, images, amount):
  """Changes images as rows of elements, if there is anything to change.

  The condition keeps the compiler from moving the reshape before the loop.
  """
  flat = images.reshape((len(images), -1))
  changed = jax.lax.cond(amount > 0, change, lambda same: same, flat)
  return changed.reshape(images.shape)


def shot_noise(
  keys: jax.Array, images: jax.Array, photons: jax.Array
) -> jax.Array:
  """Poisson noise as of `noise.shot`, drawn faster: y = clip(k / photons)."""
  flat = images.reshape((len(images), -1))
  counts = poisson_quantile(uniforms(keys, flat.shape[1:]), photons * flat)
  return clip(counts / photons).reshape(images.shape)


def _normals(keys, flat):
  return jax.vmap(lambda key: jax.random.normal(key, flat.shape[1:]))(keys)


def uniforms(
  keys: jax.Array, shape: tuple[int, ...], low: float = 0.0
) -> jax.Array:
  """Uniform numbers from `low` to 1, [N, *shape], one draw per key."""
  return jax.vmap(lambda key: jax.random.uniform(key, shape, minval=low))(keys)


def poisson_quantile(uniform: jax.Array, mean: jax.Array) -> jax.Array:
  """The least k with P(K <= k) >= u for K ~ Poisson(mean), as float32.

  Small means are summed; beyond them k is the whole part of Temme's expansion

    x = mean r + c(r),  s = Phi^-1(u) / sqrt(mean)
    s^2 / 2 = 1 - r + r log r,  c(r) = log(s sqrt(r) / (r - 1)) / log r

  with r and c as polynomials of s. It misses by one where u lies next to a
  step: in 3 draws of 10,000 at a mean of 60, and in 2 of 1,000 at a mean of
  500, by the rounding of float32.

  Args:
    uniform: float32 in [0, 1).
    mean: float32, >= 0, of the same shape.

  Returns:
    float32 of the same shape, whole numbers.

  References:
    M. B. Giles, "Algorithm 955: approximation of the inverse Poisson
    cumulative distribution function", ACM TOMS 2016.
  """
  return jax.lax.cond(
    jnp.max(mean) > _FEW, _quantile_of_any, _quantile_of_few, uniform, mean
  )


def _quantile_of_few(uniform, mean):
  """The sum for means up to `_FEW`; others count as that."""
  few = jnp.minimum(mean, _FEW)
  term = jnp.exp(-few)
  total, count = term, jnp.zeros_like(term)
  # Unrolled, so that it is one pass over the elements.
  for number in range(1, _TERMS):
    count += jnp.where(uniform > total, 1.0, 0.0)
    term *= few * np.float32(1 / number)
    total += term
  return count


def _quantile_of_any(uniform, mean):
  few = _quantile_of_few(uniform, mean)
  many = jnp.maximum(mean, _FEW)
  centred = jnp.clip(2 * uniform - 1, -1 + 2**-23, 1 - 2**-24)
  slope = math.sqrt(2) * jax.lax.erf_inv(centred) * jax.lax.rsqrt(many)
  slope = jnp.clip(slope, *_RANGE)
  ratio, shift = _polynomial(_RATIO, slope), _polynomial(_SHIFT, slope)
  place = many * ratio + shift
  place -= 0.0218 / (place + 0.065 * many)
  return jnp.where(mean <= _FEW, few, jnp.maximum(jnp.floor(place), 0.0))


def _polynomial(coefficients, argument):
  value = jnp.full_like(argument, coefficients[-1])
  for coefficient in coefficients[-2::-1]:
    value = value * argument + np.float32(coefficient)
  return value


# What s can be: 24 bits of u give |s| sqrt(mean) < 5.4; r = 0 is at -sqrt(2).
_RANGE = (-1.38, 1.92)


def _fitted() -> tuple[np.ndarray, np.ndarray]:
  """Coefficients of r and of c as polynomials of s, by Lambert's function."""
  nodes = np.cos(np.pi * (np.arange(200) + 0.5) / 200)
  s = (_RANGE[1] + _RANGE[0]) / 2 + (_RANGE[1] - _RANGE[0]) / 2 * nodes
  inner = (s**2 / 2 - 1) / math.e
  branch = np.where(
    s > 0, special.lambertw(inner, 0).real, special.lambertw(inner, -1).real
  )
  # r = exp(1 + W): of r log r - r = s^2/2 - 1, above and below 1.
  ratio = np.exp(1 + branch)
  shift = np.log(s * np.sqrt(ratio) / (ratio - 1)) / np.log(ratio)
  fits = (
    np.polynomial.Polynomial.fit(s, values, degree).convert().coef
    for values, degree in ((ratio, 13), (shift, 11))
  )
  first, second = fits
  return first, second


_RATIO, _SHIFT = _fitted()
