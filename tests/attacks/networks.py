"""Small networks for the tests of attacks, in numpy and jax alone."""

import jax.numpy as jnp
import numpy as np

SHAPE, CLASSES = (4, 4, 3), 5
_RNG = np.random.default_rng(0)
WEIGHTS = _RNG.normal(size=(48, CLASSES)).astype(np.float32)
HIDDEN = _RNG.normal(size=(48, 16), scale=0.5).astype(np.float32)
OUT = _RNG.normal(size=(16, CLASSES), scale=0.5).astype(np.float32)


def images(count):
  """Uniform in [0, 1], the same for the same count."""
  rng = np.random.default_rng(count)
  return rng.uniform(0.0, 1.0, (count, *SHAPE)).astype(np.float32)


def linear(x):
  return x.reshape((len(x), -1)) @ WEIGHTS


def net(x):
  return jnp.tanh(x.reshape((len(x), -1)) @ HIDDEN) @ OUT


def classes_of(logits_fn, inputs):
  return np.argmax(np.asarray(logits_fn(inputs)), axis=1).astype(np.int32)
