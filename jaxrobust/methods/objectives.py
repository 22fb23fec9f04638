"""The objective slot: what is minimised.

An objective is a builder: `builder(**parameters)` returns a pure function of
(outputs, batch, setting) that gives one value per example, float32 [N], and
`Notes`. The step takes the masked mean, once, over the global batch; a term
shared by all examples is added to each of them. An objective that carries a
state from step to step has two more methods,

  initial_state(outputs)    the state before training, from the outputs' shapes
  next_state(state, sums)   the state after a step, from the `Notes.sums` of all
                            its micro-batches and devices

and one whose parameters are doubtful says so in its attribute `caution`. The
keyword parameters of the builders in `OBJECTIVES` are the fields of
`config.method.objective`.
"""

from collections.abc import Callable

import jax
import optax

from jaxrobust import models
from jaxrobust.methods import discriminative, moment_objectives
from jaxrobust.methods.setting import Notes, ObjectiveFn


def cross_entropy(*, label_smoothing: float = 0.0) -> ObjectiveFn:
  """Softmax cross-entropy with the labels, per example.

    l = -sum_k t_k log softmax(z)_k,  t = (1 - s) onehot(y) + s / K

  with logits z, labels y and smoothing s over K classes. Where the input has
  put `targets` [N, K] into the batch, as `mixup` does, they take the place of
  onehot(y), and are smoothed too. With a second view it is the mean of both
  views' cross-entropies.

  Args:
    label_smoothing: The share of the target spread evenly over all classes,
      in [0, 1).

  Returns:
    The objective.

  Raises:
    ValueError: If `label_smoothing` is out of range.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxrobust.methods.setting import Setting
    >>> outputs = models.Outputs(jnp.zeros((1, 2)), jnp.zeros((1, 3)))
    >>> batch = {"labels": jnp.asarray([1])}
    >>> values, _ = cross_entropy()(outputs, batch, Setting())
    >>> [round(float(value), 4) for value in values]
    [0.6931]
  """
  if not 0 <= label_smoothing < 1:
    raise ValueError(f"label_smoothing={label_smoothing}: must lie in [0, 1)")

  def of_logits(logits, batch):
    labels, targets = batch["labels"], batch.get("targets")
    if targets is None and not label_smoothing:
      return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    if targets is None:
      targets = jax.nn.one_hot(labels, logits.shape[-1])
    if label_smoothing:
      targets = optax.smooth_labels(targets, label_smoothing)
    return optax.softmax_cross_entropy(logits, targets)

  def objective(outputs, batch, setting):
    values = of_logits(outputs.logits, batch)
    if setting.second is not None:
      values = (values + of_logits(setting.second.logits, batch)) / 2
    return values, Notes()

  return objective


def mse() -> ObjectiveFn:
  """Mean squared error of a regression, per example.

    l = (1 / D) sum_d (y_d - t_d)^2

  with predictions y, the model's logits, and targets t.

  Returns:
    The objective; `labels` of its batches are float32 [N, D], and so are
    `targets`, which take their place where an input has made some.

  Example:
    >>> import jax.numpy as jnp
    >>> outputs = models.Outputs(jnp.asarray([[1.0, 2.0]]), jnp.zeros((1, 3)))
    >>> values, _ = mse()(outputs, {"labels": jnp.asarray([[0.0, 2.0]])}, {})
    >>> values
    Array([0.5], dtype=float32)
  """

  def objective(outputs, batch, setting):
    del setting
    errors = outputs.logits - batch.get("targets", batch["labels"])
    return (errors**2).mean(axis=-1), Notes()

  return objective


def over_samples(objective: ObjectiveFn) -> ObjectiveFn:
  """The same objective, averaged over the samples of a forward that draws some.

  Args:
    objective: Of the logits; it has no notes.

  Returns:
    An objective that takes `models.Samples` as `outputs.distribution`, too.

  Example:
    >>> import jax.numpy as jnp
    >>> samples = models.Samples(jnp.asarray([[[1.0]], [[3.0]]]))
    >>> zeros = jnp.zeros((1, 1))
    >>> outputs = models.Outputs(zeros + 2, zeros, samples)
    >>> values, _ = over_samples(mse())(outputs, {"labels": zeros}, {})
    >>> float(values[0])  # (1 + 9) / 2
    5.0
  """

  def averaged(outputs, batch, setting):
    if not isinstance(outputs.distribution, models.Samples):
      return objective(outputs, batch, setting)

    def one(logits):
      own = outputs._replace(logits=logits, distribution=None)
      return objective(own, batch, setting)[0]

    return jax.vmap(one)(outputs.distribution.logits).mean(0), Notes()

  return averaged


OBJECTIVES: dict[str, Callable[..., ObjectiveFn]] = {
  "cross_entropy": cross_entropy,
  "stability": discriminative.stability,
  "discriminative": discriminative.discriminative,
  "mse": mse,
  **{
    name: getattr(moment_objectives, name)
    for name in moment_objectives.MOMENT_OBJECTIVES
  },
}

# Those whose labels are real-valued targets; all others take classes.
REGRESSION_OBJECTIVES = ("mse",)

# Those that look at a second view, and of them those that need one.
VIEW_OBJECTIVES = ("cross_entropy", "stability", "discriminative")
NEED_VIEW = ("stability",)
# Those that take each example to be of one class.
HARD_LABELS = ("discriminative",)
