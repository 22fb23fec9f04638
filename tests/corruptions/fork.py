"""The maintained fork of imagecorruptions, and images to try it and ours on."""

import warnings

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from jaxrobust import corruptions

with warnings.catch_warnings():
  # Of numba and OpenCV, on import.
  warnings.simplefilter("ignore")
  try:
    from imagecorruptions import corruptions as peer
  except ImportError as error:
    # OpenCV's wheel needs the system's OpenGL and GLib.
    if "shared object" not in str(error):
      raise
    pytest.skip(f"OpenCV does not load: {error}", allow_module_level=True)

ALL = corruptions.COMMON + corruptions.EXTRA
RNG = np.random.default_rng(0)


def photographs(count, *shape):
  """Smooth colour images with all grey levels, uint8."""
  noise = RNG.normal(size=(count, *shape))
  rough = ndimage.gaussian_filter(noise, (0, 1.5, 1.5, 0.4)[: noise.ndim])
  return np.uint8(np.clip(128 + 220 * rough / rough.std() / 2.5, 0, 255))


BYTES = photographs(6, 32, 32, 3)
IMAGES = BYTES.astype(np.float32) / 255
KEYS = jax.random.split(jax.random.key(0), 6)
JITTED = jax.jit(
  corruptions.corrupt,
  static_argnames="name",
  # Unoptimised: what takes long is compiling.
  compiler_options={"xla_backend_optimization_level": 0},
)


def quickly(function, *arguments):
  """Under jit, unoptimised: on numpy's arrays, and back."""
  level = {"xla_backend_optimization_level": 0}
  return np.asarray(jax.jit(function, compiler_options=level)(*arguments))


def apply(name, severity, images=IMAGES, keys=KEYS, table="imagenet"):
  """The corruption under one compilation for all severities and tables."""
  settings = corruptions.parameters(name, severity, images.shape[1:], table)
  return np.asarray(JITTED(name, keys[: len(images)], images, settings))


def of_peer(name, severity, images=BYTES):
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    function = getattr(peer, name)
    each = [np.asarray(function(Image.fromarray(i), severity)) for i in images]
  return np.stack(each) / 255.0
