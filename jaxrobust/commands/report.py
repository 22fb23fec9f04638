"""`jaxrobust report`: one page that shows and compares runs and studies."""

import argparse

from jaxrobust.commands import shell

HELP = "write one page that shows and compares runs and studies"
EXAMPLE = "jaxrobust report runs/first runs/second --out=report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds this verb's arguments."""
  parser.add_argument(
    "runs",
    nargs="+",
    metavar="RUN",
    help="a folder of a run or of a study, or its results.csv",
  )
  parser.add_argument(
    "--out",
    default="report.html",
    help="the page, one file that needs no network (default: %(default)s)",
  )
  parser.add_argument(
    "--title", help="the page's heading (default: the runs' names)"
  )


def run(args: argparse.Namespace) -> int:
  """Writes the page and prints where it is."""
  from jaxrobust.report import page

  if not args.out.endswith((".html", ".htm")):
    raise shell.UsageError(f"--out={args.out}: must end in .html")
  print(page.write_page(args.runs, args.out, title=args.title))
  return shell.DONE
