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
# # Your own data and your own model
#
# Three ways in: a data set of your own, a linen module of your own, and a
# finished model that is any function from images to logits. What stands for
# your data here is scikit-learn's digits, written to a file; put your own
# arrays in their place. It takes a minute on two CPU cores, and with
# `JAXROBUST_NOTEBOOK=quick` seconds. One run proves nothing; how to judge with
# care is in `docs/evaluation.md`.

# %%
# %matplotlib inline
import os
import pathlib
import tempfile

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from sklearn import datasets
from sklearn.linear_model import LogisticRegression

import jaxrobust
from jaxrobust import methods, models
from jaxrobust.report import figures

QUICK = os.environ.get("JAXROBUST_NOTEBOOK") == "quick"
WORK = pathlib.Path(
  tempfile.mkdtemp() if QUICK else "runs/notebooks/own_data_and_model"
)
WORK.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Data: an .npz file
#
# `train_images`, `train_labels`, `test_images` and `test_labels`; images uint8
# [N, H, W, C]. A folder `PATH/train/CLASS/*.png` is read with
# `config.data.source = "folder"`, and "package.module:function" with a function
# from the split's name to (inputs, labels).

# %%
images, labels = datasets.load_digits(return_X_y=True)
images = np.round(images * (255 / 16)).astype(np.uint8).reshape((-1, 8, 8, 1))
order = np.random.default_rng(0).permutation(len(images))
train, test = order[:1400], order[1400:]
np.savez(
  WORK / "mine.npz",
  train_images=images[train],
  train_labels=labels[train],
  test_images=images[test],
  test_labels=labels[test],
)

# %% [markdown]
# ## Model: a linen module
#
# It returns its logits and its features, and takes `train` and `mask`, which
# marks the real examples of a padded batch. A config names it
# "package.module:Class"; a notebook's own module is `__main__`. Widths are
# constants here, for a config has the fields of the package's models only.


# %%
class Convolutions(nn.Module):
  num_classes: int

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    x = nn.relu(nn.Conv(16, (3, 3))(inputs))
    x = nn.relu(nn.Conv(32, (3, 3), strides=2)(x))
    features = nn.relu(nn.Dense(64)(x.reshape((len(x), -1))))
    return models.Outputs(nn.Dense(self.num_classes)(features), features)


# %% [markdown]
# ## Train with any method


# %%
def make_config(method):
  config = jaxrobust.default_config()
  config.data.source = "npz"
  config.data.path = str(WORK / "mine.npz")
  config.data.name = "mine"
  config.data.shape = (8, 8, 1)
  config.data.num_classes = 10
  config.model.name = "__main__:Convolutions"
  config.method = methods.preset(method)
  if method == "gaussian":
    config.method.input.std = 0.3
  config.optimizer.learning_rate = 3e-3
  config.schedule.name = "cosine"
  config.train.epochs = 3 if QUICK else 30
  config.train.batch_size = 64
  config.train.devices = 1
  config.train.log_every = 100
  config.eval.gaussian_stds = (0.1, 0.2, 0.3, 0.4, 0.5)
  config.eval.alphas = ()
  return config


rows = []
for method in ("standard", "gaussian"):
  rows += jaxrobust.train(make_config(method), WORK / method).rows

# %% [markdown]
# What you may have misspelt is said in one line, before anything compiles:

# %%
broken = make_config("standard")
broken.model.name = "__main__:Convolution"
try:
  jaxrobust.train(broken, WORK / "broken")
except jaxrobust.ConfigError as error:
  print(error)

# %% [markdown]
# ## A finished model, from anywhere
#
# A function from float32 images [N, H, W, C] in [0, 1] to logits is judged
# under the same noises, by `jaxrobust.judge_function`. Here it is
# scikit-learn's logistic regression, whose weights are all there is to it; a
# PyTorch module becomes such a function by `models.from_torch`.

# %%
regression = LogisticRegression(max_iter=200)
regression.fit(images[train].reshape((-1, 64)) / 255, labels[train])
weights = jnp.asarray(regression.coef_.T, jnp.float32)
bias = jnp.asarray(regression.intercept_, jnp.float32)


def logits(inputs: jax.Array) -> jax.Array:
  return inputs.reshape((len(inputs), -1)) @ weights + bias


rows += jaxrobust.judge_function(
  make_config("standard"), WORK / "regression", logits, "logistic regression"
)

# %% [markdown]
# ## All three under noise

# %%
figures.accuracy_against_strength(rows, "gaussian")
