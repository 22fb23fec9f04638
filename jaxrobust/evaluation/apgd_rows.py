"""Auto-PGD as cells of the suite, and the programs that judge it.

An example counts as right if its clean image is, and every iterate. As the
other gradient attacks it goes through the method's own forward, or climbs
several gradients in turn where that has a smoother.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import attacks, data
from jaxrobust.attacks import objectives
from jaxrobust.attacks.apgd import (
  Climb,
  apgd_start,
  apgd_step,
  check_points,
)
from jaxrobust.evaluation.attack_rows import Attack, Judged, logits_of, worse
from jaxrobust.evaluation.perturbations import judge
from jaxrobust.methods.forwards import ForwardFn

ApgdLoss = Literal["ce", "dlr", "t"]
APGD_LOSSES: tuple[ApgdLoss, ...] = get_args(ApgdLoss)
# How many classes targeted attacks lead to, as in the published ensemble.
TARGETS = 9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Apgd(Attack):
  """Auto-PGD at one radius.

  Attributes:
    name: "apgd-L(steps=S)" with L its loss, and the norm if it is "l2".
    loss: "ce", the cross-entropy; "dlr", the difference of logits ratio, the
      margin with fewer than three classes; "t", the targeted ratio to each of
      the nine likeliest other classes in turn, the targeted margin with fewer
      than four classes.
  """

  loss: ApgdLoss = "ce"

  def schedule(self) -> np.ndarray:
    """What each step is given: int32 [steps, 3], first, check, window."""
    checks, windows = check_points(self.steps)
    first = np.arange(self.steps) == 0
    return np.stack([first, checks, windows], axis=1).astype(np.int32)


def apgd_cells(
  eps: Sequence[float],
  *,
  losses: Sequence[ApgdLoss] = ("ce", "dlr"),
  steps: int = 100,
  examples: int | None = 1000,
  norm: attacks.Norm = "linf",
  gradient: str = "worst",
) -> list[Apgd]:
  """The cells of Auto-PGD, for `run` beside those of the grid.

  Args:
    eps: The radii, in units of the input.
    losses: Of "ce", "dlr" and "t", each a cell of its own.
    steps: The number of steps.
    examples: How many of the split's first examples are judged; None for all.
    norm: "linf" or "l2".
    gradient: As `Attack.gradient`.

  Returns:
    A cell per loss and radius.

  Example:
    >>> [(cell.name, cell.strength) for cell in apgd_cells([0.1])]
    [('apgd-ce(steps=100)', 0.1), ('apgd-dlr(steps=100)', 0.1)]
  """
  words = [f"steps={steps}", *([] if norm == "linf" else [f"norm={norm}"])]
  if gradient != "worst":
    words.append(f"gradient={gradient}")
  return [
    Apgd(
      f"apgd-{loss}({', '.join(words)})",
      float(radius),
      alpha=2.0,
      scale=0.0,
      first=examples,
      norm=norm,
      steps=steps,
      restarts=1,
      gradient=gradient,
      loss=loss,
    )
    for loss in losses
    for radius in eps
  ]


@dataclasses.dataclass(frozen=True)
class ApgdSteps:
  """The per-device functions of Auto-PGD; see `make_apgd_steps`."""

  targets: Callable[..., jax.Array]
  start: Callable[..., Judged]
  step: Callable[..., Judged]


def make_apgd_steps(
  model: nn.Module,
  forward: ForwardFn,
  is_image: bool,
  norm: attacks.Norm,
  climbed: ForwardFn | None = None,
) -> ApgdSteps:
  """Builds the per-device functions of Auto-PGD.

  What `start` and `step` hand on of each example is what `judge` gives of the
  worst input so far, and the fields of `attacks.apgd.Climb`.

  Args:
    model: The model.
    forward: How it is evaluated.
    is_image: Whether attacked inputs stay in [0, 1].
    norm: "linf" or "l2".
    climbed: The forward whose loss the attack climbs; by default `forward`.

  Returns:
    `targets` (variables, batch) -> int32 [N, T], the likeliest other classes;
    `start` (variables, batch, found, key, tag, restart, loss, target, eps) ->
    what is found at a point of each ball's surface, drawn by (key, tag, index,
    restart) alone, with `loss` an index of `APGD_LOSSES` and `target` int32
    [N];
    `step` (variables, batch, found, schedule, loss, target, eps) -> what is
    found after one more, with `schedule` a row of `Apgd.schedule`. An example
    that has fallen keeps what was found of it.

  Example:
    >>> from jaxrobust import methods, models
    >>> model = models.build("mlp", num_classes=3, hidden=(4,))
    >>> forward = methods.forwards.deterministic()
    >>> steps = make_apgd_steps(model, forward, True, "linf")
    >>> x = jnp.full((2, 4, 4, 1), 0.5)
    >>> batch = {
    ...   "inputs": x,
    ...   "index": np.arange(2),
    ...   "labels": np.zeros(2, int),
    ...   "mask": np.ones(2),
    ... }
    >>> steps.targets(model.init(jax.random.key(0), x), batch).shape
    (2, 2)
  """
  where: dict[str, Any] = {
    "norm": norm,
    "low": 0.0 if is_image else None,
    "high": 1.0 if is_image else None,
  }

  def loss_of(loss: jax.Array, target: jax.Array) -> objectives.LossFn:
    def loss_fn(logits, labels):
      classes = logits.shape[-1]
      untargeted = objectives.dlr if classes >= 3 else objectives.margin
      targeted = objectives.towards(target, ratio=classes >= 4)
      return jnp.where(
        loss == 0,
        objectives.cross_entropy(logits, labels),
        jnp.where(
          loss == 1, untargeted(logits, labels), targeted(logits, labels)
        ),
      )

    return loss_fn

  def judged_at(variables, batch, x, logits):
    """What counts: the network as it is judged, whatever is climbed."""
    if climbed is not None:
      logits = logits_of(model, forward, variables, batch)(x)
    return judge(logits, batch["labels"])

  def targets(variables: Mapping[str, Any], batch: Mapping[str, jax.Array]):
    images = data.as_float(batch["inputs"])
    logits = logits_of(model, forward, variables, batch)(images)
    count = min(TARGETS, logits.shape[-1] - 1)
    return objectives.likeliest(logits, batch["labels"], count)

  def start(variables, batch, found, key, tag, restart, loss, target, eps):
    keys = data.example_keys(key, tag, batch["index"])
    keys = jax.vmap(jax.random.fold_in, (0, None))(keys, restart)
    climb, logits = apgd_start(
      keys,
      logits_of(model, climbed or forward, variables, batch),
      data.as_float(batch["inputs"]),
      batch["labels"],
      loss_fn=loss_of(loss, target),
      eps=eps,
      **where,
    )
    tried = judged_at(variables, batch, climb.x, logits)
    return {**worse(found, tried, found["hits"]), **climb._asdict()}

  def step(variables, batch, found, schedule, loss, target, eps):
    found = dict(found)
    climb = Climb(**{name: found.pop(name) for name in Climb._fields})
    first, check, window = schedule
    climb, x, logits = apgd_step(
      logits_of(model, climbed or forward, variables, batch),
      climb,
      data.as_float(batch["inputs"]),
      batch["labels"],
      loss_fn=loss_of(loss, target),
      first=first > 0,
      check=check > 0,
      window=window,
      eps=eps,
      **where,
    )
    tried = judged_at(variables, batch, x, logits)
    return {**worse(found, tried, found["hits"]), **climb._asdict()}

  return ApgdSteps(targets, start, step)
