"""Rows are written once, read as numbers, and survive a kill."""

import pytest

from jaxrobust import data, evaluation


def row(**changes):
  return {
    "run": "first",
    "method": "standard",
    "seed": 0,
    "step": 10,
    "dataset": "digits",
    "split": "test",
    "perturbation": "alpha_stable(alpha=0.5)",
    "strength": 0.126,
    "severity": None,
    "metric": "accuracy",
    "value": 0.1 + 0.2,
    "n_examples": 50,
    "trained_on": "clean",
    **changes,
  }


@pytest.fixture
def path(tmp_path):
  return tmp_path / "results.csv"


def test_rows_come_back_as_they_went(path):
  rows = [row(), row(metric="nll", value=1e-9), row(severity=3, run='a,"b"')]
  evaluation.Results(path).append(rows)
  assert evaluation.read_rows(path) == rows
  assert path.read_text().splitlines()[0] == ",".join(evaluation.COLUMNS)


def test_a_row_that_is_there_is_not_written_again(path):
  results = evaluation.Results(path)
  results.append([row()])
  for _ in range(2):
    assert row() in results
    assert row(value=0.5) in results
    results.append([row(value=0.5), row(metric="nll")])
    results = evaluation.Results(path)
  assert evaluation.read_rows(path) == [row(), row(metric="nll")]


@pytest.mark.parametrize(
  "column", [c for c in evaluation.COLUMNS if c not in ("value", "trained_on")]
)
def test_rows_differ_by_every_column_but_the_value(path, column):
  evaluation.Results(path).append([row()])
  other = {"metric": "ece", "severity": 1}.get(column)
  if other is None:
    other = row()[column] + ("x" if isinstance(row()[column], str) else 1)
  assert row(**{column: other}) not in evaluation.Results(path)


def test_a_half_written_last_line_is_cut_off(path):
  results = evaluation.Results(path)
  results.append([row(), row(metric="nll")])
  whole = path.read_bytes()
  second = whole[:-1].rfind(b"\n") + 1
  for length in (second + 1, second + 20, len(whole) - 1):
    path.write_bytes(whole[:length])
    results = evaluation.Results(path)
    assert row() in results
    assert row(metric="nll") not in results
    results.append([row(metric="nll")])
    assert path.read_bytes() == whole


def test_who_does_not_write_reads_whole_lines_alone_and_cuts_none(path):
  results = evaluation.Results(path)
  results.append([row(), row(metric="nll")])
  cut = path.read_bytes()[:-3]
  path.write_bytes(cut)
  reading = evaluation.Results(path, writes=False)
  assert row() in reading
  assert row(metric="nll") not in reading
  reading.append([row(metric="nll")])
  assert row(metric="nll") in reading
  assert path.read_bytes() == cut


@pytest.mark.parametrize("length", [0, 5])
def test_a_half_written_header_is_made_again(path, length):
  path.write_text("run,method"[:length])
  evaluation.Results(path).append([row()])
  assert evaluation.read_rows(path) == [row()]


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("a,b\n1,2\n", r"results.csv: columns \('a', 'b'\); must be \('run'"),
    ("{header}\n1,2\n", "results.csv:2: must have 13 cells"),
    ("{header}\n{line},1\n", "results.csv:2: must have 13 cells"),
    ("{header}\na,b,seven,,,,,,,,,,\n", "results.csv:2: .*'seven'"),
  ],
)
def test_a_file_of_something_else_is_refused(path, text, words):
  header = ",".join(evaluation.COLUMNS)
  path.write_text(text.format(header=header, line="," * 12))
  for read in (evaluation.read_rows, evaluation.Results):
    with pytest.raises(data.DataError, match=words):
      read(path)
