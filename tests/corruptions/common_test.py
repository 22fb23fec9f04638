"""The common corruptions do what the programs that made the data sets do.

The oracle is the maintained fork of imagecorruptions, whose severities are
those of ImageNet-C. What draws is in common_laws_test.py.
"""

import io
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
import skimage.filters
from fork import ALL, BYTES, IMAGES, JITTED, KEYS, apply, of_peer, photographs
from PIL import Image

from jaxrobust import corruptions
from jaxrobust.corruptions import severities

with warnings.catch_warnings():
  # On import.
  warnings.simplefilter("ignore")
  import cv2


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize(
  ("name", "tolerance"),
  [
    ("defocus_blur", 2e-6),
    ("gaussian_blur", 2e-6),
    ("zoom_blur", 2e-6),
    ("brightness", 2e-6),
    ("contrast", 2e-6),
    ("saturate", 2e-6),
    # Theirs is rounded to 8 bits along one axis and along the other.
    ("pixelate", 1.01 / 255),
    ("jpeg_compression", 1e-6),
  ],
)
def test_what_draws_nothing_equals_the_fork(name, tolerance, severity):
  expected = of_peer(name, severity)
  np.testing.assert_allclose(apply(name, severity), expected, atol=tolerance)


@pytest.mark.parametrize("shape", [(28, 28, 3), (45, 37, 3), (30, 21, 1)])
def test_jpeg_equals_libjpeg_to_the_bit_at_any_size(shape):
  bytes_ = photographs(3, *shape)
  squeezed = bytes_[..., 0] if shape[2] == 1 else bytes_
  got = apply("jpeg_compression", 4, bytes_.astype(np.float32) / 255)
  if shape[2] == 1:
    expected = []
    for image in squeezed:
      file = io.BytesIO()
      Image.fromarray(image).save(file, "JPEG", quality=10)
      expected.append(np.asarray(Image.open(file))[..., None])
  else:
    expected = 255 * of_peer("jpeg_compression", 4, bytes_)
  np.testing.assert_allclose(255 * got, np.stack(expected), atol=1e-3)


def test_cifar_has_severities_of_its_own():
  grey = np.full((6, 32, 32, 3), 0.5, np.float32)
  for name in ("gaussian_noise", "speckle_noise"):
    weight = 0.5 if name == "speckle_noise" else 1.0
    for table, numbers in severities.TABLES.items():
      noise = apply(name, 2, grey, table=table).astype(float) - 0.5
      assert noise.std() == pytest.approx(weight * numbers[name][1], rel=0.03)
  # As CIFAR-10-C's program blurs: a Gaussian of 0.4 and of 1 pixels.
  for severity, sigma in ((1, 0.4), (5, 1.0)):
    got = apply("gaussian_blur", severity, table="cifar")
    for image, blurred in zip(IMAGES, got, strict=True):
      expected = skimage.filters.gaussian(image, sigma, channel_axis=-1)
      np.testing.assert_allclose(blurred, expected, atol=1e-5)
  # Its smallest disk is one pixel with a smoothed rim.
  kernel = cv2.GaussianBlur(
    np.float32(np.pad([[1.0]], 8)), ksize=(3, 3), sigmaX=0.4
  )
  expected = cv2.filter2D(IMAGES[0], -1, kernel)
  got = apply("defocus_blur", 1, table="cifar")[0]
  np.testing.assert_allclose(got, expected, atol=1e-5)
  # Pixels of 32 x 32 become 20 x 20 by box means and are made flat areas.
  small = Image.fromarray(BYTES[0]).resize((20, 20), Image.Resampling.BOX)
  expected = np.asarray(small.resize((32, 32), Image.Resampling.BOX)) / 255
  got = apply("pixelate", 5, table="cifar")[0]
  np.testing.assert_allclose(got, expected, atol=1.01 / 255)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_noise_has_the_moments_of_the_forks(severity):
  levels = np.linspace(0.1, 0.9, 6, dtype=np.float32)[:, None, None, None]
  flat = np.broadcast_to(levels, (6, 32, 32, 3))
  bytes_ = np.uint8(np.round(255 * flat))
  np.random.seed(0)  # noqa: NPY002 the fork's own generator
  for name in (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "speckle_noise",
  ):
    got = apply(name, severity, bytes_.astype(np.float32) / 255)
    expected = of_peer(name, severity, bytes_)
    for mine, theirs in zip(got, expected, strict=True):
      error = max(theirs.std(), 0.01) / np.sqrt(theirs.size)
      assert mine.mean() == pytest.approx(theirs.mean(), abs=8 * error)
      # Impulses of 3 % are few.
      rel = 0.3 if name == "impulse_noise" else 0.08
      assert mine.std() == pytest.approx(theirs.std(), rel=rel)


@pytest.mark.parametrize("name", ALL)
def test_it_depends_on_the_key_alone_and_stays_in_range(name):
  order = np.asarray([4, 1, 5])
  for table, severity in (("cifar", 2), ("imagenet", 5)):
    got = apply(name, severity, table=table)
    assert got.dtype == np.float32
    assert got.shape == IMAGES.shape
    assert np.isfinite(got).all()
    assert got.min() >= 0
    assert got.max() <= 1
    again = apply(name, severity, table=table)
    np.testing.assert_array_equal(again, got)
  part = apply(name, 5, IMAGES[order], KEYS[order])
  np.testing.assert_allclose(part, got[order], atol=2e-6)


# Of others a higher severity is another kind: frost hides more but adds less.
_OF_OTHER_KINDS = {
  "elastic_transform",
  "frost",
  "glass_blur",
  "saturate",
  "spatter",
}


@pytest.mark.parametrize(
  "name",
  sorted({*ALL} - _OF_OTHER_KINDS),
)
@pytest.mark.parametrize("table", ["cifar", "imagenet"])
def test_a_higher_severity_moves_images_farther(name, table):
  distances = [
    np.sqrt(((apply(name, severity, table=table) - IMAGES) ** 2).mean())
    for severity in (1, 3, 5)
  ]
  assert distances == sorted(distances)
  assert distances[0] < distances[-1]


def test_jit_equals_no_jit_and_the_door_equals_both():
  for name in ("contrast", "pixelate"):
    settings = corruptions.parameters(name, 3, (32, 32, 3))
    plain = corruptions.corrupt(name, KEYS, jnp.asarray(IMAGES), settings)
    door = corruptions.common(name, KEYS, jnp.asarray(IMAGES), 3)
    jitted = apply(name, 3, table="cifar")
    np.testing.assert_allclose(plain, jitted, atol=1e-6)
    np.testing.assert_allclose(door, jitted, atol=1e-6)


def test_all_severities_share_one_program():
  before = JITTED._cache_size()
  for severity in range(1, 6):
    apply("snow", severity, table="cifar")
  after = JITTED._cache_size()
  for severity in range(1, 6):
    apply("snow", severity, table="cifar")
  assert JITTED._cache_size() == after
  assert after - before <= 1


@pytest.mark.parametrize(
  "name", ["brightness", "frost", "motion_blur", "shot_noise", "spatter"]
)
def test_grey_images_work(name):
  grey = apply(name, 3, IMAGES[:2, :28, :28, :1], table="cifar")
  assert grey.shape == (2, 28, 28, 1)
  assert np.isfinite(grey).all()
  assert np.abs(grey - IMAGES[:2, :28, :28, :1]).max() > 0.01


def test_large_images_work():
  large = np.tile(IMAGES[:1], (1, 7, 7, 1))
  got = apply("snow", 3, large)
  assert got.shape == (1, 224, 224, 3)
  assert np.isfinite(got).all()
  assert np.abs(got - large).max() > 0.1


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("fig", 1, "cifar"), "name='fig': must be one of gaussian_noise"),
    (("fog", 0, "cifar"), "severity=0: must be 1, 2, 3, 4 or 5"),
    (("fog", 2.5, "cifar"), "severity=2.5: must be"),
    (("fog", 1, "mnist"), "table='mnist': must be one of cifar, imagenet"),
  ],
)
def test_a_wrong_word_is_named(arguments, message):
  name, severity, table = arguments
  with pytest.raises(ValueError, match=message):
    corruptions.common(name, KEYS, IMAGES, severity, table)


def test_wrong_images_are_named():
  with pytest.raises(ValueError, match=r"1 channels: must have 3 for saturate"):
    corruptions.common("saturate", KEYS, IMAGES[..., :1], 1)
  with pytest.raises(ValueError, match=r"must be \[N, H, W, C\]"):
    corruptions.common("fog", KEYS, IMAGES[0], 1)
  with pytest.raises(ValueError, match="must be 4 x 4 pixels or larger"):
    corruptions.common("fog", KEYS, IMAGES[:, :3], 1)
