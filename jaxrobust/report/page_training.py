"""The part of a page about training: the curves, and how it was done."""

import collections
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxrobust.report.page_charts import Line, line_chart
from jaxrobust.report.page_figures import alt_text
from jaxrobust.report.page_parts import (
  Figure,
  Table,
  Td,
  Th,
  download,
  table_file,
)
from jaxrobust.report.page_rows import stat_of
from jaxrobust.report.page_sources import Source

SETTINGS = "What was trained, and how"
_POINTS = 240  # of a training curve
SHOWN = 7  # runs whose curves are not in the background


def training(sources: Sequence[Source]) -> tuple[list[Figure], list[Source]]:
  """The curves that runs logged while they were trained.

  Args:
    sources: Runs, and studies, which have none.

  Returns:
    A figure per metric, its validation dashed; and the runs, in the order of
    their styles.
  """
  logged = [source for source in sources if source.history]
  metrics: dict[str, set[str]] = collections.defaultdict(set)
  for source in logged:
    for entry in source.history:
      for name in entry.keys() - {"step", "time"}:
        phase, _, metric = name.rpartition("/")
        metrics[metric].add(phase)
  ends = {f"{m}_{end}" for m in metrics for end in ("low", "high")}
  first = {"loss": 0, "accuracy": 1, "rmse": 2, "nll": 3}
  drawn = []
  for metric in sorted(
    metrics.keys() - ends, key=lambda m: (first.get(m, 9), m)
  ):
    lines, table = [], [["run", "phase", "step", metric]]
    for style, source in enumerate(logged):
      for phase in sorted(metrics[metric]):
        name = f"{phase}/{metric}" if phase else metric
        points = [
          (e["step"], math.nan if e[name] is None else float(e[name]))
          for e in source.history
          if name in e
        ]
        table += [[source.name, phase, *point] for point in points]
        line = Line(
          f"{source.name}, {phase}",
          style,
          _thinned(points),
          faded=style >= SHOWN,
          group=style,
          dashed=phase == "validation",
        )
        lines += [line] if points else []
    if any(math.isfinite(y) for line in lines for _, y in line.points):
      drawn.append(_training_figure(metric, metrics[metric], lines, table))
  return drawn, logged


def _training_figure(metric, phases, lines, table) -> Figure:
  words = metric.replace("_", " ")
  caption = " and ".join(sorted(filter(None, phases)))
  if "validation" in phases:
    caption += "; dashed: validation"
  chart = line_chart(
    lines,
    x_label="step",
    y_label=words,
    alt=alt_text(f"{words} by step", lines),
  )
  return Figure(words, chart, caption, download(f"training {metric}", table))


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
  """At most some 240 points: means of as many neighbours as that takes."""
  size = math.ceil(len(points) / _POINTS)
  if size < 2:
    return points
  parts = (points[k : k + size] for k in range(0, len(points), size))
  return [
    (stat_of(x for x, _ in part).mean, stat_of(y for _, y in part).mean)
    for part in parts
  ]


def settings(sources: Sequence[Source]) -> Table | None:
  """What was trained and how: a line per setting, a column per run.

  Args:
    sources: Runs, and studies, which have no config.

  Returns:
    The table; None if no source has a config.
  """
  known = [source for source in sources if source.config is not None]
  if not known:
    return None
  columns = [_settings(source) for source in known]
  names = dict.fromkeys(name for column in columns for name in column)
  lines = [
    [Td(name), *(Td(column.get(name, "")) for column in columns)]
    for name in names
    if any(column.get(name) for column in columns)
  ]
  head = [Th("setting"), *(Th(source.name) for source in known)]
  file = table_file("settings", head, lines)
  return Table(SETTINGS, head, lines, "", file, "words")


def _settings(source: Source) -> dict[str, str]:
  config = source.config or {}
  method = _part(config, "method")
  found = {"method": str(method.get("name", ""))}
  for part in ("input", "view", "forward", "objective"):
    found[part] = _with_options(method.get(part))
  data = _part(config, "data")
  shape = " x ".join(map(str, data.get("shape") or ()))
  found["data"] = " ".join(
    filter(None, (str(data.get("name", "")), shape and f"({shape})"))
  )
  if data.get("stand_in"):
    found["data"] += ", with embedded stand-in data"
  for split in ("train_split", "validation_split", "test_split"):
    found[split.replace("_", " ")] = str(data.get(split) or "")
  found["augmentation"] = _options(_part(config, "augment"))
  found["model"] = _with_options(config.get("model"))
  found["optimiser"] = _with_options(config.get("optimizer"))
  found["schedule"] = _with_options(config.get("schedule"))
  train = _part(config, "train")
  for name in ("epochs", "batch_size", "ema_decay", "accumulate", "launcher"):
    found[name.replace("_", " ")] = str(train.get(name, ""))
  found["seed"] = str(config.get("seed", ""))
  found["steps judged"] = ", ".join(
    sorted({str(row["step"]) for row in source.rows})
  )
  if source.starts:
    last = source.starts[-1]
    kinds = collections.Counter(last.get("devices") or ())
    found["devices"] = ", ".join(f"{n} x {kind}" for kind, n in kinds.items())
    versions = last.get("versions") or {}
    found["versions"] = ", ".join(
      f"{name} {version}" for name, version in versions.items() if version
    )
    found["Python"] = str(last.get("python") or "")
    found["platform"] = str(last.get("platform") or "")
    found["commit"] = str(last.get("git_commit") or "")
    if len(source.starts) > 1:
      found["starts"] = str(len(source.starts))
  return found


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
  found = config.get(name)
  return found if isinstance(found, dict) else {}


def _with_options(part: Any) -> str:
  """A part by its name, with the options that are set."""
  if not isinstance(part, dict):
    return str(part or "")
  name, options = str(part.get("name", "")), _options(part)
  return f"{name} ({options})" if options else name


def _options(part: Mapping[str, Any]) -> str:
  return ", ".join(
    f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
    for key, value in part.items()
    if key != "name" and value not in (None, [], "", False, 0)
  )
