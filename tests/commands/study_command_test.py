"""`jaxrobust study`: lists, shares the cells, and names what is wrong."""

import pathlib
import subprocess
import sys

import pytest

from jaxrobust import commands, evaluation

SHIPPED = pathlib.Path(__file__).parents[2] / "configs/studies"

SMALL = """
import jaxrobust
from jaxrobust import training


def get_study(variant=None):
  cells = []
  for width in (4, 8, 12):
    config = jaxrobust.default_config()
    config.data.source = config.data.name = "digits"
    config.data.shape = (8, 8, 1)
    config.data.train_split = "train[:60]"
    config.data.test_split = "test[:50]"
    config.model.hidden = (width,)
    config.train.epochs = 1
    config.train.batch_size = 30
    config.train.devices = 1
    config.eval.gaussian_stds = config.eval.alphas = ()
    name = f"digits/mlp/{width}"
    why = "3 hours" if width == 12 else ""
    cells.append(training.Cell(name, training.repeat(config, 2), why))
  return training.Study("small", "a minute", tuple(cells))
"""


@pytest.fixture
def small(tmp_path):
  path = tmp_path / "small.py"
  path.write_text(SMALL)
  return path


def test_the_list_says_what_is_not_run_and_why(small, capsys):
  assert commands.main(["study", f"--study={small}", "--list"]) == 0
  assert capsys.readouterr().out.splitlines() == [
    "digits/mlp/4",
    "digits/mlp/8",
    "digits/mlp/12: not run: 3 hours",
    "budget: a minute",
  ]


def test_two_workers_share_the_cells(small, tmp_path):
  command = "import sys; from jaxrobust.commands import main; sys.exit(main())"
  words = ["study", f"--study={small}", f"--out={tmp_path}/out", "--workers=2"]
  done = subprocess.run(
    [sys.executable, "-c", command, *words],
    capture_output=True,
    text=True,
    check=True,
    timeout=300,
  )
  assert done.stdout.count("cell 1/1") == 2
  rows = evaluation.read_rows(tmp_path / "out" / "results.csv")
  assert list(dict.fromkeys(row["run"] for row in rows)) == [
    f"digits/mlp/{width}/{seed}" for width in (4, 8) for seed in (0, 1)
  ]


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["--study=nowhere.py", "--out=x"], "must be a Python file that exists"),
    (["--study=README.md", "--out=x"], "must be a Python file that exists"),
    (["--study=small.py:fast", "--out=x"], "the variant must be 'quick'"),
    (["--study={small}"], "--out: must be given"),
    (["--study={small}", "--out=x", "--workers=0"], "must be at least 1"),
    (["--study={small}", "--out=x", "--only=cifar"], "no cell's name begins"),
  ],
)
def test_wrong_use_is_one_line(small, words, message, capsys):
  words = [word.format(small=small) for word in words]
  assert commands.main(["study", *words]) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert message in line


def test_a_file_that_is_no_study_is_named(tmp_path, capsys):
  path = tmp_path / "empty.py"
  path.write_text("import nothing_of_this_name\n")
  assert commands.main(["study", f"--study={path}", "--out=x"]) == 2
  assert "No module named" in capsys.readouterr().err


@pytest.mark.parametrize(
  "path", sorted(SHIPPED.glob("*.py")), ids=lambda path: path.stem
)
def test_shipped_studies_validate_whole_and_quick(path, tmp_path):
  from jaxrobust.commands import study as command
  from jaxrobust.training import study as study_lib

  for variant in ("", ":quick"):
    study = command._load(f"{path}{variant}")
    study_lib._check(study, "")


@pytest.mark.parametrize(
  "path", sorted(SHIPPED.glob("*.py")), ids=lambda path: path.stem
)
def test_the_first_cell_of_a_quick_study_runs(path, tmp_path):
  from jaxrobust.commands import study as command

  first = command._load(f"{path}:quick").cells[0].name
  words = [f"--study={path}:quick", f"--out={tmp_path}", f"--only={first}"]
  assert commands.main(["study", *words]) == 0
  (rows,) = (tmp_path / "cells").iterdir()
  # Attacks are made on the first 64, curvature is of the first 16.
  counts = {
    row["n_examples"]
    for row in evaluation.read_rows(rows)
    if row["perturbation"] != evaluation.CURVATURE
  }
  assert 128 in counts
  assert counts <= {64, 128}
