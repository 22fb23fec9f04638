"""The checks of the standard ensemble as result rows, and as warnings.

All rows have the perturbation "self_check" and the ensemble's radius. A metric
per flag is 1 where it is raised and 0 where not; with some goes the number that
it was judged by.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jaxrobust.attacks import selfchecks
from jaxrobust.evaluation.ensemble_rows import Ensemble
from jaxrobust.evaluation.perturbations import Perturbation
from jaxrobust.evaluation.results import Results
from jaxrobust.evaluation.suite import Subject

SELF_CHECK = "self_check"
_LARGE_BALL = "large_ball_stands"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfCheck(Perturbation):
  """The checks that go with one cell of the standard ensemble.

  Attributes:
    name: "self_check", and the norm if it is "l2".
    strength: The ensemble's radius.
    ensemble: The ensemble's cell, whose rows are there when this one's turn
      comes.
    is_image: Whether the inputs are images: those of series have no bounds
      that a large ball could hold.
  """

  ensemble: Ensemble
  is_image: bool

  @property
  def flags(self) -> tuple[str, ...]:
    """The flags that are asked for, in the order of the rows."""
    return tuple(
      flag
      for flag in selfchecks.MEANINGS
      if self.is_image or flag != _LARGE_BALL
    )


def self_check_cells(
  ensembles: Sequence[Ensemble], examples: int = 250, is_image: bool = True
) -> list[SelfCheck]:
  """The checks of each ensemble.

  Args:
    ensembles: As `ensemble_cells` gives them.
    examples: How many of the split's first examples are asked.
    is_image: As `SelfCheck.is_image`.

  Returns:
    A cell per ensemble, for `run_self_checks`.

  Example:
    >>> from jaxrobust.evaluation.ensemble_rows import ensemble_cells
    >>> [(c.name, c.strength) for c in self_check_cells(ensemble_cells([0.1]))]
    [('self_check', 0.1)]
  """
  return [
    SelfCheck(
      SELF_CHECK if cell.norm == "linf" else f"{SELF_CHECK}(norm={cell.norm})",
      cell.strength,
      alpha=2.0,
      scale=0.0,
      first=min(examples, cell.first or examples),
      ensemble=cell,
      is_image=is_image,
    )
    for cell in ensembles
  ]


def run_self_checks(
  subject: Subject,
  check: Callable[[SelfCheck], Mapping[str, float]],
  cells: Sequence[SelfCheck],
  results: Results,
) -> Iterator[SelfCheck]:
  """Appends the rows of the checks that are not there yet.

  Args:
    subject: The columns that all rows of a run share.
    check: Gives the flags that need the network, and their numbers. The black
      box is compared in the ensemble's own rows.
    cells: As `self_check_cells` gives them.
    results: Where the rows go; those of the ensembles are there.

  Yields:
    Each cell, when its rows are written.
  """
  for cell in cells:
    shared = dataclasses.asdict(subject) | {
      "perturbation": cell.name,
      "strength": cell.strength,
      "severity": None,
      "n_examples": cell.count(subject.n_examples),
    }
    if any({**shared, "metric": flag} not in results for flag in cell.flags):
      found = dict(check(cell))
      left = results.values(
        shared
        | {
          "perturbation": cell.ensemble.name,
          "n_examples": cell.ensemble.count(subject.n_examples),
        }
      )
      prefix = "accuracy_after_"
      after = {
        name.removeprefix(prefix): value
        for name, value in left.items()
        if name.startswith(prefix)
      }
      found["black_box_stronger"] = float(
        selfchecks.black_box_is_stronger(after)
      )
      # The flags last: what a kill cuts off is then found missing.
      names = [name for name in found if name not in cell.flags]
      names += cell.flags
      results.append(
        {**shared, "metric": name, "value": float(found[name])}
        for name in names
      )
    yield cell


def warnings_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """One line for each flag that was raised.

  Args:
    rows: As `results.read_rows` gives them.

  Returns:
    The lines, in the order of the rows.

  Example:
    >>> row = {
    ...   "perturbation": "self_check",
    ...   "method": "standard",
    ...   "strength": 0.1,
    ...   "metric": "zero_gradients",
    ...   "value": 1.0,
    ... }
    >>> warnings_of([row])[0].partition(": ")[0]
    'standard, eps 0.1, zero_gradients'
  """
  return [
    f"{row['method']}, eps {row['strength']:g}, {row['metric']}: "
    f"{selfchecks.MEANINGS[row['metric']]}"
    for row in rows
    if row["perturbation"].partition("(")[0] == SELF_CHECK
    and row["metric"] in selfchecks.MEANINGS
    and row["value"]
  ]
