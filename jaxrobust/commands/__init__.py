"""The `jaxrobust` command: one thin module per verb."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
  """Runs `jaxrobust VERB ...` and returns its exit code."""
  from jaxrobust.commands import shell

  words = list(sys.argv[1:] if argv is None else argv)
  # As `python -m` does: one's own model and data may be a file right here.
  if "" not in sys.path:
    sys.path.insert(0, "")
  if words[:1] == ["train"]:
    from jaxrobust import main as train

    return train.main(["jaxrobust train", *words[1:]])
  return shell.guard(lambda: _run(words))


def _run(words: list[str]) -> int:
  from jaxrobust.commands import (
    evaluate,
    export,
    features,
    fit_noise,
    prepare,
    report,
    shell,
    smooth,
    study,
    tune,
  )

  parser = shell.Parser(
    "jaxrobust",
    description="Train networks that keep working on noisy inputs, and judge "
    "them.",
    epilog="example: jaxrobust train "
    "--config=configs/digits_alpha_stable.py --workdir=runs/first",
  )
  verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
  verbs.add_parser(
    "train", help="train and judge a model (= python -m jaxrobust.main)"
  )
  modules = {
    "evaluate": evaluate,
    "export": export,
    "features": features,
    "fit-noise": fit_noise,
    "prepare": prepare,
    "report": report,
    "smooth": smooth,
    "study": study,
    "tune": tune,
  }
  for name, module in modules.items():
    verb = verbs.add_parser(
      name, help=module.HELP, epilog=f"example: {module.EXAMPLE}"
    )
    module.add_arguments(verb)
  try:
    args, args.rest = parser.parse_known_args(words)
  except SystemExit as done:  # After --help.
    return int(done.code or 0)
  if args.rest and not getattr(modules[args.verb], "TAKES_CONFIG", False):
    parser.error(f"unrecognized arguments: {' '.join(args.rest)}")
  return modules[args.verb].run(args)
