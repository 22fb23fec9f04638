"""The figure of a noise fit: histogram, tails, and probabilities."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import alpha_stable
from jaxrobust.alpha_stable import density

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

_DATA = "#5A5A5A"
# Two of Okabe and Ito's colours, as in the other figures.
_COLOURS = ("#D55E00", "#0072B2")
_STYLES = ("-", "--")
_BINS = 80
_CURVE = 400
_CHANCE = 1.36  # times 1/sqrt(n): the 95 % level of Kolmogorov and Smirnov


def noise_fit(
  samples: Any,
  laws: Mapping[str, alpha_stable.AlphaStable],
  limits: tuple[Any, Any] | None = None,
  unit: str = "",
) -> "Figure":
  """Draws samples of noise and the laws that were fitted to them.

  Three panels: the histogram with the densities, over the samples' middle
  99 %; the tails P(|x - loc| > t), on logarithmic axes; and by how much the
  share of samples below each quantile of a law differs from its probability,
  which is 0 for the true law but for chance. Clipped samples count towards
  all shares but lie in no bin; the curves are those of the samples that the
  limits let be seen.

  Args:
    samples: array of any shape.
    laws: one or two laws by their names, the fitted one first.
    limits: as for `alpha_stable.fit`.
    unit: the samples' unit, for the axes.

  Returns:
    The figure.
  """
  import matplotlib.figure

  values = np.asarray(samples, np.float64)
  if limits is None:
    limits = -np.inf, np.inf
  lower, upper = (
    np.broadcast_to(np.asarray(limit, np.float64), values.shape).ravel()
    for limit in limits
  )
  values = values.ravel()
  seen = values[(values > lower) & (values < upper)]
  shown = _Shown(lower, upper)
  figure = matplotlib.figure.Figure(figsize=(11.0, 3.7), layout="constrained")
  histogram, tails, probabilities = figure.subplots(1, 3)
  share = len(seen) / len(values)
  _draw_histogram(histogram, seen, share, laws, shown, unit)
  _draw_tails(tails, seen, share, laws, shown, unit)
  _draw_probabilities(probabilities, values, laws, (lower, upper))
  for axes in (histogram, tails, probabilities):
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
  title = f"{len(values):,} samples"
  if share < 1.0:
    title += f", {1.0 - share:.1%} of them clipped"
  histogram.set_title(title, fontsize="small")
  return figure


class _Shown:
  """The share of samples whose limits let a value be seen."""

  def __init__(self, lower: np.ndarray, upper: np.ndarray):
    self._lower, self._upper = np.sort(lower), np.sort(upper)

  def __call__(self, value: np.ndarray) -> np.ndarray:
    below = np.searchsorted(self._lower, value, side="left")
    above = np.searchsorted(self._upper, value, side="right")
    return (below - above) / len(self._lower)


def _density(law: alpha_stable.AlphaStable, value: np.ndarray) -> np.ndarray:
  standard = (value - law.loc) / law.scale
  log_prob = _log_prob(
    *(jnp.asarray(x, jnp.float32) for x in (standard, law.alpha, law.beta))
  )
  return np.exp(np.asarray(log_prob, np.float64)) / law.scale


# Traced parameters: one program for all laws.
_log_prob = jax.jit(lambda x, alpha, beta: density.log_prob(x, alpha, beta))


def _label(name: str, law: alpha_stable.AlphaStable) -> str:
  if law.alpha == 2.0:
    return name
  beta = "" if law.beta == 0.0 else f", β = {law.beta:.2f}"
  return f"{name}, α = {law.alpha:.3f}{beta}"


def _axis(name: str, unit: str) -> str:
  return f"{name} ({unit})" if unit else name


def _draw_histogram(
  axes: "Axes",
  seen: np.ndarray,
  share: float,
  laws: Mapping[str, alpha_stable.AlphaStable],
  shown: _Shown,
  unit: str,
) -> None:
  low, high = np.quantile(seen, [0.005, 0.995])
  edges = np.linspace(low, high, _BINS + 1)
  counts, _ = np.histogram(seen, edges)
  axes.stairs(
    counts * share / len(seen) / np.diff(edges),
    edges,
    fill=True,
    color=_DATA,
    alpha=0.35,
    label="samples",
  )
  grid = np.linspace(low, high, _CURVE)
  for (name, law), colour, style in zip(
    laws.items(), _COLOURS, _STYLES, strict=False
  ):
    axes.plot(
      grid,
      _density(law, grid) * shown(grid),
      color=colour,
      linestyle=style,
      label=_label(name, law),
    )
  axes.set_xlabel(_axis("noise", unit))
  axes.set_ylabel("density")
  axes.set_xlim(low, high)
  # Room for the legend above the peak.
  axes.set_ylim(0.0, 1.35 * axes.get_ylim()[1])
  axes.legend(frameon=False, fontsize="small", loc="upper left")


def _draw_tails(
  axes: "Axes",
  seen: np.ndarray,
  share: float,
  laws: Mapping[str, alpha_stable.AlphaStable],
  shown: _Shown,
  unit: str,
) -> None:
  first = next(iter(laws.values()))
  distance = np.sort(np.abs(seen - first.loc))
  distance = distance[distance > 0.0]
  size = len(distance)
  # Each point stands for at least one sample; a thousand are plenty to see.
  ranks = np.unique(np.geomspace(1, size, 1000).astype(int)) - 1
  axes.plot(
    distance[::-1][ranks],
    (ranks + 1) / len(seen) * share,
    ".",
    color=_DATA,
    markersize=3,
    label="samples",
  )
  low, high = np.quantile(distance, 0.02), distance[-1]
  bottom = 0.5 * share / len(seen)
  # Beyond the last sample the curve's own tail must still be summed.
  edges = np.geomspace(low, 1e4 * high, 4000)
  middles = np.sqrt(edges[1:] * edges[:-1])
  for law, colour, style in zip(laws.values(), _COLOURS, _STYLES, strict=False):
    places = first.loc + np.concatenate([middles, -middles])
    mass = (_density(law, places) * shown(places)).reshape(2, -1).sum(axis=0)
    tail = np.cumsum((mass * np.diff(edges))[::-1])[::-1]
    # What lies beyond the last edge falls as t^-alpha.
    tail += mass[-1] * middles[-1] / law.alpha
    kept = (edges[:-1] <= 1.5 * high) & (tail > bottom)
    axes.plot(edges[:-1][kept], tail[kept], color=colour, linestyle=style)
  axes.set_xscale("log")
  axes.set_yscale("log")
  axes.set_xlim(low, 1.5 * high)
  axes.set_ylim(bottom, 1.5)
  axes.set_xlabel(_axis("t", unit))
  axes.set_ylabel("share with |noise − loc| > t")


def _draw_probabilities(
  axes: "Axes",
  values: np.ndarray,
  laws: Mapping[str, alpha_stable.AlphaStable],
  limits: tuple[np.ndarray, np.ndarray],
) -> None:
  levels = np.linspace(0.0, 1.0, 401)
  chance = _CHANCE / np.sqrt(len(values))
  axes.axhspan(-chance, chance, color=_DATA, alpha=0.2, linewidth=0)
  axes.axhline(0.0, color=_DATA, linewidth=0.8)
  for law, colour, style in zip(laws.values(), _COLOURS, _STYLES, strict=False):
    uniforms = alpha_stable.probability_transform(values, law, limits)
    below = np.searchsorted(np.sort(uniforms), levels, side="right")
    excess = below / len(values) - levels
    axes.plot(levels, excess, color=colour, linestyle=style)
  axes.set_xlabel("probability below a quantile of the law")
  axes.set_ylabel("share of samples − probability")
  axes.set_xlim(0, 1)
  axes.set_title("band: what chance allows (95 %)", fontsize="small")
