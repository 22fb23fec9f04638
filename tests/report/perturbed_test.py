"""Tables and figures of a study of perturbations say what its rows say."""

import csv

import pytest

from jaxrobust import evaluation
from jaxrobust.report import perturbed

SEEDS = (0, 1)


def row(method, seed, perturbation, strength, metric, value, group="g/x"):
  return {
    "run": f"{group}/{method}/{seed}",
    "method": method,
    "seed": seed,
    "step": 3,
    "dataset": "digits",
    "split": "test",
    "perturbation": perturbation,
    "strength": strength,
    "severity": None,
    "metric": metric,
    "value": value,
    "n_examples": 10,
    "trained_on": "clean",
  }


def make_rows():
  rows = []
  for seed in SEEDS:
    for method, gain in (("standard", 0.0), ("other", 0.1)):
      rows += [
        row(method, seed, "clean", 0.0, "accuracy", 0.8),
        row(
          method, seed, "uniform", 8 / 255, "accuracy", 0.5 + gain + seed / 9
        ),
        row(method, seed, "features", 0.0, "separability[Dense_0]", 2.0),
        row(method, seed, "features", 0.0, "separability[head]", 3.0),
        row(method, seed, "features", 0.1, "separability[Dense_0]", 1.0),
        row(method, seed, "features", 0.1, "separability[head]", 1.5),
        row(method, seed, "features", 0.1, "alignment", 0.25),
        row(
          method,
          seed,
          "curvature",
          0.1,
          "gauss_newton_frobenius_squared(count=10)",
          7.0,
        ),
        row(method, seed, "curvature", 0.1, "pearson", -0.5),
      ]
  return rows


@pytest.mark.quick
def test_differences_are_paired_by_seed():
  """Seeds differ by 11 points; what a method wins, by none."""
  found = perturbed.differences(make_rows(), "g/x")
  assert found["clean", 0.0] == {"other": {0: 0.0, 1: 0.0}}
  for gain in found["uniform", 8 / 255]["other"].values():
    assert gain == pytest.approx(10.0)


def test_lines_of_some_methods_alone_are_drawn_without_the_others():
  """As attacks whose name says what they climb."""
  rows = make_rows()
  for seed in SEEDS:
    rows += [
      row("standard", seed, "standard(linf)", 0.1, "accuracy", 0.4),
      row("other", seed, "standard(l2)", 0.1, "accuracy", 0.3),
    ]
  assert perturbed.accuracies(rows, "g/x")["standard(l2)", 0.1].keys() == {
    "other"
  }
  found = perturbed.differences(rows, "g/x")
  assert found["standard(linf)", 0.1] == {}
  assert ("standard(l2)", 0.1) not in found
  (axes,) = perturbed.draw_differences(rows).axes
  assert len(axes.get_yticks()) == 3
  (drawn,) = axes.containers
  assert len(drawn[0].get_xdata()) == 2


def test_a_group_without_standard_training_has_no_differences():
  rows = [row("a", 0, "clean", 0.0, "accuracy", 0.5)]
  with pytest.raises(ValueError, match="no method 'standard'"):
    perturbed.differences(rows, "g/x")
  with pytest.raises(ValueError, match="no group has"):
    perturbed.draw_differences(rows)
  with pytest.raises(ValueError, match="must be one of"):
    perturbed.accuracies(rows, "nosuch")


def test_layers_keep_their_order_and_measurements_leave_them_out():
  rows = make_rows()
  assert list(perturbed.layers(rows, "g/x")) == [
    (0.0, "Dense_0"),
    (0.0, "head"),
    (0.1, "Dense_0"),
    (0.1, "head"),
  ]
  assert list(perturbed.measurements(rows, "g/x")) == [
    ("features", 0.1, "alignment"),
    ("curvature", 0.1, "pearson"),
  ]


def test_figures_have_a_line_per_method():
  rows = make_rows()
  (axes,) = perturbed.draw_differences(rows).axes
  assert [text.get_text() for text in axes.get_legend().get_texts()] == [
    "other"
  ]
  labels = [label.get_text() for label in axes.get_yticklabels()]
  assert labels == ["clean", "uniform 8/255"]
  (axes,) = perturbed.draw_separability(rows).axes
  solid = [line for line in axes.lines if line.get_linestyle() == "-"]
  assert [list(line.get_ydata()) for line in solid] == [[2.0, 3.0]] * 2


def test_the_command_writes_tables_and_figures(tmp_path, capsys):
  path = tmp_path / "results.csv"
  with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, evaluation.COLUMNS)
    writer.writeheader()
    writer.writerows(make_rows())
  assert perturbed.main([str(path), f"--out={tmp_path}"]) == 0
  capsys.readouterr()
  tables = (tmp_path / "tables.md").read_text()
  assert "| uniform 8/255 | 55.56 ± 7.86 | 65.56 ± 7.86 |" in tables
  assert "| separability 0.1 head | 1.5 ± 0 | 1.5 ± 0 |" in tables
  for name in ("differences", "separability", "curvature_g"):
    assert (tmp_path / f"{name}.png").stat().st_size > 1000
