"""Linear smoothers: the Gaussian blur and the spectral low-pass."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.filters import checks


def gaussian_blur(
  images: jax.Array, sigma: Any, *, radius: int | None = None
) -> jax.Array:
  """Blurs images with a Gaussian, mirrored at their borders.

    B = K_H X K_W^T per channel,  w_d = exp(-d^2 / 2 sigma^2) / sum, |d| <= r

  where the matrices K fold the weights w back at the borders, the pixel at the
  border counting twice (d c b a | a b c d | d c b a). Means over an image stay
  as they are.

  Args:
    images: [N, H, W, C] in [0, 1], of floats.
    sigma: The Gaussian's standard deviation, > 0, in pixels; may be traced, and
      is differentiable, if `radius` is given.
    radius: Where the Gaussian is cut off, in pixels; None for 4 sigma, rounded.

  Returns:
    float32, the same shape, in [0, 1].

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> impulse = jnp.asarray([0.0, 0.0, 1.0, 0.0, 0.0]).reshape((1, 1, 5, 1))
    >>> (100 * gaussian_blur(impulse, 0.5)).ravel().round()
    Array([ 0., 11., 79., 11.,  0.], dtype=float32)
  """
  checks.require_images(images)
  known = not checks.is_traced(sigma)
  if known:
    positive = 0 < float(sigma) < math.inf
    checks.require(sigma, "sigma", "be positive and finite", positive)
  if radius is None:
    checks.require(None, "radius", "be given where sigma is traced", known)
    radius = math.floor(4 * float(sigma) + 0.5)
  whole = radius == int(radius) and radius >= 0
  checks.require(radius, "radius", "be a whole number >= 0", whole)
  steps = np.arange(-radius, radius + 1, dtype=np.float32)
  weights = jnp.exp(-((steps / jnp.asarray(sigma, jnp.float32)) ** 2) / 2)
  weights = weights / jnp.sum(weights)
  rows, columns = (_folded(weights, side) for side in jnp.shape(images)[1:3])
  images = jnp.asarray(images, jnp.float32)
  blurred = jnp.einsum("ph,nhwc->npwc", rows, images, precision="highest")
  return jnp.einsum("qw,npwc->npqc", columns, blurred, precision="highest")


def low_pass(images: jax.Array, cutoff: Any) -> jax.Array:
  """Keeps the waves of an image that are longer than a limit.

    X_uv -> X_uv where sqrt((2 u / H)^2 + (2 v / W)^2) <= cutoff, else 0

  for the discrete Fourier transform X with |u| <= H/2 and |v| <= W/2, so that a
  wave of two pixels along one axis is at 1. With a cutoff of 1 the corners of
  the spectrum go still. The image counts as periodic.

  Means over an image stay as they are. It rings: next to sharp edges the result
  leaves [0, 1], and it is not clipped, which would change the mean.

  Args:
    images: [N, H, W, C] in [0, 1], of floats.
    cutoff: The limit as a share of the Nyquist frequency, in (0, 1]; may be
      traced.

  Returns:
    float32, the same shape.

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> slow, fast = np.asarray([0, 0.5, 1, 0.5]), np.asarray([0, 1, 0, 1])
    >>> images = jnp.asarray(slow + fast, jnp.float32).reshape((1, 1, 4, 1))
    >>> (10 * low_pass(images, 0.5)).ravel().round()
    Array([ 5., 10., 15., 10.], dtype=float32)
  """
  checks.require_images(images)
  if not checks.is_traced(cutoff):
    checks.require(cutoff, "cutoff", "lie in (0, 1]", 0 < float(cutoff) <= 1)
  height, width = jnp.shape(images)[1:3]
  down, along = np.fft.fftfreq(height), np.fft.rfftfreq(width)
  radius = 2 * np.hypot(down[:, None], along[None]).astype(np.float32)
  # A frequency that lies at the cutoff is in, whatever the rounding.
  kept = radius <= jnp.asarray(cutoff, jnp.float32) + 1e-6
  images = jnp.asarray(images, jnp.float32)
  spectrum = jnp.fft.rfft2(images, axes=(1, 2)) * kept[:, :, None]
  return jnp.fft.irfft2(spectrum, s=(height, width), axes=(1, 2))


def _folded(weights: jax.Array, side: int) -> jax.Array:
  """The matrix [side, side] of weights that are mirrored at both ends."""
  radius = len(weights) // 2
  start = np.arange(side)[:, None]
  place = (start + np.arange(-radius, radius + 1)) % (2 * side)
  place = np.minimum(place, 2 * side - 1 - place)
  matrix = jnp.zeros((side, side), jnp.float32)
  return matrix.at[start, place].add(jnp.broadcast_to(weights, place.shape))
