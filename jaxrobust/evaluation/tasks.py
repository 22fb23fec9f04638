"""What a network's outputs are for: to tell classes, or to tell numbers.

Training, validation and the suite take from a `Task` whatever differs.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.evaluation import metrics, regression
from jaxrobust.evaluation.perturbations import judge


@dataclasses.dataclass(frozen=True)
class Task:
  """One kind of learning.

  Attributes:
    metrics: The metrics that rows have, in their order.
    headline: The metric that training shows and checkpoints are chosen by.
    higher_is_better: Whether more of it is better.
    score: (outputs [N, K], labels) -> the headline of each example, [N],
      whose mean over examples it is.
    judge: (outputs [N, K], labels) -> per-example numbers, [N] each.
    summarise: Makes metrics of them.
  """

  metrics: tuple[str, ...]
  headline: str
  higher_is_better: bool
  score: Callable[[jax.Array, jax.Array], jax.Array]
  judge: Callable[[jax.Array, jax.Array], dict[str, jax.Array]]
  summarise: Callable[[Mapping[str, np.ndarray]], dict[str, float]]

  def rank(self, summary: Mapping[str, float]) -> float:
    """The headline as a number of which more is better."""
    value = summary[self.headline]
    return value if self.higher_is_better else -value


CLASSIFICATION = Task(
  metrics=metrics.METRICS,
  headline="accuracy",
  higher_is_better=True,
  score=lambda outputs, labels: jnp.argmax(outputs, -1) == labels,
  judge=judge,
  summarise=metrics.summarise,
)
REGRESSION = Task(
  metrics=regression.METRICS,
  headline="mse",
  higher_is_better=False,
  score=lambda outputs, labels: ((outputs - labels) ** 2).mean(-1),
  judge=regression.judge_regression,
  summarise=regression.summarise_regression,
)


def task_of(targets: int) -> Task:
  """The task of data with so many real-valued targets; none: classes.

  Args:
    targets: `config.data.targets`.

  Returns:
    The task.

  Example:
    >>> task_of(0).headline, task_of(1).headline
    ('accuracy', 'mse')
  """
  return REGRESSION if targets else CLASSIFICATION
