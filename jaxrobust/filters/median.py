"""The median filter, as a network of exchanges over whole images."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from jaxrobust.filters import checks


def median(images: jax.Array, size: int) -> jax.Array:
  """Takes the median of the square window about each pixel.

    m_ij = median { x_kl : |k - i|, |l - j| <= r },  size = 2 r + 1

  with images mirrored at their borders, the pixel at the border counting twice.
  Its derivative is that of the pixel that is the median; pixels of one window
  that tie share it.

  A network of minima and maxima finds all medians at once. It grows with the
  window: 24 exchanges for 3 x 3, 113 for 5 x 5.

  Args:
    images: [N, H, W, C] in [0, 1], of floats.
    size: The side of the window, odd, in pixels.

  Returns:
    float32, the same shape, in [0, 1].

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> row = jnp.asarray([0.0, 0.0, 9.0, 1.0, 1.0]).reshape((1, 1, 5, 1)) / 9
    >>> (9 * median(row, 3)).ravel().round(3)
    Array([0., 0., 1., 1., 1.], dtype=float32)

  References:
    Batcher, "Sorting networks and their applications", AFIPS 1968. Huang, Yang
    and Tang, "A fast two-dimensional median filtering algorithm", 1979.
  """
  checks.require_images(images)
  odd = size == int(size) and size >= 1 and size % 2 == 1
  checks.require(size, "size", "be an odd whole number", odd)
  return _median(jnp.asarray(images, jnp.float32), int(size))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _median(images: jax.Array, size: int) -> jax.Array:
  values = _windows(images, size)
  for low, high in _exchanges(size * size):
    smaller = jnp.minimum(values[low], values[high])
    values[high] = jnp.maximum(values[low], values[high])
    values[low] = smaller
  return values[len(values) // 2]


@_median.defjvp
def _median_tangent(size, primals, tangents):
  # Through the network it would take half a minute to compile.
  (images,), (tangent,) = primals, tangents
  found = _median(images, size)
  chosen = [value == found for value in _windows(images, size)]
  moved = _windows(tangent, size)
  count = sum(one.astype(jnp.float32) for one in chosen)
  total = sum(
    jnp.where(one, value, 0.0) for one, value in zip(chosen, moved, strict=True)
  )
  return found, total / count


def _windows(images: jax.Array, size: int) -> list[jax.Array]:
  """Every pixel of the windows: the images, moved by each of the steps."""
  radius = size // 2
  widths = ((0, 0), (radius, radius), (radius, radius), (0, 0))
  wide = jnp.pad(images, widths, mode="symmetric")
  height, width = images.shape[1:3]
  return [
    wide[:, down : down + height, along : along + width]
    for down in range(size)
    for along in range(size)
  ]


@functools.cache
def _exchanges(number: int) -> tuple[tuple[int, int], ...]:
  """The exchanges that bring the median of so many values to the middle.

  Those of Batcher's odd-even merge sort, without the ones that the middle does
  not depend on.
  """
  wanted, kept = {number // 2}, []
  for exchange in reversed(tuple(_merge_sort(number))):
    if wanted.intersection(exchange):
      wanted.update(exchange)
      kept.append(exchange)
  return tuple(reversed(kept))


def _merge_sort(number: int) -> Iterator[tuple[int, int]]:
  """The exchanges (low, high) of Batcher's odd-even merge sort, in order."""
  run = 1
  while run < number:
    step = run
    while step >= 1:
      for first in range(step % run, number - step, 2 * step):
        for low in range(first, min(first + step, number - step)):
          if low // (2 * run) == (low + step) // (2 * run):
            yield low, low + step
      step //= 2
    run *= 2
