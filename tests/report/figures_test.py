"""The figure shows what the rows say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from jaxrobust.evaluation import COLUMNS, Results
from jaxrobust.report import figures

CAUCHY = "alpha_stable(alpha=1.0)"


def make_rows(method, accuracies):
  rows = []
  for strength, accuracy in accuracies.items():
    values = {
      "accuracy": accuracy,
      "accuracy_low": accuracy - 0.01,
      "accuracy_high": accuracy + 0.01,
    }
    for metric, value in values.items():
      row = dict.fromkeys(COLUMNS)
      row |= {
        "run": f"runs_{method}",
        "method": method,
        "seed": 0,
        "step": 1,
        "dataset": "mnist",
        "split": "test",
        "perturbation": CAUCHY if strength else "clean",
        "strength": strength,
        "metric": metric,
        "value": value,
        "n_examples": 10000,
        "trained_on": "clean",
      }
      rows.append(row)
  return rows


@pytest.fixture
def rows():
  return make_rows("standard", {0.3: 0.5, 0.0: 0.9, 0.1: 0.8}) + make_rows(
    "alpha_stable", {0.0: 0.88, 0.1: 0.87, 0.3: 0.7}
  )


def test_every_method_is_a_line_in_the_order_of_strength(rows):
  (axes,) = figures.accuracy_against_strength(rows, CAUCHY).axes
  lines = {line.get_label(): line for line in axes.lines}
  assert set(lines) == {"standard", "alpha-stable"}
  np.testing.assert_allclose(lines["standard"].get_xdata(), [0, 0.1, 0.3])
  np.testing.assert_allclose(lines["standard"].get_ydata(), [90, 80, 50])
  assert "mnist" in axes.get_ylabel()
  assert "Cauchy" in axes.get_xlabel()


@pytest.mark.parametrize(
  ("perturbation", "strengths", "words"),
  [
    ("uniform", [0, 0.1, 0.3], "uniform"),
    ("patches(side=8)", [0, 0.1, 0.3], "black squares of 8 pixels"),
    # At a factor of 1 nothing is lost.
    ("resolution", [0.1, 0.3, 1], "height and width kept"),
    ("salt_and_pepper", [0, 0.1, 0.3], "black or white"),
    # Without noise there are still the patches.
    ("gaussian+patches(count=4, side=8)", [0.1, 0.3], "of gaussian+patches"),
  ],
)
def test_clean_is_where_a_corruption_changes_nothing(
  rows, perturbation, strengths, words
):
  for row in rows:
    if row["perturbation"] != "clean":
      row["perturbation"] = perturbation
  (axes,) = figures.accuracy_against_strength(rows, perturbation).axes
  np.testing.assert_allclose(axes.lines[0].get_xdata(), strengths)
  assert words in axes.get_xlabel()


def test_an_absent_perturbation_is_refused(rows):
  with pytest.raises(ValueError, match="must be one of"):
    figures.accuracy_against_strength(rows, "gaussian")


def test_the_command_writes_a_picture(rows, tmp_path, capsys):
  for method in ("standard", "alpha_stable"):
    (tmp_path / method).mkdir()
    Results(tmp_path / method / "results.csv").append(
      [row for row in rows if row["method"] == method]
    )
  out = tmp_path / "made" / "figure.png"
  runs = [str(tmp_path / method) for method in ("standard", "alpha_stable")]
  code = figures.main([*runs, f"--out={out}"])
  assert code == 0
  assert capsys.readouterr().out.strip() == str(out)
  picture = plt.imread(out)
  assert picture.std() > 0.05  # Not a blank sheet.


def test_a_folder_without_rows_is_wrong_use(tmp_path, capsys):
  with pytest.raises(SystemExit) as caught:
    figures.main([str(tmp_path / "none"), "--out=x.png"])
  assert caught.value.code == 2
  assert "is this a run's folder?" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("column", "value"), [("split", "train[:9]"), ("seed", 1), ("run", "other")]
)
def test_rows_that_one_line_cannot_show_are_refused(rows, column, value):
  other = [{**row, column: value} for row in rows]
  with pytest.raises(ValueError, match=f"must have one {column}"):
    figures.accuracy_against_strength(rows + other, CAUCHY)


def test_every_method_gets_a_line_however_many():
  rows = []
  for number in range(8):
    rows += make_rows(f"method{number}", {0.0: 0.9, 0.1: 0.8})
  (axes,) = figures.accuracy_against_strength(rows, CAUCHY).axes
  assert len(axes.lines) == 8


@pytest.mark.parametrize(
  ("perturbation", "words"),
  [
    ("burst(alpha=1.0, share=0.2, length=8)", "bursts of Cauchy noise"),
    ("burst(alpha=1.5, share=0.2, length=8)", "(alpha = 1.5)"),
    ("alpha_stable(alpha=1.5)", "alpha-stable (alpha = 1.5) test noise"),
    ("gaussian", "standard deviation"),
  ],
)
def test_every_noise_has_a_label(rows, perturbation, words):
  named = [
    {**row, "perturbation": perturbation} if row["strength"] else row
    for row in rows
  ]
  (axes,) = figures.accuracy_against_strength(named, perturbation).axes
  assert words in axes.get_xlabel()
  assert ("inside bursts" in axes.get_xlabel()) == ("burst" in perturbation)


def test_clean_is_no_noise_to_draw(rows):
  with pytest.raises(ValueError, match=r"'clean': must be one of .*alpha_stab"):
    figures.accuracy_against_strength(rows, "clean")


def test_attacks_are_drawn_alone_on_their_own_examples(rows):
  pgd = "pgd(steps=40, restarts=1)"
  attacked = [
    {**row, "perturbation": pgd, "n_examples": 1000}
    for row in rows
    if row["strength"]
  ]
  (axes,) = figures.accuracy_against_strength(rows + attacked, CAUCHY).axes
  assert axes.get_title().startswith("10,000 examples")
  (axes,) = figures.accuracy_against_strength(rows + attacked, pgd).axes
  assert axes.get_title().startswith("1,000 examples")
  np.testing.assert_allclose(axes.lines[0].get_xdata(), [0.1, 0.3])
  assert "radius" in axes.get_xlabel()
