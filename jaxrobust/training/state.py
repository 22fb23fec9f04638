"""What a run carries from step to step, and the optimiser that moves it."""

import functools
import operator
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import optax
from flax import struct

from jaxrobust import data, methods


class State(struct.PyTreeNode):
  """Everything that a checkpoint holds beside the data position.

  Attributes:
    step: int32 [], the number of updates made.
    params: The model's parameters.
    batch_stats: Running statistics of the norm layers; {} if there are none.
    opt_state: The optimiser's state.
    method_state: What the objective carries between steps, as the class
      centroids; {} if nothing.
    ema: The moving average of params and batch_stats; {} if there is none.
    key: The run's typed PRNG key; every draw is folded out of it.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: Any
  method_state: Any
  ema: Any
  key: jax.Array

  def variables(self) -> dict[str, Any]:
    """The collections to evaluate with: the averaged ones if there are."""
    return self.ema or {
      "params": self.params,
      "batch_stats": self.batch_stats,
    }


def learning_rate_schedule(
  config: ml_collections.ConfigDict, steps_per_epoch: int
) -> optax.Schedule:
  """The learning rate as a function of the step.

  Args:
    config: A run's config; its epochs become steps here.
    steps_per_epoch: The number of updates in one epoch.

  Returns:
    An optax schedule.
  """
  peak = config.optimizer.learning_rate
  warmup = round(config.schedule.warmup_epochs * steps_per_epoch)
  total = config.train.epochs * steps_per_epoch
  name = config.schedule.name
  if name == "cosine":
    main = optax.cosine_decay_schedule(peak, max(total - warmup, 1))
  elif name == "multistep":
    steps = [round(b * steps_per_epoch) for b in config.schedule.boundaries]
    main = optax.piecewise_constant_schedule(
      peak, {s - warmup: config.schedule.factor for s in steps}
    )
  else:
    main = optax.constant_schedule(peak)
  if not warmup:
    return main
  ramp = optax.linear_schedule(0.0, peak, warmup)
  return optax.join_schedules([ramp, main], [warmup])


def make_optimizer(
  config: ml_collections.ConfigDict,
  schedule: optax.Schedule,
  eps_root: float = 0.0,
) -> optax.GradientTransformation:
  """The optimiser of `config.optimizer`.

  Args:
    config: A run's config.
    schedule: The learning rate.
    eps_root: What adam and adamw add under their root. Who differentiates
      through an update needs a little: at a gradient of 0 the root has no
      derivative.

  Returns:
    An optax transformation. Weight decay is added to the gradient for sgd and
    adam (L2), and applied beside it for adamw (decoupled). The L1 penalty's
    gradient, l1 sign(w), is added to the gradient for all three. With
    `train.skip_nonfinite`, its state counts the updates left out.
  """
  c = config.optimizer
  mask = _kernels if c.decay_on == "kernels" else _weights
  parts = []
  if c.clip_norm:
    parts.append(optax.clip_by_global_norm(c.clip_norm))
  if c.l1:
    parts.append(_add_signs(c.l1, mask))
  if c.weight_decay and c.name != "adamw":
    parts.append(optax.add_decayed_weights(c.weight_decay, mask))
  if c.name == "adamw":
    parts.append(
      optax.adamw(
        schedule, eps_root=eps_root, weight_decay=c.weight_decay, mask=mask
      )
    )
  elif c.name == "adam":
    parts.append(optax.adam(schedule, eps_root=eps_root))
  else:
    momentum = c.momentum or None
    parts.append(
      optax.sgd(schedule, momentum, nesterov=c.nesterov and bool(momentum))
    )
  if c.noise_rate != 1:
    # All three are linear in the learning rate.
    parts.append(optax.masked(optax.scale(c.noise_rate), _noise))
  chain = optax.chain(*parts)
  if skipped := config.train.skip_nonfinite:
    return optax.apply_if_finite(chain, skipped)
  return chain


def _add_signs(
  strength: float, mask: Callable[[Any], Any]
) -> optax.GradientTransformation:
  """Adds the gradient of strength * sum |w| over the masked parameters."""

  def add(updates, params):
    return jax.tree.map(
      lambda update, w: update + strength * jnp.sign(w), updates, params
    )

  return optax.masked(optax.stateless(add), mask)


def _noise(params: Any) -> Any:
  """True for the strength of the noise inside, False for the network."""
  return {
    name: jax.tree.map(lambda _, own=name: own == methods.NOISE, part)
    for name, part in params.items()
  }


def _weights(params: Any) -> Any:
  """True for the network, False for the strength of the noise inside."""
  return jax.tree.map(operator.not_, _noise(params))


def _kernels(params: Any) -> Any:
  """True for kernels, False for biases and the parameters of norms."""
  return jax.tree.map(
    lambda leaf, weight: weight and leaf.ndim > 1, params, _weights(params)
  )


def initial_state(
  model: nn.Module,
  optimizer: optax.GradientTransformation,
  shape: tuple[int, ...],
  seed: int,
  with_ema: bool,
  method: methods.Method | None = None,
) -> State:
  """The state before the first step, as a pure function.

  Args:
    model: A model that returns `models.Outputs`.
    optimizer: As made by `make_optimizer`.
    shape: The shape of one example.
    seed: The run's one seed.
    with_ema: Whether to keep a moving average of what is evaluated with.
    method: Its forward may have parameters of its own, which join the
      network's, and its objective a state.

  Returns:
    The state.
  """
  key = jax.random.key(seed)
  inputs = jnp.zeros((1, *shape))
  variables = model.init(jax.random.fold_in(key, data.Tag.INIT), inputs)
  params = variables["params"]
  forward: Any = method and method.forward
  objective: Any = method and method.objective
  if hasattr(forward, "parameters"):
    params = {**params, **forward.parameters(model, variables, inputs)}
  method_state = {}
  if hasattr(objective, "initial_state"):
    outputs = jax.eval_shape(lambda v: model.apply(v, inputs), variables)
    method_state = objective.initial_state(outputs)
  batch_stats = variables.get("batch_stats", {})
  ema = {"params": params, "batch_stats": batch_stats} if with_ema else {}
  return State(
    step=jnp.zeros((), jnp.int32),
    params=params,
    batch_stats=batch_stats,
    opt_state=optimizer.init(params),
    method_state=method_state,
    ema=jax.tree.map(jnp.copy, ema),
    key=key,
  )


def create_state(
  model: nn.Module,
  optimizer: optax.GradientTransformation,
  shape: tuple[int, ...],
  seed: int,
  with_ema: bool,
  method: methods.Method | None = None,
) -> State:
  """Computes `initial_state`, under one jit."""
  create = functools.partial(
    initial_state, model, optimizer, shape, seed, with_ema, method
  )
  # It runs once, and its many small draws compile slowly: unoptimised, the
  # initialisation of ResNet-18 is ready in an eighth of the time.
  options = {"xla_backend_optimization_level": 0}
  return jax.jit(create, compiler_options=options)()
