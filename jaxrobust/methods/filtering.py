"""Filters as inputs: what inverse-scale sparsification is compared with."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from jaxrobust import filters, inverse_scale
from jaxrobust.methods import smoothing
from jaxrobust.methods.stochastic import one_of

SmoothEval = Literal["on", "off"]


def blur(
  shape: tuple[int, ...],
  *,
  sigma: float,
  smooth_eval: SmoothEval = "on",
  cache: bool | None = None,
) -> smoothing.Smoothing:
  """Feeds blurred images; a baseline of inverse-scale smoothing.

  Args:
    shape: The shape of one example.
    sigma: Of the Gaussian kernel, in pixels, > 0.
    smooth_eval: Whether inputs are blurred in evaluation: "on", "off".
    cache: As of `smoothing.inverse_scale_smoother`.

  Returns:
    The input function.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> images = jnp.ones((2, 8, 8, 1))
    >>> blur((8, 8, 1), sigma=1.0).prepare(images, 0.0).shape
    (2, 8, 8, 1)
  """
  return _filter(
    "blur",
    lambda images: filters.gaussian_blur(images, sigma),
    {"sigma": sigma},
    shape,
    smooth_eval,
    cache,
  )


def low_pass(
  shape: tuple[int, ...],
  *,
  cutoff: float,
  smooth_eval: SmoothEval = "on",
  cache: bool | None = None,
) -> smoothing.Smoothing:
  """Feeds the low frequencies of images; the paper's spectral baseline.

  Args:
    shape: The shape of one example.
    cutoff: The highest frequency kept, as a share of Nyquist's, in (0, 1].
    smooth_eval: Whether inputs are smoothed in evaluation: "on", "off".
    cache: As of `smoothing.inverse_scale_smoother`.

  Returns:
    The input function.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> images = jnp.ones((2, 8, 8, 1))
    >>> low_pass((8, 8, 1), cutoff=0.5).prepare(images, 0.0).shape
    (2, 8, 8, 1)
  """
  return _filter(
    "low_pass",
    lambda images: filters.low_pass(images, cutoff),
    {"cutoff": cutoff},
    shape,
    smooth_eval,
    cache,
  )


def median(
  shape: tuple[int, ...],
  *,
  size: int = 3,
  smooth_eval: SmoothEval = "on",
  cache: bool | None = None,
) -> smoothing.Smoothing:
  """Feeds the medians of small windows of images, a baseline.

  Args:
    shape: The shape of one example.
    size: The side of the window, odd.
    smooth_eval: Whether inputs are smoothed in evaluation: "on", "off".
    cache: As of `smoothing.inverse_scale_smoother`.

  Returns:
    The input function.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> images = jnp.ones((2, 8, 8, 1))
    >>> median((8, 8, 1), size=3).prepare(images, 0.0).shape
    (2, 8, 8, 1)
  """
  return _filter(
    "median",
    lambda images: filters.median(images, size),
    {"size": size},
    shape,
    smooth_eval,
    cache,
  )


def chambolle(
  shape: tuple[int, ...],
  *,
  weight: float,
  iterations: int = 50,
  smooth_eval: SmoothEval = "on",
  cache: bool | None = None,
) -> smoothing.Smoothing:
  """Feeds images denoised by total variation, a baseline.

  Args:
    shape: The shape of one example.
    weight: Of the total variation, > 0; larger is smoother.
    iterations: Of Chambolle's projection.
    smooth_eval: Whether inputs are denoised in evaluation: "on", "off".
    cache: As of `smoothing.inverse_scale_smoother`.

  Returns:
    The input function.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> images = jnp.ones((2, 8, 8, 1))
    >>> chambolle((8, 8, 1), weight=0.1).prepare(images, 0.0).shape
    (2, 8, 8, 1)
  """
  return _filter(
    "chambolle",
    lambda images: filters.chambolle(images, weight, iterations=iterations),
    {"weight": weight, "iterations": iterations},
    shape,
    smooth_eval,
    cache,
  )


def _filter(
  name: str,
  smooth: Callable[[jax.Array], jax.Array],
  parameters: Mapping[str, Any],
  shape: tuple[int, ...],
  smooth_eval: str,
  cache: bool | None,
) -> smoothing.Smoothing:
  """A smoother of one level."""

  def in_bounds(images):
    return smoothing.in_range(smooth(images))

  one_of("smooth_eval", smooth_eval, get_args(SmoothEval))
  jax.eval_shape(smooth, jax.ShapeDtypeStruct((1, *shape), jnp.float32))
  return smoothing.Smoothing(
    {"name": name, **parameters},
    inverse_scale.LevelSchedule((1.0,)),
    lambda images, fraction: in_bounds(images),
    lambda images: in_bounds(images)[None],
    in_bounds if smooth_eval == "on" else None,
    cache,
  )
