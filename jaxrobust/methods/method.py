"""A method: one choice in each slot, and the named presets.

The fields of `config.method` are made from the keyword parameters of the
functions in the tables, so a new input, forward or objective is one function
and one line in its table, and its parameters are on the command line at once.
"""

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections
from ml_collections import config_dict

from jaxrobust.methods import forwards, inputs, objectives, smoothing, views
from jaxrobust.methods.context import InputFn
from jaxrobust.methods.moment_objectives import MOMENT_OBJECTIVES
from jaxrobust.methods.setting import ObjectiveFn

SLOTS: dict[str, Mapping[str, Callable[..., Any]]] = {
  "input": inputs.INPUTS,
  "view": views.VIEWS,
  "forward": forwards.FORWARDS,
  "objective": objectives.OBJECTIVES,
}

# name: (input, view, forward, objective)
PRESETS: dict[str, tuple[str, str, str, str]] = {
  "standard": ("clean", "none", "deterministic", "cross_entropy"),
  "gaussian": ("gaussian", "none", "deterministic", "cross_entropy"),
  "alpha_stable": ("alpha_stable", "none", "deterministic", "cross_entropy"),
  "adversarial": ("adversarial", "none", "deterministic", "cross_entropy"),
  "mixup": ("mixup", "none", "deterministic", "cross_entropy"),
  "augmix": ("augmix", "none", "deterministic", "cross_entropy"),
  "inverse_scale": ("inverse_scale", "none", "deterministic", "cross_entropy"),
  "stochastic": ("clean", "none", "moments", "expected_mse"),
  "monte_carlo": ("clean", "none", "sampled", "cross_entropy"),
  "discriminative": ("clean", "gaussian", "deterministic", "discriminative"),
  "margin_compactness": ("clean", "none", "deterministic", "discriminative"),
  "stability": ("clean", "gaussian", "deterministic", "stability"),
  "clean_and_noisy": ("clean", "gaussian", "deterministic", "cross_entropy"),
}
# What every second view has besides its input's parameters.
_VIEW_FIELDS = {"shared_aug": (bool, False), "batch_norm": (str, "sequential")}
# What a preset says of it.
_VIEW_OPTIONS = {"clean_and_noisy": {"batch_norm": "joint"}}


@dataclasses.dataclass(frozen=True)
class Method:
  """The parts that the train step composes; `view` is None for none."""

  input: InputFn
  forward: forwards.ForwardFn
  objective: ObjectiveFn
  view: views.View | None = None


def preset(name: str) -> ml_collections.ConfigDict:
  """The `config.method` of a named method.

  Args:
    name: A key of `PRESETS`.

  Returns:
    A ConfigDict with `name`, `input`, `view`, `forward` and `objective`. A
    parameter that is None takes its function's default, or that of
    `views.View`.

  Raises:
    ValueError: If there is no such preset.

  Example:
    >>> method = preset("alpha_stable")
    >>> method.input.alpha = 1.0
    >>> method.input.flip_rate = 0.126
    >>> method.input.name, method.objective.name
    ('alpha_stable', 'cross_entropy')
  """
  if name not in PRESETS:
    raise ValueError(f"preset {name!r}: must be one of {sorted(PRESETS)}")
  config = ml_collections.ConfigDict({"name": name})
  for (slot, table), part in zip(SLOTS.items(), PRESETS[name], strict=True):
    fields: dict[str, tuple[Any, Any]] = {}
    for function in table.values():
      fields.update(parameters(function))
    if slot == "view":
      fields.update(_VIEW_FIELDS)
    config[slot] = ml_collections.ConfigDict(
      {"name": part, **placeholders(fields)}
    )
  config.view.update(_VIEW_OPTIONS.get(name, {}))
  return config


def build(config: ml_collections.ConfigDict, shape: tuple[int, ...]) -> Method:
  """Builds the parts named by `config.method`.

  Args:
    config: As made by `preset`.
    shape: The shape of one example.

  Returns:
    The method.

  Raises:
    ValueError: If a part is unknown, a parameter does not belong to its part,
      is missing or is out of range. The message names the field.

  Example:
    >>> config = preset("gaussian")
    >>> config.input.std = 0.1
    >>> method = build(config, (28, 28, 1))
    >>> callable(method.input) and callable(method.objective)
    True
  """
  parts = {}
  for slot, table in SLOTS.items():
    field = f"config.method.{slot}"
    section: Any = config[slot]
    function = lookup(table, section.name, f"{field}.name")
    fields = parameters(function)
    if slot == "view" and section.name != "none":
      fields.update(_VIEW_FIELDS)
    given = chosen(section, fields, field)
    own = {k: given.pop(k) for k in _VIEW_FIELDS if k in given}
    positional = (shape,) if slot in ("input", "view") else ()
    try:
      parts[slot] = function(*positional, **given)
      if slot == "view" and parts[slot] is not None:
        parts[slot] = views.View(parts[slot], **own)
    except ValueError as error:
      raise ValueError(f"{field}: {error}") from error
  _require_fitting(config)
  _require_fitting_views(config)
  _place_smoothers(config, parts)
  if config.forward.name == "sampled":
    if config.objective.name not in MOMENT_OBJECTIVES:
      parts["objective"] = objectives.over_samples(parts["objective"])
  return Method(**parts)


def _place_smoothers(
  config: ml_collections.ConfigDict, parts: dict[str, Any]
) -> None:
  """Settles whether smoothers keep a cache, and puts the forward behind one.

  A smoothed data set would be all that a second view could see, so there is
  none with a view, and none of a view's own.
  """
  has_view = parts["view"] is not None
  for slot in ("input", "view"):
    section: Any = config[slot]
    for option, allowed in (("cache", False), ("flow", "anew")):
      value = section[option]
      if has_view and value is not None and value != allowed:
        raise ValueError(
          f"config.method.{slot}.{option}={value!r}: must be {allowed!r} "
          f"with a second view, config.method.view.name={config.view.name!r}"
        )
  if config.view.smooth_eval is not None:
    raise ValueError(
      f"config.method.view.smooth_eval={config.view.smooth_eval!r}: must be "
      "None, for a view is not judged"
    )
  own = parts["input"]
  if isinstance(own, smoothing.Smoothing):
    cache = own.cache if own.cache is not None else not has_view
    parts["input"] = dataclasses.replace(own, cache=cache)
    if own.at_test is not None:
      parts["forward"] = smoothing.BehindSmoother(parts["forward"], own.at_test)


def _require_fitting(config: ml_collections.ConfigDict) -> None:
  """Refuses an objective that cannot use what the forward knows."""
  forward: Any = config.forward
  name = config.objective.name
  field = f"config.method.objective.name={name!r}"
  if forward.name == "deterministic" and name in MOMENT_OBJECTIVES:
    raise ValueError(
      f"{field}: needs config.method.forward.name='moments' or 'sampled', got "
      "'deterministic'"
    )
  if forward.name == "moments" and name not in MOMENT_OBJECTIVES:
    raise ValueError(
      f"{field}: must be one of {sorted(MOMENT_OBJECTIVES)} with "
      "config.method.forward.name='moments', or the noise would not count"
    )
  heavy = forward.alpha is not None and forward.alpha < 2
  if forward.name == "sampled" and name in MOMENT_OBJECTIVES:
    if heavy:
      raise ValueError(
        f"{field}: must be none of {sorted(MOMENT_OBJECTIVES)} with "
        f"config.method.forward.name='sampled' and alpha={forward.alpha}: "
        "samples of a tail index below 2 have no moments"
      )
    if (forward.samples or 1) < 2 and name != "expected_mse":
      raise ValueError(
        f"{field}: needs config.method.forward.samples of at least 2, got "
        f"{forward.samples or 1}: one sample has no variance"
      )
  if heavy and name in MOMENT_OBJECTIVES and name != "pairwise":
    raise ValueError(
      f"{field}: must be 'pairwise' with config.method.forward.alpha="
      f"{forward.alpha}: for a tail index below 2 there is no variance"
    )


def _require_fitting_views(config: ml_collections.ConfigDict) -> None:
  """Refuses a second view nobody looks at, or labels an objective can't use."""
  forward: Any = config.forward
  name, view = config.objective.name, config.view.name
  field = f"config.method.objective.name={name!r}"
  if view != "none" and name not in objectives.VIEW_OBJECTIVES:
    raise ValueError(
      f"config.method.view.name={view!r}: must be 'none' with {field}, or the "
      f"objective one of {', '.join(objectives.VIEW_OBJECTIVES)}"
    )
  if view == "none" and name in objectives.NEED_VIEW:
    raise ValueError(f"{field}: needs a second view, config.method.view.name")
  if view == "none" and config.objective.rho:
    raise ValueError(
      f"config.method.objective.rho={config.objective.rho}: must be 0 without "
      "a second view, config.method.view.name"
    )
  if forward.name != "deterministic" and (
    view != "none" or name in objectives.HARD_LABELS
  ):
    what = field if view == "none" else f"config.method.view.name={view!r}"
    raise ValueError(
      f"{what}: needs config.method.forward.name='deterministic', got "
      f"{forward.name!r}"
    )
  for slot in ("input", "view"):
    mixes = config[slot].name == "mixup"
    if mixes and (name in objectives.HARD_LABELS or view != "none"):
      raise ValueError(
        f"config.method.{slot}.name='mixup': must be another with {field}"
        + (" and a second view" if view != "none" else "")
        + ": its labels are mixtures of classes"
      )


def check_name(config: ml_collections.ConfigDict) -> None:
  """Refuses a preset's name on parts that are not the preset's.

  Result rows carry the name, so it must not promise another method.

  Args:
    config: As made by `preset`, perhaps with other parts.

  Raises:
    ValueError: If the name is a preset's and the parts are others.

  Example:
    >>> method = preset("standard")
    >>> method.input.name = "gaussian"
    >>> check_name(method)
    Traceback (most recent call last):
    ...
    ValueError: config.method.name='standard': its parts are clean, none,
    deterministic, cross_entropy; give gaussian, none, deterministic,
    cross_entropy a name of their own
  """
  sections: list[Any] = [config[slot] for slot in SLOTS]
  parts = tuple(section.name for section in sections)
  promised = PRESETS.get(config.name, parts)
  if parts != promised:
    raise ValueError(
      f"config.method.name={config.name!r}: its parts are "
      f"{', '.join(promised)}; give {', '.join(parts)} a name of their own"
    )


def lookup(table: Mapping[str, Any], name: str, field: str) -> Any:
  """The entry `name` of a table, or an error that names the field."""
  if name not in table:
    raise ValueError(f"{field}={name!r}: must be one of {sorted(table)}")
  return table[name]


def parameters(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
  """The keyword-only parameters of a part: {name: (type, default)}."""
  hints = typing.get_type_hints(function)
  return {
    name: (hints[name], parameter.default)
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
  }


def placeholders(fields: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
  """Typed config fields that hold None until someone sets them."""
  return {
    name: config_dict.placeholder(_plain_type(hint))
    for name, (hint, _) in fields.items()
  }


def chosen(
  config: ml_collections.ConfigDict,
  fields: Mapping[str, tuple[Any, Any]],
  field: str,
) -> dict[str, Any]:
  """The parameters that were set, checked against what the part takes."""
  given = {k: v for k, v in config.items() if v is not None and k != "name"}
  for key, value in given.items():
    if key not in fields:
      allowed = ", ".join(sorted(fields)) or "none"
      raise ValueError(
        f"{field}.{key}={value!r}: not a parameter of {config.name!r} "
        f"(allowed: {allowed})"
      )
  for key, (_, default) in fields.items():
    if default is inspect.Parameter.empty and key not in given:
      raise ValueError(
        f"{field}.{key}=None: {config.name!r} needs a value for it"
      )
  return given


def _plain_type(hint: Any) -> type:
  """The type of a config field, also of `float | None` and the like."""
  if typing.get_origin(hint) in (types.UnionType, typing.Union):
    (hint,) = [a for a in typing.get_args(hint) if a is not type(None)]
  if typing.get_origin(hint) is typing.Literal:
    return type(typing.get_args(hint)[0])
  return typing.get_origin(hint) or hint
