r"""`jaxrobust tune`: chooses config fields, as the strength of the noise."""

import argparse
import os
import pathlib
from typing import Any

from jaxrobust import alpha_stable as stable
from jaxrobust import main as train
from jaxrobust.commands import shell
from jaxrobust.report import tuning as figures
from jaxrobust.training import config as config_lib
from jaxrobust.tuning import (
  choice,
  learned_strength,
  search,
  storage,
  summary,
  traced_strength,
  workers,
)

HELP = "choose config fields, as the strength of noise, on validation data"
EXAMPLE = (
  "jaxrobust tune --config=configs/digits_alpha_stable.py --workdir=runs/tune "
  "--search=method.input.alpha=0.5,1,1.5 "
  "--search=method.input.flip_rate=log:0.01:0.5 --trials=20"
)
TAKES_CONFIG = True
DESCRIPTION = """Chooses config fields, by default the strength of the training
noise and its tail index, by the value of the trained model on the validation
mix: the test noises of config.eval on config.data.validation_split, where each
kind of noise (clean, Gaussian, each tail index) weighs the same. The test
split is not touched. The same command resumes; more --trials go on.

The same command started several times, here by --workers=N or on several
hosts, makes the trials of one study together; of workers that are killed the
others make the trials. On several hosts the study lies in PostgreSQL, for the
locks of SQLite do not hold over a network file system."""
# Options of one way to choose only, and how the parser calls them.
_SEARCH = ("search", "trials", "workers", "storage", "study_name")
_GRADIENT = ("rate", "fixed_alpha")


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds this verb's arguments."""
  parser.description = DESCRIPTION
  parser.add_argument("--workdir", help="the folder of the search")
  parser.add_argument(
    "--config",
    metavar="FILE",
    help="the config to start from; --config.FIELD=VALUE sets a field of it",
  )
  parser.add_argument(
    "--method",
    choices=("search", "gradient"),
    default="search",
    help="search: a training per trial; gradient: one training that learns "
    "the scale and the tail index meanwhile",
  )
  parser.add_argument(
    "--search",
    action="append",
    metavar="FIELD=RANGE",
    help="LOW:HIGH, log:LOW:HIGH, A,B,C or, of tuples, (A,)|(B,C); once per "
    "field "
    "(default: the strength of the noise, and alpha)",
  )
  parser.add_argument(
    "--trials",
    type=int,
    help="of --method=search, in all, over all workers (default: 20)",
  )
  parser.add_argument(
    "--workers",
    type=int,
    metavar="N",
    help="of --method=search: processes here, each with its share of the "
    "cores or a GPU (default: 1)",
  )
  parser.add_argument(
    "--storage",
    metavar="URL",
    help="of --method=search: sqlite:///PATH, for the processes of one "
    "machine, or postgresql://USER@HOST/DATABASE (default: study.db in "
    "--workdir)",
  )
  parser.add_argument(
    "--study_name",
    metavar="NAME",
    help="of --method=search: the study's name there (default: tune)",
  )
  parser.add_argument("--worker_of", type=int, help=argparse.SUPPRESS)
  parser.add_argument(
    "--rate", type=float, help="of --method=gradient: the step size of Adam"
  )
  parser.add_argument(
    "--fixed_alpha",
    action="store_true",
    help="of --method=gradient: learn the scale alone",
  )
  parser.add_argument(
    "--report", action="store_true", help="only make the report again"
  )


def run(args: argparse.Namespace) -> int:
  """Searches or learns, and reports."""
  if not args.workdir:
    raise shell.UsageError("--workdir: missing; see --help")
  workdir = pathlib.Path(args.workdir).expanduser()
  if args.report:
    return _report(workdir, args.storage or "", args.study_name or "")
  _refuse_options_of_the_other(args)
  words = [f"--workdir={workdir}", *args.rest]
  if args.config:
    words.insert(0, f"--config={args.config}")
  config, _ = train.parse(["jaxrobust tune", *words])
  shell.use_compilation_cache()
  if args.method == "gradient":
    options = {} if args.rate is None else {"rate": args.rate}
    finished = learned_strength.learn_strength(
      config, workdir, learn_alpha=not args.fixed_alpha, **options
    ).finished
    code = shell.DONE if finished else shell.INTERRUPTED
  elif args.workers is not None and not args.worker_of:
    code = _run_workers(args, config, workdir, words)
  else:
    code = _search(args, config, workdir)
  if args.worker_of:
    return code
  if code == shell.INTERRUPTED:
    print("interrupted; the same command resumes")
  if code != shell.DONE:
    return code
  return _report(workdir, args.storage or "", args.study_name or "")


def _search(args: argparse.Namespace, config: Any, workdir: Any) -> int:
  """Is one worker of a search."""
  study = search.tune(
    config,
    workdir,
    args.search or (),
    20 if args.trials is None else args.trials,
    storage_url=args.storage or "",
    study_name=args.study_name or "",
    # A worker whose parent was killed would be one too many when it is
    # started again.
    stop=lambda: bool(args.worker_of) and os.getppid() != args.worker_of,
  )
  return shell.DONE if study.finished else shell.INTERRUPTED


def _run_workers(
  args: argparse.Namespace, config: Any, workdir: Any, words: list[str]
) -> int:
  """Starts the workers and says how they ended, as one code."""
  if args.workers < 1:
    raise shell.UsageError(f"--workers={args.workers}: must be at least 1")
  # What is wrong with the command is said once and not by each of them.
  storage.import_optuna()
  search.check(
    config, args.search or (), 20 if args.trials is None else args.trials
  )
  storage.resolve(workdir, args.storage or "", args.study_name or "")
  for name in ("trials", "storage", "study_name"):
    value = getattr(args, name)
    if value is not None:
      words.append(f"--{name}={value}")
  words += [f"--search={text}" for text in args.search or ()]
  codes = workers.run(["tune", *words], args.workers)
  for code in (shell.DONE, shell.INTERRUPTED, shell.WRONG_USE):
    if code in codes:
      return code
  return shell.FAILED


def _refuse_options_of_the_other(args: argparse.Namespace) -> None:
  others = _GRADIENT if args.method == "search" else _SEARCH
  for option in others:
    if getattr(args, option) not in (None, False):
      raise shell.UsageError(
        f"--{option}: not an option of --method={args.method}"
      )


def _report(workdir: pathlib.Path, storage_url: str, study_name: str) -> int:
  """Prints the table, writes it and the configs chosen, draws the figure."""
  config = config_lib.load(workdir / "config.json")
  study = None
  if search.has_study(workdir):
    study = search.read(workdir, True, storage_url, study_name)
  learned = None
  if learned_strength.has_result(workdir):
    learned = learned_strength.read(workdir)
  if not (study and study.trials) and learned is None:
    raise shell.UsageError(f"{workdir}: no trial and no learned strength yet")
  lines = [
    f"value: mean over {_mix(config)} on {config.data.name} "
    f"({config.data.validation_split})"
  ]
  if study is not None:
    lines += summary.lines(study)
  if learned is not None:
    lines += _learned_lines(config, learned)
  report = "\n".join(lines) + "\n"
  with storage.locked(workdir / ".lock"):  # Several workers may end at once.
    commands = _write_choices(config, workdir, study, learned)
    (workdir / "report.txt").write_text(report)
    if study is not None:
      summary.write_csv(study, workdir / "trials.csv")
    _draw(config, workdir, study, learned)
  print(report, end="")
  for what, path in commands.items():
    print(f"train with the {what} strength:")
    print(
      f"  python -m jaxrobust.main --config={path} "
      f"--workdir={workdir / (path.stem + '_run')}"
    )
  if study is not None:
    print(f"table: {workdir / 'trials.csv'}")
  print(f"figure: {workdir / 'report.png'}")
  return shell.DONE


def _mix(config: Any) -> str:
  from jaxrobust.training.cells import noise_grid

  names = dict.fromkeys(cell.name for cell in noise_grid(config))
  return ", ".join(names)


def _learned_lines(config: Any, learned: learned_strength.Learned) -> list[str]:
  alpha, scale = traced_strength.law_of(config)
  rate = float(stable.flip_rate(alpha, scale))
  return [
    f"gradient: from alpha {alpha:.3f}, scale {scale:.4f} (flip rate "
    f"{rate:.4f})",
    f"  to   alpha {learned.alpha:.3f}, scale {learned.scale:.4f} (flip rate "
    f"{learned.flip_rate:.4f}), value {learned.value:.4f}",
  ]


def _write_choices(
  config: Any,
  workdir: pathlib.Path,
  study: search.Study | None,
  learned: learned_strength.Learned | None,
) -> dict[str, pathlib.Path]:
  """Writes a config file per choice: {what was chosen: the file}."""
  written = {}
  if study is not None and study.ranking():
    best = study.ranking()[0]
    written["best"] = workdir / "best.py"
    words = ", ".join(f"{k}={choice.shown(v)}" for k, v in best.fields.items())
    choice.write_config(
      config,
      best.fields,
      written["best"],
      f"The best trial: value {best.value:.4f} at {words}.",
    )
  if learned is not None:
    written["learned"] = workdir / "learned.py"
    choice.write_config(
      config,
      {
        "method.input.alpha": learned.alpha,
        "method.input.scale": learned.scale,
      },
      written["learned"],
      f"The learned strength: alpha {learned.alpha:.4f}, scale "
      f"{learned.scale:.4f}.",
    )
  return written


def _draw(
  config: Any,
  workdir: pathlib.Path,
  study: search.Study | None,
  learned: learned_strength.Learned | None,
) -> None:
  points, log_fields = [], []
  if study is not None:
    log_fields = [r.field for r in study.ranges if r.log]
    points = [
      figures.Point(t.number, t.fields, t.value, t.pruned, t.is_default)
      for t in study.trials
    ]
  path = None
  if learned is not None:
    lines = learned.trajectory
    path = figures.Path(
      steps=[line["step"] for line in lines],
      alphas=[line["alpha"] for line in lines],
      flip_rates=[line["flip_rate"] for line in lines],
      value=learned.value,
      end={
        "method.input.alpha": learned.alpha,
        "method.input.scale": learned.scale,
        "method.input.flip_rate": learned.flip_rate,
      },
    )
  figure = figures.tuning_figure(
    points,
    log_fields,
    path,
    f"{config.data.name}, {config.model.name}, {config.train.epochs} epochs",
  )
  figure.savefig(workdir / "report.png", dpi=150)
