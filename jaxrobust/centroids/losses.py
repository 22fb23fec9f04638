"""The losses on class centroids: per class, over the whole mapped axis.

Every loss gives one value per class, 0 for a class that is not in the batch;
`mean_over_classes` makes the number to minimise of them.
"""

import jax
import jax.numpy as jnp

from jaxrobust.centroids.boundaries import nearest_boundary
from jaxrobust.centroids.state import ClassSums


def compactness(
  features: jax.Array,
  labels: jax.Array,
  means: jax.Array,
  counts: jax.Array,
  *,
  delta_v: float,
  mask: jax.Array | None = None,
  axis_name: str | None = None,
) -> jax.Array:
  """How far the examples of a class stand out of a ball about its centroid.

    1/n_c sum_{i: y_i = c} [|q_i - m_c| - delta_v]_+^2

  Args:
    features: [N, d], of any float type; the distances are float32.
    labels: int32 [N], in [0, K).
    means: float32 [K, d], the centroids m.
    counts: float32 [K], the number n of examples over all devices.
    delta_v: The radius of the ball, >= 0, in units of the features.
    mask: [N], nonzero for a real example and 0 for padding; None if all are
      real.
    axis_name: The mapped axis over whose devices to sum; None for this one.

  Returns:
    float32 [K].

  Example:
    >>> compactness(
    ...   jnp.asarray([[0.0], [3.0]]), jnp.asarray([0, 0]), jnp.zeros((2, 1)),
    ...   jnp.asarray([2.0, 0.0]), delta_v=1.0,
    ... )
    Array([2., 0.], dtype=float32)

  References:
    Nguyen et al., arXiv:2405.18499, equation (8).
  """
  features = features.astype(jnp.float32)
  member = labels[:, None] == jnp.arange(len(means))
  if mask is not None:
    real = (mask != 0)[:, None]
    member &= real
    # Padding may hold NaN, whose gradient would be NaN even if not counted.
    features = jnp.where(real, features, 0.0)
  distance = safe_norm(features - jnp.asarray(means)[labels])
  outside = jax.nn.relu(distance - delta_v) ** 2
  sums = jnp.sum(jnp.where(member, outside[:, None], 0.0), axis=0)
  if axis_name is not None:
    sums = jax.lax.psum(sums, axis_name)
  return sums / jnp.maximum(counts, 1.0)


def alignment(
  noisy_features: jax.Array,
  labels: jax.Array,
  means: jax.Array,
  counts: jax.Array,
  *,
  delta_v: float,
  mask: jax.Array | None = None,
  axis_name: str | None = None,
) -> jax.Array:
  """Draws the noisy view of a class to the centroid of its clean features.

    1/n_c sum_{i: y_i = c} [|q~_i - m_c| - delta_v]_+^2

  It is `compactness` of the noisy features; the centroids know clean ones only.

  Args:
    noisy_features: [N, d], of the noisy view.
    labels: As for `compactness`.
    means: As for `compactness`, of clean features.
    counts: As for `compactness`.
    delta_v: As for `compactness`.
    mask: As for `compactness`.
    axis_name: As for `compactness`.

  Returns:
    float32 [K].

  Example:
    >>> alignment(
    ...   jnp.asarray([[2.0]]), jnp.asarray([1]), jnp.zeros((2, 1)),
    ...   jnp.asarray([0.0, 1.0]), delta_v=0.5,
    ... )
    Array([0.  , 2.25], dtype=float32)

  References:
    Nguyen et al., arXiv:2405.18499, the noisy alignment.
  """
  return compactness(
    noisy_features,
    labels,
    means,
    counts,
    delta_v=delta_v,
    mask=mask,
    axis_name=axis_name,
  )


def margin(
  batch: ClassSums, kernel: jax.Array, bias: jax.Array, *, delta_d: float
) -> tuple[jax.Array, jax.Array]:
  """How much the naive centroid of a class lacks of its margin.

    [delta_d - min_{j != c} d_cj]_+

  with the signed distances d_cj of the batch's naive centroids to the head's
  boundaries with all other classes, present or not. The hinge is not squared.
  Gradients reach the features, at full strength, and the head; detach kernel
  and bias to keep them from it.

  Args:
    batch: The naive centroids, over all devices.
    kernel: float32 [d, K], the head's.
    bias: float32 [K].
    delta_d: The margin, in units of the features.

  Returns:
    float32 [K], and int32 [], the number of pairs of a present class and
    another that have no boundary because their rows in the head are equal.
    A class without any boundary has loss 0.

  Example:
    >>> from jaxrobust.centroids.state import class_sums
    >>> batch = class_sums(jnp.asarray([[3.0]]), jnp.asarray([0]), 2)
    >>> margin(batch, jnp.asarray([[1.0, -1.0]]), jnp.zeros(2), delta_d=5.0)
    (Array([2., 0.], dtype=float32), Array(0, dtype=int32))

  References:
    Nguyen et al., arXiv:2405.18499, the margin loss.
  """
  classes = jnp.arange(kernel.shape[1])
  distance, missing = nearest_boundary(
    batch.means,
    classes,
    kernel.astype(jnp.float32),
    bias.astype(jnp.float32),
  )
  # relu's gradient at the hinge is 0, maximum's would be a half.
  short = jnp.where(batch.present, jax.nn.relu(delta_d - distance), 0.0)
  return short, jnp.sum(jnp.where(batch.present, missing, 0))


def regulariser(means: jax.Array, present: jax.Array) -> jax.Array:
  """The length |m_c| of the centroid of each class that is present.

  Args:
    means: float32 [K, d], the centroids.
    present: bool [K], whether a class is in the batch.

  Returns:
    float32 [K].

  Example:
    >>> regulariser(jnp.asarray([[3.0, 4.0], [1.0, 0.0]]),
    ...             jnp.asarray([True, False]))
    Array([5., 0.], dtype=float32)

  References:
    Nguyen et al., arXiv:2405.18499, the regulariser.
  """
  return jnp.where(present, safe_norm(means), 0.0)


def mean_over_classes(values: jax.Array, present: jax.Array) -> jax.Array:
  """The mean of per-class losses over the classes present: 1/|C| sum_{c in C}.

  Args:
    values: float32 [K].
    present: bool [K].

  Returns:
    float32 []; 0 if no class is present.

  Example:
    >>> mean_over_classes(jnp.asarray([4.0, 9.0]), jnp.asarray([True, False]))
    Array(4., dtype=float32)
  """
  total = jnp.sum(jnp.where(present, values, 0.0))
  return total / jnp.maximum(jnp.sum(present), 1)


def safe_norm(vectors: jax.Array) -> jax.Array:
  """Euclidean lengths along the last axis, with gradient 0 at the origin.

  Args:
    vectors: float32 [..., d].

  Returns:
    float32 [...].

  Example:
    >>> jax.grad(lambda v: safe_norm(v))(jnp.zeros(2)).tolist()
    [0.0, 0.0]
  """
  squared = jnp.sum(vectors**2, axis=-1)
  positive = squared > 0
  # Both branches of a selection must have a gradient.
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)
