"""Carrying out an attack of the evaluation: passes over whoever still stands.

A pass is one restart of one loss along one gradient, or some queries of a
black-box attack. What it finds of an example depends on the example alone, so
those that have fallen can be left out of the next pass, and the others can
share batches as it suits.
"""

import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxrobust import attacks, data, evaluation
from jaxrobust.data import pipeline
from jaxrobust.methods.forwards import ForwardFn
from jaxrobust.training import parallel

# Larger batches are slower on a CPU, where the activations leave the cache.
_BATCH = 250
# An example ends its attack after a multiple of so many steps, if it fell.
_CHECK_EVERY = 10
# A black-box attack takes thousands of queries, from which more and more
# examples fall out: small batches, made up anew after so many queries.
_QUERY_BATCH, _QUERIES_IN_A_PASS = 50, 100


class AttackJudge:
  """Judges parameters under attacks, compiled once per norm and gradient.

  Args:
    model: The model.
    forward: How it is evaluated, and attacked.
    is_image: Whether attacked inputs stay in [0, 1].
    launcher: The devices.
    batch_size: The most examples at a time, over all devices.
  """

  def __init__(
    self,
    model: nn.Module,
    forward: ForwardFn,
    is_image: bool,
    launcher: parallel.Launcher,
    batch_size: int,
  ):
    count = len(launcher.devices)
    self._launcher = launcher
    self._batch_size = -(-min(batch_size, _BATCH) // count) * count
    self._query_batch = -(-min(batch_size, _QUERY_BATCH) // count) * count
    self._tag = launcher.replicate(np.int32(data.Tag.TEST_ATTACK))

    self._gradients = getattr(forward, "gradients", ("derivative",))

    @functools.cache
    def programs(norm: attacks.Norm, gradient: str) -> evaluation.AttackSteps:
      climbed = None
      if gradient != self._gradients[0]:
        smoother: Any = forward
        climbed = smoother.seen_by(gradient)
      steps = evaluation.make_attack_steps(
        model, forward, is_image, norm, climbed
      )
      whole, split = False, True
      return evaluation.AttackSteps(
        start=launcher.map(
          steps.start,
          sharded_in=(split, whole, whole, whole, whole),
          sharded_out=True,
        ),
        step=launcher.map(
          steps.step,
          sharded_in=(whole, *[split] * 4, whole, whole, whole),
          sharded_out=(True, True),
        ),
        look=launcher.map(
          steps.look, sharded_in=(whole, *[split] * 4), sharded_out=True
        ),
      )

    self._programs = programs

    @functools.cache
    def square_programs() -> evaluation.SquareSteps:
      steps = evaluation.make_square_steps(model, forward)
      whole, split = False, True
      return evaluation.SquareSteps(
        start=launcher.map(
          steps.start,
          sharded_in=(whole, split, whole, whole, whole),
          sharded_out=True,
        ),
        step=launcher.map(
          steps.step,
          sharded_in=(whole, split, split, whole, whole, whole, whole),
          sharded_out=True,
        ),
      )

    self._square_programs = square_programs

  def __call__(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.Attack,
    dataset: data.Dataset,
    key: jax.Array,
  ) -> dict[str, np.ndarray]:
    """The numbers of the worst input found of each example, [N] each.

    An example that has fallen is attacked no further, so its likelihood is
    that of the worst input until then.

    Args:
      variables: On every device.
      cell: The attack.
      dataset: The split, of which the first `cell.first` are judged.
      key: The run's key, on every device.

    Returns:
      What `evaluation.judge` gives.
    """
    if isinstance(cell, evaluation.SquareAttack):
      return self._query(variables, cell, dataset, key)
    found = _nothing_found(cell.count(len(dataset)))
    whole = self._launcher.replicate
    gradients = self._gradients
    if cell.gradient != "worst":
      gradients = (cell.gradient,)
    each = [self._programs(cell.norm, gradient) for gradient in gradients]
    nowhere, radius = whole(np.float32(0)), whole(np.float32(cell.strength))
    length = whole(np.float32(cell.step_size))
    size = self._batch_size
    for batch, before, put in self._standing(dataset, found, size):
      x = each[0].start(batch, key, self._tag, whole(np.int32(0)), nowhere)
      put(each[0].look(variables, batch, x, before, before["hits"]))
    for restart in range(max(cell.restarts, 1)):
      number = whole(np.int32(restart))
      for programs, climbs_margin in itertools.product(each, (False, True)):
        loss = whole(np.asarray(climbs_margin))
        for batch, worst, put in self._standing(dataset, found, size):
          x = programs.start(
            batch, key, self._tag, number, radius if cell.restarts else nowhere
          )
          active = worst["hits"]
          for step in range(cell.steps):
            if step and step % _CHECK_EVERY == 0:
              active = worst["hits"]
              if not self._launcher.gather(active).any():
                break
            x, worst = programs.step(
              variables, batch, x, worst, active, loss, radius, length
            )
          put(programs.look(variables, batch, x, worst, active))
    return found

  def _query(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.SquareAttack,
    dataset: data.Dataset,
    key: jax.Array,
  ) -> dict[str, np.ndarray]:
    """As a call, of the Square attack."""
    count = cell.count(len(dataset))
    found = _nothing_found(count)
    found["x"] = np.zeros((count, *dataset.shape), np.float32)
    found["margin"] = np.zeros(count, np.float32)
    programs, whole = self._square_programs(), self._launcher.replicate
    radius, size = whole(np.float32(cell.strength)), self._query_batch
    for batch, _, put in self._standing(dataset, found, size):
      put(programs.start(variables, batch, key, self._tag, radius))
    sides = cell.sides(dataset.shape)
    for first in range(1, cell.queries, _QUERIES_IN_A_PASS):
      numbers = range(first, min(first + _QUERIES_IN_A_PASS, cell.queries))
      for batch, worst, put in self._standing(dataset, found, size):
        for number in numbers:
          if number % _CHECK_EVERY == 0:
            if not self._launcher.gather(worst["hits"]).any():
              break
          query = whole(np.asarray([number, sides[number]], np.int32))
          worst = programs.step(
            variables, batch, worst, key, self._tag, query, radius
          )
        put(worst)
    return {name: found[name] for name in _nothing_found(0)}

  def _standing(
    self, dataset: data.Dataset, found: dict[str, np.ndarray], size: int
  ) -> Iterator[tuple[Any, Any, Any]]:
    """Batches of the examples that stand, with what was found of each.

    With a batch, of so many rows, comes what takes the new findings back.
    """
    standing = np.flatnonzero(found["hits"])
    for first in range(0, len(standing), size):
      chosen = standing[first : first + size]
      batch = pipeline.padded(dataset, chosen, size)
      before = {}
      for name, values in found.items():
        before[name] = np.zeros((size, *values.shape[1:]), values.dtype)
        before[name][: len(chosen)] = values[chosen]

      def put(judged, chosen=chosen):
        for name, values in self._launcher.gather(judged).items():
          found[name][chosen] = values[: len(chosen)]

      place = self._launcher.place_shards
      yield place(batch), place(before), put


def _nothing_found(count: int) -> dict[str, np.ndarray]:
  """What `evaluation.judge` might give before anything is judged."""
  return {
    "nll": np.full(count, -np.inf, np.float32),
    "confidence": np.zeros(count, np.float32),
    "hits": np.ones(count, bool),
  }
