"""The probability that the right logit is larger than another one.

For random logits Z of which only the laws of the differences Z_c - Z_j are
known, this is a loss that needs no second moment: it holds for stable noise of
any tail index. The law comes in as a function, the scales of the differences
as an array, for which there is one function for each kind of knowledge:
variances, a covariance, stable scales, or signed Jacobians.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import log_ndtr

# Below it a variance counts as 0, where the square root has no derivative.
_TINY = 1e-20
# Below it the asymptotic series of the hazard is as exact as float32.
_FAR = -10.0


def pairwise(
  mean: jax.Array,
  labels: jax.Array,
  difference_scale: jax.Array,
  log_cdf: Callable[[jax.Array], jax.Array],
  scale_floor: float = 1e-3,
) -> jax.Array:
  """Minus the log-probabilities that the right logit beats each other one.

    -sum_{j != c} log P(Z_c > Z_j) = -sum_{j != c} log F((m_c - m_j) / s_j)

  with F the law of (Z_c - Z_j - m_c + m_j) / s_j, symmetric about 0. It takes
  the logarithm of F, because F itself underflows for a wrong and certain
  network: at -14 for the Gaussian law. For `jaxrobust.alpha_stable` it is
  `lambda x: jnp.log(alpha_stable.cdf(x, alpha))`, whose tails are powers.

  Where a scale is below the floor, as that of a network without noise, the
  floor takes its place: the limit of s to 0, which is 0 or infinite, becomes a
  steep and finite loss, without a gradient in s.

  Args:
    mean: m, the means or the locations of the logits, [N, K].
    labels: c, int [N].
    difference_scale: s, [N, K]; the entries of the labels are not used.
    log_cdf: elementwise, log F of the standard law: `gaussian_log_cdf` where s
      is a standard deviation, `cauchy_log_cdf` where it is a Cauchy scale.
    scale_floor: > 0, in the units of the logits.

  Returns:
    float32 [N].

  Example:
    >>> mean, scale = jnp.asarray([[1.0, 0.0]]), jnp.ones((1, 2))
    >>> value = pairwise(mean, jnp.asarray([0]), scale, cauchy_log_cdf)
    >>> round(float(value[0]), 4)  # -log(1/2 + 1/4)
    0.2877
  """
  mean = jnp.asarray(mean, jnp.float32)
  gap = _of_labels(mean, labels) - mean
  scale = jnp.asarray(difference_scale, jnp.float32)
  terms = log_cdf(gap / jnp.maximum(scale, scale_floor))
  own = jnp.arange(mean.shape[-1]) == jnp.asarray(labels)[..., None]
  return -jnp.sum(jnp.where(own, 0.0, terms), -1)


def variance_difference_scale(var: jax.Array, labels: jax.Array) -> jax.Array:
  """Standard deviations of Z_c - Z_j of independent logits.

    s_j = sqrt(v_c + v_j)

  Args:
    var: v, [N, K], at least 0.
    labels: c, int [N].

  Returns:
    float32 [N, K], with a derivative of 0 where it is 0.

  Example:
    >>> variance_difference_scale(jnp.asarray([[9.0, 16.0]]), jnp.asarray([0]))
    Array([[4.2426405, 5.       ]], dtype=float32)
  """
  var = jnp.asarray(var, jnp.float32)
  return _root(_of_labels(var, labels) + var)


def covariance_difference_scale(cov: jax.Array, labels: jax.Array) -> jax.Array:
  """Standard deviations of Z_c - Z_j of correlated logits.

    s_j = sqrt(S_cc + S_jj - 2 S_cj)

  Args:
    cov: S, [N, K, K].
    labels: c, int [N].

  Returns:
    float32 [N, K], 0 at j = c, with a derivative of 0 where it is 0.

  Example:
    >>> cov = jnp.asarray([[[2.0, 0.5], [0.5, 3.0]]])
    >>> covariance_difference_scale(cov, jnp.asarray([0]))
    Array([[0., 2.]], dtype=float32)
  """
  cov = jnp.asarray(cov, jnp.float32)
  own = jnp.asarray(labels)[..., None, None]
  row = jnp.take_along_axis(cov, own, -2)[..., 0, :]
  var = jnp.diagonal(cov, axis1=-2, axis2=-1)
  return _root(_of_labels(var, labels) + var - 2 * row)


def independent_difference_scale(
  scale: jax.Array, labels: jax.Array, alpha: float
) -> jax.Array:
  """Scales of Z_c - Z_j of independent alpha-stable logits.

    s_j = (s_c^alpha + s_j^alpha)^(1/alpha)

  Args:
    scale: of the logits, [N, K], at least 0.
    labels: c, int [N].
    alpha: the tail index, in (0, 2].

  Returns:
    float32 [N, K], with a derivative of 0 where a scale is 0.

  Example:
    >>> scale, labels = jnp.asarray([[3.0, 4.0]]), jnp.asarray([0])
    >>> independent_difference_scale(scale, labels, 1.0)
    Array([[6., 7.]], dtype=float32)

  References: G. Samorodnitsky and M. Taqqu, Stable Non-Gaussian Random
  Processes, 1994, property 1.2.1.
  """
  scale = jnp.asarray(scale, jnp.float32)
  both = jnp.broadcast_arrays(_of_labels(scale, labels), scale)
  return _norm(jnp.stack(both, -1), alpha)


def jacobian_difference_scale(
  jacobian: jax.Array,
  noise_scale: jax.Array | float,
  labels: jax.Array,
  alpha: float,
) -> jax.Array:
  """Scales of Z_c - Z_j of logits that are linear in stable noise, exactly.

    s_j = (sum_u |sigma_u (J_cu - J_ju)|^alpha)^(1/alpha)

  of Z = m + J e with independent alpha-stable e_u of scale sigma_u. The signs
  of J are what independent logits lack: what two logits share cancels.

  Args:
    jacobian: J, of the logits in the places of the noise, [N, K, U].
    noise_scale: sigma, at least 0: [], [U] or [N, 1, U].
    labels: c, int [N].
    alpha: the tail index, in (0, 2].

  Returns:
    float32 [N, K], 0 at j = c, with a derivative of 0 where a term is 0.

  Example:
    >>> jacobian = jnp.asarray([[[1.0, 2.0], [1.0, -1.0]]])
    >>> jacobian_difference_scale(jacobian, 0.5, jnp.asarray([0]), 1.0)
    Array([[0. , 1.5]], dtype=float32)

  References: G. Samorodnitsky and M. Taqqu, Stable Non-Gaussian Random
  Processes, 1994, property 1.2.1.
  """
  jacobian = jnp.asarray(jacobian, jnp.float32)
  own = jnp.asarray(labels)[..., None, None]
  gap = jnp.take_along_axis(jacobian, own, -2) - jacobian
  return _norm(gap * noise_scale, alpha)


@jax.custom_jvp
def gaussian_log_cdf(x: jax.Array) -> jax.Array:
  """Logarithm of Phi(x), with a derivative that is right in the far left tail.

    d/dx log Phi(x) = phi(x) / Phi(x),  -x + O(1/x) for x to -infinity

  The derivative of `jax.scipy.special.log_ndtr` is the exponential of a
  difference of large numbers: in float32 it is 3000 at -10⁴, and 1 at -10⁶.

  Args:
    x: [...].

  Returns:
    float32 [...].

  Example:
    >>> round(float(gaussian_log_cdf(0.0)), 4)
    -0.6931
    >>> float(jax.grad(gaussian_log_cdf)(-1e6))
    1000000.0
  """
  return log_ndtr(jnp.asarray(x, jnp.float32))


@gaussian_log_cdf.defjvp
def _gaussian_log_cdf_jvp(primals, tangents):
  (x,), (tangent,) = primals, tangents
  value = gaussian_log_cdf(x)
  far = x < _FAR
  near_x, far_x = jnp.where(far, 0.0, x), jnp.where(far, x, _FAR)
  near = jnp.where(far, 0.0, value)
  hazard = jnp.exp(-0.5 * near_x * near_x - near - 0.5 * math.log(2 * math.pi))
  t = 1 / (far_x * far_x)
  series = 1 - t * (1 - 3 * t * (1 - 5 * t * (1 - 7 * t)))
  return value, jnp.where(far, -far_x / series, hazard) * tangent


def cauchy_log_cdf(x: jax.Array) -> jax.Array:
  """Logarithm of 1/2 + atan(x) / pi, accurate in both tails.

    F(x) = atan2(1, -x) / pi = 1 - atan2(1, x) / pi

  The first form for x < 0, the second for x > 0: nothing cancels.

  Args:
    x: [...].

  Returns:
    float32 [...].

  Example:
    >>> print(round(float(cauchy_log_cdf(-1e9)), 4))  # -log(pi 1e9)
    -21.868
  """
  x = jnp.asarray(x, jnp.float32)
  left = x < 0
  lower = jnp.arctan2(1.0, jnp.where(left, -x, 1.0)) / math.pi
  upper = jnp.arctan2(1.0, jnp.where(left, 1.0, x)) / math.pi
  return jnp.where(left, jnp.log(lower), jnp.log1p(-upper))


def _of_labels(values, labels):
  """The entries of the labels, [N, 1] of [N, K]."""
  return jnp.take_along_axis(values, jnp.asarray(labels)[..., None], -1)


def _root(square):
  positive = square > _TINY
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def _norm(terms, alpha):
  """(sum |x|^alpha)^(1/alpha) over the last axis, in units of the largest."""
  size = jnp.abs(terms)
  largest = lax.stop_gradient(size.max(-1, keepdims=True))
  unit = jnp.where(largest > 0, largest, 1.0)
  # Powers below 1 have an infinite derivative at 0.
  ratio = size / unit
  positive = ratio > _TINY
  power = jnp.where(positive, jnp.where(positive, ratio, 1.0) ** alpha, 0.0)
  some = largest > 0
  total = jnp.where(some, power.sum(-1, keepdims=True), 1.0)
  root = jnp.where(some, total ** (1 / alpha), 0.0)
  return (unit * root)[..., 0]
