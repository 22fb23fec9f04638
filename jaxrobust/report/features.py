"""A picture of features in the plane: clean and noisy, by class.

`jaxrobust features RUN [RUN ...] --out=FILE.png` draws it for trained models.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

_COLUMNS = 2


@dataclasses.dataclass(frozen=True)
class Cloud:
  """The features of some examples of one model.

  Attributes:
    title: What is said above them.
    clean: [n, d], of the examples as they are.
    noisy: [n, d], of the same examples under noise.
    labels: integer [n].
    class_names: One name per class.
  """

  title: str
  clean: np.ndarray
  noisy: np.ndarray
  labels: np.ndarray
  class_names: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Plane:
  """The plane in which the means of the classes are the furthest apart.

  Attributes:
    centre: [d], what is at the origin: the mean of all.
    axes: [d, 2], orthonormal; with two classes the second is 0.
    between: The share of the classes' means' variance that the plane shows.
    total: The share of the variance of all points.
  """

  centre: np.ndarray
  axes: np.ndarray
  between: float
  total: float

  def project(self, points: np.ndarray) -> np.ndarray:
    """Coordinates [n, 2] of points [n, d]."""
    return (points - self.centre) @ self.axes


def discriminant_plane(points: np.ndarray, labels: np.ndarray) -> Plane:
  """The two leading directions of the scatter between classes.

    S_b = sum_c n_c (m_c - m) (m_c - m)^T

  Args:
    points: [n, d].
    labels: integer [n].

  Returns:
    The plane.

  Raises:
    ValueError: If there are fewer than two classes.

  Example:
    >>> points = np.asarray([[0.0, 0, 1], [0, 0, -1], [4, 0, 1], [4, 0, -1]])
    >>> plane = discriminant_plane(points, np.asarray([0, 0, 1, 1]))
    >>> plane.between, plane.total, abs(plane.axes[:, 0]).tolist()
    (1.0, 0.8, [1.0, 0.0, 0.0])
  """
  points = np.asarray(points, np.float64)
  classes = np.unique(labels)
  if len(classes) < 2:
    raise ValueError(f"labels of {len(classes)} class: must be of at least 2")
  centre = points.mean(axis=0)
  rows = [
    math.sqrt((labels == c).sum()) * (points[labels == c].mean(axis=0) - centre)
    for c in classes
  ]
  _, singular, directions = np.linalg.svd(np.stack(rows), full_matrices=False)
  axes = np.zeros((points.shape[1], 2))
  # The rank is below the number of classes.
  rank = min(2, len(classes) - 1, len(directions))
  axes[:, :rank] = directions[:rank].T
  energy = singular**2
  seen = (points - centre) @ axes
  return Plane(
    centre,
    axes,
    between=float(energy[:rank].sum() / energy.sum()),
    total=float((seen**2).sum() / ((points - centre) ** 2).sum()),
  )


def feature_clouds(clouds: Sequence[Cloud]) -> "Figure":
  """Features in the plane that sets their classes apart, a panel per model.

  The plane is that of the clean features; noisy ones are put into it.

  Args:
    clouds: The models' features.

  Returns:
    The figure: clean examples are points, noisy ones rings of the same colour;
    a class's name is at its clean mean, and a line leads to its noisy one.

  Raises:
    ValueError: If there are no clouds, or one has fewer than two classes.

  Example:
    >>> points = np.asarray([[0.0, 1.0], [1.0, 0.0]])
    >>> cloud = Cloud("one", points, points, np.asarray([0, 1]), "ab")
    >>> len(feature_clouds([cloud]).axes)
    1
  """
  import matplotlib.figure

  if not clouds:
    raise ValueError("clouds=[]: must be at least one")
  columns = min(_COLUMNS, len(clouds))
  lines = math.ceil(len(clouds) / columns)
  figure = matplotlib.figure.Figure(
    figsize=(6.4 * columns, 5.6 * lines + 0.4), layout="constrained"
  )
  panels = figure.subplots(lines, columns, squeeze=False).ravel()
  for axes in panels[len(clouds) :]:
    axes.remove()
  for axes, cloud in zip(panels, clouds, strict=False):
    _draw(axes, cloud)
  handles, labels = panels[0].get_legend_handles_labels()
  figure.legend(
    handles, labels, loc="outside lower center", ncols=4, frameon=False
  )
  return figure


def _draw(axes: "Axes", cloud: Cloud) -> None:
  plane = discriminant_plane(cloud.clean, cloud.labels)
  clean, noisy = plane.project(cloud.clean), plane.project(cloud.noisy)
  colours = _colours(len(cloud.class_names))
  for label in np.unique(cloud.labels).tolist():
    own = cloud.labels == label
    axes.scatter(
      *noisy[own].T,
      s=16,
      facecolors="none",
      edgecolors=colours[label],
      linewidths=0.7,
      alpha=0.6,
      zorder=1,
    )
    axes.scatter(
      *clean[own].T,
      s=7,
      color=colours[label],
      linewidths=0,
      alpha=0.7,
      zorder=2,
    )
  for label in np.unique(cloud.labels).tolist():
    own = cloud.labels == label
    mean, moved = clean[own].mean(axis=0), noisy[own].mean(axis=0)
    axes.plot(
      *np.stack([mean, moved]).T,
      color=colours[label],
      linewidth=1.4,
      marker="D",
      markersize=6,
      markevery=[1],
      markerfacecolor="white",
      markeredgewidth=1.6,
      zorder=3,
    )
    axes.annotate(
      cloud.class_names[int(label)],
      mean,
      ha="center",
      va="center",
      fontsize=8,
      zorder=4,
      bbox={
        "boxstyle": "round,pad=0.25",
        "facecolor": "white",
        "edgecolor": colours[label],
        "linewidth": 1.6,
      },
    )
  for name, marker, size, fill in (
    ("clean", "o", 12, "0.3"),
    ("noisy", "o", 22, "none"),
    ("class mean, clean", "s", 50, "white"),
    ("class mean, noisy", "D", 36, "white"),
  ):
    axes.scatter(
      [],
      [],
      label=name,
      marker=marker,
      s=size,
      facecolors=fill,
      edgecolors="0.3",
    )
  axes.set_title(
    f"{cloud.title}\n{100 * plane.between:.0f} % of the variance between "
    f"classes, {100 * plane.total:.0f} % of all",
    fontsize="medium",
  )
  axes.set_aspect("equal", adjustable="datalim")
  axes.set(xlabel="first direction", ylabel="second direction")
  axes.grid(alpha=0.2)
  axes.spines[["top", "right"]].set_visible(False)


def _colours(count: int) -> list[tuple[float, float, float]]:
  import matplotlib

  if count <= 10:
    found = matplotlib.colormaps["tab10"](np.arange(count))
  else:
    found = matplotlib.colormaps["gist_rainbow"](np.linspace(0, 1, count))
  return [(float(r), float(g), float(b)) for r, g, b, _ in found]
