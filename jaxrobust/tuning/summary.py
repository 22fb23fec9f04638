"""What came of a search, in words and as a table."""

import csv
import pathlib

from jaxrobust.tuning import choice
from jaxrobust.tuning.search import Study

# Trials that the table in words shows.
_SHOWN = 8


def lines(study: Study) -> list[str]:
  """The best trials and how many trials are in which state.

  Args:
    study: The search.

  Returns:
    Lines of text.
  """
  names = [r.field.rpartition(".")[2] for r in study.ranges]
  widths = [max(12, len(name) + 2) for name in names]
  pruned = sum(trial.pruned for trial in study.trials)
  first = f"search: {len(study.trials)} trials, {pruned} of them pruned"
  others = [
    f"{study.states[state]} {state}"
    for state in ("running", "waiting", "failed")
    if study.states.get(state)
  ]
  workers = {trial.worker for trial in study.trials} - {""}
  if len(workers) > 1:
    first += f", by {len(workers)} workers"
  if others:
    first += f"; beside them {', '.join(others)}"
  heads = "".join(
    f"{name:>{width}}" for name, width in zip(names, widths, strict=True)
  )
  text = [first, f"  trial  {heads}       value"]
  ranking = study.ranking()
  shown = ranking[:_SHOWN]
  shown += [t for t in ranking[_SHOWN:] if t.is_default]
  for trial in shown:
    values = "".join(
      f"{choice.shown(value):>{width}}"
      for value, width in zip(trial.fields.values(), widths, strict=True)
    )
    note = "  the config's own" if trial.is_default else ""
    text.append(f"  {trial.number:>5}  {values}{trial.value:>12.4f}{note}")
  if not any(t.is_default for t in study.trials):
    text.append("  the config's own values lie outside the ranges")
  return text


def write_csv(study: Study, path: pathlib.Path) -> None:
  """Writes every trial that ended, whole or not at all.

  Columns: number, state, value, the fields, the score under each kind of
  noise of complete trials, epochs made, seconds, worker.

  Args:
    study: The search.
    path: The file.
  """
  fields = [r.field for r in study.ranges]
  kinds = list(dict.fromkeys(k for t in study.trials for k in t.by_kind))
  partial = path.with_name(path.name + ".part")
  with partial.open("w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
      ["number", "state", "value", *fields]
      + [f"score {kind}" for kind in kinds]
      + ["epochs", "seconds", "worker"]
    )
    for trial in study.trials:
      writer.writerow(
        [trial.number, "pruned" if trial.pruned else "complete", trial.value]
        + [trial.fields[field] for field in fields]
        + [trial.by_kind.get(kind) for kind in kinds]
        + [len(trial.by_epoch), trial.seconds, trial.worker]
      )
  partial.replace(path)
