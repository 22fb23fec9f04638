"""`jaxrobust prepare`: downloads data sets and readies them for training."""

import argparse
import sys

from jaxrobust import data
from jaxrobust.data.download import Progress
from jaxrobust.data.tfds_source import PREPARABLE

HELP = "download data sets and ready them, without TensorFlow"
EXAMPLE = "jaxrobust prepare mnist cifar10 --data_dir=~/tensorflow_datasets"


def add_arguments(parser: argparse.ArgumentParser):
  """Declares the command's arguments."""
  parser.add_argument(
    "names",
    nargs="+",
    metavar="NAME",
    help=f"a data set: {', '.join(PREPARABLE)}",
  )
  parser.add_argument(
    "--data_dir",
    default="",
    help="where data sets go (default: $TFDS_DATA_DIR, or else "
    "~/tensorflow_datasets)",
  )
  parser.add_argument(
    "--from",
    dest="source_folder",
    metavar="FOLDER",
    help="take the archives from here and download nothing",
  )


def run(args: argparse.Namespace) -> int:
  """Prepares the data sets and prints where each landed."""
  show = _show_bars if sys.stderr.isatty() else _show_lines
  landed = show(
    lambda progress: data.prepare(
      args.names, args.data_dir, args.source_folder, progress=progress
    )
  )
  for name, folder in landed.items():
    print(f"{name}: {folder}")
  return 0


def _show_bars(work):
  """Runs the work under one bar per task, with its rate and what is left."""
  from rich import console, progress

  columns = (
    progress.TextColumn("{task.description}"),
    progress.BarColumn(),
    progress.TaskProgressColumn(),
    progress.TextColumn("{task.fields[amount]}"),
    progress.TimeRemainingColumn(),
  )
  tasks = {}
  # The console's file is named so that a redirected stderr changes nothing.
  with progress.Progress(
    *columns,
    console=console.Console(file=sys.stderr),
    redirect_stdout=False,
    redirect_stderr=False,
  ) as bars:

    def report(task: str, done: int, total: int, unit: str):
      if task not in tasks:
        # Started at what is there, so that a resumed part gives no rate.
        tasks[task] = bars.add_task(
          task, total=total, completed=done, amount=""
        )
      speed = bars.tasks[tasks[task]].speed or 0
      bars.update(
        tasks[task],
        completed=done,
        amount=f"{_amount(done, unit)}, {_amount(speed, unit)}/s",
      )

    return work(report)


def _show_lines(work):
  """Runs the work under plain lines, one for each tenth of a task."""
  tenths = {}

  def report(task: str, done: int, total: int, unit: str):
    tenth = 10 * done // max(total, 1)
    if tenths.get(task) != tenth:
      tenths[task] = tenth
      print(
        f"{task}: {done / max(total, 1):.0%} of {_amount(total, unit)}",
        file=sys.stderr,
        flush=True,
      )

  progress: Progress = report
  return work(progress)


def _amount(number: float, unit: str) -> str:
  if unit == "bytes":
    return f"{number / 1e6:,.1f} MB"
  return f"{number:,.0f} {unit}"
