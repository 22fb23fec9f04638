"""The strength of training noise as an argument of the compiled step.

A config's strength is a constant of the step. Here the step takes the tail
index and the scale as arrays instead, so that one compiled program serves
every strength, and a loss can be differentiated with respect to them.
"""

import dataclasses
from typing import Any

import jax
import ml_collections

from jaxrobust.methods import noise
from jaxrobust.methods.method import chosen, parameters
from jaxrobust.methods.strength import matched_scales
from jaxrobust.training.assembly import Assembly
from jaxrobust.training.step import TrainStep

# The fields of `config.method.input` that give the law, in one way or another.
STRENGTHS = ("scale", "dispersion", "std", "flip_rate", "geometric_power")
LAW = ("alpha", *STRENGTHS)


def has_one_law(config: ml_collections.ConfigDict) -> bool:
  """Whether the training noise is alpha-stable with one tail index."""
  section = config.method.input
  return section.name == "alpha_stable" and section.alpha is not None


def law_of(config: ml_collections.ConfigDict) -> tuple[float, float]:
  """The tail index and the scale of a config's training noise.

  Args:
    config: One for which `has_one_law` holds.

  Returns:
    alpha and c.

  Raises:
    ValueError: If the strength is missing or ambiguous.

  Example:
    >>> from jaxrobust import methods
    >>> from jaxrobust.training.config import default_config
    >>> config = default_config()
    >>> config.method = methods.preset("alpha_stable")
    >>> config.method.input.alpha, config.method.input.flip_rate = 1.0, 0.5
    >>> alpha, scale = law_of(config)
    >>> alpha, round(scale, 4)
    (1.0, 0.5)
  """
  section = config.method.input
  (scale,) = matched_scales(
    [section.alpha],
    {name: section[name] for name in STRENGTHS},
    beta=section.beta or 0.0,
  )
  return float(section.alpha), scale


def train_step(
  parts: Assembly, alpha: jax.Array | float, scale: jax.Array
) -> TrainStep:
  """The step of a training at another tail index and scale of its noise.

  To be called where the step is traced:

    def step(state, batch, resident, law):
      return train_step(parts, *law)(state, batch, resident)

  Args:
    parts: A training whose noise has one law.
    alpha: Tail index, float32 [], perhaps traced.
    scale: Scale, float32 [], perhaps traced; gradients flow to both.

  Returns:
    The step, with all else as in the config.
  """
  field = "config.method.input"
  given = chosen(
    parts.config.method.input, parameters(noise.alpha_stable), field
  )
  rest = {name: value for name, value in given.items() if name not in LAW}
  shape = tuple(parts.config.data.shape)
  law: dict[str, Any] = {"alpha": alpha, "scale": scale}
  corrupt = noise.alpha_stable(shape, **law, **rest)
  return parts.train_step(dataclasses.replace(parts.method, input=corrupt))
