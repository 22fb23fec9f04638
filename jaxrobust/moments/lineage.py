"""Which random values are made of the same units, and so are correlated.

The units of a state count as independent of one another: that is the diagonal
model. A layer that mixes units with weights, a matrix product or a
convolution, makes new ones. Everything else, an activation, a slice, a sum
over an axis, a maximum, a residual sum, is still made of the units it had, and
its product with another value of these is not that of independent values.
"""

import dataclasses
import itertools
from collections.abc import Hashable, Iterable
from typing import Literal

_NUMBERS = itertools.count()


@dataclasses.dataclass(frozen=True)
class Step:
  """How the elements of a value are taken from another one's.

  Attributes:
    kind: "move" takes every element at most once; "slice" is a move that takes
      start, start + stride, ... along each axis; "group" makes one of each of
      disjoint groups of elements, as a sum over an axis; "window" of groups
      that overlap; "blur" may use an element anywhere.
    key: equal keys are the same step; of a slice (starts, limits, strides).
  """

  kind: Literal["move", "slice", "group", "window", "blur"]
  key: Hashable


class Units:
  """The units of a state.

  Attributes:
    number: counts up; units are made of those with lower numbers only.
    parents: the values whose units they are made of without weights.
    sources: the states at the network's input that they depend on in any way;
      none if the states carry all correlations, so that nothing is refused.
  """

  def __init__(
    self,
    parents: Iterable["View"] = (),
    sources: frozenset[int] | None = None,
  ):
    self.number = next(_NUMBERS)
    self.parents = tuple(parents)
    if sources is None:
      sources = frozenset().union(*(p.units.sources for p in self.parents))
    self.sources = sources

  @classmethod
  def of_input(cls) -> "Units":
    """Those of a state at the network's input."""
    units = cls()
    units.sources = frozenset([units.number])
    return units

  def mixed(self, *others: "Units") -> "Units":
    """New ones, made of these, and of others, with weights."""
    both = self.sources.union(*(units.sources for units in others))
    return Units(sources=both)


@dataclasses.dataclass(frozen=True)
class View:
  """A value that consists of the elements of some units after some steps."""

  units: Units
  steps: tuple[Step, ...] = ()

  def after(self, *steps: Step) -> "View":
    """The value after further steps."""
    return View(self.units, self.steps + steps)

  def blurred(self, key: Hashable = None) -> "View":
    """A value that may use any of these elements anywhere."""
    return self.after(Step("blur", key))


def overlap(first: View, second: View) -> bool:
  """Whether an element of one is made of a unit that the other's is made of.

  Args:
    first: a value.
    second: a value that is combined with it elementwise.

  Returns:
    False only if the two are independent everywhere under the diagonal model.

  Example:
    >>> x = View(Units.of_input())
    >>> left = x.after(Step("slice", ((0,), (2,), (1,))))
    >>> right = x.after(Step("slice", ((2,), (4,), (1,))))
    >>> overlap(left, right), overlap(x, x), overlap(x, View(Units.of_input()))
    (False, True, False)
  """
  return _meets(first, second, lambda a, b: not _disjoint(a, b), {})


def statistic(first: View, second: View) -> bool:
  """Whether one is made of groups of the units that the other is made of.

  Args:
    first: a value.
    second: a value that is combined with it elementwise, as its mean.

  Returns:
    Whether they overlap, and only one of them has sums or maxima.

  Example:
    >>> x = View(Units.of_input())
    >>> statistic(x, x.after(Step("group", 0), Step("blur", 0)))
    True
  """
  return _meets(
    first,
    second,
    lambda a, b: not _disjoint(a, b) and _grouped(a) != _grouped(b),
    {},
  )


def _meets(first, second, meet, known):
  """Whether their steps from any units that both are made of do meet."""
  if not first.units.sources or not second.units.sources:
    return False
  if first.units is second.units:
    return meet(first.steps, second.steps)
  if first.units.number < second.units.number:
    first, second = second, first
  key = (first, second)
  if key not in known:
    # The newer units cannot be among the ancestors of the older.
    known[key] = any(
      _meets(parent.after(*first.steps), second, meet, known)
      for parent in first.units.parents
    )
  return known[key]


def _grouped(steps):
  return any(step.kind in ("group", "window") for step in steps)


def _disjoint(first, second):
  """Whether two ways from the same units never meet in one place."""
  for i, (a, b) in enumerate(zip(first, second, strict=False)):
    if a == b:
      if a.kind in ("blur", "window"):
        return False
      continue
    if a.kind != "slice" or b.kind != "slice":
      return False
    if _never_meet(a.key, b.key):
      return True
    # Equal steps after two shifted slices keep the shift.
    rest = first[i + 1 :]
    return (
      rest == second[i + 1 :]
      and all(step.kind in ("move", "slice") for step in rest)
      and _extent(a.key) == _extent(b.key)
    )
  return False


def _never_meet(first, second):
  """Whether two slices of the same value have no element in common."""
  ranges = (
    (range(*a), range(*b))
    for a, b in zip(
      zip(*first, strict=True), zip(*second, strict=True), strict=True
    )
  )
  return any(
    not set(a).intersection(b) if min(len(a), len(b)) else True
    for a, b in ranges
  )


def _extent(key):
  """Lengths and strides of a slice."""
  return tuple(
    (len(range(*bounds)), bounds[2]) for bounds in zip(*key, strict=True)
  )
