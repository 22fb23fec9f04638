"""Adversarial examples of the network as it is now, as an input."""

import jax

from jaxrobust import attacks, data
from jaxrobust.attacks import gradient
from jaxrobust.methods.context import InputFn


def adversarial(
  shape: tuple[int, ...],
  *,
  eps: float,
  step_size: float | None = None,
  steps: int = 7,
  norm: attacks.Norm = "linf",
  random_start: bool = True,
  clip: bool | None = None,
) -> InputFn:
  """Feeds the worst inputs near the examples, as projected ascent finds them.

    x~ ~ argmax_{|x' - x| <= eps} -log softmax(z(x'))_y

  The attack sees the network as it is evaluated after training and costs
  `steps` of its gradients. No gradient flows through it.

  Args:
    shape: The shape of one example.
    eps: The radius of the ball, in units of the input; >= 0.
    step_size: The length of a step; 2.5 eps / steps by default.
    steps: The number of steps; at least 1.
    norm: "linf" or "l2".
    random_start: Whether to start at a random point of the ball.
    clip: Whether to stay in [0, 1]; by default images do and series do not.

  Returns:
    The input function; it needs `Context.logits`.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust.methods.context import Context
    >>> draw = data.Draw(jax.random.key(0), jnp.arange(2), jnp.asarray(0))
    >>> attack = adversarial((2, 2, 1), eps=0.25, random_start=False)
    >>> batch = {"inputs": jnp.full((2, 2, 2, 1), 0.5), "labels": jnp.arange(2)}
    >>> def logits(x):
    ...   return x[:, 0, :, 0]
    >>> attack(batch, Context(draw, logits=logits))["inputs"][0, 0, :, 0]
    Array([0.25, 0.75], dtype=float32)

  References:
    Madry et al., `Towards Deep Learning Models Resistant to Adversarial
    Attacks <https://arxiv.org/abs/1706.06083>`_, 2018, equation (2.1).
  """
  clips = len(shape) == 3 if clip is None else clip
  gradient.check(eps=eps, step_size=step_size, steps=steps, norm=norm)

  def attack(batch, context):
    keys = context.draw(data.Tag.ATTACK) if random_start else None
    worst = attacks.pgd(
      keys,
      context.logits,
      batch["inputs"],
      batch["labels"],
      eps=eps,
      step_size=step_size,
      steps=steps,
      random_start=random_start,
      norm=norm,
      keep="last",
      low=0.0 if clips else None,
      high=1.0 if clips else None,
    )
    return {**batch, "inputs": jax.lax.stop_gradient(worst)}

  return attack
