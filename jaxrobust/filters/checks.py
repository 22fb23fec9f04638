"""What the arguments of this package must be, said in one line when not."""

from typing import Any

import jax.numpy as jnp
from jax.core import Tracer


def require_images(images: Any) -> None:
  """Raises ValueError unless `images` is [N, H, W, C] of floats.

  Args:
    images: What should be images.

  Raises:
    ValueError: If it has another number of axes, an empty one beside the
      batch, or is not of a float type.
  """
  shape = jnp.shape(images)
  if len(shape) != 4 or 0 in shape[1:]:
    raise ValueError(f"images of shape {shape}: must be [N, H, W, C]")
  if not jnp.issubdtype(jnp.result_type(images), jnp.floating):
    raise ValueError(
      f"images of type {jnp.result_type(images)}: must be floats, in [0, 1]"
    )


def require(value: Any, name: str, allowed: str, holds: bool) -> None:
  """Raises ValueError unless a condition holds.

  Args:
    value: What the message shows.
    name: What the message calls it.
    allowed: What it must be, in words.
    holds: Whether it is.

  Raises:
    ValueError: If it is not.
  """
  if not holds:
    raise ValueError(f"{name}={value}: must {allowed}")


def is_traced(value: Any) -> bool:
  """Whether a value is not known before the computation runs."""
  return isinstance(value, Tracer)
