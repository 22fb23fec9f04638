"""The common corruptions that draw follow the laws of the fork's.

Where both can be given the same draws they are equal; otherwise their moments
are compared.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fork import BYTES, IMAGES, RNG, apply, of_peer, peer, photographs, quickly
from scipy import ndimage, stats

from jaxrobust.corruptions import (
  edges,
  elements,
  glass,
  motion,
  spatter,
  warps,
  weather,
)

with warnings.catch_warnings():
  # On import.
  warnings.simplefilter("ignore")
  import cv2


def test_impulses_hit_every_channel_for_itself():
  grey = np.full((6, 32, 32, 3), 0.5, np.float32)
  got = apply("impulse_noise", 5, grey)
  hit = got != grey
  assert set(got[hit].tolist()) == {0.0, 1.0}
  assert hit.mean() == pytest.approx(0.27, abs=0.02)
  assert got[hit].mean() == pytest.approx(0.5, abs=0.03)
  both = (hit[..., 0] & hit[..., 1]).mean()
  assert both == pytest.approx(0.27**2, abs=0.02)


@pytest.mark.parametrize("mean", [0.3, 5.0, 9.0, 60.0, 500.0])
def test_photons_are_counted_by_poissons_law(mean):
  uniform = (RNG.integers(0, 2**23, 20000) + 0.5) / 2**23
  uniform = uniform.astype(np.float32)
  got = quickly(elements.poisson_quantile, uniform, np.full_like(uniform, mean))
  expected = stats.poisson.ppf(uniform.astype(np.float64), mean)
  assert (got != expected).mean() < 4e-3
  assert np.abs(got - expected).max() <= 1


@pytest.mark.parametrize("reach", [1, 3])
def test_glass_moves_pixels_as_the_forks_loop_does(reach, monkeypatch):
  height, width = 11, 9
  shifts = RNG.integers(-reach, reach, (2, height, width, 2))
  sources = quickly(
    lambda *both: glass.followed(glass.targets(*both, jnp.asarray(reach))),
    shifts[..., 1],
    shifts[..., 0],
  )
  loop = peer._shuffle_pixels_njit_glass_blur.py_func
  for shift, source in zip(shifts, sources, strict=True):
    inner = shift[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1]
    drawn = iter(inner[::-1, ::-1].reshape((-1, 2)))
    monkeypatch.setattr(
      np.random, "randint", lambda *_, drawn=drawn, **__: next(drawn)
    )
    # What looks like a swap is of views of numpy: both become the other, here
    # as in the programs that made the data sets.
    place = np.arange(height * width, dtype=np.uint8).reshape(
      (height, width, 1)
    )
    place = np.tile(place, (1, 1, 3))
    loop(height, width, place, (0, reach, 1), 0)
    np.testing.assert_array_equal(source, place[..., 0].ravel())
    assert len(set(source.tolist())) < height * width


def test_motion_equals_the_forks_at_the_same_angle():
  # On images wider than the trail: theirs stops at the border.
  bytes_ = photographs(3, 48, 56, 3)
  angles = np.asarray([-40.0, 7.0, 33.0])
  weights = motion.trail(15, 8)
  got = quickly(
    motion.smeared,
    bytes_.astype(np.float32),
    np.deg2rad(angles).astype("f"),
    weights.astype(np.float32),
  )
  for image, angle, mine in zip(bytes_, angles, got, strict=True):
    expected = peer._motion_blur(image, radius=15, sigma=8, angle=angle)
    np.testing.assert_allclose(mine, expected, atol=1e-2)


def test_the_cloud_equals_the_forks_of_the_same_draws(monkeypatch):
  size, decay = 32, 1.7
  unit = RNG.uniform(-1, 1, (1, size, size))
  steps, part = size, 0

  def draw(low, high, shape):
    """What plasma_fractal asks for, in its order."""
    nonlocal steps, part
    half, rows = steps // 2, unit[0]
    places = (
      rows[half::steps, half::steps],
      rows[::steps, half::steps],
      rows[half::steps, ::steps],
    )[part]
    assert places.shape == shape
    assert low == -high
    steps, part = (half, 0) if part == 2 else (steps, part + 1)
    return high * places

  monkeypatch.setattr(np.random, "uniform", draw)
  expected = peer.plasma_fractal(size, decay)
  got = quickly(weather.plasma, unit.astype(np.float32), np.float32(decay))
  np.testing.assert_allclose(got[0], expected, atol=1e-5)


def test_fog_of_the_fork_has_our_mean_and_spread():
  many = np.repeat(BYTES, 5, axis=0)
  keys = jax.random.split(jax.random.key(3), len(many))
  np.random.seed(1)  # noqa: NPY002
  for severity in (1, 5):
    got = apply("fog", severity, many.astype(np.float32) / 255, keys)
    expected = of_peer("fog", severity, many)
    assert got.mean() == pytest.approx(expected.mean(), abs=0.05)
    spread = expected.std(axis=(1, 2)).mean()
    assert got.std(axis=(1, 2)).mean() == pytest.approx(spread, rel=0.25)


def test_snow_of_the_fork_has_our_mean_and_spread():
  many = np.repeat(BYTES, 4, axis=0)
  keys = jax.random.split(jax.random.key(4), len(many))
  np.random.seed(2)  # noqa: NPY002
  for severity in (1, 3):
    got = apply("snow", severity, many.astype(np.float32) / 255, keys)
    expected = of_peer("snow", severity, many)
    assert got.mean() == pytest.approx(expected.mean(), abs=0.03)
    assert got.std() == pytest.approx(expected.std(), rel=0.15)


def test_edges_in_bytes_are_opencvs():
  liquid = np.uint8(
    255 * ndimage.gaussian_filter(RNG.uniform(size=(6, 33, 40)), (0, 1, 1))
  )
  got = quickly(
    lambda x: edges.canny_bytes(x, 50, 150), liquid.astype(np.int32)
  )
  for image, mine in zip(liquid, got, strict=True):
    np.testing.assert_array_equal(mine, cv2.Canny(image, 50, 150) > 0)
  assert got.any()


def test_water_shines_as_the_program_makes_it():
  noise = ndimage.gaussian_filter(RNG.normal(size=(6, 32, 32)), (0, 1, 1))
  liquid = 0.65 + 0.3 * noise
  liquid[liquid < 0.69] = 0
  got = quickly(spatter.water_shine, liquid.astype(np.float32))
  for layer, mine in zip(liquid, got, strict=True):
    layer = (np.clip(layer, 0, 1) * 255).astype(np.uint8)
    dist = 255 - cv2.Canny(layer, 50, 150)
    dist = cv2.distanceTransform(dist, cv2.DIST_L2, 5)
    _, dist = cv2.threshold(dist, 20, 20, cv2.THRESH_TRUNC)
    dist = cv2.equalizeHist(cv2.blur(dist, (3, 3)).astype(np.uint8))
    kernel = np.asarray([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    dist = cv2.blur(cv2.filter2D(dist, cv2.CV_8U, kernel), (3, 3))
    expected = layer * dist.astype(np.float32)
    expected /= max(expected.max(), 1)
    # Their distances are sums of steps along a raster, ours straight.
    assert np.corrcoef(mine.ravel(), expected.ravel())[0, 1] > 0.97
    assert mine.mean() == pytest.approx(expected.mean(), rel=0.1, abs=1e-3)


def test_mud_covers_as_much_as_the_forks():
  many = np.repeat(BYTES, 4, axis=0)
  keys = jax.random.split(jax.random.key(5), len(many))
  np.random.seed(3)  # noqa: NPY002
  expected = of_peer("spatter", 4, many)
  clean = many.astype(np.float32) / 255
  got = apply("spatter", 4, clean, keys)
  covered = [np.abs(x - clean).max(axis=3) > 0.02 for x in (got, expected)]
  assert covered[0].mean() == pytest.approx(covered[1].mean(), rel=0.3)


def test_elastic_moves_corners_and_pixels_as_the_program_does():
  side, corner = 32, 1.6
  unit = RNG.uniform(-1, 1, (2, 3, 2)).astype(np.float32)
  moved = quickly(warps._affine, IMAGES[:2], np.float32(corner) * unit)
  for image, shift, mine in zip(IMAGES, unit, moved, strict=False):
    centre, size = np.float32([16, 16]), 10
    first = np.float32([centre + size, [26, 6], centre - size])
    matrix = cv2.getAffineTransform(first, first + np.float32(corner) * shift)
    expected = cv2.warpAffine(
      image, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101
    )
    # OpenCV reads at multiples of 1/32 of a pixel.
    assert np.abs(mine - expected).mean() < 4e-3
    assert np.abs(mine - expected).max() < 0.05
  rows = np.arange(side)[:, None] + 3 * RNG.normal(size=(1, side, side))
  columns = np.arange(side) + 3 * RNG.normal(size=(1, side, side))
  for border, mode in (("reflect", "reflect"), ("mirror", "mirror")):
    got = quickly(
      lambda *args, border=border: warps.interpolate(*args, border),
      IMAGES[:1],
      rows.astype(np.float32),
      columns.astype(np.float32),
    )
    for channel in range(3):
      expected = ndimage.map_coordinates(
        IMAGES[0, ..., channel], [rows[0], columns[0]], order=1, mode=mode
      )
      np.testing.assert_allclose(got[0, ..., channel], expected, atol=1e-4)


def test_frost_is_light_bluish_and_rough():
  unit = RNG.uniform(-1, 1, (40, 2 * 32 * 32 + 3)).astype(np.float32)
  ice = quickly(lambda drawn: weather.frost_texture(drawn, 32), unit)
  means = ice.mean(axis=(1, 2))
  assert means.mean() == pytest.approx(0.57, abs=0.08)
  assert (means[:, 2] > means[:, 0] + 0.03).all()
  # Of crops of 32 x 32 of photographs that are scaled to a fifth.
  assert 0.06 < ice.mean(axis=3).std(axis=(1, 2)).mean() < 0.14
  grey = ice.mean(axis=3) - ice.mean(axis=(1, 2, 3))[:, None, None]
  power = (grey**2).mean()
  near = (grey[:, :, 1:] * grey[:, :, :-1]).mean() / power
  far = (grey[:, :, 8:] * grey[:, :, :-8]).mean() / power
  assert 0.2 < near < 0.9
  assert far < 0.6 * near
