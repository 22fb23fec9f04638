"""The expected cross-entropy of random logits: bounds and approximations.

With logits Z of mean m and (co)variance S, and targets t that sum to 1,

    E CE = E log sum_k exp Z_k - sum_k t_k m_k

has no closed form. In order, for independent logits:

    lower <= E CE <= tilted <= exponential,  E CE <= bohning

`cross_entropy_delta` and `cross_entropy_mean_field` are no bounds. All work
per example, in float32, and equal the cross-entropy of the means at S = 0.
They are computed from log softmax(m), which loses nothing for large logits.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import logsumexp


def cross_entropy_lower(mean: jax.Array, targets: jax.Array) -> jax.Array:
  """Lower bound on the expected cross-entropy, by Jensen's inequality.

    CE(m) = log sum_k exp m_k - sum_k t_k m_k

  It is the cross-entropy of the means and knows nothing of the variance.

  Args:
    mean: m, the means of the logits, [N, K].
    targets: t, [N, K], probabilities.

  Returns:
    float32 [N].

  Example:
    >>> value = cross_entropy_lower(jnp.zeros((1, 2)), jnp.eye(2)[:1])
    >>> round(float(value[0]), 4)
    0.6931
  """
  return _expected(_log_softmax(mean), 0.0, targets)


def cross_entropy_delta(
  mean: jax.Array, var: jax.Array, targets: jax.Array
) -> jax.Array:
  """Expected cross-entropy to second order (the delta method); no bound.

    CE(m) + 1/2 sum_k p_k (1 - p_k) v_k,          p = softmax(m)
    CE(m) + 1/2 (sum_k p_k S_kk - p^T S p)        of a full covariance S

  Good for v < 1; above, it is too small where p is certain of a class.

  Args:
    mean: m, the means of the logits, [N, K].
    var: variances v, [N, K], or covariances S, [N, K, K].
    targets: t, [N, K], probabilities.

  Returns:
    float32 [N].

  Example:
    >>> mean, var = jnp.zeros((1, 2)), jnp.ones((1, 2))
    >>> value = cross_entropy_delta(mean, var, jnp.eye(2)[:1])
    >>> round(float(value[0]), 4)  # log 2 + 1/4
    0.9431
  """
  log_p, p = _log_softmax(mean), jax.nn.softmax(_wide(mean))
  if _is_diagonal(var, mean):
    excess = 0.5 * jnp.sum(p * (1 - p) * _wide(var), -1)
  else:
    own, other = _diagonal(var, mean), _apply(var, p)
    excess = 0.5 * jnp.sum(p * (own - other), -1)
  return _expected(log_p, excess, targets)


def cross_entropy_tilted(
  mean: jax.Array, var: jax.Array, targets: jax.Array, iterations: int = 8
) -> jax.Array:
  """Upper bound on the expected cross-entropy of Gaussian logits, tilted.

    E CE <= 1/2 a^T S a + log sum_k exp(m_k + S_kk / 2 - (S a)_k) - t^T m

  for every vector a; for independent logits S a is a v, and a^T S a is
  sum_k a_k² v_k. The right side is convex in a and least at the fixed point
  a = softmax(m + diag S / 2 - S a). Steps of 1/2, 1/3, 1/4, ... towards the
  right side, from softmax(m), stay stable up to a variance of 30, where steps
  of 1/2 oscillate above 10. The best of the iterates and of a = 0, which is
  `cross_entropy_exponential`, is taken as a constant: the value is a bound
  all the same, and at the fixed point the gradient is the bound's.

  Args:
    mean: m, the means of the logits, [N, K].
    var: variances v, [N, K], or covariances S, [N, K, K].
    targets: t, [N, K], probabilities.
    iterations: steps towards the fixed point, at least 1. 8 are within 0.01 of
      the best a for variances up to 30.

  Returns:
    float32 [N].

  Raises:
    ValueError: If `iterations` is less than 1.

  Example:
    >>> mean, var = jnp.zeros((1, 2)), jnp.ones((1, 2))
    >>> value = cross_entropy_tilted(mean, var, jnp.eye(2)[:1])
    >>> round(float(value[0]), 4)  # log 2 + 1/4: a = (1/2, 1/2)
    0.9431

  References: D. A. Knowles and T. P. Minka, Non-conjugate Variational Message
  Passing for Multinomial and Binary Regression, NeurIPS 2011.
  """
  if iterations < 1:
    raise ValueError(f"iterations={iterations}: must be at least 1")
  log_p = _log_softmax(mean)
  raised = log_p + 0.5 * _diagonal(var, mean)

  def bound(a, raised, var):
    moved = _apply(var, a)
    logits = raised - moved
    return 0.5 * jnp.sum(a * moved, -1) + logsumexp(logits, -1), logits

  constants = lax.stop_gradient((raised, var))

  def step(i, carry):
    a, best, least = carry
    value, logits = bound(a, *constants)
    better = value < least
    best = jnp.where(better[..., None], a, best)
    towards = jax.nn.softmax(logits) - a
    return a + towards / (i + 2), best, jnp.minimum(value, least)

  first = lax.stop_gradient(jnp.exp(log_p))
  none = jnp.zeros_like(first)
  carry = (first, none, bound(none, *constants)[0])
  # The last round only judges the last step.
  _, best, _ = lax.fori_loop(0, iterations + 1, step, carry)
  return _expected(
    log_p, bound(lax.stop_gradient(best), raised, var)[0], targets
  )


def cross_entropy_bohning(
  mean: jax.Array, var: jax.Array, targets: jax.Array
) -> jax.Array:
  """Upper bound on the expected cross-entropy, by a bound on its curvature.

    E CE <= CE(m) + 1/4 (1 - 1/K) sum_k v_k
    E CE <= CE(m) + 1/4 (tr S - 1^T S 1 / K)      of a full covariance S

  for every law with these moments. Its gradient in v is the same everywhere:
  a penalty on the variance alone.

  Args:
    mean: m, the means of the logits, [N, K].
    var: variances v, [N, K], or covariances S, [N, K, K].
    targets: t, [N, K], probabilities.

  Returns:
    float32 [N].

  Example:
    >>> mean, var = jnp.zeros((1, 2)), jnp.ones((1, 2))
    >>> value = cross_entropy_bohning(mean, var, jnp.eye(2)[:1])
    >>> round(float(value[0]), 4)
    0.9431

  References: D. Bohning, Multinomial Logistic Regression Algorithm, Annals of
  the Institute of Statistical Mathematics 44, 1992.
  """
  own = _diagonal(var, mean)
  classes = own.shape[-1]
  if _is_diagonal(var, mean):
    excess = 0.25 * (1 - 1 / classes) * own.sum(-1)
  else:
    excess = 0.25 * (own.sum(-1) - _wide(var).sum((-2, -1)) / classes)
  return _expected(_log_softmax(mean), excess, targets)


def cross_entropy_exponential(
  mean: jax.Array, var: jax.Array, targets: jax.Array
) -> jax.Array:
  """Upper bound on the expected cross-entropy, from that of exp Z_k.

    E CE <= log sum_k exp(m_k + v_k / 2) - t^T m

  of Gaussian logits, by Jensen's inequality; covariances do not enter. It is
  loose for v > 1; see `cross_entropy_tilted`.

  Args:
    mean: m, the means of the logits, [N, K].
    var: v, [N, K], at least 0.
    targets: t, [N, K], probabilities.

  Returns:
    float32 [N].

  Example:
    >>> mean, var = jnp.zeros((1, 2)), jnp.ones((1, 2))
    >>> value = cross_entropy_exponential(mean, var, jnp.eye(2)[:1])
    >>> round(float(value[0]), 4)  # log 2 + 1/2
    1.1931
  """
  log_p = _log_softmax(mean)
  return _expected(log_p, logsumexp(log_p + 0.5 * _wide(var), -1), targets)


def cross_entropy_mean_field(
  mean: jax.Array, var: jax.Array, labels: jax.Array
) -> jax.Array:
  """Cross-entropy of the mean-field probabilities; cheap, and no bound.

    log(1 + sum_{j != c} exp(-(m_c - m_j) / sqrt(1 + pi/8 (v_c + v_j))))

  It estimates -log E softmax(Z)_c, which is at most E CE, from the logistic
  function of a Gaussian, pair by pair.

  Args:
    mean: m, the means of the logits, [N, K].
    var: v, [N, K], at least 0.
    labels: c, int [N].

  Returns:
    float32 [N].

  Example:
    >>> mean, var = jnp.asarray([[1.0, 0.0]]), jnp.ones((1, 2))
    >>> value = cross_entropy_mean_field(mean, var, jnp.asarray([0]))
    >>> round(float(value[0]), 4)
    0.3874

  References: Z. Lu, E. Ie and F. Sha, Mean-Field Approximation to Gaussian-
  Softmax Integral with Application to Uncertainty Estimation, 2020,
  arXiv:2006.07584; D. J. C. MacKay, The Evidence Framework
  Applied to Classification Networks, Neural Computation 4, 1992.
  """
  mean, var = _wide(mean), _wide(var)
  own = jnp.asarray(labels)[..., None]
  gap = mean - jnp.take_along_axis(mean, own, -1)
  spread = var + jnp.take_along_axis(var, own, -1)
  return logsumexp(gap / jnp.sqrt(1 + math.pi / 8 * spread), -1)


def _expected(log_p, excess, targets):
  """E CE from what E log sum exp Z has over log sum exp m."""
  targets = _wide(targets)
  return targets.sum(-1) * excess - jnp.sum(targets * log_p, -1)


def _log_softmax(mean):
  return jax.nn.log_softmax(_wide(mean))


def _is_diagonal(var, mean):
  return jnp.ndim(var) == jnp.ndim(mean)


def _diagonal(var, mean):
  """The variances, of variances or of a covariance."""
  var = _wide(var)
  if _is_diagonal(var, mean):
    return var
  return jnp.diagonal(var, axis1=-2, axis2=-1)


def _apply(var, a):
  """S a, of variances or of a covariance."""
  var = _wide(var)
  return var * a if _is_diagonal(var, a) else jnp.einsum("...jk,...k", var, a)


def _wide(array):
  return jnp.asarray(array, jnp.float32)
