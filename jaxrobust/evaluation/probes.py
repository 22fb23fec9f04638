"""Many noisy copies of a batch, evaluated as one batch."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer


def normal(keys: jax.Array, inputs: jax.Array, count: int) -> jax.Array:
  """Standard normal noise in the shape of a batch, several times.

  Args:
    keys: [N] typed keys, one per example: with a key of its own, what an
      example gets does not depend on the batch it is in.
    inputs: [N, ...].
    count: How many.

  Returns:
    float32 [count, N, ...].

  Raises:
    ValueError: If there is not one key per example.

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> normal(keys, jnp.zeros((3, 4, 4, 1)), count=5).shape
    (5, 3, 4, 4, 1)
  """
  if keys.shape != (len(inputs),):
    raise ValueError(
      f"keys of shape {keys.shape}: must be [{len(inputs)}], one per example"
    )
  shape = (count, *inputs.shape[1:])
  drawn = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
  return drawn.swapaxes(0, 1)


def on_all(
  function: Callable[..., Any], *whole: jax.Array
) -> Callable[[jax.Array], Any]:
  """Makes a function of a batch [N, ...] one of many of it, [P, N, ...].

  Args:
    function: From a batch and `whole` to arrays [N, ...].
    *whole: Arrays [N, ...], the same for each of the P.

  Returns:
    From [P, N, ...] to arrays [P, N, ...], by one call with a batch of P N.

  Example:
    >>> add = on_all(jnp.add, jnp.asarray([1, 2]))
    >>> add(jnp.asarray([[10, 20], [30, 40]])).tolist()
    [[11, 22], [31, 42]]
  """

  def mapped(batches):
    times, count = batches.shape[:2]
    flat = batches.reshape((times * count, *batches.shape[2:]))
    tiled = [jnp.tile(x, (times, *[1] * (x.ndim - 1))) for x in whole]
    return jax.tree.map(
      lambda x: x.reshape((times, count, *x.shape[1:])), function(flat, *tiled)
    )

  return mapped


def require_positive(**values: float | jax.Array) -> None:
  """Refuses numbers that are not positive and finite.

  Args:
    **values: By name; the numbers of a trace are let through.

  Raises:
    ValueError: Naming the first, its value and what is allowed.

  Example:
    >>> require_positive(h=0.0)
    Traceback (most recent call last):
    ...
    ValueError: h=0.0: must be a finite number > 0
  """
  for name, value in values.items():
    if not isinstance(value, Tracer) and not 0 < value < math.inf:
      raise ValueError(f"{name}={value}: must be a finite number > 0")


def require_at_least(least: int, **values: int) -> None:
  """Refuses numbers that are too small.

  Args:
    least: The smallest that is allowed.
    **values: By name.

  Raises:
    ValueError: Naming the first, its value and what is allowed.

  Example:
    >>> require_at_least(1, probes=0)
    Traceback (most recent call last):
    ...
    ValueError: probes=0: must be at least 1
  """
  for name, value in values.items():
    if value < least:
      raise ValueError(f"{name}={value}: must be at least {least}")
