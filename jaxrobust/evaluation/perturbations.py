"""Test noises as data: one compiled program serves the whole grid.

A perturbation is the tail index and the scale of a symmetric alpha-stable
noise, traced, not compiled in: Gaussian noise is alpha = 2 and no noise is
scale 0. For series it has a share of the time and a mean length of bursts,
too: noise that is always on is share 1.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import alpha_stable as stable
from jaxrobust import data
from jaxrobust.methods.forwards import ForwardFn


@dataclasses.dataclass(frozen=True)
class Perturbation:
  """One cell of the grid.

  Attributes:
    name: "clean", "gaussian", "alpha_stable(alpha=A)" or
      "burst(alpha=A, share=P, length=L)".
    strength: The standard deviation of "gaussian", the flip rate of
      "alpha_stable" and, inside bursts, of "burst"; 0 for "clean".
    alpha: Tail index of the noise.
    scale: Its scale.
    share_of_time: The share of time steps at which it is on.
    mean_length: The mean number of steps for which it then stays on.
    first: How many examples, the first ones of the split, are judged under
      it; None for all.
    severity: Of a corruption that comes in severities, from 1 to 5.
  """

  name: str
  strength: float
  alpha: float
  scale: float
  share_of_time: float = 1.0
  mean_length: float = 1.0
  first: int | None = None
  severity: int | None = None

  @property
  def noise(self) -> np.ndarray:
    """What `make_predict_step` is given: float32 [4], in the order above."""
    return np.asarray(
      [self.alpha, self.scale, self.share_of_time, self.mean_length],
      np.float32,
    )

  def count(self, available: int) -> int:
    """How many examples of so many are judged."""
    return available if self.first is None else min(self.first, available)

  def more_metrics(
    self, examples: Mapping[str, np.ndarray]
  ) -> dict[str, float]:
    """Metrics of this cell beside those of the task, of what was judged."""
    del examples
    return {}


CLEAN = Perturbation("clean", 0.0, 2.0, 0.0)


def grid(
  gaussian_stds: Sequence[float],
  alphas: Sequence[float],
  flip_rates: Sequence[float],
  *,
  burst_alphas: Sequence[float] = (),
  burst_rates: Sequence[float] = (),
  burst_share: float = 0.2,
  burst_length: float = 8.0,
) -> list[Perturbation]:
  """The test noises: clean, gaussian, alpha_stable and, for series, burst.

  Args:
    gaussian_stds: Standard deviations, in units of the input.
    alphas: Tail indices.
    flip_rates: P(|noise| > 0.5), by which the strengths of different tail
      indices are matched.
    burst_alphas: Tail indices inside bursts.
    burst_rates: P(|noise| > 0.5) inside bursts.
    burst_share: The share of time steps that lie in bursts.
    burst_length: The mean length of a burst in time steps.

  Returns:
    The perturbations, clean first.

  Example:
    >>> [p.name for p in grid([0.1], [1.0], [0.126])]
    ['clean', 'gaussian', 'alpha_stable(alpha=1.0)']
  """

  def stable_cells(name, alphas, rates, *bursts):
    return [
      Perturbation(
        name.format(float(alpha)),
        rate,
        float(alpha),
        float(stable.scale_from_flip_rate(alpha, rate)),
        *bursts,
      )
      for alpha in alphas
      for rate in rates
    ]

  cells = [CLEAN]
  for std in gaussian_stds:
    cells.append(Perturbation("gaussian", std, 2.0, std / math.sqrt(2.0)))
  cells += stable_cells("alpha_stable(alpha={})", alphas, flip_rates)
  bursts = float(burst_share), float(burst_length)
  name = f"burst(alpha={{}}, share={bursts[0]:g}, length={bursts[1]:g})"
  return cells + stable_cells(name, burst_alphas, burst_rates, *bursts)


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


def make_predict_step(
  model: nn.Module,
  forward: ForwardFn,
  is_image: bool,
  judge: Callable[[jax.Array, jax.Array], dict[str, jax.Array]] = judge,
) -> Callable[..., dict[str, jax.Array]]:
  """Builds the per-device function that judges a batch under one noise.

  Args:
    model: The model.
    forward: How it is evaluated.
    is_image: Whether noisy inputs are clipped to [0, 1].
    judge: (logits [N, K], labels) -> per-example numbers, as `Task.judge`.

  Returns:
    A function of (variables, batch, key, tag, noise) with noise as in
    `Perturbation.noise`, of which images use alpha and scale; it returns what
    `judge` does. An example's noise depends on (key, tag, index) alone.
  """
  perturb_step = make_perturb_step(is_image)

  def predict_step(variables, batch, key, tag, noise):
    noisy = perturb_step(batch, key, tag, noise)
    outputs, _ = forward(model, variables, noisy, batch["mask"], False)
    return judge(outputs.logits, batch["labels"])

  return predict_step


def make_perturb_step(is_image: bool) -> Callable[..., jax.Array]:
  """Builds the per-device function that puts one noise on a batch.

  Args:
    is_image: Whether noisy inputs are clipped to [0, 1].

  Returns:
    A function of (batch, key, tag, noise), as of `make_predict_step`, that
    gives the noisy inputs.

  Example:
    >>> step = make_perturb_step(is_image=True)
    >>> batch = {"inputs": jnp.ones((1, 4, 4, 1)), "index": jnp.arange(1)}
    >>> step(batch, jax.random.key(0), 0, grid([0.1], [], [])[1].noise).shape
    (1, 4, 4, 1)
  """

  def perturb_step(batch, key, tag, noise):
    keys = data.example_keys(key, tag, batch["index"])
    one = functools.partial(perturb, is_image=is_image)
    return jax.vmap(one, in_axes=(0, None, 0))(
      keys, noise, data.as_float(batch["inputs"])
    )

  return perturb_step


def perturb(
  key: jax.Array, noise: jax.Array, example: jax.Array, *, is_image: bool
) -> jax.Array:
  """One example under one test noise.

  Args:
    key: The example's key.
    noise: float32 [4], as `Perturbation.noise`; images use alpha and scale.
    example: float32 [H, W, C] in [0, 1], or [T, C].
    is_image: Whether the noisy example is clipped to [0, 1].

  Returns:
    The noisy example.

  Example:
    >>> noise = grid([0.1], [], [])[1].noise
    >>> image = jnp.zeros((8, 8, 1))
    >>> perturb(jax.random.key(0), noise, image, is_image=True).shape
    (8, 8, 1)
  """
  alpha, scale, share_of_time, mean_length = noise
  if is_image:
    unit = stable.sample(key, alpha, shape=example.shape)
    return jnp.clip(example + scale * unit, 0.0, 1.0)
  unit = stable.sample_bursts(
    key, alpha, 1.0, share_of_time, mean_length, shape=example.shape
  )
  return example + scale * unit
