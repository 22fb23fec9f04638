"""Noise whose strength changes over the training."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

SCHEDULES = ("constant", "linear", "cosine")

# From the progress of training, in [0, 1], to what multiplies the noise.
FactorFn = Callable[[jax.Array | float], jax.Array]


def strength_schedule(
  name: str, start: float | None, end: float | None
) -> FactorFn | None:
  """What multiplies the noise, and so its scale, during training.

    m(s) = start + (end - start) r(s),  r(s) = s        "linear"
                                               sin^2(pi s/2)  "cosine"

  Args:
    name: "constant", "linear" or "cosine".
    start: The factor at the first step, >= 0; by default 0.
    end: The factor after the last step, >= 0; by default 1. A start above the
      end makes noise that fades.

  Returns:
    A function of the progress s in [0, 1], or None for "constant".

  Raises:
    ValueError: If a parameter is out of range, or goes with "constant".

  Example:
    >>> factor = strength_schedule("linear", 0.0, 2.0)
    >>> float(factor(0.25))
    0.5
  """
  if name not in SCHEDULES:
    raise ValueError(f"schedule={name!r}: must be one of {SCHEDULES}")
  given = {"schedule_from": start, "schedule_to": end}
  for parameter, value in given.items():
    if value is None:
      continue
    if name == "constant":
      raise ValueError(
        f"{parameter}={value} with schedule='constant': only for 'linear' "
        "and 'cosine'"
      )
    if not 0 <= value < math.inf:
      raise ValueError(f"{parameter}={value}: must be a finite number >= 0")
  if name == "constant":
    return None
  first = 0.0 if start is None else float(start)
  last = 1.0 if end is None else float(end)

  def factor(progress):
    done = jnp.asarray(progress, jnp.float32)
    if name == "cosine":
      done = jnp.sin(0.5 * math.pi * done) ** 2
    return first + (last - first) * done

  return factor
