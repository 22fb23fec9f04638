"""Carrying out an attack of the evaluation: passes over whoever still stands.

A pass is one restart of one loss along one gradient, or some queries of a
black-box attack.
"""

import functools
import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import attacks, data, evaluation
from jaxrobust.attacks import selfchecks
from jaxrobust.data import pipeline
from jaxrobust.methods.forwards import ForwardFn
from jaxrobust.training import parallel
from jaxrobust.training.climbing import Climber
from jaxrobust.training.runs import network_of_run
from jaxrobust.training.standing import Standing, nothing_found

# Larger batches are slower on a CPU, where the activations leave the cache.
_BATCH = 250
# An example ends its attack after a multiple of so many steps, if it fell.
_CHECK_EVERY = 10
# Attacks of many passes, from which more and more examples fall out, work in
# batches of these sizes, made up anew after each: padding is for nothing.
_BATCHES = {"cpu": (64, 16)}
_QUERIES_IN_A_PASS = 100
# What is kept of an example between passes: the image it is at.
_SQUARE_KEPT = 1


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
    wanted = _BATCHES.get(
      launcher.devices[0].platform, (batch_size, batch_size // 8)
    )
    self._sizes = [
      -(-min(batch_size, max(size, 1)) // count) * count for size in wanted
    ]
    self._tag = launcher.replicate(np.int32(data.Tag.TEST_ATTACK))
    self._forward = forward
    self._gradients = getattr(forward, "gradients", ("derivative",))
    self._climber = Climber(model, forward, is_image, launcher, self._sizes)
    whole, split = False, True

    @functools.cache
    def seen_by(gradient: str) -> ForwardFn | None:
      smoother: Any = forward
      own = gradient == self._gradients[0]
      return None if own else smoother.seen_by(gradient)

    @functools.cache
    def programs(
      norm: attacks.Norm, climbed: ForwardFn | None
    ) -> evaluation.AttackSteps:
      return mapped(
        evaluation.make_attack_steps(model, forward, is_image, norm, climbed)
      )

    def mapped(steps: evaluation.AttackSteps) -> evaluation.AttackSteps:
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

    @functools.cache
    def square_programs(norm: attacks.Norm) -> evaluation.SquareSteps:
      steps = evaluation.make_square_steps(model, forward, norm)
      return evaluation.SquareSteps(
        start=launcher.map(
          steps.start,
          sharded_in=(whole, split, split, whole, whole, whole),
          sharded_out=True,
        ),
        step=launcher.map(
          steps.step,
          sharded_in=(whole, split, split, whole, whole, whole, whole),
          sharded_out=True,
        ),
      )

    @functools.cache
    def surrogate(folder: str, norm: attacks.Norm) -> tuple[Any, Any]:
      """One step of PGD on another run's network, and its variables."""
      other = network_of_run(pathlib.Path(folder).expanduser())
      steps = evaluation.make_attack_steps(
        other.model, other.forward, is_image, norm
      )
      return mapped(steps).step, launcher.replicate(other.variables)

    self._surrogate = surrogate

    def ask(variables, batch):
      logits_fn = evaluation.logits_of(model, forward, variables, batch)
      images = data.as_float(batch["inputs"])
      still = selfchecks.without_gradient(logits_fn, images, batch["labels"])
      return logits_fn(images), still

    @functools.cache
    def asked() -> Callable[..., Any]:
      return launcher.map(
        ask, sharded_in=(whole, split), sharded_out=(True, True)
      )

    self._asked = asked
    self._seen_by, self._programs = seen_by, programs
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
      What `evaluation.judge` gives; under an ensemble also who stood after each
      of its members.
    """
    known = nothing_found(cell.count(len(dataset)))
    standing = Standing(dataset, self._launcher, known)
    self._look(variables, cell, standing, key)
    if not isinstance(cell, evaluation.Ensemble):
      self._attack(variables, cell, standing, key)
      return known
    after = {}
    for member in cell.members:
      self._attack(variables, member, standing, key)
      after[evaluation.after(member)] = known["hits"].copy()
    return known | after

  def check(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.SelfCheck,
    dataset: data.Dataset,
    key: jax.Array,
  ) -> dict[str, float]:
    """The flags of `attacks.selfchecks` that need the network.

    Args:
      variables: On every device.
      cell: The checks, on the split's first `cell.first` examples.
      dataset: The split.
      key: The run's key, on every device.

    Returns:
      1 or 0 by flag, and the numbers that some were judged by.
    """
    count = cell.count(len(dataset))
    program = self._asked()
    first, second, silent, labels = [], [], [], []
    for batch, rows in pipeline.first_batches(dataset, count, self._batch_size):
      placed = self._launcher.place_shards(batch)
      for answers in (first, second):
        logits, still = program(variables, placed)
        answers.append(self._launcher.gather(logits)[:rows])
      silent.append(self._launcher.gather(still)[:rows])
      labels.append(batch["labels"][:rows])
    logits, again, still = map(jnp.concatenate, (first, second, silent))
    truth = np.concatenate(labels)
    found = {
      "random": float(selfchecks.is_random(logits, again, jnp.asarray(truth))),
      "probabilities": float(selfchecks.are_probabilities(logits)),
      "share_without_gradient": float(still.mean()),
      "zero_gradients": float(still.any()),
    }
    if cell.is_image:
      [large] = evaluation.apgd_cells([0.5], losses=("ce",), steps=20)
      known = nothing_found(count)
      standing = Standing(dataset, self._launcher, known)
      self._look(variables, large, standing, key)
      self._attack(variables, large, standing, key)
      accuracy = float(known["hits"].mean())
      found["accuracy_in_large_ball"] = accuracy
      found["large_ball_stands"] = float(
        selfchecks.large_ball_stands(accuracy, truth)
      )
    return found

  def _attack(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.Attack,
    standing: Standing,
    key: jax.Array,
  ) -> None:
    """Attacks whoever stands, along each gradient that the cell names."""
    climbed = self._climbed(cell.gradient)
    if isinstance(cell, evaluation.SquareAttack):
      self._query(variables, cell, standing, key)
    elif isinstance(cell, evaluation.Transfer):
      self._transfer(variables, cell, standing, key)
    elif isinstance(cell, evaluation.Apgd):
      for forward in climbed:
        self._climber.apgd(variables, cell, standing, key, forward)
    elif isinstance(cell, evaluation.Fab):
      for forward in climbed:
        self._climber.fab(variables, cell, standing, forward)
    else:
      self._climb(variables, cell, standing, key, climbed)

  def _climbed(self, gradient: str) -> list[ForwardFn | None]:
    """The forwards whose loss is climbed; None for the judged one."""
    chosen = {
      "worst": self._gradients,
      "adaptive": getattr(self._forward, "adaptive", self._gradients),
    }.get(gradient, (gradient,))
    return [self._seen_by(name) for name in chosen]

  def _look(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.Attack,
    standing: Standing,
    key: jax.Array,
  ) -> None:
    """Judges the examples as they are."""
    programs, whole = self._programs(cell.norm, None), self._launcher.replicate
    nowhere, first = whole(np.float32(0)), whole(np.int32(0))
    for batch, found, put in standing.batches(self._batch_size):
      x = programs.start(batch, key, self._tag, first, nowhere)
      put(programs.look(variables, batch, x, found, found["hits"]))

  def _climb(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.Attack,
    standing: Standing,
    key: jax.Array,
    climbed: Sequence[ForwardFn | None],
  ) -> None:
    """FGSM and PGD, restart by restart, on the cross-entropy and the margin."""
    whole = self._launcher.replicate
    radius, nowhere = whole(np.float32(cell.strength)), whole(np.float32(0))
    length = whole(np.float32(cell.step_size))
    each = [self._programs(cell.norm, forward) for forward in climbed]
    for restart in range(max(cell.restarts, 1)):
      number = whole(np.int32(restart))
      for programs, climbs_margin in itertools.product(each, (False, True)):
        loss = whole(np.asarray(climbs_margin))
        for batch, worst, put in standing.batches(self._batch_size):
          x = programs.start(
            batch, key, self._tag, number, radius if cell.restarts else nowhere
          )
          active = worst["hits"]
          for step in range(cell.steps):
            if step and step % _CHECK_EVERY == 0:
              active = worst["hits"]
              if not standing.any_stands(worst):
                break
            x, worst = programs.step(
              variables, batch, x, worst, active, loss, radius, length
            )
          put(programs.look(variables, batch, x, worst, active))

  def _transfer(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.Transfer,
    standing: Standing,
    key: jax.Array,
  ) -> None:
    """PGD on another network; where it ends, this one is judged."""
    whole, own = self._launcher.replicate, self._programs(cell.norm, None)
    step, others = self._surrogate(cell.surrogate, cell.norm)
    radius = whole(np.float32(cell.strength))
    length = whole(np.float32(cell.step_size))
    for restart in range(cell.restarts):
      number = whole(np.int32(restart))
      for climbs_margin in (False, True):
        loss = whole(np.asarray(climbs_margin))
        for batch, found, put in standing.batches(self._batch_size):
          x = own.start(batch, key, self._tag, number, radius)
          everyone = found["hits"]
          for _ in range(cell.steps):
            x, _ = step(others, batch, x, found, everyone, loss, radius, length)
          put(own.look(variables, batch, x, found, everyone))

  def _query(
    self,
    variables: Mapping[str, Any],
    cell: evaluation.SquareAttack,
    standing: Standing,
    key: jax.Array,
  ) -> None:
    """The Square attack, whose images and margins are kept meanwhile."""
    programs = self._square_programs(cell.norm)
    whole = self._launcher.replicate
    radius, sides = whole(np.float32(cell.strength)), cell.sides(standing.shape)
    judged = tuple(standing.known)
    for part in standing.parts(_SQUARE_KEPT, self._sizes[0]):
      for batch, found, put in part.batches(*self._sizes):
        found = {name: found[name] for name in judged}
        put(programs.start(variables, batch, found, key, self._tag, radius))
      for first in range(1, cell.queries, _QUERIES_IN_A_PASS):
        numbers = range(first, min(first + _QUERIES_IN_A_PASS, cell.queries))
        placed = [whole(np.asarray([n, sides[n]], np.int32)) for n in numbers]
        for batch, worst, put in part.batches(*self._sizes):
          for number, query in zip(numbers, placed, strict=True):
            if number % _CHECK_EVERY == 0 and not part.any_stands(worst):
              break
            worst = programs.step(
              variables, batch, worst, key, self._tag, query, radius
            )
          put(worst)
