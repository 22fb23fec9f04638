"""One page that shows and compares runs and studies, made from their files.

`jaxrobust report RUN [RUN ...] --out=report.html` writes it: a single file
that needs no network, for light and dark screens, phones and paper. Every
chart and table carries its numbers as CSV.
"""

import dataclasses
import errno
import importlib.metadata
import json
import math
import os
import pathlib
from collections.abc import Sequence

from markupsafe import Markup

from jaxrobust.report import (
  page_figures,
  page_numbers,
  page_tables,
  page_training,
)
from jaxrobust.report.page_charts import swatch
from jaxrobust.report.page_examples import Strips, examples
from jaxrobust.report.page_parts import (
  Download,
  Figure,
  Looks,
  Table,
  looks,
  rows_file,
  soft,
)
from jaxrobust.report.page_rows import Section, kind, sections
from jaxrobust.report.page_sources import Source, read_sources

_OPEN = 3  # sections up to which all are open


@dataclasses.dataclass(frozen=True)
class _Entry:
  """One method in a legend."""

  name: str
  swatch: Markup
  group: int
  shown: bool


@dataclasses.dataclass(frozen=True)
class _Topic:
  """A part of a section that can be folded; `more` lies folded within it."""

  title: str
  tables: Sequence[Table] = ()
  figures: Sequence[Figure] = ()
  strips: Sequence[Strips] = ()
  more: Sequence["_Topic"] = ()
  folded: bool = False
  text: str = ""


@dataclasses.dataclass(frozen=True)
class _View:
  """A section as the page shows it."""

  title: str
  about: str
  legend: Sequence[_Entry]
  topics: Sequence[_Topic]


def write_page(
  runs: Sequence[str | pathlib.Path],
  out: str | pathlib.Path,
  *,
  title: str | None = None,
) -> pathlib.Path:
  """Writes the page of some runs and studies, whole or not at all.

  Rows are put together that are of one data set, split and network; methods
  are compared within these sections, by their means over seeds.

  Args:
    runs: Folders of runs (`results.csv`, and if there are `config.json`,
      `environment.json`, `metrics.jsonl` and `examples/`) or of studies
      (`results.csv`), or such CSV files.
    out: The page, an .html file; its folder is made if need be.
    title: The heading; by default the names of the runs.

  Returns:
    The page's path.

  Raises:
    ValueError: If there are no runs.
    data.DataError: If a run has no results, or a file is damaged.
    IsADirectoryError: If `out` is a folder.
  """
  import jinja2

  if not runs:
    raise ValueError("runs=[]: must be at least one")
  sources = read_sources(runs)
  found = sections(sources)
  views = [_view(section, sources) for section in found]
  curves, logged = page_training.training(sources)
  legend = [
    _Entry(source.name, swatch(place), place, place < page_training.SHOWN)
    for place, source in enumerate(logged)
  ]
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.filters["soft"] = soft
  html = environment.get_template("page.html.jinja").render(
    title=title or _title(sources),
    about=_about(sources, found),
    views=views,
    open_all=len(views) <= _OPEN,
    settings=page_training.settings(sources),
    without=[source.name for source in sources if source.config is None],
    configs=[
      (source.name, json.dumps(source.config, indent=2))
      for source in sources
      if source.config is not None
    ],
    curves=curves,
    legend=legend,
    files=[_all_rows(source) for source in sources],
    version=_version(),
  )
  path = pathlib.Path(out).expanduser()
  if path.is_dir():
    code = errno.EISDIR
    raise IsADirectoryError(code, os.strerror(code), str(path))
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f"{path.name}.part")
  partial.write_text(html, encoding="utf-8")
  partial.replace(path)
  return path


def _view(section: Section, sources: Sequence[Source]) -> _View:
  drawn = looks(section, _ranked(section))
  legend = [
    _Entry(
      method, swatch(drawn.style[method]), place, method not in drawn.faded
    )
    for place, method in enumerate(section.methods)
  ]
  seeds = sorted(set(section.seeds.values()))
  span = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
  methods = len(section.methods)
  about = (
    f"{section.dataset}, split {section.split}: {methods} "
    f"method{'s' * (methods > 1)}, {span} seed{'s' * (seeds[-1] > 1)} each"
  )
  topics = _topics(section, drawn, sources)
  return _View(
    section.title,
    about,
    legend if any(_charts(topic) for topic in topics) else (),
    topics,
  )


def _charts(topic: _Topic) -> bool:
  return bool(topic.figures) or any(map(_charts, topic.more))


def _topics(
  section: Section, drawn: Looks, sources: Sequence[Source]
) -> list[_Topic]:
  """The topics of a section that have something to say."""
  error = "RMSE" if section.metric == "rmse" else "Accuracy"
  noises = page_figures.against_strength(section, drawn, "noise")
  attacked = page_figures.against_strength(section, drawn, "attack")
  levels = page_figures.against_strength(section, drawn, "corruption")
  maps = page_tables.corruptions(section)
  means = [table for table in maps if ": severity " not in table.title]
  severities = [table for table in maps if table not in means]
  measured = page_numbers.measured(section)
  inside = page_figures.against_strength(section, drawn, "pruned")
  inside += page_figures.curvature(section, drawn)
  topics = [
    _Topic("All methods", [page_tables.overview(section)]),
    _Topic(f"{error} against the strength of noise", figures=noises),
    _Topic(
      "Common corruptions",
      means,
      more=[
        _Topic("Each severity", severities, folded=True),
        _Topic("Each corruption", figures=levels, folded=True),
      ],
    ),
    _Topic("Attacks", page_tables.attacks(section), attacked),
    _Topic(
      "Calibration",
      page_numbers.calibration(section),
      page_figures.reliability(section, drawn),
    ),
    _Topic(
      "Certified accuracy",
      page_numbers.certified(section),
      figures=page_figures.certified(section, drawn),
      text="By randomised smoothing: no change of the input within the radius "
      "changes the answer, with the confidence that the evaluation set.",
    ),
    _Topic("Curvature, sparsity and the network", measured, inside),
    _Topic("Examples", strips=examples(section, sources)),
    _Topic("Every number", [page_numbers.everything(section)], folded=True),
  ]
  return [topic for topic in map(_pruned, topics) if _filled(topic)]


def _filled(topic: _Topic) -> bool:
  return bool(topic.tables or topic.figures or topic.strips or topic.more)


def _pruned(topic: _Topic) -> _Topic:
  return dataclasses.replace(topic, more=list(filter(_filled, topic.more)))


def _ranked(section: Section) -> list[str]:
  """The methods by their mean over all perturbed tests, the best first."""
  cells = section.cells(
    lambda c: (
      c.metric == section.metric
      and kind(c.perturbation) in ("noise", "attack", "corruption")
    )
  )
  sign = 1 if section.metric == "rmse" else -1

  def key(method: str) -> float:
    stat = section.stat(cells, method) if cells else None
    known = stat is not None and math.isfinite(stat.mean)
    return sign * stat.mean if stat and known else math.inf

  return sorted(section.methods, key=key)


def _title(sources: Sequence[Source]) -> str:
  names = [source.name for source in sources]
  if len(names) > 3:
    names = [*names[:2], f"{len(names) - 2} more"]
  return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _about(sources: Sequence[Source], found: Sequence[Section]) -> str:
  rows = sum(len(source.rows) for source in sources)
  methods = {row["method"] for source in sources for row in source.rows}
  datasets = sorted({section.dataset for section in found})
  return (
    f"{len(methods):,} method{'s' * (len(methods) > 1)} on "
    f"{', '.join(datasets)}; {rows:,} rows of results"
  )


def _all_rows(source: Source) -> tuple[str, int, Download]:
  file = rows_file(f"{source.name} results", source.rows)
  return source.name, len(source.rows), file


def _version() -> str:
  try:
    return importlib.metadata.version("jaxrobust")
  except importlib.metadata.PackageNotFoundError:
    return ""
