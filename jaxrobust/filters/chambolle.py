"""Total variation denoising by Chambolle's projection on the dual ball."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxrobust.filters import checks

_STEP = 0.25  # 1 / (2 d) for two axes, scikit-image's.


def chambolle(
  images: jax.Array, weight: Any, *, iterations: int = 50
) -> jax.Array:
  """Denoises images by isotropic total variation, each channel for itself.

    min over x of  1/2 |x - y|^2 + weight sum_ij |(D x)_ij|

  with forward differences D that are 0 beyond the border, and the Euclidean
  norm of the two at a pixel. Its dual p, |p_ij| <= weight, starts at 0 and
  takes steps of t = 1/4,

    p <- (p - t D x) / (1 + t |D x| / weight),  x = y + D^T p

  This is scikit-image's `denoise_tv_chambolle(y, weight, eps=0,
  max_num_iter=iterations + 1, channel_axis=-1)`: a larger weight is smoother.
  Its eps stops early instead, and so depends on the image.

  It is differentiable in the images and in the weight through all iterations;
  backwards, the dual of each one is kept and nothing else: 8 bytes per value
  and iteration.

  Args:
    images: [N, H, W, C] in [0, 1], of floats.
    weight: Of the total variation, >= 0, in units of the images; may be traced.
    iterations: Of the dual, >= 0. The larger the weight, the more are needed.

  Returns:
    float32, the same shape, in [0, 1] up to what the iterations leave.

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> step = jnp.asarray([0.0, 0.0, 1.0, 1.0]).reshape((1, 1, 4, 1))
    >>> (10 * chambolle(step, 0.2, iterations=200)).ravel().round()
    Array([1., 1., 9., 9.], dtype=float32)

  References:
    Chambolle, "An algorithm for total variation minimization and
    applications", JMIV 2004, equation 9. Rudin, Osher and Fatemi, "Nonlinear
    total variation based noise removal algorithms", Physica D 1992.
  """
  checks.require_images(images)
  if not checks.is_traced(weight):
    valid = 0 <= float(weight) < math.inf
    checks.require(weight, "weight", "be finite and >= 0", valid)
  whole = iterations == int(iterations) and iterations >= 0
  checks.require(iterations, "iterations", "be a whole number >= 0", whole)
  images = jnp.asarray(images, jnp.float32)
  weight = jnp.asarray(weight, jnp.float32)

  # Recomputed backwards, so that only the carry is kept per iteration.
  @jax.checkpoint
  def project(dual, _):
    down, along = dual
    smooth = _primal(images, down, along)
    slope_down = _padded(jnp.diff(smooth, axis=1), 1, after=True)
    slope_along = _padded(jnp.diff(smooth, axis=2), 2, after=True)
    squared = slope_down**2 + slope_along**2
    # The square root has no derivative at 0, where images are flat.
    steep = squared > 0
    norm = jnp.where(steep, jnp.sqrt(jnp.where(steep, squared, 1.0)), 0.0)
    # No division by the weight, which may be 0; squares must not underflow.
    length = jnp.maximum(weight + _STEP * norm, 1e-12)
    kept = weight / length
    down = (down - _STEP * slope_down) * kept
    along = (along - _STEP * slope_along) * kept
    return (down, along), None

  # Not zeros of a shape, so that they vary over what the images vary over.
  start = (0 * images * weight, 0 * images * weight)
  (down, along), _ = jax.lax.scan(project, start, length=int(iterations))
  return _primal(images, down, along)


def _primal(images: jax.Array, down: jax.Array, along: jax.Array) -> jax.Array:
  """The image y + D^T p of a dual, which is 0 in its last row or column."""
  moved = _padded(down[:, :-1], 1, after=False)
  moved += _padded(along[:, :, :-1], 2, after=False)
  return images - down - along + moved


def _padded(array: jax.Array, axis: int, *, after: bool) -> jax.Array:
  """With one zero more along an axis, after its end or before its start."""
  widths = [(0, 0)] * array.ndim
  widths[axis] = (0, 1) if after else (1, 0)
  return jnp.pad(array, widths)
