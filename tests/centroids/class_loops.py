"""The centroids and their losses in loops over classes, in float64."""

import math

import numpy as np


def naive(features, labels, num_classes, mask=None):
  """The mean of each class, zero for absent ones, and the counts."""
  means = np.zeros((num_classes, features.shape[1]))
  counts = np.zeros(num_classes, int)
  for i, label in enumerate(labels):
    if mask is None or mask[i]:
      means[label] += features[i].astype(float)
      counts[label] += 1
  for c in range(num_classes):
    if counts[c]:
      means[c] /= counts[c]
  return means, counts


def updated(means, seen, batch_means, counts, momentum):
  """The centroids after a batch."""
  new = np.array(means, float)
  for c in range(len(new)):
    if counts[c] and seen[c]:
      new[c] = momentum * new[c] + (1 - momentum) * batch_means[c]
    elif counts[c]:
      new[c] = batch_means[c]
  return new


def distance(point, c, j, kernel, bias):
  """The signed distance of a point of class c to its boundary with j."""
  across = kernel[:, c].astype(float) - kernel[:, j].astype(float)
  length = math.sqrt(float(across @ across))
  ahead = float(point.astype(float) @ across) + float(bias[c]) - float(bias[j])
  return ahead / length if length else math.inf


def nearest(point, c, kernel, bias):
  """The smallest signed distance of a point of class c."""
  others = [j for j in range(kernel.shape[1]) if j != c]
  return min(distance(point, c, j, kernel, bias) for j in others)


def compactness(features, labels, means, delta_v, mask=None):
  """The mean squared excess of each class over its ball."""
  values = np.zeros(len(means))
  for c in range(len(means)):
    members = [
      i
      for i in range(len(labels))
      if labels[i] == c and (mask is None or mask[i])
    ]
    for i in members:
      excess = np.linalg.norm(features[i].astype(float) - means[c]) - delta_v
      values[c] += max(excess, 0.0) ** 2 / len(members)
  return values


def margin(means, counts, kernel, bias, delta_d):
  """What each present class lacks of its margin."""
  values = np.zeros(len(means))
  for c in range(len(means)):
    if counts[c]:
      values[c] = max(delta_d - nearest(means[c], c, kernel, bias), 0.0)
  return values


def regulariser(means, counts):
  """The length of each present class's centroid."""
  return np.asarray(
    [
      np.linalg.norm(m) if n else 0.0
      for m, n in zip(means, counts, strict=True)
    ]
  )


def central_differences(function, x, step=1e-5):
  """The gradient of a function of one array."""
  x = np.array(x, float)
  gradient = np.zeros_like(x)
  for place in np.ndindex(x.shape):
    middle = x[place]
    x[place] = middle + step
    above = function(x)
    x[place] = middle - step
    below = function(x)
    x[place] = middle
    gradient[place] = (above - below) / (2 * step)
  return gradient
