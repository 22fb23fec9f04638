"""What the random values that a network can carry have in common.

A `State` is a pytree with a few of an array's habits: a shape, slices, sums
with arrays and products with them. Functions of `jax.numpy` do not take it;
those of `jaxrobust.moments.ops` do.
"""

import abc
import math
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
import jax.numpy as jnp


class State(abc.ABC):
  """What the classes that can be carried through a network share.

  A subclass has the field of the values without noise, or of the mean, as
  `loc`, and says how a linear map, an activation and a maximum act on it. Two
  states in a sum or a product count as independent of one another, and a state
  with itself as what it is: x + x is 2 x, and x * x the square of x.
  """

  # numpy arrays leave sums and products with it to this class.
  __array_ufunc__ = None

  loc: jax.Array

  def like(self, *leaves: jax.Array) -> Self:
    """One with the same static fields and these leaves, `loc` first."""
    structure = jax.tree.structure(self)
    return jax.tree.unflatten(structure, leaves)

  def at(self, loc: jax.Array) -> Self:
    """The same noise around other values of the same shape."""
    return self.like(loc, *jax.tree.leaves(self)[1:])

  def map(self, function: Callable[[jax.Array], jax.Array]) -> Self:
    """Moves, copies or drops elements in all leaves alike."""
    return self.like(*(function(leaf) for leaf in jax.tree.leaves(self)))

  def join(self, function: Callable[..., jax.Array], *others: Self) -> Self:
    """Puts elements of several states together, in all leaves alike."""
    leaves = (jax.tree.leaves(x) for x in (self, *others))
    return self.like(*map(function, *leaves))

  @abc.abstractmethod
  def affine(
    self,
    value: jax.Array,
    kernel: jax.Array,
    linear: Callable[[jax.Array, jax.Array], jax.Array],
  ) -> Self:
    """The state after an affine layer.

    Args:
      value: what the layer makes of `loc`, bias and all.
      kernel: its kernel.
      linear: (kernel, x) to what the layer makes of x with that kernel, without
        a bias.
    """

  @abc.abstractmethod
  def times(self, factor: jax.Array | float) -> Self:
    """The product with a constant that broadcasts to the state's shape."""

  def plus(self, offset: jax.Array | float) -> Self:
    """The sum with a constant that broadcasts to the state's shape."""
    loc, *others = jax.tree.leaves(self)
    return self.like(loc + offset, *others)

  @abc.abstractmethod
  def add(self, other: Any) -> Self:
    """The sum of two states."""

  @abc.abstractmethod
  def contract(
    self,
    function: Callable[[jax.Array, jax.Array], jax.Array],
    other: Any,
  ) -> Self:
    """A sum over products with another state, as of an einsum."""

  @abc.abstractmethod
  def sum(self, axes: tuple[int, ...]) -> Self:
    """The sum over axes."""

  @abc.abstractmethod
  def normalise(
    self,
    value: jax.Array,
    standardised: jax.Array,
    factor: jax.Array,
    axes: tuple[int, ...],
    centred: bool,
  ) -> Self:
    """The state after statistics over `axes` were taken off and divided by.

    Args:
      value: what the layer makes of `loc`.
      standardised: `loc` after the statistics, without scale and bias.
      factor: what the layer multiplied it by, statistics included.
      axes: over which the statistics were taken; within one example.
      centred: whether the mean was taken off.
    """

  @abc.abstractmethod
  def unary(self, function: Callable[[jax.Array], jax.Array]) -> Self:
    """Any elementwise function, as a whole."""

  def relu(self) -> Self:
    """The rectified state."""
    return self.unary(jax.nn.relu)

  @abc.abstractmethod
  def maximum(self, other: Any) -> Self:
    """The larger of two states, elementwise."""

  @abc.abstractmethod
  def softmax(self, axis: int) -> Self:
    """Probabilities along an axis."""

  # An array's habits.

  @property
  def shape(self) -> tuple[int, ...]:
    """Of the values."""
    return self.loc.shape

  @property
  def ndim(self) -> int:
    """The number of axes of the values."""
    return self.loc.ndim

  @property
  def dtype(self) -> Any:
    """Of the values."""
    return self.loc.dtype

  def astype(self, dtype: Any) -> Self:
    """Casts the values; what is known of the noise stays float32."""
    loc, *others = jax.tree.leaves(self)
    return self.like(loc.astype(dtype), *others)

  def reshape(self, *shape: Any) -> Self:
    """As of an array."""
    return self.map(lambda x: x.reshape(*shape))

  def swapaxes(self, first: int, second: int) -> Self:
    """As of an array."""
    return self.map(lambda x: x.swapaxes(first, second))

  def mean_over(self, axes: tuple[int, ...]) -> Self:
    """The mean over axes; its sum is float32 whatever the type."""
    count = math.prod(self.shape[axis] for axis in axes)
    total = self.astype(jnp.float32).sum(axes)
    return total.times(1 / count).astype(self.dtype)

  def __len__(self) -> int:
    return len(self.loc)

  def __getitem__(self, index: Any) -> Self:
    return self.map(lambda x: x[index])

  def __iter__(self) -> Iterator[Self]:
    # Without it Python would ask for one index after the other until one is
    # out of range, which for JAX none is.
    return (self[index] for index in range(len(self)))

  def __array__(self, *args: Any, **kwargs: Any) -> Any:
    raise TypeError(
      f"a {type(self).__name__} is a random value, which functions of "
      "numpy and jax.numpy do not take: use those of moments.ops"
    )

  def __add__(self, other: Any) -> Self:
    if other is self:
      return self.times(2.0)
    return self.add(other) if isinstance(other, State) else self.plus(other)

  def __mul__(self, other: Any) -> Self:
    if other is self:
      return self.unary(jnp.square)
    if isinstance(other, State):
      return self.contract(jnp.multiply, other)
    return self.times(other)

  def __sub__(self, other: Any) -> Self:
    return self.times(0.0) if other is self else self + (-other)

  def __rsub__(self, other: Any) -> Self:
    return (-self) + other

  def __neg__(self) -> Self:
    return self.times(-1.0)

  def __truediv__(self, other: Any) -> Self:
    if isinstance(other, State):
      raise TypeError("division by a random value has no moments in general")
    return self.times(1 / other)

  __radd__ = __add__
  __rmul__ = __mul__
