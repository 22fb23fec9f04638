"""`jaxrobust study`: runs the cells of a study that are not there yet."""

import argparse
import os
import pathlib
import runpy
import signal
import subprocess
import sys
from typing import Any

from jaxrobust.commands import shell
from jaxrobust.training import study as study_lib
from jaxrobust.training.logging import Progress

HELP = "run a grid of methods, models and data sets over several seeds"
EXAMPLE = (
  "jaxrobust study --study=configs/studies/alpha_stable.py "
  "--out=results/alpha_stable --workers=2"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds this verb's arguments."""
  parser.add_argument(
    "--study", required=True, help="a file in configs/studies/, or FILE:quick"
  )
  parser.add_argument("--out", help="the folder of its rows")
  parser.add_argument("--data_dir", help="instead of the configs' own")
  parser.add_argument(
    "--only", default="", help="only cells whose name begins with this"
  )
  parser.add_argument(
    "--workers", type=int, default=1, help="processes that share the cells"
  )
  parser.add_argument(
    "--list", action="store_true", help="list the cells and run nothing"
  )
  # Which of the cells a worker runs: "0/2" is every second one.
  parser.add_argument("--shard", default="0/1", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
  """Runs, resumes or lists a study."""
  study = _load(args.study)
  if args.list:
    for cell in study.cells:
      print(cell.name + (f": not run: {cell.not_run}" if cell.not_run else ""))
    print(f"budget: {study.budget}")
    return shell.DONE
  if args.out is None:
    raise shell.UsageError("--out: must be given, the folder of the rows")
  if args.workers < 1:
    raise shell.UsageError(f"--workers={args.workers}: must be at least 1")
  # A stop by the system is a stop by the user.
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  if args.workers > 1:
    code = _share(args)
  else:
    code = _work(study, args)
  if args.shard != "0/1":
    return code
  target = study_lib.collect(study, args.out)
  print(f"rows: {target}" if target else "some cells are still missing")
  return code


def _work(study: Any, args: argparse.Namespace) -> int:
  """Runs this process's part of the cells."""
  part, count = map(int, args.shard.split("/"))
  if count > 1 and hasattr(os, "sched_setaffinity"):
    # Cores of its own: XLA would give every process threads for all of them.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[part % len(cores) :: count])
  shell.use_compilation_cache()
  finished = study_lib.run_study(
    study,
    args.out,
    data_dir=args.data_dir,
    only=args.only,
    shard=(part, count),
  )
  cells = study_lib.wanted(study, args.only, (part, count))
  progress = Progress(len(cells), "cell")
  code = shell.DONE
  try:
    for done, (has_rows, line) in enumerate(finished, 1):
      code = code if has_rows else shell.FAILED
      progress.update(done, line)
  finally:
    progress.close()
  return code


def _share(args: argparse.Namespace) -> int:
  """Runs the cells in several processes; returns the first failure's code."""
  words = ["--study", args.study, "--out", args.out, "--only", args.only]
  if args.data_dir is not None:
    words += ["--data_dir", args.data_dir]
  command = "import sys; from jaxrobust.commands import main; sys.exit(main())"
  shards = [
    f"--shard={worker}/{args.workers}" for worker in range(args.workers)
  ]
  processes = [
    subprocess.Popen([sys.executable, "-c", command, "study", *words, shard])
    for shard in shards
  ]
  try:
    codes = [process.wait() for process in processes]
  except KeyboardInterrupt:
    for process in processes:
      process.terminate()
      process.wait()
    raise
  return next((code for code in codes if code), shell.DONE)


def _load(text: str) -> Any:
  """The study of FILE or FILE:quick."""
  name, _, variant = text.partition(":")
  if variant not in ("", "quick"):
    raise shell.UsageError(f"--study={text}: the variant must be 'quick'")
  path = pathlib.Path(name)
  if not path.is_file() or path.suffix != ".py":
    raise shell.UsageError(f"--study={name}: must be a Python file that exists")
  try:
    return runpy.run_path(str(path))["get_study"](variant or None)
  except (AttributeError, ImportError, KeyError, SyntaxError) as error:
    raise shell.UsageError(
      f"--study={name}: {type(error).__name__}: {error}"
    ) from error
