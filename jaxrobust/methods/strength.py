"""One strength of noise, given in one of several ways, as scales of laws."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from jaxrobust import alpha_stable as stable


def matched_scales(
  alphas: Sequence[float],
  strengths: Mapping[str, Any],
  gamma: float | None = None,
  beta: float = 0.0,
) -> list[float]:
  """The scale c of each tail index, as numbers known before tracing.

  Args:
    alphas: Tail indices.
    strengths: By name, of which exactly one is not None: "dispersion", "std",
      "flip_rate" and "geometric_power" are converted for every tail index,
      "scale" is the same c for all, and "scales" has one for each.
    gamma: Must be None: papers mean either the scale or the dispersion by it.
    beta: Skewness.

  Returns:
    One scale per tail index.

  Raises:
    ValueError: If no strength or several are given, or the one given has no
      meaning for these laws.

  Example:
    >>> strengths = {"scale": None, "flip_rate": 0.126}
    >>> [round(c, 3) for c in matched_scales([1.0, 2.0], strengths)]
    [0.1, 0.231]
  """
  if gamma is not None:
    raise ValueError(
      f"gamma={gamma}: ambiguous; give scale (c) or dispersion (c**alpha)"
    )
  given = {k: v for k, v in strengths.items() if v is not None}
  if len(given) != 1:
    raise ValueError(
      f"strength given by {sorted(given) or 'nothing'}: give exactly one of "
      f"{', '.join(strengths)}"
    )
  ((kind, strength),) = given.items()
  if kind == "scales":
    if len(strength) != len(alphas):
      raise ValueError(
        f"scales={tuple(strength)}: must be one per tail index of "
        f"alphas={tuple(alphas)}"
      )
    return [float(scale) for scale in strength]
  if kind in ("flip_rate", "geometric_power") and beta != 0:
    raise ValueError(
      f"{kind}={strength} with beta={beta}: defined for beta=0 only; use scale"
    )
  return [_scale(kind, alpha, strength) for alpha in alphas]


def number(value: Any) -> Any:
  """A Python float, by which samplers are chosen, unless it is traced.

  Example:
    >>> number(1)
    1.0
  """
  return value if isinstance(value, jax.Array) else float(value)


def _scale(kind: str, alpha: float, strength: float) -> float:
  if kind == "scale":
    return number(strength)
  if kind == "std":
    if alpha != 2:
      raise ValueError(f"std={strength} with alpha={alpha}: only for alpha=2")
    return float(stable.scale_from_std(strength))
  convert = getattr(stable, f"scale_from_{kind}")
  try:
    return float(convert(alpha, strength))
  except ValueError as error:
    raise ValueError(
      f"{kind}={strength} with alpha={alpha}: {error}"
    ) from error
