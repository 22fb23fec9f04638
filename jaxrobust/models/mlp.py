"""The fully connected network."""

from typing import Any, ClassVar

import flax.linen as nn
import jax

from jaxrobust.models import base
from jaxrobust.moments import ops


class Mlp(base.Model):
  """Dense layers with ReLU on the flattened input.

  The "FCN" of the alpha-stable-noise paper, read as fully connected; the paper
  does not state its widths. The defaults have 535,818 parameters on
  28x28x1 inputs and 10 classes.

  Attributes:
    hidden: the layers' widths; the last is the width of the features. ()
      makes a linear classifier, whose features are the input.
    dropout: the probability that a hidden unit is dropped in training, [0, 1).
    feature_dim: width of an affine layer before `head`, as `Model.leave` makes
      it; 0 for none.

  Reference: X. Yuan et al., Robustness Enhancement in Neural Networks with
  Alpha-Stable Training Noise, arXiv:2311.10803.
  """

  hidden: tuple[int, ...] = (512, 256)
  dropout: float = 0.0
  feature_dim: int = 0

  kind: ClassVar[base.Kind] = "any"
  vectorises: ClassVar[bool] = True
  quick: ClassVar[dict[str, Any]] = {"hidden": (64,)}

  @nn.compact
  def __call__(
    self,
    inputs: jax.Array,
    train: bool = False,
    mask: jax.Array | None = None,
    keys: jax.Array | None = None,
  ) -> base.Outputs:
    """Returns the outputs for inputs [N, ...]; see `base.Model`."""
    x = self.enter(inputs)
    x = x.reshape(x.shape[0], -1)
    rate = self.dropout if train else 0.0
    for layer, width in enumerate(self.hidden):
      x = ops.relu(nn.Dense(width, dtype=self.dtype)(x))
      x = base.dropout(x, rate, keys, layer)
    return self.leave(x, self.feature_dim)
