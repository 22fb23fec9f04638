"""Smoothers as inputs, and inverse-scale sparsification, the first of them.

A smoother sees an example as it is stored, before crop and flip: their borders
would be edges to it. With the cache on, the examples are smoothed once, before
the training; otherwise each time they are seen. A network that is trained on
smoothed images is, unless `smooth_eval` is off, judged behind the smoother, and
attacked through it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrobust import inverse_scale, models
from jaxrobust.methods.context import Batch, Context
from jaxrobust.methods.stochastic import one_of

SmoothEvalLevel = Literal["on", "off", "adaptive"]
FlowOfLevels = Literal["anew", "carried"]
# How an attack sees a smoother. "derivative": as its derivative says;
# "straight_through": as the identity, at the smoothed image; "transfer": not at
# all, the network alone at the image.
GRADIENTS = ("derivative", "straight_through", "transfer")


@dataclasses.dataclass(frozen=True)
class Smoothing:
  """An input that smooths examples before they are augmented.

  Attributes:
    recipe: Its name and parameters, as far as they and the fractions of the
      schedule make what it stores.
    schedule: The levels of the training.
    smooth: (images, fraction) -> images in [0, 1], or series, the fraction
      traced; filters have none and ignore it.
    levels: images [N, ...] -> [L, N, ...], all levels at once.
    at_test: images -> images, in evaluation; None for none.
    cache: Whether `levels` is applied once, before the training; None to leave
      it to `build`.
  """

  recipe: Mapping[str, Any]
  schedule: inverse_scale.LevelSchedule
  smooth: Callable[[jax.Array, jax.Array], jax.Array]
  levels: Callable[[jax.Array], jax.Array]
  at_test: Callable[[jax.Array], jax.Array] | None
  cache: bool | None

  def prepare(
    self, images: jax.Array, progress: jax.Array | float
  ) -> jax.Array:
    """What is augmented in place of the stored examples.

    Args:
      images: [N, H, W, C] or [N, T, C].
      progress: The share of the training that is done.

    Returns:
      The smoothed examples; with the cache they are smoothed already.
    """
    if self.cache:
      return images
    smoothed = self.smooth(images, self.schedule.fraction(progress))
    return jax.lax.stop_gradient(smoothed)

  def __call__(self, batch: Batch, context: Context) -> Batch:
    """The batch as it is: `prepare` has done the work."""
    del context
    return batch


def in_range(images: jax.Array) -> jax.Array:
  """Images in [0, 1] as the cache stores them; series as they are.

  The derivative is the identity, so that an attack is not blind to a pixel
  that a smoother leaves beyond the range, or at its end.
  """
  if images.ndim != 4:
    return images
  return images + jax.lax.stop_gradient(jnp.clip(images, 0.0, 1.0) - images)


@dataclasses.dataclass(frozen=True)
class BehindSmoother:
  """A forward whose network, in evaluation, sees smoothed inputs.

  In training it is the forward alone, for the input has smoothed already.
  Whatever else the forward has, as noise and parameters, this has too.

  Attributes:
    forward: The forward.
    smooth: images -> images.
  """

  forward: Any
  smooth: Callable[[jax.Array], jax.Array]
  gradients = GRADIENTS

  @property
  def adaptive(self) -> tuple[str, ...]:
    """Where there is noise inside: `gradients`, and its own; see `seen_by`."""
    inside = self.forward.adaptive
    return (*GRADIENTS, *(name for name in inside if name not in GRADIENTS))

  def __call__(
    self,
    model: nn.Module,
    variables: Mapping[str, Any],
    inputs: jax.Array,
    mask: jax.Array,
    train: bool,
    keys: jax.Array | None = None,
    progress: jax.Array | float = 1.0,
  ) -> tuple[models.Outputs, Any]:
    """As any forward; see `methods.forwards`."""
    if not train:
      inputs = self.smooth(inputs)
    return self.forward(model, variables, inputs, mask, train, keys, progress)

  def __getattr__(self, name: str) -> Any:
    # Until it is made, as in a copy, there is no forward to ask.
    if name.startswith("__") or name == "forward":
      raise AttributeError(name)
    return getattr(self.forward, name)

  def seen_by(self, gradient: str) -> Any:
    """The forward whose gradient an attack climbs.

    Args:
      gradient: One of `GRADIENTS`, or a name that the forward in here knows,
        which is climbed through the smoother's derivative.

    Returns:
      A forward; that of "transfer" has other values, too.
    """
    if gradient == "transfer":
      return self.forward
    if gradient == "derivative":
      return self
    if gradient != "straight_through":
      return dataclasses.replace(self, forward=self.forward.seen_by(gradient))

    def straight_through(images):
      return images + jax.lax.stop_gradient(self.smooth(images) - images)

    return dataclasses.replace(self, smooth=straight_through)


def inverse_scale_smoother(
  shape: tuple[int, ...],
  *,
  fractions: tuple[float, ...] = (0.6,),
  starts: tuple[float, ...] = (),
  flow: FlowOfLevels = "anew",
  nu: float = 1.0,
  steps: int = 20,
  edges: str = "aniso",
  output: str = "Px",
  smooth_eval: SmoothEvalLevel = "on",
  cache: bool | None = None,
) -> Smoothing:
  """Feeds images with their strongest edges and nothing else.

  One fraction is the paper's fixed training; several are its iterative one,
  from coarse to fine.

  Args:
    shape: The shape of one example.
    fractions: The shares of edges that are kept, level by level, in [0, 1].
    starts: Where each level begins, as shares of the training; by default they
      are equally long. A cached level begins with an epoch.
    flow: "anew", `inverse_scale.smooth` for every level; "carried", the levels
      at which one run of the flow arrives one after the other,
      `inverse_scale.path`, which needs the cache. The flow does not look at
      the network, so that to alternate between advancing it and training is to
      train on the levels of one run.
    nu: As of `inverse_scale.smooth`.
    steps: As of `inverse_scale.smooth` and `path`: 20 with nu=1 for speed.
    edges: 'aniso', 'color' or 'iso'.
    output: 'Px', 'Py' or 'x'.
    smooth_eval: What is done in evaluation: "on" smooths with the last
      fraction, "off" does not, "adaptive" with one for each image, of
      `levels_for(estimate_noise(image))`, whatever the training's were: it was
      measured on photographs, and is 0.35 at least.
    cache: Whether to smooth once, before the training, and to keep the result
      on disk; by default, unless there is a second view.

  Returns:
    The input function.

  Raises:
    ValueError: If a parameter is out of range or does not fit the others.

  Example:
    >>> smoother = inverse_scale_smoother((8, 8, 1), fractions=(0.2, 0.6))
    >>> images = jax.random.uniform(jax.random.key(0), (2, 8, 8, 1))
    >>> smoother.prepare(images, 0.9).shape, smoother.levels(images).shape
    ((2, 8, 8, 1), (2, 2, 8, 8, 1))

  References:
    arXiv:2409.18419.
  """
  one_of("smooth_eval", smooth_eval, get_args(SmoothEvalLevel))
  one_of("flow", flow, get_args(FlowOfLevels))
  if flow == "carried" and cache is False:
    raise ValueError(
      "flow='carried' with cache=False: must be 'anew', since the state of the "
      "flow is not kept from step to step"
    )
  if smooth_eval == "adaptive" and len(shape) != 3:
    raise ValueError(
      "smooth_eval='adaptive': must be 'on' or 'off' for series: its levels "
      "are those of images in [0, 1]"
    )
  schedule = inverse_scale.LevelSchedule(fractions, starts)
  options: dict[str, Any] = {
    "nu": nu,
    "steps": steps,
    "edges": edges,
    "output": output,
  }

  def smooth(images, fraction):
    return in_range(inverse_scale.smooth(images, fraction, **options).images)

  def levels(images):
    if flow == "carried":
      run = inverse_scale.path(images, schedule.fractions, **options).images
      return jax.vmap(in_range)(run)
    return jax.lax.map(
      lambda fraction: smooth(images, fraction),
      jnp.asarray(schedule.fractions, jnp.float32),
    )

  def adaptive(images):
    noise = jax.lax.stop_gradient(inverse_scale.estimate_noise(images))
    return smooth(images, inverse_scale.levels_for(noise, side=shape[0]))

  # Says now what it would say at the first batch.
  jax.eval_shape(smooth, jax.ShapeDtypeStruct((1, *shape), jnp.float32), 0.5)
  at_test = {
    "on": lambda images: smooth(images, schedule.fractions[-1]),
    "adaptive": adaptive,
    "off": None,
  }[smooth_eval]
  recipe = {"name": "inverse_scale", **options, "flow": flow}
  return Smoothing(recipe, schedule, smooth, levels, at_test, cache)
