"""The alpha-stable law: variates safe in float32, and strengths of noise.

Stable laws are what sums of independent, possibly impulsive disturbances
tend to. alpha = 2 is Gaussian, alpha = 1 Cauchy; the smaller alpha, the rarer
and larger the impulses. This package imports only jax, numpy and scipy.
"""

from jaxrobust.alpha_stable.bursts import burst_mask, sample_bursts
from jaxrobust.alpha_stable.characteristics import (
  characteristic_function,
  fractional_moment,
  log_moments,
  tail_asymptote,
)
from jaxrobust.alpha_stable.density import log_prob
from jaxrobust.alpha_stable.distribution import cdf, isf, quantile, sf
from jaxrobust.alpha_stable.fitting import Fit, fit
from jaxrobust.alpha_stable.goodness import ks_distance, probability_transform
from jaxrobust.alpha_stable.isotropic import positive_stable, sample_isotropic
from jaxrobust.alpha_stable.law import AlphaStable
from jaxrobust.alpha_stable.sampling import (
  Parameterization,
  from_uniforms,
  sample,
)
from jaxrobust.alpha_stable.strength import (
  flip_rate,
  geometric_power,
  scale_from_dispersion,
  scale_from_flip_rate,
  scale_from_geometric_power,
  scale_from_std,
)
from jaxrobust.alpha_stable.uniforms import uniform_pair

__all__ = [
  "AlphaStable",
  "Fit",
  "Parameterization",
  "burst_mask",
  "cdf",
  "characteristic_function",
  "fit",
  "flip_rate",
  "fractional_moment",
  "from_uniforms",
  "geometric_power",
  "isf",
  "ks_distance",
  "log_moments",
  "log_prob",
  "positive_stable",
  "probability_transform",
  "quantile",
  "sample",
  "sample_bursts",
  "sample_isotropic",
  "scale_from_dispersion",
  "scale_from_flip_rate",
  "scale_from_geometric_power",
  "scale_from_std",
  "sf",
  "tail_asymptote",
  "uniform_pair",
]
