"""Layers along a sequence, of arrays and of states: LSTM and attention."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxrobust.moments.basic import (
  Value,
  constant,
  dense,
  einsum,
  sigmoid,
  softmax,
  tanh,
  where,
)
from jaxrobust.moments.state import State


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


def _time_first(x: Value) -> Value:
  """[N, T, C] to [T, N, C], with time the first axis of every leaf."""
  if not isinstance(x, State):
    return x.swapaxes(0, 1)
  loc, *others = jax.tree.leaves(x)
  return x.like(
    loc.swapaxes(0, 1),
    *(jnp.moveaxis(leaf, leaf.ndim - 2, 0) for leaf in others),
  )
