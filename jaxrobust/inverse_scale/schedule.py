"""Which level of the scale space a training sees, from coarse to fine."""

import dataclasses
import itertools
import numbers

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class LevelSchedule:
  """Levels in the order in which a training goes through them.

  Level l holds from the share `starts[l]` of the training until the next one
  starts. One level is one for the whole training.

  Attributes:
    fractions: The shares of edges of the levels, in [0, 1], usually rising.
    starts: Where each begins, as shares of the training: rising from 0, each
      below 1. () for equal parts.

  Raises:
    ValueError: If there is no level or a number is out of range.

  Example:
    >>> schedule = LevelSchedule((0.2, 0.4, 0.6))
    >>> [schedule.stage(progress) for progress in (0.0, 0.3, 0.5, 0.99)]
    [0, 0, 1, 2]
    >>> round(float(schedule.fraction(jnp.asarray(0.5))), 2)
    0.4

  References:
    arXiv:2409.18419: iterative training. Its schedule is not known to us.
  """

  fractions: tuple[float, ...]
  starts: tuple[float, ...] = ()

  def __post_init__(self):
    fractions, starts = tuple(self.fractions), tuple(self.starts)
    for name, given in (("fractions", fractions), ("starts", starts)):
      if not all(isinstance(number, numbers.Real) for number in given):
        raise ValueError(f"{name}={given}: must be numbers")
    if not fractions or not all(0 <= f <= 1 for f in fractions):
      raise ValueError(
        f"fractions={fractions}: must be one number or more, in [0, 1]"
      )
    count = len(fractions)
    if not starts:
      starts = tuple(stage / count for stage in range(count))
    rising = all(a < b for a, b in itertools.pairwise(starts))
    if len(starts) != count or starts[0] != 0 or not rising or starts[-1] >= 1:
      raise ValueError(
        f"starts={starts}: must be {count} numbers, rising from 0 and below 1"
      )
    object.__setattr__(self, "fractions", fractions)
    object.__setattr__(self, "starts", starts)

  def stage(self, progress: float) -> int:
    """Which level holds when a share of the training is done.

    Args:
      progress: In [0, 1], a number.

    Returns:
      Its place in `fractions`.
    """
    return int(np.searchsorted(self.starts, progress, side="right")) - 1

  def fraction(self, progress: jax.Array | float) -> jax.Array:
    """The share of edges of the level that holds.

    Args:
      progress: The share of the training that is done, in [0, 1]; may be
        traced.

    Returns:
      float32 [].
    """
    starts = jnp.asarray(self.starts, jnp.float32)
    stage = jnp.searchsorted(starts, progress, side="right") - 1
    return jnp.asarray(self.fractions, jnp.float32)[stage]
