"""Additive noise as an input: Gaussian and alpha-stable."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrobust import alpha_stable as stable
from jaxrobust import data
from jaxrobust.methods.context import Context, InputFn

# Noise of one example's shape: (keys, draw, inputs) -> float32 [N, ...].
NoiseFn = Callable[[jax.Array, data.Draw, jax.Array], jax.Array]

RESAMPLE = ("epoch", "once")


def gaussian(
  shape: tuple[int, ...],
  *,
  std: float,
  clip: bool | None = None,
  resample: str = "epoch",
  p_noisy: float = 1.0,
) -> InputFn:
  """Adds independent Gaussian noise to every element.

    x~ = clip(x + std e),  e ~ N(0, 1)

  Args:
    shape: The shape of one example.
    std: Standard deviation, in units of the input; >= 0.
    clip: Whether to clip to [0, 1]; by default images are and series are not.
    resample: "epoch" draws anew each time an example is seen, "once" keeps
      each example's first draw.
    p_noisy: The probability that an example is corrupted, in [0, 1].

  Returns:
    The input function.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
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

  return _noisy_input(noise, shape, clip, resample, p_noisy)


def alpha_stable(
  shape: tuple[int, ...],
  *,
  alpha: float | None = None,
  alphas: tuple[float, ...] = (),
  beta: float = 0.0,
  scale: float | None = None,
  dispersion: float | None = None,
  std: float | None = None,
  flip_rate: float | None = None,
  geometric_power: float | None = None,
  gamma: float | None = None,
  parameterization: stable.Parameterization = "S0",
  clip: bool | None = None,
  resample: str = "epoch",
  p_noisy: float = 1.0,
) -> InputFn:
  """Adds independent alpha-stable noise to every element.

    x~ = clip(x + c X),  E exp(itX) = exp(-|t|^alpha) for beta = 0

  The strength is given in exactly one way; with several `alphas` the same
  strength is converted for each tail index, so that they are matched.

  Args:
    shape: The shape of one example.
    alpha: Tail index, in (0, 2]; 1 is Cauchy, 2 is Gaussian.
    alphas: Instead of `alpha`: each example draws its tail index from this
      list.
    beta: Skewness, in [-1, 1].
    scale: The scale c of the law.
    dispersion: c**alpha, the gamma of the signal-processing literature.
    std: Standard deviation; only for alpha = 2.
    flip_rate: P(|noise| > 0.5) of the symmetric law, in (0, 1).
    geometric_power: exp(E log|noise|) of the symmetric law.
    gamma: Refused: papers mean either the scale or the dispersion by it.
    parameterization: "S0" (continuous in alpha) or "S1".
    clip: As for `gaussian`.
    resample: As for `gaussian`.
    p_noisy: As for `gaussian`.

  Returns:
    The input function.

  Raises:
    ValueError: If a parameter is out of range, missing or ambiguous.

  Example:
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
  if gamma is not None:
    raise ValueError(
      f"gamma={gamma}: ambiguous; give scale (c) or dispersion (c**alpha)"
    )
  if (alpha is None) == (not alphas):
    raise ValueError(
      f"alpha={alpha}, alphas={tuple(alphas)}: give exactly one of the two"
    )
  strengths = {
    "scale": scale,
    "dispersion": dispersion,
    "std": std,
    "flip_rate": flip_rate,
    "geometric_power": geometric_power,
  }
  given = {k: v for k, v in strengths.items() if v is not None}
  if len(given) != 1:
    raise ValueError(
      f"strength given by {sorted(given) or 'nothing'}: give exactly one of "
      f"{', '.join(strengths)}"
    )
  ((kind, strength),) = given.items()
  if kind in ("flip_rate", "geometric_power") and beta != 0:
    raise ValueError(
      f"{kind}={strength} with beta={beta}: defined for beta=0 only; use scale"
    )
  indices = (alpha,) if alpha is not None else alphas
  laws = [
    stable.AlphaStable(
      float(index),
      float(beta),
      _scale(kind, index, strength),
      parameterization=parameterization,
    )
    for index in indices
  ]

  def noise(keys, draw, inputs):
    each = inputs.shape[1:]
    if len(laws) == 1:
      return jax.vmap(lambda key: laws[0].sample(key, each))(keys)
    choice = jax.vmap(lambda key: jax.random.randint(key, (), 0, len(laws)))(
      draw(data.Tag.CHOICE, once=resample == "once")
    )

    def sample(key, alpha, scale):
      law = stable.AlphaStable(
        alpha, beta, scale, parameterization=parameterization
      )
      return law.sample(key, each)

    return jax.vmap(sample)(
      keys,
      jnp.asarray([law.alpha for law in laws])[choice],
      jnp.asarray([law.scale for law in laws])[choice],
    )

  return _noisy_input(noise, shape, clip, resample, p_noisy)


def _scale(kind: str, alpha: float, strength: float) -> float:
  """The scale of one tail index, as a number known before tracing."""
  if kind == "scale":
    return float(strength)
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


def _noisy_input(
  noise: NoiseFn,
  shape: tuple[int, ...],
  clip: bool | None,
  resample: str,
  p_noisy: float,
) -> InputFn:
  """Additive noise with the options that every kind of noise shares."""
  if resample not in RESAMPLE:
    raise ValueError(f"resample={resample!r}: must be one of {RESAMPLE}")
  if not 0 <= p_noisy <= 1:
    raise ValueError(f"p_noisy={p_noisy}: must lie in [0, 1]")
  clips = len(shape) == 3 if clip is None else clip
  once = resample == "once"

  def corrupt(batch, context):
    draw, inputs = context.draw, batch["inputs"]
    noisy = inputs + noise(draw(data.Tag.INPUT, once=once), draw, inputs)
    if clips:
      noisy = jnp.clip(noisy, 0.0, 1.0)
    if p_noisy < 1:
      keys = draw(data.Tag.COIN, once=once)
      coin = jax.vmap(jax.random.uniform)(keys) < p_noisy
      # A selection, not a product with the coin: 0 * inf would be NaN.
      coin = coin.reshape((-1,) + (1,) * (inputs.ndim - 1))
      noisy = jnp.where(coin, noisy, inputs)
    return {**batch, "inputs": noisy}

  return corrupt
