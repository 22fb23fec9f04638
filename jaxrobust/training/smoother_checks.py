"""The checks of training on smoothed examples, and of judging behind them."""

import ml_collections

from jaxrobust import methods
from jaxrobust.training.conditions import check
from jaxrobust.training.config import ConfigError


def validate_smoother(
  config: ml_collections.ConfigDict, method: methods.Method
) -> None:
  """Refuses what needs one array of inputs, or a smoother where none is.

  Args:
    config: The config of a run.
    method: Its method.

  Raises:
    ConfigError: Naming the first field that is wrong.
  """
  gradients = tuple(config.eval.attack_gradients)
  of_smoother = hasattr(method.forward, "gradients")
  check(
    of_smoother or set(gradients) <= {"worst", "adaptive"},
    "eval.attack_gradients",
    gradients,
    "('worst',) for a network that is not judged behind a smoother",
  )
  check(
    "adaptive" not in gradients or hasattr(method.forward, "adaptive"),
    "eval.attack_gradients",
    gradients,
    "without 'adaptive' but for a forward with noise inside",
  )
  own = method.input
  _validate_ways(config, own)
  changes = (
    isinstance(own, methods.Smoothing)
    and bool(own.cache)
    and len(own.schedule.fractions) > 1
  )
  if changes:
    epochs = config.train.epochs
    held = {own.schedule.stage(epoch / epochs) for epoch in range(epochs)}
    count = len(own.schedule.fractions)
    check(
      len(held) == count,
      "train.epochs",
      epochs,
      f"enough for each of the {count} levels of config.method.input.fractions "
      "to hold in one",
    )
  check(
    not (changes and config.data.device_resident),
    "data.device_resident",
    config.data.device_resident,
    "False with config.method.input.cache=True and several fractions, which "
    "change the inputs from epoch to epoch",
  )


def _validate_ways(config: ml_collections.ConfigDict, own: object) -> None:
  ways = tuple(config.eval.smooth_evals)
  smooths = isinstance(own, methods.Smoothing)
  check(
    smooths or not ways,
    "eval.smooth_evals",
    ways,
    f"() with config.method.input.name={config.method.input.name!r}",
  )
  known = config.method.input.smooth_eval or "on"
  check(
    len({known, *ways}) == 1 + len(ways),
    "eval.smooth_evals",
    ways,
    f"different from each other and from config.method.input.smooth_eval="
    f"{known!r}",
  )
  for way in ways:
    other = config.method.copy_and_resolve_references()
    other.input.smooth_eval = way
    try:
      methods.build(other, tuple(config.data.shape))
    except ValueError as error:
      raise ConfigError(f"config.eval.smooth_evals={ways}: {error}") from error
