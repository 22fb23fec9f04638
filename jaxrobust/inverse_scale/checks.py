"""What the arguments of this package must be, said in one line when not."""

import math
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def require_images(images: Any, name: str = "images") -> None:
  """Raises ValueError unless `images` is [N, H, W, C] or [N, T, C] of floats.

  Args:
    images: What should be images or series.
    name: What the message calls them.

  Raises:
    ValueError: If it has another number of axes, an empty one beside the
      batch, or is not of a float type.
  """
  shape = jnp.shape(images)
  if len(shape) not in (3, 4) or 0 in shape[1:]:
    raise ValueError(
      f"{name} of shape {shape}: must be [N, H, W, C] or, for series, [N, T, C]"
    )
  if not jnp.issubdtype(jnp.result_type(images), jnp.floating):
    raise ValueError(
      f"{name} of type {jnp.result_type(images)}: must be floats, in [0, 1]"
    )


def require_edges(edges: Any, name: str) -> None:
  """Raises ValueError unless `edges` is [N, d, H, W, C] or [N, 1, T, C].

  Args:
    edges: What should hold one value per edge or per group of edges.
    name: What the message calls them.

  Raises:
    ValueError: If it has another shape.
  """
  shape = jnp.shape(edges)
  if len(shape) not in (4, 5) or shape[1] not in (1, len(shape) - 3):
    raise ValueError(
      f"{name} of shape {shape}: must be [N, 2, H, W, C], [N, 1, H, W, C] for "
      "edges grouped by pixel, or [N, 1, T, C]"
    )


def require_fraction(value: Any, name: str = "fraction") -> None:
  """Raises ValueError unless all known numbers lie in [0, 1].

  Args:
    value: Numbers, or traced arrays, which pass.
    name: What the message calls them.

  Raises:
    ValueError: If one of them does not.
  """
  if not isinstance(value, Tracer):
    numbers = np.asarray(value)
    if not ((numbers >= 0) & (numbers <= 1)).all():
      raise ValueError(f"{name}={value}: must lie in [0, 1]")


def require_positive(value: Any, name: str) -> None:
  """Raises ValueError unless a known number is positive and finite.

  Args:
    value: A number, or a traced array, which passes.
    name: What the message calls it.

  Raises:
    ValueError: If it is not.
  """
  if not isinstance(value, Tracer) and not 0 < value < math.inf:
    raise ValueError(f"{name}={value}: must be positive and finite")


def require_whole(value: Any, name: str, least: int = 1) -> None:
  """Raises ValueError unless a known number is whole and large enough.

  Args:
    value: A number, or a traced array, which passes.
    name: What the message calls it.
    least: The smallest that is allowed.

  Raises:
    ValueError: If it is not.
  """
  if isinstance(value, Tracer):
    return
  if value != int(value) or value < least:
    raise ValueError(f"{name}={value}: must be a whole number >= {least}")


def require_one_of(value: str, name: str, allowed: Iterable[str]) -> None:
  """Raises ValueError unless an option is one of those that there are.

  Args:
    value: The option.
    name: What the message calls it.
    allowed: The options that there are.

  Raises:
    ValueError: If it is none of them.
  """
  if value not in allowed:
    raise ValueError(f"{name}={value!r}: must be one of {', '.join(allowed)}")
