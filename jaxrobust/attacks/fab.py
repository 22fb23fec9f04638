"""The fast adaptive boundary attack: a misclassified image near the original.

It has no radius. It goes back and forth over the boundary to one class, by
projections onto its linearisation, each time nearer to the original. `fab`
repeats one step inside one program; the evaluation calls `fab_step` alone.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrobust.attacks import ball, gradient
from jaxrobust.attacks.ascent import LogitsFn
from jaxrobust.attacks.ball import Norm

# Of the published attack: how far over the boundary, how strongly to the
# original at most, how far back once over the boundary.
_OVER, _TO_ORIGINAL, _BACK = 1.05, 0.1, 0.9
# Newton steps of a projection, at most. The function is piecewise linear and
# concave, so that they never overshoot, and end in the right piece.
_NEWTON = 12


class Search(NamedTuple):
  """Where the attack stands with each image.

  Attributes:
    x: float32 [N, ...], the iterate.
    nearest: The nearest misclassified image so far, the original if none.
    distance: float32 [N], its distance; infinite if there is none.
  """

  x: jax.Array
  nearest: jax.Array
  distance: jax.Array


def fab(
  logits_fn: LogitsFn,
  images: jax.Array,
  labels: jax.Array,
  targets: jax.Array,
  *,
  steps: int = 100,
  norm: Norm = "linf",
  low: float = 0.0,
  high: float = 1.0,
) -> Search:
  """Searches the nearest image that the network takes for another class.

    d_t = Pi(x_t) - x_t,  d_0 = Pi(x_0) - x_0
    x_{t+1} = clip((1 - a)(x_t + 1.05 d_t) + a (x_0 + 1.05 d_0))
    a = min(|d_t| / (|d_t| + |d_0|), 0.1)

  with Pi the nearest point, within the bounds, at which the logits' linear
  continuation from x_t gives the label and the target the same logit. Once the
  image is misclassified, it is kept if it is the nearest, and the search goes
  on from x_0 + 0.9 (x_{t+1} - x_0).

  Args:
    logits_fn: From images [N, ...] to logits [N, K]; an image's logits must
      not depend on the others.
    images: float32 [N, ...], within the bounds, x_0.
    labels: int32 [N], the true classes.
    targets: int32 [N], other classes, to whose boundary the search goes; what
      counts is any wrong answer.
    steps: The number of steps.
    norm: "linf" or "l2", of the distance.
    low: The least value of an element.
    high: The largest value of an element.

  Returns:
    The nearest images and their distances; of an image that was misclassified
    itself the image, at 0.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> def logits_fn(x):
    ...   return jnp.stack([x.sum(1), 0.5 + 0 * x.sum(1)], axis=1)
    >>> found = fab(
    ...   logits_fn,
    ...   jnp.asarray([[0.5, 0.5]]),
    ...   jnp.asarray([0]),
    ...   jnp.asarray([1]),
    ...   steps=20,
    ... )
    >>> round(float(found.distance[0]), 2)
    0.25

  References:
    Croce and Hein, `Minimally distorted adversarial examples with a fast
    adaptive boundary attack <https://arxiv.org/abs/1907.02044>`_, 2020,
    algorithm 1; the targeted version: `arXiv:2003.01690
    <https://arxiv.org/abs/2003.01690>`_, section 5.
  """
  gradient.check(eps=0.0, steps=steps, norm=norm, low=low, high=high)

  def step(_, search):
    return fab_step(
      logits_fn,
      search,
      images,
      labels,
      targets,
      norm=norm,
      low=low,
      high=high,
    )[0]

  fell = jnp.argmax(logits_fn(images), axis=1) != labels
  search = Search(images, images, jnp.where(fell, 0.0, jnp.inf))
  return jax.lax.fori_loop(0, steps, step, search)


def fab_step(
  logits_fn: LogitsFn,
  search: Search,
  images: jax.Array,
  labels: jax.Array,
  targets: jax.Array,
  *,
  norm: Norm = "linf",
  low: float = 0.0,
  high: float = 1.0,
) -> tuple[Search, jax.Array, jax.Array]:
  """One step: over the boundary and, if that succeeded, part of the way back.

  Args:
    logits_fn: As for `fab`, and so are the others.
    search: Where the attack stands.
    images: The originals.
    labels: int32 [N].
    targets: int32 [N].
    norm: "linf" or "l2".
    low: The least value of an element.
    high: The largest value of an element.

  Returns:
    Where it stands then, the image tried, and the logits [N, K] there.

  Example:
    >>> def logits_fn(x):
    ...   return jnp.stack([x.sum(1), 0.5 + 0 * x.sum(1)], axis=1)
    >>> x, label = jnp.asarray([[0.5, 0.5]]), jnp.asarray([0])
    >>> search = Search(x, x, jnp.asarray([jnp.inf]))
    >>> search, tried, _ = fab_step(logits_fn, search, x, label, label + 1)
    >>> tried.round(4).tolist(), search.distance.round(4).tolist()
    ([[0.23749999701976776, 0.23749999701976776]], [0.26249998807907104])
  """
  x = search.x

  def lead(x):
    logits = logits_fn(x)
    rows = jnp.arange(len(logits))
    leads = logits[rows, labels] - logits[rows, targets]
    return leads.sum(), leads

  normal, leads = jax.grad(lead, has_aux=True)(x)
  normal = jnp.nan_to_num(normal)
  slope = _dot(normal, x - images)
  step = to_plane(normal, -leads, x, norm=norm, low=low, high=high)
  # At the original, the same plane is as far as the slope says.
  fresh = to_plane(
    normal, -leads + slope, images, norm=norm, low=low, high=high
  )
  lengths = [jnp.maximum(ball.distance(d, norm), 1e-8) for d in (step, fresh)]
  share = jnp.minimum(lengths[0] / (lengths[0] + lengths[1]), _TO_ORIGINAL)
  tried = jnp.clip(
    (1 - share) * (x + _OVER * step) + share * (images + _OVER * fresh),
    low,
    high,
  )
  logits = logits_fn(tried)
  fooled = jnp.argmax(logits, axis=1) != labels
  offset = tried - images
  distance = ball.distance(offset, norm).reshape(-1)
  nearer = fooled & (distance < search.distance)
  over = ball.wide(fooled, x)
  search = Search(
    jnp.where(over, images + _BACK * offset, tried),
    jnp.where(ball.wide(nearer, x), tried, search.nearest),
    jnp.where(nearer, distance, search.distance),
  )
  return search, tried, logits


def to_plane(
  normal: jax.Array,
  offset: jax.Array,
  x: jax.Array,
  *,
  norm: Norm = "linf",
  low: float = 0.0,
  high: float = 1.0,
) -> jax.Array:
  """The shortest step from each image to a plane that stays in the bounds.

    min |d|  subject to  <w, d> = b,  low <= x + d <= high

  For "linf", d_i = sign(b w_i) min(r, room_i), and for "l2", d_i = clip(l w_i)
  into the room that is left; r or l is the root of a piecewise linear, concave
  function, found by Newton's method from 0, without sorting.

  Args:
    normal: float32 [N, ...], w.
    offset: float32 [N], b.
    x: float32 [N, ...], within the bounds.
    norm: "linf" or "l2".
    low: The least value of an element.
    high: The largest value of an element.

  Returns:
    float32 [N, ...], the step d. If no point within the bounds is on the plane,
    the way to the corner that is nearest to it; 0 where the normal is.

  Example:
    >>> step = to_plane(
    ...   jnp.asarray([[1.0, 4.0]]),
    ...   jnp.asarray([1.5]),
    ...   jnp.asarray([[0.0, 0.75]]),
    ... )
    >>> step.round(3).tolist()
    [[0.5, 0.25]]
  """
  # As vectors: reduced over three axes, it takes twenty times as long on a CPU.
  shape, count = x.shape, len(x)
  normal, x = normal.reshape((count, -1)), x.reshape((count, -1))
  scale = ball.over_image(jnp.max, jnp.abs(normal))
  wanted = ball.wide(offset, x) / jnp.where(scale > 0, scale, 1.0)
  # In the direction in which <w, d> falls or rises, as wanted.
  uphill = normal / jnp.where(scale > 0, scale, 1.0) * jnp.sign(wanted)
  weight = jnp.abs(uphill)
  room = jnp.where(uphill > 0, high - x, x - low)
  goal = jnp.abs(wanted)
  # The step grows with the multiplier at this rate, until there is no room.
  rate = jnp.ones_like(weight) if norm == "linf" else weight

  def newton(state):
    number, multiplier, _ = state
    free = multiplier * rate < room
    reached = ball.over_image(
      jnp.sum, weight * jnp.minimum(multiplier * rate, room)
    )
    gain = ball.over_image(jnp.sum, jnp.where(free, weight * rate, 0.0))
    missing = goal - reached
    # Without any free element the corner is reached: no multiplier does more.
    more = jnp.where(gain > 0, missing / jnp.where(gain > 0, gain, 1.0), 0.0)
    larger = multiplier + jnp.maximum(more, 0.0)
    return number + 1, larger, jnp.any(larger > multiplier)

  _, multiplier, _ = jax.lax.while_loop(
    lambda state: (state[0] < _NEWTON) & state[2],
    newton,
    (0, jnp.zeros_like(goal), jnp.asarray(True)),
  )
  step = jnp.sign(uphill) * jnp.minimum(multiplier * rate, room)
  return step.reshape(shape)


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
  return jnp.sum(a * b, axis=tuple(range(1, a.ndim)))
