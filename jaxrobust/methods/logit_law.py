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
  """The law of the logits; `name` is the objective's.

  Of samples it is their mean and variance, so that what is linear in the two,
  as the expected squared error is, is the average over the samples.

  Raises:
    ValueError: If the forward was deterministic.
  """
  if isinstance(outputs.distribution, models.Samples):
    logits = outputs.distribution.logits
    return moments.Moments(logits.mean(0), logits.var(0))
  if not hasattr(outputs.distribution, "loc"):
    raise ValueError(
      f"objective {name} needs a forward with moments: "
      "config.method.forward.name='moments'"
    )
  return outputs.distribution


def with_variances(outputs: models.Outputs, name: str) -> Any:
  """The same, of a law that has variances.

  Raises:
    ValueError: Also if the law is stable with a tail index below 2.
  """
  law = of(outputs, name)
  if not _has_variances(law):
    raise ValueError(
      f"objective {name} needs variances, and noise with alpha={law.alpha} < 2 "
      "has no second moment: config.method.objective.name='pairwise'"
    )
  return law


def variances(law: Any) -> jax.Array:
  """Variances of the logits, [N, K]; stable ones of scale s have 2 s²."""
  if not hasattr(law, "alpha"):
    return law.var
  if hasattr(law, "jacobian"):
    return 2 * jnp.sum(law.jacobian**2, -1)
  return 2 * law.scale**2


def covariances(law: Any) -> jax.Array:
  """The covariance [N, K, K] where it is known, or the variances [N, K]."""
  if hasattr(law, "cov"):
    return law.cov
  if hasattr(law, "jacobian"):
    return 2 * jnp.einsum("nku,nlu->nkl", law.jacobian, law.jacobian)
  return variances(law)


def differences(
  law: Any, labels: jax.Array
) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
  """Scales [N, K] of Z_c - Z_j, and the log-cdf of which they are the scale."""
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
  """The targets [N, K] that an input has made, or onehot(labels)."""
  made = batch.get("targets")
  if made is None:
    return jax.nn.one_hot(batch["labels"], logits.shape[-1])
  return made


def labels(batch: Mapping[str, jax.Array], name: str) -> jax.Array:
  """The classes [N].

  Raises:
    ValueError: If an input has made targets of several classes.
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
