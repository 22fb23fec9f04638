"""Image operations of the usual augmentations, as maps of a whole batch.

They follow Pillow, whose integers 0 to 255 are the levels 255 x of an image x
in [0, 1], and work on grey and colour images of any size. Images are planar
here, [N, C, H, W]: most operations work on one channel at a time, and on a CPU
a histogram of interleaved channels takes 25 times as long. Strengths are one
per image.
"""

import jax
import jax.numpy as jnp

LEVELS = 256


def autocontrast(images: jax.Array) -> jax.Array:
  """Stretches each channel of each image to the whole of [0, 1].

    y = (x - min x) / (max x - min x)

  Args:
    images: float32 [N, C, H, W] in [0, 1].

  Returns:
    The same shape; constant channels as they are.

  Example:
    >>> autocontrast(jnp.asarray([[[[0.25, 0.75]]]])).ravel().tolist()
    [0.0, 1.0]
  """
  least = images.min(axis=(2, 3), keepdims=True)
  span = images.max(axis=(2, 3), keepdims=True) - least
  flat = span <= 0
  return jnp.where(flat, images, (images - least) / jnp.where(flat, 1.0, span))


def equalize(images: jax.Array) -> jax.Array:
  """Spreads the levels of each channel so that their histogram is flat.

    y = ((s div 2 + #{pixels below x}) div s) / 255,  s = (HW - #{max}) div 255

  with #{max} the number of pixels at the channel's highest level; channels
  with s = 0, as in images of fewer than 256 pixels, stay as they are.

  Args:
    images: float32 [N, C, H, W] in [0, 1].

  Returns:
    The same shape.

  Example:
    >>> ramp = jnp.arange(1024).reshape((1, 1, 32, 32)) / 4096
    >>> bool(equalize(ramp).max() > 0.99)
    True
  """
  count, channels, height, width = images.shape
  pixels = height * width
  planes = images.reshape((count * channels, pixels))

  def spread(levels):
    # In float32, exact for these integers, because a division of integers
    # takes the time of all the rest.
    histogram = jnp.zeros(LEVELS, jnp.float32).at[levels].add(1.0)
    below = jnp.cumsum(histogram) - histogram
    # All pixels but those at the highest level.
    counted = jnp.max(jnp.where(below < pixels, below, 0.0))
    step = jnp.floor(counted / (LEVELS - 1))
    start = jnp.floor(step / 2)
    new = jnp.floor((start + below[levels]) / jnp.maximum(step, 1.0))
    return jnp.minimum(new / (LEVELS - 1), 1.0), step > 0

  equal, changes = jax.vmap(spread)(_levels(planes))
  planes = jnp.where(changes[:, None], equal, planes)
  return planes.reshape(images.shape)


def posterize(images: jax.Array, bits: jax.Array) -> jax.Array:
  """Keeps the leading bits of each level.

  Args:
    images: float32 [N, C, H, W] in [0, 1].
    bits: int32 [N], how many of the 8 bits.

  Returns:
    The same shape.

  Example:
    >>> x = jnp.full((1, 1, 1, 1), 255 / 255)
    >>> round(float(255 * posterize(x, jnp.asarray([4]))[0, 0, 0, 0]))
    240
  """
  lost = _wide(8 - bits)
  return ((_levels(images) >> lost) << lost) / jnp.float32(255)


def solarize(images: jax.Array, threshold: jax.Array) -> jax.Array:
  """Inverts the levels at and above a threshold.

    y = x if 255 x < threshold else 1 - x

  Args:
    images: float32 [N, C, H, W] in [0, 1].
    threshold: [N], a level, from 0 to 256.

  Returns:
    The same shape.

  Example:
    >>> x = jnp.asarray([[[[0.25, 0.75]]]])
    >>> solarize(x, jnp.asarray([128])).ravel().tolist()
    [0.25, 0.25]
  """
  return jnp.where(255 * images < _wide(threshold), images, 1 - images)


def affine(images: jax.Array, matrices: jax.Array) -> jax.Array:
  """Moves the pixels of each image by an affine map, with zeros outside.

    y(u, v) = x(a u + b v + c, d u + e v + f)

  with u to the right and v down, in pixels, the centre of the first pixel at
  (1/2, 1/2). Values between pixels are interpolated bilinearly; a point
  outside of the image is 0.

  Args:
    images: float32 [N, C, H, W].
    matrices: float32 [N, 6], the coefficients (a, b, c, d, e, f).

  Returns:
    The same shape.

  Example:
    >>> x = jnp.asarray([[[[1.0, 2.0, 3.0]]]])
    >>> affine(x, jnp.asarray([[1.0, 0, 1, 0, 1, 0]])).ravel().tolist()
    [2.0, 3.0, 0.0]
  """
  height, width = images.shape[2:]
  right = jnp.arange(width) + 0.5
  down = jnp.arange(height)[:, None] + 0.5

  def one_image(image, matrix):
    a, b, c, d, e, f = matrix
    column, row = a * right + b * down + c, d * right + e * down + f
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = column - 0.5, row - 0.5
    left, top = jnp.floor(column), jnp.floor(row)
    across, along = column - left, row - top

    def pixels(row, column):
      row = jnp.clip(row.astype(jnp.int32), 0, height - 1)
      column = jnp.clip(column.astype(jnp.int32), 0, width - 1)
      return image.reshape((-1, height * width))[:, row * width + column]

    def between(row):
      first, second = pixels(row, left), pixels(row, left + 1)
      return first + across * (second - first)

    upper, lower = between(top), between(top + 1)
    return jnp.where(inside, upper + along * (lower - upper), 0.0)

  return jax.vmap(one_image)(images, matrices)


def rotation(radians: jax.Array, height: int, width: int) -> jax.Array:
  """The matrices of `affine` that turn images about their centre.

  Args:
    radians: [N], counter-clockwise.
    height: of the images, in pixels.
    width: of the images, in pixels.

  Returns:
    float32 [N, 6].

  Example:
    >>> rotation(jnp.zeros(1), 4, 6).round(3).tolist() == [[1, 0, 0, 0, 1, 0]]
    True
  """
  cosine, sine = jnp.cos(radians), jnp.sin(radians)
  x, y = width / 2, height / 2
  return jnp.stack(
    [
      cosine,
      -sine,
      x - cosine * x + sine * y,
      sine,
      cosine,
      y - sine * x - cosine * y,
    ],
    axis=-1,
  )


def _levels(images: jax.Array) -> jax.Array:
  """The nearest levels, int32, 0 to 255."""
  levels = jnp.round(255 * images).astype(jnp.int32)
  return jnp.clip(levels, 0, LEVELS - 1)


def _wide(values: jax.Array) -> jax.Array:
  """[N] as something that broadcasts against [N, C, H, W]."""
  return values[:, None, None, None]
