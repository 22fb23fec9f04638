"""A model of one's own as a function from images to logits, judged like ours.

A function of JAX is taken as it is. One of another library, as a PyTorch
module, is called on the host; with its gradient attacks can climb it.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.models.base import Outputs

LogitsFn = Callable[[jax.Array], jax.Array]


class Foreign(nn.Module):
  """A model without parameters of its own: a function gives the logits.

  Attributes:
    function: From inputs [N, ...], float32, images in [0, 1], to logits [N, K].
  """

  function: LogitsFn

  @nn.compact
  def __call__(
    self,
    inputs: jax.Array,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> Outputs:
    """The logits, which are the features, too."""
    del train, mask
    logits = self.function(inputs).astype(jnp.float32)
    return Outputs(logits, logits)


def from_callback(
  logits: Callable[[np.ndarray], np.ndarray],
  gradient: Callable[[np.ndarray, np.ndarray], np.ndarray],
  num_classes: int,
) -> LogitsFn:
  """A function of JAX that calls one of another library on the host.

  Args:
    logits: From numpy's inputs [N, ...] to logits [N, K].
    gradient: (inputs [N, ...], cotangents [N, K]) -> the gradient of
      sum(cotangents * logits) in the inputs, [N, ...].
    num_classes: K.

  Returns:
    From inputs to logits; it can be differentiated once in reverse mode,
    compiled and mapped over devices, but not over a new axis by `vmap`.

  Example:
    >>> double = from_callback(lambda x: 2 * x, lambda x, c: 2 * c, 3)
    >>> jax.grad(lambda x: double(x).sum())(jnp.ones((1, 3))).tolist()
    [[2.0, 2.0, 2.0]]
  """

  def asked(x: jax.Array) -> jax.Array:
    shape = jax.ShapeDtypeStruct((len(x), num_classes), jnp.float32)
    return jax.pure_callback(
      lambda x: np.asarray(logits(np.asarray(x)), np.float32), shape, x
    )

  @jax.custom_vjp
  def function(x: jax.Array) -> jax.Array:
    return asked(x)

  def forwards(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return asked(x), x

  def backwards(x: jax.Array, cotangents: jax.Array) -> tuple[jax.Array]:
    found = jax.pure_callback(
      lambda x, c: np.asarray(
        gradient(np.asarray(x), np.asarray(c)), np.float32
      ),
      jax.ShapeDtypeStruct(x.shape, jnp.float32),
      x,
      cotangents,
    )
    return (found,)

  function.defvjp(forwards, backwards)
  return function


def from_torch(module: Any, num_classes: int) -> LogitsFn:
  """A PyTorch module as a function of JAX, with its gradient.

  The module is put into evaluation mode. It takes images [N, C, H, W] in
  [0, 1]: what it needs to have normalised is its own first layer. Other inputs
  are handed on as they are.

  Args:
    module: A `torch.nn.Module` on the CPU or an accelerator.
    num_classes: K.

  Returns:
    From images [N, H, W, C], float32, to logits [N, K], as `from_callback`.
  """
  import torch  # pyright: ignore[reportMissingImports]

  module = module.eval()
  parameter = next(module.parameters(), torch.zeros(()))

  def entered(x: np.ndarray) -> Any:
    if x.ndim == 4:
      x = x.transpose((0, 3, 1, 2))
    return torch.tensor(np.ascontiguousarray(x), device=parameter.device)

  def logits(x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
      return module(entered(x)).cpu().numpy()

  def gradient(x: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
    inputs = entered(x).requires_grad_(True)
    outputs = module(inputs)
    weights = torch.tensor(np.array(cotangents), device=parameter.device)
    (found,) = torch.autograd.grad(outputs, inputs, weights)
    found = found.cpu().numpy()
    return found.transpose((0, 2, 3, 1)) if x.ndim == 4 else found

  return from_callback(logits, gradient, num_classes)
