"""The page of runs and studies: what is put together, and what is refused."""

import base64

import numpy as np
import page_runs
import pytest

from jaxrobust import data, evaluation
from jaxrobust.report import page


def test_a_regression_is_shown_by_its_rmse(tmp_path):
  rows = [
    page_runs.row("a", "m", 0, name, strength, "rmse", value)
    for name, strength, value in (("clean", 0.0, 0.5), ("gaussian", 0.3, 0.8))
  ]
  document = page_runs.page_of(tmp_path, rows)
  assert document.table("trained on")["m"]["gaussiann = 1,000"] == "0.8"
  assert "RMSE against the strength of noise" in document.words


def test_the_same_method_of_several_runs_is_told_apart(tmp_path):
  folders = [
    page_runs.write(
      tmp_path / name,
      [page_runs.row(run, "m", 0, "clean", 0.0, "accuracy", value)],
    )
    for name, run, value in (("a", "r", 0.5), ("b", "r", 0.7), ("c", "q", 0.9))
  ]
  out = page.write_page([*folders, folders[0]], tmp_path / "page.html")
  lines = page_runs.Document(out.read_text()).table("trained on")
  column = "cleann = 1,000"
  assert {name: line[column] for name, line in lines.items()} == {
    "m [a]": "50.0",
    "m [b]": "70.0",
    "m [c]": "90.0",
  }


def test_folds_are_replicates_and_other_splits_sections(tmp_path):
  rows = [
    page_runs.row(f"g/m/{seed}", "m", seed, "clean", 0.0, "accuracy", value)
    | {"split": split}
    for seed, split, value in (
      (0, "train[fold 0/2]", 0.5),
      (1, "train[fold 1/2]", 0.7),
      (0, "test", 0.1),
    )
  ]
  tables = [
    t for t in page_runs.page_of(tmp_path, rows).tables if "trained on" in t[0]
  ]
  assert [table[1][2:] for table in tables] == [
    ["2", "60.0 ± 14.1"],
    ["1", "10.0"],
  ]


def test_a_run_shows_what_was_trained_and_how(tmp_path):
  rows = page_runs.tests_of("one", "standard", 3, 0.9)
  folder = page_runs.write_run(tmp_path / "one", rows)
  images = np.random.default_rng(0).random((2, 8, 8, 1))
  examples = folder / "examples"
  evaluation.save_examples(examples, "clean", 0.0, None, images)
  name = "fog(cifar-c, generated)"
  evaluation.save_examples(examples, name, 3.0, 3, images)
  # By the file, too.
  out = page.write_page([folder / "results.csv"], tmp_path / "page.html")
  document = page_runs.Document(out.read_text())
  lines = {name: line["one"] for name, line in document.table("one").items()}
  assert lines["input"] == "gaussian (std=0.25)"
  assert lines["optimiser"] == "adam (learning_rate=0.003)"
  assert lines["epochs"] == "12"
  assert lines["devices"] == "2 x TPU v9"
  assert lines["versions"] == "jax 0.12.0"
  assert document.files()["training-loss.csv"][1:] == [
    ["one", "train", "1", "1.0"],
    ["one", "train", "2", "0.5"],
    ["one", "train", "4", "0.25"],
  ]
  pictures = [a for tag, a in document.attributes if tag == "img"]
  assert [picture["alt"] for picture in pictures] == [
    "The first test images, clean, as they are",
    "The first test images, fog(cifar-c, generated), severity 3",
  ]
  content = base64.b64decode(pictures[1]["src"].partition(",")[2])
  path = evaluation.example_path(examples, name, 3.0, 3)
  assert content == path.read_bytes()
  assert "mnist/lenet5" in document.words


def test_many_rows_are_compressed(tmp_path):
  rows = [
    page_runs.row("r", "m", 0, "features", 0.0, f"{'long' * 9}{number}", 0.5)
    for number in range(3000)
  ]
  files = page_runs.page_of(tmp_path, rows).files()
  assert len(files["run-results.csv.gz"]) == 3001


def test_the_same_files_make_the_same_page(tmp_path):
  folder = page_runs.write(tmp_path / "s", page_runs.tests_of("r", "m", 0, 0.9))
  one, two = (
    page.write_page([folder], tmp_path / name).read_text()
    for name in ("1.html", "2.html")
  )
  assert one == two


@pytest.mark.parametrize(
  ("name", "text", "message"),
  [
    ("results.csv", "", "no rows; has the run been evaluated"),
    ("results.csv", "a,b\n1,2\n", "columns"),
    ("results.csv", "\xff\xfe", "no table of results|columns"),
    ("config.json", "{", "config.json: not JSON"),
    ("config.json", "[]", "config.json: must hold a dict"),
    ("metrics.jsonl", "{}\n", "metrics.jsonl:1: must be a JSON object"),
    ("examples/clean@0.0.png", "no picture", "png: no picture"),
  ],
)
def test_a_damaged_file_is_named(tmp_path, name, text, message):
  row = page_runs.row("r", "m", 0, "clean", 0.0, "accuracy", 0.5)
  folder = page_runs.write(tmp_path / "run", [row])
  (folder / name).parent.mkdir(exist_ok=True)
  (folder / name).write_bytes(text.encode("latin-1"))
  with pytest.raises(data.DataError, match=message):
    page.write_page([folder], tmp_path / "page.html")
  assert not (tmp_path / "page.html").exists()


def test_there_must_be_a_run(tmp_path):
  with pytest.raises(ValueError, match=r"runs=\[\]: must be at least one"):
    page.write_page([], tmp_path / "page.html")
