"""JPEG there and back: libjpeg's integers, as whole arrays.

The entropy coder is left out, for it loses nothing. What is left is integer
arithmetic, done here as the reference implementation does it (its accurate
integer transforms, chroma at half the resolution, smooth upsampling), for all
blocks at once: the pixels are those of an encoder and a decoder.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.corruptions.noise import clip

# ITU-T T.81, tables K.1 and K.2: steps of quality 50.
_LUMA = np.asarray(
  [
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
  ]
)
_CHROMA = np.full((8, 8), 99)
_CHROMA[:4, :4] = [
  [17, 18, 24, 47],
  [18, 21, 26, 66],
  [24, 26, 56, 99],
  [47, 66, 99, 99],
]
# The transform's constants in units of 2^-13.
_C = {
  "0.298": 2446,
  "0.390": 3196,
  "0.541": 4433,
  "0.765": 6270,
  "0.899": 7373,
  "1.175": 9633,
  "1.501": 12299,
  "1.847": 15137,
  "1.961": 16069,
  "2.053": 16819,
  "2.562": 20995,
  "3.072": 25172,
}


def steps(quality: int) -> np.ndarray:
  """The quantiser's steps of luma and chroma: int32 [2, 8, 8]."""
  percent = 5000 // quality if quality < 50 else 200 - 2 * quality
  both = (np.stack([_LUMA, _CHROMA]) * percent + 50) // 100
  return np.clip(both, 1, 255).astype(np.int32)


def jpeg(images: jax.Array, quantiser: jax.Array) -> jax.Array:
  """Compresses images and decompresses them.

  Args:
    images: float32 [N, H, W, C] in [0, 1], of 1 or 3 channels; brought to 8
      bits first.
    quantiser: int32 [2, 8, 8], from `steps`.

  Returns:
    float32 [N, H, W, C], multiples of 1/255.
  """
  pixels = jnp.round(255 * images).astype(jnp.int32)
  if images.shape[-1] == 1:
    grey = _there_and_back(pixels[..., 0], quantiser[0])
    return grey[..., None].astype(jnp.float32) / 255
  height, width = images.shape[1:3]
  red, green, blue = (pixels[..., channel] for channel in range(3))
  half = 1 << 15
  luma = (19595 * red + 38470 * green + 7471 * blue + half) >> 16
  offset = (128 << 16) + half - 1
  chromas = (
    (-11059 * red - 21709 * green + 32768 * blue + offset) >> 16,
    (32768 * red - 27439 * green - 5329 * blue + offset) >> 16,
  )
  luma = _there_and_back(luma, quantiser[0])
  cb, cr = (
    _upsample(
      _there_and_back(_downsample(chroma), quantiser[1])[
        :, :, : (width + 1) // 2
      ]
    )[:, :height, :width]
    - 128
    for chroma in chromas
  )
  rgb = (
    luma + ((91881 * cr + half) >> 16),
    luma + ((-22554 * cb - 46802 * cr + half) >> 16),
    luma + ((116130 * cb + half) >> 16),
  )
  return clip(jnp.stack(rgb, axis=-1).astype(jnp.float32) / 255)


def _downsample(plane):
  """Means over 2 x 2, rounded down and up in turns, [N, H/2, W/2]."""
  _, height, width = plane.shape
  # Columns are repeated to whole blocks here, rows only later.
  widths = ((0, 0), (0, height % 2), (0, -width % 16))
  plane = jnp.pad(plane, widths, mode="edge")
  number, height, width = plane.shape
  sums = plane.reshape((number, height // 2, 2, width // 2, 2)).sum((2, 4))
  return (sums + 1 + jnp.arange(width // 2) % 2) >> 2


def _upsample(plane):
  """Twice as large: 3/4 of the nearer and 1/4 of the farther neighbour."""

  def neighbours(values, axis):
    """The values before and after along an axis; at the ends themselves."""
    count = values.shape[axis]
    first = jax.lax.slice_in_dim(values, 0, 1, axis=axis)
    last = jax.lax.slice_in_dim(values, count - 1, count, axis=axis)
    body = jax.lax.slice_in_dim(values, 0, count - 1, axis=axis)
    rest = jax.lax.slice_in_dim(values, 1, count, axis=axis)
    return (
      jnp.concatenate([first, body], axis=axis),
      jnp.concatenate([rest, last], axis=axis),
    )

  number, height, width = plane.shape
  rows = jnp.stack([3 * plane + near for near in neighbours(plane, 1)], axis=2)
  rows = rows.reshape((number, 2 * height, width))
  before, after = neighbours(rows, 2)
  both = [(3 * rows + before + 8) >> 4, (3 * rows + after + 7) >> 4]
  return jnp.stack(both, axis=3).reshape((number, 2 * height, 2 * width))


def _there_and_back(plane, step):
  """One component through the transform, the quantiser and back, 0 to 255."""
  number, height, width = plane.shape
  down, across = -(-height // 8), -(-width // 8)
  widths = ((0, 0), (0, 8 * down - height), (0, 8 * across - width))
  plane = jnp.pad(plane, widths, mode="edge") - 128
  blocks = plane.reshape((number, down, 8, across, 8))
  # The places in a block first: then every operation is on long rows.
  blocks = blocks.transpose((2, 4, 0, 1, 3)).reshape((8, 8, -1))
  blocks = _forward(jnp.swapaxes(blocks, 0, 1), -2, 11)
  blocks = _forward(jnp.swapaxes(blocks, 0, 1), 2, 15)
  # What the transform gives is 8 times as large; halves round away from zero.
  size = 8 * step[:, :, None]
  # Quotients of floats are fast. Half a unit more keeps them off whole numbers,
  # below which a division by way of the reciprocal could fall.
  size, halves = size.astype(jnp.float32), (size // 2 + 0.5).astype(jnp.float32)
  quotient = (jnp.abs(blocks).astype(jnp.float32) + halves) / size
  level = jnp.sign(blocks) * jnp.floor(quotient).astype(jnp.int32)
  blocks = _inverse(level * step[:, :, None], 11)
  blocks = _inverse(jnp.swapaxes(blocks, 0, 1), 18)
  blocks = jnp.swapaxes(blocks, 0, 1).reshape((8, 8, number, down, across))
  plane = blocks.transpose((2, 3, 0, 4, 1)).reshape(
    (number, 8 * down, 8 * across)
  )
  return jnp.clip(plane + 128, 0, 255)[:, :height, :width]


def _descale(value, bits):
  if bits < 0:
    return value << -bits
  return (value + (1 << (bits - 1))) >> bits


def _rotations(one, two, three, four):
  """The odd half that both directions share."""
  z1, z2, z3, z4 = one + four, two + three, one + three, two + four
  z5 = (z3 + z4) * _C["1.175"]
  z1, z2 = -_C["0.899"] * z1, -_C["2.562"] * z2
  z3, z4 = z5 - _C["1.961"] * z3, z5 - _C["0.390"] * z4
  return (
    _C["0.298"] * one + z1 + z3,
    _C["2.053"] * two + z2 + z4,
    _C["3.072"] * three + z2 + z3,
    _C["1.501"] * four + z1 + z4,
  )


def _forward(d, whole, bits):
  """The cosine transform of the first axis; `bits` are dropped of fractions."""
  sums = [d[i] + d[7 - i] for i in range(4)]
  rest = [d[i] - d[7 - i] for i in range(4)]
  outer, inner = sums[0] + sums[3], sums[1] + sums[2]
  far, near = sums[0] - sums[3], sums[1] - sums[2]
  turned = (near + far) * _C["0.541"]
  seventh, fifth, third, first = _rotations(rest[3], rest[2], rest[1], rest[0])
  return jnp.stack(
    [
      _descale(outer + inner, whole),
      _descale(first, bits),
      _descale(turned + far * _C["0.765"], bits),
      _descale(third, bits),
      _descale(outer - inner, whole),
      _descale(fifth, bits),
      _descale(turned - near * _C["1.847"], bits),
      _descale(seventh, bits),
    ]
  )


def _inverse(c, bits):
  """The inverse transform of the first axis."""
  turned = (c[2] + c[6]) * _C["0.541"]
  low, high = turned - c[6] * _C["1.847"], turned + c[2] * _C["0.765"]
  outer, inner = (c[0] + c[4]) << 13, (c[0] - c[4]) << 13
  even = [outer + high, inner + low, inner - low, outer - high]
  odd = _rotations(c[7], c[5], c[3], c[1])[::-1]
  both = [e + o for e, o in zip(even, odd, strict=True)]
  both += [e - o for e, o in zip(even[::-1], odd[::-1], strict=True)]
  return jnp.stack([_descale(value, bits) for value in both])
