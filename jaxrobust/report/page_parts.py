"""What a page is put together from: figures, tables and their CSV files."""

import base64
import csv
import dataclasses
import gzip
import io
import math
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from jaxrobust import evaluation
from jaxrobust.report.page_rows import Section, Stat

NO_ROW = "–"
MARK = "◆"
_LARGE = 200_000  # characters, above which a CSV file is compressed


@dataclasses.dataclass(frozen=True)
class Download:
  """A CSV file inside the page."""

  file: str
  uri: str


@dataclasses.dataclass(frozen=True)
class Figure:
  """A chart with its words."""

  title: str
  chart: Markup
  caption: str
  download: Download


@dataclasses.dataclass(frozen=True)
class Td:
  """One cell of a table.

  Attributes:
    text: What it shows.
    sort: By what it is sorted, where that is not the text's first number.
    hint: Words for the pointer.
    heat: The background's depth in %, or None.
    best: Whether it is the best of its column.
    marked: Whether the method was trained on what the column tests.
  """

  text: str
  sort: str = ""
  hint: str = ""
  heat: int | None = None
  best: bool = False
  marked: bool = False


@dataclasses.dataclass(frozen=True)
class Th:
  """The head of a column, with a second, smaller line."""

  text: str
  small: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
  """A table that can be sorted.

  Attributes:
    title: What it says.
    head: Its columns; the first names the lines.
    lines: Its lines.
    note: Words below it.
    download: The same as CSV.
    look: "upright" if the heads are of narrow columns and stand upright,
      "words" if the cells are words.
  """

  title: str
  head: Sequence[Th]
  lines: Sequence[Sequence[Td]]
  note: str
  download: Download
  look: str = ""


@dataclasses.dataclass(frozen=True)
class Looks:
  """How the methods of a section are drawn.

  Attributes:
    style: The number of each method's style.
    faded: Those in the background until they are chosen.
  """

  style: Mapping[str, int]
  faded: frozenset[str] = frozenset()


def download(name: str, lines: Iterable[Sequence[Any]]) -> Download:
  """Packs lines as a CSV file that a link holds.

  Args:
    name: What it is of; becomes the file's name.
    lines: The cells, the head first. None is an empty cell.

  Returns:
    The file, as a data URI; compressed if it is large.

  Example:
    >>> download("A b/c", [["x"], [0.5]])
    Download(file='A-b-c.csv', uri='data:text/csv;charset=utf-8,x%0A0.5%0A')
  """
  buffer = io.StringIO()
  csv.writer(buffer, lineterminator="\n").writerows(lines)
  file = re.sub(r"[^\w.=,+-]+", "-", name).strip("-") or "rows"
  if buffer.tell() > _LARGE:
    packed = gzip.compress(buffer.getvalue().encode(), mtime=0)
    body = base64.b64encode(packed).decode()
    return Download(
      f"{file[:80]}.csv.gz", f"data:application/gzip;base64,{body}"
    )
  # What a URI may hold without quoting keeps the page small.
  body = urllib.parse.quote(buffer.getvalue(), safe="/:;,=()*!@$[]|~+-._?")
  return Download(f"{file[:80]}.csv", f"data:text/csv;charset=utf-8,{body}")


def rows_file(name: str, rows: Iterable[Mapping[str, Any]]) -> Download:
  """Packs rows of results, with the columns that they have on disk."""
  columns = evaluation.COLUMNS
  lines = ([row[column] for column in columns] for row in rows)
  return download(name, [columns, *lines])


def table_file(
  name: str, head: Sequence[Th], lines: Sequence[Sequence[Td]]
) -> Download:
  """Packs what a table shows."""
  heads = [" ".join(filter(None, (th.text, th.small))) for th in head]
  return download(name, [heads, *([td.text for td in line] for line in lines)])


def number(stat: Stat | None, scale: float = 1.0, digits: int = 0) -> Td:
  """A cell with mean and spread.

  Args:
    stat: The number; None where there is no row.
    scale: What it is multiplied by, as 100 for %.
    digits: Behind the point; 0 for as many as four figures take.

  Returns:
    The cell. A number that is none is shown as such, and so is a mean that
    lacks some of its tests.

  Example:
    >>> number(Stat(0.5, 0.01, 3), 100, 1).text, number(None).text
    ('50.0 ± 1.0', '–')
  """
  if stat is None:
    return Td(NO_ROW, hint="no row")
  hints = []
  mean = scale * stat.mean
  if stat.partial:
    hints.append("mean over those tests that were run, not all of the column")
  if stat.broken:
    hints.append(
      f"missing, or no finite number, for {stat.broken} of {stat.seeds} seeds"
    )
  hint = "; ".join(hints)
  star = "*" if stat.partial else ""
  if not math.isfinite(mean):
    text = {math.inf: "∞", -math.inf: "−∞"}.get(mean, "NaN")
    sort = "" if math.isnan(mean) else str(mean).replace("inf", "Infinity")
    return Td(text + star, sort=sort, hint=hint)
  spread = scale * stat.sd if stat.sd else 0.0
  if not digits and spread and 1e-3 <= abs(mean) < 1e3:
    digits = 3 - math.floor(math.log10(abs(mean)))
  text = f"{mean:.{digits}f}" if digits else f"{mean:.4g}"
  if stat.sd is not None:
    text += f" ± {spread:.{digits}f}" if digits else f" ± {spread:.2g}"
  return Td(text + star, hint=hint)


def with_best(
  lines: Sequence[Sequence[Td]], stats: Sequence[Sequence[Any]], lowest: bool
) -> list[list[Td]]:
  """Marks the best of every column of numbers.

  Args:
    lines: The table's lines.
    stats: What they show: per line a `Stat`, or None, per cell.
    lowest: Whether the lowest is the best.

  Returns:
    The lines. A column with one number has no best.
  """
  found = [list(line) for line in lines]
  for column in range(len(stats[0]) if stats else 0):
    means = {
      place: line[column].mean
      for place, line in enumerate(stats)
      if isinstance(line[column], Stat) and math.isfinite(line[column].mean)
    }
    if len(means) > 1:
      best = (min if lowest else max)(means.values())
      for place, mean in means.items():
        if mean == best:
          td = found[place][column]
          found[place][column] = dataclasses.replace(td, best=True)
  return found


def soft(text: str) -> Markup:
  """Text that may break after the marks within names."""
  safe = str(escape(text))
  return Markup(re.sub(r"(?<=[_(/=,\]+-])(?=[^\W\d])", "<wbr>", safe))


def count_text(counts: Iterable[int | None]) -> str:
  """Numbers of examples, as "n = 1,000"; with several, all of them."""
  known = sorted({count for count in counts if count is not None})
  return f"n = {' or '.join(f'{count:,}' for count in known)}" if known else ""


def digits_for(count: int | None) -> int:
  """Digits behind the point of a percentage of so many examples."""
  return 2 if (count or 0) >= 5000 else 1


def looks(section: Section, ranked: Sequence[str], most: int = 7) -> Looks:
  """Gives every method a style, and puts all but a few in the background.

  Args:
    section: Whose methods.
    ranked: The methods, the best first.
    most: How many are drawn in full, if there are more than so many.

  Returns:
    Their looks. In the foreground are "standard", the best method of each
    kind of training input, and the best of the others.
  """
  methods = section.methods
  style = {method: place for place, method in enumerate(methods)}
  if len(methods) <= most:
    return Looks(style)
  best: dict[str, str] = {}
  for method in ranked:
    best.setdefault(section.trained_on[method], method)
  first = [method for method in ranked if method in best.values()]
  baseline = [method for method in methods if method == "standard"]
  shown = list(dict.fromkeys([*baseline, *first, *ranked]))[:most]
  return Looks(style, frozenset(set(methods) - set(shown)))
