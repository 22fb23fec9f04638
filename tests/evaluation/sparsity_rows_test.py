"""A run's rows of sparsity: written once, resumed, and left out of tables."""

import io

import jax
import numpy as np
import pytest
from rich.console import Console

from jaxrobust import evaluation
from jaxrobust.evaluation import sparsity_rows

SUBJECT = evaluation.Subject(
  run="first",
  method="standard",
  seed=0,
  step=10,
  dataset="digits",
  split="test",
  n_examples=4,
  trained_on="clean",
)
PARAMS = {"kernel": np.asarray([[0.0, 0.005, -0.5, 2.0]], np.float32)}
CELLS = evaluation.grid([0.1], [], []) + evaluation.pruned_cells([0.5, 0.9])


def judge(cell):
  return {
    "nll": np.ones(4),
    "confidence": np.full(4, 0.75),
    "hits": np.arange(4) > 4 * cell.strength,
  }


def write(path):
  results = evaluation.Results(path)
  evaluation.measure_weights(SUBJECT, PARAMS, results)
  list(evaluation.run(SUBJECT, judge, CELLS, results))


def test_the_weights_have_a_row_per_metric_and_threshold(tmp_path):
  write(tmp_path / "results.csv")
  rows = evaluation.read_rows(tmp_path / "results.csv")
  values = {
    (row["metric"], row["strength"]): row["value"]
    for row in rows
    if row["perturbation"] == "weights"
  }
  assert set(values) == set(sparsity_rows.MEASURES)
  for (metric, threshold), value in values.items():
    arguments = (threshold,) if threshold else ()
    function = getattr(evaluation, metric)
    assert value == pytest.approx(float(function(PARAMS, *arguments)))
  assert values["share_below", 1e-2] == 0.5
  assert values["exact_zeros", 0.0] == 0.25


def test_the_pruning_curve_has_the_metrics_of_the_suite(tmp_path):
  write(tmp_path / "results.csv")
  rows = evaluation.read_rows(tmp_path / "results.csv")
  accuracies = {
    row["strength"]: row["value"]
    for row in rows
    if (row["perturbation"], row["metric"]) == ("pruned", "accuracy")
  }
  assert accuracies == {0.5: 0.25, 0.9: 0.0}


def test_rows_that_are_there_are_not_measured_again(tmp_path, monkeypatch):
  path = tmp_path / "results.csv"
  write(path)
  whole = path.read_bytes()
  monkeypatch.setattr(
    sparsity_rows, "_measure", lambda _: pytest.fail("measured again")
  )
  write(path)
  assert path.read_bytes() == whole


def test_a_write_that_was_cut_is_completed(tmp_path):
  path = tmp_path / "results.csv"
  evaluation.measure_weights(SUBJECT, PARAMS, evaluation.Results(path))
  whole = path.read_bytes()
  path.write_bytes(whole[:-30])
  evaluation.measure_weights(SUBJECT, PARAMS, evaluation.Results(path))
  assert path.read_bytes() == whole


def test_one_program_measures_parameters_of_one_structure():
  # Fresh arrays of the same shapes do not compile again.
  before = sparsity_rows._measure._cache_size()
  for factor in (1.0, 2.0):
    sparsity_rows._measure(jax.tree.map(lambda x, f=factor: f * x, PARAMS))
  assert sparsity_rows._measure._cache_size() <= before + 1


def test_the_table_shows_pruning_and_no_line_for_the_weights(tmp_path):
  path = tmp_path / "results.csv"
  write(path)
  out = io.StringIO()
  table = evaluation.accuracy_table(evaluation.read_rows(path), "the title")
  Console(file=out, width=100).print(table)
  text = out.getvalue()
  assert table.row_count == len(CELLS)
  assert "share 0.9" in text
  assert "weights" not in text
