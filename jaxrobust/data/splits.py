"""Split expressions: 'train', 'train[:90%]', 'train[not fold 0/5]'."""

import dataclasses
import math
import re
from collections.abc import Callable

import numpy as np

from jaxrobust.data.errors import DataError

_BOUND = r"(-?\d+%?)?"
_RANGE = rf"(?P<start>{_BOUND}):(?P<stop>{_BOUND})"
_FOLDS = r"(?P<rest>not )?fold (?P<parts>\d+(?:,\d+)*)/(?P<count>\d+)"
_EXPRESSION = re.compile(rf"(?P<base>[\w.-]+)(?:\[(?:{_RANGE}|{_FOLDS})\])?")


@dataclasses.dataclass(frozen=True)
class Split:
  """A named split, a contiguous part of one, or some of its folds.

  Attributes:
    expression: as written, for messages.
    base: the name of the whole split.
    start: an example count or a percentage ('90%'), from the end if negative;
      empty for the beginning.
    stop: likewise, exclusive; empty for the end.
    folds: the folds to take, from 0; empty for a range.
    fold_count: into how many folds the whole split is dealt; 0 for a range.
  """

  expression: str
  base: str
  start: str = ""
  stop: str = ""
  folds: tuple[int, ...] = ()
  fold_count: int = 0

  def positions(
    self, size: int, labels: Callable[[], np.ndarray]
  ) -> np.ndarray | slice:
    """The part's positions in the whole split.

    Args:
      size: the number of examples in the whole split.
      labels: gives the labels of the whole split, integer [N] or float
        [N, ...]; called for folds only.

    Returns:
      A slice for a range; for folds, rising positions, int64 [n].

    Raises:
      DataError: if the part is empty or reaches beyond the split.
    """
    if not self.folds:
      return slice(*self.bounds(size))
    chosen = np.isin(stratified_folds(labels(), self.fold_count), self.folds)
    if not chosen.any():
      raise DataError(
        f"split {self.expression!r} is empty: {self.base!r} has {size} examples"
      )
    return np.flatnonzero(chosen)

  def overlaps(self, other: "Split") -> bool:
    """Whether two parts are known to share examples, whatever their sizes.

    Args:
      other: another split of the same data set.

    Returns:
      True if they surely do, unless one is empty. Ranges are compared if
      both are in percent, or both in counts from the same end; others may
      share examples and give False.

    Example:
      >>> test = parse_split("train[fold 0/5]")
      >>> test.overlaps(parse_split("train[not fold 0/5]"))
      False
      >>> test.overlaps(parse_split("train"))
      True
      >>> parse_split("train[:90%]").overlaps(parse_split("train[80%:]"))
      True
    """
    if self.base != other.base:
      return False
    if self.folds and self.fold_count == other.fold_count:
      return not {*self.folds}.isdisjoint(other.folds)
    if self.folds or other.folds:
      # Folds of another number, or a range, cut across these folds.
      return True
    if self.start == other.start or self.stop == other.stop:
      return True  # They share their first example, or their last.
    if ("", "") in {(self.start, self.stop), (other.start, other.stop)}:
      return True
    one, two = self._interval(), other._interval()
    if one is None or two is None or one[0] != two[0]:
      return False
    return max(one[1], two[1]) < min(one[2], two[2])

  def _interval(self) -> tuple[str, float, float] | None:
    """What a range counts in and its ends; None if its bounds do not compare.

    Counts from the start run from 0 to infinity, counts from the end from
    minus infinity to 0, percentages from 0 to 100.
    """
    bounds = [bound for bound in (self.start, self.stop) if bound]
    percent = {bound.endswith("%") for bound in bounds}
    from_end = {bound.startswith("-") for bound in bounds}
    if percent == {True}:
      start, stop = (
        int(bound.removesuffix("%")) + (100 if bound.startswith("-") else 0)
        for bound in (self.start or "0%", self.stop or "100%")
      )
      return "percent", start, stop
    if percent != {False} or len(from_end) != 1:
      return None
    first, last = (-math.inf, 0.0) if from_end == {True} else (0.0, math.inf)
    return (
      f"counts from the {'end' if from_end == {True} else 'start'}",
      float(self.start or first),
      float(self.stop or last),
    )

  def bounds(self, size: int) -> tuple[int, int]:
    """The part's first position and the one after its last.

    Percentages are rounded to the nearest example, so that 'train[:90%]' and
    'train[90%:]' share no example and miss none.

    Args:
      size: the number of examples in the whole split.

    Returns:
      (start, stop) with 0 <= start < stop <= size.

    Raises:
      DataError: if the part is empty or reaches beyond the split.
    """
    start = self._position(self.start, size, 0)
    stop = self._position(self.stop, size, size)
    if start >= stop:
      raise DataError(
        f"split {self.expression!r} is empty: {self.base!r} has {size} "
        f"examples and the part runs from {start} to {stop}"
      )
    return start, stop

  def _position(self, bound: str, size: int, default: int) -> int:
    if not bound:
      return default
    number, unit = int(bound.removesuffix("%")), ""
    whole = size
    if bound.endswith("%"):
      whole, unit = 100, "%"
    if abs(number) > whole:
      raise DataError(
        f"split {self.expression!r} has bound {bound}; allowed for "
        f"{self.base!r}: {-whole}{unit} to {whole}{unit}"
      )
    position = round(number * size / whole) if unit else number
    return position + size if number < 0 else position


def parse_split(expression: str) -> Split:
  """Reads a split expression.

  Args:
    expression: a split's name, alone or followed by a part of it:

      * `[start:stop]`: each bound is an example count, a percentage, or
        nothing, and counts from the end if negative;
      * `[fold 0/5]`: the first of five folds; `[fold 0,1/5]`, two of them;
      * `[not fold 0/5]`: all but the first.

  Returns:
    The parsed expression; its `positions` gives the examples.

  Raises:
    DataError: if the expression is not of this form.

  Example:
    >>> split = parse_split("train[90%:]")
    >>> split.base, split.bounds(60_000)
    ('train', (54000, 60000))
    >>> parse_split("train[not fold 0/5]").folds
    (1, 2, 3, 4)
  """
  match = _EXPRESSION.fullmatch(expression)
  if match is None:
    raise DataError(
      f"split {expression!r} is not understood; allowed: NAME, "
      "NAME[start:stop] with counts or percentages, as 'train[:90%]', "
      "NAME[fold 0/5] or NAME[not fold 0/5]"
    )
  words = match.groupdict(default="")
  if not words["parts"]:
    return Split(expression, words["base"], words["start"], words["stop"])
  count = int(words["count"])
  folds = {int(part) for part in words["parts"].split(",")}
  if count < 2 or max(folds) >= count:
    raise DataError(
      f"split {expression!r}: allowed are folds 0 to K - 1 of K, as 'fold "
      "0/5', with K at least 2"
    )
  if words["rest"]:
    folds = set(range(count)) - folds
  if not folds or len(folds) == count:
    raise DataError(f"split {expression!r} is all folds or none of them")
  return Split(
    expression, words["base"], folds=tuple(sorted(folds)), fold_count=count
  )


def stratified_folds(labels: np.ndarray, count: int) -> np.ndarray:
  """Deals examples into folds with the same share of every class.

  Each class's examples are shuffled, the classes laid end to end, and the row
  dealt out in turn: fold sizes differ by at most one, and so do each class's
  counts. Real-valued labels are dealt as one class. The shuffle is from fixed
  raw bits, the same in every version of numpy.

  Args:
    labels: integer [N], or float [N, ...].
    count: the number of folds, at least 2.

  Returns:
    The fold of each example, int64 [N], from 0 to `count` - 1.

  Example:
    >>> folds = stratified_folds(np.asarray([0, 0, 1, 1, 1, 1]), 2)
    >>> np.bincount(folds).tolist(), sorted(folds[:2].tolist())
    ([3, 3], [0, 1])
  """
  labels = np.asarray(labels)
  classes = labels if labels.dtype.kind in "iu" else np.zeros(len(labels))
  shuffled = np.random.PCG64(0).random_raw(len(labels))
  folds = np.empty(len(labels), np.int64)
  folds[np.lexsort((shuffled, classes))] = np.arange(len(labels)) % count
  return folds
