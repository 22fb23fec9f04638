"""Of several noisy copies of an image, how many are recognised; and curvature.

An image's robustness count says how often it is still recognised; the paper
sets the curvature of the loss at the clean image against it.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.attacks.ascent import LogitsFn
from jaxrobust.evaluation import probes
from jaxrobust.evaluation.perturbations import judge

DRAWS = 10


class Groups(NamedTuple):
  """Curvature by robustness count.

  Attributes:
    sizes: int [draws + 1], how many images have each count.
    means: float [draws + 1], their mean curvature; not a number if none has.
    pearson: The correlation of curvature and count over the images; not a
      number if either is the same for all, here and below.
    pearson_of_groups: That of the mean curvature of a group and its count,
      over the groups from count 1 on that have an image: the authors' figure.
    spearman: The correlation of the ranks of the images, which a few huge
      curvatures do not rule.
  """

  sizes: np.ndarray
  means: np.ndarray
  pearson: float
  pearson_of_groups: float
  spearman: float


def robustness_count(
  keys: jax.Array,
  logits_fn: LogitsFn,
  inputs: jax.Array,
  labels: jax.Array,
  *,
  std: float | jax.Array,
  draws: int = DRAWS,
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> jax.Array:
  """How many independently noisy copies of each example are recognised.

  Args:
    keys: [N] typed keys, one per example.
    logits_fn: From inputs [N, ...] to logits [N, K]; an example's logits must
      not depend on the others.
    inputs: float32 [N, ...].
    labels: int32 [N].
    std: The standard deviation of the Gaussian noise, in units of the input.
    draws: The number of copies.
    low: What noisy elements are clipped to from below; None for no bound.
    high: The same from above.

  Returns:
    int32 [N], from 0 to `draws`.

  Raises:
    ValueError: If `std`, `draws` or the keys' shape is out of range.

  Example:
    >>> logits_fn = lambda x: jnp.concatenate([x, 0.5 - x], axis=1)
    >>> robustness_count(
    ...   jax.random.split(jax.random.key(0), 2),
    ...   logits_fn,
    ...   jnp.asarray([[0.9], [0.1]]),
    ...   jnp.asarray([0, 0]),
    ...   std=0.01,
    ... ).tolist()
    [10, 0]

  References:
    `arXiv:2405.18499 <https://arxiv.org/abs/2405.18499>`_, section 6.
  """
  probes.require_positive(std=std)
  probes.require_at_least(1, draws=draws)
  noise = probes.normal(keys, inputs, draws)
  noisy = jnp.clip(inputs + std * noise, low, high)

  def hits(x, labels):
    return judge(logits_fn(x), labels)["hits"]

  return probes.on_all(hits, labels)(noisy).sum(axis=0, dtype=jnp.int32)


def robustness_groups(
  curvatures: np.ndarray, counts: np.ndarray, draws: int = DRAWS
) -> Groups:
  """Groups images by their robustness count.

  Args:
    curvatures: float [N], any measure of each image's curvature.
    counts: int [N], as `robustness_count` gives them.
    draws: The largest count there can be.

  Returns:
    The groups, and how curvature and count go together.

  Raises:
    ValueError: If a count is out of range.

  Example:
    >>> groups = robustness_groups(
    ...   np.asarray([4.0, 2.0, 1.0]), np.asarray([1, 2, 2]), draws=2
    ... )
    >>> groups.sizes.tolist(), groups.means.tolist()
    ([0, 1, 2], [nan, 4.0, 1.5])
    >>> round(groups.pearson, 3)
    -0.945
  """
  from scipy import stats

  curvatures, counts = np.asarray(curvatures, np.float64), np.asarray(counts)
  if len(counts) and not (0 <= counts.min() and counts.max() <= draws):
    raise ValueError(
      f"counts from {counts.min()} to {counts.max()}: must be from 0 to {draws}"
    )
  sizes = np.bincount(counts, minlength=draws + 1)
  sums = np.bincount(counts, weights=curvatures, minlength=draws + 1)
  means = np.divide(
    sums, sizes, out=np.full(draws + 1, np.nan), where=sizes > 0
  )
  there = 1 + np.flatnonzero(sizes[1:])
  return Groups(
    sizes,
    means,
    pearson=_correlation(curvatures, counts),
    pearson_of_groups=_correlation(means[there], there),
    spearman=_correlation(stats.rankdata(curvatures), stats.rankdata(counts)),
  )


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
  if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
    return math.nan
  return float(np.corrcoef(x, y)[0, 1])
