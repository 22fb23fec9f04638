"""Test noises as data: one compiled program serves the whole grid.

A perturbation is the tail index and the scale of a symmetric alpha-stable
noise, traced, not compiled in: Gaussian noise is alpha = 2 and no noise is
scale 0.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrobust import alpha_stable as stable
from jaxrobust import data
from jaxrobust.methods.forwards import ForwardFn


@dataclasses.dataclass(frozen=True)
class Perturbation:
  """One cell of the grid.

  Attributes:
    name: "clean", "gaussian" or "alpha_stable(alpha=A)".
    strength: The standard deviation of "gaussian", the flip rate of
      "alpha_stable"; 0 for "clean".
    alpha: Tail index of the noise.
    scale: Its scale.
  """

  name: str
  strength: float
  alpha: float
  scale: float


CLEAN = Perturbation("clean", 0.0, 2.0, 0.0)


def grid(
  gaussian_stds: Sequence[float],
  alphas: Sequence[float],
  flip_rates: Sequence[float],
) -> list[Perturbation]:
  """The test noises: clean, gaussian(std), alpha_stable(alpha, flip rate).

  Args:
    gaussian_stds: Standard deviations, in units of the input.
    alphas: Tail indices.
    flip_rates: P(|noise| > 0.5), by which the strengths of different tail
      indices are matched.

  Returns:
    The perturbations, clean first.

  Example:
    >>> [p.name for p in grid([0.1], [1.0], [0.126])]
    ['clean', 'gaussian', 'alpha_stable(alpha=1.0)']
  """
  cells = [CLEAN]
  for std in gaussian_stds:
    cells.append(Perturbation("gaussian", std, 2.0, std / math.sqrt(2.0)))
  for alpha in alphas:
    for rate in flip_rates:
      scale = float(stable.scale_from_flip_rate(alpha, rate))
      name = f"alpha_stable(alpha={float(alpha)})"
      cells.append(Perturbation(name, rate, float(alpha), scale))
  return cells


def make_predict_step(
  model: nn.Module, forward: ForwardFn, is_image: bool
) -> Callable[..., dict[str, jax.Array]]:
  """Builds the per-device function that judges a batch under one noise.

  Args:
    model: The model.
    forward: How it is evaluated.
    is_image: Whether noisy inputs are clipped to [0, 1].

  Returns:
    A function of (variables, batch, key, tag, noise) with noise the pair
    (alpha, scale) as an array; it returns, per example, `nll` (nats),
    `confidence` (the largest probability) and `hits`. An example's noise
    depends on (key, tag, index) alone.
  """

  def predict_step(variables, batch, key, tag, noise):
    inputs = data.as_float(batch["inputs"])
    alpha, scale = noise[0], noise[1]
    keys = data.example_keys(key, tag, batch["index"])
    unit = jax.vmap(lambda k: stable.sample(k, alpha, shape=inputs.shape[1:]))(
      keys
    )
    noisy = inputs + scale * unit
    noisy = jnp.clip(noisy, 0.0, 1.0) if is_image else noisy
    outputs, _ = forward(model, variables, noisy, batch["mask"], False)
    return judge(outputs.logits, batch["labels"])

  return predict_step


def judge(logits: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
  """Judges each example: its likelihood, confidence, and right or wrong.

  Logits that are not numbers, as a heavy-tailed input can make them, are a
  wrong answer with no confidence and an infinite negative log-likelihood.

  Args:
    logits: float32 [N, K].
    labels: int32 [N].

  Returns:
    `nll`, the negative log-likelihood of the label in nats, `confidence`, the
    largest probability, and `hits`, bool; [N] each.

  Example:
    >>> judged = judge(jnp.asarray([[0.0, 0.0]]), jnp.asarray([0]))
    >>> round(float(judged["nll"][0]), 4), float(judged["confidence"][0])
    (0.6931, 0.5)
  """
  log_probs = jax.nn.log_softmax(logits)
  picked = jnp.take_along_axis(log_probs, labels[:, None], axis=1)[:, 0]
  broken = jnp.isnan(log_probs).any(axis=1)
  confidence = jnp.exp(jnp.max(log_probs, axis=1))
  return {
    "nll": jnp.where(broken, jnp.inf, -picked),
    "confidence": jnp.where(broken, 0.0, confidence),
    "hits": (jnp.argmax(logits, axis=1) == labels) & ~broken,
  }
