"""Random values carried through a network: analytic stochastic forwards.

`Moments(mean, var)` takes the place of an array. `ops` has the operations that
take both, `intercepting` makes flax.linen modules take both, and `inject` marks
where noise enters a model:

  with moments.intercepting(moments.Injection(noise)):
    outputs = model.apply(variables, inputs)

Other states than `Moments` carry full covariances (`Joint`), alpha-stable
scales (`Stable`) or directions of noise (`Tangents`).
"""

from jaxrobust.moments import ops as ops
from jaxrobust.moments.cross_entropy_bounds import (
  cross_entropy_bohning as cross_entropy_bohning,
)
from jaxrobust.moments.cross_entropy_bounds import (
  cross_entropy_delta as cross_entropy_delta,
)
from jaxrobust.moments.cross_entropy_bounds import (
  cross_entropy_exponential as cross_entropy_exponential,
)
from jaxrobust.moments.cross_entropy_bounds import (
  cross_entropy_lower as cross_entropy_lower,
)
from jaxrobust.moments.cross_entropy_bounds import (
  cross_entropy_mean_field as cross_entropy_mean_field,
)
from jaxrobust.moments.cross_entropy_bounds import (
  cross_entropy_tilted as cross_entropy_tilted,
)
from jaxrobust.moments.injection import Injection as Injection
from jaxrobust.moments.injection import Place as Place
from jaxrobust.moments.injection import inject as inject
from jaxrobust.moments.intercept import intercepting as intercepting
from jaxrobust.moments.intercept import (
  register_module_rule as register_module_rule,
)
from jaxrobust.moments.joint import Joint as Joint
from jaxrobust.moments.linear import Linear as Linear
from jaxrobust.moments.losses import expected_brier as expected_brier
from jaxrobust.moments.losses import expected_mse as expected_mse
from jaxrobust.moments.losses import gaussian_nll as gaussian_nll
from jaxrobust.moments.losses import rectified_mse as rectified_mse
from jaxrobust.moments.moments import Moments as Moments
from jaxrobust.moments.moments import Pool as Pool
from jaxrobust.moments.moments import Relu as Relu
from jaxrobust.moments.moments import Rules as Rules
from jaxrobust.moments.moments import State as State
from jaxrobust.moments.pairs import cauchy_log_cdf as cauchy_log_cdf
from jaxrobust.moments.pairs import (
  covariance_difference_scale as covariance_difference_scale,
)
from jaxrobust.moments.pairs import gaussian_log_cdf as gaussian_log_cdf
from jaxrobust.moments.pairs import (
  independent_difference_scale as independent_difference_scale,
)
from jaxrobust.moments.pairs import (
  jacobian_difference_scale as jacobian_difference_scale,
)
from jaxrobust.moments.pairs import pairwise as pairwise
from jaxrobust.moments.pairs import (
  variance_difference_scale as variance_difference_scale,
)
from jaxrobust.moments.propagate import propagate as propagate
from jaxrobust.moments.stable import Stable as Stable
from jaxrobust.moments.table import PropagationError as PropagationError
from jaxrobust.moments.table import register_rule as register_rule
from jaxrobust.moments.tangents import Tangents as Tangents
