"""Signs that an attack cannot be trusted, of the network and of what it found.

An attack that does not break a network has shown nothing if its gradients are
zero or its answers are drawn anew each time. Each check is a pure function; the
evaluation runs them all beside the standard ensemble.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.attacks import objectives
from jaxrobust.attacks.ascent import LogitsFn

# Of the published ensemble: how far logits may differ, of unit length, and how
# far the black box may go beyond the gradients.
_RANDOM, _PROBABILITY, _BLACK_BOX = 1e-4, 1e-5, 0.002
# How much of a large ball's accuracy may stand beyond chance.
_LARGE_BALL = 0.01

# What each flag means for the reader.
MEANINGS: Mapping[str, str] = {
  "random": "the logits of an input differ from one call to the next: "
  "attack the expectation over the draws",
  "probabilities": "the outputs are probabilities, not logits: their gradients "
  "vanish where the network is sure",
  "zero_gradients": "some inputs have no gradient at all: attacks that climb "
  "it stand still there",
  "black_box_stronger": "the attack without gradients found what those with "
  "gradients did not: the gradients mislead",
  "large_ball_stands": "answers stand in a ball that holds a grey image for "
  "every input: the attack fails, not the network",
}


def is_random(
  first: jax.Array, second: jax.Array, labels: jax.Array
) -> jax.Array:
  """Whether the same inputs gave other logits at the second call.

  Args:
    first: float32 [N, K].
    second: The logits of the same inputs, asked again.
    labels: int32 [N].

  Returns:
    bool [], True if the logits, of unit length, differ by more than 1e-4, or
    another number of answers is right.

  Example:
    >>> logits, label = jnp.asarray([[1.0, 0.0]]), jnp.asarray([0])
    >>> bool(is_random(logits, logits, label))
    False
    >>> bool(is_random(logits, logits + jnp.asarray([0.0, 0.01]), label))
    True

  References:
    Croce and Hein, `AutoAttack <https://github.com/fra31/auto-attack>`_, whose
    checks and tolerances these are, here and below.
  """

  def unit(logits):
    return logits / (jnp.linalg.norm(logits, axis=1, keepdims=True) + 1e-10)

  def right(logits):
    return (jnp.argmax(logits, axis=1) == labels).sum()

  apart = jnp.linalg.norm(unit(first) - unit(second), axis=1).max()
  # Not a number is as bad as far apart.
  return ~(apart <= _RANDOM) | (right(first) != right(second))


def are_probabilities(logits: jax.Array) -> jax.Array:
  """Whether the outputs look like probabilities: in [0, 1], of sum 1.

  Args:
    logits: float32 [N, K].

  Returns:
    bool [].

  Example:
    >>> logits = jnp.asarray([[2.0, -1.0]])
    >>> bool(are_probabilities(logits))
    False
    >>> bool(are_probabilities(jax.nn.softmax(logits)))
    True
  """
  inside = (logits > -_PROBABILITY) & (logits < 1 + _PROBABILITY)
  return inside.all() & (jnp.abs(logits.sum(axis=1) - 1) < _PROBABILITY).all()


def without_gradient(
  logits_fn: LogitsFn, images: jax.Array, labels: jax.Array
) -> jax.Array:
  """The images at which the cross-entropy has no gradient, or not a number.

  Args:
    logits_fn: From images [N, ...] to logits [N, K].
    images: float32 [N, ...].
    labels: int32 [N].

  Returns:
    bool [N].

  Example:
    >>> def rounded(x):
    ...   return jnp.round(jnp.concatenate([x, -x], axis=1))
    >>> without_gradient(
    ...   rounded, jnp.asarray([[0.7]]), jnp.asarray([0])
    ... ).tolist()
    [True]
  """

  def summed(x):
    return objectives.cross_entropy(logits_fn(x), labels).sum()

  size = jnp.abs(jax.grad(summed)(images))
  total = size.sum(axis=tuple(range(1, size.ndim)))
  return ~(total > 0)


def black_box_is_stronger(after: Mapping[str, float]) -> bool:
  """Whether Square lowered what the attacks with gradients had left standing.

  Args:
    after: The accuracy after each attack of the ensemble, in their order, as
      "apgd-ce" and "square".

  Returns:
    Whether Square, where it ran after others, lowered it by over 0.2 points.

  Example:
    >>> black_box_is_stronger({"apgd-ce": 0.5, "square": 0.4})
    True
  """
  others = [value for name, value in after.items() if name != "square"]
  if "square" not in after or not others:
    return False
  return after["square"] < min(others) - _BLACK_BOX


def large_ball_stands(accuracy: float, labels: np.ndarray) -> bool:
  """Whether too much stands in a ball that holds a grey image for every input.

  Within eps = 0.5 of any image in [0, 1] lies the grey image, which has one
  answer: an attack must get the accuracy down to that of a constant.

  Args:
    accuracy: Under a gradient attack of "linf" at eps = 0.5, in [0, 1].
    labels: int [N], of the examples.

  Returns:
    Whether it is more than one point above the share of the largest class.

  Example:
    >>> large_ball_stands(0.7, np.asarray([0, 1, 0, 1]))
    True
  """
  share = np.bincount(labels).max() / len(labels)
  return bool(accuracy > share + _LARGE_BALL)
