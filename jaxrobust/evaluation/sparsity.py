"""How sparse a network's weights are, and the network with fewer of them.

Only kernels count: the leaves that are named `kernel` and have more than one
axis. Biases, the parameters of norm layers, class tokens and positions do not.
All are pure functions of a tree of parameters, for jit, and for vmap over a
leading axis of seeds.

A share below an absolute threshold depends on how large the weights are:
whatever shrinks all of them raises it. `weight_norm` is the control for that;
`share_below_relative`, `share_below_rms` and `hoyer` do not change when the
weights are rescaled.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def share_below(params: Any, threshold: float | jax.Array) -> jax.Array:
  """The share of kernel weights below an absolute threshold.

    #{i : |w_i| < tau} / n

  Args:
    params: A tree of parameters.
    threshold: tau > 0, in units of the weights.

  Returns:
    float32 [], in [0, 1].

  Raises:
    ValueError: If there is no kernel in `params`.

  Example:
    >>> params = {"kernel": jnp.asarray([[0.0, 0.1, -0.2, 2.0]])}
    >>> float(share_below(params, 0.2))
    0.5
  """
  return _share(params, threshold, jnp.ones_like)


def share_below_relative(
  params: Any, threshold: float | jax.Array
) -> jax.Array:
  """The share of weights below a fraction of their tensor's largest.

    #{i : |w_i| < tau max_j |w_j|, or w_i = 0} / n

  with the maximum over the kernel that w_i belongs to.

  Args:
    params: A tree of parameters.
    threshold: tau, in (0, 1].

  Returns:
    float32 [], in [0, 1].

  Raises:
    ValueError: If there is no kernel in `params`.

  Example:
    >>> params = {"kernel": jnp.asarray([[0.0, 0.1, -0.2, 2.0]])}
    >>> float(share_below_relative(params, 0.2))
    0.75
  """
  return _share(params, threshold, jnp.max)


def share_below_rms(params: Any, threshold: float | jax.Array) -> jax.Array:
  """The share of weights below a fraction of their tensor's root mean square.

    #{i : |w_i| < tau sqrt(mean_j w_j^2), or w_i = 0} / n

  with the mean over the kernel that w_i belongs to. Of normal weights it is
  erf(tau / sqrt(2)), whatever their scale: 0.0797 at tau = 0.1.

  Args:
    params: A tree of parameters.
    threshold: tau > 0.

  Returns:
    float32 [], in [0, 1].

  Raises:
    ValueError: If there is no kernel in `params`.

  Example:
    >>> params = {"kernel": jnp.asarray([[0.0, 0.1, -0.2, 2.0]])}
    >>> float(share_below_rms(params, 0.1))
    0.5
  """
  return _share(params, threshold, lambda m: jnp.sqrt(jnp.mean(m * m)))


def exact_zeros(params: Any) -> jax.Array:
  """The share of kernel weights that are zero.

  Args:
    params: A tree of parameters.

  Returns:
    float32 [], in [0, 1].

  Raises:
    ValueError: If there is no kernel in `params`.

  Example:
    >>> float(exact_zeros({"kernel": jnp.asarray([[0.0, -0.0, 1e-30, 2.0]])}))
    0.5
  """
  return _share(params, 0.0, jnp.ones_like)


def hoyer(params: Any) -> jax.Array:
  """Hoyer's sparsity of all kernel weights together.

    (sqrt(n) - |w|_1 / |w|_2) / (sqrt(n) - 1)

  It needs no threshold, does not change with the scale of w, is 0 when all
  magnitudes are equal and 1 when one weight is not zero. Normal weights have
  1 - sqrt(2 / pi) = 0.2021 for large n. Layers of different scale raise it,
  even if no layer is sparse: see `hoyer_per_tensor`.

  Args:
    params: A tree of parameters.

  Returns:
    float32 [], in [0, 1]; 1 if all weights are zero or there is only one.

  Raises:
    ValueError: If there is no kernel in `params`.

  Example:
    >>> params = {"kernel": jnp.asarray([[1.0, -1.0], [0.0, 0.0]])}
    >>> round(float(hoyer(params)), 4)
    0.5858

  References:
    Hoyer, `Non-negative matrix factorization with sparseness constraints
    <https://www.jmlr.org/papers/v5/hoyer04a.html>`_, JMLR 5, 2004, Sec. 3.1.
  """
  return _hoyer(_concatenate(_kernels(params)))


def hoyer_per_tensor(params: Any) -> jax.Array:
  """Hoyer's sparsity of each kernel, averaged with their numbers of weights.

    sum_t n_t hoyer(w_t) / sum_t n_t

  It does not change when single layers are rescaled, as they may be before a
  norm layer or between ReLUs without changing what the network computes.

  Args:
    params: A tree of parameters.

  Returns:
    float32 [], in [0, 1].

  Raises:
    ValueError: If there is no kernel in `params`.

  Example:
    >>> params = {
    ...   "a": {"kernel": jnp.ones((2, 2))},
    ...   "b": {"kernel": jnp.asarray([[3.0, 0.0], [0.0, 0.0]])},
    ... }
    >>> float(hoyer_per_tensor(params))
    0.5
  """
  kernels = _kernels(params)
  total = sum(kernel.size for kernel in kernels)
  return sum(
    (_hoyer(jnp.ravel(kernel)) * (kernel.size / total) for kernel in kernels),
    start=jnp.zeros(()),
  )


def weight_norm(params: Any) -> jax.Array:
  """The root mean square of the kernel weights, |w|_2 / sqrt(n).

  Args:
    params: A tree of parameters.

  Returns:
    float32 [], in units of the weights.

  Raises:
    ValueError: If there is no kernel in `params`.

  Example:
    >>> float(weight_norm({"kernel": jnp.asarray([[3.0, 0.0, 0.0, -4.0]])}))
    2.5
  """
  weights = _concatenate(_kernels(params))
  return jnp.sqrt(jnp.mean(weights * weights))


def prune(params: Any, share: float | jax.Array) -> Any:
  """Sets the kernel weights of smallest magnitude, over all layers, to zero.

  Exactly floor(share n) of the n weights are cut. Among equal magnitudes the
  first are cut, in the order of the tree's leaves and within a leaf in row
  order. Weights that are zero already count as cut.

  Args:
    params: A tree of parameters.
    share: The share to cut, in [0, 1]; may be traced. share n is rounded to
      float32, which is exact for decimal shares while n < 2^24.

  Returns:
    The tree with the kernels pruned and everything else as it was.

  Raises:
    ValueError: If there is no kernel in `params`.

  Example:
    >>> params = {"bias": jnp.zeros(2), "kernel": jnp.asarray([[0.1, -0.3]])}
    >>> prune(params, 0.5)["kernel"].tolist() == [[0.0, params["kernel"][0, 1]]]
    True

  References:
    Han et al., `Learning both Weights and Connections for Efficient Neural
    Networks <https://arxiv.org/abs/1506.02626>`_, 2015, without retraining.
  """
  kernels = _kernels(params)
  magnitudes = jnp.abs(_concatenate(kernels))
  product = jnp.asarray(share, jnp.float32) * magnitudes.size
  count = jnp.clip(jnp.floor(product), 0, magnitudes.size).astype(jnp.int32)
  keep = _larger_ones(magnitudes, count)
  pieces = iter(_split(keep, kernels))

  def cut(path, leaf):
    if not _is_kernel(path, leaf):
      return leaf
    return jnp.where(next(pieces), leaf, jnp.zeros_like(leaf))

  return jax.tree_util.tree_map_with_path(cut, params)


def _larger_ones(magnitudes: jax.Array, count: jax.Array) -> jax.Array:
  """True for all but the `count` smallest; ties go by position.

  The bits of floats that are not negative are ordered as the floats are, so
  that 31 passes of bisection over the bits find the threshold. At 1e7 weights
  on a CPU that takes a twentieth of a sort's time.
  """
  bits = jax.lax.bitcast_convert_type(magnitudes, jnp.int32)

  def set_bit(i, threshold):
    candidate = threshold | (1 << (30 - i))
    fits = jnp.sum(bits < candidate, dtype=jnp.int32) <= count
    return jnp.where(fits, candidate, threshold)

  # The largest threshold with at most `count` weights below it.
  threshold = jax.lax.fori_loop(0, 31, set_bit, jnp.int32(0))
  below, equal = bits < threshold, bits == threshold
  still_to_cut = count - jnp.sum(below, dtype=jnp.int32)
  place = jnp.cumsum(equal, dtype=jnp.int32)
  return ~(below | (equal & (place <= still_to_cut)))


def _share(
  params: Any,
  threshold: float | jax.Array,
  scale: Callable[[jax.Array], jax.Array],
) -> jax.Array:
  kernels = _kernels(params)
  counts = []
  for kernel in kernels:
    magnitude = jnp.abs(kernel.astype(jnp.float32))
    # A zero is below any threshold, in a tensor of zeros too.
    below = (magnitude < threshold * scale(magnitude)) | (magnitude == 0)
    counts.append(jnp.sum(below, dtype=jnp.int32))
  total = sum(kernel.size for kernel in kernels)
  return jnp.sum(jnp.stack(counts)).astype(jnp.float32) / total


def _hoyer(weights: jax.Array) -> jax.Array:
  root = weights.size**0.5
  if weights.size == 1:
    return jnp.ones(())
  # Scaled by the largest, so that no square underflows; the ratio does not
  # depend on it.
  largest = jax.lax.stop_gradient(jnp.max(jnp.abs(weights)))
  scaled = weights / jnp.where(largest > 0, largest, 1.0)
  squares = jnp.sum(scaled * scaled)
  ratio = jnp.sum(jnp.abs(scaled)) / jnp.sqrt(
    jnp.where(largest > 0, squares, 1.0)
  )
  return jnp.where(largest > 0, (root - ratio) / (root - 1), 1.0)


def _kernels(params: Any) -> list[jax.Array]:
  leaves, _ = jax.tree_util.tree_flatten_with_path(params)
  kernels = [
    jnp.asarray(leaf) for path, leaf in leaves if _is_kernel(path, leaf)
  ]
  if not kernels:
    raise ValueError("params: must hold a 'kernel' of more than one axis")
  return kernels


def _is_kernel(path: tuple[Any, ...], leaf: Any) -> bool:
  name = jax.tree_util.keystr(path[-1:], simple=True)
  return name == "kernel" and jnp.ndim(leaf) > 1


def _concatenate(kernels: list[jax.Array]) -> jax.Array:
  return jnp.concatenate([jnp.ravel(k).astype(jnp.float32) for k in kernels])


def _split(flat: jax.Array, kernels: list[jax.Array]) -> list[jax.Array]:
  pieces, start = [], 0
  for kernel in kernels:
    pieces.append(flat[start : start + kernel.size].reshape(kernel.shape))
    start += kernel.size
  return pieces
