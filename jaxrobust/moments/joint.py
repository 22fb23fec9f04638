"""Means and full covariances, carried through a stack of dense layers."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.moments import rules
from jaxrobust.moments.moments import Moments, Rules, State

_RULES = Rules()


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["mean", "cov"],
  meta_fields=["rules"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Joint(State):
  """The mean and the covariance of the units of a layer, as Gaussians.

  It takes n² numbers for n units, and goes through dense layers, activations,
  sums and constants; other operations raise a TypeError that says so. The
  units of the two terms of a sum count as independent of one another, which
  those of a residual block are not.

  Attributes:
    mean: [N, n], of the computation's type.
    cov: float32 [N, n, n].
    rules: as of `Moments`.

  Example:
    >>> x = Joint(jnp.zeros((1, 2)), jnp.eye(2)[None])
    >>> float(x.relu().cov[0, 0, 1])
    0.0
  """

  mean: jax.Array
  cov: jax.Array
  rules: Rules = _RULES

  @property
  def loc(self) -> jax.Array:  # pyright: ignore[reportIncompatibleVariableOverride]
    """The mean."""
    return self.mean

  @property
  def var(self) -> jax.Array:
    """The diagonal of the covariance, float32 [N, n]."""
    return jnp.diagonal(self.cov, axis1=-2, axis2=-1)

  @property
  def _diagonal(self) -> Moments:
    """What is left when the correlations are forgotten."""
    return Moments(self.mean.astype(jnp.float32), self.var, self.rules)

  def _refuse(self, *args, **kwargs):
    raise TypeError(
      "covariance='full' goes through stacks of dense layers only, and this "
      "network does something else to its random units: must be 'probes', "
      "'jacobian' or 'diagonal'"
    )

  # Rows and columns would have to move, or the units of two states to be
  # known together.
  map = join = contract = sum = normalise = maximum = softmax = _refuse

  def reshape(self, *shape):
    """Only to the shape it has."""
    (shape,) = shape if len(shape) == 1 else (shape,)
    if self.mean.reshape(shape).shape != self.shape:
      self._refuse()
    return self

  def affine(self, value, kernel, linear):
    """K^T S K for a layer from [N, n] to [N, m] with the matrix K [n, m]."""
    if self.ndim != 2 or value.ndim != 2:
      self._refuse()
    rows = functools.partial(linear, kernel.astype(jnp.float32))
    half = jax.vmap(rows, 1, 1)(self.cov)
    return self.like(value, jax.vmap(rows, 1, 1)(half.swapaxes(1, 2)))

  def times(self, factor):
    """Rows and columns take the factor."""
    wide = jnp.broadcast_to(jnp.asarray(factor, jnp.float32), self.shape)
    cov = self.cov * wide[..., :, None] * wide[..., None, :]
    return self.like(self.mean * factor, cov)

  def add(self, other):
    """As of independent values: the units of two branches are not."""
    return self.like(self.mean + other.mean, self.cov + other.cov)

  def unary(self, function):
    """By quadrature, off the diagonal too, or to first order.

    In the mode "moment" it is Price's theorem to fourth order, as in `relu`,
    with E[f^(k)(x)] s^k = E[f(m + s t) He_k(t)] by Gauss-Hermite quadrature.
    """
    after = self._diagonal.unary(function)
    mean = self.mean.astype(jnp.float32)
    if self.rules.relu != "moment":
      _, slope = rules.slope(function, mean)
      return self._with_diagonal(after, _outer(slope) * self.cov)
    std, random = self._std()
    nodes, weights = np.polynomial.hermite_e.hermegauss(self.rules.points)
    weights = weights / weights.sum()
    values = [function(mean + std * float(node)) for node in nodes]
    coefficients = []
    for order in range(1, 5):
      at_nodes = weights * np.polynomial.hermite_e.HermiteE.basis(order)(nodes)
      whole = sum(float(w) * y for w, y in zip(at_nodes, values, strict=True))
      coefficients.append(jnp.where(random, whole, 0.0))
    return self._with_diagonal(after, self._series(coefficients))

  def relu(self):
    """Exact on the diagonal; off it, Price's theorem to fourth order.

      C_ij ~ sum_k S_ij^k / k! E[d^k relu(x_i)] E[d^k relu(x_j)]

    whose coefficients are P(x > 0), the density at 0 over s, and a and a² - 1
    times it for a = m / s. "laplace" and "linear" keep the covariance as they
    keep the variance.
    """
    after = self._diagonal.relu()
    if self.rules.relu == "laplace":
      return self.like(after.mean.astype(self.dtype), self.cov)
    if self.rules.relu == "linear":
      on = (self.mean > 0).astype(jnp.float32)
      return self.like(after.mean.astype(self.dtype), _outer(on) * self.cov)
    mean, var = self._diagonal.mean, self.var
    _, _, gate = rules.rectified(mean, var)
    std, random = self._std()
    a = jnp.where(random, mean / std, 0.0)
    density = jnp.where(
      random, jnp.exp(-0.5 * a * a) / math.sqrt(2 * math.pi), 0.0
    )
    coefficients = (gate, density, a * density, (a * a - 1) * density)
    return self._with_diagonal(
      after, self._series([std * c for c in coefficients])
    )

  def _std(self) -> tuple[jax.Array, jax.Array]:
    """Standard deviations, 1 where there is no noise, and where there is."""
    random = self.var > 0
    return rules.root(jnp.where(random, self.var, 1.0)), random

  def _series(self, coefficients: Sequence[jax.Array]) -> jax.Array:
    """sum_k r_ij^k / k! c_ki c_kj for the correlations r, k from 1."""
    std, _ = self._std()
    correlation = self.cov / _outer(std)
    series = jnp.zeros_like(correlation)
    for order, c in enumerate(coefficients, start=1):
      series += _outer(c) * correlation**order / math.factorial(order)
    return series

  def _with_diagonal(self, after: Moments, cov: jax.Array) -> "Joint":
    n = self.shape[-1]
    cov = jnp.where(jnp.eye(n, dtype=bool), after.var[..., None], cov)
    return self.like(after.mean.astype(self.dtype), cov)


def _outer(x: jax.Array) -> jax.Array:
  return x[..., :, None] * x[..., None, :]
