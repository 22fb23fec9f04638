"""The suite judges each cell once, whatever happens between the cells."""

import io

import numpy as np
import pytest
from rich.console import Console

from jaxrobust import evaluation

CELLS = evaluation.grid([0.1, 0.2], [1.0], [0.126])
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


class Judge:
  """Counts what it judges, and may be killed at one cell."""

  def __init__(self, killed_at=None, n=4):
    self.seen = []
    self._killed_at, self._n = killed_at, n

  def __call__(self, cell):
    if len(self.seen) == self._killed_at:
      raise KeyboardInterrupt
    self.seen.append(cell)
    return {
      "nll": np.full(self._n, cell.strength),
      "confidence": np.full(self._n, 0.75),
      "hits": np.arange(self._n) > 0,
    }


def run(path, judge, subject=SUBJECT):
  results = evaluation.Results(path)
  return list(evaluation.run(subject, judge, CELLS, results))


def test_every_cell_is_judged_and_written(tmp_path):
  path = tmp_path / "results.csv"
  assert run(path, Judge()) == CELLS
  rows = evaluation.read_rows(path)
  assert len(rows) == len(CELLS) * 5
  for cell in CELLS:
    values = {
      row["metric"]: row["value"]
      for row in rows
      if (row["perturbation"], row["strength"]) == (cell.name, cell.strength)
    }
    assert values["accuracy"] == 0.75
    assert values["nll"] == pytest.approx(cell.strength)
    assert values["ece"] == 0


@pytest.mark.parametrize("killed_at", range(len(CELLS)))
def test_a_killed_evaluation_resumes_without_judging_twice(tmp_path, killed_at):
  path = tmp_path / "results.csv"
  first = Judge(killed_at)
  with pytest.raises(KeyboardInterrupt):
    run(path, first)
  second = Judge()
  assert run(path, second) == CELLS
  assert first.seen + second.seen == CELLS
  whole = tmp_path / "whole.csv"
  run(whole, Judge())
  assert path.read_bytes() == whole.read_bytes()


def test_a_cell_that_was_half_written_is_judged_again(tmp_path):
  path = tmp_path / "results.csv"
  run(path, Judge())
  whole = path.read_bytes()
  path.write_bytes(whole[:-30])
  again = Judge()
  run(path, again)
  assert again.seen == CELLS[-1:]
  assert path.read_bytes() == whole


def test_rows_appear_cell_by_cell(tmp_path):
  path = tmp_path / "results.csv"
  results = evaluation.Results(path)
  finished = evaluation.run(SUBJECT, Judge(), CELLS, results)
  for count, _ in enumerate(finished, 1):
    assert len(evaluation.read_rows(path)) == 5 * count


def test_another_number_of_examples_is_refused(tmp_path):
  path = tmp_path / "results.csv"
  with pytest.raises(ValueError, match="3 examples judged; must be 4"):
    run(path, Judge(n=3))
  assert not path.exists()


def test_the_table_has_a_line_per_cell(tmp_path):
  path = tmp_path / "results.csv"
  run(path, Judge())
  out = io.StringIO()
  table = evaluation.accuracy_table(evaluation.read_rows(path), "the title")
  Console(file=out, width=100).print(table)
  text = out.getvalue()
  assert text.startswith("the title")
  assert text.count("75.00 %") == len(CELLS)
  assert "30.06 to 95.44" in text
