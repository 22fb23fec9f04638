"""Tables of a study: checked against means computed by hand."""

import pytest

from jaxrobust.evaluation import results
from jaxrobust.report import study


def row(method, seed, perturbation, strength, value, **more):
  return {
    "run": f"mnist/mlp/{method}/{seed}",
    "method": method,
    "seed": seed,
    "step": 10,
    "dataset": "mnist",
    "split": "test",
    "perturbation": perturbation,
    "strength": strength,
    "severity": None,
    "metric": "accuracy",
    "value": value,
    "n_examples": 100,
    "trained_on": "clean",
    **more,
  }


@pytest.fixture
def rows():
  made = []
  for method, gain in (("gaussian", 0.0), ("cauchy", 0.1)):
    for seed in (0, 1):
      made.append(row(method, seed, "clean", 0.0, 0.9))
      made.append(row(method, seed, "gaussian", 0.1, 0.5 + gain))
      made.append(row(method, seed, "gaussian", 0.2, 0.3 + gain + seed / 50))
      name = "alpha_stable(alpha=1.0)"
      made.append(row(method, seed, name, 0.1, 0.2 + gain * (1 + seed)))
      made.append(row(method, seed, "pruned", 0.5, 0.7))
      made.append(row(method, seed, "weights", 0.0, 0.25, metric="hoyer"))
  return made


def test_strengths_are_averaged_before_seeds(rows):
  table = study.accuracies(rows, "mnist/mlp")
  assert list(table) == ["clean", "gaussian", "alpha=1.0", "all noise"]
  assert table["gaussian"]["cauchy"] == pytest.approx({0: 50.0, 1: 51.0})
  assert table["all noise"]["cauchy"] == pytest.approx({0: 40.0, 1: 45.5})


def test_attacks_are_no_noise(rows):
  attacked = [
    row(method, seed, "pgd(steps=40, restarts=1)", 0.1, 0.0, n_examples=10)
    for method in ("gaussian", "cauchy")
    for seed in (0, 1)
  ]
  assert study.accuracies(rows + attacked, "mnist/mlp") == study.accuracies(
    rows, "mnist/mlp"
  )


def test_the_difference_to_gaussian_is_paired_by_seed(rows):
  lines = study.accuracy_table(rows, "mnist/mlp").splitlines()
  # Gaps 40 - 30 and 45.5 - 30.5: mean 12.5, standard error 2.5.
  assert lines[-1].endswith("| +12.50 (2.50) |")
  assert "| 50.5 ± 0.7 |" in lines[-1]
  assert lines[2].endswith("|  |")


def test_weights_and_pruning_are_in_their_own_table(rows):
  lines = study.sparsity_table(rows, "mnist/mlp").splitlines()
  assert "50% cut" in lines[0]
  assert "70.0 ± 0.0" in lines[-1]
  assert "0.250 ± 0.000" in lines[-1]


def test_gaussian_noise_counts_once(rows):
  for method in ("gaussian", "cauchy"):
    for seed in (0, 1):
      rows.append(row(method, seed, "alpha_stable(alpha=2.0)", 0.1, 0.0))
  table = study.accuracies(rows, "mnist/mlp")
  assert table["alpha=2.0"]["cauchy"] == {0: 0.0, 1: 0.0}
  assert table["all noise"]["cauchy"] == pytest.approx({0: 40.0, 1: 45.5})


def test_methods_judged_under_different_noises_are_refused(rows):
  rows.append(row("cauchy", 0, "alpha_stable(alpha=0.5)", 0.1, 0.2))
  with pytest.raises(ValueError, match="different test noises"):
    study.accuracies(rows, "mnist/mlp")


def test_an_unknown_group_is_refused(rows):
  with pytest.raises(ValueError, match="group 'ecg200/lstm': must be one of"):
    study.accuracies(rows, "ecg200/lstm")


def test_the_command_writes_tables_and_figures(rows, tmp_path):
  for alpha in (0.5, 1.0):
    # A map may have holes.
    for rate in (0.1, 0.2)[: 1 if alpha < 1 else 2]:
      method = f"alpha_stable(alpha={alpha}, flip_rate={rate})"
      run = {"run": f"map-mnist/mlp/{method}/0"}
      rows.append(row(method, 0, "clean", 0.0, 0.5, **run))
      rows.append(row(method, 0, "alpha_stable(alpha=1.0)", 0.1, 0.4, **run))
  results.Results(tmp_path / "results.csv").append(rows)
  out = tmp_path / "out"
  assert study.main([str(tmp_path / "results.csv"), f"--out={out}"]) == 0
  for name in ("heatmaps.png", "maps.png"):
    assert (out / name).read_bytes().startswith(b"\x89PNG")
  assert "## mnist/mlp (2 seeds, 100 test examples)" in (
    out / "tables.md"
  ).read_text(encoding="utf-8")
