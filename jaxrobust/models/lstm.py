"""A recurrent network for time series."""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrobust import moments
from jaxrobust.models import base
from jaxrobust.moments import ops


class _Affine(nn.Module):
  """The kernel, and the bias if it has one, of one gate.

  Attributes:
    width: of the hidden state.
    recurrent: whether it acts on the hidden state, with a bias.
  """

  width: int
  recurrent: bool

  @nn.compact
  def __call__(self, inputs: int) -> dict[str, jax.Array]:
    """Returns the parameters for this number of inputs."""
    kernel = nn.initializers.lecun_normal()
    if not self.recurrent:
      return {"kernel": self.param("kernel", kernel, (inputs, self.width))}
    kernel = nn.initializers.orthogonal()
    return {
      "kernel": self.param("kernel", kernel, (inputs, self.width)),
      "bias": self.param("bias", nn.initializers.zeros, (self.width,)),
    }


class LstmLayer(nn.Module):
  """The last hidden state of an LSTM; noise enters its gates' pre-activations.

  Its parameters have the names and shapes of `nn.OptimizedLSTMCell`.

  Attributes:
    width: size of the hidden state.
    dtype: the type of the computation.
  """

  width: int
  dtype: Any

  @nn.compact
  def __call__(self, inputs: jax.Array) -> jax.Array:
    """Returns [N, width] for inputs [N, T, C]."""
    gates = "ifgo"
    of_input = [
      _Affine(self.width, False, name=f"i{gate}")(inputs.shape[-1])
      for gate in gates
    ]
    of_hidden = [
      _Affine(self.width, True, name=f"h{gate}")(self.width) for gate in gates
    ]

    def joined(parts, name):
      whole = jnp.concatenate([part[name] for part in parts], axis=-1)
      return whole.astype(self.dtype)

    return ops.lstm(
      inputs,
      joined(of_input, "kernel"),
      joined(of_hidden, "kernel"),
      joined(of_hidden, "bias"),
      inject=moments.inject,
    )


class Lstm(base.Model):
  """One LSTM layer; its last hidden state is classified.

  66,818 parameters on one variate and 2 classes.

  Attributes:
    width: size of the hidden state and of the features.

  Reference: S. Hochreiter and J. Schmidhuber, Long Short-Term Memory, Neural
  Computation 9, 1997.
  """

  width: int = 128

  kind: ClassVar[base.Kind] = "series"
  vectorises: ClassVar[bool] = True
  quick: ClassVar[dict[str, Any]] = {"width": 16}

  @nn.compact
  def __call__(
    self,
    inputs: jax.Array,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> base.Outputs:
    """Returns the outputs for inputs [N, T, C]; see `base.Model`."""
    x = self.enter(inputs)
    # The name under which checkpoints have always had it.
    layer = LstmLayer(self.width, self.dtype, name="OptimizedLSTMCell_0")
    return self.leave(layer(x))
