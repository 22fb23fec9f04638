"""A study runs each cell once, resumes by cells, and loses nothing."""

import pytest

import jaxrobust
from jaxrobust import evaluation, training
from jaxrobust.training import study as study_lib


@pytest.fixture
def two_cells(tiny_config):
  tiny_config.train.devices = 1
  tiny_config.train.epochs = 1
  tiny_config.data.validation_split = ""
  cells = []
  for rate in (0.1, 0.2):
    config = tiny_config.copy_and_resolve_references()
    config.method.name = f"cauchy({rate})"
    config.method.input.flip_rate = rate
    cells.append(
      training.Cell(f"digits/mlp/{rate}", training.repeat(config, seeds=2))
    )
  return training.Study("two", "seconds", tuple(cells))


def test_rows_are_those_of_a_run_of_its_own(two_cells, tmp_path):
  list(study_lib.run_study(two_cells, tmp_path / "study"))
  path = study_lib.collect(two_cells, tmp_path / "study")
  config = two_cells.cells[1].replicates[1]
  outcome = jaxrobust.train(config, tmp_path / "run")
  expected = {
    (r["perturbation"], r["metric"]): r["value"]
    for r in outcome.rows
    if r["metric"] in ("accuracy", "nll")
  }
  found = {
    (r["perturbation"], r["metric"]): r["value"]
    for r in evaluation.read_rows(path)
    if r["run"] == "digits/mlp/0.2/1" and r["metric"] in ("accuracy", "nll")
  }
  assert found == pytest.approx(expected, rel=1e-4)


def test_a_study_goes_on_where_it_was_stopped(two_cells, tmp_path, monkeypatch):
  finished = study_lib.run_study(two_cells, tmp_path)
  has_rows, line = next(finished)
  assert has_rows
  assert line.startswith("digits/mlp/0.1: clean accuracy 0.")
  finished.close()
  assert study_lib.collect(two_cells, tmp_path) is None
  # A kill while the second cell is judged leaves a file with another name.
  (done,) = (tmp_path / "cells").iterdir()
  second = study_lib.digest(two_cells.cells[1])
  half = done.with_name(f"digits--mlp--0.2.{second}.csv.part")
  half.write_text("run,method\ndigits")
  lines = list(study_lib.run_study(two_cells, tmp_path))
  assert lines[0] == (True, "digits/mlp/0.1: there already")
  path = study_lib.collect(two_cells, tmp_path)
  runs = {row["run"] for row in evaluation.read_rows(path)}
  assert runs == {f"digits/mlp/{r}/{s}" for r in (0.1, 0.2) for s in (0, 1)}
  # As in a clone, nothing is left but the collected rows; nothing runs again.
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    "cells.json",
    "results.csv",
  ]
  monkeypatch.setattr(
    study_lib, "train_replicates", lambda *_: pytest.fail("trained again")
  )
  lines = list(study_lib.run_study(two_cells, tmp_path))
  assert all(line.endswith("there already") for _, line in lines)
  assert (
    path.read_bytes() == study_lib.collect(two_cells, tmp_path).read_bytes()
  )


def test_shards_share_the_cells(two_cells, tmp_path, monkeypatch):
  ran = []
  monkeypatch.setattr(
    study_lib, "_run_cell", lambda cell, *_: ran.append(cell.name) or ""
  )
  for part in (0, 1):
    list(study_lib.run_study(two_cells, tmp_path, shard=(part, 2)))
    assert len(ran) == part + 1
  assert sorted(ran) == ["digits/mlp/0.1", "digits/mlp/0.2"]


def test_cells_that_are_not_run_are_only_listed(two_cells, tmp_path):
  listed = training.Study(
    "none",
    "nothing",
    tuple(
      training.Cell(cell.name, cell.replicates, "20 hours")
      for cell in two_cells.cells
    ),
  )
  assert list(study_lib.run_study(listed, tmp_path)) == []


def test_a_cell_that_cannot_run_is_named_before_any_runs(two_cells, tmp_path):
  two_cells.cells[1].replicates[0].train.epochs = 0
  with pytest.raises(
    jaxrobust.ConfigError,
    match=r"cell digits/mlp/0.2: config.train.epochs=0: must be at least 1",
  ):
    next(study_lib.run_study(two_cells, tmp_path))
  assert not list(tmp_path.iterdir())


def test_rows_of_another_config_are_not_taken_for_a_cells(
  two_cells, tmp_path, monkeypatch
):
  ran = []
  run_cell = study_lib._run_cell

  def counted(cell, *rest):
    ran.append(cell.name)
    return run_cell(cell, *rest)

  monkeypatch.setattr(study_lib, "_run_cell", counted)
  list(study_lib.run_study(two_cells, tmp_path))
  study_lib.collect(two_cells, tmp_path)
  # What decides no number may change; what decides one makes a new cell.
  for config in two_cells.cells[0].replicates:
    config.train.log_every = 7
  for config in two_cells.cells[1].replicates:
    config.train.epochs = 2
  list(study_lib.run_study(two_cells, tmp_path))
  assert ran == ["digits/mlp/0.1", "digits/mlp/0.2", "digits/mlp/0.2"]
  rows = evaluation.read_rows(study_lib.collect(two_cells, tmp_path))
  assert {(row["run"][:14], row["step"]) for row in rows} == {
    ("digits/mlp/0.1", 3),
    ("digits/mlp/0.2", 6),
  }


def test_a_cell_that_diverges_has_no_rows_and_the_next_one_follows(
  two_cells, tmp_path
):
  for config in two_cells.cells[0].replicates:
    config.optimizer.name = "sgd"
    config.optimizer.learning_rate = 1e30
  first, second = study_lib.run_study(two_cells, tmp_path)
  assert first == (
    False,
    "digits/mlp/0.1: parameters not finite after training with seeds [0, 1]",
  )
  assert second[0]
  assert study_lib.collect(two_cells, tmp_path) is None


def test_only_must_name_a_cell(two_cells, tmp_path):
  with pytest.raises(jaxrobust.ConfigError, match="--only=cifar: no cell"):
    next(study_lib.run_study(two_cells, tmp_path, only="cifar"))
