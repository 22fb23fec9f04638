"""The operations of a network, on arrays and on states alike.

An array gives what `jax.nn` or `jax.numpy` gives, at no cost; a state, as
`Moments`, what its rules say. Models that are written with them are carried
through by `moments.intercepting`.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrobust.moments.moments import State

Value = Any  # A jax.Array or a State.


def elementwise(
  function: Callable[[jax.Array], jax.Array],
) -> Callable[[Value], Value]:
  """The operation that applies any elementwise function, as a whole.

  Args:
    function: elementwise, [...] to [...], differentiable.

  Returns:
    A function of an array or a state.

  Example:
    >>> elementwise(jnp.square)(jnp.array([3.0]))
    Array([9.], dtype=float32)
  """

  @functools.wraps(function)
  def operation(x: Value) -> Value:
    return x.unary(function) if isinstance(x, State) else function(x)

  return operation


tanh = elementwise(jnp.tanh)
sigmoid = elementwise(jax.nn.sigmoid)
silu = elementwise(jax.nn.silu)
elu = elementwise(jax.nn.elu)
softplus = elementwise(jax.nn.softplus)


def relu(x: Value) -> Value:
  """max(x, 0).

  Example:
    >>> relu(jnp.array([-1.0, 2.0]))
    Array([0., 2.], dtype=float32)
  """
  return x.relu() if isinstance(x, State) else jax.nn.relu(x)


def gelu(x: Value, approximate: bool = True) -> Value:
  """The Gaussian error linear unit; `approximate` by tanh, as in `jax.nn`.

  Example:
    >>> gelu(jnp.array([0.0]))
    Array([0.], dtype=float32)
  """
  return elementwise(functools.partial(jax.nn.gelu, approximate=approximate))(x)


def maximum(x: Value, y: Value) -> Value:
  """The larger of two values, elementwise; an array has no noise.

  Example:
    >>> maximum(jnp.array([1.0]), jnp.array([2.0]))
    Array([2.], dtype=float32)
  """
  if not isinstance(x, State):
    x, y = y, x
  if not isinstance(x, State):
    return jnp.maximum(y, x)
  if not isinstance(y, State):
    y = constant(jnp.broadcast_to(y, x.shape), x)
  return x.maximum(y)


def concatenate(values: Sequence[Value], axis: int) -> Value:
  """Joins values along an axis; arrays among states have no noise.

  Example:
    >>> concatenate([jnp.zeros(1), jnp.ones(1)], 0)
    Array([0., 1.], dtype=float32)
  """
  states = [x for x in values if isinstance(x, State)]
  if not states:
    return jnp.concatenate(values, axis)
  # A state without noise: the rules of a constant are those of 0 x + c.
  first, *others = (
    x if isinstance(x, State) else constant(x, states[0]) for x in values
  )
  return first.join(lambda *parts: jnp.concatenate(parts, axis), *others)


def constant(x: jax.Array, like: State) -> State:
  """An array as a state of the same kind as `like`, without noise.

  Example:
    >>> from jaxrobust.moments import Moments
    >>> constant(jnp.ones(2), Moments(jnp.ones(1), jnp.ones(1))).var
    Array([0., 0.], dtype=float32)
  """
  _, *others = jax.tree.leaves(like)
  zeros = (
    jnp.zeros((*leaf.shape[: leaf.ndim - like.ndim], *x.shape), leaf.dtype)
    for leaf in others
  )
  return like.like(x, *zeros)


def mean(x: Value, axes: tuple[int, ...]) -> Value:
  """The mean over axes; its sum is float32 whatever the type of x.

  Example:
    >>> mean(jnp.arange(4.0), (0,))
    Array(1.5, dtype=float32)
  """
  if isinstance(x, State):
    return x.mean_over(axes)
  return x.mean(axes, dtype=jnp.float32).astype(x.dtype)


def softmax(x: Value, axis: int = -1) -> Value:
  """Probabilities along an axis.

  Example:
    >>> softmax(jnp.zeros(2))
    Array([0.5, 0.5], dtype=float32)
  """
  return x.softmax(axis) if isinstance(x, State) else jax.nn.softmax(x, axis)


def max_pool(x: Value, window: tuple[int, ...]) -> Value:
  """Takes the maximum over windows that do not overlap.

  The maximum of slices, one spatial axis after the other, not
  `lax.reduce_window`, whose gradient is more than ten times slower on a CPU.
  A remainder that fills no window is left out, and a window is cut to the axis
  it is longer than, so an axis of length one stays. Where entries of a window
  are equal they share the gradient.

  Args:
    x: [N, *spatial, C], an array or a state.
    window: its length along each spatial axis; also the stride.

  Returns:
    [N, *pooled, C], with pooled = spatial // window.

  Raises:
    ValueError: if there is not one positive length per spatial axis.

  Example:
    >>> max_pool(jnp.arange(4.0).reshape(1, 4, 1), (2,)).ravel()
    Array([1., 3.], dtype=float32)
  """
  for axis, length in enumerate(_fit(x, window), start=1):
    x = _largest(_split(x, axis, length), axis + 1)
  return x


def avg_pool(x: Value, window: tuple[int, ...]) -> Value:
  """Takes the mean over windows that do not overlap.

  Remainders and long windows are treated as in `max_pool`.

  Args:
    x: [N, *spatial, C], an array or a state.
    window: its length along each spatial axis; also the stride.

  Returns:
    [N, *pooled, C], with pooled = spatial // window.

  Raises:
    ValueError: if there is not one positive length per spatial axis.

  Example:
    >>> avg_pool(jnp.arange(4.0).reshape(1, 4, 1), (2,)).ravel()
    Array([0.5, 2.5], dtype=float32)
  """
  dtype = x.dtype
  x = x.astype(jnp.float32)
  for axis, length in enumerate(_fit(x, window), start=1):
    x = mean(_split(x, axis, length), (axis + 1,))
  return x.astype(dtype)


def global_avg_pool(x: Value) -> Value:
  """Takes the mean over all spatial axes: [N, *spatial, C] to [N, C].

  The sum is float32 whatever the type of x.

  Example:
    >>> global_avg_pool(jnp.arange(4.0).reshape(1, 2, 2, 1))
    Array([[1.5]], dtype=float32)
  """
  return mean(x, tuple(range(1, x.ndim - 1)))


def lstm(
  x: Value,
  input_kernel: jax.Array,
  hidden_kernel: jax.Array,
  bias: jax.Array,
  *,
  inject: Callable[[Value], Value] = lambda z: z,
) -> Value:
  """The last hidden state of an LSTM layer that starts at 0.

    i, f, g, o = split(W x_t + b + U h_{t-1})
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)
    h_t = sigmoid(o) tanh(c_t)

  The products with x_t of all steps are one matrix product before the loop.
  Gates and cell count as independent of one another.

  Args:
    x: [N, T, C], an array or a state.
    input_kernel: W, [C, 4 d], the gates in the order i, f, g, o.
    hidden_kernel: U, [d, 4 d].
    bias: b, [4 d].
    inject: acts on W x + b, [N, T, 4 d], the pre-activations' part that does
      not wait for the loop.

  Returns:
    [N, d].

  Example:
    >>> x, w, u = jnp.ones((1, 2, 3)), jnp.zeros((3, 4)), jnp.zeros((1, 4))
    >>> lstm(x, w, u, jnp.zeros(4)).shape
    (1, 1)

  Reference: S. Hochreiter and J. Schmidhuber, Long Short-Term Memory, Neural
  Computation 9, 1997; without peepholes.
  """
  drive = inject(dense(x, input_kernel, bias))
  shape = (x.shape[0], hidden_kernel.shape[0])
  zeros = jnp.zeros(shape, drive.dtype)
  start = constant(zeros, drive[:, 0]) if isinstance(drive, State) else zeros

  def step(carry, driven):
    cell, hidden = carry
    gates = driven + dense(hidden, hidden_kernel)
    width = hidden_kernel.shape[0]
    i, f, g, o = (gates[:, k * width : (k + 1) * width] for k in range(4))
    cell = sigmoid(f) * cell + sigmoid(i) * tanh(g)
    hidden = sigmoid(o) * tanh(cell)
    return (cell, hidden), None

  (_, last), _ = lax.scan(step, (start, start), _time_first(drive))
  return last


def dense(x: Value, kernel: jax.Array, bias: jax.Array | None = None) -> Value:
  """X K + b for x [..., n] and K [n, m].

  Example:
    >>> dense(jnp.ones((1, 2)), jnp.ones((2, 1)), jnp.ones(1))
    Array([[3.]], dtype=float32)
  """

  def linear(kernel, x):
    return jnp.dot(x, kernel)

  value = linear(kernel, x.loc if isinstance(x, State) else x)
  if bias is not None:
    value += bias
  return x.affine(value, kernel, linear) if isinstance(x, State) else value


def attention(
  query: Value,
  key: Value,
  value: Value,
  mask: jax.Array | None = None,
) -> Value:
  """softmax(q k^T / sqrt d) v, in float32 up to the last product.

  For `Moments` query, key and value count as independent of one another, which
  they are not: all three are made of the same tokens.

  Args:
    query: [N, T, heads, d].
    key: [N, S, heads, d].
    value: [N, S, heads, d].
    mask: bool [N, heads, T, S], False where a query may not look; or None.

  Returns:
    [N, T, heads, d].

  Example:
    >>> x = jnp.ones((1, 2, 1, 3))
    >>> attention(x, x, x).shape
    (1, 2, 1, 3)

  Reference: A. Vaswani et al., Attention Is All You Need, NeurIPS 2017,
  equation (1).
  """
  depth = query.shape[-1]
  logits = einsum("ntha,nsha->nhts", query, key) / math.sqrt(depth)
  logits = logits.astype(jnp.float32)
  if mask is not None:
    logits = where(mask, logits, float(jnp.finfo(jnp.float32).min))
  weights = softmax(logits).astype(query.dtype)
  return einsum("nhts,nsha->ntha", weights, value)


def where(mask: jax.Array, x: Value, otherwise: float) -> Value:
  """X where the mask is True, a constant elsewhere.

  Example:
    >>> where(jnp.array([True, False]), jnp.ones(2), 0.0)
    Array([1., 0.], dtype=float32)
  """
  if not isinstance(x, State):
    return jnp.where(mask, x, otherwise)
  return x.times(mask) + jnp.where(mask, 0.0, otherwise).astype(x.dtype)


def einsum(subscripts: str, x: Value, y: Value) -> Value:
  """The sum over products of two values that count as independent.

  Args:
    subscripts: as of `jnp.einsum`.
    x: an array or a state.
    y: an array, which has no noise, or a state of the same kind.

  Returns:
    A state if one of them is.

  Example:
    >>> einsum("i,i->", jnp.ones(2), jnp.ones(2))
    Array(2., dtype=float32)
  """
  kind = x if isinstance(x, State) else y
  if not isinstance(kind, State):
    return jnp.einsum(subscripts, x, y)
  x, y = (v if isinstance(v, State) else constant(v, kind) for v in (x, y))
  return x.contract(functools.partial(jnp.einsum, subscripts), y)


def _time_first(x: Value) -> Value:
  """[N, T, C] to [T, N, C], with time the first axis of every leaf."""
  if not isinstance(x, State):
    return x.swapaxes(0, 1)
  loc, *others = jax.tree.leaves(x)
  return x.like(
    loc.swapaxes(0, 1),
    *(jnp.moveaxis(leaf, leaf.ndim - 2, 0) for leaf in others),
  )


def _fit(x: Value, window: tuple[int, ...]) -> tuple[int, ...]:
  """Returns the window, no longer than x along any axis."""
  if len(window) != x.ndim - 2 or min(window, default=1) < 1:
    raise ValueError(
      f"window must be {x.ndim - 2} positive lengths, got {window}"
    )
  return tuple(
    min(w, length) for w, length in zip(window, x.shape[1:-1], strict=True)
  )


def _largest(x: Value, axis: int) -> Value:
  """The maximum along an axis, entry by entry."""
  count = x.shape[axis]
  if not isinstance(x, State):
    # Not slices: the gradient of a split is one concatenation, theirs a sum of
    # padded arrays, into which XLA's CPU compiler fuses all that comes before.
    parts = lax.split(x, (1,) * count, axis)
    entries = [lax.squeeze(part, (axis,)) for part in parts]
    return functools.reduce(jnp.maximum, entries)
  before, after = x.shape[:axis], x.shape[axis + 1 :]
  # Three axes, so that the innermost of a loop is as long as it can be.
  x = x.reshape(math.prod(before), count, math.prod(after))
  entries = [
    x.map(functools.partial(_entry, axis=1, index=i)) for i in range(count)
  ]
  return functools.reduce(maximum, entries).reshape(*before, *after)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _entry(x: jax.Array, axis: int, index: int) -> jax.Array:
  """One slice along an axis, which it loses.

  Its gradient is a product with a mask, which XLA's CPU compiler computes in
  the same loop as the long expressions before it; not so a concatenation.
  """
  return lax.index_in_dim(x, index, axis, keepdims=False)


@_entry.defjvp
def _entry_jvp(axis, index, primals, tangents):
  (x,), (tangent,) = primals, tangents
  here = lax.broadcasted_iota(jnp.int32, x.shape, axis) == index
  return _entry(x, axis, index), jnp.sum(jnp.where(here, tangent, 0), axis)


def _split(x: Value, axis: int, length: int) -> Value:
  """Splits an axis into whole blocks: [..., a, ...] to [..., a/b, b, ...]."""
  blocks = x.shape[axis] // length
  x = x[(slice(None),) * axis + (slice(0, blocks * length),)]
  return x.reshape(*x.shape[:axis], blocks, length, *x.shape[axis + 1 :])
