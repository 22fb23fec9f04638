"""The picture of features is their projection, clean and noisy."""

import matplotlib.colors
import numpy as np
import pytest

from jaxrobust.report import features

RNG = np.random.default_rng(0)
LABELS = RNG.choice(4, 60, p=[0.4, 0.3, 0.2, 0.1])
MEANS = RNG.normal(size=(4, 7), scale=3)
CLEAN = MEANS[LABELS] + RNG.normal(size=(60, 7)) + 5
CLOUD = features.Cloud("one", CLEAN, CLEAN + 0.3, LABELS, "abcd")


def scatter_by_loop(points, labels):
  centre = points.mean(axis=0)
  scatter = np.zeros((points.shape[1],) * 2)
  for label in labels:  # n_c times each.
    mean = points[labels == label].mean(axis=0) - centre
    scatter += np.outer(mean, mean)
  return scatter


def test_the_plane_is_spanned_by_the_leading_eigenvectors_between_classes():
  plane = features.discriminant_plane(CLEAN, LABELS)
  values, vectors = np.linalg.eigh(scatter_by_loop(CLEAN, LABELS))
  leading = vectors[:, :-3:-1]
  np.testing.assert_allclose(
    plane.axes @ plane.axes.T, leading @ leading.T, atol=1e-10
  )
  assert plane.between == pytest.approx(values[-2:].sum() / values.sum())
  covariance = np.cov(CLEAN.T)
  shown = np.trace(leading.T @ covariance @ leading) / np.trace(covariance)
  assert plane.total == pytest.approx(shown)
  seen = plane.project(CLEAN)
  np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-10)
  np.testing.assert_allclose(seen, (CLEAN - CLEAN.mean(axis=0)) @ plane.axes)


def test_two_classes_have_one_direction():
  few = LABELS < 2
  plane = features.discriminant_plane(CLEAN[few], LABELS[few])
  across = CLEAN[LABELS == 0].mean(axis=0) - CLEAN[LABELS == 1].mean(axis=0)
  cosine = across @ plane.axes[:, 0] / np.linalg.norm(across)
  assert abs(cosine) == pytest.approx(1)
  assert (plane.axes[:, 1] == 0).all()
  assert plane.between == 1


def test_features_of_one_dimension_are_a_line():
  plane = features.discriminant_plane(CLEAN[:, :1], LABELS)
  assert plane.axes.shape == (1, 2)
  assert plane.between == plane.total == 1


def test_clean_examples_are_points_and_noisy_ones_rings_of_their_colour():
  (axes,) = features.feature_clouds([CLOUD]).axes
  plane = features.discriminant_plane(CLEAN, LABELS)
  drawn = [c for c in axes.collections if len(c.get_offsets())]
  assert len(drawn) == 8
  for label in range(4):
    rings, points = drawn[2 * label : 2 * label + 2]
    own = LABELS == label
    np.testing.assert_allclose(points.get_offsets(), plane.project(CLEAN[own]))
    np.testing.assert_allclose(
      rings.get_offsets(), plane.project(CLEAN[own] + 0.3)
    )
    assert not len(rings.get_facecolors())
    colours = [
      matplotlib.colors.to_hex(found[0])
      for found in (rings.get_edgecolors(), points.get_facecolors())
    ]
    assert colours[0] == colours[1]
  names = {text.get_text(): text.xy for text in axes.texts}
  assert list(names) == list("abcd")
  mean = plane.project(CLEAN[LABELS == 2]).mean(axis=0)
  np.testing.assert_allclose(names["c"], mean)
  moved = axes.lines[2].get_xydata()
  np.testing.assert_allclose(moved, [mean, mean + 0.3 * plane.axes.sum(axis=0)])


def test_every_model_has_a_panel_that_says_what_it_shows():
  figure = features.feature_clouds([CLOUD] * 3)
  assert len(figure.axes) == 3
  plane = features.discriminant_plane(CLEAN, LABELS)
  title = figure.axes[2].get_title()
  assert title.startswith("one\n")
  assert f"{100 * plane.between:.0f} % of the variance between" in title
  (legend,) = figure.legends
  assert [text.get_text() for text in legend.get_texts()] == [
    "clean",
    "noisy",
    "class mean, clean",
    "class mean, noisy",
  ]


def test_many_classes_have_colours_of_their_own():
  assert len(np.unique(features._colours(40), axis=0)) == 40


def test_what_cannot_be_drawn_is_refused():
  with pytest.raises(ValueError, match="at least one"):
    features.feature_clouds([])
  with pytest.raises(ValueError, match="labels of 1 class"):
    features.discriminant_plane(CLEAN, np.zeros(60, int))
