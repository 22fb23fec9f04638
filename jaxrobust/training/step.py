"""The one train step: a pure function of (state, batch) on a device's shard.

It composes an input, perhaps a second view, a forward and an objective and
knows none of them by name. Its one axis is `models.norm`'s and `parallel`'s; it
uses it for sums only, so how the step is mapped over devices is not its
business.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import optax

from jaxrobust import data, evaluation
from jaxrobust.methods import Context, Method, Setting
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
    config: A run's config: `augment`, and `train.accumulate`, `.ema_decay` and
      `.skip_nonfinite`.
    model: Built with this `axis_name`.
    method: The parts.
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
  view = method.view
  micro_batches = config.train.accumulate
  ema_decay = config.train.ema_decay
  may_skip = config.train.skip_nonfinite > 0
  task = evaluation.task_of(config.data.targets)
  is_series = len(config.data.shape) == 2

  def augment(draw, inputs):
    if padding:
      inputs = data.random_crop(draw(data.Tag.CROP), inputs, padding)
    if flip:
      inputs = data.random_flip(draw(data.Tag.FLIP), inputs)
    return inputs

  def train_step(state, batch, resident):
    batch = gather_resident(batch, resident)
    draw = data.Draw(state.key, batch["index"], state.step)
    stored = data.as_float(batch["inputs"])
    progress = state.step.astype(jnp.float32) / total_steps

    def augmented(draw, part):
      prepare = getattr(part, "prepare", None)
      seen = stored if prepare is None else prepare(stored, progress)
      return augment(draw, seen)

    # The network as it is trained: what it is fed is smoothed already.
    alone = getattr(method.forward, "forward", method.forward)

    def logits(inputs):
      outputs, _ = alone(
        model,
        {"params": state.params, "batch_stats": state.batch_stats},
        inputs,
        batch["mask"],
        False,
        progress=progress,
      )
      return outputs.logits

    batch = {**batch, "inputs": augmented(draw, method.input)}
    second = {}
    if view is not None:
      own = draw.of_view()
      placed = draw if view.shared_aug else own
      seen = view.input(
        {**batch, "inputs": augmented(placed, view.input)},
        Context(own, progress, logits, axis_name),
      )
      second = {"second": seen["inputs"]}
    batch = method.input(batch, Context(draw, progress, logits, axis_name))
    batch = {**batch, **second}
    count = jax.lax.psum(jnp.sum(batch["mask"]), axis_name)

    def evaluate(variables, rows):
      draw = data.Draw(state.key, rows["index"], state.step)
      keys = draw(data.Tag.FORWARD)
      if view is None:
        outputs, batch_stats = method.forward(
          model, variables, rows["inputs"], rows["mask"], True, keys, progress
        )
        return outputs, None, batch_stats
      return view.evaluate(
        method.forward,
        model,
        variables,
        (rows["inputs"], rows["second"]),
        rows["mask"],
        (keys, draw.of_view()(data.Tag.FORWARD)),
        progress,
      )

    # What is equal on all devices, and in all micro-batches, counts once.
    copies = jax.lax.psum(1, axis_name) * micro_batches

    def share_of_loss(params, batch_stats, rows):
      variables = {"params": params, "batch_stats": batch_stats}
      outputs, second, batch_stats = evaluate(variables, rows)
      setting = Setting(
        second, state.method_state, params.get("head", {}), axis_name
      )
      values, notes = method.objective(outputs, rows, setting)
      scores = task.score(outputs.logits, rows["labels"])
      loss = _masked_sum(values, rows["mask"]) / count
      shown = {task.headline: scores, **outputs.metrics}
      shown = {
        name: _masked_sum(values, rows["mask"]) / count
        for name, values in shown.items()
      }
      for name, value in notes.metrics.items():
        shown[name] = value / copies
      return loss, (shown, notes.sums, batch_stats)

    def differentiate(batch_stats, rows):
      (loss, (shown, sums, batch_stats)), gradient = jax.value_and_grad(
        share_of_loss, has_aux=True
      )(state.params, batch_stats, rows)
      return (gradient, loss, shown, sums), batch_stats

    def accumulate(carry, rows):
      sums, batch_stats = carry
      parts, batch_stats = differentiate(batch_stats, rows)
      return (jax.tree.map(jnp.add, sums, parts), batch_stats), None

    batch_stats = state.batch_stats
    if micro_batches == 1:
      sums, batch_stats = differentiate(batch_stats, batch)
    else:
      split = jax.tree.map(_split(micro_batches), batch)
      one = jax.tree.map(lambda x: x[0], split)
      parts, _ = jax.eval_shape(differentiate, batch_stats, one)
      zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), parts)
      (sums, batch_stats), _ = jax.lax.scan(
        accumulate, (zeros, batch_stats), split
      )
    gradient, loss, shown, noted = jax.lax.psum(sums, axis_name)
    if may_skip:
      # The optimiser leaves out an update that is not finite.
      gradient = jax.tree.map(
        lambda g: jnp.where(jnp.isfinite(loss), g, jnp.nan), gradient
      )
    method_state = state.method_state
    if hasattr(method.objective, "next_state"):
      method_state = method.objective.next_state(method_state, noted)

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
    if may_skip:
      counts: Any = opt_state
      finite = counts.last_finite
      batch_stats, method_state, ema = jax.tree.map(
        functools.partial(jnp.where, finite),
        (batch_stats, method_state, ema),
        (state.batch_stats, state.method_state, state.ema),
      )
      metrics["skipped"] = counts.total_notfinite
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
