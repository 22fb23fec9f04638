"""What objectives read of a stochastic forward: the law of the logits.

It is a state of `jaxrobust.moments` in `outputs.distribution`: locations `loc`
[N, K], and variances `var`, a covariance `cov` [N, K, K], or the tail index
`alpha` of stable noise with scales `scale` or a `jacobian` [N, K, U].
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxrobust import alpha_stable, models, moments
from jaxrobust.moments import pairs


def of(outputs: models.Outputs, name: str) -> Any:
  """The law of the logits.

  Of samples it is their mean and variance, so that what is linear in the two,
  as the expected squared error is, is the average over the samples.

  Args:
    outputs: Of a stochastic forward.
    name: The objective's, for the message.

  Returns:
    A `moments.State` of the logits [N, K], or a `moments.Linear`.

  Raises:
    ValueError: If the forward was deterministic.

  Example:
    >>> draws = models.Samples(jnp.array([[[0.0, 1.0]], [[2.0, 1.0]]]))
    >>> mean = draws.logits.mean(0)
    >>> law = of(models.Outputs(mean, mean, draws), "expected_mse")
    >>> law.mean.tolist(), law.var.tolist()
    ([[1.0, 1.0]], [[1.0, 0.0]])
  """
  if isinstance(outputs.distribution, models.Samples):
    logits = outputs.distribution.logits
    return moments.Moments(logits.mean(0), logits.var(0))
  if not hasattr(outputs.distribution, "loc"):
    raise ValueError(
      f"objective {name} needs a forward with noise inside: "
      "config.method.forward.name='moments' or 'sampled'"
    )
  return outputs.distribution


def with_variances(outputs: models.Outputs, name: str) -> Any:
  """The law of the logits, as of `of`, if it has variances.

  Args:
    outputs: Of a stochastic forward.
    name: The objective's, for the message.

  Returns:
    As `of`.

  Raises:
    ValueError: If the forward was deterministic, or the law is stable with a
      tail index below 2.

  Example:
    >>> zeros = jnp.zeros((1, 2))
    >>> law = moments.Stable(zeros, zeros + 1, 2.0)
    >>> with_variances(models.Outputs(zeros, zeros, law), "expected_mse").alpha
    2.0
  """
  law = of(outputs, name)
  if not _has_variances(law):
    raise ValueError(
      f"objective {name} needs variances, and noise with alpha={law.alpha} < 2 "
      "has no second moment: config.method.objective.name='pairwise'"
    )
  return law


def variances(law: Any) -> jax.Array:
  """Variances of the logits; the stable law of tail index 2 has 2 s².

  Args:
    law: As `with_variances` gives it.

  Returns:
    float32 [N, K].

  Example:
    >>> zeros = jnp.zeros((1, 2))
    >>> variances(moments.Stable(zeros, zeros + 3, 2.0)).tolist()
    [[18.0, 18.0]]
  """
  if not hasattr(law, "alpha"):
    return law.var
  if hasattr(law, "jacobian"):
    return 2 * jnp.sum(law.jacobian**2, -1)
  return 2 * law.scale**2


def covariances(law: Any) -> jax.Array:
  """Covariances of the logits where they are known, or their variances.

  Args:
    law: As `with_variances` gives it.

  Returns:
    float32 [N, K, K], or [N, K] of a law of independent logits.

  Example:
    >>> jacobian = jnp.ones((1, 2, 1))
    >>> law = moments.Linear(jnp.zeros((1, 2)), jacobian, 2.0)
    >>> covariances(law).tolist()
    [[[2.0, 2.0], [2.0, 2.0]]]
  """
  if hasattr(law, "cov"):
    return law.cov
  if hasattr(law, "jacobian"):
    return 2 * jnp.einsum("nku,nlu->nkl", law.jacobian, law.jacobian)
  return variances(law)


def differences(
  law: Any, labels: jax.Array
) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
  """How uncertain the gap of the label's logit to each other one is.

  Args:
    law: As `of` gives it.
    labels: The classes c, int32 [N].

  Returns:
    The scales of Z_c - Z_j, float32 [N, K], standard deviations where the law
    has variances; and the logarithm of the distribution function of scale 1.

  Example:
    >>> zeros = jnp.zeros((1, 2))
    >>> law = moments.Stable(zeros, zeros + 1, 1.0)
    >>> scale, log_cdf = differences(law, jnp.array([0]))
    >>> float(scale[0, 1]), round(float(jnp.exp(log_cdf(jnp.zeros(())))), 4)
    (2.0, 0.5)
  """
  if _has_variances(law):
    noise = covariances(law)
    if noise.ndim > law.loc.ndim:
      scale = pairs.covariance_difference_scale(noise, labels)
    else:
      scale = pairs.variance_difference_scale(noise, labels)
    return scale, pairs.gaussian_log_cdf
  if hasattr(law, "jacobian"):
    scale = pairs.jacobian_difference_scale(
      law.jacobian, 1.0, labels, law.alpha
    )
  else:
    scale = pairs.independent_difference_scale(law.scale, labels, law.alpha)
  return scale, _stable_log_cdf(law.alpha)


def targets(batch: Mapping[str, jax.Array], logits: jax.Array) -> jax.Array:
  """The targets that an input has made, or onehot(labels).

  Args:
    batch: With `labels`, int32 [N], or `targets`, float32 [N, K].
    logits: [N, K], for the number of classes.

  Returns:
    float32 [N, K], probabilities.

  Example:
    >>> targets({"labels": jnp.array([1])}, jnp.zeros((1, 2))).tolist()
    [[0.0, 1.0]]
  """
  made = batch.get("targets")
  if made is None:
    return jax.nn.one_hot(batch["labels"], logits.shape[-1])
  return made


def labels(batch: Mapping[str, jax.Array], name: str) -> jax.Array:
  """The classes of the examples.

  Args:
    batch: With `labels`, int32 [N].
    name: The objective's, for the message.

  Returns:
    int32 [N].

  Raises:
    ValueError: If an input has made targets of several classes.

  Example:
    >>> labels({"labels": jnp.array([1, 0])}, "pairwise").tolist()
    [1, 0]
  """
  if "targets" in batch:
    raise ValueError(
      f"objective {name} needs one class per example, and the input made "
      "targets of several: choose another objective or another input"
    )
  return batch["labels"]


def _has_variances(law):
  return getattr(law, "alpha", 2) == 2


def _stable_log_cdf(alpha):
  if alpha == 1:
    return pairs.cauchy_log_cdf
  return lambda x: jnp.log(alpha_stable.cdf(x, alpha))
