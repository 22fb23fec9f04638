"""Moment rules of single operations, on arrays of means and variances.

Each takes the mean and the variance of its inputs, all independent of one
another, and returns those of its output under the assumption, where one is
needed, that the inputs are Gaussian. Everything is float32, finite in values
and gradients at a variance of 0, and there equal to the operation itself.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.moments.maxima import TINY
from jaxrobust.moments.maxima import larger as larger
from jaxrobust.moments.maxima import rectified as rectified
from jaxrobust.moments.maxima import stored as stored


@functools.cache
def _hermite(points: int) -> tuple[np.ndarray, np.ndarray]:
  """Nodes and weights for the expectation under a standard normal law."""
  nodes, weights = np.polynomial.hermite_e.hermegauss(points)
  return nodes.astype(np.float32), (weights / weights.sum()).astype(np.float32)


def quadrature(
  function: Callable[[jax.Array], jax.Array],
  mean: jax.Array,
  var: jax.Array,
  points: int,
) -> tuple[jax.Array, jax.Array]:
  """Moments of f(X) of a Gaussian X, by Gauss-Hermite quadrature.

    E f(X) = sum_i w_i f(m + s t_i),  Var f(X) = sum_i w_i (f(m + s t_i) - E)²

  over the whole activation at once, whatever it is composed of.

  Args:
    function: elementwise, [...] to [...].
    mean: float32 [...].
    var: float32, of the same shape.
    points: the number of nodes; exact for polynomials of degree
      2 points - 1, and for the variance half of it.

  Returns:
    mean and variance, of the same shape.

  Example:
    >>> mean, var = quadrature(jnp.square, jnp.zeros(()), jnp.ones(()), 8)
    >>> round(float(mean), 4), round(float(var), 4)
    (1.0, 2.0)
  """
  random = var > TINY * jnp.maximum(mean * mean, 1e-6)
  std = jnp.sqrt(jnp.where(random, var, 1.0))
  nodes, weights = _hermite(points)
  values = [function(mean + std * node) for node in nodes]
  expected = sum(w * y for w, y in zip(weights, values, strict=True))
  spread = sum(
    w * (y - expected) ** 2 for w, y in zip(weights, values, strict=True)
  )
  point_mean, point_var = linearised(function, mean, var)
  return (
    jnp.where(random, expected, point_mean),
    jnp.where(random, spread, point_var),
  )


def slope(
  function: Callable[[jax.Array], jax.Array], x: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """An elementwise function and its derivative.

  Args:
    function: elementwise, [...] to [...], differentiable.
    x: float32 [...].

  Returns:
    f(x) and f'(x), of x's shape.

  Example:
    >>> value, derivative = slope(jnp.square, jnp.array([3.0]))
    >>> value.tolist(), derivative.tolist()
    ([9.0], [6.0])
  """
  return jax.jvp(function, (x,), (jnp.ones_like(x),))


def linearised(
  function: Callable[[jax.Array], jax.Array], mean: jax.Array, var: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Moments of f(X) to first order: f(m) and f'(m)² v.

  Args:
    function: elementwise, [...] to [...].
    mean: float32 [...].
    var: float32, of the same shape.

  Returns:
    mean and variance, of the same shape.

  Example:
    >>> mean, var = linearised(jnp.square, jnp.ones(()), jnp.ones(()))
    >>> float(mean), float(var)
    (1.0, 4.0)
  """
  value, derivative = slope(function, mean)
  return value, derivative**2 * var


def softmax(
  mean: jax.Array, var: jax.Array, axis: int = -1
) -> tuple[jax.Array, jax.Array]:
  """Moments of the softmax of independent X, to first order.

    p = softmax(m),  v_k' = p_k² ((1 - 2 p_k) v_k + sum_j p_j² v_j)

  Args:
    mean: float32 [...].
    var: float32, of the same shape.
    axis: along which the result sums to 1.

  Returns:
    mean and variance, of the same shape.

  Example:
    >>> mean, var = softmax(jnp.zeros(2), jnp.ones(2))
    >>> mean.tolist(), var.tolist()
    ([0.5, 0.5], [0.125, 0.125])
  """
  p = jax.nn.softmax(mean, axis)
  each = p**2 * var
  others = jnp.sum(each, axis, keepdims=True) - each
  # In this form what rounding leaves of a variance is never negative.
  return p, p**2 * ((1 - p) ** 2 * var + not_negative(others))


def normalised_var(
  standardised: jax.Array,
  var: jax.Array,
  axes: tuple[int, ...],
  centred: bool = True,
) -> jax.Array:
  """Variance of (x_i - mean x) / std x to first order, times the std's square.

    v_i' = sum_j (d_ij - (1 + h_i h_j) / n)² v_j,  h = (x - mean x) / std x

  for statistics over the n elements along `axes`, in O(n): with the sums
  S_k = sum_j h_j^k v_j it is v_i (1 - 2 (1 + h_i²) / n) + (S_0 + 2 h_i S_1 +
  h_i² S_2) / n². Without centring, as in RMSNorm, only the terms in h² stay.

  Args:
    standardised: h at the mean, float32 [...].
    var: float32, of the same shape.
    axes: over which the statistics are taken.
    centred: whether the mean is taken off.

  Returns:
    float32, of the same shape, to be divided by the square of the std.

  Example:
    >>> normalised_var(jnp.array([-1.0, 1.0]), jnp.ones(2), (0,)).tolist()
    [0.0, 0.0]
  """
  n = math.prod(standardised.shape[axis] for axis in axes)
  h, one = standardised, float(centred)

  def total(x):
    return jnp.sum(x, axes, keepdims=True)

  own = var * (1 - (2 / n) * (one + h * h))
  second = h * h * total(h * h * var)
  shared = second + one * (total(var) + 2 * h * total(h * var))
  return not_negative(own + shared / n**2)


def not_negative(x: jax.Array) -> jax.Array:
  """A variance without what rounding made negative, with its gradient at 0.

  Example:
    >>> float(jax.grad(not_negative)(0.0))
    1.0
  """
  return jnp.where(x < 0, 0.0, x)


def root(x: jax.Array) -> jax.Array:
  """The square root, with a derivative of 0 at x = 0.

  Args:
    x: [...], at least 0.

  Returns:
    Of x's shape.

  Example:
    >>> float(root(jnp.asarray(4.0))), float(jax.grad(root)(0.0))
    (2.0, 0.0)
  """
  positive = x > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)
