"""Split expressions: 'train', 'train[:90%]', 'test[5000:]'."""

import dataclasses
import re

from jaxrobust.data.errors import DataError

_BOUND = r"(-?\d+%?)?"
_EXPRESSION = re.compile(rf"([\w.-]+)(?:\[{_BOUND}:{_BOUND}\])?")


@dataclasses.dataclass(frozen=True)
class Split:
  """A named split or a contiguous part of one.

  Attributes:
    expression: as written, for messages.
    base: the name of the whole split.
    start: an example count or a percentage ('90%'), from the end if negative;
      empty for the beginning.
    stop: likewise, exclusive; empty for the end.
  """

  expression: str
  base: str
  start: str = ""
  stop: str = ""

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
    expression: a split's name, alone or followed by `[start:stop]`; each bound
      is an example count, a percentage, or nothing, and counts from the end if
      negative.

  Returns:
    The parsed expression; its `bounds(size)` gives the range of examples.

  Raises:
    DataError: if the expression is not of this form.

  Example:
    >>> split = parse_split("train[90%:]")
    >>> split.base, split.bounds(60_000)
    ('train', (54000, 60000))
  """
  match = _EXPRESSION.fullmatch(expression)
  if match is None:
    raise DataError(
      f"split {expression!r} is not understood; allowed: NAME or "
      "NAME[start:stop] with counts or percentages, as 'train[:90%]'"
    )
  base, start, stop = match.groups(default="")
  return Split(expression, base, start, stop)
