"""The figure of pruning shows what the rows say, and refuses a mixture."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from jaxrobust.evaluation import COLUMNS, Results
from jaxrobust.report import figures, sparsity


def make_rows(method, seed, curve, hoyer=0.2, norm=0.04):
  run = f"{method}_{seed}"
  shared = dict.fromkeys(COLUMNS) | {
    "run": run,
    "method": method,
    "seed": seed,
    "step": 7,
    "dataset": "mnist",
    "split": "test",
    "n_examples": 10000,
    "trained_on": "clean",
  }
  rows = []
  for share, accuracy in curve.items():
    cell = {"perturbation": "pruned" if share else "clean", "strength": share}
    for metric, value in {
      "accuracy": accuracy,
      "accuracy_low": accuracy - 0.01,
      "accuracy_high": accuracy + 0.01,
    }.items():
      rows.append(shared | cell | {"metric": metric, "value": value})
  weights = {"perturbation": "weights", "strength": 0.0}
  rows.append(shared | weights | {"metric": "hoyer", "value": hoyer})
  rows.append(shared | weights | {"metric": "weight_norm", "value": norm})
  weights["strength"] = 0.01
  rows.append(shared | weights | {"metric": "share_below", "value": 0.1})
  return rows


@pytest.fixture
def rows():
  return (
    make_rows("standard", 0, {0.9: 0.5, 0.0: 0.9, 0.5: 0.8}, 0.20, 0.040)
    + make_rows("standard", 1, {0.0: 0.92, 0.5: 0.84, 0.9: 0.6}, 0.22, 0.044)
    + make_rows("alpha_stable", 0, {0.0: 0.88, 0.5: 0.87, 0.9: 0.7}, 0.25)
  )


def test_a_line_is_the_mean_over_runs_in_their_range(rows):
  left, _, _ = sparsity.accuracy_after_pruning(rows).axes
  lines = {line.get_label(): line for line in left.lines}
  assert set(lines) == {"standard (2)", "alpha-stable (1)"}
  standard = lines["standard (2)"]
  np.testing.assert_allclose(standard.get_xdata(), [0, 50, 90])
  np.testing.assert_allclose(standard.get_ydata(), [91, 82, 55])
  (band,) = left.collections  # A single run has no range.
  ends = band.get_paths()[0].vertices
  assert {50.0, 60.0} <= set(ends[ends[:, 0] == 90, 1].round(6))
  assert "mnist" in left.get_ylabel()
  assert "range" in left.get_title()


def test_a_network_that_adapts_is_no_network_of_its_own(rows):
  adapted = make_rows("standard", 0, {0.0: 0.95})[:3]
  adapted = [row | {"method": "standard + tent"} for row in adapted]
  left, _, _ = sparsity.accuracy_after_pruning(rows + adapted).axes
  labels = {line.get_label() for line in left.lines}
  assert labels == {"standard (2)", "alpha-stable (1)"}


def test_every_run_is_a_point_beside_the_mean_of_its_method(rows):
  _, above, below = sparsity.accuracy_after_pruning(rows).axes
  for axes, values, mean in (
    (above, [0.20, 0.22], 0.21),
    (below, [0.040, 0.044], 0.042),
  ):
    points = axes.lines[0]
    np.testing.assert_allclose(points.get_xdata(), [0, 0])
    np.testing.assert_allclose(points.get_ydata(), values)
    bar = axes.patches[0]
    np.testing.assert_allclose([bar.get_y(), bar.get_height()], [0, mean])
    assert axes.texts[0].get_text() == f"{mean:.3g}"
  labels = [label.get_text() for label in below.get_xticklabels()]
  assert labels == ["standard", "alpha-stable"]


@pytest.mark.parametrize(
  ("column", "value"),
  [("dataset", "cifar10"), ("split", "train[:9]"), ("n_examples", 9)],
)
def test_mixed_data_are_refused(rows, column, value):
  other = [
    row | {column: value} if row["method"] == "alpha_stable" else row
    for row in rows
  ]
  with pytest.raises(ValueError, match=f"must have one {column}"):
    sparsity.accuracy_after_pruning(other)


def test_two_steps_of_one_run_are_refused(rows):
  with pytest.raises(ValueError, match="seed 0: must have one step"):
    sparsity.accuracy_after_pruning(rows + [row | {"step": 8} for row in rows])


def test_the_same_seed_twice_is_refused(rows):
  again = [row | {"run": "again"} for row in rows]
  with pytest.raises(ValueError, match=r"one run per seed, .* \[0, 0, 1, 1\]"):
    sparsity.accuracy_after_pruning(rows + again)


def test_curves_over_other_shares_are_refused(rows):
  other = make_rows("gaussian", 0, {0.0: 0.9, 0.4: 0.8})
  with pytest.raises(ValueError, match="the same pruned shares"):
    sparsity.accuracy_after_pruning(rows + other)


@pytest.mark.parametrize("absent", ["pruned", "weights"])
def test_a_run_without_these_rows_is_told_how_to_get_them(rows, absent):
  rest = [row for row in rows if row["perturbation"] != absent]
  with pytest.raises(ValueError, match="jaxrobust evaluate --sparsity"):
    sparsity.accuracy_after_pruning(rest)


def test_the_command_writes_a_picture(rows, tmp_path, capsys):
  names = sorted({row["run"] for row in rows})
  for name in names:
    (tmp_path / name).mkdir()
    Results(tmp_path / name / "results.csv").append(
      [row for row in rows if row["run"] == name]
    )
  out = tmp_path / "made" / "figure.png"
  folders = [str(tmp_path / name) for name in names]
  assert sparsity.main([*folders, f"--out={out}"]) == 0
  assert capsys.readouterr().out.strip() == str(out)
  assert plt.imread(out).std() > 0.05  # Not a blank sheet.


def test_a_folder_without_rows_is_wrong_use(tmp_path, capsys):
  with pytest.raises(SystemExit) as caught:
    sparsity.main([str(tmp_path / "none"), "--out=x.png"])
  assert caught.value.code == 2
  assert "is this a run's folder?" in capsys.readouterr().err


def test_the_other_figure_does_not_take_weights_for_a_noise(rows):
  with pytest.raises(ValueError, match=r"must be one of \['pruned'\]"):
    figures.accuracy_against_strength(rows, "weights")
  (axes,) = figures.accuracy_against_strength(
    [row for row in rows if row["seed"] == 0], "pruned"
  ).axes
  assert "pruned" in axes.get_xlabel()
