"""Symmetric alpha-stable noise, carried through a network to first order."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jaxrobust.moments import rules
from jaxrobust.moments.moments import State


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["loc", "scale"],
  meta_fields=["alpha"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Stable(State):
  """Locations and scales of values that count as independent stable ones.

  A sum of independent symmetric alpha-stable values is one again,

    (sum_i w_i X_i):  scale^alpha = sum_i |w_i|^alpha scale_i^alpha,

  so affine maps are exact but for the dependence between units; activations
  are linearised and a maximum takes the unit with the larger location. For
  alpha < 2 there is no variance, and alpha = 2 is a Gaussian of variance
  2 scale².

  Attributes:
    loc: [...], of the computation's type: the values without noise.
    scale: float32, of the same shape, at least 0: the scale of the law.
    alpha: the tail index, in (0, 2].

  Example:
    >>> x = Stable(jnp.zeros(2), jnp.ones(2), alpha=1.0)
    >>> float(x.sum((0,)).scale)
    2.0

  References: G. Samorodnitsky and M. Taqqu, Stable Non-Gaussian Random
  Processes, 1994, property 1.2.1; F. Petersen et al., Uncertainty
  Quantification via Stable Distribution Propagation, ICLR 2024.
  """

  loc: jax.Array
  scale: jax.Array
  alpha: float = 1.0

  def _power(self) -> jax.Array:
    """The scale to the power of alpha, which is what adds up."""
    return power(self.scale, self.alpha)

  def _with_power(self, loc: jax.Array, dispersion: jax.Array) -> "Stable":
    return self.like(loc, power(dispersion, 1 / self.alpha))

  def affine(self, value, kernel, linear):
    """Scales to the power of alpha pass |kernel|^alpha."""
    kernel = power(jnp.abs(kernel.astype(jnp.float32)), self.alpha)
    return self._with_power(value, linear(kernel, self._power()))

  def times(self, factor):
    """The scale takes the factor's absolute value."""
    wide = jnp.asarray(factor, jnp.float32)
    return self.like(self.loc * factor, self.scale * jnp.abs(wide))

  def plus(self, offset):
    """The scale stays."""
    loc = self.loc + offset
    return self.like(loc, jnp.broadcast_to(self.scale, loc.shape))

  def add(self, other):
    """As of independent values."""
    return self._with_power(
      self.loc + other.loc, self._power() + other._power()
    )

  def contract(self, function, other):
    """To first order: l' x + l x'."""

    def weight(loc):
      return power(jnp.abs(loc.astype(jnp.float32)), self.alpha)

    return self._with_power(
      function(self.loc, other.loc),
      function(self._power(), weight(other.loc))
      + function(weight(self.loc), other._power()),
    )

  def sum(self, axes):
    """As of independent values."""
    loc = self.loc.sum(axes, dtype=jnp.float32).astype(self.dtype)
    return self._with_power(loc, self._power().sum(axes))

  def normalise(self, value, standardised, factor, axes, centred):
    """With the statistics of the values without noise."""
    return self.like(value, self.scale * jnp.abs(factor))

  def unary(self, function):
    """To first order."""
    value, slope = rules.slope(function, self.loc.astype(jnp.float32))
    return self.like(value.astype(self.dtype), self.scale * jnp.abs(slope))

  def relu(self):
    """The scale stays where the unit is on."""
    scale = jnp.where(self.loc > 0, self.scale, 0.0)
    return self.like(jax.nn.relu(self.loc), scale)

  def maximum(self, other):
    """Location and scale of the one with the larger location."""
    scale = jnp.where(self.loc >= other.loc, self.scale, other.scale)
    return self.like(jnp.maximum(self.loc, other.loc), scale)

  def softmax(self, axis):
    """To first order; [..., K, K] in between."""
    loc = jnp.moveaxis(self.loc.astype(jnp.float32), axis, -1)
    scale = jnp.moveaxis(self.scale, axis, -1)
    p = jax.nn.softmax(loc)
    jacobian = p[..., None] * (jnp.eye(p.shape[-1]) - p[..., None, :])
    terms = power(jnp.abs(jacobian) * scale[..., None, :], self.alpha)
    out = power(terms.sum(-1), 1 / self.alpha)
    return self.like(
      jnp.moveaxis(p, -1, axis).astype(self.dtype), jnp.moveaxis(out, -1, axis)
    )


def power(x: jax.Array, exponent: float) -> jax.Array:
  """x^p of x >= 0, with a derivative of 0 at x = 0.

  Example:
    >>> float(jax.grad(power)(0.0, 0.5))
    0.0
  """
  if exponent == 1:
    return x
  if exponent == 2:
    return x * x
  positive = x > 0
  return jnp.where(positive, jnp.where(positive, x, 1.0) ** exponent, 0.0)
