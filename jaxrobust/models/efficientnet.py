"""EfficientNet-B0 for small images."""

from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax

from jaxrobust.models import base
from jaxrobust.models.norm import Norm, norm_layer
from jaxrobust.moments import ops

_KERNEL = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
# Of one channel each: what leaves a filter is one channel, not all of them.
_DEPTHWISE = nn.initializers.variance_scaling(2.0, "fan_in", "normal")

# Of each stage: how the channels are expanded inside a block, the channels that
# leave it beside 32 in the stem, the stride of its first block, and the side of
# its filters.
_STAGES = (
  (1, 16, 1, 3),
  (6, 24, 2, 3),
  (6, 40, 2, 5),
  (6, 80, 2, 3),
  (6, 112, 1, 5),
  (6, 192, 2, 5),
  (6, 320, 1, 3),
)


class MBConv(nn.Module):
  """A convolution of each channel between two that mix the channels.

  The first makes `expand` times as many channels, the last makes `filters` of
  them; in between, each channel is weighed by a gate in (0, 1) that two dense
  layers make of the channels' averages (squeeze and excitation). The input is
  added back where shapes agree.

  Of random units, `moments.Moments` takes the gate for independent of what it
  weighs, as it does the units of a layer of one another; `moments.Tangents`
  carry the product exactly to first order.

  Attributes:
    filters: channels that leave the block.
    expand: factor of the channels inside it; 1 for no first convolution.
    stride: of the convolution of each channel.
    side: of its filters.
    normalise: makes and applies a normalisation layer.
    dtype: the type of the computation.
  """

  filters: int
  expand: int
  stride: int
  side: int
  normalise: Callable[[jax.Array], jax.Array]
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns the block's output [N, H', W', filters]."""
    channels = x.shape[-1]
    wide = self.expand * channels

    def pointwise(y, filters):
      conv = nn.Conv(
        filters, (1, 1), use_bias=False, dtype=self.dtype, kernel_init=_KERNEL
      )
      return self.normalise(conv(y))

    y = ops.silu(pointwise(x, wide)) if self.expand > 1 else x
    y = nn.Conv(
      wide,
      (self.side, self.side),
      (self.stride, self.stride),
      padding=self.side // 2,
      feature_group_count=wide,
      use_bias=False,
      dtype=self.dtype,
      kernel_init=_DEPTHWISE,
    )(y)
    y = ops.silu(self.normalise(y))
    gate = ops.global_avg_pool(y)
    gate = nn.Dense(max(1, channels // 4), dtype=self.dtype)(gate)
    gate = nn.Dense(wide, dtype=self.dtype)(ops.silu(gate))
    gate = ops.sigmoid(gate).reshape(gate.shape[0], 1, 1, wide)
    y = pointwise(y * gate, self.filters)
    return x + y if x.shape == y.shape else y


class EfficientNet(base.Model):
  """EfficientNet-B0 with a stem of stride 1, without dropout of any kind.

  A 3x3 convolution; seven stages of blocks with 16, 24, 40, 80, 112, 192 and
  320 channels, of which four halve the sides; a 1x1 convolution to 1280
  channels; a global average. 4,020,358 parameters on 3 channels and 10 classes.

  Attributes:
    width: filters of the stem; all other channels are in proportion.
    depths: blocks of each stage, of up to seven.
    norm: 'batch' or 'group'.

  Reference: M. Tan and Q. V. Le, EfficientNet: Rethinking Model Scaling for
  Convolutional Neural Networks, ICML 2019.
  """

  width: int = 32
  depths: tuple[int, ...] = (1, 2, 2, 3, 3, 4, 1)
  norm: Norm = "batch"

  quick: ClassVar[dict[str, Any]] = {"width": 8, "depths": (1, 1, 2)}

  @nn.nowrap
  def check_input(self, shape: tuple[int, ...]) -> None:
    """Checks the shape as `base.Model` does, and the number of stages."""
    super().check_input(shape)
    if not 1 <= len(self.depths) <= len(_STAGES):
      raise ValueError(
        f"EfficientNet has 1 to {len(_STAGES)} stages, got depths={self.depths}"
      )

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

    def scaled(channels):
      return max(1, round(channels * self.width / 32))

    def conv(x, filters, side):
      layer = nn.Conv(
        filters,
        (side, side),
        use_bias=False,
        dtype=self.dtype,
        kernel_init=_KERNEL,
      )
      return ops.silu(normalise(layer(x)))

    x = conv(self.enter(inputs), self.width, 3)
    for depth, (expand, filters, stride, side) in zip(
      self.depths, _STAGES, strict=False
    ):
      for block in range(depth):
        x = MBConv(
          filters=scaled(filters),
          expand=expand,
          stride=1 if block else stride,
          side=side,
          normalise=normalise,
          dtype=self.dtype,
        )(x)
    return self.leave(ops.global_avg_pool(conv(x, scaled(1280), 1)))
