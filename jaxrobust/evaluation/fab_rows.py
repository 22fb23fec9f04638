"""The fast adaptive boundary attack as cells of the suite, and its programs.

It looks for the nearest misclassified image; an example has fallen if one that
it tried lies within the radius.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxrobust import attacks, data
from jaxrobust.attacks import ball
from jaxrobust.attacks.fab import Search, fab_step
from jaxrobust.evaluation.attack_rows import Attack, Judged, logits_of, worse
from jaxrobust.evaluation.perturbations import judge
from jaxrobust.methods.forwards import ForwardFn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fab(Attack):
  """The attack on each of the nine likeliest other classes, at one radius.

  Attributes:
    name: "fab-t(steps=S)", and the norm if it is "l2".
  """


def fab_cells(
  eps: Sequence[float],
  *,
  steps: int = 100,
  examples: int | None = 1000,
  norm: attacks.Norm = "linf",
) -> list[Fab]:
  """The cells of the attack, for `run` beside those of the grid.

  Args:
    eps: The radii, in units of the input.
    steps: The number of steps to each class.
    examples: How many of the split's first examples are judged; None for all.
    norm: "linf" or "l2".

  Returns:
    One cell per radius.

  Example:
    >>> [(cell.name, cell.strength) for cell in fab_cells([0.1])]
    [('fab-t(steps=100)', 0.1)]
  """
  words = [f"steps={steps}", *([] if norm == "linf" else [f"norm={norm}"])]
  return [
    Fab(
      f"fab-t({', '.join(words)})",
      float(radius),
      alpha=2.0,
      scale=0.0,
      first=examples,
      norm=norm,
      steps=steps,
    )
    for radius in eps
  ]


def make_fab_step(
  model: nn.Module,
  forward: ForwardFn,
  is_image: bool,
  norm: attacks.Norm,
  climbed: ForwardFn | None = None,
) -> Callable[..., Judged]:
  """Builds the per-device function of one step.

  Args:
    model: The model.
    forward: How it is evaluated.
    is_image: Whether attacked inputs stay in [0, 1].
    norm: "linf" or "l2".
    climbed: The forward whose boundary the attack seeks; by default `forward`.

  Returns:
    (variables, batch, found, first, target, eps) -> what is found after one
    more step towards the class `target` [N]: of each example what `judge` gives
    of the worst input so far within the radius, and the iterate `x`, which is
    the example itself before the `first`.

  Example:
    >>> import jax
    >>> from jaxrobust import methods, models
    >>> model = models.build("mlp", num_classes=3, hidden=(4,))
    >>> forward = methods.forwards.deterministic()
    >>> step = make_fab_step(model, forward, True, "linf")
    >>> x = jnp.full((1, 4, 4, 1), 0.5)
    >>> ones = jnp.ones(1)
    >>> batch = {"inputs": x, "labels": jnp.zeros(1, int), "mask": ones}
    >>> found = {
    ...   "x": x,
    ...   "nll": jnp.zeros(1),
    ...   "confidence": jnp.zeros(1),
    ...   "hits": jnp.ones(1, bool),
    ... }
    >>> variables = model.init(jax.random.key(0), x)
    >>> sorted(step(variables, batch, found, True, jnp.ones(1, int), 0.1))
    ['confidence', 'hits', 'nll', 'x']
  """
  low, high = (0.0, 1.0) if is_image else (-math.inf, math.inf)

  def step(variables, batch, found, first, target, eps):
    found = dict(found)
    images = data.as_float(batch["inputs"])
    x = jnp.where(first, images, found.pop("x"))
    # The nearest image so far is not asked for: what lies within eps counts.
    search = Search(x, images, jnp.full(len(x), jnp.inf))
    search, tried, logits = fab_step(
      logits_of(model, climbed or forward, variables, batch),
      search,
      images,
      batch["labels"],
      target,
      norm=norm,
      low=low,
      high=high,
    )
    if climbed is not None:
      logits = logits_of(model, forward, variables, batch)(tried)
    near = ball.distance(tried - images, norm).reshape(-1) <= eps
    judged = judge(logits, batch["labels"])
    return {**worse(found, judged, found["hits"] & near), "x": search.x}

  return step
