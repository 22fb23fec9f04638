"""The folder of a choice of config fields: its papers, and what was chosen."""

import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections

from jaxrobust.training import config as config_lib
from jaxrobust.training.logging import note_environment
from jaxrobust.tuning import ranges as ranges_lib

# What may differ when a study is resumed: it changes no value of a trial.
FREE_TO_CHANGE = (
  "train.launcher",
  "train.devices",
  "train.log_every",
  "data.data_dir",
  "data.path",
  "data.cache",
  "data.device_resident",
  "data.test_split",
  "checkpoint.",
  "eval.batch_size",
  "eval.select",
  "eval.sparsity",
  "eval.pruned_shares",
)


def begin_folder(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> None:
  """Writes the config of a folder's work, or refuses another config.

  Args:
    config: The config.
    workdir: The folder, made if it is not there.

  Raises:
    ConfigError: If the folder was begun with a config of other values, or
      holds something else.
  """
  path = workdir / "config.json"
  if (workdir / "checkpoints").exists():
    raise config_lib.ConfigError(f"{workdir}: holds a run; use a new --workdir")
  begun = ("study.db", "study.json", "gradient")
  if any((workdir / name).exists() for name in begun):
    config_lib.refuse_other(config, path, FREE_TO_CHANGE)
  workdir.mkdir(parents=True, exist_ok=True)
  config_lib.save(config, path)
  note_environment(workdir / "environment.json")


def shown(value: Any) -> str:
  """A value of a field, as tables show it."""
  return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_config(
  config: ml_collections.ConfigDict,
  values: Mapping[str, Any],
  path: pathlib.Path,
  title: str,
) -> None:
  """Writes a config as a file that `--config` takes, and its JSON beside it.

  Args:
    config: The config that was searched around.
    values: The fields that were chosen.
    path: The file, which ends in ".py".
    title: The file's docstring.
  """
  config_lib.save(ranges_lib.apply(config, values), path.with_suffix(".json"))
  path.write_text(
    f'"""{title}"""\n\n'
    "import pathlib\n\n"
    "import jaxrobust\n"
    "from jaxrobust.training import config\n\n\n"
    "def get_config(variant=None):\n"
    '  """The config, or its `quick` variant."""\n'
    '  path = pathlib.Path(__file__).with_suffix(".json")\n'
    "  return jaxrobust.variant(config.load(path), variant)\n"
  )
