"""Maximum likelihood for the stable law, by Fisher scoring on the host.

The law's four parameters are fitted in the coordinates

    theta = (alpha, beta, log scale, loc)

of samples that were brought to location 0 and scale about 1. The device
gives each sample's log-likelihood and its slopes, the scores s_i; the host
sums them in float64 and takes damped steps

    (I + damping diag I) step = mean s_i,   I = mean s_i s_i'

I estimates the Fisher information, so that no second derivative is needed
and a step's length is known in standard errors. A sample that was clipped
says only that the variate lies beyond a limit: it enters with the
probability of that, not with the density.

References: E. K. Berndt, B. H. Hall, R. E. Hall and J. A. Hausman, Estimation
and inference in nonlinear structural models, Ann. Econ. Soc. Meas. 3 (1974);
W. H. DuMouchel, On the asymptotic normality of the maximum-likelihood
estimate when sampling from a stable distribution, Ann. Statist. 1 (1973).
"""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.alpha_stable import density, distribution

LOWEST_ALPHA = 0.2
LOWER = np.asarray([LOWEST_ALPHA, -1.0, -np.inf, -np.inf])
UPPER = np.asarray([2.0, 1.0, np.inf, np.inf])
_STEPS = 200
# The log-likelihood still to be gained, when a fit is done: a hundredth of a
# standard error.
_GAIN = 5e-5
_LEAST_PROBABILITY = 1e-30
_FARTHEST = 1e30
# The slope in alpha is taken from below 2, where the law has one.
_LARGEST_ALPHA = 2.0 - 5e-5


@dataclasses.dataclass(frozen=True)
class Maximum:
  """Where the likelihood is largest.

  Attributes:
    theta: float64 [4], (alpha, beta, log scale, loc).
    covariance: float64 [4, 4]; NaN in the rows and columns of parameters
      that were fixed, lie at the end of their range or are not identified.
    log_likelihood: the sum over the samples.
    converged: whether less than a hundredth of a standard error is left.
  """

  theta: np.ndarray
  covariance: np.ndarray
  log_likelihood: float
  converged: bool


class Likelihood:
  """The log-likelihood of one set of samples, as a function of theta.

  The arrays are filled up to a power of two, so that few sizes compile.

  Args:
    samples: float64 [n], about standardised.
    side: int [n], 1 where the variate is at least the sample, -1 where it is
      at most the sample, 0 where it is the sample; None if all are 0.
    gaussian: whether alpha is known to be 2. The slopes in alpha and beta are
      then 0.
  """

  def __init__(
    self,
    samples: np.ndarray,
    side: np.ndarray | None = None,
    gaussian: bool = False,
  ):
    self.size = len(samples)
    self._gaussian = gaussian
    padding = (0, 2 ** (self.size - 1).bit_length() - self.size)
    self._samples = np.pad(samples, padding)
    self._side = None
    if side is not None and np.any(side):
      self._side = jnp.asarray(np.pad(side, padding))

  def scores(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
    """The log-likelihood at theta, and each sample's slopes [n, 4]."""
    alpha, beta, log_scale, loc = theta
    scale = np.exp(log_scale)
    # Variates of float32 reach farther, their slopes do not.
    standard = np.clip((self._samples - loc) / scale, -_FARTHEST, _FARTHEST)
    value, slopes = _value_and_slopes(
      jnp.asarray(standard, jnp.float32),
      jnp.float32(min(alpha, _LARGEST_ALPHA)),
      jnp.float32(beta),
      self._side,
      self._gaussian,
    )
    exact = np.ones(self.size)
    if self._side is not None:
      exact = 1.0 - np.abs(np.asarray(self._side)[: self.size])
    standard = standard[: self.size]
    value = np.asarray(value, np.float64)[: self.size]
    slopes = np.asarray(slopes, np.float64)[:, : self.size]
    by_alpha, by_beta, by_standard = slopes
    scores = np.stack(
      [
        by_alpha,
        by_beta,
        -exact - standard * by_standard,
        -by_standard / scale,
      ],
      axis=1,
    )
    return float(value.sum() - log_scale * exact.sum()), scores


@functools.partial(jax.jit, static_argnames="gaussian")
def _value_and_slopes(standard, alpha, beta, side, gaussian):
  """Log-likelihoods [n] and slopes [3, n] in alpha, beta and the sample."""

  def value(alpha, beta, standard):
    if gaussian:
      alpha, beta = 2.0, 0.0
    log_prob = density.log_prob(standard, alpha, beta)
    if side is None:
      return log_prob
    below = distribution.cdf(standard, alpha, beta)
    above = distribution.sf(standard, alpha, beta)
    beyond = jnp.where(side > 0, above, below)
    log_beyond = jnp.log(jnp.maximum(beyond, _LEAST_PROBABILITY))
    return jnp.where(side == 0, log_prob, log_beyond)

  at = (alpha, beta, standard)
  slopes = []
  for position in range(3):

    def along(own, position=position):
      arguments = list(at)
      arguments[position] = own
      return value(*arguments)

    # One argument each: slopes in the others would be computed, too, as 0.
    own = at[position]
    log_prob, slope = jax.jvp(along, (own,), (jnp.ones_like(own),))
    slopes.append(slope)
  return log_prob, jnp.stack(slopes)


def maximise(
  likelihood: Likelihood, start: np.ndarray, fixed: Mapping[int, float]
) -> Maximum:
  """Climbs from a first guess to the largest likelihood.

  Args:
    likelihood: of standardised samples.
    start: float64 [4], a guess within the ranges.
    fixed: positions in theta that are known, and their values.

  Returns:
    The maximum, with the inverse of the observed information of the
    parameters inside their ranges.
  """
  theta = np.clip(start, LOWER, UPPER)
  theta[list(fixed)] = list(fixed.values())
  value, scores = likelihood.scores(theta)
  damping, converged = 1e-3, False
  for _ in range(_STEPS):
    gradient, information = _moments(scores)
    free = _free(theta, gradient, fixed)
    inner = information[np.ix_(free, free)]
    diagonal = np.diag(np.diag(inner))
    ridge = 1e-9 * np.eye(len(free))
    left = gradient[free] @ np.linalg.solve(inner + ridge, gradient[free])
    if 0.5 * likelihood.size * left < _GAIN:
      converged = True
      break
    step = np.linalg.solve(inner + ridge + damping * diagonal, gradient[free])
    trial = theta.copy()
    trial[free] += np.clip(step, -1.0, 1.0)
    trial = np.clip(trial, LOWER, UPPER)
    if trial[0] == UPPER[0] and 1 not in fixed:
      trial[1] = 0.0
    trial_value, trial_scores = likelihood.scores(trial)
    # Values carry float32's rounding; slopes decide within it.
    if trial_value > value - 1e-6 * likelihood.size:
      theta, value, scores = trial, trial_value, trial_scores
      damping = max(damping / 10.0, 1e-6)
    elif damping > 1e8:
      break
    else:
      damping = max(10.0 * damping, 1e-3)
  covariance = _covariance(likelihood, theta, scores, fixed)
  return Maximum(theta, covariance, value, converged)


def _moments(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  return scores.mean(axis=0), scores.T @ scores / len(scores)


def _free(
  theta: np.ndarray, gradient: np.ndarray, fixed: Mapping[int, float]
) -> list[int]:
  """The coordinates that may move uphill from theta."""
  stuck = ((theta >= UPPER) & (gradient >= 0)) | (
    (theta <= LOWER) & (gradient <= 0)
  )
  # A Gaussian has no skewness.
  stuck[1] |= theta[0] >= UPPER[0]
  stuck[list(fixed)] = True
  return [int(i) for i in np.flatnonzero(~stuck)]


def _covariance(
  likelihood: Likelihood,
  theta: np.ndarray,
  scores: np.ndarray,
  fixed: Mapping[int, float],
) -> np.ndarray:
  """The inverse of minus the log-likelihood's second derivatives.

  They are differences of the exact slopes. Where rounding or a flat
  likelihood leaves them indefinite, the scores' second moment stands in.
  """
  gradient, information = _moments(scores)
  free = _free(theta, gradient, fixed)
  # A parameter at the end of its range has no standard error.
  free = [i for i in free if LOWER[i] < theta[i] < UPPER[i]]
  inner = np.ix_(free, free)
  covariance = np.full((4, 4), np.nan)
  spread = np.sqrt(
    np.diag(np.linalg.pinv(information[inner])) / likelihood.size
  )
  observed = np.empty((len(free), len(free)))
  for column, (position, width) in enumerate(zip(free, spread, strict=True)):
    width = np.clip(0.5 * width, 2e-3, 0.05)
    ends, slopes = [], []
    for sign in (-1.0, 1.0):
      end = theta.copy()
      end[position] = np.clip(
        theta[position] + sign * width, LOWER[position], UPPER[position]
      )
      ends.append(end[position])
      slopes.append(likelihood.scores(end)[1].mean(axis=0)[free])
    observed[:, column] = (slopes[0] - slopes[1]) / (ends[1] - ends[0])
  observed = 0.5 * (observed + observed.T)
  if not np.all(np.linalg.eigvalsh(observed) > 1e-9):
    observed = information[inner]
  covariance[inner] = np.linalg.pinv(observed) / likelihood.size
  return covariance
