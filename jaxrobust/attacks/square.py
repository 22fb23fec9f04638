"""The Square attack: random search that sees logits and no gradient.

`square` repeats one query inside one program. Who compiles `square_step` alone
and calls it, as the evaluation does, gets the same images and can stop between
two queries.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.attacks import ball, gradient, objectives
from jaxrobust.attacks.ascent import LogitsFn

# After how many queries in 10,000 the share of the pixels is halved again.
_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
# A colour that changes nothing is drawn again, up to so often. For one channel,
# the worst case, half of the colours do.
_COLOURS = 16


def square(
  key: jax.Array,
  logits_fn: LogitsFn,
  images: jax.Array,
  labels: jax.Array,
  *,
  eps: float | jax.Array,
  queries: int,
  p_init: float = 0.8,
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> jax.Array:
  """Random search over squares of one colour, in the ball of the norm "linf".

  The first query is the image with vertical stripes, +eps or -eps by column
  and channel. Each further query sets a square of side

    round(sqrt(p H W))

  at a random place to the image's pixels +eps or -eps by channel, and keeps it
  if it lowers the margin z_y - max_{k != y} z_k. The share p of the pixels is
  halved nine times, after 0.1, 0.5, 2, 5, 10, 20, 40, 60 and 80 % of the
  queries. An image is attacked until its margin is negative. Every pixel stays
  at an end of its range, where small balls have their worst cases.

  Args:
    key: [N] typed keys, one per image, or one key for all. With a key of its
      own, what an image becomes does not depend on the batch it is in.
    logits_fn: From images [N, H, W, C] to logits [N, K]; an image's logits
      must not depend on the others. It need not have a gradient.
    images: float32 [N, H, W, C], within the bounds.
    labels: int32 [N], the true classes.
    eps: The radius of the ball, in units of the images; one number or [N].
    queries: How many changed images the network is shown of each image.
    p_init: The share of the pixels in the first square, in (0, 1].
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    float32 [N, H, W, C], no element further than eps from the image's: the
    query of the least margin, or the image itself if it was misclassified.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> def logits_fn(x):
    ...   total = x.sum((1, 2, 3))
    ...   return jnp.stack([total, 2.0 - total], axis=1)
    >>> x = square(
    ...   jax.random.key(0),
    ...   logits_fn,
    ...   jnp.full((1, 2, 2, 1), 0.5),
    ...   jnp.asarray([0]),
    ...   eps=0.3,
    ...   queries=50,
    ... )
    >>> float(x.sum()) < 1.0
    True

  References:
    Andriushchenko et al., `Square Attack: a query-efficient black-box
    adversarial attack via random search <https://arxiv.org/abs/1912.00049>`_,
    2020, algorithms 1 and 2, with p_init = 0.05. The schedule of p by share of
    the queries and p_init = 0.8: Croce and Hein, `Reliable evaluation of
    adversarial robustness <https://arxiv.org/abs/2003.01690>`_, 2020.
  """
  gradient.check(eps=eps, low=low, high=high)
  if images.ndim != 4:
    raise ValueError(f"images of shape {images.shape}: must be [N, H, W, C]")
  keys = ball.image_keys(key, len(images))
  side = jnp.asarray(sides(queries, p_init, images.shape[1:3]))
  where = {"eps": eps, "low": low, "high": high}

  def query(number, own_keys, x, worst):
    return square_step(
      own_keys,
      logits_fn,
      x,
      worst,
      images,
      labels,
      side=side[number],
      **where,
    )

  def start(own_keys):
    return stripes(own_keys, images, **where)

  return search(keys, logits_fn, images, labels, start, query, queries)


def search(
  keys: jax.Array,
  logits_fn: LogitsFn,
  images: jax.Array,
  labels: jax.Array,
  start: Callable[[jax.Array], jax.Array],
  query: Callable[..., tuple[jax.Array, jax.Array, jax.Array]],
  queries: int,
) -> jax.Array:
  """Random search: a start, and one query after the other.

  Args:
    keys: [N] typed keys.
    logits_fn: As for `square`, and so are the others.
    images: The centres of the balls.
    labels: int32 [N].
    start: (keys of the query) -> the first images.
    query: (number, keys of the query, images, their `worst_margin`) -> as
      `square_step`.
    queries: How many, the start among them.

  Returns:
    The images of the least margin; an image itself if it was misclassified.

  Example:
    >>> def logits_fn(x):
    ...   return jnp.stack([x.sum((1, 2, 3)), -x.sum((1, 2, 3))], axis=1)
    >>> keys = jax.random.split(jax.random.key(0), 1)
    >>> x, label = jnp.ones((1, 1, 1, 1)), jnp.asarray([0])
    >>> def query(number, keys, x, worst):
    ...   return x, worst, worst
    >>> found = search(keys, logits_fn, x, label, lambda keys: -x, query, 2)
    >>> found.item()
    -1.0
  """

  def of_query(number):
    return jax.vmap(jax.random.fold_in, (0, None))(keys, number)

  def step(number, carry):
    return query(number, of_query(number), *carry)[:2]

  unchanged = worst_margin(logits_fn(images), labels)
  fell = unchanged > 0
  first = start(of_query(0))
  x = jnp.where(ball.wide(fell, images), images, first)
  worst = jnp.where(fell, unchanged, worst_margin(logits_fn(first), labels))
  return jax.lax.fori_loop(1, queries, step, (x, worst))[0]


def sides(
  queries: int, p_init: float, image_size: tuple[int, ...]
) -> np.ndarray:
  """The side of each query's square.

  Args:
    queries: As for `square`.
    p_init: As for `square`.
    image_size: The height and the width.

  Returns:
    int32 [queries], in pixels; the first, of the stripes, is 0.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> sides(5, 0.8, (8, 8)).tolist()
    [0, 7, 1, 1, 1]
  """
  if queries < 1:
    raise ValueError(f"queries={queries}: must be at least 1")
  if not 0 < p_init <= 1:
    raise ValueError(f"p_init={p_init}: must be in (0, 1]")
  # The first square is the published loop's query 0.
  done = np.arange(queries - 1) * 10_000 // queries
  halvings = np.searchsorted(_HALVED_AFTER, done)
  pixels = p_init * 0.5**halvings * math.prod(image_size)
  found = np.clip(np.rint(np.sqrt(pixels)), 1, min(image_size))
  return np.concatenate([[0], found]).astype(np.int32)


def stripes(
  keys: jax.Array,
  images: jax.Array,
  *,
  eps: float | jax.Array,
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> jax.Array:
  """The first query: vertical stripes at the ends of the pixels' ranges.

  Args:
    keys: [N] typed keys.
    images: As for `square`, and so are the others.
    eps: The radius.
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    float32 [N, H, W, C].

  Example:
    >>> images = jnp.full((1, 2, 2, 1), 0.5)
    >>> keys = jax.random.split(jax.random.key(0), 1)
    >>> x = stripes(keys, images, eps=0.25)
    >>> bool((x[:, 0] == x[:, 1]).all())
    True
  """
  shape = (1, *images.shape[2:])
  brighter = jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, shape))(keys)
  lower, upper = ball.box(images, eps=eps, low=low, high=high)
  return jnp.where(brighter, upper, lower)


def square_step(
  keys: jax.Array,
  logits_fn: LogitsFn,
  x: jax.Array,
  worst: jax.Array,
  images: jax.Array,
  labels: jax.Array,
  *,
  side: int | jax.Array,
  eps: float | jax.Array,
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """One query: a square of another colour, kept where it does harm.

  Args:
    keys: [N] typed keys of this query.
    logits_fn: As for `square`, and so are the others.
    x: float32 [N, H, W, C], the images so far.
    worst: float32 [N], their `worst_margin`; a positive one ends the attack.
    images: The centres of the balls.
    labels: int32 [N].
    side: The square's side in pixels, at most the image's; it may be traced.
    eps: The radius of the ball.
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    The images, their `worst_margin`, and the logits [N, K] of the query.

  Example:
    >>> def logits_fn(x):
    ...   total = x.sum((1, 2, 3))
    ...   return jnp.stack([total, -total], axis=1)
    >>> x, label = jnp.full((1, 2, 2, 1), 0.5), jnp.asarray([0])
    >>> keys = jax.random.split(jax.random.key(1), 1)
    >>> x, worst, _ = square_step(
    ...   keys, logits_fn, x, jnp.asarray([-4.0]), x, label, side=1, eps=0.25
    ... )
    >>> float(x.sum()), worst.tolist()
    (1.75, [-3.5])
  """
  lower, upper = ball.box(images, eps=eps, low=low, high=high)
  tried = _paint(keys, x, lower, upper, side)
  logits = logits_fn(tried)
  margin = worst_margin(logits, labels)
  better = (margin > worst) & (worst <= 0)
  return (
    jnp.where(ball.wide(better, x), tried, x),
    jnp.where(better, margin, worst),
    logits,
  )


def worst_margin(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """`objectives.margin`, infinite where the logits are not numbers.

  Args:
    logits: float32 [N, K].
    labels: int32 [N].

  Returns:
    float32 [N], positive where the answer is wrong.

  Example:
    >>> logits = jnp.asarray([[1.0, 3.0], [math.nan, 0.0]])
    >>> worst_margin(logits, jnp.asarray([0, 1])).tolist()
    [2.0, inf]
  """
  margin = objectives.margin(logits, labels)
  return jnp.where(jnp.isnan(margin), jnp.inf, margin)


def _paint(
  keys: jax.Array,
  x: jax.Array,
  lower: jax.Array,
  upper: jax.Array,
  side: int | jax.Array,
) -> jax.Array:
  """Puts a random square on x, of a random colour that changes something."""
  height, width, channels = x.shape[1:]
  # One draw for all: each site of drawing takes its time to compile.
  unit = jax.vmap(
    lambda key: jax.random.uniform(key, (2 + _COLOURS * channels,))
  )(keys)

  def covered(position, size):
    """Which of so many rows or columns the square covers, [N, size]."""
    first = jnp.floor(position * (size - side + 1))[:, None]
    place = jnp.arange(size)
    return (place >= first) & (place < first + side)

  inside = (
    covered(unit[:, 0], height)[:, :, None, None]
    & covered(unit[:, 1], width)[:, None, :, None]
  )
  brighter = unit[:, 2:].reshape((-1, _COLOURS, channels)) < 0.5

  def changes(end):
    """Whether this end of the ranges is new to a channel, [N, 1, C]."""
    return jnp.any(inside & (x != end), axis=(1, 2))[:, None]

  changed = jnp.where(brighter, changes(upper), changes(lower)).any(axis=2)
  first = jnp.argmax(changed, axis=1)
  chosen = jnp.take_along_axis(brighter, first[:, None, None], axis=1)
  colour = jnp.where(chosen[:, :, None, :], upper, lower)
  return jnp.where(inside, colour, x)
