"""The alpha-stable law: variates safe in float32, and strengths of noise.

Stable laws are what sums of independent, possibly impulsive disturbances
tend to. alpha = 2 is Gaussian, alpha = 1 Cauchy; the smaller alpha, the rarer
and larger the impulses. This package imports only jax, numpy and scipy.
"""

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
  "Parameterization",
  "flip_rate",
  "from_uniforms",
  "geometric_power",
  "sample",
  "scale_from_dispersion",
  "scale_from_flip_rate",
  "scale_from_geometric_power",
  "scale_from_std",
  "uniform_pair",
]
