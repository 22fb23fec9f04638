"""How far a network's confidence can be trusted, and one number to mend it.

A network is calibrated if, of the predictions that it makes with confidence p,
a share p is right. Whether it is shows in bins of the confidence: of equal
width, in a reliability diagram, or of equal mass. Temperature scaling divides
the logits by one number, fitted on examples that are neither trained nor
tested on; no prediction changes, only its confidence does. All of it is done on
the host, in float64.
"""

import math
from typing import NamedTuple

import jax
import numpy as np

from jaxrobust.evaluation.probes import require_at_least, require_positive

BINS = 15
# Between which temperatures are sought. Logits that were trained towards 0 and
# 1 want one near 0.1, those of a network that memorised its labels one near 10.
_COLDEST, _HOTTEST = 0.01, 100.0


class Reliability(NamedTuple):
  """A reliability diagram, float64 [B] each.

  Attributes:
    edge: The upper edge of each bin ((b - 1) / B, b / B] of the confidence.
    share: The share of the examples that it holds.
    accuracy: The share of them that are right; not a number if it is empty.
    confidence: Their mean confidence; likewise.
  """

  edge: np.ndarray
  share: np.ndarray
  accuracy: np.ndarray
  confidence: np.ndarray


def equal_width_bins(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
  """Which of the bins ((b - 1) / B, b / B] each confidence lies in.

  Args:
    confidence: float [N], in [0, 1]; 0 goes to the first bin, and what
      rounding has put above 1 to the last.
    bins: The number of bins B, at least 1.

  Returns:
    int [N], from 0 to B - 1.

  Raises:
    ValueError: If there is no example or no bin.

  Example:
    >>> equal_width_bins(np.array([0.0, 0.5, 0.51, 1.0]), bins=2).tolist()
    [0, 0, 1, 1]
  """
  if len(confidence) < 1 or bins < 1:
    raise ValueError(
      f"{len(confidence)} examples, bins={bins}: must be at least 1"
    )
  confidence = np.asarray(confidence, np.float64)
  return np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(int)


def reliability(
  confidence: np.ndarray, hits: np.ndarray, bins: int = BINS
) -> Reliability:
  """The reliability diagram: accuracy against confidence, in bins of it.

  The share-weighted mean distance of the two over the bins is
  `expected_calibration_error`.

  Args:
    confidence: float [N], the largest predicted probability, in [0, 1].
    hits: bool or float [N], whether the prediction was right.
    bins: The number of bins B, at least 1.

  Returns:
    The diagram.

  Raises:
    ValueError: If there is no example or no bin.

  Example:
    >>> diagram = reliability(np.array([0.6, 0.9, 0.7]), [0, 1, 1], bins=4)
    >>> diagram.accuracy[2:].tolist(), diagram.edge[2:].tolist()
    ([0.5, 1.0], [0.75, 1.0])

  References:
    Guo et al., `On Calibration of Modern Neural Networks
    <https://arxiv.org/abs/1706.04599>`_, 2017, Eqs. 2 and 3.
  """
  confidence = np.asarray(confidence, np.float64)
  which = equal_width_bins(confidence, bins)
  sizes = np.bincount(which, minlength=bins)

  def means(values: np.ndarray) -> np.ndarray:
    sums = np.bincount(which, weights=values, minlength=bins)
    return np.divide(sums, sizes, out=np.full(bins, np.nan), where=sizes > 0)

  return Reliability(
    edge=np.arange(1, bins + 1) / bins,
    share=sizes / len(confidence),
    accuracy=means(np.asarray(hits, np.float64)),
    confidence=means(confidence),
  )


def adaptive_calibration_error(
  confidence: np.ndarray, hits: np.ndarray, bins: int = BINS
) -> float:
  """The gap between confidence and accuracy, over bins of equal mass.

    AdaECE = sum_b (n_b / n) |accuracy_b - mean confidence_b|

  with bins of the sorted confidence that hold the same number of examples, but
  for one. A good network's confidences crowd into the last bin of equal width,
  where overconfident and underconfident examples cancel; here they do not.

  Examples with the same confidence, as float32 makes many of 1, share their
  mean accuracy, so that the result does not depend on the examples' order.

  Args:
    confidence: float [N], the largest predicted probability, in [0, 1].
    hits: bool or float [N], whether the prediction was right.
    bins: The number of bins, at least 1; N if there are fewer examples.

  Returns:
    The error, in [0, 1].

  Raises:
    ValueError: If there is no example or no bin.

  Example:
    >>> confidence = np.array([0.6, 0.8, 0.9, 1.0])
    >>> error = adaptive_calibration_error(confidence, [1, 1, 1, 0], bins=2)
    >>> round(error, 3)  # 0.3 and 0.45
    0.375

  References:
    Mukhoti et al., `Calibrating Deep Neural Networks using Focal Loss
    <https://arxiv.org/abs/2002.09437>`_, 2020; after Nguyen and O'Connor,
    `Posterior calibration <https://arxiv.org/abs/1508.05154>`_, 2015.
  """
  count = len(confidence)
  if count < 1 or bins < 1:
    raise ValueError(f"{count} examples, bins={bins}: must be at least 1")
  levels, which, sizes = np.unique(
    np.asarray(confidence, np.float64), return_inverse=True, return_counts=True
  )
  right = np.bincount(which, weights=np.asarray(hits, np.float64))
  gap = np.repeat(right / sizes - levels, sizes)
  parts = np.array_split(gap, min(bins, count))
  return float(sum(abs(part.sum()) for part in parts) / count)


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
  """The squared distance of the predicted probabilities from the labels.

    BS = (1/n) sum_i sum_k (p_ik - [k = y_i])^2

  A proper score: calibration and sharpness both lower it. Probabilities that
  are not numbers count 2, the worst.

  Args:
    probabilities: float [N, K].
    labels: int [N].

  Returns:
    The score, in [0, 2]. For two classes it is twice the score of one of them.

  Raises:
    ValueError: If there is no example, or a label is none of the K classes.

  Example:
    >>> brier_score(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0]))
    0.25

  References:
    Brier, Verification of forecasts expressed in terms of probability, Monthly
    Weather Review 78, 1950, Eq. 2.
  """
  probabilities = np.asarray(probabilities, np.float64)
  labels = _checked_labels(probabilities, labels)
  picked = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
  scores = (probabilities**2).sum(1) - 2 * picked + 1
  return float(np.where(np.isnan(scores), 2.0, scores).mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
  """The temperature that makes held-out labels the likeliest.

    T = argmin_T (1/n) sum_i -log softmax(z_i / T)_{y_i}

  In b = 1 / T this is convex, and its slope, the mean over examples of
  E_p[z] - z_y with p = softmax(b z), is zero at the minimum. Three cases have
  no minimum, and get the nearest there is:

    * every label has the largest logit of its example: the colder the
      likelier, and T = 0.01, the lower bound;
    * the labels' logits are on average no higher than the others, so that no
      temperature is as good as saying nothing: T = 100, the upper bound;
    * the logits of each example are all the same: nothing depends on T, and
      T = 1.

  Args:
    logits: float [N, K], of examples that were not trained on.
    labels: int [N].

  Returns:
    The temperature, in [0.01, 100]: above 1 if the network is overconfident.

  Raises:
    ValueError: If there is no example, a logit is not finite, or a label is
      none of the K classes.

  Example:
    >>> logits = np.array([[2.0, 0.0]] * 4)  # So sure: 88 %; so right: 75 %.
    >>> round(fit_temperature(logits, np.array([0, 0, 0, 1])), 4)  # 2 / log 3
    1.8205

  References:
    Guo et al., `On Calibration of Modern Neural Networks
    <https://arxiv.org/abs/1706.04599>`_, 2017, Eq. 9.
  """
  from scipy import optimize, special

  logits = np.asarray(logits, np.float64)
  labels = _checked_labels(logits, labels)
  if not np.isfinite(logits).all():
    broken = int((~np.isfinite(logits)).any(1).sum())
    raise ValueError(f"logits of {broken} examples: must be finite numbers")
  # Less the label's: exact where it counts, in the tails of a sure network.
  ahead = logits - np.take_along_axis(logits, labels[:, None], axis=1)
  if not np.ptp(logits, axis=1).any():
    return 1.0

  def slope(log_temperature: float) -> float:
    p = special.softmax(ahead * math.exp(-log_temperature), axis=1)
    return float((p * ahead).sum(1).mean())

  coldest, hottest = math.log(_COLDEST), math.log(_HOTTEST)
  # The slope falls as it gets warmer. Of labels that all have the largest logit
  # it is negative everywhere, until it is rounded to zero.
  if slope(coldest) <= 0:
    return _COLDEST
  if slope(hottest) >= 0:
    return _HOTTEST
  found = optimize.root_scalar(
    slope, bracket=(coldest, hottest), method="brentq", xtol=1e-10
  )
  return math.exp(found.root)


def apply_temperature(
  logits: jax.Array, temperature: float | jax.Array
) -> jax.Array:
  """Logits at another temperature.

  Args:
    logits: float [..., K].
    temperature: T > 0, as `fit_temperature` gives it.

  Returns:
    logits / T.

  Raises:
    ValueError: If the temperature is not positive and finite.

  Example:
    >>> apply_temperature(np.array([4.0, 0.0]), 2.0).tolist()
    [2.0, 0.0]
  """
  require_positive(temperature=temperature)
  return logits / temperature


def _checked_labels(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Refuses labels [N] that are no classes of scores [N, K]."""
  labels = np.asarray(labels)
  if scores.ndim != 2 or labels.shape != scores.shape[:1]:
    raise ValueError(
      f"labels of shape {labels.shape}: must be [N], of scores [N, K] of shape "
      f"{scores.shape}"
    )
  require_at_least(1, examples=len(labels))
  if labels.min() < 0 or labels.max() >= scores.shape[1]:
    raise ValueError(
      f"labels from {labels.min()} to {labels.max()}: must be from 0 to "
      f"{scores.shape[1] - 1}"
    )
  return labels
