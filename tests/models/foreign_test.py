"""A model of one's own has its own logits and gradients, jitted or not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import attacks, models

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(12, 3)).astype(np.float32)
IMAGES = RNG.uniform(size=(5, 2, 2, 3)).astype(np.float32)


def logits(x):
  return np.tanh(x.reshape((len(x), -1)) @ KERNEL)


def gradient(x, cotangents):
  slope = 1 - logits(x) ** 2
  return ((cotangents * slope) @ KERNEL.T).reshape(x.shape)


def same(x):
  return jnp.tanh(x.reshape((len(x), -1)) @ KERNEL)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["plain", "jit"])
def test_a_callback_has_the_logits_and_the_gradient_of_its_function(wrap):
  own = wrap(models.from_callback(logits, gradient, 3))
  np.testing.assert_allclose(own(IMAGES), same(IMAGES), rtol=1e-5)
  weights = RNG.normal(size=(5, 3)).astype(np.float32)

  def summed(function):
    return jax.grad(lambda x: (weights * function(x)).sum())(IMAGES)

  np.testing.assert_allclose(summed(own), summed(same), rtol=1e-4, atol=1e-6)


def test_an_attack_climbs_it_as_the_function_itself():
  own = models.from_callback(logits, gradient, 3)
  labels = logits(IMAGES).argmax(axis=1)
  keys = jax.random.split(jax.random.key(0), 5)
  found = [
    attacks.pgd(keys, f, IMAGES, labels, eps=0.2, steps=4) for f in (own, same)
  ]
  np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_the_model_hands_on_what_the_function_gives():
  model = models.Foreign(same)
  outputs = model.apply({"params": {}}, IMAGES, train=False, mask=np.ones(5))
  np.testing.assert_allclose(outputs.logits, same(IMAGES))
  assert not jax.tree.leaves(model.init(jax.random.key(0), IMAGES))


def test_a_pytorch_module_is_judged_in_evaluation_mode_with_its_gradient():
  torch = pytest.importorskip("torch")
  convolution = torch.nn.Conv2d(3, 4, 2)
  module = torch.nn.Sequential(
    convolution, torch.nn.Dropout(0.9), torch.nn.Flatten()
  )
  own = models.from_torch(module, num_classes=4)
  kernel = convolution.weight.detach().numpy().transpose((2, 3, 1, 0))
  bias = convolution.bias.detach().numpy()

  def twin(x):
    return x.reshape((len(x), -1)) @ kernel.reshape((-1, 4)) + bias

  np.testing.assert_allclose(own(IMAGES), twin(IMAGES), rtol=1e-4, atol=1e-6)
  found, wanted = (
    jax.grad(lambda x, f=f: (f(x) ** 2).sum())(jnp.asarray(IMAGES))
    for f in (own, twin)
  )
  np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)
