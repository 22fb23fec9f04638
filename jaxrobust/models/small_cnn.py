"""A small convolutional network for MNIST and CIFAR."""

from typing import Any, ClassVar

import flax.linen as nn
import jax

from jaxrobust.models import base
from jaxrobust.moments import ops


class SmallCnn(base.Model):
  """Two 3x3 convolutions, each pooled 2x2, and a dense layer, with ReLU.

  32 and 64 filters and 256 units: 824,458 parameters on 28x28x1 and 1,070,794
  on 32x32x3, with 10 classes.

  Attributes:
    width: filters of the first convolution; the second has twice as many.
    hidden: widths of the dense layers; the last is the width of the features.
    dropout: the probability that a unit of the dense layers is dropped in
      training, [0, 1).
    feature_dim: width of an affine layer before `head`, as `Model.leave` makes
      it; 0 for none.
  """

  width: int = 32
  hidden: tuple[int, ...] = (256,)
  dropout: float = 0.0
  feature_dim: int = 0

  quick: ClassVar[dict[str, Any]] = {"width": 8, "hidden": (32,)}

  @nn.compact
  def __call__(
    self,
    inputs: jax.Array,
    train: bool = False,
    mask: jax.Array | None = None,
    keys: jax.Array | None = None,
  ) -> base.Outputs:
    """Returns the outputs for inputs [N, H, W, C]; see `base.Model`."""
    x = self.enter(inputs)
    for filters in (self.width, 2 * self.width):
      x = nn.Conv(filters, (3, 3), dtype=self.dtype)(x)
      # Both ways are equal; this one has a quarter of the activations.
      x = ops.relu(ops.max_pool(x, (2, 2)))
    x = x.reshape(x.shape[0], -1)
    rate = self.dropout if train else 0.0
    for layer, width in enumerate(self.hidden):
      x = ops.relu(nn.Dense(width, dtype=self.dtype)(x))
      x = base.dropout(x, rate, keys, layer)
    return self.leave(x, self.feature_dim)
