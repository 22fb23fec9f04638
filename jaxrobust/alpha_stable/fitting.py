"""Which stable law do samples have? Three estimators with standard errors."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jaxrobust.alpha_stable import matching
from jaxrobust.alpha_stable.law import AlphaStable
from jaxrobust.alpha_stable.likelihood import (
  LOWEST_ALPHA,
  UPPER,
  Likelihood,
  maximise,
)

Method = Literal["mle", "log_moments", "quantiles"]
METHODS: tuple[Method, ...] = ("mle", "quantiles", "log_moments")

FEWEST = 20
_MANY_TIES = 0.1
_MATCHING = {
  "quantiles": matching.by_quantiles,
  "log_moments": matching.by_log_moments,
}


class StandardErrors(NamedTuple):
  """Standard errors of a fit's parameters; NaN where there is none."""

  alpha: float
  beta: float
  scale: float
  loc: float


@dataclasses.dataclass(frozen=True)
class Fit:
  """A stable law fitted to samples.

  Attributes:
    law: the fitted law; its parameters are Python numbers, its loc is S0's.
    standard_errors: of alpha, beta, scale and loc, in the samples' units. NaN
      for a parameter that was fixed (beta of a symmetric fit), that lies at
      the end of its range (alpha = 2, beta = -1 or 1; the others' are then
      conditional on it), or that the law does not determine (beta at
      alpha = 2).
    n: how many samples were used.
    method: 'mle', 'log_moments' or 'quantiles'.
    log_likelihood: the sum of log-densities of the samples under the law (for
      clipped samples, of log-probabilities).
    converged: whether the search ended; always true for closed forms.
    notes: what a reader should know of this fit, a sentence each.
  """

  law: AlphaStable
  standard_errors: StandardErrors
  n: int
  method: str
  log_likelihood: float
  converged: bool
  notes: tuple[str, ...] = ()


def fit(
  samples: Any,
  method: Method = "mle",
  *,
  alpha: float | None = None,
  symmetric: bool = False,
  limits: tuple[Any, Any] | None = None,
) -> Fit:
  """Fits an alpha-stable law to independent samples.

  Maximum likelihood is the most accurate of the three, and the only one for
  clipped samples; see `likelihood`. Quantiles (McCulloch) and log moments
  need no density, see `matching`; the first is robust to a few samples that
  follow no stable law, the second is fastest, and its standard error of alpha
  is about twice maximum likelihood's.

  Samples that were rounded to a grid wider than about a tenth of the scale
  bias every method, log moments first (a zero has no logarithm and is left
  out); where more than 10 % of the samples repeat another, a note says so.
  Clipped samples look light-tailed: pass `limits`.

  Args:
    samples: array of any shape, in any unit, with at least 20 finite values.
    method: 'mle', 'log_moments' or 'quantiles'.
    alpha: fix the tail index, for instance at 2 for the best Gaussian.
    symmetric: fix beta at 0.
    limits: (lower, upper), arrays that broadcast to the samples' shape:
      samples at or beyond a limit stand for variates that lie there or
      farther. For x~ = clip(x + noise, 0, 1) and samples x~ - x they are
      (-x, 1 - x). Maximum likelihood only.

  Returns:
    The fit. Its alpha is at least 0.2.

  Raises:
    ValueError: an argument is out of range, `samples` are too few, not finite
      or (more than half of them) equal.

  Example:
    >>> from jaxrobust.alpha_stable import sample
    >>> noise = sample(jax.random.key(0), 1.5, scale=0.1, shape=(1000,))
    >>> found = fit(noise, "log_moments", symmetric=True)
    >>> abs(found.law.alpha - 1.5) < 3 * found.standard_errors.alpha
    True

  References:
    J. P. Nolan, Maximum likelihood estimation and diagnostics for stable
    distributions, in: Lévy Processes, Birkhäuser 2001.
  """
  if method not in METHODS:
    raise ValueError(f"method must be one of {METHODS}, got {method!r}")
  fixed = _fixed(alpha, symmetric)
  array = _checked(samples)
  side = None
  if limits is not None:
    if method != "mle":
      raise ValueError(f"limits need method 'mle', got method {method!r}")
    array, side = _censor(array, np.shape(samples), limits)
    side = side if side.any() else None
  exact = array if side is None else array[side == 0]
  loc, unit = _location_and_unit(exact)
  standard = (array - loc) / unit
  likelihood = Likelihood(standard, side, gaussian=alpha == UPPER[0])
  if method == "mle":
    guess = np.asarray([1.5, 0.0, 0.0, 0.0])
    if side is None:
      guess, _ = matching.by_quantiles(standard, fixed)
    best = maximise(likelihood, _inside(guess), fixed)
    theta, covariance = best.theta, best.covariance
    value, converged = best.log_likelihood, best.converged
  else:
    theta, covariance = _MATCHING[method](standard, fixed)
    value, _ = likelihood.scores(theta)
    converged = True
  tail_index, beta, log_scale, center = map(float, theta)
  scale = float(np.exp(log_scale)) * unit
  errors = np.sqrt(np.diag(covariance)) * [1.0, 1.0, scale, unit]
  return Fit(
    law=AlphaStable(tail_index, beta, scale, loc + unit * center),
    standard_errors=StandardErrors(*map(float, errors)),
    n=len(array),
    method=method,
    log_likelihood=value - len(exact) * float(np.log(unit)),
    converged=converged,
    notes=tuple(_notes(exact, theta, fixed, converged)),
  )


def _fixed(alpha: float | None, symmetric: bool) -> Mapping[int, float]:
  """The parameters that are known, by position."""
  fixed = {}
  if alpha is not None:
    if not LOWEST_ALPHA <= alpha <= UPPER[0]:
      raise ValueError(f"alpha must be in [{LOWEST_ALPHA}, 2], got {alpha}")
    fixed[0] = float(alpha)
  if symmetric or alpha == UPPER[0]:
    fixed[1] = 0.0
  return fixed


def _checked(samples: Any) -> np.ndarray:
  array = np.asarray(samples)
  if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
    # Extension floats such as bfloat16 are no NumPy numbers.
    if not jax.numpy.issubdtype(array.dtype, jax.numpy.floating):
      raise ValueError(f"samples must be real numbers, got {array.dtype}")
  array = np.asarray(array, np.float64).ravel()
  if len(array) < FEWEST:
    raise ValueError(
      f"samples must have at least {FEWEST} values, got {len(array)}"
    )
  finite = np.isfinite(array)
  if not finite.all():
    raise ValueError(f"samples must be finite, got {array[~finite][0]}")
  return array


def _censor(
  array: np.ndarray, shape: tuple[int, ...], limits: tuple[Any, Any]
) -> tuple[np.ndarray, np.ndarray]:
  """The samples cut at their limits, and which are: -1 low, 1 high, 0 not."""
  lower, upper = (
    np.broadcast_to(np.asarray(limit, np.float64), shape).ravel()
    for limit in limits
  )
  if not np.all(lower < upper):
    raise ValueError("limits must be (lower, upper) with lower < upper")
  side = (array >= upper).astype(np.int32) - (array <= lower)
  if np.sum(side == 0) < FEWEST:
    raise ValueError(
      f"limits must leave at least {FEWEST} samples between them, got "
      f"{np.sum(side == 0)}"
    )
  return np.clip(array, lower, upper), side


def _location_and_unit(samples: np.ndarray) -> tuple[float, float]:
  """The median, and half the width between the quartiles."""
  low, middle, high = np.quantile(samples, [0.25, 0.5, 0.75])
  if not high > low:
    raise ValueError(
      f"samples must vary, got {np.mean(samples == middle):.0%} equal to "
      f"{middle:g}"
    )
  return float(middle), float(0.5 * (high - low))


def _inside(theta: np.ndarray) -> np.ndarray:
  """A start from which every parameter can be seen to move the likelihood."""
  theta = theta.copy()
  theta[0] = np.clip(theta[0], 0.3, 1.95)
  theta[1] = np.clip(theta[1], -0.9, 0.9)
  return theta


def _notes(
  samples: np.ndarray,
  theta: np.ndarray,
  fixed: Mapping[int, float],
  converged: bool,
) -> Sequence[str]:
  """What a reader should know of a fit."""
  notes = []
  ties = 1.0 - len(np.unique(samples)) / len(samples)
  if ties > _MANY_TIES:
    notes.append(
      f"{ties:.0%} of the samples repeat another: rounded or clipped samples "
      "bias the fit"
    )
  if theta[0] >= UPPER[0] and 0 not in fixed:
    notes.append("alpha is at 2 (Gaussian): no standard error, and no beta")
  elif theta[0] <= LOWEST_ALPHA and 0 not in fixed:
    notes.append(f"alpha is at {LOWEST_ALPHA}, the least that is fitted")
  elif abs(theta[1]) >= 1.0:
    notes.append(f"beta is at {theta[1]:g}: no standard error of beta")
  if not converged:
    notes.append("the search for the largest likelihood did not end")
  return notes
