"""One step of an attack that climbs a gradient.

`gradient.pgd` repeats the step inside one program. Who compiles the step alone
and calls it, as the evaluation does with long attacks, gets the same iterates
and can stop between two steps. Where it may go is in `ball`, what it climbs in
`objectives`.
"""

from collections.abc import Callable

import jax

from jaxrobust.attacks import ball
from jaxrobust.attacks.ball import Norm
from jaxrobust.attacks.objectives import LossFn

LogitsFn = Callable[[jax.Array], jax.Array]


def ascend(
  logits_fn: LogitsFn,
  x: jax.Array,
  images: jax.Array,
  labels: jax.Array,
  *,
  loss_fn: LossFn,
  eps: float | jax.Array,
  step_size: float | jax.Array,
  norm: Norm = "linf",
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> tuple[jax.Array, jax.Array]:
  """One step up the loss, back into the ball and into the bounds.

    x' = P(x + a sign(grad_x l(x)))

  and the normalised gradient in place of its sign for the norm "l2".

  Args:
    logits_fn: As for `gradient.pgd`, and so are the others.
    x: float32 [N, ...], where the step starts.
    images: The centres of the balls.
    labels: int32 [N].
    loss_fn: What is climbed, as those in `objectives.LOSSES`.
    eps: The radius of the ball.
    step_size: The step's length a.
    norm: "linf" or "l2".
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    x', and the logits [N, K] at x.

  Example:
    >>> import jax.numpy as jnp
    >>> def logits_fn(x):
    ...   return jnp.concatenate([x, -x], axis=1)
    >>> from jaxrobust.attacks.objectives import margin
    >>> x = jnp.asarray([[0.5]])
    >>> label = jnp.asarray([0])
    >>> ascend(
    ...   logits_fn, x, x, label, loss_fn=margin, eps=0.25, step_size=0.25
    ... )[0].tolist()
    [[0.25]]
  """

  def summed(x):
    logits = logits_fn(x)
    return loss_fn(logits, labels).sum(), logits

  gradient, logits = jax.grad(summed, has_aux=True)(x)
  radius, length = (
    ball.per_image(eps, images),
    ball.per_image(step_size, images),
  )
  climbed = x + length * ball.steepest(gradient, norm)
  return ball.project(climbed, images, radius, norm, low, high), logits
