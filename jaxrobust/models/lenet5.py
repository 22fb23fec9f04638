"""LeNet-5."""

from typing import Any, ClassVar

import flax.linen as nn
import jax

from jaxrobust.models import base, toeplitz
from jaxrobust.moments import ops


class LeNet5(base.Model):
  """LeNet-5 with ReLU and max pooling, as it is used today.

  Convolutions of 6 and 16 filters 5x5 without padding, each pooled 2x2, and
  dense layers. As in the reference it sees 32x32 pixels: images with a shorter
  side are surrounded by zeros (after normalisation) to that size. 61,706
  parameters on 28x28x1, 62,006 on 32x32x3, with 10 classes.

  Attributes:
    hidden: widths of the dense layers; the last is the width of the features.
    feature_dim: width of an affine layer before `head`, as `Model.leave` makes
      it; 0 for none.

  Reference: Y. LeCun et al., Gradient-Based Learning Applied to Document
  Recognition, Proceedings of the IEEE 86, 1998.
  """

  hidden: tuple[int, ...] = (120, 84)
  feature_dim: int = 0

  quick: ClassVar[dict[str, Any]] = {"hidden": (32, 16)}

  @nn.compact
  def __call__(
    self,
    inputs: jax.Array,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> base.Outputs:
    """Returns the outputs for inputs [N, H, W, C]; see `base.Model`."""
    x = self.enter(inputs)
    missing = [max(32 - side, 0) for side in x.shape[1:3]]
    paddings = [tuple((m // 2, m - m // 2) for m in missing), "VALID"]
    for filters, padding in zip((6, 16), paddings, strict=True):
      x = nn.Conv(
        filters,
        (5, 5),
        padding=padding,
        dtype=self.dtype,
        conv_general_dilated=toeplitz.toeplitz_conv,
      )(x)
      # Both ways are equal; this one has a quarter of the activations.
      x = ops.relu(ops.max_pool(x, (2, 2)))
    x = x.reshape(x.shape[0], -1)
    for width in self.hidden:
      x = ops.relu(nn.Dense(width, dtype=self.dtype)(x))
    return self.leave(x, self.feature_dim)
