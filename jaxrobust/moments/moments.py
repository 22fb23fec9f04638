"""What is carried through a network in place of a value: a mean and a variance.

`Moments` is a pytree with a few of an array's habits: a shape, slices, sums
with arrays and products with them. Functions of `jax.numpy` do not take it;
those of `jaxrobust.moments.ops` do.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, Self, get_args

import jax
import jax.numpy as jnp

from jaxrobust.moments import rules

Relu = Literal["laplace", "linear", "moment"]
Pool = Literal["gather", "clark"]


@dataclasses.dataclass(frozen=True)
class Rules:
  """Which rule is used where there is a choice.

  Attributes:
    relu: "laplace" keeps the variance, (max(m, 0), v), as we read the paper;
      "linear" keeps it where the unit is on, (max(m, 0), v 1[m > 0]);
      "moment" has the exact moments of a rectified Gaussian. Of the other
      activations, "moment" takes the moments by quadrature and the other two
      linearise.
    pool: "gather" takes mean and variance of the unit with the largest mean,
      "clark" the moments of the maximum, pair by pair. By default "clark" for
      "moment", and "gather" otherwise: then the means are those of the
      network without noise.
    points: nodes of the quadrature.

  Raises:
    ValueError: if an attribute is not one of these.

  Example:
    >>> Rules(relu="linear").pool, Rules(relu="moment").pool
    ('gather', 'clark')

  References: O. Arous et al., arXiv:2312.08877 (laplace); F. Petersen et al.,
  Uncertainty Quantification via Stable Distribution Propagation, ICLR 2024
  (linear); J. Gast and S. Roth, Lightweight Probabilistic Deep Networks, CVPR
  2018 (moment).
  """

  relu: Relu = "moment"
  pool: Pool | None = None
  points: int = 12

  def __post_init__(self):
    if self.pool is None:
      default = "clark" if self.relu == "moment" else "gather"
      object.__setattr__(self, "pool", default)
    for name, allowed in (("relu", get_args(Relu)), ("pool", get_args(Pool))):
      if getattr(self, name) not in allowed:
        raise ValueError(
          f"{name}={getattr(self, name)!r}: must be one of {allowed}"
        )
    if self.points < 2:
      raise ValueError(f"points={self.points}: must be at least 2")


class State:
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
    raise NotImplementedError

  def times(self, factor: jax.Array | float) -> Self:
    """The product with a constant that broadcasts to the state's shape."""
    raise NotImplementedError

  def plus(self, offset: jax.Array | float) -> Self:
    """The sum with a constant that broadcasts to the state's shape."""
    loc, *others = jax.tree.leaves(self)
    return self.like(loc + offset, *others)

  def add(self, other: Any) -> Self:
    """The sum of two states."""
    raise NotImplementedError

  def contract(
    self,
    function: Callable[[jax.Array, jax.Array], jax.Array],
    other: Any,
  ) -> Self:
    """A sum over products with another state, as of an einsum."""
    raise NotImplementedError

  def sum(self, axes: tuple[int, ...]) -> Self:
    """The sum over axes."""
    raise NotImplementedError

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
    raise NotImplementedError

  def unary(self, function: Callable[[jax.Array], jax.Array]) -> Self:
    """Any elementwise function, as a whole."""
    raise NotImplementedError

  def relu(self) -> Self:
    """The rectified state."""
    return self.unary(jax.nn.relu)

  def maximum(self, other: Any) -> Self:
    """The larger of two states, elementwise."""
    raise NotImplementedError

  def softmax(self, axis: int) -> Self:
    """Probabilities along an axis."""
    raise NotImplementedError

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


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["mean", "var"],
  meta_fields=["rules"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Moments(State):
  """Means and variances of values that count as independent Gaussians.

  Attributes:
    mean: [...], of the computation's type.
    var: float32, of the same shape, at least 0.
    rules: which rule is used where there is a choice.

  Example:
    >>> x = Moments(jnp.ones((2, 3)), jnp.ones((2, 3)))
    >>> y = 2 * x + 1
    >>> float(y.mean[0, 0]), float(y.var[0, 0])
    (3.0, 4.0)
  """

  mean: jax.Array
  var: jax.Array
  rules: Rules = Rules()

  @property
  def loc(self) -> jax.Array:  # pyright: ignore[reportIncompatibleVariableOverride]
    """The mean."""
    return self.mean

  @property
  def _mean(self) -> jax.Array:
    return self.mean.astype(jnp.float32)

  def _typed(self, mean: jax.Array, var: jax.Array) -> "Moments":
    return self.like(mean.astype(self.dtype), var)

  def affine(self, value, kernel, linear):
    """The variance passes the squared kernel."""
    square = jnp.square(kernel.astype(jnp.float32))
    return self.like(value, linear(square, self.var))

  def times(self, factor):
    """The variance takes the factor's square."""
    wide = jnp.asarray(factor, jnp.float32)
    return self.like(self.mean * factor, self.var * jnp.square(wide))

  def plus(self, offset):
    """The variance stays."""
    mean = self.mean + offset
    return self.like(mean, jnp.broadcast_to(self.var, mean.shape))

  def add(self, other):
    """Variances of independent values add up."""
    return self.like(self.mean + other.mean, self.var + other.var)

  def contract(self, function, other):
    """As of independent values."""
    mean, var = self._mean, self.var
    other_mean, other_var = other._mean, other.var
    out_var = (
      function(jnp.square(mean), other_var)
      + function(var, jnp.square(other_mean))
      + function(var, other_var)
    )
    return self._typed(function(mean, other_mean), out_var)

  def sum(self, axes):
    """Variances of independent values add up."""
    mean = self.mean.sum(axes, dtype=jnp.float32)
    return self._typed(mean, self.var.sum(axes))

  def normalise(self, value, standardised, factor, axes, centred):
    """To first order, the statistics' own noise included."""
    var = rules.normalised_var(standardised, self.var, axes, centred)
    return self.like(value, var * jnp.square(factor))

  def unary(self, function):
    """By quadrature in the mode "moment", to first order in the others."""
    if self.rules.relu == "moment":
      moments = rules.quadrature(
        function, self._mean, self.var, self.rules.points
      )
    else:
      moments = rules.linearised(function, self._mean, self.var)
    return self._typed(*moments)

  def relu(self):
    """As `rules.relu` says."""
    if self.rules.relu == "moment":
      mean, var, _ = rules.rectified(self._mean, self.var)
      return self._typed(mean, var)
    mean = jax.nn.relu(self.mean)
    if self.rules.relu == "linear":
      return self.like(mean, jnp.where(self.mean > 0, self.var, 0.0))
    return self.like(mean, self.var)

  def maximum(self, other):
    """As `rules.pool` says."""
    if self.rules.pool == "clark":
      return self._typed(
        *rules.larger(self._mean, self.var, other._mean, other.var)
      )
    first = self.mean >= other.mean
    mean = jnp.maximum(self.mean, other.mean)
    return self.like(mean, jnp.where(first, self.var, other.var))

  def softmax(self, axis):
    """To first order."""
    return self._typed(*rules.softmax(self._mean, self.var, axis))
