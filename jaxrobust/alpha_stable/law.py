"""The stable law as one value that carries its parameters."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp

from jaxrobust.alpha_stable import (
  characteristics,
  checks,
  density,
  distribution,
  isotropic,
  sampling,
  strength,
)

_GAMMA = (
  "gamma is ambiguous: pass scale=c for exp(-|c t|^alpha) (scipy's scale), or "
  "call AlphaStable.from_dispersion for exp(-gamma |t|^alpha), gamma = c^alpha"
)


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True, eq=False, init=False)
class AlphaStable:
  """An alpha-stable law S(alpha, beta, scale, loc).

  The four parameters are numbers or arrays that broadcast together; they are
  the leaves of a pytree, so a law passes through `jax.jit`, `jax.vmap` and
  `jax.grad`. Parameters that stay Python numbers are known when a function
  that closes over the law is traced, and select the specialised samplers.

  Attributes:
    alpha: tail index in (0, 2]; 2 is Gaussian with variance 2 scale^2, and 1
      with beta = 0 is Cauchy.
    beta: skewness in [-1, 1].
    scale: c >= 0, in the units of the data.
    loc: location, in the units of the data.
    parameterization: 'S0' or 'S1', the meaning of loc; see `sampling.sample`.

  Raises:
    ValueError: a known parameter is out of range, or `gamma` is passed, which
      authors use for the scale and for the dispersion alike.

  Example:
    >>> law = AlphaStable.from_flip_rate(alpha=1.0, rate=0.5)
    >>> print(f"{law.scale:.3f}")
    0.500
    >>> law.sample(jax.random.key(0), (2, 3)).shape
    (2, 3)
  """

  alpha: Any
  beta: Any
  scale: Any
  loc: Any
  parameterization: sampling.Parameterization

  def __init__(
    self,
    alpha: Any,
    beta: Any = 0.0,
    scale: Any = 1.0,
    loc: Any = 0.0,
    parameterization: sampling.Parameterization = "S0",
    **unknown: Any,
  ):
    if "gamma" in unknown:
      raise ValueError(_GAMMA)
    if unknown:
      raise TypeError(f"AlphaStable has no parameter {next(iter(unknown))!r}")
    checks.require_alpha(alpha)
    checks.require_beta(beta)
    checks.require_scale(scale)
    sampling.require_parameterization(parameterization)
    self._set((alpha, beta, scale, loc), parameterization)

  @classmethod
  def from_dispersion(cls, alpha: Any, dispersion: Any) -> Self:
    """The symmetric law exp(-dispersion |t|^alpha); see `strength`."""
    return cls(alpha, scale=strength.scale_from_dispersion(alpha, dispersion))

  @classmethod
  def from_std(cls, std: Any) -> Self:
    """The Gaussian law of a standard deviation, alpha = 2; see `strength`."""
    return cls(2.0, scale=strength.scale_from_std(std))

  @classmethod
  def from_geometric_power(cls, alpha: Any, power: Any) -> Self:
    """The symmetric law with exp(E log|X|) = power; see `strength`."""
    return cls(alpha, scale=strength.scale_from_geometric_power(alpha, power))

  @classmethod
  def from_flip_rate(cls, alpha: Any, rate: Any, threshold: Any = 0.5) -> Self:
    """The symmetric law with P(|X| > threshold) = rate; see `strength`."""
    scale = strength.scale_from_flip_rate(alpha, rate, threshold)
    return cls(alpha, scale=scale)

  def sample(
    self, key: jax.Array, shape: tuple[int, ...] = (), dtype: Any = jnp.float32
  ) -> jax.Array:
    """Draws independent variates of this law.

    Args:
      key: one JAX key.
      shape: shape of the result, to which the parameters broadcast.
      dtype: dtype of the result; the draw is made in float32.

    Returns:
      Variates of `shape` and `dtype`; see `sampling.sample`.

    Raises:
      ValueError: a parameter does not broadcast to `shape`.
    """
    return sampling.sample(
      key,
      self.alpha,
      self.beta,
      self.scale,
      self.loc,
      shape=shape,
      dtype=dtype,
      parameterization=self.parameterization,
    )

  def sample_isotropic(
    self, key: jax.Array, shape: tuple[int, ...], shared_axes: Sequence[int]
  ) -> jax.Array:
    """Draws variates of this law that share one impulse per block.

    Args:
      key: one JAX key.
      shape: shape of the result.
      shared_axes: the axes along which the impulse is shared.

    Returns:
      Float32 variates of `shape`; see `isotropic.sample_isotropic`.

    Raises:
      ValueError: beta is known and not 0 (a traced beta is taken for 0), or a
        parameter does not broadcast.
    """
    checks.require(
      "beta", self.beta, "0 for isotropic noise", lambda beta: beta == 0
    )
    noise = isotropic.sample_isotropic(
      key, self.alpha, self.scale, shape=shape, shared_axes=shared_axes
    )
    return noise + self.loc

  def log_prob(self, x: Any) -> jax.Array:
    """The logarithm of the density at x [...]; see `density.log_prob`."""
    return density.log_prob(x, *self._parameters())

  def cdf(self, x: Any) -> jax.Array:
    """The probability P(X <= x); see `distribution.cdf`."""
    return distribution.cdf(x, *self._parameters())

  def sf(self, x: Any) -> jax.Array:
    """The probability P(X > x); see `distribution.sf`."""
    return distribution.sf(x, *self._parameters())

  def quantile(self, p: Any) -> jax.Array:
    """The x with P(X <= x) = p; see `distribution.quantile`."""
    return distribution.quantile(p, *self._parameters())

  def isf(self, p: Any) -> jax.Array:
    """The x with P(X > x) = p; see `distribution.isf`."""
    return distribution.isf(p, *self._parameters())

  def characteristic_function(self, t: Any) -> jax.Array:
    """The transform E exp(i t X); see `characteristics`."""
    return characteristics.characteristic_function(t, *self._parameters())

  def log_moments(self) -> tuple[jax.Array, jax.Array]:
    """Mean and variance of log|X - loc|, symmetric; see `characteristics`.

    Raises:
      ValueError: beta is known and not 0.
    """
    self._require_symmetric()
    return characteristics.log_moments(self.alpha, self.scale)

  def fractional_moment(self, p: Any) -> jax.Array:
    """The moment E|X - loc|^p, symmetric; see `characteristics`.

    Raises:
      ValueError: beta is known and not 0.
    """
    self._require_symmetric()
    return characteristics.fractional_moment(p, self.alpha, self.scale)

  def tail_asymptote(self, x: Any) -> jax.Array:
    """The tail's leading term on the side of x; see `characteristics`."""
    *parameters, _ = self._parameters()
    return characteristics.tail_asymptote(x, *parameters)

  def tree_flatten_with_keys(self):
    """The parameters as named leaves, the parametrisation as structure."""
    names = ("alpha", "beta", "scale", "loc")
    leaves = [(jax.tree_util.GetAttrKey(n), getattr(self, n)) for n in names]
    return leaves, self.parameterization

  @classmethod
  def tree_unflatten(cls, parameterization, leaves):
    """Rebuilds a law without checks: leaves may be anything inside JAX."""
    law = object.__new__(cls)
    law._set(leaves, parameterization)
    return law

  def _parameters(self):
    names = ("alpha", "beta", "scale", "loc", "parameterization")
    return tuple(getattr(self, name) for name in names)

  def _require_symmetric(self):
    checks.require("beta", self.beta, "0 for this moment", lambda b: b == 0)

  def _set(self, leaves, parameterization):
    names = ("alpha", "beta", "scale", "loc", "parameterization")
    for name, value in zip(names, (*leaves, parameterization), strict=True):
      object.__setattr__(self, name, value)
