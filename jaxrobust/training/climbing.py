"""Auto-PGD and FAB over the examples that stand, on all devices."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from jaxrobust import attacks, data, evaluation
from jaxrobust.methods.forwards import ForwardFn
from jaxrobust.training import parallel
from jaxrobust.training.standing import Standing

# After so many steps, those that have fallen make room in the batches.
_STEPS_IN_A_PASS = 10
# What is kept of an example: the iterate, the one before, the best, and their
# gradients.
_APGD_KEPT, _FAB_KEPT = 5, 1


class Climber:
  """Runs the two attacks, compiled once per norm and gradient.

  Args:
    model: The model.
    forward: How it is evaluated, and attacked.
    is_image: Whether attacked inputs stay in [0, 1].
    launcher: The devices.
    batch_sizes: The numbers of examples at a time, over all devices, the
      largest first.
  """

  def __init__(
    self,
    model: nn.Module,
    forward: ForwardFn,
    is_image: bool,
    launcher: parallel.Launcher,
    batch_sizes: Sequence[int],
  ):
    self._launcher, self._sizes = launcher, tuple(batch_sizes)
    self._tag = launcher.replicate(np.int32(data.Tag.TEST_ATTACK))
    self._first = {
      yes: launcher.replicate(np.asarray(yes)) for yes in (True, False)
    }
    whole, split = False, True

    @functools.cache
    def apgd_programs(
      norm: attacks.Norm, climbed: ForwardFn | None
    ) -> evaluation.ApgdSteps:
      steps = evaluation.make_apgd_steps(
        model, forward, is_image, norm, climbed
      )
      return evaluation.ApgdSteps(
        targets=launcher.map(
          steps.targets, sharded_in=(whole, split), sharded_out=True
        ),
        start=launcher.map(
          steps.start,
          sharded_in=(whole, split, split, *[whole] * 4, split, whole),
          sharded_out=True,
        ),
        step=launcher.map(
          steps.step,
          sharded_in=(whole, split, split, whole, whole, split, whole),
          sharded_out=True,
        ),
      )

    self._apgd_programs = apgd_programs

    @functools.cache
    def fab_program(norm: attacks.Norm, climbed: ForwardFn | None) -> Any:
      step = evaluation.make_fab_step(model, forward, is_image, norm, climbed)
      return launcher.map(
        step,
        sharded_in=(whole, split, split, whole, split, whole),
        sharded_out=True,
      )

    self._fab_program = fab_program

  def apgd(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.Apgd,
    standing: Standing,
    key: Any,
    climbed: ForwardFn | None,
  ) -> None:
    """Attacks whoever stands, once, or once per target.

    Args:
      variables: On every device.
      cell: The attack.
      standing: The examples; what is found is put there.
      key: The run's key, on every device.
      climbed: The forward whose loss is climbed; None for the judged one.
    """
    programs = self._apgd_programs(cell.norm, climbed)
    whole = self._launcher.replicate
    loss = whole(np.int32(evaluation.APGD_LOSSES.index(cell.loss)))
    radius = whole(np.float32(cell.strength))
    schedule = [whole(row) for row in cell.schedule()]
    for part in standing.parts(_APGD_KEPT, self._sizes[0]):
      judged = tuple(part.known)
      for number in self._targets(part, programs, variables, cell.loss):
        start = whole(np.int32(number))
        for batch, found, put in part.batches(*self._sizes):
          target = found["target"]
          found = {name: found[name] for name in judged}
          put(
            programs.start(
              variables,
              batch,
              found,
              key,
              self._tag,
              start,
              loss,
              target,
              radius,
            )
          )
        for first in range(0, cell.steps, _STEPS_IN_A_PASS):
          for batch, found, put in part.batches(*self._sizes):
            target = found.pop("target")
            for row in schedule[first : first + _STEPS_IN_A_PASS]:
              found = programs.step(
                variables, batch, found, row, loss, target, radius
              )
            put(found)

  def fab(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.Fab,
    standing: Standing,
    climbed: ForwardFn | None,
  ) -> None:
    """Attacks whoever stands, target by target; the arguments as of `apgd`."""
    programs = self._apgd_programs(cell.norm, climbed)
    step = self._fab_program(cell.norm, climbed)
    radius = self._launcher.replicate(np.float32(cell.strength))
    for part in standing.parts(_FAB_KEPT, self._sizes[0]):
      part.known["x"] = np.zeros(
        (len(part.known["hits"]), *standing.shape), np.float32
      )
      for _ in self._targets(part, programs, variables, "t"):
        for first in range(0, cell.steps, _STEPS_IN_A_PASS):
          for batch, found, put in part.batches(*self._sizes):
            target = found.pop("target")
            for number in range(
              first, min(first + _STEPS_IN_A_PASS, cell.steps)
            ):
              found = step(
                variables,
                batch,
                found,
                self._first[number == 0],
                target,
                radius,
              )
            put(found)

  def _targets(
    self,
    part: Standing,
    programs: evaluation.ApgdSteps,
    variables: Mapping[str, Any],
    loss: evaluation.ApgdLoss,
  ) -> Iterator[int]:
    """Sets "target" of each example: none, or each of several classes.

    Yields:
      A number for each run, from which it draws where it starts.
    """
    count = len(part.known["hits"])
    untargeted = [name for name in evaluation.APGD_LOSSES if name != "t"]
    if loss != "t":
      part.known["target"] = np.zeros(count, np.int32)
      yield untargeted.index(loss)
      return
    for batch, _, put in part.batches(*self._sizes):
      put({"targets": programs.targets(variables, batch)})
    for rank, target in enumerate(part.known.pop("targets").T):
      if not part.known["hits"].any():
        return
      part.known["target"] = target.copy()
      yield len(untargeted) + rank
