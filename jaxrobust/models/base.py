"""What every model shares: its fields, its outputs and its first layer."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from jaxrobust.moments import State

Kind = Literal["image", "series", "any"]


class Outputs(NamedTuple):
  """What a model returns for a batch, or a forward in its place.

  Attributes:
    logits: float32 [N, K], unnormalised log-probabilities of classes, or the
      predicted targets of a regression; of a stochastic forward their mean.
    features: float32 [N, d], the penultimate features; the last layer, `head`,
      is affine in them: logits = features @ kernel + bias.
    distribution: what a stochastic forward knows of the logits beyond their
      mean: a `moments.State`, `moments.Linear` or `Samples`; None for a
      deterministic one.
    metrics: numbers per example, [N] each, whose mean is to be logged.
  """

  logits: jax.Array
  features: jax.Array
  distribution: Any = None
  metrics: Mapping[str, jax.Array] = FrozenDict()


class Samples(NamedTuple):
  """Logits of one batch under several draws of the noise inside the network.

  Attributes:
    logits: float32 [S, N, K].
  """

  logits: jax.Array


class Normalize(nn.Module):
  """Standardises channels: y = (x - mean) / std, with no parameters.

  It is the first layer of every model, so that noises, attacks and smoothers
  act on pixels in [0, 1] and one strength means the same for every data set.

  Attributes:
    mean: one number per channel, in input units; () leaves the input as it is.
    std: one positive number per channel, in input units.

  Example:
    >>> layer = Normalize(mean=(0.5,), std=(0.25,))
    >>> layer.apply({}, jnp.ones((1, 2, 2, 1)))[0, 0, 0]
    Array([2.], dtype=float32)
  """

  mean: tuple[float, ...] = ()
  std: tuple[float, ...] = ()

  @nn.compact
  def __call__(self, inputs: jax.Array) -> jax.Array:
    """Standardises `inputs` [N, ..., C]; returns the same shape.

    Raises:
      ValueError: if there is not one mean and one std per channel.
    """
    if len(self.mean) != len(self.std):
      raise ValueError(
        "mean and std need the same number of channels, got"
        f" {len(self.mean)} and {len(self.std)}"
      )
    if not self.mean:
      return inputs
    if inputs.shape[-1] != len(self.mean):
      raise ValueError(
        f"mean has {len(self.mean)} channels, the input has {inputs.shape[-1]}"
      )
    mean = jnp.asarray(self.mean, jnp.float32)
    std = jnp.asarray(self.std, jnp.float32)
    return (inputs - mean) / std


class Model(nn.Module):
  """Base of the models in this package; a subclass adds fields and `__call__`.

  Every field has a default but `num_classes`. Parameters are float32;
  `dtype` is the type of the computation between the first and the last layer.
  The last layer is a Dense named `head`.

  Attributes:
    num_classes: K, the number of logits: of classes, or of targets.
    mean: per-channel mean of the inputs; () for no normalisation.
    std: per-channel standard deviation of the inputs.
    axis_name: the mapped axis over which batch statistics are summed.
    dtype: the type of the computation, float32 or bfloat16.
    kind: what a single input is: an image [H, W, C], a series [T, C] or any
      array.
    quick: small options, for tests and `:quick` configurations.
    vectorises: whether several networks, mapped over by `jax.vmap`, are faster
      than one after the other: matrix products are, convolutions are not.
  """

  num_classes: int
  mean: tuple[float, ...] = ()
  std: tuple[float, ...] = ()
  axis_name: str | None = None
  dtype: Any = jnp.float32

  kind: ClassVar[Kind] = "image"
  quick: ClassVar[Mapping[str, Any]] = {}
  vectorises: ClassVar[bool] = False

  @nn.nowrap
  def check_input(self, shape: tuple[int, ...]) -> None:
    """Checks that the model can take inputs of this shape.

    Args:
      shape: of one example, without the batch axis: (H, W, C) or (T, C).

    Raises:
      ValueError: one line that says what the model takes.
    """
    model = type(self).__name__
    wanted = {"image": (3, "images [H, W, C]"), "series": (2, "series [T, C]")}
    rank, words = wanted.get(self.kind, (len(shape), "arrays"))
    if len(shape) != rank:
      raise ValueError(f"{model} takes {words}, got inputs of shape {shape}")
    if math.prod(shape) < 1:
      raise ValueError(f"{model} got empty inputs of shape {shape}")

  @nn.nowrap
  def enter(self, inputs: jax.Array) -> jax.Array:
    """Checks, normalises and casts the inputs [N, ...] to `dtype`."""
    self.check_input(inputs.shape[1:])
    normalize = Normalize(self.mean, self.std, name="normalize")
    return normalize(inputs).astype(self.dtype)

  @nn.nowrap
  def leave(self, features: jax.Array, feature_dim: int = 0) -> Outputs:
    """Applies the last layer to features [N, d]; both leave as float32.

    With a `feature_dim` an affine layer of that width, without activation,
    comes before it, and its outputs are the features: they take both signs.
    """
    if feature_dim:
      features = nn.Dense(feature_dim, dtype=self.dtype)(features)
    head = nn.Dense(self.num_classes, dtype=self.dtype, name="head")
    logits = head(features)
    return Outputs(
      logits.astype(jnp.float32),
      features.astype(jnp.float32),
    )


def dropout(
  units: jax.Array, rate: float, keys: jax.Array | None, layer: int
) -> jax.Array:
  """Sets units to zero at random and scales up the others: inverted dropout.

    y = x b / (1 - rate),  P(b = 1) = 1 - rate

  Args:
    units: [N, d], of any float dtype.
    rate: the probability that a unit is dropped, in [0, 1).
    keys: [N] typed keys, one per example, so that what is dropped does not
      depend on the batch or the devices; None only with rate 0.
    layer: the layer's number; layers with different numbers are independent.

  Returns:
    [N, d], of the same dtype.

  Raises:
    ValueError: if keys are missing.

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> sorted(set(dropout(jnp.ones((2, 50)), 0.5, keys, 0).ravel().tolist()))
    [0.0, 2.0]

  Reference: N. Srivastava et al., Dropout: A Simple Way to Prevent Neural
  Networks from Overfitting, JMLR 15, 2014.
  """
  if not rate:
    return units
  if isinstance(units, State):
    raise ValueError(
      f"dropout={rate} on random units: must be 0 with a stochastic forward"
    )
  if keys is None:
    raise ValueError(f"dropout={rate} needs keys [N] in training, got None")

  def kept(key):
    key = jax.random.fold_in(key, layer)
    return jax.random.bernoulli(key, 1 - rate, units.shape[1:])

  return jnp.where(jax.vmap(kept)(keys), units / (1 - rate), 0)
