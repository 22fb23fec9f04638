"""The Square attack as cells of the suite, and the programs that judge it.

It sees the method's own forward as a black box that gives logits. A network
that stands against gradients and falls to it has hidden its gradients, not
become robust. As under the other attacks, an example counts as right if its
clean image is, and every image that the attack tries.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import numpy as np

from jaxrobust import attacks, data
from jaxrobust.attacks.square import (
  sides,
  square_step,
  stripes,
  worst_margin,
)
from jaxrobust.attacks.square_l2 import (
  odd_sides,
  patterns,
  square_l2_step,
  tiles,
)
from jaxrobust.evaluation.attack_rows import Attack, Judged, logits_of, worse
from jaxrobust.evaluation.perturbations import judge
from jaxrobust.methods.forwards import ForwardFn

# Of the first square, as in AutoAttack.
_P_INIT = 0.8


@dataclasses.dataclass(frozen=True, kw_only=True)
class SquareAttack(Attack):
  """The Square attack at one radius.

  Attributes:
    name: "square(queries=N)", and the norm if it is "l2".
    queries: How many changed images of each example the network is shown.
  """

  queries: int

  def sides(self, shape: Sequence[int]) -> np.ndarray:
    """The side of each query's square on images [H, W, C]; 0 of the first."""
    of_norm = sides if self.norm == "linf" else odd_sides
    return of_norm(self.queries, _P_INIT, tuple(shape[:2]))


def square_cells(
  eps: Sequence[float],
  *,
  queries: int,
  examples: int | None = 200,
  norm: attacks.Norm = "linf",
) -> list[Attack]:
  """The cells of the Square attack, for `run` beside those of the grid.

  Args:
    eps: The radii, in units of the input.
    queries: How many changed images of each example are tried; 0 for no cells.
    examples: How many of the split's first examples are judged; None for all.
    norm: "linf" or "l2".

  Returns:
    One cell per radius.

  Example:
    >>> [(cell.name, cell.strength) for cell in square_cells([0.1], queries=50)]
    [('square(queries=50)', 0.1)]
  """
  words = [f"queries={queries}", *([] if norm == "linf" else [f"norm={norm}"])]
  return [
    SquareAttack(
      f"square({', '.join(words)})",
      float(radius),
      alpha=2.0,
      scale=0.0,
      first=examples,
      norm=norm,
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


def make_square_steps(
  model: nn.Module, forward: ForwardFn, norm: attacks.Norm = "linf"
) -> SquareSteps:
  """Builds the per-device functions of the Square attack.

  What they hand on of each example is what `judge` gives of the worst image so
  far, the image `x` that the search is at, and its `margin`, [N, ...] each.

  Args:
    model: The model.
    forward: How it is evaluated.
    norm: "linf" or "l2".

  Returns:
    `start` (variables, batch, found, key, tag, eps) -> what is found after the
    first query, where `found` is what `judge` gives of the worst before;
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
    >>> key = jax.random.key(0)
    >>> variables = model.init(key, x)
    >>> clean = judge(model.apply(variables, x).logits, batch["labels"])
    >>> found = steps.start(variables, batch, clean, key, 13, 0.25)
    >>> sorted(found), found["x"].shape
    (['confidence', 'hits', 'margin', 'nll', 'x'], (2, 4, 4, 1))
  """

  def keys_of(batch, key, tag, number):
    keys = data.example_keys(key, tag, batch["index"])
    return jax.vmap(jax.random.fold_in, (0, None))(keys, number)

  def start(variables, batch, found, key, tag, eps):
    images, labels = data.as_float(batch["inputs"]), batch["labels"]
    begin = stripes if norm == "linf" else tiles
    x = begin(keys_of(batch, key, tag, 0), images, eps=eps)
    logits = logits_of(model, forward, variables, batch)(x)
    found = worse(found, judge(logits, labels), found["hits"])
    return {**found, "x": x, "margin": worst_margin(logits, labels)}

  def step(variables, batch, found, key, tag, query, eps):
    found = dict(found)
    x, margin = found.pop("x"), found.pop("margin")
    number, side = query
    images = data.as_float(batch["inputs"])
    change = square_step
    if norm == "l2":
      shapes = jax.numpy.asarray(patterns(images.shape[1:3]))
      change = functools.partial(square_l2_step, shapes=shapes)
    x, margin, logits = change(
      keys_of(batch, key, tag, number),
      logits_of(model, forward, variables, batch),
      x,
      margin,
      images,
      batch["labels"],
      side=side,
      eps=eps,
    )
    judged = judge(logits, batch["labels"])
    found = worse(found, judged, found["hits"])
    return {**found, "x": x, "margin": margin}

  return SquareSteps(start, step)
