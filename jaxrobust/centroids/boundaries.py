"""Distances of points to the boundaries between classes of a linear head.

No array is K x K x d: the distances of all pairs come from one Gram matrix,
and what is returned for the nearest boundary is computed again from the two
rows themselves, so that it is exact where the Gram matrix is not.
"""

import jax
import jax.numpy as jnp

# Rows are told apart if |w_c - w_j|^2 exceeds so much of |w_c|^2 + |w_j|^2:
# the Gram matrix is right to about a fifth of it in float32.
_APART = 1e-6


def signed_distances(
  points: jax.Array, classes: jax.Array, kernel: jax.Array, bias: jax.Array
) -> jax.Array:
  """The signed distance of each point to the boundary with every class.

    d_mj = ((w_c - w_j) . x_m + b_c - b_j) / |w_c - w_j|,   c = c_m

  positive where the head prefers the point's own class c.

  Args:
    points: float32 [M, d], in the space of the features.
    classes: int32 [M], the class of each point.
    kernel: float32 [d, K], the head's; its columns are the w.
    bias: float32 [K].

  Returns:
    float32 [M, K]; infinite for the own class and for a class whose w is the
    own one's, with which there is no boundary. Where w_c and w_j differ by
    less than a hundredth of their lengths, rounding shows in the distance:
    `nearest_boundary` has it exact.

  Example:
    >>> kernel = jnp.asarray([[1.0, -1.0], [0.0, 0.0]])
    >>> signed_distances(
    ...   jnp.asarray([[3.0, 7.0]]), jnp.asarray([0]), kernel, jnp.zeros(2)
    ... )
    Array([[inf,  3.]], dtype=float32)

  References:
    Nguyen et al., arXiv:2405.18499, the margin loss.
  """
  ahead, squared, apart = _pairs(points, classes, kernel, bias)
  # Both branches of a selection must have a gradient.
  gap = jnp.sqrt(jnp.where(apart, squared, 1.0))
  return jnp.where(apart, ahead / gap, jnp.inf)


def nearest_boundary(
  points: jax.Array, classes: jax.Array, kernel: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The signed distance of each point to the nearest boundary of its class.

    d_m = min_{j != c_m} d_mj,   d_mj as in `signed_distances`

  It has gradients for points, kernel and bias; of boundaries at the same
  distance the first counts. The gradient for the kernel grows as
  1 / |w_c - w_j|^2.

  Args:
    points: As for `signed_distances`.
    classes: As for `signed_distances`.
    kernel: As for `signed_distances`.
    bias: As for `signed_distances`.

  Returns:
    float32 [M], infinite for a point whose class has no boundary, as with a
    head of zeros; and int32 [M], the number of classes with which its class
    has no boundary.

  Example:
    >>> kernel = jnp.asarray([[1.0, -1.0, 1.0], [0.0, 0.0, 1.0]])
    >>> nearest_boundary(
    ...   jnp.asarray([[3.0, 7.0]]), jnp.asarray([0]), kernel, jnp.zeros(3)
    ... )
    (Array([-7.], dtype=float32), Array([0], dtype=int32))

  References:
    Nguyen et al., arXiv:2405.18499, the margin loss.
  """
  ahead, squared, apart = _pairs(
    *jax.lax.stop_gradient((points, classes, kernel, bias))
  )
  rough = ahead / jnp.sqrt(jnp.where(apart, squared, 1.0))
  other = jnp.argmin(jnp.where(apart, rough, jnp.inf), axis=1)
  rows, bias = jnp.asarray(kernel).T, jnp.asarray(bias)
  across = rows[classes] - rows[other]
  squared = jnp.sum(across**2, axis=1)
  usable = apart.any(axis=1) & (squared != 0)
  ahead = jnp.sum(points * across, axis=1) + bias[classes] - bias[other]
  distance = ahead / jnp.sqrt(jnp.where(usable, squared, 1.0))
  missing = kernel.shape[1] - 1 - apart.sum(axis=1, dtype=jnp.int32)
  return jnp.where(usable, distance, jnp.inf), missing


def _pairs(
  points: jax.Array, classes: jax.Array, kernel: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Of a point and every class: the lead in score, |w_c - w_j|^2, if it counts.

  Each is [M, K]; what does not count is the own class, and a class whose w
  cannot be told from the own one's.
  """
  # What all classes have in common drops out of every difference.
  rows = (kernel - kernel.mean(axis=1, keepdims=True)).T
  gram = jnp.matmul(rows, rows.T, precision="highest")
  lengths = jnp.diagonal(gram)
  both = lengths[classes][:, None] + lengths[None, :]
  squared = both - 2 * gram[classes]
  own = classes[:, None] == jnp.arange(len(rows))
  # What is not a number is not equal: it shall be seen in the loss.
  apart = ~(squared <= _APART * both) & ~own
  scores = jnp.matmul(points, rows.T, precision="highest")
  scores += bias - bias.mean()
  lead = jnp.take_along_axis(scores, classes[:, None], axis=1) - scores
  return lead, squared, apart
