"""`jaxrobust export`: a run as one file that others can load, with its card."""

import argparse
import time

from jaxrobust import export
from jaxrobust.commands import shell

HELP = "write a run as one file that others can load, with a model card"
EXAMPLE = "jaxrobust export --workdir=runs/first --format=stablehlo"
DESCRIPTION = """Writes a run's checkpoint as a function from any number of
inputs to logits, as evaluate judges it: normalisation, noise inside the network
and smoother included. stablehlo needs JAX and flatbuffers to be loaded, onnx
any runtime of ONNX, safetensors has the parameters by name. It is loaded back
and compared with the run on test examples; what differs is not written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds this verb's arguments."""
  parser.description = DESCRIPTION
  parser.add_argument("--workdir", required=True, help="the run's folder")
  parser.add_argument(
    "--format", required=True, choices=export.FORMATS, help="what to write"
  )
  parser.add_argument(
    "--out",
    help="the folder to make; an export there is replaced (default: "
    "WORKDIR/export/FORMAT)",
  )
  parser.add_argument(
    "--licence",
    default="unknown",
    help="of the model, for its card, as Apache-2.0 (default: %(default)s; "
    "state yours)",
  )
  parser.add_argument(
    "--data_licence",
    default="unknown",
    help="of the data it was trained on (default: %(default)s)",
  )
  parser.add_argument(
    "--select",
    choices=("last", "best", "best_test"),
    help="which checkpoint, instead of config.eval.select",
  )
  parser.add_argument("--data_dir", help="instead of config.data.data_dir")
  parser.add_argument("--path", help="instead of config.data.path")


def run(args: argparse.Namespace) -> int:
  """Exports, and prints where it is and how it compares."""
  shell.use_compilation_cache()
  begin = time.perf_counter()
  done = export.export_run(
    args.workdir,
    args.format,
    out=args.out,
    licence=args.licence,
    data_licence=args.data_licence,
    select=args.select,
    data_dir=args.data_dir,
    path=args.path,
  )
  print(f"loaded back and compared: {done.agreement}")
  seconds = time.perf_counter() - begin
  print(f"{done.folder} ({done.size / 1e6:.3g} MB, {seconds:.1f} s)")
  return shell.DONE
