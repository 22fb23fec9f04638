"""The smoother is the published pipeline, and keeps what it promises."""

import functools
import sys

import dense_inverse_scale as dense
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import inverse_scale

RNG = np.random.default_rng(0)
GROUPS = ("aniso", "color", "iso")


@functools.cache
def compiled(**options):
  """The smoother with some options, compiled once for all tests."""
  return jax.jit(functools.partial(inverse_scale.smooth, **options))


def pieces_of(smoothed):
  return jax.jit(inverse_scale.component_labels)(smoothed.support)


@pytest.mark.parametrize("output", ["Px", "Py", "x"])
def test_it_is_the_pipeline_of_cosine_transforms_sorts_and_graphs(output):
  images = dense.photographs(12, 16)
  smoothed = compiled(steps=20, nu=1.0, output=output)(images, 0.6)
  expected, support = dense.smooth(images, 0.6, 1.0, 20, output)
  # An edge may change sides by rounding, and with it a piece of an image.
  worst = np.abs(smoothed.images - expected).max(axis=(1, 2, 3))
  assert (worst > 1 / 255).sum() <= 1
  assert (np.asarray(smoothed.support) != support).mean() < 1e-3
  np.testing.assert_allclose(smoothed.reached_fraction, 0.6, atol=1e-3)


@pytest.mark.parametrize("early_stop", [False, True])
def test_an_image_alone_is_as_it_is_in_its_batch(early_stop):
  images = dense.photographs(16, 12)
  smooth = compiled(steps=10, early_stop=early_stop)
  together = smooth(images, 0.5)
  for number in range(0, 16, 3):
    alone = smooth(images[number : number + 1], 0.5)
    jax.tree.map(
      lambda one, all_of_them, number=number: np.testing.assert_allclose(
        one[0], all_of_them[number], atol=1e-6
      ),
      alone,
      together,
    )


@pytest.mark.parametrize("edges", GROUPS)
def test_large_images_are_smoothed_as_small_ones_are(monkeypatch, edges):
  """Plane by plane or the batch at once."""
  images = dense.photographs(2, 128, 1)[:, :, :130]
  fractions = np.asarray([0.3, 0.6], np.float32)
  options = {"steps": 3, "nu": 1.0, "edges": edges}
  apart = inverse_scale.smooth(images, fractions, **options)
  module = sys.modules["jaxrobust.inverse_scale.smooth"]
  monkeypatch.setattr(module, "_LARGE", 2**20)
  at_once = inverse_scale.smooth(images, fractions, **options)
  np.testing.assert_array_equal(apart.support, at_once.support)
  np.testing.assert_allclose(apart.images, at_once.images, atol=1e-6)


def test_every_transform_asks_for_full_precision():
  images = jnp.zeros((1, 8, 8, 3))
  with jax.default_matmul_precision("bfloat16"):
    text = str(jax.make_jaxpr(compiled())(images, 0.5))
  products = text.count("dot_general")
  assert products > 0
  assert text.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") == (
    products
  )


def test_half_precision_images_are_smoothed_in_float32():
  images = jnp.asarray(dense.photographs(1, 12), jnp.bfloat16)
  smoothed = compiled(steps=10)(images, 0.5)
  assert smoothed.images.dtype == jnp.float32
  np.testing.assert_array_equal(
    smoothed.images, compiled(steps=10)(images.astype(jnp.float32), 0.5).images
  )


def test_the_edges_of_a_step_are_found_in_noise():
  clean = np.zeros((1, 32, 32, 1), np.float32)
  clean[:, :, 16:] = 1
  noisy = clean + 0.05 * RNG.normal(size=clean.shape).astype(np.float32)
  smoothed = compiled(steps=20, nu=1.0, output="Py")(noisy, 32 / 1984)
  expected = np.abs(inverse_scale.differences(clean)) > 0
  np.testing.assert_array_equal(smoothed.support, expected)
  # The noise of two means over 512 pixels each.
  assert np.sqrt(np.mean((smoothed.images - clean) ** 2)) < 0.005


@pytest.mark.parametrize("edges", GROUPS)
def test_contrast_and_offset_go_straight_through(edges):
  images = dense.photographs(4, 12)
  smooth = compiled(steps=10, edges=edges)
  plain = smooth(images, 0.5)
  # A power of two, so that no float is rounded; offsets round.
  quarter = smooth(images / 4, 0.5)
  np.testing.assert_array_equal(quarter.support, plain.support)
  np.testing.assert_allclose(4 * quarter.images, plain.images, atol=1e-6)
  moved = smooth(0.2 + 0.5 * images, 0.5)
  difference = np.abs(moved.images - 0.2 - 0.5 * plain.images)
  assert (difference.max(axis=(1, 2, 3)) > 1e-4).sum() <= 1
  assert (moved.support != plain.support).mean() < 2e-3


@pytest.mark.parametrize("edges", ["aniso", "color"])
def test_flips_and_transposes_commute(edges):
  images = dense.photographs(6, 12)
  smooth = compiled(steps=10, edges=edges)
  plain = np.asarray(smooth(images, 0.5).images)
  for turn in (
    lambda x: x[:, ::-1],
    lambda x: x[:, :, ::-1],
    lambda x: x.swapaxes(1, 2),
  ):
    difference = np.abs(smooth(turn(images), 0.5).images - turn(plain))
    # Ties are broken by rounding, which a flip changes.
    assert (difference.max(axis=(1, 2, 3)) > 1e-4).sum() <= 1


@pytest.mark.parametrize("edges", GROUPS)
@pytest.mark.parametrize("output", ["Px", "Py"])
def test_the_result_is_constant_on_pieces_and_keeps_the_mean(edges, output):
  images = dense.photographs(3, 12)
  smoothed = compiled(steps=10, edges=edges, output=output)(images, 0.4)
  labels = pieces_of(smoothed)
  again = inverse_scale.component_means(smoothed.images, labels)
  np.testing.assert_allclose(again, smoothed.images, atol=1e-7)
  np.testing.assert_allclose(
    smoothed.images.mean((1, 2)), images.mean((1, 2)), atol=1e-5
  )
  if output == "Py":
    assert smoothed.images.min() >= images.min() - 1e-6
    assert smoothed.images.max() <= images.max() + 1e-6


@pytest.mark.parametrize("edges", GROUPS)
def test_the_share_of_edges_is_the_one_asked_for(edges):
  images = dense.photographs(3, 12)
  fractions = np.float32([0.2, 0.5, 0.8])
  smoothed = compiled(steps=10, edges=edges)(images, fractions)
  np.testing.assert_allclose(smoothed.reached_fraction, fractions, atol=0.01)
  np.testing.assert_allclose(
    inverse_scale.support_fraction(smoothed.support),
    smoothed.reached_fraction,
    rtol=1e-6,
  )


def test_all_edges_refit_the_image_itself_and_none_its_mean():
  images = RNG.uniform(size=(2, 7, 6, 2)).astype(np.float32)
  smooth = compiled(steps=10, output="Py")
  np.testing.assert_allclose(smooth(images, 1.0).images, images, atol=1e-6)
  blank = smooth(images, 0.0)
  expected = np.broadcast_to(images.mean((1, 2), keepdims=True), images.shape)
  np.testing.assert_allclose(blank.images, expected, atol=1e-6)
  assert not blank.support.any()
  assert (blank.reached_fraction == 0).all()


def test_more_edges_are_less_error_on_clean_images():
  images = dense.photographs(6, 16)
  fractions = [0.1, 0.2, 0.4, 0.6, 0.8]
  levels = jax.jit(functools.partial(inverse_scale.path, steps=40))(
    images, jnp.asarray(fractions)
  )
  errors = np.mean((np.asarray(levels.images) - images) ** 2, axis=(1, 2, 3, 4))
  assert (np.diff(errors) < 0).all()
  np.testing.assert_allclose(
    levels.reached_fraction,
    np.broadcast_to(np.float32(fractions)[:, None], (5, 6)),
    atol=2e-3,
  )


def test_a_path_of_one_level_is_the_smoother_with_an_early_stop():
  images = dense.photographs(4, 12)
  levels = inverse_scale.path(images, (0.5,), steps=10)
  single = compiled(steps=10, early_stop=True)(images, 0.5)
  jax.tree.map(
    lambda many, one: np.testing.assert_allclose(many[0], one, atol=1e-6),
    levels,
    single,
  )


def test_a_level_of_a_path_is_much_like_a_run_of_its_own():
  images = dense.photographs(6, 16)
  fractions = (0.6, 0.3)
  levels = jax.jit(functools.partial(inverse_scale.path, steps=60))(
    images, jnp.asarray(fractions)
  )
  for support, fraction in zip(levels.support, fractions, strict=True):
    alone = compiled(steps=60, early_stop=True)(images, fraction)
    assert dense.jaccard(support, alone.support).mean() > 0.85


def test_an_early_stop_opens_the_share_or_ends_at_its_limit():
  images = dense.photographs(6, 16)
  stopped = compiled(steps=20, nu=1.0, early_stop=True)(images, 0.5)
  assert (stopped.hit_fraction >= 0.499).all()
  assert (stopped.hit_fraction < 0.6).all()


def test_series_are_images_one_pixel_wide():
  series = RNG.uniform(size=(3, 20, 2)).astype(np.float32)
  images = series[:, :, None]
  for edges in GROUPS:
    of_series = compiled(steps=10, edges=edges)(series, 0.4)
    if edges == "iso":
      # Without a second direction there is nothing to pair.
      other = compiled(steps=10, edges="aniso")(series, 0.4)
      np.testing.assert_allclose(of_series.images, other.images, atol=1e-6)
      continue
    of_images = compiled(steps=10, edges=edges)(images, 0.4)
    np.testing.assert_allclose(
      of_series.images, of_images.images[:, :, 0], atol=1e-5
    )
    np.testing.assert_array_equal(
      of_series.support[:, 0], of_images.support[:, 0, :, 0]
    )


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"fraction": 1.2}, "fraction=1.2: must lie in [0, 1]"),
    ({"fraction": np.nan}, "fraction=nan: must lie in [0, 1]"),
    ({"nu": -1.0}, "nu=-1.0: must be positive and finite"),
    ({"steps": 0}, "steps=0: must be a whole number >= 1"),
    ({"edges": "colour"}, "edges='colour': must be one of aniso, color, iso"),
    ({"output": "y"}, "output='y': must be one of Px, Py, x"),
    ({"gradient": "none"}, "must be one of frozen, straight_through"),
  ],
)
def test_wrong_options_are_named_in_one_line(options, message):
  images = np.ones((1, 4, 4, 1), np.float32)
  with pytest.raises(ValueError) as error:  # noqa: PT011
    inverse_scale.smooth(images, **{"fraction": 0.5, **options})
  assert message in str(error.value)
  assert "\n" not in str(error.value)


def test_a_path_needs_a_list_of_levels():
  with pytest.raises(ValueError, match=r"fractions=0.5: must be a list"):
    inverse_scale.path(np.ones((1, 4, 4, 1), np.float32), 0.5)


@pytest.mark.parametrize("shape", [(0, 8, 8, 1), (0, 12, 2)])
def test_no_images_are_smoothed_to_none(shape):
  smoothed = inverse_scale.smooth(jnp.zeros(shape), 0.5)
  assert smoothed.images.shape == shape
