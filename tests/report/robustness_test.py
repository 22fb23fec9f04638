"""The report of attacks: checked against numbers worked out by hand."""

import csv
import math

import pytest

from jaxrobust import evaluation
from jaxrobust.report import robustness

PGD = "pgd(steps=40, restarts=1)"


def row(
  method,
  seed,
  perturbation,
  strength,
  value,
  metric="accuracy",
  group="mnist/sigma",
):
  return {
    "run": f"{group}/{method}/{seed}",
    "method": method,
    "seed": seed,
    "step": 10,
    "dataset": group.partition("/")[0],
    "split": "test",
    "perturbation": perturbation,
    "strength": strength,
    "severity": None,
    "metric": metric,
    "value": value,
    "n_examples": 10 if perturbation == PGD else 100,
    "trained_on": "clean",
  }


@pytest.fixture
def rows():
  made = []
  for method, gain in (
    ("mse, sigma=0", 0.0),
    ("expected_mse, laplace, sigma=0.6", 0.2),
    ("expected_mse, linear, sigma=0.6", 0.1),
    ("standard", 0.0),
  ):
    for seed in (0, 1):
      made += [
        row(method, seed, "clean", 0.0, 1.0),
        row(method, seed, "gaussian", 0.1, 0.8),
        row(method, seed, "gaussian", 0.2, 0.6),
        row(method, seed, "fgsm", 0.1, 0.9),
        row(method, seed, PGD, 0.1, 0.6 + gain),
        row(method, seed, PGD, 0.2, 0.4 - 0.2 * seed),
        row(method, seed, "network", 0.0, 3.0 + seed, "path_norm"),
        row(method, seed, "network", 0.0, 2e6, "flops_per_example"),
      ]
  return made


def test_the_columns_are_means_over_noises_and_separate_attacks(rows):
  found = robustness.measured(rows, "mnist/sigma")["standard"]
  assert found["noise"] == pytest.approx({0: 70.0, 1: 70.0})
  assert found[PGD, 0.2] == pytest.approx({0: 40.0, 1: 20.0})
  assert found["flops_per_example"] == pytest.approx({0: 2.0, 1: 2.0})


def test_half_of_the_examples_fall_between_the_radii_around_it(rows):
  found = robustness.measured(rows, "mnist/sigma")
  # The stronger of the two attacks counts: 60 % at 0.1 and 40 or 20 % at 0.2.
  halves = robustness.half_radii(found["standard"])
  assert halves == pytest.approx({0: 0.15, 1: 0.125})


def test_a_network_that_never_falls_below_half_has_no_such_radius():
  assert math.isnan(robustness.half_radius({0.0: 99.0, 0.1: 60.0}))


def test_the_table_has_a_line_per_method(rows):
  lines = robustness.table(rows, "mnist/sigma").splitlines()
  assert len(lines) == 2 + 4
  assert "PGD 0.1" in lines[0]
  assert "| radius at 50 % |" in lines[0]
  assert "| 80.0 ± 0.0 |" in lines[3]
  assert "| 3.50 ± 0.71 |" in lines[-1]


def test_an_unknown_group_is_named(rows):
  with pytest.raises(ValueError, match=r"group 'cifar'.*mnist/sigma"):
    robustness.measured(rows, "cifar")


def of_groups(method, accuracies):
  """One clean row per group, of the same method."""
  return [
    row(method, 0, "clean", 0.0, value, group=group)
    for group, value in accuracies.items()
  ]


def test_a_group_whose_name_begins_with_another_is_apart():
  nested = of_groups("a", {"cifar10": 0.5, "cifar10/resnet18": 0.9})
  assert robustness.groups(nested) == ["cifar10", "cifar10/resnet18"]
  for group, value in (("cifar10", 50.0), ("cifar10/resnet18", 90.0)):
    found = robustness.measured(nested, group)
    assert found == {"a": {"clean": {0: pytest.approx(value)}}}


def test_every_network_has_its_own_lines_against_sigma():
  names = "mse, sigma=0", "expected_mse, linear, sigma=0.6"
  expected = {"mnist/sigma": 0.9, "cifar10": 0.5, "cifar10/resnet18": 0.7}
  made = [made for name in names for made in of_groups(name, expected)]
  made += of_groups("standard", {"mnist/baseline": 0.8, "cifar10": 0.4})
  panels = robustness.sigma_against_eps(made).axes
  assert [axes.get_title() for axes in panels] == [
    group for group in expected for _ in range(2)
  ]
  levels = {"mnist/sigma": 80.0, "cifar10": 40.0}
  for axes, (group, value) in zip(panels[1::2], expected.items(), strict=True):
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["linear"].get_ydata()) == pytest.approx(2 * [100 * value])
    assert ("standard" in lines) == (group in levels)
    if group in levels:
      assert lines["standard"].get_ydata()[0] == pytest.approx(levels[group])


def test_the_figure_has_a_line_per_rule_that_starts_without_noise(rows):
  left, right = robustness.sigma_against_eps(rows).axes
  labels = [line.get_label() for line in left.lines]
  assert {"laplace", "linear", "standard"} <= set(labels)
  (line,) = [line for line in left.lines if line.get_label() == "laplace"]
  assert list(line.get_xdata()) == [0.0, 0.6]
  # 50 % between (0.1, 80) and (0.2, 40 or 20): 0.175 and 0.15.
  assert line.get_ydata()[1] == pytest.approx(0.1625)
  assert right.get_ylabel() == "clean accuracy, %"


def test_without_noise_inside_there_is_nothing_to_draw_against(rows):
  others = [row for row in rows if row["method"] == "standard"]
  with pytest.raises(ValueError, match="no methods named"):
    robustness.sigma_against_eps(others)


def test_the_command_writes_the_tables_and_the_pictures(rows, tmp_path):
  path = tmp_path / "results.csv"
  with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, evaluation.COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
  assert robustness.main([str(path), f"--out={tmp_path}"]) == 0
  assert "## mnist/sigma (2 seeds" in (tmp_path / "tables.md").read_text()
  for name in ("curves.png", "sigma_against_eps.png"):
    assert (tmp_path / name).stat().st_size > 1000


def test_a_missing_file_is_wrong_use(tmp_path, capsys):
  with pytest.raises(SystemExit) as error:
    robustness.main([str(tmp_path / "no.csv"), "--out=x"])
  assert error.value.code == 2
  assert "not found" in capsys.readouterr().err
