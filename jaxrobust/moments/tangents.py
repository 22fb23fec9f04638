"""Directions of noise, carried through a network to first order."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jaxrobust.moments import rules
from jaxrobust.moments.moments import State


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["loc", "tangents"],
  meta_fields=[],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Tangents(State):
  """Values, and how they answer to k small disturbances of the input.

  It is forward differentiation with all correlations in it, except that the
  statistics of normalisation layers in training are those of the values and
  do not answer. With independent random signs r as directions of noise of
  standard deviation s, the mean of (J s r)² over them is an unbiased estimate
  of the diagonal of J s² J^T, the variance to first order; its relative
  standard deviation is about sqrt(2 / k).

  Attributes:
    loc: [...], of the computation's type: the values without noise.
    tangents: float32 [k, ...].

  Example:
    >>> x = Tangents(jnp.ones(2), jnp.array([[1.0, -1.0]]))
    >>> x.sum((0,)).tangents
    Array([0.], dtype=float32)

  Reference: the trace estimator of M. F. Hutchinson, Communications in
  Statistics 18, 1989, one row at a time.
  """

  loc: jax.Array
  tangents: jax.Array

  @property
  def var(self) -> jax.Array:
    """The mean of the squared tangents, float32 [...]."""
    return jnp.mean(jnp.square(self.tangents), axis=0)

  def map(self, function):
    """Moves, copies or drops elements in values and tangents alike."""
    return self.like(function(self.loc), jax.vmap(function)(self.tangents))

  def join(self, function, *others):
    """Puts elements of several together, in values and tangents alike."""
    states = (self, *others)
    return self.like(
      function(*(x.loc for x in states)),
      jax.vmap(function)(*(x.tangents for x in states)),
    )

  def affine(self, value, kernel, linear):
    """The tangents pass the layer without its bias."""
    kernel = kernel.astype(jnp.float32)
    out = jax.vmap(lambda tangent: linear(kernel, tangent))(self.tangents)
    return self.like(value, out)

  def times(self, factor):
    """Both take the factor."""
    wide = jnp.asarray(factor, jnp.float32)
    out = jax.vmap(lambda tangent: tangent * wide)(self.tangents)
    return self.like(self.loc * factor, out)

  def plus(self, offset):
    """The tangents stay."""
    loc = self.loc + offset
    wide = jax.vmap(lambda tangent: jnp.broadcast_to(tangent, loc.shape))
    return self.like(loc, wide(self.tangents))

  def add(self, other):
    """Correlations and all."""
    return self.join(jnp.add, other)

  def contract(self, function, other):
    """The product rule."""
    return self.like(
      function(self.loc, other.loc),
      jax.vmap(function, (0, None))(self.tangents, other.loc)
      + jax.vmap(function, (None, 0))(self.loc, other.tangents),
    )

  def sum(self, axes):
    """Correlations and all."""
    return self.map(lambda x: x.sum(axes, dtype=jnp.float32).astype(x.dtype))

  def normalise(self, value, standardised, factor, axes, centred):
    """The derivative of the layer, its statistics' included."""

    def derivative(tangent):
      def mean(x):
        return x.mean(axes, keepdims=True)

      out = tangent - standardised * mean(standardised * tangent)
      return (out - mean(tangent) if centred else out) * factor

    return self.like(value, jax.vmap(derivative)(self.tangents))

  def unary(self, function):
    """The chain rule."""
    value, slope = rules.slope(function, self.loc.astype(jnp.float32))
    return self.like(value.astype(self.dtype), self.tangents * slope)

  def relu(self):
    """The tangents stay where the unit is on."""
    tangents = jnp.where(self.loc > 0, self.tangents, 0.0)
    return self.like(jax.nn.relu(self.loc), tangents)

  def maximum(self, other):
    """Those of the larger value."""
    choose = functools.partial(jnp.where, self.loc >= other.loc)
    tangents = jax.vmap(choose)(self.tangents, other.tangents)
    return self.like(jnp.maximum(self.loc, other.loc), tangents)

  def softmax(self, axis):
    """The chain rule."""
    p = jax.nn.softmax(self.loc.astype(jnp.float32), axis)

    def derivative(tangent):
      return p * (tangent - jnp.sum(p * tangent, axis, keepdims=True))

    return self.like(p.astype(self.dtype), jax.vmap(derivative)(self.tangents))
