"""StableHLO: the whole function as a program; JAX runs it without us."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrobust.data import DataError
from jaxrobust.export.errors import ExportError
from jaxrobust.export.function import LogitsFn, example_by_example

PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(
  function: LogitsFn, shape: tuple[int, ...]
) -> tuple[bytes, tuple[str, ...]]:
  """Serialises a function with what it closes over, for any batch size.

  Args:
    function: float32 inputs [N, ...] -> logits [N, K], example by example.
    shape: The shape of one example.

  Returns:
    The bytes, as `jax.export` serialises them, and the platforms, of
    `PLATFORMS`, on which they run.

  Raises:
    ExportError: If the function cannot be lowered for any of them.

  Example:
    >>> import numpy as np
    >>> payload, platforms = to_stablehlo(lambda x: 2 * x, (3,))
    >>> from_stablehlo(payload)(np.ones((2, 3), np.float32)).tolist()
    [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
  """
  (batch,) = jax.export.symbolic_shape("b")
  inputs = jax.ShapeDtypeStruct((batch, *shape), jnp.float32)
  program = jax.jit(example_by_example(function))

  def export(platforms: tuple[str, ...]) -> Any:
    return jax.export.export(program, platforms=platforms)(inputs)

  try:
    return bytes(export(PLATFORMS).serialize()), PLATFORMS
  except Exception as error:
    # What a platform cannot do says so in many types; another may be able to.
    reason = error
  able = []
  for platform in PLATFORMS:
    try:
      export((platform,))
      able.append(platform)
    except Exception as error:
      reason = error
  if not able:
    raise ExportError(
      f"stablehlo: the run cannot be lowered: {_first_line(reason)}"
    ) from reason
  return bytes(export(tuple(able)).serialize()), tuple(able)


def from_stablehlo(payload: bytes) -> LogitsFn:
  """The function that `to_stablehlo` serialised.

  Args:
    payload: The bytes.

  Returns:
    float32 inputs [N, ...] -> logits [N, K].

  Raises:
    DataError: If the bytes are no such program, or not for this machine.
  """
  try:
    exported = jax.export.deserialize(bytearray(payload))
  except Exception as error:
    # The reader of the container raises many types.
    raise DataError(f"no StableHLO program: {_first_line(error)}") from error
  platform = jax.default_backend()
  names = {"gpu": ("cuda", "rocm")}.get(platform, (platform,))
  if not set(names) & set(exported.platforms):
    raise DataError(
      f"a StableHLO program for {', '.join(exported.platforms)}; this machine "
      f"is {platform}"
    )
  return jax.jit(exported.call)


def _first_line(error: BaseException) -> str:
  lines = str(error).strip().splitlines() or [type(error).__name__]
  return lines[0][:200]
