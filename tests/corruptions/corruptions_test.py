"""Corruptions follow their law, against loops over pixels in numpy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrobust import corruptions

COUNT, HEIGHT, WIDTH = 200, 9, 11
KEYS = jax.random.split(jax.random.key(0), COUNT)
GREY = np.full((COUNT, HEIGHT, WIDTH, 3), 0.5, np.float32)
IMAGES = np.random.default_rng(0).uniform(0.01, 0.99, GREY.shape)
IMAGES = IMAGES.astype(np.float32)


def apply(name, images=GREY, keys=KEYS, **options):
  function = getattr(corruptions, name)
  # Unoptimised: what takes long is compiling.
  level = {"xla_backend_optimization_level": 0}

  @jax.jit(compiler_options=level)
  def corrupt(keys, images):
    return function(keys, images, **options)

  return np.asarray(corrupt(keys, images))


def correlation(first, second):
  return abs(np.corrcoef(np.ravel(first), np.ravel(second))[0, 1])


@pytest.mark.parametrize(
  ("name", "strength", "law"),
  [
    ("uniform", {"eps": 0.2}, stats.uniform(-0.2, 0.4)),
    ("gaussian", {"std": 0.1}, stats.norm(scale=0.1)),
  ],
)
def test_noise_follows_its_law_and_is_independent(name, strength, law):
  noise = apply(name, **strength).astype(np.float64) - 0.5
  assert stats.kstest(noise.ravel(), law.cdf).pvalue > 1e-3
  bound = 5 / math.sqrt(noise[:, :, 0].size)
  assert correlation(noise[:, :, 0], noise[:, :, 1]) < bound
  assert correlation(noise[..., 0], noise[..., 1]) < bound
  assert correlation(noise[::2], noise[1::2]) < bound


@pytest.mark.parametrize(
  ("name", "strength"), [("uniform", {"eps": 0.8}), ("gaussian", {"std": 2.0})]
)
def test_noise_is_clipped_to_the_range_of_images(name, strength):
  # The same draw of half of the strength shows where the other is clipped.
  (parameter, value) = next(iter(strength.items()))
  small = apply(name, **{parameter: value / 20}).astype(np.float64) - 0.5
  large = apply(name, **strength)
  np.testing.assert_allclose(large, np.clip(0.5 + 20 * small, 0, 1), atol=1e-5)
  assert {0.0, 1.0} <= set(large.ravel().tolist())


def test_no_noise_is_no_change():
  for name, strength in (
    ("uniform", {"eps": 0.0}),
    ("gaussian", {"std": 0.0}),
    ("salt_and_pepper", {"share": 0.0}),
  ):
    np.testing.assert_array_equal(apply(name, IMAGES, **strength), IMAGES)


def test_salt_and_pepper_hit_their_share_of_pixels_in_all_channels():
  share = 0.3
  hit = apply("salt_and_pepper", IMAGES, share=share)
  changed = hit != IMAGES
  assert (changed.all(axis=3) == changed.any(axis=3)).all()
  assert set(hit[changed].tolist()) == {0.0, 1.0}
  pixels, number = changed[..., 0], changed[..., 0].size
  spread = math.sqrt(share * (1 - share) / number)
  assert pixels.mean() == pytest.approx(share, abs=5 * spread)
  white = hit[..., 0][pixels]
  expected = math.sqrt(0.25 / white.size)
  assert white.mean() == pytest.approx(0.5, abs=5 * expected)
  assert correlation(pixels[:, :, 0], pixels[:, :, 1]) < 0.12
  assert correlation(pixels[::2], pixels[1::2]) < 5 / math.sqrt(number / 2)


@pytest.mark.parametrize("photons", [4.0, 60.0])
def test_shot_noise_counts_photons(photons):
  levels = np.asarray([0.05, 0.3, 0.5], np.float32)
  images = np.broadcast_to(levels, GREY.shape)
  got = apply("shot", images, photons=photons)
  counts = got.astype(np.float64) * photons
  np.testing.assert_allclose(counts, counts.round(), atol=1e-4)
  for channel, level in enumerate(levels):
    # Counts of `photons` or more are white.
    law = stats.poisson(photons * level)
    values = np.arange(int(photons) + 1)
    share = law.pmf(values)
    share[-1] = law.sf(photons - 1)
    found = counts[..., channel].round().astype(int).ravel()
    seen = np.bincount(found, minlength=len(values))
    expected = found.size * share
    rare = expected < 10
    seen = np.append(seen[~rare], seen[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    some = expected > 0.5
    expected = expected[some] * seen[some].sum() / expected[some].sum()
    assert stats.chisquare(seen[some], expected).pvalue > 1e-3
  noise = counts - photons * levels
  bound = 5 / math.sqrt(noise[:, :, 0].size)
  assert correlation(noise[:, :, 0], noise[:, :, 1]) < bound
  assert correlation(noise[..., 0], noise[..., 1]) < bound
  assert correlation(noise[::2], noise[1::2]) < bound


def test_shot_noise_leaves_black_alone_and_fades_with_light():
  black = apply("shot", np.zeros_like(IMAGES[:4]), KEYS[:4], photons=3.0)
  np.testing.assert_array_equal(black, 0)
  bright = apply("shot", IMAGES[:4], KEYS[:4], photons=1e6)
  np.testing.assert_allclose(bright, IMAGES[:4], atol=6e-3)


def test_drifting_noise_follows_its_cosine_along_the_stream():
  period, peak = 40, 0.1
  index = np.arange(3 * COUNT, 4 * COUNT)
  noisy = apply(
    "drifting_gaussian", index=index, peak=peak, period=period
  ).astype(np.float64)
  expected = peak * np.sin(np.pi * index / period) ** 2
  still = index % period == 0
  np.testing.assert_array_equal(noisy[still], GREY[still])
  unit = (noisy - 0.5)[~still] / expected[~still, None, None, None]
  assert stats.kstest(unit.ravel(), stats.norm.cdf).pvalue > 1e-3
  assert correlation(unit[:-1:2], unit[1::2]) < 5 / math.sqrt(unit.size / 2)
  # A late image keeps its digits.
  late = corruptions.drifting_std(jnp.asarray([10**9 + 250]), 1.0, 1000)
  assert float(late[0]) == pytest.approx(0.5, abs=1e-6)


def test_every_pixel_can_be_salt_or_pepper():
  hit = apply("salt_and_pepper", IMAGES, share=1.0)
  assert set(hit.ravel().tolist()) == {0.0, 1.0}


def corner_of(image):
  """The corner of a black square in an image that has no other black."""
  rows, columns = np.nonzero((image == 0).all(axis=2))
  return rows.min(), columns.min()


def covered_by_loop(image, corners, side):
  covered = image.copy()
  for top, left in corners:
    for row in range(top, top + side):
      for column in range(left, left + side):
        covered[row, column] = 0
  return covered


def test_one_patch_is_a_whole_square_anywhere_in_the_image():
  side = 4
  keys = jax.random.split(jax.random.key(1), 4000)
  images = np.ones((4000, 7, 8, 1), np.float32)
  covered = apply("patches", images, keys, count=1, side=side)
  corners = np.asarray([corner_of(image) for image in covered])
  for image, covered_image, corner in zip(
    images, covered, corners, strict=True
  ):
    expected = covered_by_loop(image, [corner], side)
    np.testing.assert_array_equal(covered_image, expected)
  # Uniform over the 4 x 5 valid places, whose ends are reached.
  places = np.zeros((7 - side + 1, 8 - side + 1))
  np.add.at(places, tuple(corners.T), 1)
  assert stats.chisquare(places.ravel()).pvalue > 1e-3


def test_several_patches_are_independent_and_may_overlap():
  side, count, number = 2, 3, 4000
  keys = jax.random.split(jax.random.key(2), number)
  images = np.ones((number, 3, 5, 1), np.float32)
  covered = apply("patches", images, keys, count=count, side=side)
  # The probability of every picture, from all 8^3 triples of places.
  places = [(top, left) for top in range(2) for left in range(4)]
  probability = {}
  for triple in np.ndindex(8, 8, 8):
    chosen = [places[place] for place in triple]
    picture = covered_by_loop(images[0], chosen, side).tobytes()
    probability[picture] = probability.get(picture, 0) + 1 / 8**3
  seen = dict.fromkeys(probability, 0)
  for image in covered:
    seen[image.tobytes()] += 1  # A KeyError is a picture that cannot be.
  expected = number * np.asarray(list(probability.values()))
  assert stats.chisquare(list(seen.values()), expected).pvalue > 1e-3


def test_a_patch_leaves_the_rest_of_the_image_alone():
  covered = apply("patches", IMAGES, count=4, side=3)
  changed = (covered != IMAGES).any(axis=3)
  assert (covered[changed] == 0).all()
  np.testing.assert_array_equal(covered[~changed], IMAGES[~changed])
  assert (changed.sum(axis=(1, 2)) <= 4 * 9).all()
  whole = apply("patches", IMAGES[:, :, :9], count=1, side=9)
  assert (whole == 0).all()


def test_patches_come_after_noise_and_apart_from_it():
  both = apply("gaussian_and_patches", std=0.1, count=1, side=3)
  black = (both == 0).all(axis=3)
  assert (black.sum(axis=(1, 2)) == 9).all()
  noise = both[~black].astype(np.float64) - 0.5
  law = stats.norm(scale=0.1)
  assert stats.kstest(noise.ravel(), law.cdf).pvalue > 1e-3


def bilinear_by_loop(image, height, width):
  """Half-pixel centres, the border repeated, no antialias; [H, W] float64."""
  small = np.zeros((height, width))
  for row in range(height):
    for column in range(width):
      v = (row + 0.5) * image.shape[0] / height - 0.5
      u = (column + 0.5) * image.shape[1] / width - 0.5
      for i in (math.floor(v), math.floor(v) + 1):
        for j in (math.floor(u), math.floor(u) + 1):
          weight = (1 - abs(v - i)) * (1 - abs(u - j))
          inside = (
            min(max(i, 0), image.shape[0] - 1),
            min(max(j, 0), image.shape[1] - 1),
          )
          small[row, column] += weight * image[inside]
  return small


@pytest.mark.parametrize("factor", [1 / 3, 0.5, 0.7, 0.05, 1.0])
def test_lost_resolution_is_bilinear_down_and_up(factor):
  got = np.asarray(corruptions.resolution(IMAGES[:2], factor))
  height, width = (
    max(1, math.floor(length * factor)) for length in (HEIGHT, WIDTH)
  )
  for image, lost in zip(IMAGES[:2].astype(np.float64), got, strict=True):
    for channel in range(3):
      small = bilinear_by_loop(image[..., channel], height, width)
      expected = bilinear_by_loop(small, HEIGHT, WIDTH)
      np.testing.assert_allclose(lost[..., channel], expected, atol=1e-6)
  small = jax.image.resize(
    IMAGES[:2], (2, height, width, 3), "linear", antialias=False
  )
  resized = jax.image.resize(small, got.shape, "linear", antialias=False)
  np.testing.assert_allclose(got, resized, atol=1e-6)


def test_nine_pixels_become_three_without_antialiasing():
  # Every third pixel of 0 to 8 is one in the middle: 1, 4 and 7.
  ramp = jnp.arange(9.0).reshape((1, 1, 9, 1)) / 8
  lost = 8 * np.asarray(corruptions.resolution(ramp, 1 / 3)).ravel()
  np.testing.assert_allclose(lost[1::3], [1, 4, 7], atol=1e-6)
  # A pixel that no sample falls next to is lost, another is kept whole.
  for place, highest in ((0, 0.0), (4, 1.0)):
    impulse = jnp.zeros((1, 1, 9, 1)).at[0, 0, place, 0].set(1.0)
    lost = corruptions.resolution(impulse, 1 / 3)
    assert float(lost.max()) == pytest.approx(highest, abs=1e-6)


def test_an_image_keeps_its_corruption_in_another_batch():
  order = np.asarray([5, 2, 0])
  for name, options in (
    ("uniform", {"eps": 0.1}),
    ("gaussian", {"std": 0.1}),
    ("salt_and_pepper", {"share": 0.3}),
    ("patches", {"count": 2, "side": 3}),
    ("gaussian_and_patches", {"std": 0.1, "count": 2, "side": 3}),
    ("shot", {"photons": 9.0}),
  ):
    whole = apply(name, IMAGES[:8], KEYS[:8], **options)
    moved = apply(name, IMAGES[order], KEYS[order], **options)
    np.testing.assert_array_equal(moved, whole[order])
    assert (whole != apply(name, IMAGES[:8], KEYS[8:16], **options)).any()


@pytest.mark.parametrize(
  ("call", "words"),
  [
    (lambda: corruptions.patches(KEYS, GREY, count=0, side=3), "count=0: must"),
    (
      lambda: corruptions.patches(KEYS, GREY, count=1, side=10),
      "side=10: must be from 1 to 9 for images of 9 x 11",
    ),
    (lambda: corruptions.patches(KEYS, GREY, count=1, side=0), "side=0: must"),
    (lambda: corruptions.resolution(GREY, 0.0), r"factor=0.0: .* \(0, 1\]"),
    (lambda: corruptions.resolution(GREY, 1.5), "factor=1.5: must"),
    (lambda: corruptions.uniform(KEYS, GREY[0], 0.1), r"shape \(9, 11, 3\)"),
    (lambda: corruptions.gaussian(KEYS, GREY[0], 0.1), "must be .N, H, W, C"),
    (lambda: corruptions.salt_and_pepper(KEYS, GREY[0], 0.1), "must be"),
    (lambda: corruptions.shot(KEYS, GREY[0], 9.0), "must be"),
    (
      lambda: corruptions.drifting_std(jnp.arange(3), 0.1, 1),
      "period=1: must be at least 2",
    ),
  ],
)
def test_a_wrong_argument_is_named_in_one_line(call, words):
  with pytest.raises(ValueError, match=words) as error:
    call()
  assert "\n" not in str(error.value)
