"""What the parameters of a stable law may be, checked where it can be."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer


def known(value: Any) -> bool:
  """Whether the numbers in `value` can be read now, without a trace or a wait.

  Args:
    value: a Python number, a NumPy array, a JAX array or a tracer.

  Returns:
    False for a tracer and for an array that lies on other hosts.

  Example:
    >>> known(1.5)
    True
  """
  if isinstance(value, Tracer):
    return False
  return not isinstance(value, jax.Array) or value.is_fully_addressable


def is_number(value: Any, number: float) -> bool:
  """Whether `value` is a Python or NumPy scalar equal to `number`.

  Args:
    value: anything; only scalars that are known when a function is traced
      can be equal.
    number: what to compare with.

  Returns:
    False for arrays and tracers, whatever they hold.

  Example:
    >>> is_number(2, 2.0), is_number(np.array([2.0]), 2.0)
    (True, False)
  """
  return isinstance(value, (int, float, np.number)) and bool(value == number)


def require(
  name: str, value: Any, allowed: str, holds: Callable[[np.ndarray], Any]
) -> None:
  """Refuses a known value that a condition does not allow.

  Args:
    name: the argument's name, for the message.
    value: what the caller passed; a tracer is let through unseen.
    allowed: the condition in words, for the message.
    holds: the condition on an array, elementwise. NaN must fail it.

  Raises:
    ValueError: the condition fails for at least one element.

  Example:
    >>> require("alpha", 3.0, "in (0, 2]", lambda a: (a > 0) & (a <= 2))
    Traceback (most recent call last):
    ...
    ValueError: alpha must be in (0, 2], got 3.0
  """
  if not known(value):
    return
  array = np.asarray(value)
  good = np.broadcast_to(holds(array), array.shape)
  if not good.all():
    raise ValueError(f"{name} must be {allowed}, got {array[~good].flat[0]}")


def require_alpha(alpha: Any) -> None:
  """Refuses a tail index outside (0, 2]; see `require`."""
  require("alpha", alpha, "in (0, 2]", lambda a: (a > 0) & (a <= 2))


def require_beta(beta: Any) -> None:
  """Refuses a skewness outside [-1, 1]; see `require`."""
  require("beta", beta, "in [-1, 1]", lambda b: abs(b) <= 1)


def require_scale(scale: Any, name: str = "scale") -> None:
  """Refuses a negative or infinite scale; see `require`.

  Zero is allowed: it is the law of a constant, and the first level of most
  grids and schedules of noise.
  """
  require(
    name, scale, "finite and at least 0", lambda c: (c >= 0) & (c < np.inf)
  )
