"""Line charts as inline SVG that takes its colours from the page.

A line's colour, dashes and marker are those of its style, a number: 6 colours
that are told apart with any colour vision, 5 markers, and 4 kinds of dashes,
which change with each round of the colours.
"""

import dataclasses
import itertools
import math
import textwrap
from collections.abc import Sequence

from markupsafe import Markup

COLOURS, DASHES = 6, 4
_WIDTH, _HEIGHT = 360, 262
_LEFT, _RIGHT, _TOP = 50, 12, 10
_LINE = 13  # of text, pixels
_MARKED = 14  # points of a line, up to which each has a marker


@dataclasses.dataclass(frozen=True)
class Line:
  """One line of a chart.

  Attributes:
    name: What it is of.
    style: Its look.
    points: (x, y), x rising. A y that is no number parts the line.
    band: (x, low, high).
    ringed: Whether its markers are hollow.
    faded: Whether it is in the background until it is chosen.
    group: What chooses it: the place of its entry in a legend.
    dashed: Whether it is dashed whatever its style.
  """

  name: str
  style: int
  points: Sequence[tuple[float, float]]
  band: Sequence[tuple[float, float, float]] = ()
  ringed: bool = False
  faded: bool = False
  group: int = 0
  dashed: bool = False


def line_chart(
  lines: Sequence[Line],
  *,
  x_label: str,
  y_label: str,
  alt: str,
  y_limits: tuple[float | None, float | None] = (None, None),
  log_y: bool = False,
  diagonal: bool = False,
) -> Markup:
  """Draws lines with their bands.

  Args:
    lines: At least one point among them is finite.
    x_label: The title of the axis, with its unit.
    y_label: The title of the other.
    alt: What a reader who does not see the chart is told.
    y_limits: What the axis must not leave.
    log_y: Whether that axis is logarithmic; points at or below 0 are left out.
    diagonal: Whether to draw y = x.

  Returns:
    An <svg> element.

  Raises:
    ValueError: If no point can be drawn.
  """

  def scaled(y: float) -> float:
    if not math.isfinite(y) or (log_y and y <= 0):
      return math.nan
    return math.log10(y) if log_y else y

  xs = [x for line in lines for x, y in line.points if scaled(y) == scaled(y)]
  ys = [scaled(y) for line in lines for _, y in line.points]
  for line in lines:
    if not line.faded:
      ys += [scaled(y) for _, *ends in line.band for y in ends]
  ys = [y for y in ys if not math.isnan(y)]
  if not xs:
    raise ValueError("lines: must have a point that is a number")
  if diagonal:
    xs, ys = [*xs, 0.0, 1.0], [*ys, *(y for y in y_limits if y is not None)]
  words = textwrap.wrap(x_label, 54)
  bottom = _HEIGHT - 24 - _LINE * len(words)
  x_ticks = _ticks(min(xs), max(xs))
  y_ticks = _log_ticks(min(ys), max(ys)) if log_y else _ticks(min(ys), max(ys))
  x_ends = _ends(min(xs), max(xs), x_ticks, (None, None), 0.02)
  y_ends = _ends(min(ys), max(ys), y_ticks, y_limits, 0.04)
  across = _Scale(x_ends, (_LEFT, _WIDTH - _RIGHT))
  down = _Scale(y_ends, (bottom, _TOP))

  parts = [
    Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">')
    .format(_WIDTH, _HEIGHT, alt)
  ]  # fmt: skip
  parts += _axes(across, down, x_ticks, y_ticks, log_y)
  for number, text in enumerate(words):
    place = (_LEFT + _WIDTH - _RIGHT) / 2, bottom + 32 + _LINE * number
    parts.append(_text(*place, text, "title"))
  middle = (_TOP + bottom) / 2
  parts.append(
    Markup('<text class="title" transform="translate(12 {}) rotate(-90)">{}'
           "</text>").format(_number(middle), y_label)
  )  # fmt: skip
  if diagonal:
    parts.append(
      Markup('<path class="diagonal" d="M{} {}L{} {}"/>').format(
        *map(_number, (across(0), down(0), across(1), down(y_ends[1])))
      )
    )
  # The chosen lines lie on top.
  for line in sorted(lines, key=lambda line: not line.faded):
    parts.append(_draw(line, across, lambda y: down(scaled(y))))
  return Markup("").join([*parts, Markup("</svg>")])


def swatch(style: int) -> Markup:
  """A short line in a style, with its marker, for a legend.

  Args:
    style: As of a line.

  Returns:
    An <svg> element without words.
  """
  line = Line("", style, [(0.0, 8.0), (15.0, 8.0), (30.0, 8.0)])
  return Markup(
    '<svg class="swatch {}" viewBox="0 0 30 16" aria-hidden="true">'
    '<path class="stroke" d="M0 8L30 8"/><path class="dots" d="{}"/></svg>'
  ).format(_classes(line), _marker(style, 15.0, 8.0))


class _Scale:
  """Takes numbers linearly to pixels."""

  def __init__(self, ends: tuple[float, float], pixels: tuple[float, float]):
    self.ends, self.pixels = ends, pixels

  def __call__(self, value: float) -> float:
    (low, high), (first, last) = self.ends, self.pixels
    return first + (value - low) / (high - low) * (last - first)


def _draw(line: Line, across, down) -> Markup:
  places = [(across(x), down(y)) for x, y in line.points]
  shown = [(x, y) for x, y in places if not math.isnan(y)]
  strokes, marks = "", ""
  for good, piece in itertools.groupby(places, lambda p: not math.isnan(p[1])):
    if good:
      strokes += "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in piece)
  if len(shown) <= _MARKED:
    marks = "".join(_marker(line.style, x, y) for x, y in shown)
  band = ""
  ends = [(across(x), down(low), down(high)) for x, low, high in line.band]
  ends = [e for e in ends if not any(map(math.isnan, e))]
  if len(ends) > 1:
    outline = [(x, high) for x, _, high in ends]
    outline += [(x, low) for x, low, _ in reversed(ends)]
    band = "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in outline)
  return Markup(
    '<g class="line {}{}{}" data-m="{}"><title>{}</title>{}'
    '<path class="stroke" d="{}"/>{}</g>'
  ).format(
    _classes(line),
    " ringed" if line.ringed else "",
    " off" if line.faded else "",
    line.group,
    line.name,
    Markup('<path class="band" d="{}Z"/>').format(band) if band else "",
    strokes,
    Markup('<path class="dots" d="{}"/>').format(marks) if marks else "",
  )


def _classes(line: Line) -> str:
  dashes = 1 if line.dashed else line.style // COLOURS % DASHES
  return f"c{line.style % COLOURS} d{dashes}"


def _marker(style: int, x: float, y: float, r: float = 3.0) -> str:
  """A circle, square, triangle, diamond or triangle on its head."""
  shape = (style + style // 5) % 5  # A colour beside it has another.
  if shape == 0:
    left, turn = _number(x - r), f"a{r:g} {r:g} 0 1 0 "
    return f"M{left} {_number(y)}{turn}{2 * r:g} 0{turn}{-2 * r:g} 0z"
  corners = {
    1: ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    2: ((0.0, -1.3), (1.2, 0.9), (-1.2, 0.9)),
    3: ((0.0, -1.4), (1.4, 0.0), (0.0, 1.4), (-1.4, 0.0)),
    4: ((0.0, 1.3), (1.2, -0.9), (-1.2, -0.9)),
  }[shape]
  moved = [f"{_number(x + r * u)} {_number(y + r * v)}" for u, v in corners]
  return f"M{'L'.join(moved)}z"


def _axes(across, down, x_ticks, y_ticks, log_y: bool) -> list[Markup]:
  left, right = across.pixels
  bottom, top = down.pixels
  grid = "".join(
    f"M{left} {_number(down(y))}H{right}"
    for y in y_ticks
    if top - 0.1 <= down(y) <= bottom + 0.1
  )
  parts = [
    Markup('<path class="grid" d="{}"/>').format(grid),
    Markup('<path class="axis" d="M{} {}H{}"/>').format(left, bottom, right),
  ]
  for y in y_ticks:
    if top - 0.1 <= down(y) <= bottom + 0.1:
      text = _tick(10**y) if log_y else _tick(y)
      parts.append(_text(left - 6, down(y) + 4, text, "y"))
  for x in x_ticks:
    if left - 0.1 <= across(x) <= right + 0.1:
      parts.append(_text(across(x), bottom + 15, _tick(x), "x"))
  return parts


def _text(x: float, y: float, words: str, kind: str) -> Markup:
  return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(
    kind, _number(x), _number(y), words
  )


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
  """Round numbers that cover a range."""
  spread = (high - low) or abs(high) or 1.0
  raw = spread / count
  power = 10.0 ** math.floor(math.log10(raw))
  step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= 0.999 * raw)
  first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
  return [round(k * step, 12) for k in range(first, max(last, first + 1) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
  """Powers of ten, as logarithms; 2s and 5s between few of them."""
  first, last = math.floor(low), math.ceil(high)
  every = max(1, (last - first) // 5)
  ticks = [float(k) for k in range(first, last + 1, every)]
  if last - first <= 2:
    within = [k + math.log10(m) for k in range(first, last) for m in (2, 5)]
    ticks = sorted(ticks + within)
  return ticks


def _ends(low, high, ticks, limits, margin) -> tuple[float, float]:
  """The range of an axis: a bit more than the data, and within its limits."""
  pad = margin * (high - low) or 0.5 * abs(ticks[-1] - ticks[0]) or 0.5
  low, high = low - pad, high + pad
  if limits[0] is not None:
    low = max(low, limits[0])
  if limits[1] is not None:
    high = min(high, limits[1])
  return (low, high) if high > low else (low - 0.5, low + 0.5)


def _tick(value: float) -> str:
  if value and not 1e-4 <= abs(value) < 1e6:
    mantissa, _, power = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(power)}"
  text = f"{value:.6g}"
  return text.replace("-", "−")


def _number(value: float) -> str:
  """A pixel, in few characters."""
  return f"{value:.1f}".removesuffix(".0")
