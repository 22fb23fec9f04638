"""`jaxrobust study`: runs the cells of a study that are not there yet."""

import argparse
import importlib.util
import os
import pathlib
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
  parser.add_argument("--out", required=True, help="the folder of its rows")
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
  parser.add_argument("--shard", default="0/1", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
  """Runs, resumes or lists a study."""
  study = _load(args.study)
  if args.list:
    for cell in study.cells:
      print(cell.name + (f": not run: {cell.not_run}" if cell.not_run else ""))
    print(f"budget: {study.budget}")
    return shell.DONE
  if args.workers < 1:
    raise shell.UsageError(f"--workers={args.workers}: must be at least 1")
  if args.workers > 1:
    code = _share(args)
    if code != shell.DONE:
      return code
  else:
    shell.use_compilation_cache()
    shard = _shard(args.shard)
    finished = study_lib.run_study(
      study, args.out, data_dir=args.data_dir, only=args.only, shard=shard
    )
    wanted = [
      c for c in study.cells if c.name.startswith(args.only) and not c.not_run
    ][shard[0] :: shard[1]]
    progress = Progress(len(wanted), "cell")
    try:
      for done, line in enumerate(finished, 1):
        progress.update(done, line)
    finally:
      progress.close()
    if shard[1] > 1:
      return shell.DONE
  target = study_lib.collect(study, args.out)
  print(f"rows: {target}" if target else "some cells are still missing")
  return shell.DONE


def _share(args: argparse.Namespace) -> int:
  """Runs the cells in several processes; the first failure is the result."""
  cores = sorted(os.sched_getaffinity(0))
  words = ["--study", args.study, "--out", args.out, "--only", args.only]
  if args.data_dir is not None:
    words += ["--data_dir", args.data_dir]
  processes = []
  for worker in range(args.workers):
    # A core each: XLA would give every process threads for all of them.
    mine = set(cores[worker % len(cores) :: args.workers]) or set(cores)
    processes.append(
      subprocess.Popen(
        [
          sys.executable,
          "-c",
          "import sys; from jaxrobust.commands import main; sys.exit(main())",
          "study",
          *words,
          f"--shard={worker}/{args.workers}",
        ],
        preexec_fn=lambda mine=mine: os.sched_setaffinity(0, mine),
      )
    )
  try:
    codes = [process.wait() for process in processes]
  except KeyboardInterrupt:
    for process in processes:
      process.wait()
    raise
  return next((code for code in codes if code), shell.DONE)


def _shard(text: str) -> tuple[int, int]:
  part, _, count = text.partition("/")
  return int(part), int(count)


def _load(text: str) -> Any:
  """The study of FILE or FILE:VARIANT."""
  name, _, variant = text.partition(":")
  path = pathlib.Path(name)
  if not path.is_file():
    raise shell.UsageError(f"--study={name}: not found")
  spec = importlib.util.spec_from_file_location(path.stem, path)
  assert spec is not None
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  if not hasattr(module, "get_study"):
    raise shell.UsageError(f"--study={name}: has no function get_study")
  return module.get_study(variant or None)
