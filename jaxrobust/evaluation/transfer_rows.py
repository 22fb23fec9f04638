"""Attacks that were made on another run, as cells of the suite.

PGD climbs the loss of the other network, from the same points and by the same
steps as on the judged one, and what it ends at is shown to the judged one. A
network that falls to another's adversarial examples and not to its own has
masked its gradients.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

from jaxrobust import attacks
from jaxrobust.evaluation.attack_rows import Attack


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfer(Attack):
  """PGD on another run's network at one radius.

  Attributes:
    name: "transfer(RUN, steps=S, restarts=R)", and the norm if it is "l2".
    surrogate: The other run's folder.
  """

  surrogate: str


def transfer_cells(
  eps: Sequence[float],
  surrogates: Sequence[str],
  *,
  steps: int = 40,
  restarts: int = 1,
  examples: int | None = 1000,
  norm: attacks.Norm = "linf",
) -> list[Transfer]:
  """The cells of transferred PGD, for `run` beside those of the grid.

  Args:
    eps: The radii, in units of the input.
    surrogates: The folders of the other runs, which rows have as given here.
    steps: The number of steps of PGD, each 2.5 eps / steps long.
    restarts: How many random points PGD starts from.
    examples: How many of the split's first examples are judged; None for all.
    norm: "linf" or "l2".

  Returns:
    A cell per surrogate and radius.

  Example:
    >>> [cell] = transfer_cells([0.1], ["runs/other"], steps=10)
    >>> cell.name, cell.strength
    ('transfer(runs/other, steps=10, restarts=1)', 0.1)

  References:
    Carlini, Athalye, Papernot et al., `On Evaluating Adversarial Robustness
    <https://arxiv.org/abs/1902.06705>`_, 2019, section 4.3.
  """
  settings = [f"steps={steps}", f"restarts={restarts}"]
  if norm != "linf":
    settings.insert(0, f"norm={norm}")
  return [
    Transfer(
      f"transfer({', '.join([name_of(surrogate), *settings])})",
      float(radius),
      alpha=2.0,
      scale=0.0,
      first=examples,
      norm=norm,
      steps=steps,
      restarts=restarts,
      surrogate=surrogate,
    )
    for surrogate in surrogates
    for radius in eps
  ]


def name_of(surrogate: str) -> str:
  """What rows call another run: its folder, as it was given.

  The last part alone might be that of several runs.

  Args:
    surrogate: The folder.

  Returns:
    The name.

  Example:
    >>> name_of("runs/other/")
    'runs/other'
  """
  return str(pathlib.PurePath(surrogate))
