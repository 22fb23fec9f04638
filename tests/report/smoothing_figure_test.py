"""The contact sheet and the percolation figure show what was measured."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import inverse_scale
from jaxrobust.report import smoothing

RNG = np.random.default_rng(0)
IMAGE = RNG.uniform(size=(6, 9, 3)).astype(np.float32)
FRACTIONS = (0.2, 0.6)
SCENE = smoothing.scene("one", IMAGE, FRACTIONS, steps=20)


def test_a_scene_has_the_levels_of_the_path_and_their_measures():
  expected = inverse_scale.path(IMAGE[None], jnp.asarray(FRACTIONS), steps=20)
  for number, level in enumerate(SCENE.levels):
    images = expected.images[number]
    np.testing.assert_allclose(level.image, images[0], atol=1e-5)
    labels = inverse_scale.component_labels(expected.support[number])
    np.testing.assert_array_equal(level.labels, labels[0, ..., 1])
    counts = [len(np.unique(labels[0, ..., c])) for c in range(3)]
    assert level.components == pytest.approx(np.mean(counts))
    largest = [np.bincount(labels[0, ..., c].ravel()).max() for c in range(3)]
    assert level.largest_component == pytest.approx(np.mean(largest) / 54)
    error = np.mean((np.asarray(images, np.float64)[0] - IMAGE) ** 2)
    assert level.psnr == pytest.approx(-10 * np.log10(error), rel=1e-4)
    assert level.reached_fraction == expected.reached_fraction[number, 0]
    sharp = np.asarray(expected.support[number, 0], float).mean(axis=(0, -1))
    np.testing.assert_allclose(level.support, sharp, atol=1e-6)


def test_the_sheet_has_three_rows_per_image_and_a_column_per_level():
  grey = smoothing.scene("two", IMAGE[..., :1], FRACTIONS, steps=20)
  figure = smoothing.contact_sheet([SCENE, grey], "about it")
  panels = np.reshape(np.asarray(figure.axes, object), (6, 3))
  shown = [[len(axes.images) for axes in row] for row in panels]
  assert shown == 2 * [[1, 1, 1], [0, 1, 1], [0, 1, 1]]
  np.testing.assert_array_equal(panels[0, 0].images[0].get_array(), IMAGE)
  np.testing.assert_array_equal(
    panels[0, 2].images[0].get_array(), np.clip(SCENE.levels[1].image, 0, 1)
  )
  assert panels[0, 1].get_title().startswith("f = 0.2\n")
  assert "middle channel" in panels[2, 0].texts[0].get_text()
  assert "middle channel" not in panels[5, 0].texts[0].get_text()
  assert figure.get_suptitle() == "about it"


def test_pieces_have_a_colour_each_and_the_largest_is_dark():
  labels = np.zeros((8, 8), np.int32)
  labels[:2], labels[2:4], labels[7, 7] = 9, 16, 63
  colours = smoothing._coloured(labels)
  for label in (0, 9, 16, 63):
    assert len(np.unique(colours[labels == label], axis=0)) == 1
  brightness = [colours[labels == label].mean() for label in (0, 9, 16, 63)]
  assert np.argmin(brightness) == 0
  assert brightness[0] < 0.4
  assert brightness[3] == 1  # A single pixel.
  assert (colours[0, 0] != colours[2, 0]).any()


def test_the_lines_are_the_measures_over_the_share_that_was_reached():
  rows = [level.row("one") for level in SCENE.levels]
  figure = smoothing.percolation(rows)
  for axes, column in zip(
    figure.axes, ("largest_component", "components"), strict=True
  ):
    line, threshold = axes.lines
    np.testing.assert_allclose(
      line.get_xydata(),
      [(row["reached_fraction"], row[column]) for row in rows],
    )
    assert set(threshold.get_xdata()) == {0.5}
  assert figure.axes[1].get_yscale() == "log"


def test_many_images_have_thin_lines_and_their_median():
  rows = [
    {**level.row(str(n)), "components": n + level.components}
    for n in range(9)
    for level in SCENE.levels
  ]
  axes = smoothing.percolation(rows).axes[1]
  *_, median, _threshold = axes.lines
  assert len(axes.lines) == 11
  assert median.get_label() == "median of 9 images"
  np.testing.assert_allclose(
    median.get_ydata(), [4 + level.components for level in SCENE.levels]
  )


def test_nothing_to_draw_is_refused():
  with pytest.raises(ValueError, match="scenes"):
    smoothing.contact_sheet([])
  with pytest.raises(ValueError, match="rows"):
    smoothing.percolation([])
