"""Glass blur: pixels change places with near ones between two blurs."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.corruptions import separable
from jaxrobust.corruptions.noise import clip


def glass_blur(
  keys: jax.Array,
  images: jax.Array,
  rows: jax.Array,
  columns: jax.Array,
  reach: jax.Array,
  rounds: jax.Array,
) -> jax.Array:
  """Blurs, lets every pixel take the place of a near one, and blurs again.

  Pixels come one after the other, from the lower right; each becomes what a
  pixel at most `reach` away is by then. Who looks at whom makes chains, which
  are followed by doubling, so that no pixel waits for another.

  Args:
    keys: [N] typed keys.
    images: float32 [N, H, W, C] in [0, 1].
    rows: float32 [1, H, H] of the blur.
    columns: float32 [1, W, W].
    reach: int32: a shift is from -reach to reach - 1.
    rounds: bool [R], which of the rounds take place.

  Returns:
    float32 [N, H, W, C] in [0, 1].
  """
  number, height, width, channels = images.shape
  blurred = separable.product(images, rows, columns)
  # One word a turn, in a row: half of it says how far along each axis.
  bits = jax.vmap(
    lambda key: jax.random.bits(key, (len(rounds) * height * width,))
  )(keys).reshape((number, len(rounds), height, width))
  # The modulo's bias is below 2^-13.
  across, down = (
    half.astype(jnp.int32) % (2 * reach) - reach
    for half in (bits & 0xFFFF, bits >> 16)
  )
  sources = jnp.broadcast_to(
    jnp.arange(height * width), (number, height * width)
  )
  for turn in range(len(rounds)):
    margin = jnp.where(rounds[turn], reach, height)
    target = targets(down[:, turn], across[:, turn], margin)
    sources = jnp.take_along_axis(
      sources, followed(target), axis=1, mode="promise_in_bounds"
    )
  flat = blurred.reshape((number, height * width, channels))
  shuffled = jnp.take_along_axis(
    flat, sources[..., None], axis=1, mode="promise_in_bounds"
  )
  shuffled = shuffled.reshape(images.shape)
  return clip(separable.product(shuffled, rows, columns))


def targets(down: jax.Array, across: jax.Array, margin: jax.Array) -> jax.Array:
  """Whom each pixel looks at: int32 [N, H W] of shifts [N, H, W] by axis.

  Pixels less than `margin` from the border look at themselves.
  """
  number, height, width = down.shape
  row, column = jnp.arange(height)[:, None], jnp.arange(width)
  inside = (
    (row > margin)
    & (row <= height - margin)
    & (column > margin)
    & (column <= width - margin)
  )
  own = row * width + column
  target = jnp.where(inside, own + down * width + across, own)
  return target.reshape((number, height * width))


def followed(target: jax.Array) -> jax.Array:
  """Which pixel each one shows after a round: int32 [N, H W].

  From the last pixel to the first, one after the other: i shows what its
  target shows by then, if the target comes after i and so had its turn, or
  else the target itself.
  """
  own = jnp.arange(target.shape[1])
  jump = jnp.where(target > own, target, own)

  def double(state):
    jump, _ = state
    farther = jnp.take_along_axis(jump, jump, axis=1, mode="promise_in_bounds")
    return farther, (farther != jump).any()

  jump, _ = jax.lax.while_loop(
    lambda state: state[1], double, (jump, jnp.asarray(True))
  )
  return jnp.take_along_axis(target, jump, axis=1, mode="promise_in_bounds")


def swap_blur(
  keys: jax.Array,
  images: jax.Array,
  rows: jax.Array,
  columns: jax.Array,
  *,
  reach: int,
  rounds: int,
) -> jax.Array:
  """As `glass_blur`, but pixels truly swap, every second one by chance.

  This is what MNIST-C's program does with images of one channel. Swaps come
  one after the other.

  Args:
    keys: [N] typed keys.
    images: float32 [N, H, W, 1] in [0, 1].
    rows: float32 [1, H, H] of the blur.
    columns: float32 [1, W, W].
    reach: A shift is from -reach to reach - 1.
    rounds: How often every pixel has its turn.

  Returns:
    float32 [N, H, W, 1] in [0, 1].
  """
  number, height, width, _ = images.shape
  blurred = separable.product(images, rows, columns)
  turns = [
    (h, w)
    for h in range(height - reach, reach, -1)
    for w in range(width - reach, reach, -1)
  ] * rounds
  places = np.asarray([h * width + w for h, w in turns], np.int32)
  bits = jax.vmap(lambda key: jax.random.bits(key, (len(turns), 3), "uint16"))(
    keys
  ).astype(jnp.int32)
  shifts = bits[..., :2] % (2 * reach) - reach
  targets = places + shifts[..., 1] * width + shifts[..., 0]
  targets = jnp.where(bits[..., 2] % 2 == 1, targets, places)
  # Pixels before images: a turn reads and writes rows.
  flat = blurred.reshape((number, height * width)).T
  everyone = jnp.arange(number)

  def swap(pixels, turn):
    place, target = turn
    here, there = pixels[place], pixels[target, everyone]
    pixels = pixels.at[target, everyone].set(here)
    return pixels.at[place].set(there), None

  flat, _ = jax.lax.scan(swap, flat, (places, targets.T))
  return clip(separable.product(flat.T.reshape(images.shape), rows, columns))


def settings(
  sides: Sequence[int], rows_of_five: Sequence[tuple[float, int, int]]
) -> tuple[np.ndarray, ...]:
  """The arrays that `glass_blur` takes, with a leading axis of severities."""
  matrices = separable.stacked(
    [separable.gaussian(sides, sigma) for sigma, _, _ in rows_of_five]
  )
  reach = np.asarray([reach for _, reach, _ in rows_of_five], np.int32)
  rounds = np.asarray([rounds for _, _, rounds in rows_of_five])
  return *matrices, reach, np.arange(rounds.max()) < rounds[:, None]
