"""`jaxrobust features`: a picture of what trained models tell classes by."""

import argparse
import pathlib

from jaxrobust import training
from jaxrobust.commands import shell

HELP = "draw the penultimate features of runs in the plane, clean and noisy"
EXAMPLE = "jaxrobust features runs/first runs/second --std=0.1 --out=f.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds this verb's arguments."""
  parser.add_argument("runs", nargs="+", help="the runs' folders")
  parser.add_argument("--out", required=True, help="the picture, .png or .svg")
  parser.add_argument(
    "--std",
    type=float,
    default=0.1,
    help="of the Gaussian noise, in units of the input (default: %(default)s)",
  )
  parser.add_argument(
    "--per_class",
    type=int,
    default=100,
    help="at most so many examples of each class (default: %(default)s)",
  )
  parser.add_argument("--split", help="instead of config.data.test_split")
  parser.add_argument("--data_dir", help="instead of config.data.data_dir")
  parser.add_argument("--path", help="instead of config.data.path")
  parser.add_argument(
    "--select",
    choices=("last", "best", "best_test"),
    help="instead of config.eval.select",
  )


def run(args: argparse.Namespace) -> int:
  """Draws the picture and prints where it is."""
  from jaxrobust.report import features as report

  shell.use_compilation_cache()
  clouds = []
  for folder in args.runs:
    found = training.run_features(
      folder,
      std=args.std,
      per_class=args.per_class,
      split=args.split,
      select=args.select,
      data_dir=args.data_dir,
      path=args.path,
    )
    title = (
      f"{found.method} on {found.dataset} ({found.split}), noise of std "
      f"{args.std:.3g}"
    )
    clouds.append(
      report.Cloud(
        title, found.clean, found.noisy, found.labels, found.class_names
      )
    )
  try:
    figure = report.feature_clouds(clouds)
  except ValueError as error:
    raise shell.UsageError(str(error)) from error
  out = pathlib.Path(args.out)
  out.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(out, dpi=150)
  print(out)
  return shell.DONE
