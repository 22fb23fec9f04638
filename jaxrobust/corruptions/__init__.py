"""Corruptions of images: noise, occlusion, resolution, the common ones.

Pure functions of (keys, images, strength): one key per image, so that what
happens to an image depends on its key alone. Images are float32 [N, H, W, C]
in [0, 1] and stay there. This package imports only jax, numpy and scipy.

`common` has the corruptions of CIFAR-10-C and ImageNet-C, at the severities of
either, and `mnist_c` those of MNIST-C. They are made here, not the official
files: `data.corrupted` reads those.
"""

from jaxrobust.corruptions.common import (
  COMMON,
  EXTRA,
  common,
  corrupt,
  parameters,
)
from jaxrobust.corruptions.drift import drifting_gaussian, drifting_std
from jaxrobust.corruptions.mnist_c import MNIST_C, mnist_c
from jaxrobust.corruptions.noise import (
  gaussian,
  salt_and_pepper,
  shot,
  uniform,
)
from jaxrobust.corruptions.occlusion import gaussian_and_patches, patches
from jaxrobust.corruptions.resize import resolution

__all__ = [
  "COMMON",
  "EXTRA",
  "MNIST_C",
  "common",
  "corrupt",
  "drifting_gaussian",
  "drifting_std",
  "gaussian",
  "gaussian_and_patches",
  "mnist_c",
  "parameters",
  "patches",
  "resolution",
  "salt_and_pepper",
  "shot",
  "uniform",
]
