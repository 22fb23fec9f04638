"""Batch normalisation that is exact on padded and unequal shards."""

import math
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxrobust.moments import State

Norm = Literal["batch", "group"]


class BatchNorm(nn.BatchNorm):
  """Batch normalisation over the real examples of the whole mapped axis.

  With r_i in {0, 1} the mask and n = sum_i r_i * (positions per example),

    mean = 1/n sum_i r_i x_i,    var = 1/n sum_i r_i (x_i - mean)^2,
    y = scale * (x - mean) / sqrt(var + epsilon) + bias,

  where the sums run over the examples of *all* devices on `axis_name`. The
  stock layer averages the devices' own masked means instead, which is wrong
  when they hold different numbers of real examples and not a number when one
  holds none. Sums are float32, and the variance is taken about the mean (the
  stock layer's difference of moments loses the variance of a channel whose
  mean is large).

  The parameters and the `batch_stats` have the stock names, shapes and
  meaning, the biased variance included, and the layer is a `nn.BatchNorm` to
  everything that asks. Padding rows leave training mode as `bias`. A batch
  with no real example at all is normalised by the running averages and leaves
  them as they are.

  Attributes:
    momentum: of the running averages; 0.9 here (0.1 in PyTorch's words).

  Of the stock fields `use_fast_variance` and `force_float32_reductions` have
  no effect here.

  Example:
    >>> x = jnp.array([[1.0], [3.0], [99.0]])
    >>> layer = BatchNorm(use_running_average=False)
    >>> variables = layer.init(jax.random.key(0), x)
    >>> y, _ = layer.apply(
    ...   variables, x, mask=jnp.array([1, 1, 0]), mutable=["batch_stats"]
    ... )
    >>> y.round(3)
    Array([[-1.],
           [ 1.],
           [ 0.]], dtype=float32)

  Reference: S. Ioffe and C. Szegedy, Batch Normalization, ICML 2015.
  """

  momentum: float = 0.9

  @nn.compact
  def __call__(
    self,
    x: Any,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> Any:
    """Normalises a batch.

    Args:
      x: [N, ..., C], an array or a `moments.State`; the channel axis is `axis`,
        the example axis is the first.
      use_running_average: True to use the running averages (evaluation), False
        to use and record the batch's own statistics (training).
      mask: [N], nonzero for a real example and 0 for padding; None if all are
        real. It has no effect on evaluation.

    Returns:
      The normalised batch, of x's shape, in `dtype` (or the type of x and the
      parameters if that is None).
    """
    use_running_average = nn.merge_param(
      "use_running_average", self.use_running_average, use_running_average
    )
    if not isinstance(self.axis, int) or self.axis % x.ndim == 0:
      raise ValueError(
        f"axis must be one channel axis other than the first, got {self.axis}"
      )
    channel_axis = self.axis % x.ndim
    others = tuple(a for a in range(x.ndim) if a != channel_axis)
    channels = x.shape[channel_axis]

    def spread(v):
      return jnp.expand_dims(v, others)

    mean_average = self.variable(
      "batch_stats", "mean", jnp.zeros, (channels,), jnp.float32
    )
    var_average = self.variable(
      "batch_stats", "var", jnp.ones, (channels,), jnp.float32
    )
    scale, bias = jnp.ones(()), jnp.zeros(())
    if self.use_scale:
      scale = self.param(
        "scale", self.scale_init, (channels,), self.param_dtype
      )
    if self.use_bias:
      bias = self.param("bias", self.bias_init, (channels,), self.param_dtype)
    dtype = self.dtype
    if dtype is None:
      dtype = jnp.result_type(x, scale, bias)

    # The statistics of a random input are those of its mean path.
    loc = x.loc if isinstance(x, State) else x
    values = loc.astype(jnp.promote_types(x.dtype, jnp.float32))
    if use_running_average:
      mean, var = mean_average.value, var_average.value
      centred = values - spread(mean)
    else:
      mean, var, centred = self._statistics(
        values, others, mask, mean_average.value, var_average.value
      )
      if not self.is_initializing():
        # In this form an average that meets itself does not move at all.
        weight = 1 - self.momentum
        mean_average.value += weight * (mean - mean_average.value)
        var_average.value += weight * (var - var_average.value)
    factor = lax.rsqrt(var + self.epsilon) * scale
    y = centred * spread(factor) + (spread(bias) if self.use_bias else 0)
    y = y.astype(dtype)
    return x.times(spread(factor)).at(y) if isinstance(x, State) else y

  @nn.nowrap
  def _statistics(self, values, others, mask, mean_average, var_average):
    """Returns mean [C], variance [C] and the centred values [N, ..., C]."""
    axis_name = None if self.is_initializing() else self.axis_name

    def total(v):
      if axis_name is None:
        return v
      return lax.psum(v, axis_name, axis_index_groups=self.axis_index_groups)

    positions = math.prod(values.shape[a] for a in others[1:])
    if mask is None:
      real = None
      count = jnp.float32(total(values.shape[0] * positions))
    else:
      real = jnp.reshape(mask != 0, (-1,) + (1,) * (values.ndim - 1))
      count = total(jnp.sum(real, dtype=jnp.float32)) * positions
      values = jnp.where(real, values, 0)
    # The maximum keeps 0 / 0 out of the gradient of an empty batch.
    divisor = jnp.maximum(count, 1)
    mean = total(values.sum(others)) / divisor
    mean = jnp.where(count > 0, mean, mean_average)
    centred = values - jnp.expand_dims(mean, others)
    if real is not None:
      centred = jnp.where(real, centred, 0)
    var = total(jnp.square(centred).sum(others)) / divisor
    var = jnp.where(count > 0, var, var_average)
    return mean, var, centred


def norm_layer(
  norm: Norm,
  *,
  train: bool,
  mask: jax.Array | None,
  axis_name: str | None,
  dtype,
) -> Callable[[jax.Array], jax.Array]:
  """Returns a function that makes and applies one normalisation layer.

  Call it in a compact method; each call makes a new layer, `BatchNorm_k` or
  `GroupNorm_k`.

  Args:
    norm: 'batch', or 'group' for groups of channels within each example, which
      keeps no running averages and is the same in training and evaluation.
    train: whether batch statistics are used and recorded.
    mask: [N] of real examples, or None.
    axis_name: the mapped axis over which batch statistics are summed.
    dtype: the type of the result.

  Returns:
    A function from [N, ..., C] to the same shape.

  Reference for groups: Y. Wu and K. He, Group Normalization, ECCV 2018.
  """
  if norm == "batch":
    return lambda x: BatchNorm(
      use_running_average=not train, axis_name=axis_name, dtype=dtype
    )(x, mask=mask)
  # 32 groups, as the reference has it, or as many as divide the channels.
  return lambda x: nn.GroupNorm(
    num_groups=math.gcd(32, x.shape[-1]), dtype=dtype
  )(x)
