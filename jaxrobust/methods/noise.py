"""Additive noise as an input: Gaussian and alpha-stable."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxrobust import alpha_stable as stable
from jaxrobust import data
from jaxrobust.methods.additive import additive
from jaxrobust.methods.context import InputFn
from jaxrobust.methods.schedule import strength_schedule
from jaxrobust.methods.strength import matched_scales, number

# The axes of an example along which an impulse is shared, by its rank.
SHARE = {
  2: {"element": (), "example": (0, 1), "time": (1,), "variate": (0,)},
  3: {
    "element": (),
    "example": (0, 1, 2),
    "row": (1, 2),
    "column": (0, 2),
    "channel": (0, 1),
  },
}


def gaussian(
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
  """Adds independent Gaussian noise to every element.

    x~ = clip(x + std e),  e ~ N(0, 1)

  Args:
    shape: The shape of one example.
    std: Standard deviation, in units of the input; >= 0.
    clip: Whether to clip to [0, 1]; by default images are and series are not.
    max_abs: Winsorises noisy series to [-max_abs, max_abs], in units of the
      input: one impulse of 1e5 ruins the batch statistics of a BatchNorm. By
      default, as in the paper, nothing bounds them.
    resample: "epoch" draws anew each time an example is seen, "once" keeps
      each example's first draw.
    p_noisy: The probability that an example is corrupted, in [0, 1].
    schedule: How a factor of the noise, and so of its scale, runs over the
      training: "constant", "linear" or "cosine". With resample="once" the
      noise of an example is the same but for the factor.
    schedule_from: The factor at the first step, >= 0; by default 0.
    schedule_to: The factor after the last step, >= 0; by default 1. Less than
      `schedule_from` for noise that fades.

  Returns:
    The input function.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> from jaxrobust.methods.context import Context
    >>> draw = data.Draw(jax.random.key(0), jnp.arange(2), jnp.asarray(0))
    >>> corrupt = gaussian((8, 8, 1), std=0.1)
    >>> batch = {"inputs": jnp.zeros((2, 8, 8, 1))}
    >>> corrupt(batch, Context(draw))["inputs"].shape
    (2, 8, 8, 1)
  """
  if not 0 <= std < float("inf"):
    raise ValueError(f"std={std}: must be a finite number >= 0")

  def noise(keys, draw, inputs):
    del draw
    unit = jax.vmap(lambda key: jax.random.normal(key, inputs.shape[1:]))(keys)
    return std * unit

  return additive(
    noise,
    shape,
    clip=clip,
    max_abs=max_abs,
    resample=resample,
    p_noisy=p_noisy,
    factor=strength_schedule(schedule, schedule_from, schedule_to),
  )


def alpha_stable(
  shape: tuple[int, ...],
  *,
  alpha: float | None = None,
  alphas: tuple[float, ...] = (),
  alpha_per: str = "example",
  beta: float = 0.0,
  scale: float | None = None,
  scales: tuple[float, ...] = (),
  dispersion: float | None = None,
  std: float | None = None,
  flip_rate: float | None = None,
  geometric_power: float | None = None,
  gamma: float | None = None,
  parameterization: stable.Parameterization = "S0",
  share: str = "element",
  clip: bool | None = None,
  max_abs: float | None = None,
  resample: str = "epoch",
  p_noisy: float = 1.0,
  schedule: str = "constant",
  schedule_from: float | None = None,
  schedule_to: float | None = None,
) -> InputFn:
  """Adds alpha-stable noise to every element.

    x~ = clip(x + c X),  E exp(itX) = exp(-|t|^alpha) for beta = 0

  The strength is given in exactly one way. With several `alphas` a flip rate
  or a geometric power is converted for each tail index, so that they are
  matched. One `scale` for all is not: at equal c, impulses beyond the range of
  an image are the more frequent the smaller the tail index. `scales` gives
  each its own.

  With `share`, elements have the same law but are hit together: one random
  factor multiplies Gaussian noise in the whole block (see
  `alpha_stable.sample_isotropic`). Of images, a block is the "example", a
  "row" (all pixels and channels of one image row), a "column", or a "channel"
  (all pixels of one colour); of series, the "example", a "time" step (all its
  variates) or a "variate" (all time steps of it).

  Args:
    shape: The shape of one example.
    alpha: Tail index, in (0, 2]; 1 is Cauchy, 2 is Gaussian. It and `scale`
      may be traced, where the input is built inside a traced function.
    alphas: Instead of `alpha`: the tail index is drawn from this list.
    alpha_per: "example": each example draws its own tail index; "batch": all
      examples of a step have the same, drawn anew at each step.
    beta: Skewness, in [-1, 1].
    scale: The scale c of the law, of all laws alike with `alphas`.
    scales: The scale of each law, as many as `alphas`.
    dispersion: c**alpha, the gamma of the signal-processing literature.
    std: Standard deviation; only for alpha = 2.
    flip_rate: P(|noise| > 0.5) of the symmetric law, in (0, 1).
    geometric_power: exp(E log|noise|) of the symmetric law.
    gamma: Refused: papers mean either the scale or the dispersion by it.
    parameterization: "S0" (continuous in alpha) or "S1".
    share: What shares an impulse, as above; "element" for independent noise.
      Only for beta = 0.
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
    ValueError: If a parameter is out of range, missing or ambiguous.

  Example:
    >>> from jaxrobust.methods.context import Context
    >>> draw = data.Draw(jax.random.key(0), jnp.arange(2), jnp.asarray(0))
    >>> corrupt = alpha_stable((8, 8, 1), alpha=1.0, flip_rate=0.126)
    >>> batch = {"inputs": jnp.zeros((2, 8, 8, 1))}
    >>> noisy = corrupt(batch, Context(draw))["inputs"]
    >>> bool((noisy >= 0).all() and (noisy <= 1).all())
    True

  References:
    Yuan, Li and Kuruoglu, `Robustness Enhancement in Neural Networks with
    Alpha-Stable Training Noise <https://arxiv.org/abs/2311.10803>`_, 2023.
  """
  if (alpha is None) == (not alphas):
    raise ValueError(
      f"alpha={alpha}, alphas={tuple(alphas)}: give exactly one of the two"
    )
  indices = (alpha,) if alpha is not None else alphas
  strengths = {
    "scale": scale,
    "scales": tuple(scales) or None,
    "dispersion": dispersion,
    "std": std,
    "flip_rate": flip_rate,
    "geometric_power": geometric_power,
  }
  laws = [
    stable.AlphaStable(
      number(index), float(beta), c, parameterization=parameterization
    )
    for index, c in zip(
      indices, matched_scales(indices, strengths, gamma, beta), strict=True
    )
  ]
  if alpha_per not in ("example", "batch"):
    raise ValueError(f"alpha_per={alpha_per!r}: must be 'example' or 'batch'")
  if alpha_per == "batch" and not alphas:
    raise ValueError("alpha_per='batch': needs alphas to draw from")
  if alpha_per == "batch" and resample == "once":
    raise ValueError(
      "alpha_per='batch' with resample='once': a batch has no noise to keep; "
      "must be 'example'"
    )
  shared_axes = _shared_axes(share, shape)
  if shared_axes and beta != 0:
    raise ValueError(f"share={share!r} with beta={beta}: only for beta=0")

  def sample(key, law, each):
    if shared_axes:
      return law.sample_isotropic(key, each, shared_axes)
    return law.sample(key, each)

  def noise(keys, draw, inputs):
    each = inputs.shape[1:]
    if len(laws) == 1:
      return jax.vmap(lambda key: sample(key, laws[0], each))(keys)
    if alpha_per == "batch":
      # The same on every device: keyed by the step alone.
      draw = dataclasses.replace(draw, index=jnp.zeros_like(draw.index))
    choice = jax.vmap(lambda key: jax.random.randint(key, (), 0, len(laws)))(
      draw(data.Tag.CHOICE, once=resample == "once")
    )

    def sample_law(key, alpha, scale):
      law = stable.AlphaStable(
        alpha, float(beta), scale, parameterization=parameterization
      )
      return sample(key, law, each)

    return jax.vmap(sample_law)(
      keys,
      jnp.asarray([law.alpha for law in laws])[choice],
      jnp.asarray([law.scale for law in laws])[choice],
    )

  return additive(
    noise,
    shape,
    clip=clip,
    max_abs=max_abs,
    resample=resample,
    p_noisy=p_noisy,
    factor=strength_schedule(schedule, schedule_from, schedule_to),
  )


def _shared_axes(share: str, shape: tuple[int, ...]) -> tuple[int, ...]:
  """The axes of an example along which one impulse is shared."""
  allowed = SHARE.get(len(shape), {"element": ()})
  if share not in allowed:
    kind = "images" if len(shape) == 3 else "series"
    raise ValueError(
      f"share={share!r}: must be one of {', '.join(allowed)} for {kind} of "
      f"shape {shape}"
    )
  return allowed[share]
