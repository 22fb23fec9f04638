"""`jaxrobust report` writes the page, or one line of what is wrong."""

import pytest

from jaxrobust import commands, evaluation


@pytest.fixture
def run(tmp_path):
  folder = tmp_path / "first"
  folder.mkdir()
  row = dict.fromkeys(evaluation.COLUMNS) | {
    "run": "first",
    "method": "standard",
    "seed": 0,
    "step": 3,
    "dataset": "digits",
    "split": "test",
    "perturbation": "clean",
    "strength": 0.0,
    "metric": "accuracy",
    "value": 0.5,
    "n_examples": 10,
  }
  evaluation.Results(folder / "results.csv").append([row])
  return folder


def test_the_page_is_written_and_named(run, tmp_path, capsys):
  out = tmp_path / "new" / "report.html"
  words = ["report", str(run), f"--out={out}", "--title=A & B"]
  assert commands.main(words) == 0
  assert capsys.readouterr() == (f"{out}\n", "")
  assert "<title>A &amp; B</title>" in out.read_text()


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["nowhere"], "nowhere/results.csv: not found; is this a run's folder?"),
    ([], "the following arguments are required: RUN; see"),
    (["first", "--out=page.pdf"], "--out=page.pdf: must end in .html"),
    (["first", "--colour=red"], "unrecognized arguments: --colour=red; see"),
    (["first", "--out=folder.html"], "folder.html: Is a directory"),
  ],
)
def test_wrong_use_is_one_line(
  run, tmp_path, monkeypatch, capsys, words, message
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "folder.html").mkdir()
  assert commands.main(["report", *words]) == 2
  out, err = capsys.readouterr()
  assert out == ""
  assert err.count("\n") == 1
  assert message in err


def test_a_run_that_was_never_judged_is_one_line(run, tmp_path, capsys):
  (run / "results.csv").unlink()
  page = tmp_path / "page.html"
  assert commands.main(["report", str(run), f"--out={page}"]) == 2
  assert "results.csv: not found" in capsys.readouterr().err
  assert not page.exists()
