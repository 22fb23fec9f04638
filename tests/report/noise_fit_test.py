"""The figure of a noise fit shows the samples and the laws."""

import jax
import numpy as np
import pytest

from jaxrobust.alpha_stable import AlphaStable, sample
from jaxrobust.report.noise_fit import noise_fit

LAWS = {
  "fitted law": AlphaStable(1.0, scale=0.3),
  "best Gaussian": AlphaStable(2.0, scale=1.0),
}


@pytest.fixture(scope="module")
def cauchy():
  return np.asarray(sample(jax.random.key(0), 1.0, scale=0.3, shape=(4000,)))


def lines(axes):
  """The curves of the two laws: those with many points and no markers."""
  return [
    np.asarray(line.get_data())
    for line in axes.lines
    if line.get_marker() == "None" and len(line.get_xdata()) > 2
  ]


def test_the_panels_show_density_tail_and_misfit(cauchy):
  density, tail, misfit = noise_fit(cauchy, LAWS).axes
  (x, y), _ = lines(density)
  np.testing.assert_allclose(y, 0.3 / np.pi / (x**2 + 0.09), rtol=1e-4)
  (t, p), _ = lines(tail)
  np.testing.assert_allclose(p, 1 - 2 / np.pi * np.arctan(t / 0.3), rtol=2e-2)
  assert tail.get_xscale() == tail.get_yscale() == "log"
  (_, fitted), (_, gaussian) = lines(misfit)
  assert np.abs(fitted).max() < 1.63 / np.sqrt(4000)
  assert np.abs(gaussian).max() > 0.1


def test_the_histogram_and_the_tail_are_those_of_the_samples(cauchy):
  density, tail, _ = noise_fit(cauchy, LAWS).axes
  (stairs,) = density.patches
  heights, edges, _ = stairs.get_data()
  counts, _ = np.histogram(cauchy, edges)
  np.testing.assert_allclose(heights * np.diff(edges) * 4000, counts)
  (points,) = [line for line in tail.lines if line.get_marker() == "."]
  t, p = points.get_data()
  np.testing.assert_allclose(
    [np.mean(np.abs(cauchy) >= x) for x in t[::50]], p[::50]
  )


def test_clipped_samples_are_told_of_and_compared_alike(cauchy):
  limits = (-0.2, 0.5)
  clipped = np.clip(cauchy, *limits)
  figure = noise_fit(clipped, LAWS, limits, unit="volts")
  density, tail, misfit = figure.axes
  share = np.mean((cauchy > -0.2) & (cauchy < 0.5))
  assert f"{1 - share:.1%} of them clipped" in figure.axes[0].get_title()
  assert "volts" in density.get_xlabel()
  (_, p), _ = lines(tail)
  np.testing.assert_allclose(p[0], share, atol=0.03)
  (_, fitted), _ = lines(misfit)
  assert np.abs(fitted).max() < 1.63 / np.sqrt(4000)
