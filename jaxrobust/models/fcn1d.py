"""The fully convolutional network for time series."""

from typing import Any, ClassVar

import flax.linen as nn
import jax

from jaxrobust.models import base
from jaxrobust.models.norm import Norm, norm_layer
from jaxrobust.moments import ops


class Fcn1d(base.Model):
  """Three convolutions with normalisation and ReLU, then a global average.

  Filters 128, 256 and 128 of lengths 8, 5 and 3: 264,962 parameters on one
  variate and 2 classes.

  Attributes:
    width: filters of the first and the last convolution; the middle one has
      twice as many.
    norm: 'batch' or 'group'.

  Reference: Z. Wang, W. Yan and T. Oates, Time Series Classification from
  Scratch with Deep Neural Networks, IJCNN 2017.
  """

  width: int = 128
  norm: Norm = "batch"

  kind: ClassVar[base.Kind] = "series"
  quick: ClassVar[dict[str, Any]] = {"width": 16}

  @nn.compact
  def __call__(
    self,
    inputs: jax.Array,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> base.Outputs:
    """Returns the outputs for inputs [N, T, C]; see `base.Model`."""
    normalise = norm_layer(
      self.norm,
      train=train,
      mask=mask,
      axis_name=self.axis_name,
      dtype=self.dtype,
    )
    x = self.enter(inputs)
    for factor, length in ((1, 8), (2, 5), (1, 3)):
      filters = factor * self.width
      x = nn.Conv(filters, (length,), dtype=self.dtype)(x)
      x = ops.relu(normalise(x))
    return self.leave(ops.global_avg_pool(x))
