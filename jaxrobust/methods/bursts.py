"""Noise in bursts as an input for time series."""

import jax

from jaxrobust import alpha_stable as stable
from jaxrobust.alpha_stable.bursts import require_bursts
from jaxrobust.methods.additive import additive
from jaxrobust.methods.context import InputFn
from jaxrobust.methods.schedule import strength_schedule
from jaxrobust.methods.strength import matched_scales


def burst(
  shape: tuple[int, ...],
  *,
  alpha: float,
  share_of_time: float,
  mean_length: float,
  scale: float | None = None,
  dispersion: float | None = None,
  std: float | None = None,
  flip_rate: float | None = None,
  geometric_power: float | None = None,
  gamma: float | None = None,
  clip: bool | None = None,
  max_abs: float | None = None,
  resample: str = "epoch",
  p_noisy: float = 1.0,
  schedule: str = "constant",
  schedule_from: float | None = None,
  schedule_to: float | None = None,
) -> InputFn:
  """Adds symmetric alpha-stable noise to a series, in bursts.

    x~[t] = x[t] + on[t] c X[t],  E exp(itX) = exp(-|t|^alpha)

  The chain `on` is `alpha_stable.burst_mask`: all variates of a series burst
  together, each series at times of its own. The strength is that inside the
  bursts, given in exactly one way.

  Args:
    shape: The shape of one series, (time, variates).
    alpha: Tail index, in (0, 2]; 2 is Gaussian.
    share_of_time: The share of time steps that lie in bursts, in [0, 1], and
      if not 1 at most L/(L+1) for bursts of mean length L.
    mean_length: The mean length of a burst in time steps, >= 1.
    scale: The scale c of the law.
    dispersion: c**alpha, the gamma of the signal-processing literature.
    std: Standard deviation; only for alpha = 2.
    flip_rate: P(|noise| > 0.5) inside a burst, in (0, 1).
    geometric_power: exp(E log|noise|) inside a burst.
    gamma: Refused: papers mean either the scale or the dispersion by it.
    clip: Whether to clip to [0, 1]; by default not.
    max_abs: As for `gaussian`.
    resample: As for `gaussian`.
    p_noisy: As for `gaussian`.
    schedule: As for `gaussian`.
    schedule_from: As for `gaussian`.
    schedule_to: As for `gaussian`.

  Returns:
    The input function.

  Raises:
    ValueError: If the examples are no series, or a parameter is out of range,
      missing or ambiguous.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust import data
    >>> from jaxrobust.methods.context import Context
    >>> draw = data.Draw(jax.random.key(0), jnp.arange(2), jnp.asarray(0))
    >>> corrupt = burst(
    ...   (96, 1), alpha=1.0, flip_rate=0.3, share_of_time=0.2, mean_length=8.0
    ... )
    >>> noisy = corrupt({"inputs": jnp.zeros((2, 96, 1))}, Context(draw))
    >>> bool((noisy["inputs"] == 0).any())
    True
  """
  if len(shape) != 2:
    raise ValueError(
      f"bursts of shape {shape}: only for series, (time, variates)"
    )
  strengths = {
    "scale": scale,
    "dispersion": dispersion,
    "std": std,
    "flip_rate": flip_rate,
    "geometric_power": geometric_power,
  }
  (c,) = matched_scales((alpha,), strengths, gamma)
  law = stable.AlphaStable(float(alpha), scale=c)
  require_bursts(share_of_time, mean_length)

  def noise(keys, draw, inputs):
    del draw

    def sample(key):
      return stable.sample_bursts(
        key,
        law.alpha,
        law.scale,
        share_of_time,
        mean_length,
        shape=inputs.shape[1:],
      )

    return jax.vmap(sample)(keys)

  return additive(
    noise,
    shape,
    clip=clip,
    max_abs=max_abs,
    resample=resample,
    p_noisy=p_noisy,
    factor=strength_schedule(schedule, schedule_from, schedule_to),
  )
