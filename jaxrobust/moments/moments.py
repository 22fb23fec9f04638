"""What is carried through a network in place of a value: a mean and a variance.

`Moments` is the state of independent Gaussians; `Rules` says how it is carried
where there is a choice.
"""

import dataclasses
import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from jaxrobust.moments import rules
from jaxrobust.moments.state import State as State

Relu = Literal["laplace", "linear", "moment"]
Pool = Literal["gather", "clark"]


@dataclasses.dataclass(frozen=True)
class Rules:
  """Which rule is used where there is a choice.

  Attributes:
    relu: "laplace" keeps the variance, (max(m, 0), v), as we read the paper;
      "linear" keeps it where the unit is on, (max(m, 0), v 1[m > 0]);
      "moment" has the exact moments of a rectified Gaussian. Of the other
      activations, "moment" takes the moments by quadrature and the other two
      linearise.
    pool: "gather" takes mean and variance of the unit with the largest mean,
      "clark" the moments of the maximum, pair by pair. By default "clark" for
      "moment", and "gather" otherwise: then the means are those of the
      network without noise.
    points: nodes of the quadrature.

  Raises:
    ValueError: if an attribute is not one of these.

  Example:
    >>> Rules(relu="linear").pool, Rules(relu="moment").pool
    ('gather', 'clark')

  References: O. Arous et al., arXiv:2312.08877 (laplace); F. Petersen et al.,
  Uncertainty Quantification via Stable Distribution Propagation, ICLR 2024
  (linear); J. Gast and S. Roth, Lightweight Probabilistic Deep Networks, CVPR
  2018 (moment).
  """

  relu: Relu = "moment"
  pool: Pool | None = None
  points: int = 12

  def __post_init__(self):
    if self.pool is None:
      default = "clark" if self.relu == "moment" else "gather"
      object.__setattr__(self, "pool", default)
    for name, allowed in (("relu", get_args(Relu)), ("pool", get_args(Pool))):
      if getattr(self, name) not in allowed:
        raise ValueError(
          f"{name}={getattr(self, name)!r}: must be one of {allowed}"
        )
    if self.points < 2:
      raise ValueError(f"points={self.points}: must be at least 2")


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["mean", "var"],
  meta_fields=["rules"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Moments(State):
  """Means and variances of values that count as independent Gaussians.

  Attributes:
    mean: [...], of the computation's type.
    var: float32, of the same shape, at least 0.
    rules: which rule is used where there is a choice.

  Example:
    >>> x = Moments(jnp.ones((2, 3)), jnp.ones((2, 3)))
    >>> y = 2 * x + 1
    >>> float(y.mean[0, 0]), float(y.var[0, 0])
    (3.0, 4.0)
  """

  mean: jax.Array
  var: jax.Array
  rules: Rules = Rules()

  @property
  def loc(self) -> jax.Array:  # pyright: ignore[reportIncompatibleVariableOverride]
    """The mean."""
    return self.mean

  @property
  def _mean(self) -> jax.Array:
    return self.mean.astype(jnp.float32)

  def _typed(self, mean: jax.Array, var: jax.Array) -> "Moments":
    return self.like(mean.astype(self.dtype), var)

  def affine(self, value, kernel, linear):
    """The variance passes the squared kernel."""
    square = jnp.square(kernel.astype(jnp.float32))
    return self.like(value, linear(square, self.var))

  def times(self, factor):
    """The variance takes the factor's square."""
    wide = jnp.asarray(factor, jnp.float32)
    return self.like(self.mean * factor, self.var * jnp.square(wide))

  def plus(self, offset):
    """The variance stays."""
    mean = self.mean + offset
    return self.like(mean, jnp.broadcast_to(self.var, mean.shape))

  def add(self, other):
    """Variances of independent values add up."""
    return self.like(self.mean + other.mean, self.var + other.var)

  def contract(self, function, other):
    """As of independent values."""
    mean, var = self._mean, self.var
    other_mean, other_var = other._mean, other.var
    out_var = (
      function(jnp.square(mean), other_var)
      + function(var, jnp.square(other_mean))
      + function(var, other_var)
    )
    return self._typed(function(mean, other_mean), out_var)

  def sum(self, axes):
    """Variances of independent values add up."""
    mean = self.mean.sum(axes, dtype=jnp.float32)
    return self._typed(mean, self.var.sum(axes))

  def normalise(self, value, standardised, factor, axes, centred):
    """To first order, the statistics' own noise included."""
    var = rules.normalised_var(standardised, self.var, axes, centred)
    return self.like(value, var * jnp.square(factor))

  def unary(self, function):
    """By quadrature in the mode "moment", to first order in the others."""
    if self.rules.relu == "moment":
      moments = rules.quadrature(
        function, self._mean, self.var, self.rules.points
      )
    else:
      moments = rules.linearised(function, self._mean, self.var)
    return self._typed(*moments)

  def relu(self):
    """As `rules.relu` says."""
    if self.rules.relu == "moment":
      mean, var, _ = rules.rectified(self._mean, self.var)
      return self._typed(mean, var)
    mean = jax.nn.relu(self.mean)
    if self.rules.relu == "linear":
      return self.like(mean, jnp.where(self.mean > 0, self.var, 0.0))
    return self.like(mean, self.var)

  def maximum(self, other):
    """As `rules.pool` says."""
    if self.rules.pool == "clark":
      return self._typed(
        *rules.larger(self._mean, self.var, other._mean, other.var)
      )
    first = self.mean >= other.mean
    mean = jnp.maximum(self.mean, other.mean)
    return self.like(mean, jnp.where(first, self.var, other.var))

  def softmax(self, axis):
    """To first order."""
    return self._typed(*rules.softmax(self._mean, self.var, axis))
