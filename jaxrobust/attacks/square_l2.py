"""The Square attack in the Euclidean ball.

`square_l2` repeats one query inside one program. Who compiles `square_l2_step`
alone and calls it, as the evaluation does, gets the same images and can stop
between two queries.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.attacks import ball, gradient
from jaxrobust.attacks.ascent import LogitsFn
from jaxrobust.attacks.square import search, sides, worst_margin

_TINY = 1e-12
# The start tiles the image with patterns of a fifth of its height.
_TILES = 5


def square_l2(
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
  """Random search that moves the change's length between two squares.

  The first query tiles the image with a pattern, two heaps of opposite sign,
  at the full length eps. Each further query clears one random square of the
  change and puts its length into another, as the old change there plus the
  pattern with a random sign by channel; it is kept if it lowers the margin. The
  squares shrink as those of `square`.

  Args:
    key: [N] typed keys, one per image, or one key for all.
    logits_fn: From images [N, H, W, C] to logits [N, K]; an image's logits
      must not depend on the others. It need not have a gradient.
    images: float32 [N, H, W, C], within the bounds, of at least 5 x 5 pixels.
    labels: int32 [N], the true classes.
    eps: The radius of the ball, in units of the images; one number or [N].
    queries: How many changed images the network is shown of each image.
    p_init: The share of the pixels in the first square, in (0, 1].
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    float32 [N, H, W, C], at most eps from the image up to rounding: the query
    of the least margin, or the image itself if it was misclassified.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> def logits_fn(x):
    ...   total = x.sum((1, 2, 3))
    ...   return jnp.stack([total, 25.0 - total], axis=1)
    >>> images = jnp.full((1, 5, 5, 1), 0.55)
    >>> x = square_l2(
    ...   jax.random.key(0),
    ...   logits_fn,
    ...   images,
    ...   jnp.asarray([0]),
    ...   eps=1.0,
    ...   queries=50,
    ... )
    >>> float(x.sum()) < float(images.sum())
    True

  References:
    Andriushchenko et al., `Square Attack: a query-efficient black-box
    adversarial attack via random search <https://arxiv.org/abs/1912.00049>`_,
    2020, algorithms 1 and 3.
  """
  gradient.check(eps=eps, low=low, high=high)
  if images.ndim != 4 or min(images.shape[1:3]) < _TILES:
    raise ValueError(
      f"images of shape {images.shape}: must be [N, H, W, C] with H, W >= "
      f"{_TILES}"
    )
  keys = ball.image_keys(key, len(images))
  side = jnp.asarray(odd_sides(queries, p_init, images.shape[1:3]))
  shapes = jnp.asarray(patterns(images.shape[1:3]))
  where = {"eps": eps, "low": low, "high": high}

  def query(number, own_keys, x, worst):
    return square_l2_step(
      own_keys,
      logits_fn,
      x,
      worst,
      images,
      labels,
      side=side[number],
      shapes=shapes,
      **where,
    )

  def start(own_keys):
    return tiles(own_keys, images, **where)

  return search(keys, logits_fn, images, labels, start, query, queries)


def odd_sides(
  queries: int, p_init: float, image_size: tuple[int, ...]
) -> np.ndarray:
  """The side of each query's squares: those of `square`, made odd, at least 3.

  Args:
    queries: As for `square_l2`.
    p_init: As for `square_l2`.
    image_size: The height and the width.

  Returns:
    int32 [queries], in pixels; the first, of the tiles, is 0.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> odd_sides(5, 0.8, (8, 8)).tolist()
    [0, 7, 3, 3, 3]
  """
  found = sides(queries, p_init, image_size)
  odd = np.maximum(found, 3) // 2 * 2 + 1
  odd = np.minimum(odd, min(image_size))
  return np.where(found > 0, odd, 0).astype(np.int32)


@functools.lru_cache(maxsize=8)
def patterns(image_size: tuple[int, ...]) -> np.ndarray:
  """The pattern of each side, of unit length, upright and on its side.

  The upper half is a heap of rectangles around its middle, the k-th of weight
  1 / k^2, and the lower half another of opposite sign and equal length.

  Args:
    image_size: The height and the width.

  Returns:
    float32 [min(H, W) + 1, 2, H, W], indexed by the side and by whether it is
    turned; the pattern is in the upper left corner, and zeros beside it.

  Example:
    >>> found = patterns((5, 5))
    >>> found.shape, np.sign(found[3, 0, :4, 1]).tolist()
    ((6, 2, 5, 5), [1.0, -1.0, -1.0, 0.0])
  """
  height, width = image_size
  most = min(height, width)
  found = np.zeros((most + 1, 2, height, width), np.float32)
  for side in range(2, most + 1):
    upper = side // 2
    one = np.concatenate([_heap(upper, side), -_heap(side - upper, side)])
    one /= np.linalg.norm(one)
    found[side, 0, :side, :side] = one
    found[side, 1, :side, :side] = one.T
  return found


def tiles(
  keys: jax.Array,
  images: jax.Array,
  *,
  eps: float | jax.Array,
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> jax.Array:
  """The first query: the image tiled with patterns of random signs.

  Args:
    keys: [N] typed keys.
    images: As for `square_l2`, and so are the others.
    eps: The radius.
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    float32 [N, H, W, C].

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 1)
    >>> x = tiles(keys, jnp.full((1, 10, 10, 1), 0.5), eps=1.0)
    >>> round(float(jnp.linalg.norm(x - 0.5)), 3)
    1.0
  """
  height, width, channels = images.shape[1:]
  side = height // _TILES
  down, across = height // side, width // side
  shape = (down, across, channels, 2)
  coins = jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, shape))(keys)
  upright = patterns((max(side, 1), max(side, 1)))[side]
  if side == 1:
    upright = np.ones_like(upright)
  turned = coins[..., 1, None, None]
  drawn = jnp.where(turned, upright[1], upright[0])
  drawn = drawn * jnp.where(coins[..., 0, None, None], 1.0, -1.0)
  # [N, down, across, C, side, side] to [N, H, W, C]
  whole = drawn.transpose((0, 1, 4, 2, 5, 3)).reshape(
    (len(images), down * side, across * side, channels)
  )
  top, left = (height - _TILES * side) // 2, (width - across * side) // 2
  top = min(top, height - down * side)
  offset = jnp.pad(
    whole,
    (
      (0, 0),
      (top, height - down * side - top),
      (left, width - across * side - left),
      (0, 0),
    ),
  )
  return _at_length(offset, images, eps, low, high)


def square_l2_step(
  keys: jax.Array,
  logits_fn: LogitsFn,
  x: jax.Array,
  worst: jax.Array,
  images: jax.Array,
  labels: jax.Array,
  *,
  side: int | jax.Array,
  shapes: jax.Array,
  eps: float | jax.Array,
  low: float | None = 0.0,
  high: float | None = 1.0,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """One query: the change moved from a square to another, if it does harm.

  Args:
    keys: [N] typed keys of this query.
    logits_fn: As for `square_l2`, and so are the others.
    x: float32 [N, H, W, C], the images so far.
    worst: float32 [N], their `worst_margin`; a positive one ends the attack.
    images: The centres of the balls.
    labels: int32 [N].
    side: The squares' side in pixels, of `odd_sides`; it may be traced.
    shapes: What `patterns` gives.
    eps: The radius of the ball.
    low: The least value of an element; None for no bound.
    high: The largest value of an element; None for no bound.

  Returns:
    The images, their `worst_margin`, and the logits [N, K] of the query.

  Example:
    >>> def logits_fn(x):
    ...   total = x.sum((1, 2, 3))
    ...   return jnp.stack([total, -total], axis=1)
    >>> images, label = jnp.full((1, 5, 5, 1), 0.5), jnp.asarray([0])
    >>> keys = jax.random.split(jax.random.key(0), 1)
    >>> x, _, _ = square_l2_step(
    ...   keys,
    ...   logits_fn,
    ...   tiles(keys, images, eps=1.0),
    ...   jnp.asarray([-30.0]),
    ...   images,
    ...   label,
    ...   side=3,
    ...   shapes=jnp.asarray(patterns((5, 5))),
    ...   eps=1.0,
    ... )
    >>> bool(jnp.linalg.norm(x - images) <= 1.0001)
    True
  """
  height, width, channels = images.shape[1:]
  unit = jax.vmap(lambda key: jax.random.uniform(key, (5 + channels,)))(keys)
  change = x - images

  def corner(position, size):
    return jnp.floor(position * (size - side + 1)).astype(jnp.int32)

  rows, columns = corner(unit[:, 0], height), corner(unit[:, 1], width)
  into = _window(rows, columns, side, height, width)
  cleared = _window(
    corner(unit[:, 2], height), corner(unit[:, 3], width), side, height, width
  )
  pattern = _placed(
    shapes[side][(unit[:, 4] < 0.5).astype(jnp.int32)], rows, columns
  )
  signs = jnp.where(unit[:, None, None, 5:] < 0.5, 1.0, -1.0)

  def channel_length(values):
    return jnp.sqrt(jnp.sum(values**2, axis=(1, 2), keepdims=True))

  old = jnp.where(into, change, 0.0)
  fresh = pattern[..., None] * signs + old / (channel_length(old) + _TINY)
  fresh = fresh / (channel_length(fresh) + _TINY)
  spare = jnp.maximum(
    ball.per_image(eps, images) ** 2 - ball.length_of(change) ** 2, 0.0
  )
  freed = channel_length(jnp.where(into | cleared, change, 0.0))
  fresh = fresh * jnp.sqrt(spare / channels + freed**2)
  moved = jnp.where(into, fresh, jnp.where(cleared, 0.0, change))
  tried = _at_length(moved, images, eps, low, high)
  logits = logits_fn(tried)
  margin = worst_margin(logits, labels)
  better = (margin > worst) & (worst <= 0)
  return (
    jnp.where(ball.wide(better, x), tried, x),
    jnp.where(better, margin, worst),
    logits,
  )


def _heap(height: int, width: int) -> np.ndarray:
  """Rectangles around the middle, the k-th of weight 1 / k^2; of length 1."""
  heap = np.zeros((height, width), np.float32)
  row, column = height // 2, width // 2
  for k in range(max(height, width) // 2 + 1):
    rows = slice(max(row - k, 0), max(row + k + 1, 0))
    columns = slice(max(column - k, 0), max(column + k + 1, 0))
    heap[rows, columns] += 1.0 / (k + 1) ** 2
  return heap / np.linalg.norm(heap)


def _window(
  rows: jax.Array,
  columns: jax.Array,
  side: int | jax.Array,
  height: int,
  width: int,
) -> jax.Array:
  """Which pixels a square covers, bool [N, H, W, 1]."""

  def inside(first, size):
    place = jnp.arange(size)
    return (place >= first[:, None]) & (place < first[:, None] + side)

  return (inside(rows, height)[:, :, None] & inside(columns, width)[:, None])[
    ..., None
  ]


def _placed(
  pattern: jax.Array, rows: jax.Array, columns: jax.Array
) -> jax.Array:
  """The patterns [N, H, W] moved down and right from the corner."""
  return jax.vmap(lambda p, r, c: jnp.roll(p, (r, c), axis=(0, 1)))(
    pattern, rows, columns
  )


def _at_length(
  offset: jax.Array,
  images: jax.Array,
  eps: float | jax.Array,
  low: float | None,
  high: float | None,
) -> jax.Array:
  """The images changed by the offset, stretched to eps, within the bounds."""
  unit = offset / (ball.length_of(offset) + _TINY)
  return jnp.clip(
    images + ball.per_image(eps, images) * unit, *ball.bounds(low, high)
  )
