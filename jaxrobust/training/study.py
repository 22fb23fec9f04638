"""A study: a grid of methods, models and data sets, over several seeds.

A file in `configs/studies/` has a function `get_study` that lists the cells.
Each cell is trained over its seeds and judged, and leaves a file of rows, so
that a study can be stopped at any time and goes on with the next cell; when
all cells are there, the rows become one `results.csv`.
"""

import csv
import dataclasses
import hashlib
import io
import json
import pathlib
import shutil
import time
from collections.abc import Iterator
from typing import Any

import jax
import ml_collections

from jaxrobust import data, evaluation, methods, models
from jaxrobust.training import parallel
from jaxrobust.training.checks import validate
from jaxrobust.training.config import (
  ConfigError,
  default_config,
  flat,
  model_arguments,
)
from jaxrobust.training.judge import Judge
from jaxrobust.training.judging import describe, judge_state
from jaxrobust.training.replicates import Diverged, train_replicates

# Both are functions of the accuracy and of the number of examples.
_DERIVED = ("accuracy_low", "accuracy_high")
# What changes no number of a cell's rows.
_FREE_TO_CHANGE = (
  "data.data_dir",
  "data.path",
  "data.cache",
  "data.smoothed_dir",
  "train.launcher",
  "train.log_every",
  "checkpoint.",
  "eval.batch_size",
)


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


def wanted(
  study: Study, only: str = "", shard: tuple[int, int] = (0, 1)
) -> list[Cell]:
  """The cells that `run_study` runs, in its order."""
  cells = [
    cell
    for cell in study.cells
    if cell.name.startswith(only) and not cell.not_run
  ]
  return cells[shard[0] :: shard[1]]


def run_study(
  study: Study,
  out: str | pathlib.Path,
  *,
  data_dir: str | None = None,
  only: str = "",
  shard: tuple[int, int] = (0, 1),
) -> Iterator[tuple[bool, str]]:
  """Trains and judges the cells whose rows are not there yet.

  Rows of the same name that were made by another config, or over other seeds,
  are not taken for this cell's.

  Args:
    study: The study.
    out: Its folder: `cells/` gets a file per cell.
    data_dir: Instead of the configs' `data.data_dir`.
    only: Runs only cells whose name begins with this.
    shard: (i, n): runs every n-th cell, from the i-th; n processes with
      different i share the work.

  Yields:
    For each cell, when it is done, whether its rows are there, and a line of
    text. A cell that diverges has no rows, and the next one follows.

  Raises:
    ConfigError: If a cell cannot run, or two have the same name.
    data.DataError: If a data set is not there.
  """
  out = pathlib.Path(out).expanduser()
  _check(study, only)
  collected = _collected(out)
  for cell in wanted(study, only, shard):
    path = _cell_path(out, cell)
    if path.exists() or collected.get(cell.name) == digest(cell):
      yield True, f"{cell.name}: there already"
      continue
    started = time.monotonic()
    try:
      text = _run_cell(cell, path, data_dir)
    except Diverged as error:
      yield False, f"{cell.name}: {error}"
      continue
    finally:
      # Nothing compiled for this cell serves the next.
      jax.clear_caches()
    yield True, f"{cell.name}: {text}, {time.monotonic() - started:.0f} s"


def collect(study: Study, out: str | pathlib.Path) -> pathlib.Path | None:
  """Makes `results.csv` of the cells' rows, whole or not at all.

  Rows keep the study's order. What can be computed from the others, the ends
  of the accuracy's interval, is left out. `cells.json` says which configs the
  rows are of. The files of the cells have then done their work and are removed.

  Args:
    study: The study.
    out: Its folder.

  Returns:
    The file; None while cells are missing.
  """
  out = pathlib.Path(out).expanduser()
  target = out / "results.csv"
  collected = _collected(out)
  before: dict[str, list[dict[str, Any]]] = {}
  if collected:
    for row in evaluation.read_rows(target):
      before.setdefault(row["run"].rsplit("/", 1)[0], []).append(row)
  rows = []
  for cell in wanted(study):
    path = _cell_path(out, cell)
    if path.exists():
      rows += evaluation.read_rows(path)
    elif collected.get(cell.name) == digest(cell):
      rows += before[cell.name]
    else:
      return None
  text = io.StringIO()
  writer = csv.DictWriter(text, evaluation.COLUMNS, lineterminator="\n")
  writer.writeheader()
  for row in rows:
    if row["metric"] not in _DERIVED:
      writer.writerow({**row, "value": f"{row['value']:.6g}"})
  digests = {cell.name: digest(cell) for cell in wanted(study)}
  out.mkdir(parents=True, exist_ok=True)
  # The rows first: digests without their rows would promise what is not there.
  _replace(out / "cells.json", "{}")
  _replace(target, text.getvalue())
  _replace(out / "cells.json", json.dumps(digests, indent=1) + "\n")
  shutil.rmtree(out / "cells", ignore_errors=True)
  return target


def digest(cell: Cell) -> str:
  """What tells the rows of a cell from those of one with another config.

  Only fields that differ from their default count, so that a new field does
  not make old rows stale; but neither does a default that is changed.
  """
  defaults = flat(default_config().to_dict())
  replicates = [
    {
      field: value
      for field, value in flat(config.to_dict()).items()
      if value != defaults.get(field) and not field.startswith(_FREE_TO_CHANGE)
    }
    for config in cell.replicates
  ]
  text = json.dumps(replicates, sort_keys=True, default=list)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def _run_cell(cell: Cell, path: pathlib.Path, data_dir: str | None) -> str:
  """Trains and judges one cell; returns how it did on clean inputs."""
  configs = []
  for config in cell.replicates:
    config = config.copy_and_resolve_references()
    if data_dir is not None:
      config.data.data_dir = data_dir
    configs.append(config)
  states = train_replicates(configs, _Teller(cell.name))
  first = configs[0]
  model = models.build(**model_arguments(first), axis_name=parallel.AXIS)
  method = methods.build(first.method, tuple(first.data.shape))
  launcher = parallel.Launcher(first.train.launcher, jax.local_devices()[:1])
  sets = [data.load(c.data, c.data.test_split) for c in configs]
  judge = Judge(first, model, method, sets[0], launcher, data.Tag.TEST)
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(path.name + ".part")
  partial.unlink(missing_ok=True)
  results = evaluation.Results(partial)
  for config, state, dataset in zip(configs, states, sets, strict=True):
    subject = describe(config, cell.run_of(config), int(state.step), dataset)
    judged = judge.on(dataset, config.seed)
    variables = state.variables()
    for _ in judge_state(config, subject, judged, variables, results):
      pass
  partial.replace(path)
  headline = evaluation.task_of(first.data.targets).headline
  clean = [
    row["value"]
    for row in evaluation.read_rows(path)
    if (row["perturbation"], row["metric"]) == ("clean", headline)
    and not evaluation.is_variant(row["method"])
  ]
  return f"clean {headline} {sum(clean) / len(clean):.4f}"


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
    raise ConfigError(f"--only={only}: no cell's name begins so")
  for cell in study.cells:
    if cell.not_run:
      continue
    # The others differ in seed and splits only.
    try:
      validate(cell.replicates[0])
    except ConfigError as error:
      raise ConfigError(f"cell {cell.name}: {error}") from error


def _cell_path(out: pathlib.Path, cell: Cell) -> pathlib.Path:
  return out / "cells" / f"{cell.name.replace('/', '--')}.{digest(cell)}.csv"


def _collected(out: pathlib.Path) -> dict[str, str]:
  """The digest of every cell whose rows are in `results.csv`."""
  path = out / "cells.json"
  if not path.exists() or not (out / "results.csv").exists():
    return {}
  return json.loads(path.read_text(encoding="utf-8"))


def _replace(path: pathlib.Path, text: str) -> None:
  partial = path.with_name(path.name + ".part")
  partial.write_text(text, encoding="utf-8")
  partial.replace(path)
