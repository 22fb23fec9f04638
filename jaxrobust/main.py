"""The command of record.

  python -m jaxrobust.main --config=configs/mnist_alpha_stable.py \\
    --workdir=runs/first

Any field can be set behind the config, as --config.train.epochs=3; a config
file's quick variant is --config=FILE:quick. The same command resumes a run
that was interrupted.
"""

import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

import jaxrobust
from jaxrobust.commands import shell

_HELP = f"""{__doc__}
flags:
  --config=FILE[:VARIANT]  a config file, as configs/digits_alpha_stable.py
  --config.FIELD=VALUE     sets one field of the config
  --workdir=DIR            the run's folder: config, metrics, checkpoints, rows
"""


def main(argv: Sequence[str] | None = None) -> int:
  """Trains as the flags say and returns the exit code."""
  return shell.guard(lambda: _main(list(sys.argv if argv is None else argv)))


def _main(argv: list[str]) -> int:
  if {"--help", "-h", "-help"} & set(argv[1:]):
    print(_HELP)
    return shell.DONE
  config, workdir = _parse(argv)
  shell.use_compilation_cache()
  outcome = jaxrobust.train(config, workdir)
  if not outcome.finished:
    print(f"interrupted at step {outcome.step}; the same command resumes")
    return shell.INTERRUPTED
  shell.print_table(outcome.rows, workdir)
  return shell.DONE


def _parse(argv: list[str]):
  """The config and the folder, or a UsageError in one line."""
  values = flags.FlagValues()
  config_flag = config_flags.DEFINE_config_file(
    "config", None, "The config file.", lock_config=True, flag_values=values
  )
  flags.DEFINE_string("workdir", None, "The run's folder.", flag_values=values)
  try:
    rest = values(argv)[1:]
  except FileNotFoundError as error:
    raise shell.UsageError(f"--config: {error.filename or error}: not found")
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
    # An error inside the config file comes as its traceback: its last line
    # says what is wrong.
    raise shell.UsageError(str(error).strip().splitlines()[-1])
  if rest:
    raise shell.UsageError(f"{rest[0]!r}: not a flag; see --help")
  for flag in ("config", "workdir"):
    if values[flag].value is None:
      raise shell.UsageError(f"--{flag}: missing; see --help")
  return config_flag.value, values.workdir


if __name__ == "__main__":
  sys.exit(main())
