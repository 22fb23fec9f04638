"""What attacks climb: functions of logits and labels, one number per example.

All are positive and large where the network is wrong, or about to be. Each is
finite for finite logits, and so is its gradient.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

# From logits [N, K] and labels [N] to what is climbed, [N].
LossFn = Callable[[jax.Array, jax.Array], jax.Array]
Loss = Literal["ce", "margin", "dlr"]


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """-log softmax(z)_y of each example, float32 [N].

  Args:
    logits: float32 [N, K].
    labels: int32 [N].

  Returns:
    The loss of each example.

  Example:
    >>> loss = cross_entropy(jnp.zeros((1, 2)), jnp.asarray([0]))
    >>> round(float(loss[0]), 4)
    0.6931
  """
  return -_picked(jax.nn.log_softmax(logits), labels)


def margin(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """max_{k != y} z_k - z_y of each example, float32 [N]; positive if wrong.

  Args:
    logits: float32 [N, K].
    labels: int32 [N].

  Returns:
    The loss of each example.

  Example:
    >>> margin(jnp.asarray([[1.0, 3.0]]), jnp.asarray([0])).tolist()
    [2.0]
  """
  own = jnp.arange(logits.shape[-1]) == labels[:, None]
  others = jnp.max(jnp.where(own, -jnp.inf, logits), axis=1)
  return others - _picked(logits, labels)


def dlr(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """The difference of logits ratio of each example; positive if wrong.

    DLR = (max_{k != y} z_k - z_y) / (z_1 - z_3)

  with z_1 >= z_2 >= ... the sorted logits. It is the margin, freed of the
  logits' scale: a network cannot hide by multiplying its logits by a constant.

  Args:
    logits: float32 [N, K], of at least three classes.
    labels: int32 [N].

  Returns:
    float32 [N]; at most 1 where wrong.

  Raises:
    ValueError: If there are fewer than three classes.

  Example:
    >>> dlr(jnp.asarray([[3.0, 2.0, 1.0]]), jnp.asarray([0])).tolist()
    [-0.5]

  References:
    Croce and Hein, `Reliable evaluation of adversarial robustness
    <https://arxiv.org/abs/2003.01690>`_, 2020, equation 6.
  """
  top = _sorted(logits, 3)
  return margin(logits, labels) / (top[:, 0] - top[:, 2] + _TINY)


def towards(targets: jax.Array, *, ratio: bool = True) -> LossFn:
  """The loss of an attack that wants one class: its lead over the label.

    (z_t - z_y) / (z_1 - (z_3 + z_4) / 2)

  Args:
    targets: int32 [N], the class wanted of each example, not its label.
    ratio: Whether to divide; without it there may be fewer than four classes.

  Returns:
    A function of logits [N, K] and labels [N].

  Raises:
    ValueError: When called, if it is to divide and there are fewer than four
      classes.

  Example:
    >>> loss_fn = towards(jnp.asarray([1]))
    >>> loss_fn(jnp.asarray([[3.0, 2.0, 1.0, 1.0]]), jnp.asarray([0])).tolist()
    [-0.5]

  References:
    Croce and Hein, `Reliable evaluation of adversarial robustness
    <https://arxiv.org/abs/2003.01690>`_, 2020, equation 7.
  """

  def loss_fn(logits, labels):
    lead = _picked(logits, targets) - _picked(logits, labels)
    if not ratio:
      return lead
    top = _sorted(logits, 4)
    return lead / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + _TINY)

  return loss_fn


def likeliest(logits: jax.Array, labels: jax.Array, count: int) -> jax.Array:
  """The classes that targeted attacks lead to: the likeliest but the label.

  Args:
    logits: float32 [N, K], of the images as they are.
    labels: int32 [N].
    count: How many, at most K - 1.

  Returns:
    int32 [N, count], the likeliest first.

  Raises:
    ValueError: If there are not so many other classes.

  Example:
    >>> logits = jnp.asarray([[3.0, 0.0, 1.0]])
    >>> likeliest(logits, jnp.asarray([0]), 2).tolist()
    [[2, 1]]
  """
  classes = logits.shape[-1]
  if not 1 <= count < classes:
    raise ValueError(
      f"count={count}: must be from 1 to {classes - 1}, with {classes} classes"
    )
  own = jnp.arange(classes) == labels[:, None]
  others = jnp.where(own, -jnp.inf, jnp.nan_to_num(logits))
  return jax.lax.top_k(others, count)[1].astype(jnp.int32)


LOSSES: dict[Loss, LossFn] = {
  "ce": cross_entropy,
  "margin": margin,
  "dlr": dlr,
}

# What keeps the ratio of equal logits a number, as in the published attack.
_TINY = 1e-12


def _sorted(logits: jax.Array, count: int) -> jax.Array:
  """The largest logits in falling order, [N, count]."""
  classes = logits.shape[-1]
  if classes < count:
    raise ValueError(
      f"logits of {classes} classes: the ratio needs at least {count}"
    )
  return jax.lax.top_k(logits, count)[0]


def _picked(logits: jax.Array, classes: jax.Array) -> jax.Array:
  own = jnp.arange(logits.shape[-1]) == classes[:, None]
  return jnp.sum(jnp.where(own, logits, 0.0), axis=1)
