"""Quick estimators of the stable law: match a few statistics to their values.

Both methods solve s(theta) = s_hat for theta = (alpha, beta, log scale, loc)
of samples that were brought to location 0 and scale about 1. Quantiles, after
McCulloch, but against this package's own quantile function, not his tables:

    s = (log (q95-q05)/(q75-q25),  (q95+q05-2 q50)/(q95-q05),
         log (q75-q25),  q50)

Logarithmic moments of D = X_i - X_j, which is symmetric of scale 2^(1/alpha) c
whatever beta is (or of D = X - q50, if the law is known to be symmetric):

    s = (Var log|D|,  (q95+q05-2 q50)/(q95-q05),  E log|D|,  q50)
    Var log|D| = (pi^2/6) (1/alpha^2 + 1/2)
    E log|D|   = log(scale of D) + g (1/alpha - 1),   g = 0.5772 (Euler)

Every statistic is, to first order, a mean of one influence per sample, so its
covariance is the influences' and the standard errors follow by the delta
method: with A = ds/dtheta, cov(theta) = A^-1 cov(s) A^-T.

References: J. H. McCulloch, Simple consistent estimators of stable
distribution parameters, Comm. Statist. Simulation 15 (1986); E. E. Kuruoglu,
Density parameter estimation of skewed alpha-stable distributions, IEEE Trans.
Signal Process. 49 (2001); X. Ma and C. L. Nikias, Parameter estimation and
blind channel identification in impulsive signal environments, ibid. 43 (1995).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.alpha_stable import density, distribution
from jaxrobust.alpha_stable.likelihood import LOWER, UPPER

LEVELS = np.asarray([0.05, 0.25, 0.5, 0.75, 0.95])
_LOWEST_VARIANCE = math.pi**2 / 12.0  # of log|D| at alpha = 2
_WIDTH = 5e-3  # of a difference quotient


def by_quantiles(
  samples: np.ndarray, fixed: Mapping[int, float]
) -> tuple[np.ndarray, np.ndarray]:
  """Fits by McCulloch's ratios of quantiles.

  Args:
    samples: float64 [n], about standardised.
    fixed: positions in theta that are known, and their values.

  Returns:
    (theta [4], covariance [4, 4]), NaN where there is no standard error.
  """
  quantiles = np.quantile(samples, LEVELS)

  def statistics(theta):
    return _of_quantiles(_law_quantiles(theta))

  observed = _of_quantiles(quantiles)
  start = np.asarray([1.5, 0.0, 0.0, quantiles[2]])
  theta, slopes = _solve(statistics, observed, start, fixed)
  influence = _quantile_influence(samples, quantiles, theta)
  influences = influence @ _slope(_of_quantiles, quantiles).T
  return theta, _covariance(theta, slopes, influences, fixed)


def by_log_moments(
  samples: np.ndarray, fixed: Mapping[int, float]
) -> tuple[np.ndarray, np.ndarray]:
  """Fits tail index and scale by the mean and the variance of logarithms.

  Skewness and location are taken from the quantiles. Exact zeros among the
  differences are left out.

  Args:
    samples: float64 [n], about standardised.
    fixed: positions in theta that are known, and their values. Where beta is
      0, logarithms are of distances to the median rather than of differences
      of pairs, which uses the samples twice as well.

  Returns:
    (theta [4], covariance [4, 4]), NaN where there is no standard error.
  """
  quantiles = np.quantile(samples, LEVELS)
  symmetric = fixed.get(1) == 0.0
  if symmetric:
    pairs = samples[:, None]
    differences = samples - quantiles[2]
  else:
    # Neighbours may depend on each other, or be sorted.
    mixed = np.random.default_rng(0).permutation(samples)
    pairs = mixed[: len(mixed) // 2 * 2].reshape(-1, 2)
    differences = pairs[:, 0] - pairs[:, 1]
  kept = differences != 0.0
  logs = np.log(np.abs(differences[kept]))
  mean, variance = logs.mean(), logs.var()

  def statistics(theta):
    inverse = 1.0 / theta[0]
    doubled = 0.0 if symmetric else inverse * math.log(2.0)
    law_quantiles = _law_quantiles(theta)
    return np.asarray(
      [
        math.pi**2 / 6.0 * (inverse**2 + 0.5),
        _of_quantiles(law_quantiles)[1],
        theta[2] + doubled + np.euler_gamma * (inverse - 1.0),
        law_quantiles[2],
      ]
    )

  observed = np.asarray(
    [variance, _of_quantiles(quantiles)[1], mean, quantiles[2]]
  )
  excess = max(variance - _LOWEST_VARIANCE, 0.0) * 6.0 / math.pi**2
  alpha = np.clip((excess + 0.25) ** -0.5, LOWER[0], UPPER[0])
  start = np.asarray([alpha, 0.0, 0.0, quantiles[2]])
  theta, slopes = _solve(statistics, observed, start, fixed)
  # Both members of a pair move the quantiles: their mean influence.
  members = _quantile_influence(pairs.ravel(), quantiles, theta)
  members = members.reshape(*pairs.shape, -1).mean(axis=1)
  of_quantiles = members @ _slope(_of_quantiles, quantiles).T
  deviations = logs - mean
  influences = np.stack(
    [
      deviations**2 - variance,
      of_quantiles[kept, 1],
      deviations,
      of_quantiles[kept, 3],
    ],
    axis=1,
  )
  return theta, _covariance(theta, slopes, influences, fixed)


def _of_quantiles(quantiles: np.ndarray) -> np.ndarray:
  """McCulloch's two shape ratios, and the width and middle."""
  low, lower, middle, upper, high = quantiles
  return np.asarray(
    [
      np.log((high - low) / (upper - lower)),
      (high + low - 2.0 * middle) / (high - low),
      np.log(upper - lower),
      middle,
    ]
  )


@jax.jit
def _standard_quantiles(alpha, beta):
  levels = jnp.asarray(LEVELS, jnp.float32)
  quantiles = distribution.quantile(levels, alpha, beta)
  return quantiles, density.log_prob(quantiles, alpha, beta)


def _law_quantiles(theta: np.ndarray) -> np.ndarray:
  alpha, beta, log_scale, loc = theta
  quantiles, _ = _standard_quantiles(jnp.float32(alpha), jnp.float32(beta))
  return loc + np.exp(log_scale) * np.asarray(quantiles, np.float64)


def _quantile_influence(
  samples: np.ndarray, quantiles: np.ndarray, theta: np.ndarray
) -> np.ndarray:
  """How each sample moves the sample quantiles, times n: [n, 5]."""
  _, log_prob = _standard_quantiles(
    jnp.float32(theta[0]), jnp.float32(theta[1])
  )
  densities = np.exp(np.asarray(log_prob, np.float64) - theta[2])
  # A quantile on the edge of the support has no standard error.
  densities = np.where(densities > 0.0, densities, np.nan)
  return (LEVELS - (samples[:, None] <= quantiles)) / densities


def _slope(function, at: np.ndarray, width: float = 1e-5) -> np.ndarray:
  """The derivatives [outputs, inputs] of a function of quantiles."""
  shifts = width * np.diag(1.0 + np.abs(at))
  rises = [function(at + shift) - function(at - shift) for shift in shifts]
  return np.stack(rises, axis=1) / (2.0 * np.diag(shifts))


def _solve(
  statistics: Callable[[np.ndarray], np.ndarray],
  observed: np.ndarray,
  start: np.ndarray,
  fixed: Mapping[int, float],
) -> tuple[np.ndarray, np.ndarray]:
  """The theta whose statistics are nearest the observed, and their slopes."""
  from scipy import optimize

  start = start.copy()
  start[list(fixed)] = list(fixed.values())
  free = [i for i in range(4) if i not in fixed]

  def full(part):
    theta = start.copy()
    theta[free] = part
    return theta

  def slope(part):
    columns = []
    for position in range(len(free)):
      # The quantile function is float32: its differences need wide steps.
      ends = np.stack([part, part])
      ends[:, position] += -_WIDTH, _WIDTH
      ends = np.clip(ends, LOWER[free], UPPER[free])
      rise = statistics(full(ends[1])) - statistics(full(ends[0]))
      columns.append(rise / (ends[1] - ends[0])[position])
    return np.stack(columns, axis=1)

  # The types of scipy know no function for `jac`.
  jacobian: Any = slope
  solution = optimize.least_squares(
    lambda part: statistics(full(part)) - observed,
    start[free],
    jac=jacobian,
    bounds=(LOWER[free], UPPER[free]),
    method="dogbox",
    xtol=1e-6,
    ftol=1e-10,
    gtol=1e-8,
    max_nfev=60,
  )
  slopes = np.zeros((4, 4))
  slopes[:, free] = solution.jac
  theta = full(solution.x)
  if theta[0] >= UPPER[0]:
    theta[1] = 0.0
  return theta, slopes


def _covariance(
  theta: np.ndarray,
  slopes: np.ndarray,
  influences: np.ndarray,
  fixed: Mapping[int, float],
) -> np.ndarray:
  """The delta method, over the parameters inside their ranges."""
  inside = (theta > LOWER) & (theta < UPPER)
  inside[1] &= theta[0] < UPPER[0]
  inside[list(fixed)] = False
  free = np.flatnonzero(inside)
  spread = influences.T @ influences / len(influences) ** 2
  covariance = np.full((4, 4), np.nan)
  if not np.all(np.isfinite(spread)):
    return covariance
  inverse = np.linalg.pinv(slopes[:, free])
  covariance[np.ix_(free, free)] = inverse @ spread @ inverse.T
  return covariance
