"""What every kind of additive noise does: when, how much, on whom, clipped."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrobust import data
from jaxrobust.methods.context import InputFn
from jaxrobust.methods.schedule import FactorFn

# Noise of one example's shape: (keys, draw, inputs) -> float32 [N, ...].
NoiseFn = Callable[[jax.Array, data.Draw, jax.Array], jax.Array]

RESAMPLE = ("epoch", "once")


def additive(
  noise: NoiseFn,
  shape: tuple[int, ...],
  *,
  clip: bool | None,
  max_abs: float | None,
  resample: str,
  p_noisy: float,
  factor: FactorFn | None,
) -> InputFn:
  """Makes an input of noise, with the options that every kind shares.

  Args:
    noise: Draws the noise of a batch.
    shape: The shape of one example.
    clip: Whether to clip to [0, 1]; None for images only.
    max_abs: The largest |x~| that is fed, larger ones are set to it; None for
      no bound.
    resample: "epoch" or "once".
    p_noisy: The probability that an example is corrupted.
    factor: What multiplies the noise as training goes on; None for nothing.

  Returns:
    The input function.

  Raises:
    ValueError: If `max_abs`, `resample` or `p_noisy` is out of range.
  """
  if resample not in RESAMPLE:
    raise ValueError(f"resample={resample!r}: must be one of {RESAMPLE}")
  if not 0 <= p_noisy <= 1:
    raise ValueError(f"p_noisy={p_noisy}: must lie in [0, 1]")
  clips = len(shape) == 3 if clip is None else clip
  if max_abs is not None and (clips or not 0 < max_abs < float("inf")):
    raise ValueError(
      f"max_abs={max_abs}: must be a finite number > 0, for inputs that are "
      "not clipped to [0, 1]"
    )
  once = resample == "once"

  def corrupt(batch, context):
    draw, inputs = context.draw, batch["inputs"]
    added = noise(draw(data.Tag.INPUT, once=once), draw, inputs)
    if factor is not None:
      # A draw that overflowed is the largest number: 0 * inf would be NaN.
      largest = jnp.finfo(added.dtype).max
      added = jax.lax.clamp(-largest, added, largest)
      added = factor(context.progress) * added
    noisy = inputs + added
    if clips:
      # Not jnp.clip, whose gradient multiplies by zero where it saturates.
      noisy = jax.lax.clamp(0.0, noisy, 1.0)
    elif max_abs is not None:
      noisy = jax.lax.clamp(-max_abs, noisy, max_abs)
    if p_noisy < 1:
      keys = draw(data.Tag.COIN, once=once)
      coin = jax.vmap(jax.random.uniform)(keys) < p_noisy
      # A selection, not a product with the coin: 0 * inf would be NaN.
      coin = coin.reshape((-1,) + (1,) * (inputs.ndim - 1))
      noisy = jnp.where(coin, noisy, inputs)
    return {**batch, "inputs": noisy}

  return corrupt
