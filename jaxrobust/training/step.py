"""The one train step: a pure function of (state, batch) on a device's shard.

It composes an input, a forward and an objective and knows none of them by
name. Its one axis is `models.norm`'s and `parallel`'s; it uses it for sums
only, so how the step is mapped over devices is not its business.
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import optax

from jaxrobust import data, evaluation
from jaxrobust.methods import Context, Method
from jaxrobust.training.state import State

Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]
TrainStep = Callable[[State, Batch, Batch], tuple[State, Metrics]]


def make_train_step(
  config: ml_collections.ConfigDict,
  model: nn.Module,
  method: Method,
  optimizer: optax.GradientTransformation,
  schedule: optax.Schedule,
  total_steps: int,
  axis_name: str,
) -> TrainStep:
  """Builds the step that `parallel` maps over the devices.

  The loss is the mean of the objective's values over the real examples of the
  global batch. Each device differentiates its own share of that mean; the
  shares' gradients add up over devices and micro-batches, whatever sums over
  the axis the forward itself makes (batch statistics, centroids).

  Args:
    config: A run's config: `augment`, and `train.accumulate` and `.ema_decay`.
    model: Built with this `axis_name`.
    method: The three parts.
    optimizer: The optax transformation.
    schedule: Its learning rate, for the metrics.
    total_steps: The number of updates in the whole training.
    axis_name: The axis that the step is mapped over.

  Returns:
    A function of (state, batch, resident) that returns the new state and
    metrics, both equal on all devices. `batch` holds this device's rows:
    index int32 [n], mask float32 [n], and inputs and labels, unless
    `resident` holds those of the whole data set, to gather by index.
  """
  padding, flip = config.augment.crop_padding, config.augment.flip
  micro_batches = config.train.accumulate
  ema_decay = config.train.ema_decay
  task = evaluation.task_of(config.data.targets)
  is_series = len(config.data.shape) == 2

  def train_step(state, batch, resident):
    batch = gather_resident(batch, resident)
    draw = data.Draw(state.key, batch["index"], state.step)
    inputs = data.as_float(batch["inputs"])
    if padding:
      inputs = data.random_crop(draw(data.Tag.CROP), inputs, padding)
    if flip:
      inputs = data.random_flip(draw(data.Tag.FLIP), inputs)

    progress = state.step.astype(jnp.float32) / total_steps

    def logits(inputs):
      outputs, _ = method.forward(
        model,
        {"params": state.params, "batch_stats": state.batch_stats},
        inputs,
        batch["mask"],
        False,
        progress=progress,
      )
      return outputs.logits

    batch = method.input(
      {**batch, "inputs": inputs}, Context(draw, progress, logits, axis_name)
    )
    count = jax.lax.psum(jnp.sum(batch["mask"]), axis_name)

    def share_of_loss(params, batch_stats, method_state, rows):
      variables = {"params": params, "batch_stats": batch_stats}
      keys = data.Draw(state.key, rows["index"], state.step)(data.Tag.FORWARD)
      outputs, batch_stats = method.forward(
        model, variables, rows["inputs"], rows["mask"], True, keys, progress
      )
      values, method_state = method.objective(outputs, rows, method_state)
      scores = task.score(outputs.logits, rows["labels"])
      loss = _masked_sum(values, rows["mask"]) / count
      shown = {task.headline: scores, **outputs.metrics}
      shown = {
        name: _masked_sum(values, rows["mask"]) / count
        for name, values in shown.items()
      }
      return loss, (shown, batch_stats, method_state)

    def differentiate(carry, rows):
      batch_stats, method_state = carry
      (loss, (shown, batch_stats, method_state)), gradient = jax.value_and_grad(
        share_of_loss, has_aux=True
      )(state.params, batch_stats, method_state, rows)
      return (gradient, loss, shown), (batch_stats, method_state)

    def accumulate(carry, rows):
      sums, rest = carry
      parts, rest = differentiate(rest, rows)
      return (jax.tree.map(jnp.add, sums, parts), rest), None

    rest = (state.batch_stats, state.method_state)
    if micro_batches == 1:
      sums, rest = differentiate(rest, batch)
    else:
      split = jax.tree.map(_split(micro_batches), batch)
      one = jax.tree.map(lambda x: x[0], split)
      parts, _ = jax.eval_shape(differentiate, rest, one)
      zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), parts)
      (sums, rest), _ = jax.lax.scan(accumulate, (zeros, rest), split)
    batch_stats, method_state = rest
    gradient, loss, shown = jax.lax.psum(sums, axis_name)

    updates, opt_state = optimizer.update(
      gradient, state.opt_state, state.params
    )
    params = optax.apply_updates(state.params, updates)
    metrics = {
      "loss": loss,
      **shown,
      "gradient_norm": optax.tree.norm(gradient),
      "parameter_norm": optax.tree.norm(params),
      "learning_rate": jnp.asarray(schedule(state.step), jnp.float32),
    }
    if is_series:
      largest = _largest(batch["inputs"], batch["mask"])
      # It has no derivative, which a loss after the update would ask for.
      largest = jax.lax.stop_gradient(largest)
      metrics["largest_input"] = jax.lax.pmax(largest, axis_name)
    # Batch statistics of a model that does not sum over the axis itself would
    # differ between devices, and what leaves must not.
    batch_stats = jax.lax.pmean(batch_stats, axis_name)
    ema = state.ema
    if ema_decay:
      live = {"params": params, "batch_stats": batch_stats}
      ema = optax.incremental_update(live, ema, 1 - ema_decay)
    state = state.replace(
      step=state.step + 1,
      params=params,
      batch_stats=batch_stats,
      opt_state=opt_state,
      method_state=method_state,
      ema=ema,
    )
    return state, metrics

  return train_step


def gather_resident(batch: Batch, resident: Batch) -> dict[str, jax.Array]:
  """Completes a batch of indices from a data set that lives on the device."""
  # Padding has index -1: any row will do, the mask removes it.
  rows = jnp.maximum(batch["index"], 0)
  return {**batch, **{name: array[rows] for name, array in resident.items()}}


def _masked_sum(values: jax.Array, mask: jax.Array) -> jax.Array:
  """Sums over real examples; NaN in padding does not count."""
  return jnp.sum(jnp.where(mask > 0, values, 0.0))


def _largest(inputs: jax.Array, mask: jax.Array) -> jax.Array:
  """The largest |input| of the real examples."""
  each = jnp.max(jnp.abs(inputs), axis=range(1, inputs.ndim))
  return jnp.max(jnp.where(mask > 0, each, 0.0))


def _split(parts: int) -> Callable[[jax.Array], jax.Array]:
  """Deals rows out in turn: part k has the global rows k, k + parts, ...

  Which rows share batch statistics then does not depend on the devices.
  """
  return lambda array: array.reshape((-1, parts, *array.shape[1:])).swapaxes(
    0, 1
  )
