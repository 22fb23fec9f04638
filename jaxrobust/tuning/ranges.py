"""What a search goes over: config fields and the ranges of their values.

FIELD=LOW:HIGH        any number between the two; whole ones for whole fields
FIELD=log:LOW:HIGH    likewise, evenly in the logarithm
FIELD=A,B,C           one of these values
FIELD=(A,)|(B,C)      one of these tuples, of fields that hold tuples
"""

import ast
import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from jaxrobust.training.checks import validate
from jaxrobust.training.config import ConfigError
from jaxrobust.tuning.traced_strength import STRENGTHS

_FORMS = "LOW:HIGH, log:LOW:HIGH or A,B,C"
_TUPLES = "(A,)|(B,C)"

# Fields whose change would make the values of two trials incomparable.
_FIXED = (
  "seed",
  "data.",
  "eval.",
  "checkpoint.",
  "train.launcher",
  "train.devices",
  "train.log_every",
  "method.name",
)

# Setting one of these unsets the others, for one of them at most may be set.
_RIVALS = tuple(
  tuple(f"method.input.{name}" for name in names)
  for names in ((*STRENGTHS, "scales"), ("alpha", "alphas"))
)


@dataclasses.dataclass(frozen=True)
class Range:
  """The values of one field.

  Attributes:
    field: Its dotted name, as "method.input.alpha".
    text: As it was given behind the field.
    low: The least value; None for a choice.
    high: The largest.
    log: Whether it is drawn evenly in the logarithm.
    whole: Whether it is a whole number.
    choices: The values of a choice; () for an interval.
  """

  field: str
  text: str
  low: float | None = None
  high: float | None = None
  log: bool = False
  whole: bool = False
  choices: tuple[Any, ...] = ()

  def suggest(self, trial: Any) -> Any:
    """A value for an optuna trial."""
    if self.choices:
      stored = [self.stored(choice) for choice in self.choices]
      return self.value(trial.suggest_categorical(self.field, stored))
    if self.whole:
      return trial.suggest_int(self.field, self.low, self.high, log=self.log)
    return trial.suggest_float(self.field, self.low, self.high, log=self.log)

  def stored(self, value: Any) -> Any:
    """A value as a study keeps it: tuples as texts."""
    return repr(value) if isinstance(value, tuple) else value

  def value(self, stored: Any) -> Any:
    """A value from what a study keeps."""
    if self.choices and isinstance(self.choices[0], tuple):
      return ast.literal_eval(stored)
    return stored

  def __contains__(self, value: Any) -> bool:
    """Whether a value lies in the range."""
    if self.choices:
      return value in self.choices
    return value is not None and self.low <= value <= self.high

  def ends(self) -> tuple[Any, ...]:
    """The values to check before a search begins."""
    return self.choices or (self.low, self.high)


def parse(text: str, config: ml_collections.ConfigDict) -> Range:
  """Reads one `FIELD=RANGE`.

  Args:
    text: As at the head of this file; `config.` before the field may be left
      out.
    config: The config whose field it is.

  Returns:
    The range.

  Raises:
    ConfigError: If there is no such field, it cannot be searched, or the
      range is not one.

  Example:
    >>> from jaxrobust.training.config import default_config
    >>> found = parse("optimizer.learning_rate=log:1e-4:1", default_config())
    >>> found.low, found.high, found.log
    (0.0001, 1.0, True)
  """
  name, equals, values = text.partition("=")
  field = name.removeprefix("config.")
  if not equals or not field or not values:
    raise ConfigError(f"--search={text}: must be FIELD={_FORMS}")
  kind = _type_of(config, field)
  if kind not in (float, int, str, bool, tuple) or field.startswith(_FIXED):
    raise ConfigError(f"--search={text}: {field!r} cannot be searched")
  if kind is tuple:
    return Range(field, values, choices=_read_tuples(values, text))
  parts = values.split(":")
  log = parts[0] == "log"
  if log:
    parts = parts[1:]
  if len(parts) == 2 and kind in (float, int):
    low, high = (_read(part, kind, text) for part in parts)
    if not low < high or (log and low <= 0):
      order = "0 < LOW < HIGH" if log else "LOW < HIGH"
      raise ConfigError(f"--search={text}: must have {order}")
    return Range(field, values, low, high, log, kind is int)
  items = values.split(",")
  if log or len(set(items)) < 2:
    raise ConfigError(f"--search={text}: must be FIELD={_FORMS}")
  choices = tuple(_read(item, kind, text) for item in items)
  return Range(field, values, choices=choices)


def default_search(config: ml_collections.ConfigDict) -> list[str]:
  """The search over the strength of a config's noise, and its tail index.

  Args:
    config: A run's config.

  Returns:
    Texts for `parse`.

  Raises:
    ConfigError: If its method has no noise to search.

  Example:
    >>> from jaxrobust import methods
    >>> from jaxrobust.training.config import default_config
    >>> config = default_config()
    >>> config.method = methods.preset("alpha_stable")
    >>> config.method.input.alpha, config.method.input.flip_rate = 1.0, 0.126
    >>> default_search(config)
    ['method.input.alpha=0.5:2.0', 'method.input.flip_rate=log:0.01:0.5']
  """
  section = config.method.input
  ranges = {"flip_rate": "log:0.01:0.5"}
  if section.name == "gaussian":
    ranges = {"std": "log:0.01:1.0"}
  elif section.name == "alpha_stable":
    for strength in ("scale", "dispersion", "geometric_power"):
      if section[strength] is not None:
        ranges = {strength: "log:0.003:1.0"}
    if section.alpha is not None:
      ranges = {"alpha": "0.5:2.0", **ranges}
  else:
    raise ConfigError(
      f"config.method.input.name={section.name!r}: has no strength to search; "
      "give --search=FIELD=RANGE"
    )
  return [f"method.input.{name}={text}" for name, text in ranges.items()]


def check(config: ml_collections.ConfigDict, ranges: Sequence[Range]) -> None:
  """Refuses a search that would try a config that cannot run.

  Args:
    config: The config that is searched around.
    ranges: The search.

  Raises:
    ConfigError: If a field is searched twice, or an end of a range or a
      choice cannot run.
  """
  fields = [r.field for r in ranges]
  for field in fields:
    if fields.count(field) > 1:
      raise ConfigError(f"--search: {field}: must be given once")
  for rivals in _RIVALS:
    both = [field for field in fields if field in rivals]
    if len(both) > 1:
      raise ConfigError(f"--search: {' and '.join(both)}: must be one of them")
  first = {r.field: r.ends()[0] for r in ranges}
  for r in ranges:
    for value in r.ends():
      validate(apply(config, {**first, r.field: value}))


def apply(
  config: ml_collections.ConfigDict, values: Mapping[str, Any]
) -> ml_collections.ConfigDict:
  """A config with some fields changed.

  A tail index or a strength takes the place of any other that was set.

  Args:
    config: The config; not changed.
    values: By dotted name.

  Returns:
    A new config.

  Example:
    >>> from jaxrobust.training.config import default_config
    >>> apply(default_config(), {"train.epochs": 3}).train.epochs
    3
  """
  changed = copy.deepcopy(config)
  for field, value in values.items():
    for rivals in _RIVALS:
      if field in rivals:
        changed.update_from_flattened_dict(
          {rival: None for rival in rivals if _type_of(changed, rival)}
        )
    changed.update_from_flattened_dict({field: value})
  return changed


def value_in(config: ml_collections.ConfigDict, field: str) -> Any:
  """The value of a field given by its dotted name."""
  value: Any = config
  for name in field.split("."):
    value = value[name]
  return value


def _type_of(config: ml_collections.ConfigDict, field: str) -> type | None:
  """The type of a field, set or not; an error if there is none."""
  *path, last = field.split(".")
  section: Any = config
  for name in path:
    if not isinstance(section, ml_collections.ConfigDict):
      break
    section = section.get(name)
  if not isinstance(section, ml_collections.ConfigDict) or last not in section:
    raise ConfigError(f"--search={field}=...: no field {field!r} in the config")
  return section.get_type(last)


def _read_tuples(values: str, whole: str) -> tuple[Any, ...]:
  try:
    found = tuple(ast.literal_eval(item) for item in values.split("|"))
    several = len(set(found)) > 1
  except (SyntaxError, TypeError, ValueError):
    found, several = (), False
  if not several or not all(isinstance(one, tuple) for one in found):
    raise ConfigError(f"--search={whole}: must be FIELD={_TUPLES}")
  return found


def _read(text: str, kind: type, whole: str) -> Any:
  if kind is str:
    return text
  if kind is bool:
    if text in ("True", "False", "true", "false"):
      return text.lower() == "true"
    raise ConfigError(f"--search={whole}: {text!r} must be True or False")
  try:
    return kind(text)
  except ValueError as error:
    word = "a whole number" if kind is int else "a number"
    raise ConfigError(f"--search={whole}: {text!r} must be {word}") from error
