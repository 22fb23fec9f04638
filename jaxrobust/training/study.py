"""A study: a grid of methods, models and data sets, over several seeds.

A file in `configs/studies/` has a function `get_study` that lists the cells.
Each cell is trained over its seeds and judged, and leaves a file of rows, so
that a study can be stopped at any time and goes on with the next cell; when
all cells are there, the rows become one `results.csv`.
"""

import csv
import dataclasses
import io
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import ml_collections

from jaxrobust import data, evaluation
from jaxrobust.training import parallel
from jaxrobust.training.assembly import assemble
from jaxrobust.training.checks import validate
from jaxrobust.training.config import ConfigError
from jaxrobust.training.evaluate import Judge, describe, judge_state
from jaxrobust.training.replicates import train_replicates

# Both are functions of the accuracy and of the number of examples.
_DERIVED = ("accuracy_low", "accuracy_high")


@dataclasses.dataclass(frozen=True)
class Cell:
  """One method on one model and data set, repeated.

  Attributes:
    name: "group/method"; rows of the cell carry it, with the seed, as `run`.
    replicates: The configs, which differ in seed and splits only.
    not_run: Why this cell is listed but not run, with its measured cost; ""
      for a cell that is run.
  """

  name: str
  replicates: tuple[ml_collections.ConfigDict, ...]
  not_run: str = ""

  def run_of(self, config: ml_collections.ConfigDict) -> str:
    """The `run` of one replicate's rows."""
    return f"{self.name}/{config.seed}"


@dataclasses.dataclass(frozen=True)
class Study:
  """What `get_study` returns.

  Attributes:
    name: The study's name.
    budget: What it may cost, in words.
    cells: Its cells, in the order in which they are run.
  """

  name: str
  budget: str
  cells: tuple[Cell, ...]


def repeat(
  config: ml_collections.ConfigDict, seeds: int, folds: int = 0
) -> tuple[ml_collections.ConfigDict, ...]:
  """The replicates of a config: seeds 0 to `seeds` - 1, a fold for each.

  Args:
    config: The config of all.
    seeds: How many replicates.
    folds: Into how many stratified folds the base of `train_split` is dealt;
      seed s is judged on fold s modulo `folds` and trained on the others. 0
      keeps the config's own splits.

  Returns:
    A config per seed.

  Example:
    >>> from jaxrobust.training.config import default_config
    >>> [c.data.test_split for c in repeat(default_config(), 2, folds=5)]
    ['train[fold 0/5]', 'train[fold 1/5]']
  """
  replicates = []
  for seed in range(seeds):
    own = config.copy_and_resolve_references()
    own.seed = seed
    if folds:
      base = data.parse_split(own.data.train_split).base
      own.data.train_split = f"{base}[not fold {seed % folds}/{folds}]"
      own.data.test_split = f"{base}[fold {seed % folds}/{folds}]"
    replicates.append(own)
  return tuple(replicates)


def run_study(
  study: Study,
  out: str | pathlib.Path,
  *,
  data_dir: str | None = None,
  only: str = "",
  shard: tuple[int, int] = (0, 1),
) -> Iterator[str]:
  """Trains and judges the cells whose rows are not there yet.

  Args:
    study: The study.
    out: Its folder: `cells/` gets a file per cell.
    data_dir: Instead of the configs' `data.data_dir`.
    only: Runs only cells whose name begins with this.
    shard: (i, n): runs every n-th cell, from the i-th; n processes with
      different i share the work.

  Yields:
    A line of text per cell, when it is done.

  Raises:
    ConfigError: If a cell cannot run, or two have the same name.
    data.DataError: If a data set is not there.
  """
  out = pathlib.Path(out).expanduser()
  _check(study, only)
  wanted = [
    cell
    for cell in study.cells
    if cell.name.startswith(only) and not cell.not_run
  ]
  done_before = _finished_runs(out / "results.csv")
  for cell in wanted[shard[0] :: shard[1]]:
    runs = {cell.run_of(config) for config in cell.replicates}
    path = _cell_path(out, cell)
    if path.exists() or runs <= done_before:
      yield f"{cell.name}: there already"
      continue
    started = time.monotonic()
    accuracy = _run_cell(cell, path, data_dir)
    seconds = time.monotonic() - started
    # Nothing compiled for this cell serves the next.
    jax.clear_caches()
    yield f"{cell.name}: clean accuracy {accuracy:.4f}, {seconds:.0f} s"


def collect(study: Study, out: str | pathlib.Path) -> pathlib.Path | None:
  """Makes `results.csv` of the cells' rows, whole or not at all.

  Rows keep the study's order. What can be computed from the others, the ends
  of the accuracy's interval, is left out.

  Args:
    study: The study.
    out: Its folder.

  Returns:
    The file; None while cells are missing.
  """
  out = pathlib.Path(out).expanduser()
  target = out / "results.csv"
  before: dict[str, list[dict[str, Any]]] = {}
  if target.exists():
    for row in evaluation.read_rows(target):
      before.setdefault(row["run"], []).append(row)
  rows = []
  for cell in study.cells:
    if cell.not_run:
      continue
    path = _cell_path(out, cell)
    runs = [cell.run_of(config) for config in cell.replicates]
    if path.exists():
      rows += evaluation.read_rows(path)
    elif all(run in before for run in runs):
      rows += [row for run in runs for row in before[run]]
    else:
      return None
  text = io.StringIO()
  writer = csv.DictWriter(text, evaluation.COLUMNS, lineterminator="\n")
  writer.writeheader()
  for row in rows:
    if row["metric"] not in _DERIVED:
      writer.writerow({**row, "value": f"{row['value']:.6g}"})
  partial = target.with_name("results.csv.part")
  partial.write_text(text.getvalue(), encoding="utf-8")
  partial.replace(target)
  return target


def _run_cell(cell: Cell, path: pathlib.Path, data_dir: str | None) -> float:
  """Trains and judges one cell; returns the mean clean accuracy."""
  configs = []
  for config in cell.replicates:
    config = config.copy_and_resolve_references()
    if data_dir is not None:
      config.data.data_dir = data_dir
    configs.append(config)
  states = train_replicates(configs, _Teller(cell.name))
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_suffix(f".{os.getpid()}.part")
  partial.unlink(missing_ok=True)
  results = evaluation.Results(partial)
  first = configs[0]
  launcher = parallel.Launcher(first.train.launcher, jax.local_devices()[:1])
  train_set = data.load(first.data, first.data.train_split)
  parts = assemble(first, train_set)
  judge = None
  for config, state in zip(configs, states, strict=True):
    dataset = data.load(config.data, config.data.test_split)
    if judge is None:
      judge = Judge(
        config, parts.model, parts.method, dataset, launcher, data.Tag.TEST
      )
    subject = describe(config, cell.run_of(config), int(state.step), dataset)
    judged = judge.on(dataset, config.seed)
    for _ in judge_state(config, subject, judged, state, results):
      pass
  partial.replace(path)
  clean = [
    row["value"]
    for row in evaluation.read_rows(path)
    if (row["perturbation"], row["metric"]) == ("clean", "accuracy")
  ]
  return sum(clean) / max(len(clean), 1)


class _Teller:
  """Says every ten seconds how far the training of a cell is."""

  def __init__(self, name: str):
    self._name, self._said = name, time.monotonic()

  def __call__(self, done: int, total: int) -> None:
    if time.monotonic() - self._said > 10:
      self._said = time.monotonic()
      print(f"{self._name}: update {done} of {total}", flush=True)


def _check(study: Study, only: str) -> None:
  names = [cell.name for cell in study.cells]
  twice = {name for name in names if names.count(name) > 1}
  if twice:
    raise ConfigError(f"study {study.name}: several cells {sorted(twice)[0]!r}")
  if not any(name.startswith(only) for name in names):
    raise ConfigError(f"only={only!r}: no cell's name begins so")
  for cell in study.cells:
    # The others differ in seed and splits only.
    try:
      validate(cell.replicates[0])
    except ConfigError as error:
      raise ConfigError(f"cell {cell.name}: {error}") from error


def _cell_path(out: pathlib.Path, cell: Cell) -> pathlib.Path:
  return out / "cells" / f"{cell.name.replace('/', '--')}.csv"


def _finished_runs(path: pathlib.Path) -> set[str]:
  if not path.exists():
    return set()
  return {row["run"] for row in evaluation.read_rows(path)}
