"""The Square attack as cells of the suite, and the programs that judge it.

It sees the method's own forward as a black box that gives logits. A network
that stands against gradients and falls to it has hidden its gradients, not
become robust. As under the other attacks, an example counts as right if its
clean image is, and every image that the attack tries.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxrobust import data
from jaxrobust.attacks.square import (
  sides,
  square_step,
  stripes,
  worst_margin,
)
from jaxrobust.evaluation.attack_rows import Attack, Judged, worse
from jaxrobust.evaluation.perturbations import judge
from jaxrobust.methods.forwards import ForwardFn

# Of the first square, as in AutoAttack.
_P_INIT = 0.8


@dataclasses.dataclass(frozen=True, kw_only=True)
class SquareAttack(Attack):
  """The Square attack at one radius.

  Attributes:
    name: "square(queries=N)".
    queries: How many changed images of each example the network is shown.
  """

  queries: int

  def sides(self, shape: Sequence[int]) -> np.ndarray:
    """The side of each query's square on images [H, W, C]; 0 of the first."""
    return sides(self.queries, _P_INIT, tuple(shape[:2]))


def square_cells(
  eps: Sequence[float], *, queries: int, examples: int = 200
) -> list[Attack]:
  """The cells of the Square attack, for `run` beside those of the grid.

  Args:
    eps: The radii, in units of the input.
    queries: How many changed images of each example are tried; 0 for no cells.
    examples: How many of the split's first examples are judged.

  Returns:
    One cell per radius.

  Example:
    >>> [(cell.name, cell.strength) for cell in square_cells([0.1], queries=50)]
    [('square(queries=50)', 0.1)]
  """
  return [
    SquareAttack(
      f"square(queries={queries})",
      float(radius),
      alpha=2.0,
      scale=0.0,
      first=examples,
      queries=queries,
    )
    for radius in eps
    if queries
  ]


@dataclasses.dataclass(frozen=True)
class SquareSteps:
  """The per-device functions of the Square attack; see `make_square_steps`."""

  start: Callable[..., Judged]
  step: Callable[..., Judged]


def make_square_steps(model: nn.Module, forward: ForwardFn) -> SquareSteps:
  """Builds the per-device functions of the Square attack.

  What they hand on of each example is what `judge` gives of the worst image so
  far, the image `x` that the search is at, and its `margin`, [N, ...] each.

  Args:
    model: The model.
    forward: How it is evaluated.

  Returns:
    `start` (variables, batch, key, tag, eps) -> what is found of the example
    itself and of the first query;
    `step` (variables, batch, found, key, tag, query, eps) -> what is found
    after one more, with int32 `query` [2], the number of the query and its
    square's side. An example that has fallen is left as it is. Its squares
    depend on (key, tag, index) and the query alone.

  Example:
    >>> from jaxrobust import methods, models
    >>> model = models.build("mlp", num_classes=3, hidden=(4,))
    >>> forward = methods.forwards.deterministic()
    >>> steps = make_square_steps(model, forward)
    >>> x = jax.numpy.full((2, 4, 4, 1), 0.5)
    >>> batch = {
    ...   "inputs": x,
    ...   "index": np.arange(2),
    ...   "labels": np.zeros(2, int),
    ...   "mask": np.ones(2),
    ... }
    >>> variables = model.init(jax.random.key(0), x)
    >>> found = steps.start(variables, batch, jax.random.key(0), 13, 0.25)
    >>> sorted(found), found["x"].shape
    (['confidence', 'hits', 'margin', 'nll', 'x'], (2, 4, 4, 1))
  """

  def through(
    variables: Mapping[str, Any], batch: Mapping[str, jax.Array]
  ) -> Callable[[jax.Array], jax.Array]:
    return lambda x: (
      forward(model, variables, x, batch["mask"], False)[0].logits
    )

  def keys_of(batch, key, tag, number):
    keys = data.example_keys(key, tag, batch["index"])
    return jax.vmap(jax.random.fold_in, (0, None))(keys, number)

  def start(variables, batch, key, tag, eps):
    images, labels = data.as_float(batch["inputs"]), batch["labels"]
    logits_fn = through(variables, batch)
    clean = judge(logits_fn(images), labels)
    x = stripes(keys_of(batch, key, tag, 0), images, eps=eps)
    logits = logits_fn(x)
    found = worse(clean, judge(logits, labels), clean["hits"])
    return {**found, "x": x, "margin": worst_margin(logits, labels)}

  def step(variables, batch, found, key, tag, query, eps):
    found = dict(found)
    x, margin = found.pop("x"), found.pop("margin")
    number, side = query
    x, margin, logits = square_step(
      keys_of(batch, key, tag, number),
      through(variables, batch),
      x,
      margin,
      data.as_float(batch["inputs"]),
      batch["labels"],
      side=side,
      eps=eps,
    )
    judged = judge(logits, batch["labels"])
    found = worse(found, judged, found["hits"])
    return {**found, "x": x, "margin": margin}

  return SquareSteps(start, step)
