"""Objectives that look at the features: discriminative, and stability."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from jaxrobust import centroids, models
from jaxrobust.methods.setting import Notes, ObjectiveFn, Setting

CENTROIDS = ("partial", "momentum", "naive")


@dataclasses.dataclass(frozen=True)
class Discriminative:
  """The objective that `discriminative` builds; see there for its fields."""

  weight: float
  rho: float | None
  delta_v: float
  delta_d: float
  gamma: float
  compactness_weight: float
  margin_weight: float
  norm_weight: float
  centroid: str
  detach_head: bool

  @property
  def caution(self) -> str:
    """What a training with it should say at its start; "" for nothing."""
    if self.delta_d > 2 * self.delta_v:
      return ""
    return (
      f"delta_d={self.delta_d:g} is not more than 2 delta_v="
      f"{2 * self.delta_v:g}: classes may come closer to each other than they "
      "are wide"
    )

  def initial_state(self, outputs: models.Outputs) -> centroids.Centroids:
    """The centroids before any batch, for outputs of these shapes."""
    return centroids.init(outputs.logits.shape[-1], outputs.features.shape[-1])

  def next_state(
    self, state: centroids.Centroids, sums: centroids.ClassSums
  ) -> centroids.Centroids:
    """The centroids after a step."""
    return centroids.update(state, sums, self.gamma)

  def __call__(
    self,
    outputs: models.Outputs,
    batch: Mapping[str, jax.Array],
    setting: Setting,
  ) -> tuple[jax.Array, Notes]:
    """The values [N] of a batch, and notes with its class sums."""
    labels, mask = batch["labels"], batch["mask"]
    axis_name = setting.axis_name
    own = centroids.class_sums(
      outputs.features, labels, outputs.logits.shape[-1], mask=mask
    )
    naive = own if axis_name is None else jax.lax.psum(own, axis_name)
    moved = centroids.update(setting.state, naive, self.gamma).means
    means = naive.means if self.centroid == "naive" else moved
    edge = naive if self.centroid != "momentum" else _at(moved, naive.counts)
    kernel, bias = setting.head["kernel"], setting.head["bias"]
    if self.detach_head:
      kernel, bias = jax.lax.stop_gradient((kernel, bias))
    short, missing = centroids.margin(edge, kernel, bias, delta_d=self.delta_d)
    terms = {
      "margin": short,
      "centroid_norm": centroids.regulariser(means, naive.present),
      "compactness": self._spread(
        centroids.compactness, outputs, batch, means, naive.counts, axis_name
      ),
    }
    rho = 0.0
    if setting.second is not None:
      rho = 0.5 if self.rho is None else self.rho
      terms["alignment"] = self._spread(
        centroids.alignment,
        setting.second,
        batch,
        means,
        naive.counts,
        axis_name,
      )
    weights = {
      "margin": self.margin_weight,
      "centroid_norm": self.norm_weight,
      "compactness": self.compactness_weight * (1 - rho),
      "alignment": self.compactness_weight * rho,
    }
    metrics = {
      name: centroids.mean_over_classes(values, naive.present)
      for name, values in terms.items()
    }
    shared = sum(weights[name] * value for name, value in metrics.items())
    values = optax.softmax_cross_entropy_with_integer_labels(
      outputs.logits, labels
    )
    pairs = jnp.sum(naive.present) * (len(bias) - 1)
    metrics["pairs_without_boundary"] = missing / jnp.maximum(pairs, 1)
    return values + self.weight * shared, Notes(own, metrics)

  def _spread(self, loss, outputs, batch, means, counts, axis_name):
    return loss(
      outputs.features,
      batch["labels"],
      means,
      counts,
      delta_v=self.delta_v,
      mask=batch["mask"],
      axis_name=axis_name,
    )


def discriminative(
  *,
  weight: float = 1.0,
  rho: float | None = None,
  delta_v: float = 0.5,
  delta_d: float = 5.0,
  gamma: float = 0.99,
  compactness_weight: float = 1.0,
  margin_weight: float = 1.0,
  norm_weight: float = 0.001,
  centroid: str = "partial",
  detach_head: bool = False,
) -> ObjectiveFn:
  """Compact classes with a margin, and a noisy view that is drawn to them.

    l = CE(z, y) + lambda (a_v ((1 - rho) L_compact + rho L_noisy)
                           + a_m L_margin + a_r L_norm)

  with the losses of `jaxrobust.centroids`, of the features of the clean view
  and, in L_noisy, of the second one; cross-entropy is of the clean view alone.
  Without a second view rho is 0, which is the loss of the paper's first
  version. Labels are classes: there is no smoothing and no mixing of labels.

  The state is the class centroids; a batch is counted in before its loss is
  computed. With micro-batches each one's losses see its own centroids, and the
  state moves once, by the whole batch.

  Args:
    weight: lambda, >= 0.
    rho: The share of the noisy view in the compactness, in [0, 1]; by default
      1/2 with a second view.
    delta_v: The radius of a class about its centroid, >= 0, in units of the
      features.
    delta_d: The distance of a class's centroid to its boundaries, >= 0. More
      than 2 delta_v, or classes may be closer to each other than they are wide:
      a training with less begins with a warning.
    gamma: The momentum of the centroids, in [0, 1).
    compactness_weight: a_v, >= 0.
    margin_weight: a_m, >= 0.
    norm_weight: a_r, >= 0.
    centroid: Which centroids: "partial" is the paper's, naive ones for the
      margin and momentum ones for all else; "momentum" and "naive" are for all.
      With "momentum" the margin's gradient is 1 - gamma times as large.
    detach_head: Whether the margin leaves the head alone and moves features
      only.

  Returns:
    The objective; it needs `Setting.state` and `Setting.head`.

  Raises:
    ValueError: If a parameter is out of range.

  Example:
    >>> objective = discriminative()
    >>> outputs = models.Outputs(jnp.zeros((1, 2)), jnp.asarray([[3.0]]))
    >>> head = {"kernel": jnp.asarray([[1.0, -1.0]]), "bias": jnp.zeros(2)}
    >>> setting = Setting(state=objective.initial_state(outputs), head=head)
    >>> batch = {"labels": jnp.asarray([0]), "mask": jnp.ones(1)}
    >>> values, notes = objective(outputs, batch, setting)
    >>> round(float(values[0]), 4)  # log 2 + (5 - 3) + 0.001 |3|
    2.6961

  References:
    Nguyen et al., arXiv:2405.18499, 2024; the loss without the noisy view is of
    its first version, `Large Margin Discriminative Loss for Classification`.
  """
  for name, value in (
    ("weight", weight),
    ("delta_v", delta_v),
    ("delta_d", delta_d),
    ("compactness_weight", compactness_weight),
    ("margin_weight", margin_weight),
    ("norm_weight", norm_weight),
  ):
    _require_not_negative(name, value)
  if rho is not None and not 0 <= rho <= 1:
    raise ValueError(f"rho={rho}: must lie in [0, 1]")
  if not 0 <= gamma < 1:
    raise ValueError(f"gamma={gamma}: must lie in [0, 1)")
  if centroid not in CENTROIDS:
    raise ValueError(f"centroid={centroid!r}: must be one of {CENTROIDS}")
  return Discriminative(
    weight=weight,
    rho=rho,
    delta_v=delta_v,
    delta_d=delta_d,
    gamma=gamma,
    compactness_weight=compactness_weight,
    margin_weight=margin_weight,
    norm_weight=norm_weight,
    centroid=centroid,
    detach_head=detach_head,
  )


def stability(*, weight: float = 1.0) -> ObjectiveFn:
  """Cross-entropy, and features that a second view does not move.

    l = CE(z, y) + lambda |q - q~|

  with the features q of the clean and q~ of the second view; the length is not
  squared.

  Args:
    weight: lambda, >= 0.

  Returns:
    The objective; it needs a second view.

  Raises:
    ValueError: If `weight` is out of range.

  Example:
    >>> outputs = models.Outputs(jnp.zeros((1, 2)), jnp.zeros((1, 1)))
    >>> second = outputs._replace(features=jnp.ones((1, 1)))
    >>> batch = {"labels": jnp.asarray([1])}
    >>> values, _ = stability(weight=2.0)(outputs, batch, Setting(second))
    >>> round(float(values[0]), 4)  # log 2 + 2
    2.6931

  References:
    Zheng et al., `Improving the Robustness of Deep Neural Networks via
    Stability Training <https://arxiv.org/abs/1604.04326>`_, 2016, as the
    baseline of arXiv:2405.18499 has it.
  """
  _require_not_negative("weight", weight)

  def objective(outputs, batch, setting):
    values = optax.softmax_cross_entropy_with_integer_labels(
      outputs.logits, batch["labels"]
    )
    moved = centroids.safe_norm(outputs.features - setting.second.features)
    return values + weight * moved, Notes()

  return objective


def _at(means: jax.Array, counts: jax.Array) -> centroids.ClassSums:
  """Sums that have these means."""
  return centroids.ClassSums(means * counts[:, None], counts)


def _require_not_negative(name: str, value: float) -> None:
  if not 0 <= value < float("inf"):
    raise ValueError(f"{name}={value}: must be a finite number >= 0")
