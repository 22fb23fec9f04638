"""Corruptions of images: noise, occlusion and lost resolution.

Pure functions of (keys, images, strength): one key per image, so that what
happens to an image depends on its key alone. Images are float32 [N, H, W, C]
in [0, 1] and stay there. This package imports only jax, numpy and scipy.
"""

from jaxrobust.corruptions.drift import drifting_gaussian, drifting_std
from jaxrobust.corruptions.noise import (
  gaussian,
  salt_and_pepper,
  shot,
  uniform,
)
from jaxrobust.corruptions.occlusion import gaussian_and_patches, patches
from jaxrobust.corruptions.resize import resolution

__all__ = [
  "drifting_gaussian",
  "drifting_std",
  "gaussian",
  "gaussian_and_patches",
  "patches",
  "resolution",
  "salt_and_pepper",
  "shot",
  "uniform",
]
