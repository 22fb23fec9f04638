"""The model card: what an exported model is, how it was made and judged."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jaxrobust import data, evaluation
from jaxrobust.export.function import Run
from jaxrobust.export.snippets import snippets
from jaxrobust.training.config import model_arguments

UNKNOWN = "unknown"
# The attacks that `evaluate` has, as rows name them before a bracket.
_ATTACKS = {
  "fgsm": "FGSM",
  "pgd": "PGD",
  "apgd-ce": "Auto-PGD on the cross-entropy",
  "apgd-dlr": "Auto-PGD on the ratio of logits",
  "apgd-t": "targeted Auto-PGD",
  "fab-t": "FAB",
  "square": "Square",
  "standard": "the standard ensemble",
}
_MEMBERS = {"pgd", "apgd-ce", "apgd-t", "fab-t", "square"}
# Of an optimiser or a schedule, what the others have no use for.
_SGD, _MULTISTEP = ("momentum", "nesterov"), ("boundaries", "factor")


def model_card(
  run: Run,
  about: Mapping[str, Any],
  rows: Sequence[Mapping[str, Any]],
  verified: str,
  *,
  licence: str = UNKNOWN,
  data_licence: str = UNKNOWN,
) -> str:
  """The card of an export, in Markdown with a YAML head.

  Args:
    run: The run.
    about: The export's manifest.
    rows: The rows of its `results.csv`; those of other steps are left out.
    verified: How the export was compared with the run, one sentence.
    licence: Of the model, as its owner states it.
    data_licence: Of the data it was trained on.

  Returns:
    The text.
  """
  own = [row for row in rows if row["step"] == run.step]
  parts = [
    _head(run, licence),
    f"# {run.name}\n\n{_what(run, about)}\n\n{verified}",
    _data(run, data_licence),
    _method(run),
    _training(run),
    _results(run, own),
    _loading(about),
    _limits(run, about, own),
    _licence(licence, data_licence),
  ]
  return "\n\n".join(parts) + "\n"


def _head(run: Run, licence: str) -> str:
  """Front matter as model hubs read it; strings of JSON are strings of YAML."""
  config = run.config
  kind = "image" if len(config.data.shape) == 3 else "time-series"
  task = "regression" if config.data.targets else "classification"
  tags = ["jax", "robustness", f"{kind}-{task}", config.method.name]
  lines = [
    "---",
    f"license: {json.dumps(licence)}",
    "library_name: jaxrobust",
    f"tags: {json.dumps(tags)}",
    "---",
  ]
  return "\n".join(lines)


def _what(run: Run, about: Mapping[str, Any]) -> str:
  config = run.config
  shape = ", ".join(["N", *map(str, config.data.shape)])
  if config.data.targets:
    does = f"predicts {about['outputs']} numbers of"
  else:
    does = f"tells {about['outputs']} classes of"
  size = f"{run.parameters:,} parameters"
  way = _smoother(run)
  behind = f", behind `{config.method.input.name}` ({way})" if way else ""
  return (
    f"A network ({config.model.name}, {size}) that {does} {run.dataset.name}, "
    f"trained by the method `{config.method.name}`{behind}. It takes inputs "
    f"float32 [{shape}]{_range(run)} and gives "
    f"{'targets' if config.data.targets else 'logits'} [N, "
    f"{about['outputs']}]; N is any number. The normalisation is inside."
    f"\n\nFormat: {about['format']}; made by jaxrobust {about['jaxrobust']} "
    f"with jax {about['jax']} from step {run.step} of the run."
  )


def _range(run: Run) -> str:
  return " in [0, 1]" if len(run.config.data.shape) == 3 else ""


def _smoother(run: Run) -> str:
  """How the run is judged behind a smoother: "", "on" or "adaptive"."""
  if run.smooths:
    return run.config.method.input.smooth_eval or "on"
  return ""


def _data(run: Run, licence: str) -> str:
  config = run.config.data
  lines = [
    "## Data",
    "",
    f"- Set: {run.dataset.name} (source {config.source})",
  ]
  if config.stand_in:
    lines.append(
      f"- A stand-in, embedded data in the shape of {config.name}: this model "
      f"proves nothing about {config.name}"
    )
  for use in ("train", "validation", "test"):
    split = config[f"{use}_split"]
    if split:
      lines.append(f"- {use.capitalize()}: `{split}`{_count(run, use)}")
  if run.dataset.class_names:
    lines.append(f"- Classes: {', '.join(run.dataset.class_names)}")
  lines.append(f"- Licence: {licence}")
  return "\n".join(lines)


def _count(run: Run, use: str) -> str:
  config = run.config.data
  try:
    dataset = run.dataset
    if use != "test":
      dataset = data.load(config, config[f"{use}_split"])
  except data.DataError:
    return ""
  return f", {len(dataset):,} examples"


def _method(run: Run) -> str:
  lines = [
    "## Method",
    "",
    f"`{run.config.method.name}`, of these parts:",
    "",
    "| slot | part | parameters that were set |",
    "|---|---|---|",
  ]
  for slot in ("input", "view", "forward", "objective"):
    section = run.config.method[slot]
    given = _given(section, ("name",))
    lines.append(f"| {slot} | {section.name} | {given or '(defaults)'} |")
  return "\n".join(lines)


def _given(section: Mapping[str, Any], without: tuple[str, ...]) -> str:
  return ", ".join(
    f"{name}={_plain(value)}"
    for name, value in section.items()
    if value not in (None, (), []) and name not in without
  )


def _unused(
  section: Mapping[str, Any], owner: str, fields: tuple[str, ...]
) -> tuple[str, ...]:
  """What a part makes no use of: another's fields, and what is 0."""
  zeros = tuple(name for name, value in section.items() if value == 0)
  return zeros if section["name"] == owner else (*zeros, *fields)


def _plain(value: Any) -> Any:
  if isinstance(value, float):
    return f"{value:.6g}"
  if isinstance(value, tuple | list):
    return f"({', '.join(str(_plain(v)) for v in value)})"
  return value


def _training(run: Run) -> str:
  config = run.config
  model = model_arguments(config)
  arguments = _given(model, ("name",))
  return "\n".join(
    [
      "## Training",
      "",
      f"- Network: {config.model.name} ({arguments}), {run.parameters:,} "
      "parameters",
      f"- {config.train.epochs} epochs in batches of {config.train.batch_size},"
      f" seed {config.seed}",
      "- Optimiser: "
      + _given(config.optimizer, _unused(config.optimizer, "sgd", _SGD)),
      "- Learning rate: "
      + _given(
        config.schedule, _unused(config.schedule, "multistep", _MULTISTEP)
      ),
      f"- Weights: {config.eval.select}, step {run.step}"
      + (
        f", moving average {config.train.ema_decay:g}"
        if config.train.ema_decay
        else ""
      ),
    ]
  )


def _results(run: Run, rows: Sequence[Mapping[str, Any]]) -> str:
  lines = ["## Results", ""]
  if not rows:
    return "\n".join(
      [
        *lines,
        f"Not judged at step {run.step} when it was exported: there are no "
        "numbers. `jaxrobust evaluate --workdir=RUN` makes them.",
      ]
    )
  if run.config.eval.select == "best_test":
    lines += ["The epoch was chosen on the test set, which flatters it.", ""]
  splits = dict.fromkeys((row["dataset"], row["split"]) for row in rows)
  for dataset, split in splits:
    own = [r for r in rows if (r["dataset"], r["split"]) == (dataset, split)]
    lines += [f"On {dataset} ({split}), one run, seed {run.config.seed}:", ""]
    lines += [*_table(own), ""]
  if not run.config.data.targets:
    lines.append("The interval is of the sample of examples, not of training.")
  return "\n".join(lines).rstrip()


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """What `evaluate` shows on the terminal, in Markdown."""
  table = evaluation.accuracy_table(rows, "")
  columns = [list(map(str, column.cells)) for column in table.columns]
  heads = [str(column.header) for column in table.columns]
  heads[-1] = "n"
  return [
    f"| {' | '.join(heads)} |",
    "|" + "---|" * len(heads),
    *(f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True)),
  ]


def _loading(about: Mapping[str, Any]) -> str:
  lines = ["## Loading it", ""]
  for words, code in snippets(about):
    lines += [words, "", "```python", code, "```", ""]
  return "\n".join(lines).rstrip()


def _limits(
  run: Run, about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> str:
  # Others are rows of measurements, as of calibration.
  scores = ("accuracy", "rmse")
  judged = {row["perturbation"] for row in rows if row["metric"] in scores}
  attacked = {
    name.partition("(")[0] for name in judged if evaluation.is_attack(name)
  }
  ran = [words for name, words in _ATTACKS.items() if name in attacked]
  # The standard ensemble is made of most of the others.
  known = attacked | (_MEMBERS if "standard" in attacked else set())
  left = [words for name, words in _ATTACKS.items() if name not in known]
  lines = ["## Limits", ""]
  if not ran:
    lines.append(
      "- It was not attacked, and nothing here says that it withstands an "
      "adversary; noise is no attack."
    )
  else:
    lines.append(
      f"- Attacked by {', '.join(ran)}, in the settings of the table and in no "
      "other."
      + (f" Not attacked by {', '.join(left)}." if left else "")
      + " A stronger attack can only lower these numbers."
    )
  others = sorted(
    name
    for name in judged
    if name != "clean" and not evaluation.is_attack(name)
  )
  lines.append(
    f"- Beside clean inputs it was judged under: {', '.join(others) or 'none'}."
  )
  if _smoother(run):
    lines.append(
      "- The smoother is a part of the model: an attack must go through it."
    )
  if about["format"] == "stablehlo":
    lines.append(
      f"- Compiled for {', '.join(about['platforms'])}. JAX keeps serialised "
      "programs readable for six months of later versions; after that, export "
      "again or take safetensors."
    )
  return "\n".join(lines)


def _licence(licence: str, data_licence: str) -> str:
  lines = ["## Licence", "", f"Model: {licence}. Data: {data_licence}."]
  if UNKNOWN in (licence, data_licence):
    lines += [
      "",
      "Unknown means that nobody said: state yours, with `--licence` and "
      "`--data_licence` or here, before you share the model.",
    ]
  return "\n".join(lines)
