"""Pieces are counted as numpy counts them, and decibels are scikit-image's."""

import numpy as np
import pytest

from jaxrobust import inverse_scale

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("sides", [(7, 9), (1, 1), (30,)])
def test_sizes_counts_and_the_largest_are_those_of_unique_labels(sides):
  support = RNG.uniform(size=(3, len(sides), *sides, 2)) < 0.6
  labels = np.asarray(inverse_scale.component_labels(support))
  sizes = np.asarray(inverse_scale.component_sizes(labels))
  counts = inverse_scale.component_count(labels)
  largest = inverse_scale.largest_component(labels)
  for n, c in np.ndindex(3, 2):
    _, place, size = np.unique(
      labels[n, ..., c], return_inverse=True, return_counts=True
    )
    np.testing.assert_array_equal(sizes[n, ..., c].ravel(), size[place.ravel()])
    assert counts[n, c] == len(size)
    assert largest[n, c] == pytest.approx(size.max() / size.sum(), rel=1e-6)


def test_decibels_are_those_of_scikit_image():
  metrics = pytest.importorskip("skimage.metrics")
  images, reference = RNG.uniform(size=(2, 3, 5, 6, 3)).astype(np.float32)
  expected = [
    metrics.peak_signal_noise_ratio(one, other, data_range=1)
    for one, other in zip(reference, images, strict=True)
  ]
  found = inverse_scale.psnr(images, reference)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert np.isinf(inverse_scale.psnr(images, images)).all()


def test_decibels_of_images_of_two_shapes_are_refused():
  with pytest.raises(ValueError, match="reference of shape"):
    inverse_scale.psnr(np.zeros((1, 2, 2, 1), "f"), np.zeros((1, 2, 3, 1), "f"))
