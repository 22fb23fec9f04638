r"""The command of record.

  python -m jaxrobust.main --config=configs/mnist_alpha_stable.py \
    --workdir=runs/first

Any field can be set behind the config, as --config.train.epochs=3, and an
option of a model or a method taken back, as --config.method.input.alpha=None; a
config file's quick variant is --config=FILE:quick. The same command resumes a
run that was interrupted.
"""

import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

import jaxrobust
from jaxrobust.commands import shell
from jaxrobust.training import config as config_lib
from jaxrobust.training import processes

_HELP = f"""{__doc__}
flags:
  --config=FILE[:VARIANT]  a config file, as configs/digits_alpha_stable.py
  --config.FIELD=VALUE     sets one field of the config; None takes an option
                           of the model or the method back
  --workdir=DIR            the run's folder: config, metrics, checkpoints, rows
"""


def main(argv: Sequence[str] | None = None) -> int:
  """Trains as the flags say and returns the exit code."""
  return shell.guard(lambda: _main(list(sys.argv if argv is None else argv)))


def _main(argv: list[str]) -> int:
  if {"--help", "-h", "-help"} & set(argv[1:]):
    print(_HELP)
    return shell.DONE
  config, workdir = parse(argv)
  processes.join()
  shell.use_compilation_cache()
  outcome = jaxrobust.train(config, workdir)
  if not outcome.finished:
    print(f"interrupted at step {outcome.step}; the same command resumes")
    return shell.INTERRUPTED
  shell.print_table(outcome.rows, workdir)
  return shell.DONE


def parse(argv: list[str]) -> tuple[Any, Any]:
  """The config and the folder, or a UsageError in one line."""
  argv, cleared = _take_out_none(argv)
  values = flags.FlagValues()
  config_flags.DEFINE_config_file(
    "config", None, "The config file.", flag_values=values, sys_argv=argv
  )
  flags.DEFINE_string("workdir", None, "The run's folder.", flag_values=values)
  try:
    with warnings.catch_warnings():
      # How ml_collections loads the file.
      warnings.filterwarnings(
        "ignore", r".*load_module\(\)", DeprecationWarning
      )
      rest = values(argv)[1:]
    config = values["config"].value
    if config is not None:
      config.lock()  # Raises what kept the file from being read.
  except Exception as error:
    # A config file is a program and may raise anything.
    raise shell.UsageError(_reason(error, argv)) from error
  if rest:
    raise shell.UsageError(f"{rest[0]!r}: not a flag; see --help")
  for flag in ("config", "workdir"):
    if not values[flag].value:
      raise shell.UsageError(f"--{flag}: missing; see --help")
  for field in cleared:
    _clear(config, field)
  return config, values["workdir"].value


def _take_out_none(argv: list[str]) -> tuple[list[str], list[str]]:
  """The words without `--config.FIELD=None`, and those fields.

  A flag reads the word None as a value of the field's type, and fails.
  """
  kept: list[str] = []
  cleared: list[str] = []
  words = list(argv)
  while words:
    word = words.pop(0)
    found = re.fullmatch(r"--?config\.([\w.]+)(?:=(.*))?", word, re.DOTALL)
    if found is None:
      kept.append(word)
      continue
    field, value = found.groups()
    # The last word about a field holds.
    cleared = [other for other in cleared if other != field]
    if value == "None":
      cleared.append(field)
    elif value is None and words[:1] == ["None"]:
      words.pop(0)
      cleared.append(field)
    else:
      kept.append(word)
  return kept, cleared


def _clear(config: Any, field: str) -> None:
  """Sets an option to None, which leaves it to the model or the method."""
  flag = f"--config.{field}"
  *sections, name = field.split(".")
  section = config
  try:
    for part in sections:
      section = section[part]
    section[name]
  except KeyError as error:
    raise shell.UsageError(_reason(error, [flag])) from error
  except TypeError as error:
    raise shell.UsageError(f"{flag}: no such field") from error
  options = config_lib.flat(config_lib.default_config().to_dict())
  if options.get(field, field) is not None:
    raise shell.UsageError(
      f"{flag}=None: must have a value; None is for options of config.model "
      "and config.method"
    )
  section[name] = None


def _reason(error: Exception, argv: list[str]) -> str:
  """What is wrong with the flags or in the config file, in one line."""
  text = str(error).strip() or type(error).__name__
  if isinstance(error, (KeyError, AttributeError)):
    # A field that the config does not have: its name, and perhaps another.
    found = re.fullmatch(r"\W*(\w+)\W*(?:n?Did you mean \W(\w+).*)?", text)
    if found:
      name, other = found.groups()
      flags_given = [word.split("=")[0] for word in argv]
      flag = next((f for f in flags_given if name in f.split(".")), "--config")
      hint = f"; did you mean {other!r}?" if other else ""
      return f"{flag}: no field {name!r}{hint}"
  # An error inside the file comes with its traceback, the reason at the end.
  line = re.sub(r"^jaxrobust[\w.]+: ", "", text.splitlines()[-1].strip())
  if isinstance(error, (flags.Error, ValueError)):
    return line
  return "--config: " + re.sub(r"^.*\[Errno \d+\] ", "", line)


if __name__ == "__main__":
  sys.exit(main())
