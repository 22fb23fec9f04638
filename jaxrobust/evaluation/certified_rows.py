"""Certified l2 radii as result rows: accuracy that no small change can lower.

All rows of one smoothing have the perturbation "certified(std=S, draws=N)".
By strength they are

  radius  `certified_accuracy`: the share of examples whose certified class is
          the label's and whose certified radius is at least this
  0       `average_certified_radius`: its mean, 0 where the class is another or
          uncertain; `smoothed_accuracy`: the share that the vote classifies
          right, `abstained` the share that it leaves undecided

They are of the smoothed network, the vote under noise, and not of the network
itself. Each certificate is wrong with a chance of alpha at most.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import data
from jaxrobust.evaluation.certify import (
  ABSTAINED,
  certify,
  count_votes,
  predict_smoothed,
)
from jaxrobust.evaluation.perturbations import Perturbation
from jaxrobust.evaluation.results import Results
from jaxrobust.evaluation.suite import Subject
from jaxrobust.methods.forwards import ForwardFn

CERTIFIED = "certified"


class Votes(NamedTuple):
  """What the copies of a split's examples were taken for.

  Attributes:
    selection: int [N, K], the votes of the draws that select a class.
    estimation: int [N, K], those of the draws that estimate its chance.
    labels: int [N].
  """

  selection: np.ndarray
  estimation: np.ndarray
  labels: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certified(Perturbation):
  """One smoothing.

  Attributes:
    name: "certified(std=S, draws=N)", or with ", clipped" before the bracket.
    strength: S, the standard deviation of the noise, in units of the input.
    radii: At which l2 radii accuracy is certified, in units of the input.
    draws: The number of draws that estimate the chance of a class.
    selection_draws: The number of draws, before them, that select a class.
    level: alpha, the chance that the certificate of an example is wrong.
    clip: Whether the network is shown noisy images clipped to [0, 1].
  """

  radii: tuple[float, ...]
  draws: int
  selection_draws: int
  level: float
  clip: bool


def certified_cells(
  stds: Sequence[float],
  *,
  radii: Sequence[float],
  draws: int,
  selection_draws: int = 100,
  alpha: float = 0.001,
  examples: int = 200,
  clip: bool = False,
) -> list[Certified]:
  """The smoothings of some first examples.

  Args:
    stds: The standard deviations of the noise, in units of the input; that of
      the training noise certifies most. None for no cells.
    radii: The l2 radii, in units of the input.
    draws: How many draws estimate the chance of a class. n of them certify at
      most s Phi^-1(alpha^(1/n)): 2.5 s of 1,000 and 3.8 s of 100,000 with the
      alpha of the default.
    selection_draws: How many draws, before them, select a class.
    alpha: The chance that the certificate of an example is wrong, in (0, 1).
    examples: How many of the split's first examples are judged.
    clip: Whether the network is shown noisy images clipped to [0, 1], as in
      training on noise. Clipping is then its first layer.

  Returns:
    A cell per standard deviation, for `measure_certified`.

  Example:
    >>> [c.name for c in certified_cells([0.25], radii=[0.5], draws=1000)]
    ['certified(std=0.25, draws=1000)']
  """
  suffix = ", clipped" if clip else ""
  return [
    Certified(
      f"{CERTIFIED}(std={std:g}, draws={draws}{suffix})",
      float(std),
      alpha=2.0,
      scale=std / math.sqrt(2.0),
      first=examples,
      radii=tuple(float(radius) for radius in radii),
      draws=draws,
      selection_draws=selection_draws,
      level=alpha,
      clip=clip,
    )
    for std in stds
  ]


def make_vote_step(
  model: nn.Module, forward: ForwardFn, clip: bool, copies: int = 10
) -> Callable[..., jax.Array]:
  """Builds the per-device function that has noisy copies of a batch vote.

  Args:
    model: The model.
    forward: How it is evaluated; nothing in it may be random.
    clip: Whether the model is shown images clipped to [0, 1].
    copies: How many copies of an example are evaluated at a time.

  Returns:
    A function of (variables, batch, key, std, first, draws), with a batch as
    `data.Loader` gives it, that returns the votes of the draws from number
    `first` on, int32 [N, K]. An example's noises depend on (key, index) and
    their numbers alone. One program serves all of std, first and draws.

  Example:
    >>> from jaxrobust import methods, models
    >>> model = models.build("mlp", num_classes=3, hidden=(4,))
    >>> variables = model.init(jax.random.key(0), jnp.ones((1, 5)))
    >>> step = make_vote_step(model, methods.forwards.deterministic(), False)
    >>> batch = {"inputs": jnp.ones((2, 5)), "index": jnp.arange(2)}
    >>> step(variables, batch, jax.random.key(0), 0.1, 0, 20).sum(axis=1)
    Array([20, 20], dtype=int32)
  """

  def vote_step(variables, batch, key, std, first, draws):
    def logits_fn(x):
      if clip:
        x = jnp.clip(x, 0.0, 1.0)
      return forward(model, variables, x, jnp.ones(len(x)), False)[0].logits

    return count_votes(
      data.example_keys(key, data.Tag.VOTE, batch["index"]),
      logits_fn,
      data.as_float(batch["inputs"]),
      std=std,
      draws=draws,
      batch=copies,
      first=first,
    )

  return vote_step


def measure_certified(
  subject: Subject,
  measure: Callable[[Certified], Votes],
  cells: Sequence[Certified],
  results: Results,
) -> Iterator[Certified]:
  """Appends the rows of every smoothing that are not there yet.

  Args:
    subject: The columns that all rows of a run share.
    measure: Gives the votes on the split's first `cell.first` examples.
    cells: As `certified_cells` gives them.
    results: Where the rows go, one cell at a time; an interrupted evaluation
      continues there.

  Yields:
    Each cell, when its rows are written.

  Raises:
    ValueError: If `measure` returns another number of examples.
  """
  for cell in cells:
    count = cell.count(subject.n_examples)
    shared = dataclasses.asdict(subject) | {
      "perturbation": cell.name,
      "severity": None,
      "n_examples": count,
    }
    keys = [(radius, "certified_accuracy") for radius in cell.radii]
    keys += [
      (0.0, metric)
      for metric in (
        "average_certified_radius",
        "smoothed_accuracy",
        "abstained",
      )
    ]
    rows = [{**shared, "strength": s, "metric": m} for s, m in keys]
    if any(row not in results for row in rows):
      votes = measure(cell)
      if len(votes.labels) != count:
        raise ValueError(
          f"{len(votes.labels)} examples voted on; must be {count}"
        )
      values = _values(cell, votes)
      results.append(
        row | {"value": values[key]}
        for row, key in zip(rows, keys, strict=True)
      )
    yield cell


def _values(cell: Certified, votes: Votes) -> dict[tuple[float, str], float]:
  """The values of a cell's rows, by strength and metric."""
  certified = certify(
    votes.selection,
    votes.estimation,
    std=cell.strength,
    draws=cell.draws,
    alpha=cell.level,
  )
  labels = np.asarray(votes.labels)
  right = certified.classes == labels
  smoothed = predict_smoothed(votes.estimation, cell.level)
  return {
    (0.0, "average_certified_radius"): float((right * certified.radii).mean()),
    (0.0, "smoothed_accuracy"): float((smoothed == labels).mean()),
    (0.0, "abstained"): float((smoothed == ABSTAINED).mean()),
    **{
      (radius, "certified_accuracy"): float(
        (right & (certified.radii >= radius)).mean()
      )
      for radius in cell.radii
    },
  }
