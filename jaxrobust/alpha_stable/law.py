"""The stable law as one value that carries its parameters."""

import dataclasses
from typing import Any, Self

import jax
import jax.numpy as jnp

from jaxrobust.alpha_stable import checks, sampling, strength

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

  def _set(self, leaves, parameterization):
    names = ("alpha", "beta", "scale", "loc", "parameterization")
    for name, value in zip(names, (*leaves, parameterization), strict=True):
      object.__setattr__(self, name, value)
