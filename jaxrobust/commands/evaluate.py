"""`jaxrobust evaluate`: judges a run's checkpoint again."""

import argparse

import jaxrobust
from jaxrobust.commands import shell

HELP = "judge a run's checkpoint and add the rows to its results.csv"
EXAMPLE = "jaxrobust evaluate --workdir=runs/first --select=best"


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds this verb's arguments."""
  parser.add_argument("--workdir", required=True, help="the run's folder")
  parser.add_argument("--split", help="instead of config.data.test_split")
  parser.add_argument("--data_dir", help="instead of config.data.data_dir")
  parser.add_argument("--path", help="instead of config.data.path")
  parser.add_argument(
    "--select",
    choices=("last", "best", "best_test"),
    help="instead of config.eval.select",
  )
  parser.add_argument(
    "--sparsity",
    action="store_true",
    default=None,
    help="add the rows of the weights' sparsity and of pruning them",
  )
  parser.add_argument(
    "--attack_eps",
    type=_numbers,
    metavar="EPS,...",
    help="add the rows of attacks at these radii, in units of the input; "
    "instead of config.eval.attack_eps",
  )
  parser.add_argument(
    "--adapt",
    type=_words,
    metavar="NAME,...",
    help="add the rows of the network that adapts to the test inputs without "
    "labels, by adabn or tent; instead of config.eval.adapt",
  )
  parser.add_argument(
    "--smooth_evals",
    type=_words,
    metavar="WAY,...",
    help="add the rows of the network behind another smoother than its own: "
    "off, on, adaptive; instead of config.eval.smooth_evals",
  )


def run(args: argparse.Namespace) -> int:
  """Evaluates and prints the table."""
  shell.use_compilation_cache()
  rows = jaxrobust.evaluate(
    args.workdir,
    split=args.split,
    select=args.select,
    data_dir=args.data_dir,
    path=args.path,
    sparsity=args.sparsity,
    attack_eps=args.attack_eps,
    adapt=args.adapt,
    smooth_evals=args.smooth_evals,
  )
  shell.print_table(rows, args.workdir)
  return shell.DONE


def _words(text: str) -> tuple[str, ...]:
  return tuple(text.split(","))


def _numbers(text: str) -> tuple[float, ...]:
  try:
    return tuple(float(part) for part in text.split(","))
  except ValueError as error:
    raise argparse.ArgumentTypeError(
      f"{text!r}: must be numbers, as 0.1,0.2"
    ) from error
