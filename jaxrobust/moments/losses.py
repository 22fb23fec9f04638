"""Expected losses of a network whose outputs are random: squares and densities.

All take the means and variances of independent Gaussian outputs, work per
example, in float32, and are finite in values and gradients at a variance of 0,
where they equal the loss of the means.

References: O. Arous et al., arXiv:2312.08877, whose stochastic loss has terms
in squared errors and in probabilities.
"""

import jax
import jax.numpy as jnp

from jaxrobust.moments import rules


def expected_mse(
  mean: jax.Array, var: jax.Array, targets: jax.Array
) -> jax.Array:
  """Expected squared error, exactly, whatever the law.

    E sum_k (y_k - Z_k)² = sum_k (y_k - m_k)² + v_k

  The sum over k is not divided by K.

  Args:
    mean: m, [N, K].
    var: v, [N, K], at least 0.
    targets: y, [N, K].

  Returns:
    float32 [N].

  Example:
    >>> mean, var = jnp.asarray([[0.5, 0.5]]), jnp.asarray([[0.1, 0.2]])
    >>> print(round(float(expected_mse(mean, var, jnp.eye(2)[:1])[0]), 4))
    0.8

  References: C. M. Bishop, Training with Noise is Equivalent to Tikhonov
  Regularization, Neural Computation 7, 1995.
  """
  mean, var, targets = _wide(mean, var, targets)
  return jnp.sum((targets - mean) ** 2 + var, -1)


def rectified_mse(
  mean: jax.Array, var: jax.Array, targets: jax.Array
) -> jax.Array:
  """Expected squared error of rectified Gaussian outputs, exactly.

    E sum_k (y_k - relu Z_k)² = sum_k ((m_k - y_k)² + v_k) Phi(a_k)
        + s_k phi(a_k) (m_k - 2 y_k) + y_k² Phi(-a_k),  a_k = m_k / s_k

  computed as the variance and the squared bias of relu(Z), which do not
  cancel. An output far below 0 has probability 0 of being on, and no gradient.

  Args:
    mean: m, [N, K].
    var: v = s², [N, K], at least 0.
    targets: y, [N, K].

  Returns:
    float32 [N].

  Example:
    >>> mean, var = jnp.zeros((1, 1)), jnp.ones((1, 1))
    >>> loss = rectified_mse(mean, var, jnp.zeros((1, 1)))  # half of E Z²
    >>> round(float(loss[0]), 4)
    0.5
  """
  mean, var, targets = _wide(mean, var, targets)
  rectified_mean, rectified_var, _ = rules.rectified(mean, var)
  return jnp.sum((targets - rectified_mean) ** 2 + rectified_var, -1)


def expected_brier(
  mean: jax.Array, var: jax.Array, targets: jax.Array
) -> jax.Array:
  """Expected Brier score of the softmax of random logits, approximately.

    sum_k (y_k - p_k - d_k)² + v_k',  p = softmax(m)
    v_k' = p_k² ((1 - 2 p_k) v_k + sum_j p_j² v_j)
    d_k  = p_k / 2 ((1 - 2 p_k) v_k + sum_j (2 p_j² - p_j) v_j)

  with the variance of the probabilities to first order (the delta method), and
  their means to second order. Good for v < 0.5; above 1 it overestimates.

  Args:
    mean: m, the means of the logits, [N, K].
    var: v, [N, K], at least 0.
    targets: y, [N, K], probabilities.

  Returns:
    float32 [N], between 0 and 2 at v = 0.

  Example:
    >>> mean, var = jnp.zeros((1, 2)), jnp.full((1, 2), 0.1)
    >>> round(float(expected_brier(mean, var, jnp.eye(2)[:1])[0]), 4)
    0.525

  References: G. W. Brier, Verification of Forecasts Expressed in Terms of
  Probability, Monthly Weather Review 78, 1950.
  """
  mean, var, targets = _wide(mean, var, targets)
  p, p_var = rules.softmax(mean, var)
  shared = jnp.sum((2 * p * p - p) * var, -1, keepdims=True)
  correction = 0.5 * p * ((1 - 2 * p) * var + shared)
  return jnp.sum((targets - p - correction) ** 2 + p_var, -1)


def gaussian_nll(
  mean: jax.Array,
  var: jax.Array,
  targets: jax.Array,
  var_floor: float = 1e-6,
) -> jax.Array:
  """Minus the log-density of the targets under Gaussian outputs.

    sum_k 1/2 log v_k + (y_k - m_k)² / (2 v_k),  v floored at `var_floor`

  without the constant (K / 2) log 2 pi. It is least at v_k = (y_k - m_k)², so
  that a learnable strength of the noise follows the residuals of training
  instead of going to 0. Below the floor there is no gradient in v.

  Args:
    mean: m, [N, K].
    var: v, [N, K], at least 0.
    targets: y, [N, K].
    var_floor: > 0, in squared units of the outputs.

  Returns:
    float32 [N].

  Example:
    >>> mean, var = jnp.zeros((1, 2)), jnp.ones((1, 2))
    >>> gaussian_nll(mean, var, jnp.ones((1, 2)))
    Array([1.], dtype=float32)

  References: D. A. Nix and A. S. Weigend, Estimating the Mean and Variance of
  the Target Probability Distribution, ICNN 1994.
  """
  mean, var, targets = _wide(mean, var, targets)
  var = jnp.maximum(var, var_floor)
  return 0.5 * jnp.sum(jnp.log(var) + (targets - mean) ** 2 / var, -1)


def _wide(*arrays):
  return tuple(jnp.asarray(x, jnp.float32) for x in arrays)
