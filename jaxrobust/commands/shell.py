"""What every command shares: exit codes, one-line errors, tables."""

import argparse
import pathlib
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import jax

from jaxrobust import data, evaluation, training
from jaxrobust.export import ExportError
from jaxrobust.training import processes
from jaxrobust.training.checkpoints import CheckpointError

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 75

# What the system says of a folder that cannot be a run's folder.
_WRONG_PATH = (
  FileExistsError,
  IsADirectoryError,
  NotADirectoryError,
  PermissionError,
)


class UsageError(ValueError):
  """A command line that cannot be carried out."""


class Parser(argparse.ArgumentParser):
  """An argument parser whose errors are one line."""

  def error(self, message: str) -> NoReturn:
    """Raises a UsageError."""
    raise UsageError(f"{message}; see {self.prog} --help")


def guard(command: Callable[[], int]) -> int:
  """Runs a command; turns what a user can mend into one line and a code.

  One of several processes that failed ends here, without waiting for others.
  """
  return processes.leave(_code_of(command))


def _code_of(command: Callable[[], int]) -> int:
  try:
    return command()
  except (UsageError, training.ConfigError, data.DataError) as error:
    return _fail(error, WRONG_USE)
  except _WRONG_PATH as error:
    reason = f"{error.filename}: {error.strerror}" if error.filename else error
    return _fail(reason, WRONG_USE)
  except (
    training.NonFiniteLoss,
    CheckpointError,
    ExportError,
    processes.ProcessLost,
    OSError,
  ) as error:
    return _fail(processes.explain(error.__cause__ or error) or error, FAILED)
  except KeyboardInterrupt:
    print("interrupted; the same command resumes", file=sys.stderr)
    return INTERRUPTED
  except Exception as error:
    if not processes.several():
      raise
    lost = processes.explain(error)
    if lost is None:
      traceback.print_exc()
      return FAILED
    return _fail(lost, FAILED)


def _fail(error: Exception | str, code: int) -> int:
  who = "jaxrobust"
  if processes.several():
    who += f", process {jax.process_index()}"
  print(f"{who}: {' '.join(str(error).split())}", file=sys.stderr)
  return code


def use_compilation_cache() -> None:
  """Keeps compiled programs between runs, unless the user set a place."""
  settings: Any = jax.config
  if settings.jax_compilation_cache_dir is None:
    place = data.user_cache() / "xla"
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def print_table(rows: Sequence[Mapping[str, Any]], workdir: str) -> None:
  """Prints the rows of a run as a table, and where they are."""
  from rich.console import Console

  first = rows[0]
  title = (
    f"{first['run']}: {first['method']} on {first['dataset']} "
    f"({first['split']}), step {first['step']}"
  )
  Console(width=None if sys.stdout.isatty() else 100).print(
    evaluation.accuracy_table(rows, title)
  )
  print(f"rows: {pathlib.Path(workdir) / 'results.csv'}")
