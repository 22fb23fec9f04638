"""Residual networks: ResNet-18 for images, and one for time series."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax

from jaxrobust.models import base
from jaxrobust.models.norm import Norm, norm_layer
from jaxrobust.moments import ops

Stem = Literal["cifar", "imagenet"]
# Side and stride of the first convolution.
_STEMS = {"cifar": (3, 1), "imagenet": (7, 2)}
# The references' initialisation: it keeps the variance of gradients.
_KERNEL = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class BasicBlock(nn.Module):
  """Two 3x3 convolutions around which the input is added back.

  Attributes:
    filters: number of filters of both convolutions.
    stride: of the first convolution; with it, or when the number of channels
      changes, the input passes a 1x1 convolution and a normalisation.
    normalise: makes and applies a normalisation layer.
    dtype: the type of the computation.
  """

  filters: int
  stride: int
  normalise: Callable[[jax.Array], jax.Array]
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns the block's output [N, H', W', filters]."""

    def conv(y, side, stride):
      return nn.Conv(
        self.filters,
        (side, side),
        (stride, stride),
        padding=side // 2,
        use_bias=False,
        dtype=self.dtype,
        kernel_init=_KERNEL,
      )(y)

    y = ops.relu(self.normalise(conv(x, 3, self.stride)))
    y = self.normalise(conv(y, 3, 1))
    if self.stride != 1 or x.shape[-1] != self.filters:
      x = self.normalise(conv(x, 1, self.stride))
    return ops.relu(x + y)


class ResNet18(base.Model):
  """ResNet-18, by default with the stem for small images.

  A 3x3 convolution of stride 1 without pooling; four stages of two blocks with
  `width` x (1, 2, 4, 8) filters and strides 1, 2, 2, 2; a global average.
  11,173,962 parameters on 3 channels and 10 classes.

  Attributes:
    width: filters of the first stage.
    feature_dim: width of an affine layer between the global average and
      `head`, as `Model.leave` makes it; 0 for none. The discriminative method
      uses 128.
    norm: 'batch' or 'group'.
    stem: 'cifar', a 3x3 convolution, for images of about 32 pixels;
      'imagenet', a 7x7 one of stride 2 and pooling, for about 224. The pooling
      is 2x2, where the paper's is 3x3 with stride 2.

  References: K. He et al., Deep Residual Learning for Image Recognition, CVPR
  2016; the `feature_dim` layer, H.-V. Nguyen et al., arXiv:2405.18499.
  """

  width: int = 64
  feature_dim: int = 0
  norm: Norm = "batch"
  stem: Stem = "cifar"

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
    side, stride = _STEMS[self.stem]
    x = self.enter(inputs)
    x = nn.Conv(
      self.width,
      (side, side),
      stride,
      use_bias=False,
      dtype=self.dtype,
      kernel_init=_KERNEL,
    )(x)
    x = normalise(x)
    if self.stem == "imagenet":
      x = ops.max_pool(x, (2, 2))
    x = ops.relu(x)
    for stage in range(4):
      for block in range(2):
        x = BasicBlock(
          filters=self.width * 2**stage,
          stride=2 if stage > 0 and block == 0 else 1,
          normalise=normalise,
          dtype=self.dtype,
        )(x)
    return self.leave(ops.global_avg_pool(x), self.feature_dim)


class ResNet1d(base.Model):
  """The residual network for time series.

  Three blocks of `width` x (1, 2, 2) filters, each of three convolutions of
  lengths 8, 5 and 3, around which the input is added back; a global average.
  504,258 parameters on one variate and 2 classes.

  Attributes:
    width: filters of the first block.
    norm: 'batch' or 'group'.

  Reference: Z. Wang, W. Yan and T. Oates, Time Series Classification from
  Scratch with Deep Neural Networks, IJCNN 2017.
  """

  width: int = 64
  norm: Norm = "batch"

  kind: ClassVar[base.Kind] = "series"
  quick: ClassVar[dict[str, Any]] = {"width": 8}

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

    def conv(x, filters, length):
      x = nn.Conv(filters, (length,), dtype=self.dtype, kernel_init=_KERNEL)(x)
      return normalise(x)

    x = self.enter(inputs)
    for factor in (1, 2, 2):
      filters = factor * self.width
      y = ops.relu(conv(x, filters, 8))
      y = ops.relu(conv(y, filters, 5))
      y = conv(y, filters, 3)
      # Where the channels agree the reference still normalises the shortcut.
      same = x.shape[-1] == filters
      x = normalise(x) if same else conv(x, filters, 1)
      x = ops.relu(x + y)
    return self.leave(ops.global_avg_pool(x))
