"""Inverse-scale variational sparsification: images with few sharp edges.

`smooth` follows the inverse scale space of total variation from a blank image
until a share of the edges has opened, and averages over the pieces that the
others join; `path` gives many levels from one run. The rest are the parts of
it. Images are float32 [N, H, W, C] in [0, 1], series [N, T, C]; everything is
batched, and an image's result does not depend on the rest of its batch. This
package imports only jax, numpy and scipy.
"""

from jaxrobust.inverse_scale.components import (
  component_labels,
  component_means,
)
from jaxrobust.inverse_scale.differences import (
  differences,
  differences_adjoint,
  edge_count,
  squared_norm,
)
from jaxrobust.inverse_scale.dynamics import (
  Flow,
  advance,
  contrast,
  hit_fraction,
  start,
)
from jaxrobust.inverse_scale.levels import (
  estimate_noise,
  levels_for,
  reconstruction_errors,
)
from jaxrobust.inverse_scale.measures import (
  component_count,
  component_sizes,
  largest_component,
  psnr,
)
from jaxrobust.inverse_scale.reference import ExactFlow, exact_flow
from jaxrobust.inverse_scale.schedule import LevelSchedule
from jaxrobust.inverse_scale.screened import screened_poisson
from jaxrobust.inverse_scale.smooth import Smoothed, path, smooth
from jaxrobust.inverse_scale.support import (
  fraction_from_level,
  kth_largest,
  largest_edges,
  support_fraction,
)

__all__ = [
  "ExactFlow",
  "Flow",
  "LevelSchedule",
  "Smoothed",
  "advance",
  "component_count",
  "component_labels",
  "component_means",
  "component_sizes",
  "contrast",
  "differences",
  "differences_adjoint",
  "edge_count",
  "estimate_noise",
  "exact_flow",
  "fraction_from_level",
  "hit_fraction",
  "kth_largest",
  "largest_component",
  "largest_edges",
  "levels_for",
  "path",
  "psnr",
  "reconstruction_errors",
  "screened_poisson",
  "smooth",
  "squared_norm",
  "start",
  "support_fraction",
]
