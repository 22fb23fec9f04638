"""All losses on centroids in one weighted sum, by the package and in loops."""

import class_loops
import jax
import numpy as np

from jaxrobust import centroids

RNG = np.random.default_rng(0)
CLASSES, WIDTH, ROWS = 6, 4, 12
GAMMA, DELTA_V, DELTA_D = 0.9, 0.7, 4.0
WEIGHTS = {"compactness": 1.0, "alignment": 0.7, "margin": 1.3, "length": 0.2}


def normal(*shape):
  return RNG.normal(size=shape).astype(np.float32)


CLEAN, NOISY = normal(ROWS, WIDTH), normal(ROWS, WIDTH)
# Class 1 is a singleton, 2 is first seen, 4 and 5 are absent.
LABELS = np.asarray([0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 2, 4])
MASK = np.asarray([1] * 11 + [0], np.float32)
KERNEL, BIAS = normal(WIDTH, CLASSES), normal(CLASSES)
OLD = centroids.Centroids(
  normal(CLASSES, WIDTH),
  np.asarray([True, True, False, True, True, False]),
  np.ones(CLASSES, np.int32),
)


def per_class(clean, noisy, kernel, bias, labels, mask, old, delta_v, delta_d):
  """Every loss per class, the classes present, and the pairs left out."""
  batch = centroids.class_sums(clean, labels, CLASSES, mask=mask)
  means = centroids.update(old, batch, GAMMA).means
  ball = {"delta_v": delta_v, "mask": mask}
  short, pairs = centroids.margin(batch, kernel, bias, delta_d=delta_d)
  values = {
    "compactness": centroids.compactness(
      clean, labels, means, batch.counts, **ball
    ),
    "alignment": centroids.alignment(
      noisy, labels, means, batch.counts, **ball
    ),
    "margin": short,
    "length": centroids.regulariser(means, batch.present),
  }
  return values, batch.present, pairs


@jax.jit
def losses_and_slopes(clean, noisy, kernel, bias, *rest):
  """The weighted loss, its gradients, and what it is made of."""

  def total(clean, noisy, kernel, bias):
    values, present, pairs = per_class(clean, noisy, kernel, bias, *rest)
    weighted = sum(WEIGHTS[name] * values[name] for name in WEIGHTS)
    return centroids.mean_over_classes(weighted, present), (values, pairs)

  return jax.value_and_grad(total, (0, 1, 2, 3), has_aux=True)(
    clean, noisy, kernel, bias
  )


def tried(
  clean=CLEAN,
  noisy=NOISY,
  kernel=KERNEL,
  bias=BIAS,
  labels=LABELS,
  mask=MASK,
  old=OLD,
  delta_v=DELTA_V,
  delta_d=DELTA_D,
):
  """The weighted loss, each per class, the pairs left out, the gradients."""
  (total, (values, pairs)), slopes = losses_and_slopes(
    clean, noisy, kernel, bias, labels, mask, old, delta_v, delta_d
  )
  return total, values, pairs, slopes


def looped(clean=CLEAN, noisy=NOISY, kernel=KERNEL, bias=BIAS):
  """The weighted loss and each per class, in float64 loops."""
  naive, counts = class_loops.naive(clean, LABELS, CLASSES, MASK)
  means = class_loops.updated(OLD.means, OLD.seen, naive, counts, GAMMA)
  values = {
    "compactness": class_loops.compactness(clean, LABELS, means, DELTA_V, MASK),
    "alignment": class_loops.compactness(noisy, LABELS, means, DELTA_V, MASK),
    "margin": class_loops.margin(naive, counts, kernel, bias, DELTA_D),
    "length": class_loops.regulariser(means, counts),
  }
  weighted = sum(WEIGHTS[name] * values[name] for name in WEIGHTS)
  return weighted.sum() / (counts > 0).sum(), values
