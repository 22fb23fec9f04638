"""Pictures of the inverse scale space: levels, supports, pieces, percolation.

`jaxrobust smooth` draws them for a folder of images.
"""

import colorsys
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from jaxrobust import inverse_scale
from jaxrobust.report import runs

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

# Kesten 1980: bonds of the square lattice percolate when half of them are open.
THRESHOLD = 0.5

_CELL = 2.1  # inches
_CAPTION = 0.3
_LARGEST = "#3B4252"
_CRUMB = 1e-4  # of the pixels: pieces up to this are not told apart
_OWN_LINES = 6


class Level(NamedTuple):
  """One level of one image.

  Attributes:
    fraction: The share of edges that was asked for.
    reached_fraction: The share that is in the support.
    hit_fraction: The share that had opened when the flow ended.
    image: float32 [H, W, C].
    support: float32 [H, W], the share of the edges that start at a pixel that
      are sharp.
    labels: int32 [H, W], the pieces of the middle channel.
    components: The number of pieces, the mean over channels.
    largest_component: The share of pixels in the largest, the mean likewise.
    psnr: Against the image that was smoothed, in dB.
  """

  fraction: float
  reached_fraction: float
  hit_fraction: float
  image: np.ndarray
  support: np.ndarray
  labels: np.ndarray
  components: float
  largest_component: float
  psnr: float

  def row(self, name: str) -> dict[str, Any]:
    """The numbers of the level, by column."""
    return {
      "image": name,
      "fraction": self.fraction,
      "reached_fraction": self.reached_fraction,
      "hit_fraction": self.hit_fraction,
      "components": self.components,
      "largest_component": self.largest_component,
      "psnr": self.psnr,
    }


class Scene(NamedTuple):
  """One image and its levels.

  Attributes:
    name: What it is called.
    image: float32 [H, W, C] in [0, 1].
    levels: From coarse to fine.
    shared: Whether the channels have one map of pieces.
  """

  name: str
  image: np.ndarray
  levels: list[Level]
  shared: bool


def scene(
  name: str, image: np.ndarray, fractions: Sequence[float], **options: Any
) -> Scene:
  """Smooths one image to several levels, and measures them.

  Args:
    name: What it is called.
    image: float32 [H, W, C] in [0, 1].
    fractions: The shares of edges, from coarse to fine.
    **options: nu, steps, edges and output of `inverse_scale.path`.

  Returns:
    The image with its levels.

  Raises:
    ValueError: As `inverse_scale.path` does.

  Example:
    >>> stairs = np.float32([0, 0, 0.6, 1]).reshape((1, 4, 1))
    >>> found = scene("stairs", stairs, [0.0, 1 / 3], output="Py")
    >>> [(level.components, round(level.psnr)) for level in found.levels]
    [(1.0, 7), (2.0, 17)]
  """
  images = np.asarray(image, np.float32)[None]
  measured = jax.device_get(
    _measured(images, tuple(fractions), tuple(sorted(options.items())))
  )
  smoothed, support, labels, counts, largest, psnr = measured
  levels = []
  for number, fraction in enumerate(fractions):
    sharp = support[number, 0].astype(np.float32)
    levels.append(
      Level(
        fraction,
        float(smoothed.reached_fraction[number, 0]),
        float(smoothed.hit_fraction[number, 0]),
        smoothed.images[number, 0],
        sharp.mean(axis=(0, -1)),
        labels[number, 0, ..., labels.shape[-1] // 2],
        float(counts[number].mean()),
        float(largest[number].mean()),
        float(psnr[number, 0]),
      )
    )
  return Scene(name, images[0], levels, shared=labels.shape[-1] == 1)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _measured(images, fractions, options):
  smoothed = inverse_scale.path(images, fractions, **dict(options))

  def measure(level):
    image, support = level
    labels = inverse_scale.component_labels(support)
    return (
      labels,
      inverse_scale.component_count(labels),
      inverse_scale.largest_component(labels),
      inverse_scale.psnr(image, images),
    )

  levels = smoothed.images, smoothed.support
  return smoothed, smoothed.support, *jax.lax.map(measure, levels)


def contact_sheet(scenes: Sequence[Scene], about: str = "") -> "Figure":
  """The path of each image, with supports and pieces below its levels.

  Args:
    scenes: The images, with equally many levels.
    about: A line for the top.

  Returns:
    The figure: three rows per image. The first has the image and its levels,
    the second the sharp edges in black, the third the pieces in colours, the
    largest one dark and those of up to 1e-4 of the pixels white.

  Raises:
    ValueError: If there are no images.

  Example:
    >>> stairs = np.float32([0, 0, 0.6, 1]).reshape((1, 4, 1))
    >>> figure = contact_sheet([scene("stairs", stairs, [0.3, 0.6])])
    >>> len(figure.axes)
    9
  """
  import matplotlib.figure
  from matplotlib.layout_engine import ConstrainedLayoutEngine

  if not scenes:
    raise ValueError("scenes=[]: must be at least one")
  columns = 1 + max(len(one.levels) for one in scenes)
  # Very long or very tall images get cells that are less so.
  ratios = [
    float(np.clip(one.image.shape[0] / one.image.shape[1], 0.3, 2.0))
    for one in scenes
  ]
  heights = [_CELL * ratio + _CAPTION for ratio in ratios for _ in range(3)]
  figure = matplotlib.figure.Figure(
    figsize=(_CELL * columns + 0.2, sum(heights) + (0.35 if about else 0.05)),
    layout=ConstrainedLayoutEngine(
      w_pad=0.03, h_pad=0.02, wspace=0.0, hspace=0.0
    ),
  )
  panels = figure.subplots(
    len(heights), columns, squeeze=False, height_ratios=heights
  )
  for axes in panels.ravel():
    axes.set_axis_off()
  for number, one in enumerate(scenes):
    _draw_scene(panels[3 * number : 3 * number + 3], one)
  if about:
    figure.suptitle(about, fontsize="medium")
  return figure


def _draw_scene(panels: np.ndarray, one: Scene) -> None:
  _show(panels[0, 0], one.image, f"{one.name}\n{_size(one.image)}")
  for row, text in (
    (1, "support\n\nblack: sharp edges"),
    (
      2,
      "pieces\n\njoined where no edge is\nsharp; the largest is dark,\n"
      "the smallest are white" + ("" if one.shared else "\n\n(middle channel)"),
    ),
  ):
    panels[row, 0].text(
      0.96, 0.5, text, transform=panels[row, 0].transAxes,
      ha="right", va="center", fontsize=9, color="0.25",
    )  # fmt: skip
  for column, level in enumerate(one.levels, start=1):
    _show(
      panels[0, column],
      level.image,
      f"f = {level.fraction:g}\n{level.psnr:.1f} dB",
    )
    _show(
      panels[1, column],
      1 - level.support[..., None],
      f"{100 * level.reached_fraction:.0f} % of the edges",
    )
    _show(
      panels[2, column],
      _coloured(level.labels),
      f"{level.components:,.0f} pieces, largest "
      f"{100 * level.largest_component:.0f} %",
    )


def _show(axes: "Axes", image: np.ndarray, title: str) -> None:
  shown = np.clip(image, 0, 1)
  if shown.shape[-1] == 1:
    shown = shown.repeat(3, axis=-1)
  axes.imshow(shown)
  axes.set_title(title, fontsize=9, pad=3)
  axes.set_axis_on()
  axes.set(xticks=[], yticks=[])
  for spine in axes.spines.values():
    spine.set(color="0.7", linewidth=0.5)


def _size(image: np.ndarray) -> str:
  height, width, channels = image.shape
  kind = "grey" if channels == 1 else "colour"
  return f"{width} × {height}, {kind}"


def _coloured(labels: np.ndarray) -> np.ndarray:
  """A colour [H, W, 3] for each piece, the largest dark and crumbs white."""
  _, place, size = np.unique(labels, return_inverse=True, return_counts=True)
  rng = np.random.default_rng(0)
  hues = rng.permutation(len(size)) / len(size)
  values = rng.uniform(0.75, 1.0, len(size))
  palette = np.asarray(
    [
      colorsys.hsv_to_rgb(hue, 0.45, value)
      for hue, value in zip(hues, values, strict=True)
    ]
  )
  # Colours of single pixels would mix to a grey noise.
  palette[size <= max(1, labels.size * _CRUMB)] = 1
  largest = _LARGEST.removeprefix("#")
  palette[size.argmax()] = [
    int(largest[start : start + 2], 16) / 255 for start in (0, 2, 4)
  ]
  return palette[place.reshape(labels.shape)]


def percolation(rows: Sequence[Mapping[str, Any]]) -> "Figure":
  """The largest piece and the number of pieces against the level.

  Args:
    rows: As `Level.row` gives them, of one or more images.

  Returns:
    The figure: a line per image, or for more than six of them thin lines and
    the median, over the share of sharp edges that was reached; and dashed,
    where bonds of the square lattice percolate at random.

  Raises:
    ValueError: If there are no rows.

  Example:
    >>> stairs = np.float32([0, 0, 0.6, 1]).reshape((1, 4, 1))
    >>> levels = scene("stairs", stairs, [0.3, 0.6]).levels
    >>> figure = percolation([level.row("stairs") for level in levels])
    >>> figure.axes[0].lines[0].get_label()
    'stairs'
  """
  import matplotlib.figure

  if not rows:
    raise ValueError("rows=[]: must be at least one")
  figure = matplotlib.figure.Figure(figsize=(9.6, 4.0), layout="constrained")
  left, right = figure.subplots(1, 2)
  for axes, column, what in (
    (left, "largest_component", "share of pixels in the largest piece"),
    (right, "components", "number of pieces"),
  ):
    _draw_lines(axes, rows, column)
    axes.axvline(THRESHOLD, color="0.35", ls="--", lw=1, zorder=1)
    axes.set(xlabel="share of edges that are sharp", ylabel=what, xlim=(0, 1))
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
  left.set_ylim(0, 1.02)
  right.set_yscale("log")
  left.annotate(
    "random bonds of the square\nlattice: below 1/2 one piece\nspans it",
    (THRESHOLD, 0.97), (6, 0), xycoords="data", textcoords="offset points",
    va="top", fontsize=8.5, color="0.25",
  )  # fmt: skip
  right.legend(frameon=False, loc="lower right")
  return figure


def _draw_lines(
  axes: "Axes", rows: Sequence[Mapping[str, Any]], column: str
) -> None:
  lines: dict[str, list[tuple[float, float]]] = {}
  for row in rows:
    point = (row["reached_fraction"], row[column])
    lines.setdefault(row["image"], []).append(point)
  if len(lines) <= _OWN_LINES:
    for (name, points), (colour, marker) in zip(
      lines.items(), runs.styles(), strict=False
    ):
      x, y = zip(*sorted(points), strict=True)
      axes.plot(x, y, color=colour, marker=marker, ms=4, lw=1.4, label=name)
    return
  for points in lines.values():
    axes.plot(
      *zip(*sorted(points), strict=True), color="#56B4E9", lw=0.7, alpha=0.5
    )
  by_level: dict[float, list[tuple[float, float]]] = {}
  for row in rows:
    point = (row["reached_fraction"], row[column])
    by_level.setdefault(row["fraction"], []).append(point)
  medians = [np.median(by_level[level], axis=0) for level in sorted(by_level)]
  axes.plot(
    *np.transpose(medians), color="#0072B2", marker="o", ms=4, lw=1.8,
    label=f"median of {len(lines)} images",
  )  # fmt: skip
