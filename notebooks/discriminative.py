# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Compact classes and a noisy view
#
# Paper: H.-V. Nguyen et al.,
# [arXiv 2405.18499](https://arxiv.org/abs/2405.18499). Beside the cross-entropy
# of clean images, features are drawn to the centroid of their class
# (compactness), centroids pushed from the boundaries (margin), and the features
# of a noisy second view drawn to the same centroids (alignment).
#
# This notebook computes the losses on given features, trains with and without
# them, draws the features, and ends with accuracy against the strength of
# Gaussian noise. On MNIST it should take minutes on two CPU cores; with
# `JAXROBUST_NOTEBOOK=quick` it is scikit-learn's digits, in seconds. One seed
# and few epochs prove nothing: the measured figures, and where a simpler method
# is better, are in `results/discriminative/README.md`.

# %%
# %matplotlib inline
import os
import pathlib
import tempfile

import jax
import jax.numpy as jnp

import jaxrobust
from jaxrobust import centroids, data, methods, training
from jaxrobust.report import features, figures

QUICK = os.environ.get("JAXROBUST_NOTEBOOK") == "quick"
DATA_DIR = os.environ.get("JAXROBUST_DATA_DIR", "data")
WORK = pathlib.Path(
  tempfile.mkdtemp() if QUICK else "runs/notebooks/discriminative"
)
if not QUICK:
  data.prepare(["mnist"], DATA_DIR)

# %% [markdown]
# ## The losses, on features
#
# They are pure functions, for any training loop. The state has a centroid per
# class, which moves with momentum; the losses are hinges at a distance
# `delta_v` from the centroid and `delta_d` from the nearest boundary.

# %%
labels = jnp.asarray([0, 0, 1, 1])
points = jax.random.normal(jax.random.key(0), (4, 2)) + 4 * labels[:, None]
kernel = jnp.asarray([[-1.0, 1.0], [-1.0, 1.0]])  # [features, classes]
bias = jnp.asarray([4.0, -4.0])


@jax.jit
def losses(points):
  batch = centroids.class_sums(points, labels, num_classes=2)
  state = centroids.update(centroids.init(2, 2), batch, momentum=0.99)
  compactness = centroids.compactness(
    points, labels, state.means, batch.counts, delta_v=0.5
  )
  margin, _ = centroids.margin(batch, kernel, bias, delta_d=5.0)
  return compactness, margin


for name, loss in zip(("compactness", "margin"), losses(points), strict=True):
  print(f"{name} of either class: {loss}")

# %% [markdown]
# ## Train with and without


# %%
def make_config(method, **objective):
  config = jaxrobust.default_config()
  config.data.name = "mnist"
  config.data.data_dir = DATA_DIR
  config.data.shape = (28, 28, 1)
  config.data.num_classes = 10
  config.model.name = "lenet5"
  config.model.feature_dim = 64
  config.method = methods.preset(method)
  config.method.objective.update(objective)
  for slot in (config.method.input, config.method.view):
    if slot.name == "gaussian":
      slot.std = 0.2
  config.schedule.name = "cosine"
  config.train.epochs = 5
  config.train.devices = 1
  if QUICK:
    jaxrobust.variant(config, "quick")
    config.data.train_split = "train"
    config.train.epochs = 5
    config.train.log_every = 100
    config.checkpoint.every_epochs = 100  # The last epoch is always kept.
    config.optimizer.learning_rate = 5e-3
  config.eval.gaussian_stds = (0.1, 0.2, 0.3, 0.4)
  config.eval.alphas = ()
  return config


names = ["standard", "discriminative"]
if not QUICK:
  names += ["gaussian", "stability"]
rows = []
for name in names:
  rows += jaxrobust.train(make_config(name), WORK / name).rows

# %% [markdown]
# ## What the features look like
#
# In the plane that sets the class means furthest apart; points are clean
# images, rings the same ones under noise.

# %%
clouds = []
for name in ("standard", "discriminative"):
  found = training.run_features(WORK / name, std=0.2, per_class=30)
  clouds.append(
    features.Cloud(
      found.method, found.clean, found.noisy, found.labels, found.class_names
    )
  )
features.feature_clouds(clouds)

# %% [markdown]
# ## Accuracy against the strength of the noise
#
# Measured on MNIST, LeNet-5, 3 seeds, at std 0.2, with which it was trained:
# 98.85 % for this method, 98.54 for training on noisy images, 98.23 for
# neither. At twice the noise 96.0, 95.6 and 85.9. Stability training, one term
# and no state, has 97.0 there and more under attack. On CIFAR-10, with a small
# network, the method loses to cross-entropy of clean and noisy images
# (`results/discriminative/README.md`).

# %%
figures.accuracy_against_strength(rows, "gaussian")
