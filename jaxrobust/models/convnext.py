"""A convolutional network after the transformer: ConvNeXt, for small images."""

from typing import Any, ClassVar

import flax.linen as nn
import jax

from jaxrobust.models import base
from jaxrobust.moments import ops

_KERNEL = nn.initializers.truncated_normal(0.02)
# The reference begins with blocks that do next to nothing.
_LAYER_SCALE = nn.initializers.constant(1e-6)


class ConvNeXtBlock(nn.Module):
  """A 7x7 convolution of each channel, and a dense layer of each position.

    y = x + s (W_2 gelu(W_1 norm(x * k) + b_1) + b_2)

  with s, a factor per channel that is learned.

  Attributes:
    dtype: the type of the computation.
  """

  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns the block's output, of the shape of x [N, H, W, C]."""
    width = x.shape[-1]

    def dense(features, y):
      layer = nn.Dense(features, dtype=self.dtype, kernel_init=_KERNEL)
      return layer(y)

    y = nn.Conv(
      width,
      (7, 7),
      feature_group_count=width,
      dtype=self.dtype,
      kernel_init=_KERNEL,
    )(x)
    y = nn.LayerNorm(dtype=self.dtype)(y)
    y = dense(width, ops.gelu(dense(4 * width, y), approximate=False))
    scale = self.param("layer_scale", _LAYER_SCALE, (width,))
    return x + y * scale.astype(self.dtype)


class ConvNeXt(base.Model):
  """ConvNeXt without stochastic depth, with small patches.

  Patches of 2x2 pixels; four stages of 2, 2, 6 and 2 blocks with 40, 80, 160
  and 320 channels, the size that is called Atto, between which 2x2 positions
  become one; a global average, and a normalisation. 3,376,290 parameters on 3
  channels and 10 classes. Where a side is odd, zeros complete the last patch.

  Attributes:
    patch: side of a patch in pixels: 2 for images of 32 pixels, 1 for more
      accuracy at four times the cost, 4 for images of 224 pixels.
    depths: blocks of each stage.
    widths: channels of each stage.

  References: Z. Liu et al., A ConvNet for the 2020s, CVPR 2022; S. Woo et al.,
  ConvNeXt V2, CVPR 2023 (the size).
  """

  patch: int = 2
  depths: tuple[int, ...] = (2, 2, 6, 2)
  widths: tuple[int, ...] = (40, 80, 160, 320)

  quick: ClassVar[dict[str, Any]] = {"depths": (1, 1), "widths": (8, 16)}

  @nn.nowrap
  def check_input(self, shape: tuple[int, ...]) -> None:
    """Checks the shape as `base.Model` does, and that stages have widths."""
    super().check_input(shape)
    if not self.depths or len(self.depths) != len(self.widths):
      raise ValueError(
        f"ConvNeXt needs as many depths as widths, got depths={self.depths}"
        f" and widths={self.widths}"
      )

  @nn.compact
  def __call__(
    self,
    inputs: jax.Array,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> base.Outputs:
    """Returns the outputs for inputs [N, H, W, C]; see `base.Model`."""

    def merge(x, width, side):
      """Makes one position of the side x side positions of a patch."""
      strides = (side, side)
      conv = nn.Conv(
        width, strides, strides, dtype=self.dtype, kernel_init=_KERNEL
      )
      return conv(x)

    x = self.enter(inputs)
    for stage, (depth, width) in enumerate(
      zip(self.depths, self.widths, strict=True)
    ):
      # The patches are normalised after they are merged, the positions before.
      if stage == 0:
        x = nn.LayerNorm(dtype=self.dtype)(merge(x, width, self.patch))
      else:
        x = merge(nn.LayerNorm(dtype=self.dtype)(x), width, 2)
      for _ in range(depth):
        x = ConvNeXtBlock(self.dtype)(x)
    x = ops.global_avg_pool(x)
    return self.leave(nn.LayerNorm(dtype=self.dtype)(x))
