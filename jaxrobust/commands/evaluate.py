"""`jaxrobust evaluate`: judges a run's checkpoint, or a model of one's own."""

import argparse
import importlib
import itertools
import sys
from collections.abc import Callable
from typing import Any

import jaxrobust
from jaxrobust import evaluation
from jaxrobust import main as train
from jaxrobust.commands import shell
from jaxrobust.training import processes
from jaxrobust.training.interruption import Interruption

HELP = "judge a run's checkpoint, or a model of one's own"
EXAMPLE = "jaxrobust evaluate --workdir=runs/first --suite=quick"
DESCRIPTION = """Judges a run's checkpoint and adds the rows to its results.csv;
with --model and --config a function from images to logits, on the data that the
config names. Rows that are there are not made again: the same command
resumes."""
TAKES_CONFIG = True
# They are of a run's checkpoint.
_OF_A_RUN = ("select", "sparsity", "adapt", "smooth_evals", "split", "path")


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds this verb's arguments."""
  parser.description = DESCRIPTION
  parser.add_argument("--workdir", required=True, help="the run's folder")
  parser.add_argument(
    "--suite",
    metavar="NAME",
    help="what to judge under: quick (200 images; clean, Gaussian, PGD), "
    "standard (noise grids, occlusion, common corruptions, the standard "
    "ensemble of attacks), full (everything), or FILE.py with a function "
    "set_suite(config); instead of config.eval",
  )
  parser.add_argument(
    "--model",
    metavar="MODULE:FUNCTION",
    help="a function from images [N, H, W, C] in [0, 1] to logits [N, K], "
    "judged on the data of --config",
  )
  parser.add_argument(
    "--config",
    metavar="FILE",
    help="with --model; --config.FIELD=VALUE sets a field of it",
  )
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
    "--attacks",
    type=_words,
    metavar="NAME,...",
    help="which: fgsm, pgd, apgd-ce, apgd-dlr, apgd-t, fab-t, or standard for "
    "the ensemble; instead of config.eval.attacks",
  )
  parser.add_argument(
    "--surrogates",
    type=_words,
    metavar="RUN,...",
    help="folders of other runs: add the rows of what PGD finds on them, at "
    "the attacks' radii; instead of config.eval.surrogates",
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
  processes.join()
  judge = _of_function if args.model else _of_run
  if not processes.several():
    rows = judge(args, lambda: False)
  else:
    # One that is told to stop stops all; alone, Ctrl-C may end it anywhere.
    with Interruption("stopping after this perturbation") as interruption:
      calls = itertools.count()
      rows = judge(args, lambda: interruption.reached(next(calls)))
    if interruption.requested:
      print("interrupted; the same command resumes")
      return shell.INTERRUPTED
  shell.print_table(rows, args.workdir)
  if processes.is_first():
    for line in evaluation.warnings_of(rows):
      print(f"warning: {line}", file=sys.stderr)
  return shell.DONE


def _of_run(
  args: argparse.Namespace, stop: Callable[[], bool]
) -> list[dict[str, Any]]:
  if args.config or args.rest:
    word = "--config" if args.config else args.rest[0]
    raise shell.UsageError(f"{word}: only with --model; a run has its config")
  return jaxrobust.evaluate(
    args.workdir,
    split=args.split,
    select=args.select,
    data_dir=args.data_dir,
    path=args.path,
    sparsity=args.sparsity,
    suite=args.suite,
    attack_eps=args.attack_eps,
    attacks=args.attacks,
    surrogates=args.surrogates,
    adapt=args.adapt,
    smooth_evals=args.smooth_evals,
    stop=stop,
  )


def _of_function(
  args: argparse.Namespace, stop: Callable[[], bool]
) -> list[dict[str, Any]]:
  for name in _OF_A_RUN:
    if getattr(args, name) is not None:
      raise shell.UsageError(f"--{name}: not with --model; set it in --config")
  if not args.config:
    raise shell.UsageError("--config: missing; --model needs its data")
  function = _function(args.model)
  words = [f"--config={args.config}", f"--workdir={args.workdir}", *args.rest]
  config, _ = train.parse(["jaxrobust evaluate", *words])
  if args.data_dir is not None:
    config.data.data_dir = args.data_dir
  if args.attack_eps is not None:
    config.eval.attack_eps = args.attack_eps
  if args.attacks is not None:
    config.eval.attacks = args.attacks
  if args.surrogates is not None:
    config.eval.surrogates = args.surrogates
  return jaxrobust.judge_function(
    config, args.workdir, function, args.model, suite=args.suite, stop=stop
  )


def _function(name: str) -> Callable[[Any], Any]:
  """The function MODULE:FUNCTION."""
  module, _, attribute = name.partition(":")
  if not (module and attribute):
    raise shell.UsageError(f"--model={name}: must be MODULE:FUNCTION")
  try:
    return getattr(importlib.import_module(module), attribute)
  except Exception as error:
    # A module is a program and may raise anything.
    raise shell.UsageError(f"--model={name}: {error}") from error


def _words(text: str) -> tuple[str, ...]:
  return tuple(text.split(","))


def _numbers(text: str) -> tuple[float, ...]:
  try:
    return tuple(float(part) for part in text.split(","))
  except ValueError as error:
    raise argparse.ArgumentTypeError(
      f"{text!r}: must be numbers, as 0.1,0.2"
    ) from error
