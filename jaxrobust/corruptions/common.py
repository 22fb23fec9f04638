"""The common corruptions of CIFAR-10-C and ImageNet-C, by name and severity."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrobust.corruptions import (
  colour,
  elements,
  glass,
  jpeg,
  motion,
  separable,
  spatter,
  warps,
  weather,
)
from jaxrobust.corruptions.noise import require_images
from jaxrobust.corruptions.severities import TABLES

# The 15 that a mean corruption error is over, and the 4 to tune on.
COMMON = (
  "gaussian_noise",
  "shot_noise",
  "impulse_noise",
  "defocus_blur",
  "glass_blur",
  "motion_blur",
  "zoom_blur",
  "snow",
  "frost",
  "fog",
  "brightness",
  "contrast",
  "elastic_transform",
  "pixelate",
  "jpeg_compression",
)
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")

Arrays = tuple[np.ndarray, ...]


class _Part(NamedTuple):
  """One corruption.

  Attributes:
    apply: (keys, images, *arrays) -> images.
    settings: ((H, W), five settings) -> the arrays, with an axis of severities.
    channels: Those that it works on; none for all.
  """

  apply: Callable[..., jax.Array]
  settings: Callable[[Sequence[int], Sequence[Any]], Arrays]
  channels: tuple[int, ...] = ()


def _numbers(sides, five):
  del sides
  return (np.asarray(five, np.float32),)


def _columns(sides, five):
  """Each number of a setting as an array of its own."""
  del sides
  return tuple(np.asarray(five, np.float32).T)


def _linear(make):
  """A corruption that is a sum of products with matrices."""

  def settings(sides, five):
    parts = [part if isinstance(part, tuple) else (part,) for part in five]
    return separable.stacked([make(sides, *part) for part in parts])

  def apply(keys, images, rows, columns):
    del keys
    return separable.apply(images, rows, columns)

  return _Part(apply, settings)


def _trails(sides, five):
  del sides
  return (motion.trails(five),)


def _snow_settings(sides, five):
  law = np.asarray([(row[0], row[1], row[3]) for row in five], np.float32)
  flakes = separable.stacked([separable.zoom(sides, row[2]) for row in five])
  weights = motion.trails([row[4:6] for row in five])
  return law, *flakes, weights, np.asarray([row[6] for row in five], "f")


def _jpeg(keys, images, quantiser):
  del keys
  return jpeg.jpeg(images, quantiser)


def _jpeg_settings(sides, five):
  del sides
  return (np.stack([jpeg.steps(quality) for quality in five]),)


_PARTS: Mapping[str, _Part] = {
  "gaussian_noise": _Part(elements.gaussian_noise, _numbers),
  "shot_noise": _Part(elements.shot_noise, _numbers),
  "impulse_noise": _Part(elements.impulse_noise, _numbers),
  "defocus_blur": _linear(separable.defocus),
  "glass_blur": _Part(glass.glass_blur, glass.settings),
  "motion_blur": _Part(motion.motion_blur, _trails),
  "zoom_blur": _linear(separable.zooms),
  "snow": _Part(weather.snow, _snow_settings, (1, 3)),
  "frost": _Part(weather.frost, _numbers, (1, 3)),
  "fog": _Part(weather.fog, _columns),
  "brightness": _Part(colour.brightness, _numbers),
  "contrast": _Part(colour.contrast, _numbers),
  "elastic_transform": _Part(warps.elastic_transform, warps.settings),
  "pixelate": _linear(separable.pixelated),
  "jpeg_compression": _Part(_jpeg, _jpeg_settings, (1, 3)),
  "speckle_noise": _Part(elements.speckle_noise, _numbers),
  "gaussian_blur": _linear(separable.gaussian),
  "spatter": _Part(spatter.spatter, spatter.settings, (1, 3)),
  "saturate": _Part(colour.saturate, _numbers, (3,)),
}


def common(
  name: str,
  keys: jax.Array,
  images: jax.Array,
  severity: int,
  table: str = "cifar",
) -> jax.Array:
  """Corrupts images as CIFAR-10-C or ImageNet-C does.

  The result is not rounded to 8 bits; the official files hold floor(255 x).

  Five severities of a corruption share one program, which is compiled when the
  first is asked for.

  Args:
    name: One of `COMMON` or `EXTRA`.
    keys: [N] typed keys, one per image.
    images: float32 [N, H, W, C] in [0, 1]; C is 1 or 3, and 3 for "saturate".
    severity: From 1 to 5.
    table: "cifar" for images of about 32 x 32 pixels, or "imagenet" for those
      of about 224 x 224.

  Returns:
    float32, the same shape, in [0, 1].

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> images = jax.numpy.full((2, 32, 32, 3), 0.5)
    >>> dull = common("contrast", keys, images, severity=5)
    >>> bright = common("brightness", keys, images, severity=5)
    >>> round(float(dull.mean()), 3), round(float(bright.mean()), 3)
    (0.5, 0.8)

  References:
    D. Hendrycks and T. Dietterich, Benchmarking Neural Network Robustness to
    Common Corruptions and Perturbations, ICLR 2019.
  """
  require_images(images)
  return _corrupt(
    name, keys, images, parameters(name, severity, images.shape[1:], table)
  )


def parameters(
  name: str, severity: int, shape: Sequence[int], table: str = "cifar"
) -> Arrays:
  """What sets the severity of a corruption, as arrays for `corrupt`.

  The arrays of all five severities have the same shapes, so that a function of
  them is compiled once.

  Args:
    name: One of `COMMON` or `EXTRA`.
    severity: From 1 to 5.
    shape: (H, W, C) of an image.
    table: "cifar" or "imagenet".

  Returns:
    The arrays, numpy's.

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> parameters("gaussian_noise", 5, (32, 32, 3), "imagenet")
    (np.float32(0.38),)
  """
  if name not in _PARTS:
    raise ValueError(f"name={name!r}: must be one of {', '.join(_PARTS)}")
  if table not in TABLES:
    raise ValueError(f"table={table!r}: must be one of {', '.join(TABLES)}")
  if severity not in range(1, 6):
    raise ValueError(f"severity={severity!r}: must be 1, 2, 3, 4 or 5")
  five = _of_five(name, tuple(shape[:2]), table)
  return tuple(array[int(severity) - 1] for array in five)


def corrupt(
  name: str, keys: jax.Array, images: jax.Array, parameters: Arrays
) -> jax.Array:
  """As `common`, with its severity as arrays, which may be traced.

  Args:
    name: One of `COMMON` or `EXTRA`.
    keys: [N] typed keys, one per image.
    images: float32 [N, H, W, C] in [0, 1].
    parameters: From `parameters`, for images of this shape.

  Returns:
    float32, the same shape, in [0, 1].

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> images = jax.numpy.full((2, 32, 32, 3), 0.5)
    >>> step = jax.jit(corrupt, static_argnames="name")
    >>> level = parameters("impulse_noise", 3, (32, 32, 3))
    >>> step("impulse_noise", keys, images, level).shape
    (2, 32, 32, 3)
  """
  require_images(images)
  if name not in _PARTS:
    raise ValueError(f"name={name!r}: must be one of {', '.join(_PARTS)}")
  part = _PARTS[name]
  if part.channels and images.shape[-1] not in part.channels:
    allowed = " or ".join(map(str, part.channels))
    raise ValueError(
      f"images of {images.shape[-1]} channels: must have {allowed} for {name}"
    )
  return part.apply(keys, images, *parameters)


_corrupt = jax.jit(corrupt, static_argnames="name")


@functools.lru_cache(maxsize=256)
def _of_five(name: str, sides: tuple[int, int], table: str) -> Arrays:
  if min(sides) < 4:
    raise ValueError(f"images of {sides}: must be 4 x 4 pixels or larger")
  return _PARTS[name].settings(sides, TABLES[table][name])
