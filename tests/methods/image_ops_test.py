"""Image operations are Pillow's."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageOps

from jaxrobust.methods import augmix, image_ops

COUNT = 4


def pillow_and_ours(function, operation, shape):
  """Levels by Pillow and by ours, [N, H, W, C]."""
  rng = np.random.default_rng(0)
  raw = np.clip(rng.normal(120, 40, (COUNT, *shape)), 0, 255).astype(np.uint8)
  pictures = [Image.fromarray(x[..., 0] if shape[2] == 1 else x) for x in raw]
  theirs = [np.asarray(function(x)).reshape(shape) for x in pictures]
  planar = jnp.moveaxis(jnp.asarray(raw / np.float32(255)), 3, 1)
  ours = 255 * np.moveaxis(np.asarray(operation(planar)), 1, 3)
  return np.stack(theirs).astype(float), ours


SHAPES = pytest.mark.parametrize("shape", [(22, 18, 1), (20, 24, 3)])


@SHAPES
@pytest.mark.parametrize(
  ("theirs", "ours", "tolerance"),
  [
    # Pillow truncates the new level.
    (ImageOps.autocontrast, image_ops.autocontrast, 1.001),
    (ImageOps.equalize, image_ops.equalize, 1e-3),
    (
      lambda x: ImageOps.posterize(x, 3),
      lambda x: image_ops.posterize(x, jnp.full(COUNT, 3)),
      1e-3,
    ),
    (
      lambda x: ImageOps.solarize(x, 100),
      lambda x: image_ops.solarize(x, jnp.full(COUNT, 100)),
      1e-3,
    ),
  ],
  ids=["autocontrast", "equalize", "posterize", "solarize"],
)
def test_operations_on_levels_are_pillows(theirs, ours, tolerance, shape):
  expected, got = pillow_and_ours(theirs, ours, shape)
  np.testing.assert_allclose(got, expected, atol=tolerance)


@SHAPES
@pytest.mark.parametrize(
  ("operation", "sign"),
  [
    (augmix.ROTATE, 1),
    (augmix.ROTATE, -1),
    (augmix.SHEAR_X, 1),
    (augmix.SHEAR_Y, -1),
    (augmix.TRANSLATE_X, 1),
    (augmix.TRANSLATE_Y, -1),
  ],
)
def test_operations_of_geometry_are_pillows(operation, sign, shape):
  """With the matrices of the public code of AugMix, at level 5."""
  height, width, _ = shape
  matrix = {
    augmix.SHEAR_X: (1, sign * 0.15, 0, 0, 1, 0),
    augmix.SHEAR_Y: (1, 0, 0, sign * 0.15, 1, 0),
    augmix.TRANSLATE_X: (1, 0, sign * int(width / 6), 0, 1, 0),
    augmix.TRANSLATE_Y: (1, 0, 0, 0, 1, sign * int(height / 6)),
  }

  def theirs(picture):
    bilinear = Image.Resampling.BILINEAR
    if operation == augmix.ROTATE:
      return picture.rotate(sign * 15, resample=bilinear)
    return picture.transform(
      picture.size,
      Image.Transform.AFFINE,
      matrix[operation],
      resample=bilinear,
    )

  operations, half = jnp.full(COUNT, operation), jnp.full(COUNT, 0.5)

  def ours(images):
    moves = augmix.matrices(
      operations, half, jnp.full(COUNT, float(sign)), height, width
    )
    return augmix.operate(images, operations, half, moves)

  expected, got = pillow_and_ours(theirs, ours, shape)
  # Pillow rounds the result.
  np.testing.assert_allclose(got, expected, atol=1.01)


def test_flat_channels_stay_as_they_are():
  flat = jnp.full((1, 2, 20, 20), 0.3)
  np.testing.assert_array_equal(image_ops.autocontrast(flat), flat)
  np.testing.assert_array_equal(image_ops.equalize(flat), flat)


def test_no_operation_leaves_the_image():
  images = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 1, 5, 5)))
  none, share = jnp.full(2, -1), jnp.full(2, 0.5)
  moves = augmix.matrices(none, share, jnp.ones(2), 5, 5)
  np.testing.assert_array_equal(
    augmix.operate(images, none, share, moves), images
  )


def test_a_quarter_turn_is_the_quarter_turn():
  image = np.random.default_rng(0).uniform(size=(1, 2, 8, 8))
  turn = image_ops.rotation(jnp.full(1, math.pi / 2), 8, 8)
  got = image_ops.affine(jnp.asarray(image, jnp.float32), turn)
  np.testing.assert_allclose(
    got[:, :, 1:-1, 1:-1],
    np.rot90(image, axes=(2, 3))[:, :, 1:-1, 1:-1],
    atol=1e-5,
  )
