"""The class centroids: what a batch says of them, and how they follow it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Centroids(NamedTuple):
  """A momentum centroid per class, float32 whatever the features are.

  Attributes:
    means: float32 [K, d], the centroids; zero for a class not seen yet.
    seen: bool [K], whether a class was ever in a batch.
    counts: int32 [K], how many examples of it there were.
  """

  means: jax.Array
  seen: jax.Array
  counts: jax.Array


class ClassSums(NamedTuple):
  """What a batch says of its classes; the arrays of several batches add up.

  Attributes:
    sums: float32 [K, d], the sum of the features of each class.
    counts: float32 [K], its number of examples.
  """

  sums: jax.Array
  counts: jax.Array

  @property
  def means(self) -> jax.Array:
    """float32 [K, d], the naive centroids; zero for an absent class."""
    return self.sums / jnp.maximum(self.counts, 1.0)[:, None]

  @property
  def present(self) -> jax.Array:
    """Whether there is an example of the class, bool [K]."""
    return self.counts > 0


def init(num_classes: int, dimension: int) -> Centroids:
  """The centroids before any batch: none is seen.

  Args:
    num_classes: The number of classes K.
    dimension: The width d of the features.

  Returns:
    The centroids.

  Example:
    >>> init(3, 2).means.shape
    (3, 2)
  """
  return Centroids(
    means=jnp.zeros((num_classes, dimension), jnp.float32),
    seen=jnp.zeros((num_classes,), bool),
    counts=jnp.zeros((num_classes,), jnp.int32),
  )


def class_sums(
  features: jax.Array,
  labels: jax.Array,
  num_classes: int,
  *,
  mask: jax.Array | None = None,
  axis_name: str | None = None,
) -> ClassSums:
  """Sums the features of each class over the batch: the naive centroids.

    n_c = sum_i [y_i = c],  m^_c = 1/n_c sum_{i: y_i = c} q_i

  Args:
    features: [N, d], of any float type; summed in float32.
    labels: int32 [N], in [0, K).
    num_classes: The number of classes K.
    mask: [N], nonzero for a real example and 0 for padding; None if all are
      real.
    axis_name: The mapped axis over whose devices to sum; None for this one.

  Returns:
    The sums; their `means` carry the gradient to the features.

  Example:
    >>> sums = class_sums(
    ...   jnp.asarray([[1.0], [3.0], [9.0]]), jnp.asarray([0, 0, 2]), 3
    ... )
    >>> sums.means[:, 0].tolist(), sums.present.tolist()
    ([2.0, 0.0, 9.0], [True, False, True])

  References:
    Nguyen et al., arXiv:2405.18499, section 4.
  """
  features = features.astype(jnp.float32)
  member = labels[:, None] == jnp.arange(num_classes)
  if mask is not None:
    real = mask != 0
    member &= real[:, None]
    # Padding may hold anything: 0 * NaN would be NaN.
    features = jnp.where(real[:, None], features, 0.0)
  member = member.astype(jnp.float32)
  # A product of matrices: on a CPU ten times faster than scattered sums.
  sums = jnp.matmul(member.T, features, precision="highest")
  total = ClassSums(sums, member.sum(axis=0))
  return total if axis_name is None else jax.lax.psum(total, axis_name)


def update(
  centroids: Centroids, batch: ClassSums, momentum: float
) -> Centroids:
  """Moves the centroids of the classes that are in a batch towards it.

    m_c <- gamma stop(m_c) + (1 - gamma) m^_c   if seen before
    m_c <- m^_c                                 at first sight

  The stored centroids pass no gradient, the batch's share of the new ones
  does. Centroids of absent classes stay as they are, to the bit.

  Args:
    centroids: Those so far.
    batch: The sums of the batch, over all devices.
    momentum: gamma, in [0, 1]; 0 for the naive centroids.

  Returns:
    The new centroids.

  Example:
    >>> seen = jnp.ones(2, bool)
    >>> old = init(2, 1)._replace(means=jnp.ones((2, 1)), seen=seen)
    >>> batch = class_sums(jnp.asarray([[3.0]]), jnp.asarray([1]), 2)
    >>> update(old, batch, momentum=0.75).means[:, 0].tolist()
    [1.0, 1.5]

  References:
    Nguyen et al., arXiv:2405.18499, "partial momentum", section 4.
  """
  old = jax.lax.stop_gradient(centroids.means)
  moved = momentum * old + (1 - momentum) * batch.means
  here, before = batch.present[:, None], centroids.seen[:, None]
  means = jnp.where(here, jnp.where(before, moved, batch.means), old)
  return Centroids(
    means=means,
    seen=centroids.seen | batch.present,
    counts=centroids.counts + batch.counts.astype(jnp.int32),
  )
