"""Where an elementwise function of a Gaussian is defined for certain.

A Gaussian takes every value, and so do the nodes of a quadrature somewhere: a
logarithm of one has no moments. Ranges are followed through the function, as
in interval arithmetic, to tell log(1 + exp x) from log x.
"""

import math
from collections.abc import Callable
from typing import Any

import jax.core
import jax.numpy as jnp
import numpy as np

Range = tuple[float, float]

REALS: Range = (-math.inf, math.inf)
# Below what a positive range is not told from one that reaches 0.
_LEAST = 1e-300

_INCREASING: dict[str, Callable[[Any], Any]] = {
  "asinh": np.arcsinh,
  "atan": np.arctan,
  "cbrt": np.cbrt,
  "ceil": np.ceil,
  "exp": np.exp,
  "exp2": np.exp2,
  "expm1": np.expm1,
  "floor": np.floor,
  "log": np.log,
  "log1p": np.log1p,
  "logistic": lambda x: 1 / (1 + np.exp(-x)),
  "relu": lambda x: np.maximum(x, 0),
  "sinh": np.sinh,
  "sqrt": np.sqrt,
  "tanh": np.tanh,
}
_POSITIVE = ("exp", "exp2", "logistic")
_WITHIN: dict[str, Range] = {
  "cos": (-1, 1),
  "cosh": (1, math.inf),
  "erf": (-1, 1),
  "erfc": (0, 2),
  "sign": (-1, 1),
  "sin": (-1, 1),
}
_DOMAINS: dict[str, Callable[[float, float], bool]] = {
  "acos": lambda low, high: -1 <= low and high <= 1,
  "acosh": lambda low, high: low >= 1,
  "asin": lambda low, high: -1 <= low and high <= 1,
  "atanh": lambda low, high: -1 < low and high < 1,
  "digamma": lambda low, high: low > 0,
  "erf_inv": lambda low, high: -1 < low and high < 1,
  "log": lambda low, high: low > 0,
  "log1p": lambda low, high: low > -1,
  "log2": lambda low, high: low > 0,
  "rsqrt": lambda low, high: low > 0,
  "sqrt": lambda low, high: low >= 0,
  "tan": lambda low, high: -1.57 < low and high < 1.57,
}


def defined(name: str, params: dict[str, Any], ranges: list[Range]) -> bool:
  """Whether a primitive has a finite value everywhere in these ranges.

  Args:
    name: of the primitive.
    params: of the primitive.
    ranges: of its inputs.

  Returns:
    False where it may be outside its domain or at a pole.

  Example:
    >>> defined("log", {}, [(1.0, 2.0)]), defined("log", {}, [REALS])
    (True, False)
  """
  if name in _DOMAINS:
    return _DOMAINS[name](*ranges[0])
  if name in ("div", "rem"):
    return _apart_from_zero(ranges[1])
  if name == "integer_pow":
    return params["y"] >= 0 or _apart_from_zero(ranges[0])
  if name == "pow":
    (low, high), (least, most) = ranges
    if low > 0:
      return True
    if least == most and float(least).is_integer():
      return least >= 0 or _apart_from_zero((low, high))
    return low >= 0 and least > 0
  return True


def reached(
  name: str, params: dict[str, Any], ranges: list[Range], same: bool = False
) -> Range:
  """The range of a primitive, or more than that.

  Args:
    name: of the primitive, or "relu".
    params: of the primitive.
    ranges: of its inputs, in which it is defined.
    same: whether both inputs are the same value, as in x * x.

  Returns:
    The lowest and the highest value it can have.

  Example:
    >>> reached("logistic", {}, [REALS])[1], reached("neg", {}, [(1, 3)])
    (1.0, (-3.0, -1.0))
  """
  first, last = ranges[0], ranges[-1]
  with np.errstate(all="ignore"):
    if name in _INCREASING:
      low, high = (float(_INCREASING[name](x)) for x in first)
      out = max(low, _LEAST) if name in _POSITIVE else low, high
    elif name in _WITHIN:
      out = _WITHIN[name]
    elif name == "neg":
      out = -first[1], -first[0]
    elif name == "abs":
      out = _even(first, 1)
    elif name == "square" or (name == "mul" and same):
      out = _even(first, 2)
    elif name == "integer_pow":
      out = _power(first, params["y"])
    elif name in ("add", "add_any"):
      out = first[0] + last[0], first[1] + last[1]
    elif name == "sub":
      out = first[0] - last[1], first[1] - last[0]
    elif name == "mul":
      out = _product(first, last)
    elif name == "div":
      out = _product(first, _inverse(last))
    elif name == "rsqrt":
      out = _inverse((float(np.sqrt(first[0])), float(np.sqrt(first[1]))))
    elif name == "pow":
      out = (_LEAST if first[0] > 0 else 0, math.inf)
      out = out if first[0] >= 0 else REALS
    elif name == "max":
      out = max(first[0], last[0]), max(first[1], last[1])
    elif name == "min":
      out = min(first[0], last[0]), min(first[1], last[1])
    elif name == "clamp":
      low, high = max(first[0], ranges[1][0]), max(first[1], ranges[1][1])
      out = min(low, last[0]), min(high, last[1])
    elif name == "ne" and same:
      out = (0, 0)  # Not NaN.
    elif name == "select_n":
      cases = ranges[1:2] if first == (0, 0) else ranges[1:]
      out = min(c[0] for c in cases), max(c[1] for c in cases)
    else:
      out = REALS
  low, high = map(float, out)
  return -math.inf if math.isnan(low) else low, (
    math.inf if math.isnan(high) else high
  )


def of_constant(x: Any) -> Range:
  """The range of a constant: all numbers where its values are not at hand."""
  if isinstance(x, jax.core.Tracer) or (
    isinstance(x, jnp.ndarray) and x.ndim  # On the device.
  ):
    return REALS
  values = np.asarray(x)
  if not values.size or not jnp.issubdtype(values.dtype, np.number):
    return REALS
  low, high = float(values.min()), float(values.max())
  return REALS if math.isnan(low) else (low, high)


def _apart_from_zero(values: Range) -> bool:
  return values[0] > 0 or values[1] < 0


def _even(values: Range, power: int) -> Range:
  low, high = sorted(np.abs(values))
  return (low if _apart_from_zero(values) else 0.0) ** power, high**power


def _power(values: Range, power: int) -> Range:
  if power < 0:
    values, power = _inverse(values), -power
  if power % 2 == 0:
    return _even(values, power)
  low, high = np.asarray(values, float) ** power
  return low, high


def _product(first: Range, second: Range) -> Range:
  # A bound at infinity is never reached, so that 0 times it is 0.
  ends = [a * b if a and b else 0.0 for a in first for b in second]
  return min(ends), max(ends)


def _inverse(values: Range) -> Range:
  """That of 1 / x, of a range without 0."""
  low, high = 1 / np.asarray(values, float)
  return high, low
