r"""The strength of training noise, learned by its hypergradient.

The training loss alone would drive the scale of the noise to 0. Here every
update of the parameters theta on a noisy batch,

  theta'(c, alpha) = theta + u(grad L(theta; clip(x + c X(alpha; u, w)))),

is judged at once by the validation loss under the mix of test noises, and the
loss is differentiated through the update and through the sampler:

  (log c, alpha) -> (log c, alpha) - Adam(d L_mix(theta'(c, alpha)))

The gradient of a network with ReLUs jumps where a unit switches; the
derivative sees the pieces between the jumps and not the jumps. And one update
looks one step ahead. What a strength does to the end of a training
it cannot see: such short horizons are known to favour what helps at once, so
compare its end with a search (`tuning`).

References: Maclaurin, Duvenaud and Adams, Gradient-based hyperparameter
optimization through reversible learning, 2015; Luketina et al., Scalable
gradient-based tuning of continuous regularization hyperparameters, 2016 (one
step); Wu et al., Understanding short-horizon bias in stochastic
meta-optimization, 2018.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrobust import data, methods
from jaxrobust.evaluation import Perturbation
from jaxrobust.training.assembly import Assembly
from jaxrobust.tuning import mix, traced_strength

# Below, single variates leave float32 and the gradient is all tail.
_LEAST_ALPHA = 0.3
# The end point is a moving average over about 1 / (1 - decay) steps.
_DECAY = 0.99


class Strength(struct.PyTreeNode):
  """A tail index and a scale as free numbers.

    c = exp(log_scale),  alpha = 0.3 + 1.7 sigmoid(tail)

  Attributes:
    log_scale: float32 [].
    tail: float32 [].
  """

  log_scale: jax.Array
  tail: jax.Array

  @classmethod
  def of(cls, alpha: float, scale: float) -> "Strength":
    """The strength of a law; alpha is kept within [0.35, 1.95].

    Example:
      >>> alpha, scale = Strength.of(1.5, 0.2).law()
      >>> round(float(alpha), 4), round(float(scale), 4)
      (1.5, 0.2)
    """
    share = (min(max(alpha, 0.35), 1.95) - _LEAST_ALPHA) / (2 - _LEAST_ALPHA)
    return cls(
      jnp.float32(math.log(scale)), jnp.float32(math.log(share / (1 - share)))
    )

  def law(self) -> tuple[jax.Array, jax.Array]:
    """The tail index and the scale."""
    share = jax.nn.sigmoid(self.tail)
    alpha = _LEAST_ALPHA + (2 - _LEAST_ALPHA) * share
    return alpha, jnp.exp(self.log_scale)


class Hyper(struct.PyTreeNode):
  """What the learning of a strength carries from step to step.

  Attributes:
    strength: Where it is.
    average: Its moving average.
    opt_state: Its optimiser's state.
  """

  strength: Strength
  average: Strength
  opt_state: Any


def make_hyper_step(
  parts: Assembly,
  cells: Sequence[Perturbation],
  hyper_optimizer: optax.GradientTransformation,
  axis_name: str,
  learn_alpha: bool = True,
) -> Callable[..., tuple[Any, Hyper, dict[str, jax.Array]]]:
  """Builds the step that trains and moves the strength, to be mapped.

  The parameters make the ordinary train step at the strength of now; then the
  strength moves along the derivative of the loss that the new parameters have
  on noisy validation examples. Where clipping saturates, the derivative is 0.

  Args:
    parts: A training whose noise has one law.
    cells: The mix of noises on the validation examples.
    hyper_optimizer: Moves the strength.
    axis_name: The axis that the step is mapped over.
    learn_alpha: Whether the tail index moves too, or stays the config's.

  Returns:
    A pure function of (state, hyper, batch, validation_batch, resident) that
    returns the new state, the new hyper and metrics, equal on all devices.
    The batches hold this device's rows, as for `make_train_step`. A
    derivative that is not finite moves nothing.
  """
  is_image = len(parts.config.data.shape) == 3
  add_noise = mix.make_mix_noise(cells, is_image)
  known_alpha, _ = traced_strength.law_of(parts.config)

  def hyper_step(state, hyper, batch, validation_batch, resident):
    mask = validation_batch["mask"]
    count = jax.lax.psum(jnp.sum(mask), axis_name)
    draw = data.Draw(state.key, validation_batch["index"], state.step)
    clean = data.as_float(validation_batch["inputs"])
    inputs = add_noise(draw, clean)

    def share_of_loss(strength):
      alpha, scale = strength.law()
      if not learn_alpha:
        alpha = known_alpha
      step = traced_strength.train_step(parts, alpha, scale)
      after, metrics = step(state, batch, resident)
      variables = {"params": after.params, "batch_stats": after.batch_stats}
      outputs, _ = parts.method.forward(
        parts.model, variables, inputs, mask, False
      )
      values, _ = parts.method.objective(
        outputs,
        validation_batch,
        methods.Setting(
          None, after.method_state, after.params.get("head", {}), axis_name
        ),
      )
      share = jnp.sum(jnp.where(mask > 0, values, 0.0)) / count
      return share, (after, metrics)

    (loss, (after, metrics)), gradient = jax.value_and_grad(
      share_of_loss, has_aux=True
    )(hyper.strength)
    # Each device has the derivative of the whole loss through its own copy.
    loss, gradient = jax.lax.psum((loss, gradient), axis_name)
    updates, opt_state = hyper_optimizer.update(
      gradient, hyper.opt_state, hyper.strength
    )
    strength: Any = optax.apply_updates(hyper.strength, updates)
    average: Any = optax.incremental_update(strength, hyper.average, 1 - _DECAY)
    finite = jnp.isfinite(optax.tree.norm(gradient))
    moved = jax.tree.map(
      lambda new, old: jnp.where(finite, new, old),
      Hyper(strength, average, opt_state),
      hyper,
    )
    alpha, scale = hyper.strength.law()
    metrics = {
      **metrics,
      "mix_loss": loss,
      "alpha": alpha if learn_alpha else jnp.float32(known_alpha),
      "scale": scale,
      "gradient_log_scale": gradient.log_scale,
      "gradient_tail": gradient.tail,
    }
    return after, moved, metrics

  return hyper_step
