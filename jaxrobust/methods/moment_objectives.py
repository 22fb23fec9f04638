"""Objectives of a forward that carries the noise's moments to the logits.

They read `outputs.distribution`, which holds the law of the logits: means and
variances, a covariance, or locations and scales of stable noise. See
`jaxrobust.moments` for the losses themselves. All take `targets` [N, K] of the
batch in place of onehot(labels) where an input has made some, as `mixup` does,
but for `pairwise` and `cross_entropy_mean_field`, which need a class.

References: O. Arous et al., arXiv:2312.08877, for `expected_mse`.
"""

import functools

from jaxrobust.methods import logit_law
from jaxrobust.methods.setting import Notes, ObjectiveFn
from jaxrobust.moments import cross_entropy_bounds, losses, pairs


def expected_mse() -> ObjectiveFn:
  """Expected squared error of the logits: of the means, plus the variances.

    E sum_k (t_k - Z_k)² = sum_k (t_k - m_k)² + v_k

  Returns:
    The objective.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import models
    >>> from jaxrobust.moments import Moments
    >>> law = Moments(jnp.zeros((1, 2)), jnp.full((1, 2), 0.5))
    >>> outputs = models.Outputs(law.loc, law.loc, law)
    >>> expected_mse()(outputs, {"labels": jnp.asarray([0])}, {})[0].tolist()
    [2.0]
  """
  return _of_variances("expected_mse", losses.expected_mse)


def rectified_mse() -> ObjectiveFn:
  """Expected squared error of the rectified logits, exactly.

    E sum_k (t_k - relu Z_k)²

  Returns:
    The objective; see `jaxrobust.moments.rectified_mse`.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import models
    >>> from jaxrobust.moments import Moments
    >>> law = Moments(jnp.zeros((1, 2)), jnp.zeros((1, 2)))
    >>> outputs = models.Outputs(law.loc, law.loc, law)
    >>> rectified_mse()(outputs, {"labels": jnp.asarray([0])}, {})[0].tolist()
    [1.0]
  """
  return _of_variances("rectified_mse", losses.rectified_mse)


def expected_brier() -> ObjectiveFn:
  """Expected Brier score of the softmax, by the delta method.

    E sum_k (t_k - softmax(Z)_k)²

  Returns:
    The objective; see `jaxrobust.moments.expected_brier`.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import models
    >>> from jaxrobust.moments import Moments
    >>> law = Moments(jnp.zeros((1, 2)), jnp.zeros((1, 2)))
    >>> outputs = models.Outputs(law.loc, law.loc, law)
    >>> expected_brier()(outputs, {"labels": jnp.asarray([0])}, {})[0].tolist()
    [0.5]
  """
  return _of_variances("expected_brier", losses.expected_brier)


def gaussian_nll(*, var_floor: float = 1e-6) -> ObjectiveFn:
  """Minus the log-density of the targets under Gaussian logits.

    sum_k 1/2 log v_k + (t_k - m_k)² / (2 v_k)

  Args:
    var_floor: The least variance, > 0, in squared units of the logits.

  Returns:
    The objective; see `jaxrobust.moments.gaussian_nll`.

  Raises:
    ValueError: If `var_floor` is out of range.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import models
    >>> from jaxrobust.moments import Moments
    >>> law = Moments(jnp.zeros((1, 2)), jnp.ones((1, 2)))
    >>> outputs = models.Outputs(law.loc, law.loc, law)
    >>> gaussian_nll()(outputs, {"labels": jnp.asarray([0])}, {})[0].tolist()
    [0.5]
  """
  _require_positive("var_floor", var_floor)
  loss = functools.partial(losses.gaussian_nll, var_floor=var_floor)
  return _of_variances("gaussian_nll", loss)


def pairwise(*, scale_floor: float = 1e-3) -> ObjectiveFn:
  """Minus the log-probabilities that the right logit beats each other one.

    -sum_{j != c} log F((m_c - m_j) / s_j)

  with F and the scales s of the logits' law: Gaussian with the variances of
  independent or the covariance of correlated logits, or alpha-stable with
  scales of independent ones or the Jacobian of correlated ones. It is the only
  objective for a tail index below 2, where there is no variance. F of a tail
  index other than 1 and 2 costs about ten milliseconds a step.

  Args:
    scale_floor: The least scale of a difference, > 0, in units of the logits.

  Returns:
    The objective; see `jaxrobust.moments.pairwise`.

  Raises:
    ValueError: If `scale_floor` is out of range.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import models
    >>> from jaxrobust.moments import Stable
    >>> law = Stable(jnp.asarray([[2.0, 0.0]]), jnp.ones((1, 2)), alpha=1.0)
    >>> outputs = models.Outputs(law.loc, law.loc, law)
    >>> values, _ = pairwise()(outputs, {"labels": jnp.asarray([0])}, {})
    >>> round(float(values[0]), 4)  # -log(1/2 + 1/4)
    0.2877
  """
  _require_positive("scale_floor", scale_floor)

  def objective(outputs, batch, setting):
    del setting
    labels = logit_law.labels(batch, "pairwise")
    law = logit_law.of(outputs, "pairwise")
    scale, log_cdf = logit_law.differences(law, labels)
    values = pairs.pairwise(law.loc, labels, scale, log_cdf, scale_floor)
    return values, Notes()

  return objective


def cross_entropy_lower() -> ObjectiveFn:
  """Cross-entropy of the means: a lower bound on the expected one.

    CE(m)

  It differs from `cross_entropy` in the forward alone, whose means are not
  those of the network without noise.

  Returns:
    The objective; see `jaxrobust.moments.cross_entropy_lower`.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import models
    >>> from jaxrobust.moments import Moments
    >>> law = Moments(jnp.zeros((1, 2)), jnp.ones((1, 2)))
    >>> outputs = models.Outputs(law.loc, law.loc, law)
    >>> labels = {"labels": jnp.asarray([0])}
    >>> round(float(cross_entropy_lower()(outputs, labels, {})[0][0]), 4)
    0.6931
  """
  return _of_variances(
    "cross_entropy_lower",
    lambda mean, var, targets: cross_entropy_bounds.cross_entropy_lower(
      mean, targets
    ),
  )


def cross_entropy_delta() -> ObjectiveFn:
  """Expected cross-entropy to second order in the noise.

    CE(m) + 1/2 sum_k p_k (1 - p_k) v_k,  p = softmax(m)

  and with the covariance where the forward has one.

  Returns:
    The objective; see `jaxrobust.moments.cross_entropy_delta`.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import models
    >>> from jaxrobust.moments import Moments
    >>> law = Moments(jnp.zeros((1, 2)), jnp.ones((1, 2)))
    >>> outputs = models.Outputs(law.loc, law.loc, law)
    >>> labels = {"labels": jnp.asarray([0])}
    >>> round(float(cross_entropy_delta()(outputs, labels, {})[0][0]), 4)
    0.9431
  """
  return _of_covariances(
    "cross_entropy_delta", cross_entropy_bounds.cross_entropy_delta
  )


def cross_entropy_tilted(*, iterations: int = 8) -> ObjectiveFn:
  """The tilted upper bound on the expected cross-entropy.

    1/2 sum_k a_k² v_k + log sum_k exp(m_k + (1 - 2 a_k) v_k / 2) - t^T m

  with the best a, and with the covariance where the forward has one.

  Args:
    iterations: Steps towards the best a, at least 1.

  Returns:
    The objective; see `jaxrobust.moments.cross_entropy_tilted`.

  Raises:
    ValueError: If `iterations` is out of range.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import models
    >>> from jaxrobust.moments import Moments
    >>> law = Moments(jnp.zeros((1, 2)), jnp.ones((1, 2)))
    >>> outputs = models.Outputs(law.loc, law.loc, law)
    >>> labels = {"labels": jnp.asarray([0])}
    >>> round(float(cross_entropy_tilted()(outputs, labels, {})[0][0]), 4)
    0.9431
  """
  if iterations < 1:
    raise ValueError(f"iterations={iterations}: must be at least 1")
  loss = functools.partial(
    cross_entropy_bounds.cross_entropy_tilted, iterations=iterations
  )
  return _of_covariances("cross_entropy_tilted", loss)


def cross_entropy_bohning() -> ObjectiveFn:
  """Böhning's upper bound on the expected cross-entropy.

    CE(m) + 1/4 (1 - 1/K) sum_k v_k

  and with the covariance where the forward has one.

  Returns:
    The objective; see `jaxrobust.moments.cross_entropy_bohning`.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import models
    >>> from jaxrobust.moments import Moments
    >>> law = Moments(jnp.zeros((1, 2)), jnp.ones((1, 2)))
    >>> outputs = models.Outputs(law.loc, law.loc, law)
    >>> labels = {"labels": jnp.asarray([0])}
    >>> round(float(cross_entropy_bohning()(outputs, labels, {})[0][0]), 4)
    0.9431
  """
  return _of_covariances(
    "cross_entropy_bohning", cross_entropy_bounds.cross_entropy_bohning
  )


def cross_entropy_mean_field() -> ObjectiveFn:
  """Cross-entropy of the mean-field probabilities.

    log(1 + sum_{j != c} exp(-(m_c - m_j) / sqrt(1 + pi/8 (v_c + v_j))))

  Returns:
    The objective; see `jaxrobust.moments.cross_entropy_mean_field`.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import models
    >>> from jaxrobust.moments import Moments
    >>> law = Moments(jnp.zeros((1, 2)), jnp.ones((1, 2)))
    >>> outputs = models.Outputs(law.loc, law.loc, law)
    >>> labels = {"labels": jnp.asarray([0])}
    >>> round(float(cross_entropy_mean_field()(outputs, labels, {})[0][0]), 4)
    0.6931
  """
  name = "cross_entropy_mean_field"

  def objective(outputs, batch, setting):
    del setting
    labels = logit_law.labels(batch, name)
    law = logit_law.with_variances(outputs, name)
    values = cross_entropy_bounds.cross_entropy_mean_field(
      law.loc, logit_law.variances(law), labels
    )
    return values, Notes()

  return objective


MOMENT_OBJECTIVES = (
  "expected_mse",
  "rectified_mse",
  "expected_brier",
  "gaussian_nll",
  "pairwise",
  "cross_entropy_lower",
  "cross_entropy_delta",
  "cross_entropy_tilted",
  "cross_entropy_bohning",
  "cross_entropy_mean_field",
)


def _of_variances(name, loss):
  """The objective of a loss of means, variances and targets."""

  def objective(outputs, batch, setting):
    del setting
    law = logit_law.with_variances(outputs, name)
    targets = logit_law.targets(batch, law.loc)
    return loss(law.loc, logit_law.variances(law), targets), Notes()

  return objective


def _of_covariances(name, loss):
  """The same of a loss that takes the covariance where there is one."""

  def objective(outputs, batch, setting):
    del setting
    law = logit_law.with_variances(outputs, name)
    targets = logit_law.targets(batch, law.loc)
    return loss(law.loc, logit_law.covariances(law), targets), Notes()

  return objective


def _require_positive(name, value):
  if not 0 < value < float("inf"):
    raise ValueError(f"{name}={value}: must be a finite number > 0")
