"""A vision transformer for small images."""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrobust.models import base
from jaxrobust.moments import ops


def _attention(query, key, value, mask=None, **kwargs):
  """Scaled dot-product attention; the layer's other options are unused."""
  del kwargs
  return ops.attention(query, key, value, mask)


class EncoderBlock(nn.Module):
  """Self-attention and a dense layer, each normalised first and added back.

  Attributes:
    heads: number of attention heads.
    dtype: the type of the computation; the softmax is float32.
  """

  heads: int
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns the new tokens [N, tokens, width]."""
    width = x.shape[-1]
    y = nn.LayerNorm(dtype=self.dtype)(x)
    x = x + nn.MultiHeadDotProductAttention(
      self.heads, dtype=self.dtype, attention_fn=_attention
    )(y)
    y = nn.LayerNorm(dtype=self.dtype)(x)
    y = nn.Dense(4 * width, dtype=self.dtype)(y)
    y = nn.Dense(width, dtype=self.dtype)(ops.gelu(y, approximate=False))
    return x + y


class VitTiny(base.Model):
  """ViT-Tiny without dropout, with small patches.

  Patches of 4x4 pixels, 192 channels, 12 blocks of 3 heads, a class token whose
  last value is classified: 5,362,762 parameters on 32x32x3 and 10 classes. The
  positions are learned, so a model is tied to the image size it began with.

  Attributes:
    patch: side of a patch in pixels; it must divide the image's sides.
    width: channels of a token, a multiple of `heads`.
    depth: number of blocks.
    heads: attention heads of a block.

  References: A. Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021;
  H. Touvron et al., Training Data-Efficient Image Transformers, ICML 2021.
  """

  patch: int = 4
  width: int = 192
  depth: int = 12
  heads: int = 3

  quick: ClassVar[dict[str, Any]] = {"width": 24, "depth": 2, "heads": 2}

  @nn.nowrap
  def check_input(self, shape: tuple[int, ...]) -> None:
    """Checks the shape as `base.Model` does, and that patches fill it."""
    super().check_input(shape)
    if shape[0] % self.patch or shape[1] % self.patch:
      raise ValueError(
        f"VitTiny needs sides that patch={self.patch} divides, got images of"
        f" shape {shape}"
      )
    if self.width % self.heads:
      raise ValueError(
        f"width must be a multiple of heads={self.heads}, got {self.width}"
      )

  @nn.compact
  def __call__(
    self,
    inputs: jax.Array,
    train: bool = False,
    mask: jax.Array | None = None,
  ) -> base.Outputs:
    """Returns the outputs for inputs [N, H, W, C]; see `base.Model`."""
    side = (self.patch, self.patch)
    x = self.enter(inputs)
    x = nn.Conv(self.width, side, side, padding="VALID", dtype=self.dtype)(x)
    x = x.reshape(x.shape[0], -1, self.width)

    normal = nn.initializers.normal(0.02)
    shape = (1, x.shape[1] + 1, self.width)
    class_token = self.param("class_token", normal, (1, 1, self.width))
    positions = self.param("positions", normal, shape)
    class_tokens = jnp.broadcast_to(class_token, (x.shape[0], 1, self.width))
    x = ops.concatenate([class_tokens.astype(self.dtype), x], axis=1)
    x = x + positions.astype(self.dtype)

    for _ in range(self.depth):
      x = EncoderBlock(self.heads, self.dtype)(x)
    # Only the class token goes on, so only it needs the last normalisation.
    return self.leave(nn.LayerNorm(dtype=self.dtype)(x[:, 0]))
