"""Conditions on fields of a config, and the one line that says which fails."""

import math
from typing import Any

import ml_collections

from jaxrobust.training.config import ConfigError


def check(holds: bool, field: str, value: Any, allowed: str) -> None:
  """Raises a ConfigError that names the field unless the condition holds."""
  if not holds:
    raise ConfigError(f"config.{field}={value!r}: must be {allowed}")


def value_of(config: ml_collections.ConfigDict, field: str) -> Any:
  """The value of a field with a dotted name."""
  value: Any = config
  for name in field.split("."):
    value = value[name]
  return value


def at_least(config: ml_collections.ConfigDict, field: str, least: int) -> None:
  """Requires a finite number that is not less."""
  value = value_of(config, field)
  check(least <= value < math.inf, field, value, f"at least {least}")


def numbers_in(config: ml_collections.ConfigDict, field: str) -> None:
  """Requires a tuple of numbers."""
  values = tuple(value_of(config, field))
  numbers = all(isinstance(v, (int, float)) for v in values)
  check(numbers, field, values, "numbers")


def in_unit(config: ml_collections.ConfigDict, field: str) -> None:
  """Requires a number in [0, 1)."""
  value = value_of(config, field)
  check(0 <= value < 1, field, value, "in [0, 1)")


def one_of(
  config: ml_collections.ConfigDict, field: str, allowed: tuple[str, ...]
) -> None:
  """Requires one of some words."""
  value = value_of(config, field)
  check(value in allowed, field, value, f"one of {', '.join(allowed)}")
