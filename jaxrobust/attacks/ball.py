"""Where an attack may go: the ball around each image, within the bounds.

Distances are of "linf", the largest change of an element, or "l2", the
Euclidean length of the change.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

Norm = Literal["linf", "l2"]


def random_start(
  keys: jax.Array,
  images: jax.Array,
  *,
  eps: float | jax.Array,
  norm: Norm = "linf",
  surface: bool = False,
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> jax.Array:
  """A random point of the ball around each image, put within the bounds.

  It is uniform in the ball, or pushed out to its surface.

  Args:
    keys: [N] typed keys.
    images: As for `gradient.pgd`, and so are the others.
    eps: The radius.
    norm: "linf" or "l2".
    surface: Whether the point is at the distance eps, but for the bounds.
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
  radius = per_image(eps, images)
  unit = _in_unit_ball(keys, images, norm)
  if surface:
    unit = unit / distance(unit, norm)
  return project(images + radius * unit, images, radius, norm, low, high)


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
  radius = per_image(eps, images)
  least, most = bounds(low, high)
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


def steepest(gradient: jax.Array, norm: Norm) -> jax.Array:
  """The direction of unit norm in which the loss rises most; 0 if none."""
  # An element that is not a number would make a non-number of the image, which
  # any network gets wrong.
  gradient = jnp.nan_to_num(gradient)
  if norm == "linf":
    return jnp.sign(gradient)
  # The largest element first: squares of tiny gradients would underflow.
  largest = over_image(jnp.max, jnp.abs(gradient))
  scaled = gradient / jnp.where(largest > 0, largest, 1.0)
  return scaled / jnp.maximum(length_of(scaled), 1.0)


def project(
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
  length = length_of(offset)
  shrink = radius / jnp.maximum(length, radius)
  inside = images + offset * jnp.where(length > radius, shrink, 1.0)
  # The images lie within the bounds, so this brings x nearer to them.
  return jnp.clip(inside, *bounds(low, high))


def bounds(low: float | None, high: float | None) -> tuple[float, float]:
  """The bounds as numbers, infinite where there is none."""
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


def distance(offset: jax.Array, norm: Norm) -> jax.Array:
  """How far the offsets from the images reach, [N, 1, ...]."""
  if norm == "linf":
    return over_image(jnp.max, jnp.abs(offset))
  return length_of(offset)


def length_of(x: jax.Array) -> jax.Array:
  """The Euclidean norm of each image, [N, 1, ...]."""
  return jnp.sqrt(over_image(jnp.sum, x * x))


def over_image(reduce: Callable[..., jax.Array], x: jax.Array) -> jax.Array:
  """A reduction over all but the first axis, [N, 1, ...]."""
  return reduce(x, axis=tuple(range(1, x.ndim)), keepdims=True)


def per_image(value: float | jax.Array, images: jax.Array) -> jax.Array:
  """A number or [N] as something that broadcasts against the images."""
  value = jnp.asarray(value, images.dtype)
  return wide(value, images) if value.ndim else value


def wide(values: jax.Array, images: jax.Array) -> jax.Array:
  """One value per image, [N], as [N, 1, ...]."""
  return values.reshape((-1,) + (1,) * (images.ndim - 1))
