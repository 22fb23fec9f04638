"""`jaxrobust fit-noise`: which tail index and scale does one's noise have?"""

import argparse
import math
import pathlib
import sys
from collections.abc import Iterator

import numpy as np

from jaxrobust import alpha_stable, data
from jaxrobust.alpha_stable.fitting import FEWEST, METHODS
from jaxrobust.commands import shell
from jaxrobust.data import residuals, returns

HELP = "fit an alpha-stable law to noise, and print the config to train with it"
EXAMPLE = "jaxrobust fit-noise --clean=photos --noisy=scans --out=runs/noise"

_CLIPPED = {"auto": None, "yes": True, "no": False}
_WORTH_A_WARNING = 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds this verb's arguments."""
  parser.add_argument(
    "--clean", help="an .npy or .npz file, an image, or a folder of images"
  )
  parser.add_argument(
    "--noisy", help="the same with noise, of equal shape and names"
  )
  parser.add_argument(
    "--residuals",
    help="instead: noise alone, .npy, .npz, .csv or .txt; returns:sp500 and "
    "returns:nasdaq are daily log returns in percent",
  )
  parser.add_argument(
    "--method",
    choices=METHODS,
    default="mle",
    help="the fit that the config lines take (default: %(default)s)",
  )
  parser.add_argument(
    "--symmetric", action="store_true", help="fix the skewness beta at 0"
  )
  parser.add_argument(
    "--clipped",
    choices=tuple(_CLIPPED),
    default="auto",
    help="whether noisy values were clipped to [0, 1] (default: images and "
    "pairs within [0, 1] were)",
  )
  parser.add_argument(
    "--max_samples",
    type=int,
    default=100_000,
    help="fit at most so many values, a random subset (default: %(default)s)",
  )
  parser.add_argument(
    "--seed", type=int, default=0, help="of the subset (default: %(default)s)"
  )
  parser.add_argument("--out", help="a folder for the figure, noise_fit.png")


def run(args: argparse.Namespace) -> int:
  """Fits, and prints the parameters, how good they are, and the config."""
  shell.use_compilation_cache()
  source = _read(args)
  noise = source.draw(args.max_samples, args.seed)
  try:
    fits = list(_fits(noise, args))
    best = fits[0]
    gaussian = alpha_stable.fit(noise.values, alpha=2.0, limits=noise.limits)
  except ValueError as error:
    raise data.DataError(f"{args.residuals or args.noisy}: {error}") from error
  print("\n".join(_about(source, noise, args)))
  _print_fits(fits)
  distances = [
    alpha_stable.ks_distance(noise.values, law, noise.limits)
    for law in (best.law, gaussian.law)
  ]
  print(
    f"Kolmogorov-Smirnov distance: {distances[0]:.4f} (fitted law), "
    f"{distances[1]:.4f} (best Gaussian, std "
    f"{math.sqrt(2.0) * gaussian.law.scale:.4g}); "
    "samples of a law that was not fitted stay below "
    f"{1.36 / math.sqrt(best.n):.4f} with probability 95 %"
  )
  for note in best.notes:
    print(f"note: {note}")
  print("\n" + "\n".join(config_lines(best)))
  if source.units[0] == 1:
    print(
      "the scale is in the data's units: with config.data.standardise="
      "'dataset' or 'series', divide it by the data's standard deviation"
    )
  if args.out:
    print(_save_figure(args.out, source, noise, best, gaussian))
  return shell.DONE


def config_lines(fit: alpha_stable.Fit) -> Iterator[str]:
  """The lines of a config, and the flags, that train with a fitted noise.

  Args:
    fit: of the noise.

  Yields:
    Lines of text.
  """
  law, errors = fit.law, fit.standard_errors
  settings = {"alpha": f"{law.alpha:.4g}", "scale": f"{law.scale:.4g}"}
  skewed = not abs(law.beta) <= 2.0 * errors.beta and law.beta != 0.0
  if skewed:
    settings["beta"] = f"{law.beta:.4g}"
  yield "to train with this noise, in a config:"
  yield '  config.method = methods.preset("alpha_stable")'
  for name, value in settings.items():
    yield f"  config.method.input.{name} = {value}"
  yield "or over a config of the preset, such as configs/*_alpha_stable.py:"
  # Those set the strength as a flip rate, and two strengths are refused.
  yield "  " + " ".join(
    f"--config.method.input.{name}={value}"
    for name, value in {**settings, "flip_rate": "None"}.items()
  )
  if law.beta != 0.0 and not skewed:
    yield "beta is within two standard errors of 0 and left out"
  if abs(law.loc) > 2.0 * errors.loc:
    yield f"the location {law.loc:.4g} is no part of training noise: left out"


def _read(args: argparse.Namespace) -> residuals.Residuals:
  if args.max_samples < FEWEST:
    raise shell.UsageError(
      f"--max_samples={args.max_samples}: must be at least {FEWEST}"
    )
  if args.seed < 0:
    raise shell.UsageError(f"--seed={args.seed}: must be at least 0")
  if args.residuals and not (args.clean or args.noisy):
    kind, _, index = args.residuals.partition(":")
    if kind == "returns":
      return residuals.Residuals(returns.daily_returns(index))
    return residuals.read_residuals(args.residuals)
  if args.residuals or not (args.clean and args.noisy):
    raise shell.UsageError("give --clean and --noisy, or --residuals alone")
  return residuals.read_pair(args.clean, args.noisy, _CLIPPED[args.clipped])


def _fits(
  noise: residuals.Noise, args: argparse.Namespace
) -> Iterator[alpha_stable.Fit]:
  """The fit that was asked for, then those that are not misled by clipping."""
  misled = _share_clipped(noise) > _WORTH_A_WARNING
  for method in sorted(METHODS, key=lambda method: method != args.method):
    if misled and method not in ("mle", args.method):
      continue
    limits = noise.limits if method == "mle" else None
    yield alpha_stable.fit(
      noise.values, method, symmetric=args.symmetric, limits=limits
    )


def _about(
  source: residuals.Residuals, noise: residuals.Noise, args: argparse.Namespace
) -> Iterator[str]:
  """What was read, in which units, and how much of it was clipped."""
  size, total = len(noise.values), len(source)
  subset = f" (a random subset, seed {args.seed})" if size < total else ""
  what = "residuals" if source.clean is None else "noisy - clean"
  yield f"noise: {size:,} of {total:,} values{subset}, {what}, {_unit(source)}"
  if noise.limits is None:
    return
  lower, upper = noise.limits
  ends = np.mean(noise.values <= lower), np.mean(noise.values >= upper)
  yield (
    f"clipped: {ends[0]:.1%} of the noisy values are at 0 and {ends[1]:.1%} "
    "at 1; mle takes them as noise of at least that size"
  )
  if sum(ends) > _WORTH_A_WARNING:
    yield (
      "warning: quantiles and log_moments take clipped values as they are and "
      "are misled by so many: only mle is to be trusted"
    )


def _share_clipped(noise: residuals.Noise) -> float:
  if noise.limits is None:
    return 0.0
  lower, upper = noise.limits
  return float(np.mean((noise.values <= lower) | (noise.values >= upper)))


def _unit(source: residuals.Residuals) -> str:
  if source.units[0] == 1:
    return "in the data's units"
  return f"in the units of [0, 1] images (stored values / {source.units[0]})"


def _print_fits(fits: list[alpha_stable.Fit]) -> None:
  from rich import box
  from rich.console import Console
  from rich.table import Table

  table = Table(box=box.SIMPLE, pad_edge=False)
  table.add_column("method")
  for name in ("alpha", "beta", "scale", "loc", "log lik."):
    table.add_column(name, justify="right", no_wrap=True)
  for fit in fits:
    cells = [
      _with_error(getattr(fit.law, name), error)
      for name, error in fit.standard_errors._asdict().items()
    ]
    table.add_row(fit.method, *cells, f"{fit.log_likelihood:,.1f}")
  Console(width=None if sys.stdout.isatty() else 100).print(table)


def _with_error(value: float, error: float) -> str:
  """A value and its standard error, to the error's second digit."""
  if not 0.0 < error < math.inf:
    return f"{value:.4g}"
  digits = max(1 - math.floor(math.log10(error)), 0)
  return f"{value:.{digits}f} ± {error:.{digits}f}"


def _save_figure(
  out: str,
  source: residuals.Residuals,
  noise: residuals.Noise,
  best: alpha_stable.Fit,
  gaussian: alpha_stable.Fit,
) -> pathlib.Path:
  from jaxrobust.report import noise_fit

  laws = {"fitted law": best.law, "best Gaussian": gaussian.law}
  unit = "1 = white" if source.units[0] > 1 else ""
  figure = noise_fit.noise_fit(noise.values, laws, noise.limits, unit)
  path = pathlib.Path(out).expanduser() / "noise_fit.png"
  path.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(path, dpi=150)
  return path
