"""Operations of one step: activations, sums, products, parts put together.

An array gives what `jax.nn` or `jax.numpy` gives, at no cost; a state, as
`Moments`, what its rules say.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxrobust.moments.state import State

Value = Any  # A jax.Array or a State.


def elementwise(
  function: Callable[[jax.Array], jax.Array],
) -> Callable[[Value], Value]:
  """The operation that applies any elementwise function, as a whole.

  Args:
    function: elementwise, [...] to [...], differentiable.

  Returns:
    A function of an array or a state, of which it keeps shape and type.

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

  Args:
    x: [...], an array or a state.

  Returns:
    Of x's kind and shape.

  Example:
    >>> relu(jnp.array([-1.0, 2.0]))
    Array([0., 2.], dtype=float32)
  """
  return x.relu() if isinstance(x, State) else jax.nn.relu(x)


def gelu(x: Value, approximate: bool = True) -> Value:
  """The Gaussian error linear unit, x Phi(x).

  Args:
    x: [...], an array or a state.
    approximate: whether Phi is approximated by tanh, as in `jax.nn`.

  Returns:
    Of x's kind and shape.

  Example:
    >>> gelu(jnp.array([0.0]))
    Array([0.], dtype=float32)
  """
  return elementwise(functools.partial(jax.nn.gelu, approximate=approximate))(x)


def maximum(x: Value, y: Value) -> Value:
  """The larger of two values, elementwise.

  Args:
    x: an array or a state.
    y: an array that broadcasts to x's shape, without noise, or a state of the
      same kind and shape. The two may also be the other way round.

  Returns:
    A state if one of them is.

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
  """Joins values along an axis.

  Args:
    values: arrays or states of one kind, of the same shape but along `axis`;
      arrays among states have no noise.
    axis: at least 0.

  Returns:
    A state if one of them is.

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
  """An array as a state without noise.

  Args:
    x: [...].
    like: a state of the kind to make, of any shape.

  Returns:
    A state of x's shape.

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


def where(mask: jax.Array, x: Value, otherwise: float) -> Value:
  """X where the mask is True, a constant elsewhere.

  Args:
    mask: bool, it broadcasts to x's shape.
    x: [...], an array or a state.
    otherwise: the constant, without noise.

  Returns:
    Of x's kind and shape.

  Example:
    >>> where(jnp.array([True, False]), jnp.ones(2), 0.0)
    Array([1., 0.], dtype=float32)
  """
  if not isinstance(x, State):
    return jnp.where(mask, x, otherwise)
  return x.times(mask) + jnp.where(mask, 0.0, otherwise).astype(x.dtype)


def mean(x: Value, axes: tuple[int, ...]) -> Value:
  """The mean over axes; its sum is float32 whatever the type of x.

  Args:
    x: an array or a state.
    axes: at least 0 each.

  Returns:
    Of x's kind and type, without these axes.

  Example:
    >>> mean(jnp.arange(4.0), (0,))
    Array(1.5, dtype=float32)
  """
  if isinstance(x, State):
    return x.mean_over(axes)
  return x.mean(axes, dtype=jnp.float32).astype(x.dtype)


def softmax(x: Value, axis: int = -1) -> Value:
  """Probabilities along an axis.

  Args:
    x: logits [...], an array or a state.
    axis: along which the result sums to 1.

  Returns:
    Of x's kind and shape.

  Example:
    >>> softmax(jnp.zeros(2))
    Array([0.5, 0.5], dtype=float32)
  """
  return x.softmax(axis) if isinstance(x, State) else jax.nn.softmax(x, axis)


def dense(x: Value, kernel: jax.Array, bias: jax.Array | None = None) -> Value:
  """An affine layer, x K + b.

  Args:
    x: [..., n], an array or a state.
    kernel: K, [n, m].
    bias: b, [m], or None for none.

  Returns:
    [..., m], of x's kind.

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


def einsum(subscripts: str, x: Value, y: Value) -> Value:
  """The sum over products of two values that count as independent.

  Args:
    subscripts: as of `jnp.einsum`, of two operands.
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
