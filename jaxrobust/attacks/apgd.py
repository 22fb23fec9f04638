"""Auto-PGD: gradient ascent that finds its own step size.

`apgd` repeats one step inside one program. Who compiles `apgd_step` alone and
calls it, as the evaluation does, gets the same iterates and can stop between
two steps.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.attacks import ball, gradient, objectives
from jaxrobust.attacks.ascent import LogitsFn
from jaxrobust.attacks.ball import Norm
from jaxrobust.attacks.objectives import Loss, LossFn

# Of the published attack: the first window and how it shrinks, as shares of the
# steps; how many steps of a window must rise; the weight of a new step.
_FIRST, _LEAST, _LESS = 0.22, 0.06, 0.03
_RISING = 0.75
_WEIGHT = 0.75


class Climb(NamedTuple):
  """Where the attack stands with each image.

  Attributes:
    x: float32 [N, ...], the iterate.
    previous: The one before.
    gradient: Of the loss at `x`.
    value: float32 [N], the loss at the iterate last looked at.
    best: The iterate of the largest loss.
    best_gradient: The gradient there.
    best_value: float32 [N], the loss there.
    length: float32 [N], of the next step.
    rises: int32 [N], how many steps since the last check raised the loss.
    checked_value: float32 [N], `best_value` at the last check.
    halved: bool [N], whether the last check halved the step.
  """

  x: jax.Array
  previous: jax.Array
  gradient: jax.Array
  value: jax.Array
  best: jax.Array
  best_gradient: jax.Array
  best_value: jax.Array
  length: jax.Array
  rises: jax.Array
  checked_value: jax.Array
  halved: jax.Array


def apgd(
  key: jax.Array,
  logits_fn: LogitsFn,
  images: jax.Array,
  labels: jax.Array,
  *,
  eps: float | jax.Array,
  steps: int = 100,
  norm: Norm = "linf",
  loss: Loss = "ce",
  targets: jax.Array | None = None,
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> jax.Array:
  """Projected ascent with momentum whose step halves where it does not help.

    z = P(x_t + a_t d(x_t))
    x_{t+1} = P(x_t + 0.75 (z - x_t) + 0.25 (x_t - x_{t-1}))

  with d the sign of the gradient, or the normalised gradient for "l2", a_0 =
  2 eps and P as for `pgd`. At checks, after 22 % of the steps and then after
  windows that shrink by 3 % to 6 %, an image whose loss rose in at most three
  quarters of the window's steps, or whose best loss is what it was at the last
  check and whose step was not halved there, starts again from its best iterate
  with half the step.

  Args:
    key: [N] typed keys, one per image, or one key for all, of the start on the
      ball's surface. With a key of its own, what an image becomes does not
      depend on the batch it is in.
    logits_fn: From images [N, ...] to logits [N, K]; an image's logits must
      not depend on the others.
    images: float32 [N, ...], within the bounds.
    labels: int32 [N], the true classes.
    eps: The radius of the ball, in units of the images; one number or [N].
    steps: The number of steps.
    norm: "linf" or "l2".
    loss: "ce", "margin" or "dlr"; unused with `targets`.
    targets: int32 [N], classes to lead to, by the targeted ratio of logits.
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    float32 [N, ...], of each image the iterate of the largest loss among those
    that are misclassified, among all if none is; the image itself if it was
    misclassified.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> def logits_fn(x):
    ...   return jnp.stack([x.sum(1), -x.sum(1)], axis=1)
    >>> x = apgd(
    ...   jax.random.key(0),
    ...   logits_fn,
    ...   jnp.asarray([[0.5, 0.5]]),
    ...   jnp.asarray([0]),
    ...   eps=0.25,
    ...   steps=10,
    ... )
    >>> x.tolist()
    [[0.25, 0.25]]

  References:
    Croce and Hein, `Reliable evaluation of adversarial robustness with an
    ensemble of diverse parameter-free attacks
    <https://arxiv.org/abs/2003.01690>`_, 2020, algorithm 1 and section 3.
  """
  gradient.check(eps=eps, steps=steps, norm=norm, loss=loss, low=low, high=high)
  keys = ball.image_keys(key, len(images))
  loss_fn = objectives.LOSSES[loss]
  if targets is not None:
    loss_fn = objectives.towards(targets)
  checks, windows = (jnp.asarray(values) for values in check_points(steps))
  where = {"eps": eps, "norm": norm, "low": low, "high": high}

  def better(found, x, logits, value):
    """X in place of what was found, if that was right or its loss less."""
    fooled = jnp.argmax(logits, axis=1) != labels
    found_x, found_fooled, found_value = found
    chosen = (fooled & ~found_fooled) | (
      (fooled == found_fooled) & (value > found_value)
    )
    return (
      jnp.where(ball.wide(chosen, x), x, found_x),
      fooled | found_fooled,
      jnp.where(chosen, value, found_value),
    )

  def step(number, carry):
    climb, found = carry
    climb, x, logits = apgd_step(
      logits_fn,
      climb,
      images,
      labels,
      loss_fn=loss_fn,
      first=number == 0,
      check=checks[number],
      window=windows[number],
      **where,
    )
    return climb, better(found, x, logits, climb.value)

  logits = logits_fn(images)
  unharmed = jnp.argmax(logits, axis=1) == labels
  climb, logits = apgd_start(
    keys, logits_fn, images, labels, loss_fn=loss_fn, **where
  )
  nothing = jnp.full(len(images), -jnp.inf)
  found = images, jnp.zeros(len(images), bool), nothing
  found = better(found, climb.x, logits, climb.value)
  _, (x, _, _) = jax.lax.fori_loop(0, steps, step, (climb, found))
  return jnp.where(ball.wide(unharmed, x), x, images)


def check_points(steps: int) -> tuple[np.ndarray, np.ndarray]:
  """After which steps the step size is checked, and over which windows.

  Args:
    steps: The number of steps.

  Returns:
    bool [steps] and int32 [steps], the number of steps since the last check.

  Example:
    >>> checks, windows = check_points(100)
    >>> np.flatnonzero(checks)[:4].tolist(), windows[checks][:4].tolist()
    ([21, 40, 56, 69], [22, 19, 16, 13])
  """
  window = max(int(_FIRST * steps), 1)
  least, less = max(int(_LEAST * steps), 1), max(int(_LESS * steps), 1)
  checks, windows = np.zeros(steps, bool), np.zeros(steps, np.int32)
  since = 0
  for step in range(steps):
    since += 1
    windows[step] = since
    if since == window:
      checks[step], since = True, 0
      window = max(window - less, least)
  return checks, windows


def apgd_start(
  keys: jax.Array,
  logits_fn: LogitsFn,
  images: jax.Array,
  labels: jax.Array,
  *,
  loss_fn: LossFn,
  eps: float | jax.Array,
  norm: Norm = "linf",
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> tuple[Climb, jax.Array]:
  """The start of the attack, a random point on the surface of each ball.

  Args:
    keys: [N] typed keys.
    logits_fn: As for `apgd`, and so are the others.
    images: The centres of the balls.
    labels: int32 [N].
    loss_fn: What is climbed, as those in `objectives.LOSSES`.
    eps: The radius.
    norm: "linf" or "l2".
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    Where the attack stands, and the logits [N, K] there.

  Example:
    >>> climb, _ = apgd_start(
    ...   jax.random.split(jax.random.key(0), 1),
    ...   lambda x: jnp.concatenate([x, -x], axis=1),
    ...   jnp.asarray([[0.5]]),
    ...   jnp.asarray([0]),
    ...   loss_fn=objectives.margin,
    ...   eps=0.25,
    ... )
    >>> climb.length.tolist()
    [0.5]
  """
  where = {"eps": eps, "norm": norm, "low": low, "high": high}
  x = ball.random_start(keys, images, surface=True, **where)
  value, climbed, logits = _look(logits_fn, x, labels, loss_fn)
  zeros = jnp.zeros_like(value)
  return Climb(
    x=x,
    previous=x,
    gradient=climbed,
    value=value,
    best=x,
    best_gradient=climbed,
    best_value=value,
    length=2.0 * eps + zeros,
    rises=zeros.astype(jnp.int32),
    checked_value=value,
    halved=jnp.ones(len(x), bool),
  ), logits


def apgd_step(
  logits_fn: LogitsFn,
  climb: Climb,
  images: jax.Array,
  labels: jax.Array,
  *,
  loss_fn: LossFn,
  first: bool | jax.Array,
  check: bool | jax.Array,
  window: int | jax.Array,
  eps: float | jax.Array,
  norm: Norm = "linf",
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> tuple[Climb, jax.Array, jax.Array]:
  """One step, and the check of its size where one is due.

  Args:
    logits_fn: As for `apgd`, and so are the others.
    climb: Where the attack stands.
    images: The centres of the balls.
    labels: int32 [N].
    loss_fn: What is climbed.
    first: Whether it is the first step, which has no momentum; it may be
      traced, as `check` and `window`.
    check: Whether to check the size of the step, of `check_points`.
    window: The number of steps since the last check.
    eps: The radius.
    norm: "linf" or "l2".
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    Where the attack stands, the new iterate and the logits [N, K] there. After
    a check that halved the step, `climb.x` is the best iterate in its place.

  Example:
    >>> def logits_fn(x):
    ...   return jnp.concatenate([x, -x], axis=1)
    >>> x, label = jnp.asarray([[0.5]]), jnp.asarray([0])
    >>> options = {"loss_fn": objectives.margin, "eps": 0.25}
    >>> keys = jax.random.split(jax.random.key(0), 1)
    >>> climb, _ = apgd_start(keys, logits_fn, x, label, **options)
    >>> climb, _, _ = apgd_step(
    ...   logits_fn,
    ...   climb,
    ...   x,
    ...   label,
    ...   first=True,
    ...   check=False,
    ...   window=1,
    ...   **options,
    ... )
    >>> climb.x.tolist()
    [[0.25]]
  """
  x, length = climb.x, ball.wide(climb.length, images)
  where = ball.per_image(eps, images), norm, low, high
  weight = jnp.where(first, 1.0, _WEIGHT)
  plain = ball.project(
    x + length * ball.steepest(climb.gradient, norm), images, *where
  )
  drift = weight * (plain - x) + (1.0 - weight) * (x - climb.previous)
  moved = ball.project(x + drift, images, *where)
  value, climbed, logits = _look(logits_fn, moved, labels, loss_fn)

  risen = value > climb.best_value
  climb = Climb(
    x=moved,
    previous=x,
    gradient=climbed,
    value=value,
    best=_chosen(risen, moved, climb.best),
    best_gradient=_chosen(risen, climbed, climb.best_gradient),
    best_value=jnp.where(risen, value, climb.best_value),
    length=climb.length,
    rises=climb.rises + (value > climb.value),
    checked_value=climb.checked_value,
    halved=climb.halved,
  )
  return _checked(climb, jnp.asarray(check), window), moved, logits


def _checked(climb: Climb, check: jax.Array, window: int | jax.Array) -> Climb:
  """Halves the steps that do not help, and goes back to the best iterates."""
  stuck = ~climb.halved & (climb.checked_value >= climb.best_value)
  halve = check & ((climb.rises <= _RISING * window) | stuck)
  return climb._replace(
    x=_chosen(halve, climb.best, climb.x),
    gradient=_chosen(halve, climb.best_gradient, climb.gradient),
    length=jnp.where(halve, climb.length / 2, climb.length),
    rises=jnp.where(check, 0, climb.rises),
    checked_value=jnp.where(check, climb.best_value, climb.checked_value),
    halved=jnp.where(check, halve, climb.halved),
  )


def _look(
  logits_fn: LogitsFn, x: jax.Array, labels: jax.Array, loss_fn: LossFn
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The loss of each image, its gradient, and the logits."""

  def summed(x):
    logits = logits_fn(x)
    values = loss_fn(logits, labels)
    return values.sum(), (values, logits)

  climbed, (values, logits) = jax.grad(summed, has_aux=True)(x)
  return values, climbed, logits


def _chosen(which: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
  return jnp.where(ball.wide(which, new), new, old)
