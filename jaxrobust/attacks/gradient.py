"""Attacks that climb the gradient of a loss: one step (FGSM) or many (PGD)."""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrobust.attacks import ascent, ball, objectives
from jaxrobust.attacks.ascent import LogitsFn
from jaxrobust.attacks.ball import Norm
from jaxrobust.attacks.objectives import Loss


def fgsm(
  key: jax.Array | None,
  logits_fn: LogitsFn,
  images: jax.Array,
  labels: jax.Array,
  *,
  eps: float | jax.Array,
  norm: Norm = "linf",
  loss: Loss = "ce",
  random_start: bool = False,
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> jax.Array:
  """The fast gradient sign method: one step of the length of the radius.

    x' = clip(x + eps sign(grad_x l(x)))

  and the normalised gradient in place of its sign for the norm "l2". From a
  random start the step is 1.25 eps and the result is projected onto the ball.

  Args:
    key: As for `pgd`.
    logits_fn: As for `pgd`.
    images: As for `pgd`.
    labels: As for `pgd`.
    eps: The radius of the ball, in units of the images; one number or [N].
    norm: "linf" or "l2".
    loss: "ce", "margin" or "dlr".
    random_start: Whether to start at a random point of the ball.
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    float32 [N, ...], no further than eps from `images`.

  Raises:
    ValueError: As for `pgd`.

  Example:
    >>> def logits_fn(x):
    ...   return jnp.stack([x.sum(1), -x.sum(1)], axis=1)
    >>> fgsm(
    ...   None, logits_fn, jnp.asarray([[0.5, 0.5]]), jnp.asarray([0]), eps=0.25
    ... ).tolist()
    [[0.25, 0.25]]

  References:
    Goodfellow, Shlens and Szegedy, `Explaining and Harnessing Adversarial
    Examples <https://arxiv.org/abs/1412.6572>`_, 2015, section 4. The random
    start: Wong, Rice and Kolter, `Fast is better than free
    <https://arxiv.org/abs/2001.03994>`_, 2020, algorithm 3.
  """
  return pgd(
    key,
    logits_fn,
    images,
    labels,
    eps=eps,
    step_size=1.25 * eps if random_start else eps,
    steps=1,
    random_start=random_start,
    norm=norm,
    loss=loss,
    keep="last",
    low=low,
    high=high,
  )


def pgd(
  key: jax.Array | None,
  logits_fn: LogitsFn,
  images: jax.Array,
  labels: jax.Array,
  *,
  eps: float | jax.Array,
  step_size: float | jax.Array | None = None,
  steps: int = 40,
  random_start: bool = True,
  norm: Norm = "linf",
  loss: Loss = "ce",
  restarts: int = 1,
  keep: Literal["best", "last"] = "best",
  unroll: bool | None = None,
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> jax.Array:
  """Projected gradient ascent on the loss, within a ball and within bounds.

    x_{t+1} = P(x_t + a sign(grad_x l(x_t)))

  with P the projection onto {x : |x - x_0| <= eps, low <= x <= high}, and the
  normalised gradient in place of its sign for the norm "l2". The losses are

    ce      -log softmax(z)_y
    margin  max_{k != y} z_k - z_y
    dlr     the margin over z_1 - z_3, of the sorted logits

  with logits z and labels y; the margin's gradient does not vanish when the
  network is sure, nor does the ratio's where the logits are scaled.

  Args:
    key: [N] typed keys, one per image, or one key for all; None without a
      random start. With a key of its own, what an image becomes does not
      depend on the batch it is in.
    logits_fn: From images [N, ...] to logits [N, K]; an image's logits must
      not depend on the others.
    images: float32 [N, ...], within the bounds.
    labels: int32 [N], the true classes.
    eps: The radius of the ball, in units of the images; one number or [N].
    step_size: The step's length a; 2.5 eps / steps if None.
    steps: The number of steps of each restart.
    random_start: Whether to start at a random point of the ball, uniformly.
    norm: "linf" or "l2".
    loss: "ce", "margin" or "dlr".
    restarts: How often to start anew, at another random point.
    keep: "best" returns the worst case for the network among the image and
      all iterates of all restarts: a misclassified one before others, and
      among those the largest loss. "last" returns the last iterate, at one
      evaluation less or two, as adversarial training does.
    unroll: Whether to compile the steps one by one instead of a loop: faster on
      a CPU, where XLA runs convolutions within a loop on one thread (measured
      four times as slow), but slower to compile. By default on a CPU, up to
      16 steps.
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    float32 [N, ...]. For "linf" no element is further than eps from the
    image's; for "l2" the distance is at most eps up to rounding.

  Raises:
    ValueError: If a parameter is out of range or does not fit the others.

  Example:
    >>> def logits_fn(x):
    ...   return jnp.stack([x.sum(1), -x.sum(1)], axis=1)
    >>> x = pgd(
    ...   jax.random.key(0),
    ...   logits_fn,
    ...   jnp.asarray([[0.5, 0.5]]),
    ...   jnp.asarray([0]),
    ...   eps=0.25,
    ...   steps=4,
    ... )
    >>> x.tolist()
    [[0.25, 0.25]]

  References:
    Madry et al., `Towards Deep Learning Models Resistant to Adversarial
    Attacks <https://arxiv.org/abs/1706.06083>`_, 2018, section 2.1. The margin:
    Carlini and Wagner, `Towards Evaluating the Robustness of Neural Networks
    <https://arxiv.org/abs/1608.04644>`_, 2017, f_6 of section V.A.
  """
  check(
    eps=eps,
    step_size=step_size,
    steps=steps,
    norm=norm,
    loss=loss,
    restarts=restarts,
    keep=keep,
    low=low,
    high=high,
  )
  if random_start:
    keys = ball.image_keys(key, len(images))
  elif restarts > 1:
    raise ValueError(f"restarts={restarts}: must be 1 without a random start")
  if unroll is None:
    unroll = steps <= 16 and jax.default_backend() == "cpu"
  length = 2.5 * eps / steps if step_size is None else step_size
  where = {"eps": eps, "norm": norm, "low": low, "high": high}
  loss_fn = objectives.LOSSES[loss]

  def better(best, x, logits):
    """The iterate x, where it is better than the best so far."""
    fooled = jnp.argmax(logits, axis=1) != labels
    values = loss_fn(logits, labels)
    chosen = (fooled & ~best.fooled) | (
      (fooled == best.fooled) & (values > best.values)
    )
    return _Best(
      jnp.where(ball.wide(chosen, x), x, best.images),
      jnp.where(chosen, fooled, best.fooled),
      jnp.where(chosen, values, best.values),
    )

  def step(_, carry):
    x, best = carry
    climbed, logits = ascent.ascend(
      logits_fn, x, images, labels, loss_fn=loss_fn, step_size=length, **where
    )
    return climbed, better(best, x, logits) if keep == "best" else best

  def restart(number, best):
    x = images
    if random_start:
      fresh = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
      x = ball.random_start(fresh, images, **where)
    x, best = jax.lax.fori_loop(0, steps, step, (x, best), unroll=unroll)
    if keep == "last":
      return best._replace(images=x)
    return better(best, x, logits_fn(x))

  best = _Best(images, jnp.zeros(len(images), bool), jnp.zeros(len(images)))
  if keep == "best":
    best = better(
      best._replace(values=best.values - jnp.inf), images, logits_fn(images)
    )
  if restarts == 1:
    return restart(0, best).images
  return jax.lax.fori_loop(0, restarts, restart, best).images


class _Best(NamedTuple):
  """The best iterate so far of each image."""

  images: jax.Array
  fooled: jax.Array
  values: jax.Array


def check(
  *,
  eps: float | jax.Array,
  step_size: float | jax.Array | None = None,
  steps: int = 1,
  norm: str = "linf",
  loss: str = "ce",
  restarts: int = 1,
  keep: str = "best",
  low: float | None = None,
  high: float | None = None,
) -> None:
  """Refuses parameters of an attack that are out of range.

  Args:
    eps: As for `pgd`; the numbers of a trace are let through, here and below.
    step_size: As for `pgd`.
    steps: As for `pgd`.
    norm: As for `pgd`.
    loss: As for `pgd`.
    restarts: As for `pgd`.
    keep: As for `pgd`.
    low: As for `pgd`.
    high: As for `pgd`.

  Raises:
    ValueError: Naming the parameter, its value and what is allowed.
  """
  for name, value in (("eps", eps), ("step_size", step_size)):
    if value is None or isinstance(value, Tracer):
      continue
    if not np.all((np.asarray(value) >= 0) & np.isfinite(value)):
      raise ValueError(f"{name}={value}: must be a finite number >= 0")
  for name, value in (("steps", steps), ("restarts", restarts)):
    if value < 1:
      raise ValueError(f"{name}={value}: must be at least 1")
  for name, value, allowed in (
    ("norm", norm, get_args(Norm)),
    ("loss", loss, get_args(Loss)),
    ("keep", keep, ("best", "last")),
  ):
    if value not in allowed:
      raise ValueError(f"{name}={value!r}: must be one of {allowed}")
  if low is not None and high is not None and not low < high:
    raise ValueError(f"low={low}, high={high}: low must be less than high")
  if keep == "last" and restarts > 1:
    raise ValueError(f"keep='last' with restarts={restarts}: must be 1")
