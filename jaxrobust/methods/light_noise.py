"""Additive noise with light tails as an input: uniform and Laplace."""

import math
from collections.abc import Callable

import jax

from jaxrobust.methods.additive import additive
from jaxrobust.methods.context import InputFn
from jaxrobust.methods.schedule import strength_schedule


def uniform(
  shape: tuple[int, ...],
  *,
  eps: float,
  clip: bool | None = None,
  max_abs: float | None = None,
  resample: str = "epoch",
  p_noisy: float = 1.0,
  schedule: str = "constant",
  schedule_from: float | None = None,
  schedule_to: float | None = None,
) -> InputFn:
  """Adds independent uniform noise to every element.

    x~ = clip(x + eps u),  u ~ U(-1, 1)

  Its standard deviation is eps / sqrt(3).

  Args:
    shape: The shape of one example.
    eps: The largest change, in units of the input; >= 0.
    clip: As for `gaussian`.
    max_abs: As for `gaussian`.
    resample: As for `gaussian`.
    p_noisy: As for `gaussian`.
    schedule: As for `gaussian`.
    schedule_from: As for `gaussian`.
    schedule_to: As for `gaussian`.

  Returns:
    The input function.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import data
    >>> from jaxrobust.methods.context import Context
    >>> draw = data.Draw(jax.random.key(0), jnp.arange(2), jnp.asarray(0))
    >>> corrupt = uniform((8, 8, 1), eps=0.1)
    >>> noisy = corrupt({"inputs": jnp.zeros((2, 8, 8, 1))}, Context(draw))
    >>> bool((noisy["inputs"] <= 0.1).all())
    True
  """

  def unit(key, each):
    return jax.random.uniform(key, each, minval=-1.0, maxval=1.0)

  return additive(
    _scaled("eps", eps, unit),
    shape,
    clip=clip,
    max_abs=max_abs,
    resample=resample,
    p_noisy=p_noisy,
    factor=strength_schedule(schedule, schedule_from, schedule_to),
  )


def laplace(
  shape: tuple[int, ...],
  *,
  std: float,
  clip: bool | None = None,
  max_abs: float | None = None,
  resample: str = "epoch",
  p_noisy: float = 1.0,
  schedule: str = "constant",
  schedule_from: float | None = None,
  schedule_to: float | None = None,
) -> InputFn:
  """Adds independent Laplace noise to every element.

    x~ = clip(x + b e),  e with density exp(-|e|) / 2,  b = std / sqrt(2)

  Args:
    shape: The shape of one example.
    std: Standard deviation, in units of the input; >= 0.
    clip: As for `gaussian`.
    max_abs: As for `gaussian`.
    resample: As for `gaussian`.
    p_noisy: As for `gaussian`.
    schedule: As for `gaussian`.
    schedule_from: As for `gaussian`.
    schedule_to: As for `gaussian`.

  Returns:
    The input function.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import data
    >>> from jaxrobust.methods.context import Context
    >>> draw = data.Draw(jax.random.key(0), jnp.arange(2), jnp.asarray(0))
    >>> corrupt = laplace((8, 8, 1), std=0.1)
    >>> corrupt({"inputs": jnp.zeros((2, 8, 8, 1))}, Context(draw)).keys()
    dict_keys(['inputs'])
  """

  def unit(key, each):
    return jax.random.laplace(key, each) / math.sqrt(2.0)

  return additive(
    _scaled("std", std, unit),
    shape,
    clip=clip,
    max_abs=max_abs,
    resample=resample,
    p_noisy=p_noisy,
    factor=strength_schedule(schedule, schedule_from, schedule_to),
  )


def _scaled(
  name: str,
  strength: float,
  unit: Callable[[jax.Array, tuple[int, ...]], jax.Array],
) -> Callable[..., jax.Array]:
  """Noise of one law times its strength, as `additive` takes it."""
  if not 0 <= strength < float("inf"):
    raise ValueError(f"{name}={strength}: must be a finite number >= 0")

  def noise(keys, draw, inputs):
    del draw
    each = inputs.shape[1:]
    return strength * jax.vmap(lambda key: unit(key, each))(keys)

  return noise
