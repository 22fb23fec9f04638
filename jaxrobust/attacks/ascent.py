"""One step of an attack that climbs a gradient, and where it starts.

`gradient.pgd` repeats the step inside one program. Who compiles the step alone
and calls it, as the evaluation does with long attacks, gets the same iterates
and can stop between two steps.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

LogitsFn = Callable[[jax.Array], jax.Array]
# From logits [N, K] and labels [N] to what is climbed, [N].
LossFn = Callable[[jax.Array, jax.Array], jax.Array]
Norm = Literal["linf", "l2"]
Loss = Literal["ce", "margin"]


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
  own = jnp.arange(logits.shape[-1]) == labels[:, None]
  return -jnp.sum(jnp.where(own, jax.nn.log_softmax(logits), 0.0), axis=1)


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
  return others - jnp.sum(jnp.where(own, logits, 0.0), axis=1)


LOSSES: dict[Loss, LossFn] = {"ce": cross_entropy, "margin": margin}


def random_start(
  keys: jax.Array,
  images: jax.Array,
  *,
  eps: float | jax.Array,
  norm: Norm = "linf",
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> jax.Array:
  """A uniform point of the ball around each image, put within the bounds.

  Args:
    keys: [N] typed keys.
    images: As for `gradient.pgd`, and so are the others.
    eps: The radius.
    norm: "linf" or "l2".
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    float32 [N, ...].

  Example:
    >>> images = jnp.full((1, 3), 0.5)
    >>> keys = jax.random.split(jax.random.key(0), 1)
    >>> start = random_start(keys, images, eps=0.1)
    >>> bool(jnp.abs(start - images).max() <= 0.1)
    True
  """
  radius = _per_image(eps, images)
  offset = radius * _in_unit_ball(keys, images, norm)
  return _project(images + offset, images, radius, norm, low, high)


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
    loss_fn: What is climbed, as those in `LOSSES`.
    eps: The radius of the ball.
    step_size: The step's length a.
    norm: "linf" or "l2".
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    x', and the logits [N, K] at x.

  Example:
    >>> def logits_fn(x):
    ...   return jnp.concatenate([x, -x], axis=1)
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
  radius, length = _per_image(eps, images), _per_image(step_size, images)
  climbed = x + length * _steepest(gradient, norm)
  return _project(climbed, images, radius, norm, low, high), logits


def box(
  images: jax.Array,
  *,
  eps: float | jax.Array,
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> tuple[jax.Array, jax.Array]:
  """The lowest and the highest image of the ball of the norm "linf".

    max(x_0 - eps, low), min(x_0 + eps, high)

  rounded so that no element is further than eps from the image's.

  Args:
    images: float32 [N, ...], the centres of the balls, within the bounds.
    eps: The radius; one number or [N].
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    Two of float32 [N, ...].

  Example:
    >>> lower, upper = box(jnp.asarray([[0.25, 0.75]]), eps=0.5)
    >>> lower.tolist(), upper.tolist()
    ([[0.0, 0.25]], [[0.75, 1.0]])
  """
  radius = _per_image(eps, images)
  least, most = _bounds(low, high)
  return (
    jnp.maximum(-_sum_towards_zero(-images, radius), least),
    jnp.minimum(_sum_towards_zero(images, radius), most),
  )


def image_keys(key: jax.Array | None, count: int) -> jax.Array:
  """One key per image.

  Args:
    key: [N] typed keys, one per image, or one key for all.
    count: The number of images N.

  Returns:
    [N] typed keys.

  Raises:
    ValueError: If it is None or of another shape.

  Example:
    >>> image_keys(jax.random.key(0), 3).shape
    (3,)
  """
  if key is None:
    raise ValueError("key=None: a random start needs a key")
  if key.ndim == 0:
    return jax.random.split(key, count)
  if key.shape != (count,):
    raise ValueError(f"key of shape {key.shape}: must be [] or [{count}]")
  return key


def _steepest(gradient: jax.Array, norm: Norm) -> jax.Array:
  """The direction of unit norm in which the loss rises most; 0 if none."""
  # An element that is not a number would make a non-number of the image, which
  # any network gets wrong.
  gradient = jnp.nan_to_num(gradient)
  if norm == "linf":
    return jnp.sign(gradient)
  # The largest element first: squares of tiny gradients would underflow.
  largest = _over_image(jnp.max, jnp.abs(gradient))
  scaled = gradient / jnp.where(largest > 0, largest, 1.0)
  return scaled / jnp.maximum(_length(scaled), 1.0)


def _project(
  x: jax.Array,
  images: jax.Array,
  radius: jax.Array,
  norm: Norm,
  low: float | None,
  high: float | None,
) -> jax.Array:
  """Projects x onto the ball around the images and onto the bounds."""
  if norm == "linf":
    return jnp.clip(x, *box(images, eps=radius, low=low, high=high))
  offset = x - images
  length = _length(offset)
  shrink = radius / jnp.maximum(length, radius)
  inside = images + offset * jnp.where(length > radius, shrink, 1.0)
  # The images lie within the bounds, so this brings x nearer to them.
  return jnp.clip(inside, *_bounds(low, high))


def _bounds(low: float | None, high: float | None) -> tuple[float, float]:
  return -math.inf if low is None else low, math.inf if high is None else high


def _sum_towards_zero(centre: jax.Array, radius: jax.Array) -> jax.Array:
  """The sum, rounded so that it is not further than radius."""
  total = centre + radius
  # Knuth's two-sum: the exact sum is total + error.
  part = total - centre
  error = (centre - (total - part)) + (radius - part)
  return jnp.where(error < 0, jnp.nextafter(total, -jnp.inf), total)


def _in_unit_ball(keys: jax.Array, images: jax.Array, norm: Norm) -> jax.Array:
  """A uniform point of the unit ball per image."""
  shape = images.shape[1:]
  if norm == "linf":
    return jax.vmap(
      lambda key: jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
    )(keys)
  size = math.prod(shape)

  def point(key):
    # The first `size` of size + 2 coordinates of a uniform point on a sphere
    # are uniform in the ball.
    normal = jax.random.normal(key, (size + 2,))
    return (normal[:size] / jnp.linalg.norm(normal)).reshape(shape)

  return jax.vmap(point)(keys)


def _length(x: jax.Array) -> jax.Array:
  """The Euclidean norm of each image, [N, 1, ...]."""
  return jnp.sqrt(_over_image(jnp.sum, x * x))


def _over_image(reduce: Callable[..., jax.Array], x: jax.Array) -> jax.Array:
  return reduce(x, axis=tuple(range(1, x.ndim)), keepdims=True)


def _per_image(value: float | jax.Array, images: jax.Array) -> jax.Array:
  """A number or [N] as something that broadcasts against the images."""
  value = jnp.asarray(value, images.dtype)
  return wide(value, images) if value.ndim else value


def wide(values: jax.Array, images: jax.Array) -> jax.Array:
  """One value per image, [N], as [N, 1, ...]."""
  return values.reshape((-1,) + (1,) * (images.ndim - 1))
