"""Oracles in float64 numpy and scipy: dense matrices, graphs, the smoother."""

import functools

import numpy as np
import scipy.fft
from scipy.sparse import coo_array, csgraph
from sklearn.datasets import load_sample_images


@functools.cache
def photographs(count, side, shrink=4):
  """Patches of two photographs, made smaller, in steps of 1/255."""
  rng = np.random.default_rng(0)
  patches = []
  for number in range(count):
    photograph = load_sample_images().images[number % 2] / 255
    large = side * shrink
    top, left = (rng.integers(n - large + 1) for n in photograph.shape[:2])
    patch = photograph[top : top + large, left : left + large]
    blocks = patch.reshape((side, shrink, side, shrink, 3))
    patches.append(blocks.mean(axis=(1, 3)))
  return (np.round(255 * np.stack(patches)) / 255).astype(np.float32)


def ends(sides):
  """The edges of a grid: where each is kept, and its two pixels."""
  place, first, second = [], [], []
  numbers = np.arange(np.prod(sides)).reshape(sides)
  for axis in range(len(sides)):
    before = np.take(numbers, range(sides[axis] - 1), axis=axis).ravel()
    after = np.take(numbers, range(1, sides[axis]), axis=axis).ravel()
    place.append(axis * numbers.size + before)
    first.append(before)
    second.append(after)
  return tuple(np.concatenate(part) for part in (place, first, second))


def matrix(sides):
  """D of one plane as a matrix [d H W, H W], zero rows where no edge is."""
  place, first, second = ends(sides)
  dense = np.zeros((len(sides) * np.prod(sides), np.prod(sides)))
  dense[place, first] = -1
  dense[place, second] = 1
  return dense


def labels(support):
  """Pieces of one plane [d, ...] by scipy: of each the smallest index."""
  sides = support.shape[1:]
  place, first, second = ends(sides)
  joined = ~support.ravel()[place]
  size = int(np.prod(sides))
  graph = coo_array(
    (np.ones(joined.sum()), (first[joined], second[joined])), (size, size)
  )
  _, piece = csgraph.connected_components(graph, directed=False)
  least = np.full(size, size)
  np.minimum.at(least, piece, np.arange(size))
  return least[piece].reshape(sides)


def means(plane, pieces):
  """The mean over each piece of one plane."""
  total = np.bincount(pieces.ravel(), plane.ravel())
  count = np.maximum(np.bincount(pieces.ravel()), 1)
  return (total / count)[pieces]


def solve(images, nu):
  """Screened Poisson of [N, H, W, C] by scipy's cosine transform."""
  height, width = images.shape[1:3]
  waves = [4 * np.sin(np.pi * np.arange(n) / 2 / n) ** 2 for n in images.shape]
  eigenvalue = waves[1][:, None] + waves[2][None, :]
  assert eigenvalue.shape == (height, width)
  spectrum = scipy.fft.dctn(images, axes=(1, 2), norm="ortho")
  spectrum /= 1 + eigenvalue[..., None] / nu
  return scipy.fft.idctn(spectrum, axes=(1, 2), norm="ortho")


def smooth(images, fraction, nu, steps, output="Px"):
  """The fixed-budget smoother, every channel for itself, as it is published.

  With the step alpha = nu / (n q) and kappa = n q on the dual z itself.
  """
  images = np.asarray(images, np.float64)
  number, height, width, channels = images.shape
  total = channels * (height * (width - 1) + (height - 1) * width)
  rank = round(fraction * total)
  x = solve(images, nu)
  down, right = np.diff(x, axis=1), np.diff(x, axis=2)
  q = np.asarray(
    [
      np.sort(np.abs(np.concatenate([d.ravel(), r.ravel()])))[-rank]
      for d, r in zip(down, right, strict=True)
    ]
  ).reshape((-1, 1, 1, 1))
  alpha, kappa = nu / (steps * q), steps * q
  z = [np.zeros_like(down), np.zeros_like(right)]
  g = [0.0, 0.0]
  for _ in range(steps):
    slopes = [np.diff(x, axis=1), np.diff(x, axis=2)]
    z = [z[i] + alpha * (slopes[i] - g[i]) / nu for i in range(2)]
    g = [kappa * np.sign(z_i) * np.maximum(np.abs(z_i) - 1, 0) for z_i in z]
    source = images.copy()
    source[:, 1:] += g[0] / nu
    source[:, :-1] -= g[0] / nu
    source[:, :, 1:] += g[1] / nu
    source[:, :, :-1] -= g[1] / nu
    x = solve(source, nu)
  support = np.zeros((number, 2, height, width, channels), bool)
  for image in range(number):
    both = np.concatenate([np.abs(z_i[image]).ravel() for z_i in z])
    threshold = np.sort(both)[-rank]
    support[image, 0, :-1] = np.abs(z[0][image]) >= threshold
    support[image, 1, :, :-1] = np.abs(z[1][image]) >= threshold
  smoothed = {"Px": x, "Py": images, "x": x}[output].copy()
  if output != "x":
    for image in range(number):
      for channel in range(channels):
        pieces = labels(support[image, ..., channel])
        plane = smoothed[image, ..., channel]
        smoothed[image, ..., channel] = means(plane, pieces)
  return smoothed, support


def jaccard(first, second):
  """The overlap of two supports over their union, per image."""
  first, second = np.asarray(first), np.asarray(second)
  axes = tuple(range(1, first.ndim))
  return (first & second).sum(axes) / (first | second).sum(axes)
