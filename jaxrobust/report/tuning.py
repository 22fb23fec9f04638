"""The figure of a search for the strength of noise, and of its learning."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart with any colour vision, and in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "osD^vP"
_VALUE = "value on the validation mix"
# A field with more values than this is shown by colour bar, not by legend.
_MOST_LINES = 6


@dataclasses.dataclass(frozen=True)
class Point:
  """One trial, as the figure shows it.

  Attributes:
    number: Its number.
    fields: What it tried, by dotted name.
    value: Its value; None if it has none.
    pruned: Whether it was ended early.
    is_default: Whether it tried the config's own values.
  """

  number: int
  fields: dict[str, Any]
  value: Any
  pruned: bool
  is_default: bool


@dataclasses.dataclass(frozen=True)
class Path:
  """How a strength was learned.

  Attributes:
    steps: The steps at which it was noted.
    alphas: The tail index there.
    flip_rates: Their P(|noise| > 0.5).
    value: The value of the model in the end; None if it is not there yet.
    end: The end point by dotted field, as "method.input.alpha".
  """

  steps: list[float]
  alphas: list[float]
  flip_rates: list[float]
  value: float | None
  end: dict[str, float]


def tuning_figure(
  points: Sequence[Point],
  log_fields: Sequence[str] = (),
  path: Path | None = None,
  title: str = "",
) -> "Figure":
  """Draws value against each field, the history, and the learned path.

  Args:
    points: The trials.
    log_fields: The fields with a logarithmic axis.
    path: The learned strength, if there is one.
    title: Above all.

  Returns:
    The figure.

  Raises:
    ValueError: If there is neither a trial nor a path.

  Example:
    >>> point = Point(0, {"method.input.alpha": 1.0}, 0.9, False, True)
    >>> len(tuning_figure([point]).axes)
    2
  """
  import matplotlib.figure

  if not points and path is None:
    raise ValueError("points: must hold a trial, unless there is a path")
  fields = list(points[0].fields) if points else []
  panels = len(fields) + bool(points) + 2 * (path is not None)
  columns = 2 if panels == 4 else min(panels, 3)
  rows = math.ceil(panels / columns)
  figure = matplotlib.figure.Figure(
    figsize=(4.2 * columns, 3.4 * rows), layout="constrained"
  )
  axes = list(figure.subplots(rows, columns, squeeze=False).flat)
  for unused in axes[panels:]:
    unused.remove()
  panel = iter(axes)
  for field in fields:
    _draw_field(next(panel), points, field, fields, log_fields, path)
  if points:
    _draw_history(next(panel), points)
  if path is not None:
    _draw_path(next(panel), path.steps, path.flip_rates, "P(|noise| > 0.5)")
    _draw_path(next(panel), path.steps, path.alphas, "tail index alpha")
  for one in axes[:panels]:
    one.grid(alpha=0.3)
    one.spines[["top", "right"]].set_visible(False)
  figure.suptitle(title, fontsize="medium")
  return figure


def _draw_field(
  axes: "Axes",
  points: Sequence[Point],
  field: str,
  fields: Sequence[str],
  log_fields: Sequence[str],
  path: Path | None,
) -> None:
  """Value against one field, a line per value of the other if they are few."""
  from matplotlib import ticker

  others = [f for f in fields if f != field]
  groups: dict[Any, list[Point]] = {}
  complete = [p for p in points if not p.pruned and p.value is not None]
  few = len(others) == 1 and (
    len({p.fields[others[0]] for p in points}) <= _MOST_LINES < len(points)
  )
  for point in complete:
    groups.setdefault(point.fields[others[0]] if few else None, []).append(
      point
    )
  for number, (value, group) in enumerate(sorted(groups.items(), key=str)):
    group = sorted(group, key=lambda p: p.fields[field])
    axes.plot(
      [_number(p.fields[field]) for p in group],
      [p.value for p in group],
      color=_COLOURS[number % len(_COLOURS)],
      marker=_MARKERS[number % len(_MARKERS)],
      linestyle="-" if few else "",
      markersize=5,
      label=f"{_short(others[0])} = {_shown(value)}" if few else "trial",
    )
  pruned = [p for p in points if p.pruned and p.value is not None]
  if pruned:
    axes.plot(
      [_number(p.fields[field]) for p in pruned],
      [p.value for p in pruned],
      "x",
      color="0.5",
      label="when pruned",
    )
  for point in complete:
    if point.is_default:
      axes.plot(
        [_number(point.fields[field])],
        [point.value],
        "*",
        color="black",
        markersize=13,
        label="the config's own",
      )
  if path is not None and path.value is not None and field in path.end:
    axes.plot(
      [path.end[field]],
      [path.value],
      "P",
      color="#CC79A7",
      markeredgecolor="black",
      markersize=10,
      label="learned",
    )
  if field in log_fields:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
  axes.set_xlabel(_short(field))
  axes.set_ylabel(_VALUE)
  axes.legend(frameon=False, fontsize="small")


def _draw_history(axes: "Axes", points: Sequence[Point]) -> None:
  from matplotlib import ticker

  complete = [p for p in points if not p.pruned and p.value is not None]
  pruned = [p for p in points if p.pruned and p.value is not None]
  for group, style, label, colour in (
    (complete, "o", "complete", _COLOURS[0]),
    (pruned, "x", "when pruned", "0.5"),
  ):
    if group:
      axes.plot(
        [p.number for p in group],
        [p.value for p in group],
        style,
        color=colour,
        label=label,
      )
  best, numbers, bests = -math.inf, [], []
  for point in complete:
    best = max(best, point.value)
    numbers.append(point.number)
    bests.append(best)
  axes.step(
    numbers, bests, where="post", color=_COLOURS[1], label="best so far"
  )
  axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  axes.set_xlabel("trial")
  axes.set_ylabel(_VALUE)
  axes.legend(frameon=False, fontsize="small")


def _draw_path(
  axes: "Axes", steps: Sequence[float], values: Sequence[float], label: str
) -> None:
  axes.plot(steps, values, color="#CC79A7")
  axes.plot(steps[-1:], values[-1:], "P", color="#CC79A7", markersize=9)
  axes.set_xlabel("step")
  axes.set_ylabel(f"learned {label}")


def _short(field: str) -> str:
  return field.rpartition(".")[2].replace("_", " ")


def _shown(value: Any) -> str:
  return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: Any) -> Any:
  """A value on an axis; words and truth values stand as categories."""
  return value if isinstance(value, (int, float)) else str(value)
