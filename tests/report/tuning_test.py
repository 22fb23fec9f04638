"""The figure of a search shows every trial, and what was learned."""

import numpy as np
import pytest

from jaxrobust.report.tuning import Path, Point, tuning_figure

ALPHA, RATE = "method.input.alpha", "method.input.flip_rate"


def make_points():
  points = []
  for number in range(8):
    fields = {ALPHA: (0.5, 1.0)[number % 2], RATE: 0.01 * (9 - number)}
    pruned = number == 7
    points.append(Point(number, fields, 0.5 + 0.01 * number, pruned, False))
  return points


def test_the_curve_of_each_tail_index_is_in_the_order_of_strength():
  figure = tuning_figure(make_points(), [RATE])
  axes = next(a for a in figure.axes if a.get_xlabel() == "flip rate")
  lines = {line.get_label(): line for line in axes.lines}
  assert set(lines) == {"alpha = 0.5", "alpha = 1", "when pruned"}
  np.testing.assert_allclose(lines["alpha = 1"].get_xdata(), [0.04, 0.06, 0.08])
  np.testing.assert_allclose(lines["alpha = 1"].get_ydata(), [0.55, 0.53, 0.51])
  assert axes.get_xscale() == "log"


def test_the_history_shows_the_best_so_far():
  axes = tuning_figure(make_points()).axes[-1]
  (best,) = (line for line in axes.lines if line.get_label() == "best so far")
  np.testing.assert_allclose(best.get_ydata(), 0.5 + 0.01 * np.arange(7))


def test_the_learned_path_stands_beside_the_search():
  path = Path(
    steps=[1, 2],
    alphas=[1.0, 0.8],
    flip_rates=[0.1, 0.2],
    value=0.6,
    end={ALPHA: 0.8, RATE: 0.2},
  )
  figure = tuning_figure(make_points(), [RATE], path)
  assert len(figure.axes) == 5
  alone = tuning_figure([], (), path)
  np.testing.assert_allclose(alone.axes[0].lines[0].get_ydata(), [0.1, 0.2])


def test_nothing_to_show_is_refused():
  with pytest.raises(ValueError, match="must hold a trial"):
    tuning_figure([])
