"""A recurrent network for time series."""

from typing import Any, ClassVar

import flax.linen as nn
import jax

from jaxrobust.models import base


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
    cell = nn.OptimizedLSTMCell(self.width, dtype=self.dtype)
    (_, last_state), _ = nn.RNN(cell, return_carry=True)(x)
    return self.leave(last_state)
