"""How strong the corruptions are: the tables of CIFAR-10-C and of ImageNet-C.

The same name with the same severity is another corruption on CIFAR than on
ImageNet: of Gaussian noise 0.10 and 0.38. Images of 32 x 32 pixels under the
table of ImageNet are beyond recognition. A table is chosen, never guessed.

The numbers are those of the programs that made the data sets, which are public:
make_cifar_c.py and make_imagenet_c.py in github.com/hendrycks/robustness, and
corruptions.py in github.com/google-research/mnist-c.
"""

from collections.abc import Mapping
from typing import Any

# What ImageNet's elastic transform calls the side of its images of 224.
_OVERSIZE = 244 / 224

# Of each corruption five settings, from severity 1 to 5:
#   gaussian_noise, speckle_noise   standard deviation
#   shot_noise                      photons of an element of intensity 1
#   impulse_noise                   share of the elements
#   gaussian_blur                   sigma in pixels
#   defocus_blur                    radius of the disk, sigma of its rim
#   glass_blur                      sigma, largest shift in pixels, rounds
#   motion_blur                     radius and sigma of the trail in pixels
#   zoom_blur                       where the factors stop, and their step
#   snow                            mean and std of the flakes, their zoom, the
#                                   threshold, radius and sigma of the trail,
#                                   the weight of the image
#   frost                           weights of the image and of the frost
#   fog                             thickness, decay of the fractal
#   spatter                         mean and std of the liquid, its sigma, the
#                                   threshold, opacity of water or sigma of
#                                   mud, 1 for mud
#   brightness                      what is added to the value
#   contrast                        what is left of it
#   saturate                        factor of the saturation, what is added
#   jpeg_compression                quality
#   pixelate                        factor of the height and the width
#   elastic_transform               amplitude and sigma of the displacements,
#                                   largest shift of the corners; in sides
CIFAR: Mapping[str, tuple[Any, ...]] = {
  "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
  "shot_noise": (500, 250, 100, 75, 50),
  "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
  "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
  "glass_blur": (
    (0.05, 1, 1),
    (0.25, 1, 1),
    (0.4, 1, 1),
    (0.25, 1, 2),
    (0.4, 1, 2),
  ),
  "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
  "zoom_blur": (
    (1.06, 0.01),
    (1.11, 0.01),
    (1.16, 0.01),
    (1.21, 0.01),
    (1.26, 0.01),
  ),
  "snow": (
    (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
    (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
    (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
    (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
    (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
  ),
  "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
  "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
  "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
  "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
  "elastic_transform": (
    (0, 0, 0.08),
    (0.05, 0.2, 0.07),
    (0.08, 0.06, 0.06),
    (0.1, 0.04, 0.05),
    (0.1, 0.03, 0.03),
  ),
  "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
  "jpeg_compression": (80, 65, 58, 50, 40),
  "speckle_noise": (0.06, 0.1, 0.12, 0.16, 0.2),
  "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1),
  "spatter": (
    (0.62, 0.1, 0.7, 0.7, 0.5, 0),
    (0.65, 0.1, 0.8, 0.7, 0.5, 0),
    (0.65, 0.3, 1, 0.69, 0.5, 0),
    (0.65, 0.1, 0.7, 0.69, 0.6, 1),
    (0.65, 0.1, 0.5, 0.68, 0.6, 1),
  ),
  "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
}

IMAGENET: Mapping[str, tuple[Any, ...]] = {
  "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
  "shot_noise": (60, 25, 12, 5, 3),
  "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
  "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
  "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
  "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
  "zoom_blur": (
    (1.11, 0.01),
    (1.16, 0.01),
    (1.21, 0.02),
    (1.26, 0.02),
    (1.31, 0.03),
  ),
  "snow": (
    (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
  ),
  "frost": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
  "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
  "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
  "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
  "elastic_transform": tuple(
    tuple(_OVERSIZE * part for part in parts)
    for parts in (
      (2, 0.7, 0.1),
      (2, 0.08, 0.2),
      (0.05, 0.01, 0.02),
      (0.07, 0.01, 0.02),
      (0.12, 0.01, 0.02),
    )
  ),
  "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
  "jpeg_compression": (25, 18, 15, 10, 7),
  "speckle_noise": (0.15, 0.2, 0.35, 0.45, 0.6),
  "gaussian_blur": (1, 2, 3, 4, 6),
  "spatter": (
    (0.65, 0.3, 4, 0.69, 0.6, 0),
    (0.65, 0.3, 3, 0.68, 0.6, 0),
    (0.65, 0.3, 2, 0.68, 0.5, 0),
    (0.65, 0.3, 1, 0.65, 1.5, 1),
    (0.67, 0.4, 1, 0.65, 1.5, 1),
  ),
  "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
}

TABLES = {"cifar": CIFAR, "imagenet": IMAGENET}

# What MNIST-C took of ImageNet's table: the severity of each corruption.
MNIST_C_OF_IMAGENET = {
  "shot_noise": 5,
  "impulse_noise": 4,
  "glass_blur": 1,
  "motion_blur": 1,
  "brightness": 5,
  "fog": 5,
  "spatter": 4,
}
