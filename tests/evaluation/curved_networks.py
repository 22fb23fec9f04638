"""Small networks with kinks and without, for the tests of curvature."""

import jax
import jax.numpy as jnp
import numpy as np

SHAPE, CLASSES = (8, 8, 3), 5
_RNG = np.random.default_rng(0)
_FILTERS = _RNG.normal(size=(4 * 4 * 3, 8), scale=0.1).astype(np.float32)
_HIDDEN = _RNG.normal(size=(4 * 8, 24), scale=0.4).astype(np.float32)
HEAD = _RNG.normal(size=(24, CLASSES), scale=4.0).astype(np.float32)


def inputs(count):
  """Uniform in [0, 1], and the labels of a network that has learned them."""
  rng = np.random.default_rng(count)
  images = rng.uniform(size=(count, *SHAPE)).astype(np.float32)
  return images, np.asarray(gelu(images)).argmax(axis=1).astype(np.int32)


def keys(count, seed=0):
  return jax.random.split(jax.random.key(seed), count)


def features(x, activation):
  """A 4x4 convolution of stride 4, and a dense layer."""
  patches = (x - 0.3).reshape((len(x), 2, 4, 2, 4, 3)).swapaxes(2, 3)
  x = activation(patches.reshape((len(x), 4, -1)) @ _FILTERS)
  return activation(x.reshape((len(x), -1)) @ _HIDDEN)


def relu(x):
  return features(x, jax.nn.relu) @ HEAD


def gelu(x):
  return features(x, jax.nn.gelu) @ HEAD


def hessians(logits_fn, images, labels):
  """The Hessian of every example alone, float64 [N, n, n]."""

  def loss(flat, label):
    logits = logits_fn(flat.reshape((1, *SHAPE)))[0]
    return jax.nn.logsumexp(logits) - logits[label]

  with jax.enable_x64(True):
    flat = jnp.asarray(images.reshape((len(images), -1)), jnp.float64)
    return np.asarray(jax.jit(jax.vmap(jax.hessian(loss)))(flat, labels))
