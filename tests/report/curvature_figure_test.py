"""The figure of curvature shows what the rows say, and refuses a mixture."""

import numpy as np
import pytest

from jaxrobust.evaluation import COLUMNS, Results
from jaxrobust.report import curvature, figures, robustness, sparsity

EXACT = "gauss_newton_frobenius_squared"


def make_rows(method, seed, groups, *, pearson=-0.5, hs=(0.01,), std=0.1):
  """Groups are {count: (images, mean curvature)}."""
  shared = dict.fromkeys(COLUMNS) | {
    "run": f"{method}_{seed}",
    "method": method,
    "seed": seed,
    "step": 7,
    "dataset": "mnist",
    "split": "test",
    "trained_on": "clean",
    "perturbation": "curvature",
    "n_examples": sum(images for images, _ in groups.values()),
  }
  rows = [shared | {"strength": 0.0, "metric": EXACT, "value": 3.0}]
  for h in hs:
    value = {"metric": "finite_difference", "value": 1 / h}
    rows.append(shared | {"strength": h} | value)
  for count, (images, mean) in groups.items():
    cell = {"metric": f"{EXACT}(count={count})", "value": mean}
    rows.append(shared | {"strength": std, "n_examples": images} | cell)
  correlation = {"metric": "pearson", "value": pearson}
  return [*rows, shared | {"strength": std} | correlation]


@pytest.fixture
def rows():
  return (
    make_rows("standard", 0, {0: (10, 8.0), 10: (30, 2.0)})
    + make_rows("standard", 1, {0: (30, 4.0), 10: (10, 1.0)}, pearson=-0.3)
    + make_rows("noisy_view", 0, {9: (5, 1.0), 10: (35, 0.5)})
  )


def test_a_line_has_the_mean_over_the_images_of_all_runs(rows):
  (axes,) = curvature.curvature_against_count(rows).axes
  lines = {line.get_label(): line for line in axes.lines}
  assert set(lines) == {"standard (2 runs), r = -0.40", "noisy-view, r = -0.50"}
  standard = lines["standard (2 runs), r = -0.40"]
  np.testing.assert_array_equal(standard.get_xdata(), [0, 10])
  np.testing.assert_allclose(standard.get_ydata(), [5.0, 1.75])
  assert axes.get_yscale() == "log"
  assert axes.get_title() == "40 images of mnist (test)"


def test_several_steps_h_have_a_panel_of_their_own():
  groups = {10: (40, 2.0)}
  rows = make_rows("standard", 0, groups, hs=(0.1, 0.01, 0.001))
  _, right = curvature.curvature_against_count(rows).axes
  line, exact = right.lines
  np.testing.assert_allclose(line.get_xdata(), [0.001, 0.01, 0.1])
  np.testing.assert_allclose(line.get_ydata(), [1000, 100, 10])
  np.testing.assert_allclose(exact.get_ydata(), 3.0)


def test_without_a_correlation_the_legend_has_none():
  rows = make_rows("standard", 0, {10: (40, 2.0)})[:-1]
  (axes,) = curvature.curvature_against_count(rows).axes
  assert axes.lines[0].get_label() == "standard"


def test_one_of_several_noises_is_drawn():
  groups = {9: (5, 1.0), 10: (35, 2.0)}
  rows = make_rows("standard", 0, groups)
  other = make_rows("standard", 0, {10: (40, 9.0)}, std=8 / 255)
  with pytest.raises(ValueError, match=r"std=None: must be one of \[0.03.*0.1"):
    curvature.curvature_against_count([*rows, *other])
  figure = curvature.curvature_against_count([*rows, *other], std=0.1)
  np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [1, 2])


@pytest.mark.parametrize(
  ("change", "words"),
  [
    ({"dataset": "cifar10"}, "must have one dataset"),
    ({"split": "train"}, "must have one split"),
    ({"n_examples": 100}, "must have one n_examples"),
  ],
)
def test_a_mixture_is_refused(rows, change, words):
  rows[-1] = rows[-1] | change
  with pytest.raises(ValueError, match=words):
    curvature.curvature_against_count(rows)


def test_a_run_of_several_steps_is_refused(rows):
  with pytest.raises(ValueError, match=r"run .noisy_view_0.: .* one step"):
    curvature.curvature_against_count([*rows, rows[-1] | {"step": 9}])


def test_rows_without_curvature_are_refused_in_one_line(tmp_path, capsys):
  run = tmp_path / "run"
  run.mkdir()
  Results(run / "results.csv").append([])
  with pytest.raises(SystemExit) as stopped:
    curvature.main([str(run), f"--out={tmp_path / 'a.png'}"])
  assert stopped.value.code == 2
  assert "config.eval.curvature_examples" in capsys.readouterr().err


def test_the_command_draws_from_files_alone(rows, tmp_path, capsys):
  run, out = tmp_path / "run", tmp_path / "new" / "figure.png"
  run.mkdir()
  Results(run / "results.csv").append(rows)
  assert curvature.main([str(run), f"--out={out}", "--std=0.1"]) == 0
  assert out.stat().st_size > 10_000
  assert capsys.readouterr().out.strip() == str(out)


def judged(perturbation, strength, accuracy, **columns):
  shared = dict.fromkeys(COLUMNS) | {
    "run": "standard_0",
    "method": "standard",
    "seed": 0,
    "step": 7,
    "dataset": "mnist",
    "split": "test",
    "n_examples": 9999,
    "perturbation": perturbation,
    "strength": strength,
  }
  metrics = {
    "accuracy": accuracy,
    "accuracy_low": accuracy,
    "accuracy_high": accuracy,
  }
  return [
    shared | columns | {"metric": metric, "value": value}
    for metric, value in metrics.items()
  ]


def test_the_other_figures_do_without_these_rows(rows):
  """Theirs are of other numbers of images."""
  accuracies = judged("clean", 0.0, 0.9) + judged("gaussian", 0.1, 0.8)
  both = accuracies + rows
  (axes,) = figures.accuracy_against_strength(both, "gaussian").axes
  assert len(axes.lines) == 1
  accuracies += judged("pruned", 0.5, 0.7)
  for metric in ("hoyer", "weight_norm"):
    weights = {"perturbation": "weights", "metric": metric}
    accuracies.append(accuracies[0] | weights)
  left = sparsity.accuracy_after_pruning([*accuracies, *rows]).axes[0]
  assert len(left.lines) == 1


def test_a_study_does_not_count_their_images(rows, tmp_path):
  named = [row | {"run": f"mnist/{row['method']}/0", "seed": 0} for row in rows]
  named = [row for row in named if row["method"] == "standard"]
  run = {"run": "mnist/standard/0"}
  named += [row | run for row in judged("clean", 0.0, 0.9)]
  path = tmp_path / "results.csv"
  Results(path).append(named)
  assert robustness.main([str(path), f"--out={tmp_path}"]) == 0
  assert (
    "(1 seeds, 9,999 test examples)" in (tmp_path / "tables.md").read_text()
  )
