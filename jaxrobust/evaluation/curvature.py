"""Curvature of the loss in the input: of each example, in input units.

The loss is the cross-entropy of one example, never the mean of a batch, and
its Hessian is taken in the input as it stands: images in [0, 1], before the
model's own normalisation. A curvature per normalised unit is that of a pixel
times the channel's standard deviation, once for each derivative.

The paper's authors take the mean over the batch, so that their gradients are
1/B of these and their squared curvatures carry 1/B^2; and they measure per
normalised unit. Numbers of both are not to be compared, ratios are.

All functions take a batch at once, and an example's numbers do not depend on
the others. Probes become part of the batch, because XLA's CPU backend is slow
at convolutions within a loop: who has many examples calls them with a few at a
time, as `training.curving` does.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrobust.attacks.ascent import LogitsFn
from jaxrobust.attacks.objectives import cross_entropy
from jaxrobust.evaluation import probes as probing


class Spectrum(NamedTuple):
  """The positive part of a Hessian, of each example.

  Attributes:
    eigenvalues: float32 [N, K], falling; one of the K is 0, and so are all the
      others of the input's dimensions.
    frobenius_squared: float32 [N], the sum of their squares.
    trace: float32 [N], their sum.
    top: float32 [N], the largest.
  """

  eigenvalues: jax.Array
  frobenius_squared: jax.Array
  trace: jax.Array
  top: jax.Array


class Probed(NamedTuple):
  """Estimates of a Hessian's norm and trace, of each example.

  Attributes:
    frobenius_squared: float32 [N], of sum lambda_i^2.
    trace: float32 [N], of sum lambda_i.
  """

  frobenius_squared: jax.Array
  trace: jax.Array


def gauss_newton(logits_fn: LogitsFn, inputs: jax.Array) -> Spectrum:
  """The spectrum of the loss's Gauss-Newton matrix, exactly.

    H = J^T S J,  S = diag(p) - p p^T = R R^T,
    R = diag(sqrt p) - p sqrt(p)^T

  with the logits' Jacobian J [K, n] and the probabilities p; the eigenvalues
  are those of R^T G R [K, K] with G = J J^T. Of a network that is piecewise
  linear, as with ReLU and max pooling, H is the Hessian itself almost
  everywhere; of others it leaves out the part of the network's own curvature.
  It takes K gradients, no probes and no labels.

  Args:
    logits_fn: From inputs [N, ...] to logits [N, K]; an example's logits must
      not depend on the others.
    inputs: float32 [N, ...].

  Returns:
    The spectrum, in 1 / unit of the input, squared.

  Example:
    >>> logits_fn = lambda x: jnp.concatenate([x, jnp.zeros_like(x)], axis=1)
    >>> round(float(gauss_newton(logits_fn, jnp.zeros((1, 1))).top[0]), 6)
    0.25

  References:
    Schraudolph, `Fast curvature matrix-vector products
    <https://doi.org/10.1162/08997660260028683>`_, 2002, for the matrix.
  """
  logits, pull = jax.vjp(logits_fn, inputs)
  count, classes = logits.shape
  units = jnp.broadcast_to(
    jnp.eye(classes, dtype=logits.dtype)[:, None], (classes, count, classes)
  )
  (jacobian,) = jax.vmap(pull)(units)
  jacobian = jacobian.reshape((classes, count, -1)).astype(jnp.float32)
  # R^T J, row by row: sqrt(p_k) (J_k - sum_j p_j J_j). What all the rows share
  # cancels before it is squared.
  p = jax.nn.softmax(logits.astype(jnp.float32)).T[..., None]
  centred = jacobian - jnp.sum(p * jacobian, axis=0)
  factor = jnp.sqrt(p) * centred
  gram = jnp.einsum(
    "kni,jni->nkj", factor, factor, precision=jax.lax.Precision.HIGHEST
  )
  rising = jnp.linalg.eigvalsh(gram)
  eigenvalues = jnp.maximum(rising[:, ::-1], 0.0)
  return Spectrum(
    eigenvalues,
    frobenius_squared=jnp.sum(gram**2, axis=(1, 2)),
    trace=jnp.trace(gram, axis1=1, axis2=2),
    top=eigenvalues[:, 0],
  )


def hutchinson(
  keys: jax.Array,
  logits_fn: LogitsFn,
  inputs: jax.Array,
  labels: jax.Array,
  *,
  probes: int = 20,
) -> Probed:
  """Unbiased estimates of the Hessian's norm and trace by products with it.

    ||H||_F^2 = E ||H g||^2,  tr H = E g^T H g,  g ~ N(0, I)

  The products are exact, so that this is the Hessian almost everywhere, which
  knows nothing of the kinks of a ReLU. Per probe the relative standard
  deviation of the first is sqrt(2 tr H^4) / tr H^2, up to 1.4: with 20 probes
  it is good for the mean over a data set, and poor for one image.

  Args:
    keys: [N] typed keys, one per example.
    logits_fn: As for `gauss_newton`.
    inputs: float32 [N, ...].
    labels: int32 [N].
    probes: The number of g.

  Returns:
    The estimates.

  Raises:
    ValueError: If `probes` or the keys' shape is out of range.

  Example:
    >>> logits_fn = lambda x: jnp.concatenate([x, jnp.zeros_like(x)], axis=1)
    >>> found = hutchinson(
    ...   jax.random.split(jax.random.key(0), 1),
    ...   logits_fn,
    ...   jnp.zeros((1, 1)),
    ...   jnp.asarray([0]),
    ...   probes=4000,
    ... )
    >>> bool(abs(found.trace[0] - 0.25) < 0.02)
    True

  References:
    Hutchinson, `A stochastic estimator of the trace of the influence matrix
    <https://doi.org/10.1080/03610919008812866>`_, 1990.
  """
  probing.require_at_least(1, probes=probes)
  directions = probing.normal(keys, inputs, probes)
  product = _hessian_product(logits_fn, inputs, labels)
  bent = jax.vmap(product)(directions)
  return Probed(
    frobenius_squared=_per_example(bent * bent).mean(axis=0),
    trace=_per_example(directions * bent).mean(axis=0),
  )


def finite_difference(
  keys: jax.Array,
  logits_fn: LogitsFn,
  inputs: jax.Array,
  labels: jax.Array,
  *,
  h: float | jax.Array,
  probes: int = 20,
  central: bool = False,
) -> jax.Array:
  """The paper's estimate of sum lambda_i^2, which depends on h.

    1/P sum_p ||(grad l(x + h g_p) - grad l(x)) / h||^2,  g_p ~ N(0, I)

  Of a network with kinks it has no limit as h falls: a kink is crossed with a
  probability of the order of h, and its jump is divided by h^2, so that the
  figure grows like 1/h. h is part of the definition: state it, and compare
  nothing across different h. With a smooth activation it is the squared
  Frobenius norm of the Hessian for h from 1e-3 to 3e-2; below 1e-4 rounding
  rules.

  Args:
    keys: As for `hutchinson`.
    logits_fn: As for `gauss_newton`.
    inputs: float32 [N, ...].
    labels: int32 [N].
    h: The step, in units of the input; the paper's 0.01 is in normalised ones.
    probes: The number of g.
    central: Whether to take (grad l(x + h g) - grad l(x - h g)) / 2h, at twice
      the cost; it about halves the kinks' excess.

  Returns:
    float32 [N].

  Raises:
    ValueError: If `h`, `probes` or the keys' shape is out of range.

  Example:
    >>> logits_fn = lambda x: jnp.concatenate([x, jnp.zeros_like(x)], axis=1)
    >>> found = finite_difference(
    ...   jax.random.split(jax.random.key(0), 1),
    ...   logits_fn,
    ...   jnp.zeros((1, 1)),
    ...   jnp.asarray([0]),
    ...   h=0.01,
    ...   probes=4000,
    ... )
    >>> bool(abs(found[0] - 0.25**2) < 0.01)
    True

  References:
    `arXiv:2405.18499 <https://arxiv.org/abs/2405.18499>`_, equation 21.
  """
  probing.require_positive(h=h)
  probing.require_at_least(1, probes=probes)
  directions = probing.normal(keys, inputs, probes)
  gradients_of = _gradients(logits_fn)
  gradients = probing.on_all(gradients_of, labels)
  ahead = gradients(inputs + h * directions)
  if central:
    change = (ahead - gradients(inputs - h * directions)) / (2 * h)
  else:
    change = (ahead - gradients_of(inputs, labels)) / h
  return _per_example(change * change).mean(axis=0)


def top_eigenvalue(
  keys: jax.Array,
  logits_fn: LogitsFn,
  inputs: jax.Array,
  labels: jax.Array,
  *,
  steps: int = 10,
  unroll: bool | None = None,
) -> jax.Array:
  """The largest eigenvalue of the Hessian, by Lanczos.

  All examples at once, each with a random start of its own; every new vector is
  made orthogonal to all before it, twice. The Hessian of K classes has about K
  eigenvalues that count, and 5 steps are enough for most images, 3 are not.

  Args:
    keys: As for `hutchinson`.
    logits_fn: As for `gauss_newton`.
    inputs: float32 [N, ...].
    labels: int32 [N].
    steps: The number of products with the Hessian.
    unroll: Whether to compile the steps one by one instead of a loop: faster on
      a CPU, where XLA runs convolutions within a loop on one thread. By default
      on a CPU, up to 16 steps.

  Returns:
    float32 [N], from below.

  Raises:
    ValueError: If `steps` or the keys' shape is out of range.

  Example:
    >>> logits_fn = lambda x: jnp.concatenate([x, jnp.zeros_like(x)], axis=1)
    >>> found = top_eigenvalue(
    ...   jax.random.split(jax.random.key(0), 1),
    ...   logits_fn,
    ...   jnp.zeros((1, 1)),
    ...   jnp.asarray([0]),
    ... )
    >>> round(float(found[0]), 6)
    0.25

  References:
    Golub and Van Loan, `Matrix Computations`, 4th edition, 2013, section 10.3.
  """
  probing.require_at_least(1, steps=steps)
  count, size = len(inputs), math.prod(inputs.shape[1:])
  steps = min(steps, size)
  if unroll is None:
    unroll = steps <= 16 and jax.default_backend() == "cpu"
  product = _hessian_product(logits_fn, inputs, labels)

  def step(number, carry):
    basis, diagonal, beside, scale, vector = carry
    basis = basis.at[:, number].set(vector)
    bent = product(vector.reshape(inputs.shape)).reshape((count, size))
    alpha = jnp.sum(vector * bent, axis=1)
    for _ in range(2):
      along = jnp.einsum("nmi,ni->nm", basis, bent)
      bent = bent - jnp.einsum("nmi,nm->ni", basis, along)
    length, unit = _normalised(bent)
    scale = jnp.maximum(scale, jnp.abs(alpha))
    # Nothing is left of the space: no direction but that of rounding errors.
    ended = length <= 1e-7 * scale
    vector = jnp.where(ended[:, None], 0.0, unit)
    # Past the end a row repeats the first element, within the spectrum.
    alive = jnp.any(basis[:, number] != 0, axis=1)
    alpha = jnp.where(alive, alpha, diagonal[:, 0])
    diagonal = diagonal.at[:, number].set(alpha)
    beside = beside.at[:, number].set(jnp.where(ended, 0.0, length))
    return basis, diagonal, beside, scale, vector

  _, first = _normalised(probing.normal(keys, inputs, 1).reshape((count, size)))
  none = jnp.zeros((count, steps))
  carry = (jnp.zeros((count, steps, size)), none, none, none[:, 0], first)
  _, diagonal, beside, _, _ = jax.lax.fori_loop(
    0, steps, step, carry, unroll=unroll
  )
  off = jax.vmap(lambda row: jnp.diag(row, 1))(beside[:, :-1])
  matrix = jax.vmap(jnp.diag)(diagonal) + off + off.swapaxes(1, 2)
  return jnp.linalg.eigvalsh(matrix)[:, -1]


def _gradients(logits_fn: LogitsFn) -> Callable[..., jax.Array]:
  """The gradients of every example's loss, in one pass."""

  # No example's logits depend on another, so the sum has all the gradients.
  def total(inputs, labels):
    logits = logits_fn(inputs).astype(jnp.float32)
    return cross_entropy(logits, labels).sum()

  return jax.grad(total)


def _hessian_product(
  logits_fn: LogitsFn, inputs: jax.Array, labels: jax.Array
) -> Callable[[jax.Array], jax.Array]:
  """Multiplies one direction of every example with its Hessian."""
  gradients = _gradients(logits_fn)
  _, product = jax.linearize(lambda x: gradients(x, labels), inputs)
  return product


def _per_example(x: jax.Array) -> jax.Array:
  """The sum over the input's axes, of [P, N, ...]."""
  return jnp.sum(x, axis=tuple(range(2, x.ndim)))


def _normalised(vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The lengths [N] of vectors [N, n], and the vectors at length 1."""
  # Squares of a saturated example's gradients would underflow.
  largest = jnp.max(jnp.abs(vectors), axis=1, keepdims=True)
  scaled = vectors / jnp.where(largest > 0, largest, 1.0)
  length = jnp.linalg.norm(scaled, axis=1, keepdims=True)
  unit = scaled / jnp.where(length > 0, length, 1.0)
  return (largest * length)[:, 0], unit
