"""Corruptions as cells: what their rows say, and how a run judges them."""

import dataclasses
import io

import jax
import numpy as np
import pytest
from rich.console import Console

import jaxrobust
from jaxrobust import data, evaluation, methods, models
from jaxrobust.training import parallel
from jaxrobust.training.evaluate import judge_run
from jaxrobust.training.judge import Judge

FIELDS = {
  "uniform_eps": (0.1, 0.3),
  "patches": ("2x3", "4x3"),
  "resolutions": (0.5,),
  "salt_and_pepper": (0.1, 0.4),
  "combined": ("0.2+2x3", "0.4+2x3"),
  "shot": (20.0, 5.0),
  "drift_stds": (0.2, 0.4),
}
PERIOD = 20
CELLS = [
  ("uniform", 0.1),
  ("uniform", 0.3),
  ("patches(side=3)", 2),
  ("patches(side=3)", 4),
  ("resolution", 0.5),
  ("salt_and_pepper", 0.1),
  ("salt_and_pepper", 0.4),
  ("gaussian+patches(count=2, side=3)", 0.2),
  ("gaussian+patches(count=2, side=3)", 0.4),
  ("shot", 20),
  ("shot", 5),
  ("drifting_gaussian(period=20)", 0.2),
  ("drifting_gaussian(period=20)", 0.4),
]
NAMES = {name for name, _ in CELLS}


def corrupted(rows):
  return [row for row in rows if row["perturbation"] in NAMES]


def all_cells():
  return evaluation.corruption_cells(**FIELDS, drift_period=PERIOD)


def test_the_cells_are_named_by_what_is_fixed_and_strong_by_what_is_not():
  cells = all_cells()
  assert [(cell.name, cell.strength) for cell in cells] == CELLS
  assert evaluation.corruption_cells() == []


def test_a_corrupted_batch_depends_on_key_tag_and_index_alone():
  images = np.random.default_rng(0).integers(0, 256, (6, 5, 5, 1), np.uint8)
  index = np.asarray([5, 0, 9, 14, 2, 7], np.int32)

  def run(cell, order, seed=0, tag=data.Tag.TEST):
    step = evaluation.make_corrupt_step(cell.kind, cell.options)
    batch = {"inputs": images[order], "index": index[order]}
    strength = np.float32(cell.strength)
    key = jax.random.key(seed)
    return np.asarray(step(batch, key, np.int32(tag), strength))

  whole, order = np.arange(6), np.asarray([4, 1, 5, 0, 3, 2])
  for cell in all_cells()[::2]:
    at_first = run(cell, whole)
    assert at_first.dtype == np.float32
    assert at_first.min() >= 0
    assert at_first.max() <= 1
    np.testing.assert_array_equal(run(cell, order), at_first[order])
    changes = (
      run(cell, whole, seed=1),
      run(cell, whole, tag=data.Tag.VALIDATION),
    )
    for changed in changes:
      assert (changed != at_first).any() == (cell.name != "resolution")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """A run with all corruptions, judged on two devices."""
  config = jaxrobust.default_config()
  config.data.source = config.data.name = "digits"
  config.data.shape = (8, 8, 1)
  config.data.train_split, config.data.test_split = "train[:60]", "test[:50]"
  config.model.name, config.model.hidden = "mlp", (16,)
  config.train.epochs, config.train.batch_size = 1, 20
  config.train.devices = 2
  config.eval.batch_size = 16
  config.eval.gaussian_stds, config.eval.alphas = (0.2,), ()
  workdir = tmp_path_factory.mktemp("run")
  config.eval.update(FIELDS)
  config.eval.drift_period = PERIOD
  return config, workdir, jaxrobust.train(config, workdir)


def same_run(workdir, folder):
  """A folder for the same run without its rows, which carry its name."""
  again = folder / workdir.name
  again.mkdir()
  (again / "checkpoints").symlink_to(workdir / "checkpoints")
  return again


def judged_again(config, workdir, devices=2):
  dataset = data.load(config.data, config.data.test_split)
  return judge_run(config, workdir, dataset, jax.local_devices()[:devices])


def test_a_run_has_a_row_of_every_metric_for_every_cell(finished):
  _, _, outcome = finished
  rows = corrupted(outcome.rows)
  found = dict.fromkeys((r["perturbation"], r["strength"]) for r in rows)
  assert list(found) == CELLS
  assert len(rows) == len(CELLS) * len(evaluation.CLASSIFICATION.metrics)
  assert {row["n_examples"] for row in rows} == {50}
  nll = {
    (r["perturbation"], r["strength"]): r["value"]
    for r in outcome.rows
    if r["metric"] == "nll"
  }
  assert len(set(nll.values())) == len(nll)


def test_the_other_rows_are_those_of_a_run_without_corruptions(
  finished, tmp_path
):
  config, workdir, outcome = finished
  plain = config.copy_and_resolve_references()
  plain.eval.update(dict.fromkeys(FIELDS, ()))
  without = judged_again(plain, same_run(workdir, tmp_path))
  assert without
  assert without == [
    row for row in outcome.rows if row not in corrupted(outcome.rows)
  ]


@pytest.mark.parametrize(
  ("launcher", "devices"), [("pmap", 1), ("shard_map", 4)]
)
def test_devices_and_launchers_change_no_row(
  finished, tmp_path, launcher, devices
):
  config, workdir, outcome = finished
  other = config.copy_and_resolve_references()
  other.train.launcher = launcher
  rows = judged_again(other, same_run(workdir, tmp_path), devices)
  expected, got = corrupted(outcome.rows), corrupted(rows)
  assert len(got) == len(expected)
  for row, right in zip(got, expected, strict=True):
    assert row["metric"] == right["metric"]
    assert row["value"] == pytest.approx(right["value"], rel=1e-4)


def test_an_interrupted_evaluation_resumes(finished, tmp_path, monkeypatch):
  config, workdir, outcome = finished
  again = same_run(workdir, tmp_path)
  whole = (workdir / "results.csv").read_bytes()
  judged = []
  judge = Judge.__call__

  def counted(self, variables, cell):
    judged.append((cell.name, cell.strength))
    return judge(self, variables, cell)

  monkeypatch.setattr(Judge, "__call__", counted)
  # The last cell is cut off in the middle of its rows.
  (again / "results.csv").write_bytes(whole[:-100])
  assert judged_again(config, again) == outcome.rows
  assert (again / "results.csv").read_bytes() == whole
  assert judged == [CELLS[-1]]


def test_the_network_is_compiled_once_for_all_corruptions(finished):
  config, _, _ = finished
  traced = []
  model = models.build("mlp", num_classes=10, hidden=(4,))
  method = methods.build(config.method, (8, 8, 1))
  dataset = data.load(config.data, config.data.test_split)

  forward = method.forward

  def counted(*args, **kwargs):
    traced.append(1)
    return forward(*args, **kwargs)

  launcher = parallel.Launcher("pmap", jax.local_devices()[:2])
  method = dataclasses.replace(method, forward=counted)
  judge = Judge(config, model, method, dataset, launcher, data.Tag.TEST)
  variables = judge.place(
    model.init(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
  )
  for cell in all_cells():
    judge(variables, cell)
  assert len(traced) == 1
  # Strengths are traced: of 13 cells, eight have a program of their own.
  assert judge._corrupt.cache_info().currsize == 8


def test_the_table_for_the_terminal_names_every_strength(finished):
  _, _, outcome = finished
  screen = Console(file=io.StringIO(), width=160)
  screen.print(evaluation.accuracy_table(outcome.rows, "run"))
  text = screen.file.getvalue()
  for words in (
    "eps 0.3",
    "count 4",
    "factor 0.5",
    "share 0.4",
    "std 0.4",
    "photons 5",
    "peak std 0.4",
  ):
    assert words in text
  assert "flip rate" not in text


def test_the_quick_variant_keeps_the_first_of_each():
  config = jaxrobust.default_config()
  config.eval.update(FIELDS)
  quick = jaxrobust.variant(config, "quick")
  for field, values in FIELDS.items():
    assert quick.eval[field] == values[:1]


def test_one_program_serves_all_strengths_of_a_kind():
  corrupt = jax.jit(evaluation.make_corrupt_step("uniform", ()))
  batch = {
    "inputs": np.full((1, 4, 4, 1), 0.5, np.float32),
    "index": np.zeros(1, np.int32),
  }
  for strength in (0.1, 0.2):
    got = corrupt(
      batch, jax.random.key(0), np.int32(data.Tag.TEST), np.float32(strength)
    )
    assert 0.7 * strength < np.abs(got - 0.5).max() <= strength + 1e-6
  assert corrupt._cache_size() == 1
