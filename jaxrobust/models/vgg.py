"""VGG networks with normalisation, for small images."""

from typing import Any, ClassVar

import flax.linen as nn
import jax

from jaxrobust.models import base
from jaxrobust.models.norm import Norm, norm_layer
from jaxrobust.moments import ops

_KERNEL = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Vgg(base.Model):
  """3x3 convolutions with normalisation and ReLU in five pooled stages.

  `width` x (1, 2, 4, 8, 8) filters; 2x2 max pooling after each stage as long
  as there is a side to halve; a global average. A subclass says how many
  convolutions a stage has.

  Attributes:
    width: filters of the first stage.
    norm: 'batch' or 'group'.

  Reference: K. Simonyan and A. Zisserman, Very Deep Convolutional Networks for
  Large-Scale Image Recognition, ICLR 2015.
  """

  width: int = 64
  norm: Norm = "batch"

  depths: ClassVar[tuple[int, ...]] = ()
  quick: ClassVar[dict[str, Any]] = {"width": 8}

  @nn.compact
  def __call__(
    self,
    inputs: jax.Array,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> base.Outputs:
    """Returns the outputs for inputs [N, H, W, C]; see `base.Model`."""
    normalise = norm_layer(
      self.norm,
      train=train,
      mask=mask,
      axis_name=self.axis_name,
      dtype=self.dtype,
    )
    x = self.enter(inputs)
    for factor, depth in zip((1, 2, 4, 8, 8), self.depths, strict=True):
      for position in range(1, depth + 1):
        x = nn.Conv(
          factor * self.width, (3, 3), dtype=self.dtype, kernel_init=_KERNEL
        )(x)
        x = normalise(x)
        if position == depth:
          # Before ReLU as after it, with a quarter of the activations.
          x = ops.max_pool(x, (2, 2))
        x = ops.relu(x)
    return self.leave(ops.global_avg_pool(x))


class Vgg11(Vgg):
  """VGG-11: 9,231,114 parameters on 3 channels and 10 classes."""

  depths: ClassVar[tuple[int, ...]] = (1, 1, 2, 2, 2)


class Vgg16(Vgg):
  """VGG-16: 14,728,266 parameters on 3 channels and 10 classes."""

  depths: ClassVar[tuple[int, ...]] = (2, 2, 3, 3, 3)
