"""The standard ensemble of attacks as cells of the suite.

The attacks run in the published order, each on the examples that still stand;
an example is right if it stands after all of them. Beside the accuracy a row
says what was left after each.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrobust import attacks
from jaxrobust.evaluation.apgd_rows import apgd_cells
from jaxrobust.evaluation.attack_rows import Attack
from jaxrobust.evaluation.fab_rows import fab_cells
from jaxrobust.evaluation.query_rows import square_cells

STANDARD = "standard"
# Where a judgement keeps who stood after each attack.
_AFTER = "hits_after_"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ensemble(Attack):
  """Several attacks at one radius, one after the other.

  Attributes:
    name: "standard(NORM)".
    members: The attacks, in their order.
  """

  members: tuple[Attack, ...]

  def more_metrics(
    self, examples: Mapping[str, np.ndarray]
  ) -> dict[str, float]:
    """`accuracy_after_ATTACK` of each attack, in [0, 1]."""
    return {
      "accuracy_" + name.removeprefix("hits_"): float(hits.mean())
      for name, hits in examples.items()
      if name.startswith(_AFTER)
    }


def kind_of(member: Attack) -> str:
  """An attack's name without its parameters."""
  return member.name.partition("(")[0]


def after(member: Attack) -> str:
  """The name under which a judgement keeps who stood after this attack."""
  return _AFTER + kind_of(member)


def ensemble_cells(
  eps: Sequence[float],
  *,
  norm: attacks.Norm = "linf",
  examples: int | None = 1000,
  steps: int = 100,
  queries: int = 5000,
  gradient: str = "worst",
  is_image: bool = True,
) -> list[Ensemble]:
  """The cells of the standard ensemble, for `run` beside those of the grid.

  Auto-PGD on the cross-entropy, Auto-PGD on the ratio to nine targets, the fast
  adaptive boundary attack to nine targets, and Square.

  Args:
    eps: The radii, in units of the input.
    norm: "linf" or "l2".
    examples: How many of the split's first examples are judged; None for all.
    steps: The number of steps of each run of the first three.
    queries: Of Square.
    gradient: As `Attack.gradient`.
    is_image: Without images there is no Square, which the name says.

  Returns:
    One cell per radius.

  Example:
    >>> [cell] = ensemble_cells([0.1])
    >>> cell.name, [kind_of(member) for member in cell.members]
    ('standard(linf)', ['apgd-ce', 'apgd-t', 'fab-t', 'square'])

  References:
    Croce and Hein, `Reliable evaluation of adversarial robustness with an
    ensemble of diverse parameter-free attacks
    <https://arxiv.org/abs/2003.01690>`_, 2020: AutoAttack's standard version.
  """
  published = steps == 100 and queries == 5000
  words = [norm]
  if not published:
    words += [f"steps={steps}", f"queries={queries}"]
  if not is_image:
    words.append("without square")
  if gradient != "worst":
    words.append(f"gradient={gradient}")
  cells = []
  for radius in eps:
    shared: dict[str, Any] = {"examples": examples, "norm": norm}
    members = [
      *apgd_cells(
        [radius],
        losses=("ce", "t"),
        steps=steps,
        gradient=gradient,
        **shared,
      ),
      *fab_cells([radius], steps=steps, **shared),
      *square_cells([radius], queries=queries if is_image else 0, **shared),
    ]
    cells.append(
      Ensemble(
        f"{STANDARD}({', '.join(words)})",
        float(radius),
        alpha=2.0,
        scale=0.0,
        first=examples,
        norm=norm,
        gradient=gradient,
        members=tuple(members),
      )
    )
  return cells
