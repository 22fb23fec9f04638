"""MNIST-C as its program says, in loops and through scikit-image."""

import jax
import numpy as np
import pytest
from scipy import ndimage
from skimage import feature, filters, transform

from jaxrobust import corruptions
from jaxrobust.corruptions import lines

COUNT = 12
KEYS = jax.random.split(jax.random.key(0), COUNT)
_JITTED = jax.jit(
  corruptions.mnist_c,
  static_argnames="name",
  # Unoptimised: what takes long is compiling.
  compiler_options={"xla_backend_optimization_level": 0},
)


def digits(count):
  """Strokes as of digits: smooth random curves, white on black."""
  rng = np.random.default_rng(0)
  images = np.zeros((count, 28, 28))
  time = np.linspace(0, 1, 200)
  for image in images:
    for axis_of in (1, 2):
      phases = rng.uniform(0, 6, 4)
      y = 14 + 8 * np.sin(axis_of * 2 * time + phases[0])
      x = 14 + 7 * np.cos(3 * time + phases[1])
      image[y.astype(int), x.astype(int)] = 1
  images = ndimage.gaussian_filter(images, (0, 0.7, 0.7))
  images /= images.max(axis=(1, 2), keepdims=True)
  return np.round(255 * images[..., None]).astype(np.float32) / 255


IMAGES = digits(COUNT)


def apply(name, images=IMAGES, keys=KEYS):
  return np.asarray(_JITTED(name, keys, images))


@pytest.mark.parametrize("name", corruptions.MNIST_C)
def test_it_depends_on_the_key_alone_and_stays_in_range(name):
  got = apply(name)
  assert got.shape == IMAGES.shape
  assert got.dtype == np.float32
  assert np.isfinite(got).all()
  assert got.min() >= 0
  assert got.max() <= 1
  assert (np.abs(got - IMAGES).max(axis=(1, 2, 3)) > 0.1).all()
  order = np.arange(COUNT)[::-1]
  again = apply(name, IMAGES[order], KEYS[order])
  np.testing.assert_allclose(again, got[order], atol=1e-6)


def test_there_are_fifteen():
  assert len(corruptions.MNIST_C) == 15


def one_of(got, candidates):
  """Each image is one of the candidates' images, and all candidates occur."""
  distances = np.asarray(
    [np.abs(candidate - got).max(axis=(1, 2, 3)) for candidate in candidates]
  )
  assert (distances.min(axis=0) < 2e-4).all()
  assert len(set(distances.argmin(axis=0).tolist())) == len(candidates)


def warped(matrix, shift=(0, 0)):
  """Through skimage, about the centre 13.5."""
  matrix = np.asarray(matrix, float)
  whole = np.eye(3)
  whole[:2, :2] = matrix
  whole[:2, 2] = 13.5 - matrix @ [13.5, 13.5] + shift
  mapping = transform.AffineTransform(matrix=whole)
  warp = [
    transform.warp(image[..., 0].astype(float), inverse_map=mapping)
    for image in IMAGES
  ]
  return np.stack(warp)[..., None]


def test_shear_is_scikit_images_of_the_time_to_either_side():
  # Its AffineTransform had columns (1, 0) and (-sin, cos) of the angle.
  one_of(
    apply("shear"),
    [
      warped([[1, -np.sin(angle)], [0, np.cos(angle)]]) for angle in (0.4, -0.4)
    ],
  )


def test_rotation_is_by_0_4_to_either_side():
  one_of(
    apply("rotate"),
    [
      warped([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
      for a in (0.4, -0.4)
    ],
  )


def test_scale_leaves_0_7_and_translation_moves_3_pixels_on_a_diagonal():
  one_of(apply("scale"), [warped(np.eye(2) / 0.7)])
  shifts = [(x, y) for x in (-3, 3) for y in (-3, 3)]
  one_of(apply("translate"), [warped(np.eye(2), shift) for shift in shifts])


def test_edges_are_scikit_images_canny():
  got = apply("canny_edges")
  for image, mine in zip(IMAGES, got, strict=True):
    expected = feature.canny(image[..., 0].astype(np.float64))
    # Where two neighbours tie, rounding decides.
    assert (mine[..., 0] != expected).mean() < 3e-3
  assert 0.02 < got.mean() < 0.5


def test_stripe_brightness_and_impulses():
  got = apply("stripe")
  inner = np.arange(28)
  inner = (inner >= 7) & (inner < 21)
  np.testing.assert_array_equal(got[:, :, inner], IMAGES[:, :, inner])
  np.testing.assert_array_equal(got[:, :, ~inner], 1 - IMAGES[:, :, ~inner])
  expected = np.minimum(IMAGES + 0.5, 1)
  np.testing.assert_allclose(apply("brightness"), expected, atol=1e-6)
  hit = apply("impulse_noise") != IMAGES
  black = IMAGES == 0
  # Of black pixels only what turned white is seen.
  assert hit[black].mean() == pytest.approx(0.17 / 2, abs=0.02)


def test_glass_swaps_pixels_between_two_blurs_along_columns():
  flat = np.full_like(IMAGES, 0.25)
  np.testing.assert_allclose(apply("glass_blur", flat), flat, atol=1e-6)
  # A swap keeps the sum of the inner pixels; blurs keep it far from borders.
  got = apply("glass_blur")
  sums = got.sum(axis=(1, 2, 3)), IMAGES.sum(axis=(1, 2, 3))
  np.testing.assert_allclose(*sums, rtol=2e-2)
  # The mean over draws is smooth: within a pixel or two of the blurred digit.
  many = np.repeat(IMAGES[:1], COUNT, axis=0)
  mean = apply("glass_blur", many).mean(axis=0)[..., 0]
  near = filters.gaussian(IMAGES[0, ..., 0], (1.5, 1.0))
  assert np.corrcoef(mean.ravel(), near.ravel())[0, 1] > 0.9


def line_of_the_program(c0, r0, c1, r1):
  """Pixel by pixel."""
  line = np.zeros((28, 28))
  for column in range(int(np.floor(c0)), int(np.ceil(c1))):
    height = (r1 - r0) / (c1 - c0) * (column - c0) + r0
    for row in range(28):
      distance = min(abs(row - height), 2.3 - 1e-10)
      line[row, column] = np.clip(np.log(1 - distance / 2.3) + 1, 0, 1)
  return line


def test_a_line_fades_as_the_programs():
  for ends in ((0.0, 5.0, 27.0, 20.0), (2.5, 20.2, 6.1, 17.0)):
    got = np.asarray(lines.segment(*ends))
    np.testing.assert_allclose(got, line_of_the_program(*ends), atol=1e-5)


def test_dotted_lines_are_drawn_two_pixels_in_four():
  black = np.zeros_like(IMAGES)
  got = apply("dotted_line", black)[..., 0]
  off = np.arange(28) % 4 < 2
  assert not got[:, :, off].any()
  for image in got:
    candidates = [
      line_of_the_program(0, r0, 27, r1)[:, ~off]
      for r0 in range(27)
      for r1 in range(27)
      if abs(image[:, 2].argmax() - r0 - (r1 - r0) * 2 / 27) <= 1
    ]
    nearest = min(np.abs(image[:, ~off] - c).max() for c in candidates)
    assert nearest < 1e-5


def zigzag_of_the_program(r0, r1):
  """Piece by piece, each added and clipped."""
  theta = np.arctan((r1 - r0) / 23)
  length = 23 / np.cos(theta)
  ends = [(0, 0)]
  for i in range(int((length - 2) // 4) + 1):
    ends.append(((2 * i + 1) * 2, (-1) ** i * 2))
  ends.append((length, ends[-1][1] / (2 * (length - 4 * (length // 4)))))
  turn = np.asarray(
    [[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]]
  )
  columns, rows = turn @ np.asarray(ends).T + [[2], [r0]]
  image = np.zeros((28, 28))
  for i in range(1, len(columns)):
    piece = line_of_the_program(
      columns[i - 1], rows[i - 1], columns[i], rows[i]
    )
    image = np.clip(image + piece, 0, 1)
  return image


def test_a_zigzag_is_one_of_the_programs():
  got = apply("zigzag", np.zeros_like(IMAGES))[:4, ..., 0]
  candidates = np.asarray(
    [
      zigzag_of_the_program(r0, r0 + rise)
      for r0 in range(27)
      for rise in range(-5, 5)
    ]
  )
  places = set()
  for image in got:
    differences = np.abs(candidates - image).max(axis=(1, 2))
    assert differences.min() < 1e-4
    places.add(int(differences.argmin()))
  assert len(places) > 2


def test_fog_is_thick_and_spatter_is_of_one_grey():
  fog = apply("fog", np.full_like(IMAGES, 1.0))
  assert fog.min() >= 0.25 - 1e-6
  assert fog.max() <= 1
  mud = apply("spatter", np.zeros_like(IMAGES))
  # 63 / 255 where mud covers all, 0.8 of that at the rims.
  assert mud.max() <= 63 / 255 + 1e-6
  assert mud[mud > 0].min() >= 0.8 * 63 / 255 - 1e-6
  assert 0.03 < (mud > 0).mean() < 0.5


@pytest.mark.parametrize(
  ("name", "shape", "message"),
  [
    ("fig", (1, 28, 28, 1), "name='fig': must be one of shot_noise"),
    ("fog", (1, 32, 32, 1), r"must be \[N, 28, 28, 1\]"),
    ("fog", (28, 28, 1), r"must be \[N, H, W, C\]"),
  ],
)
def test_what_is_wrong_is_named(name, shape, message):
  with pytest.raises(ValueError, match=message):
    corruptions.mnist_c(name, KEYS[:1], np.zeros(shape, np.float32))
