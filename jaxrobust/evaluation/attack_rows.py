"""Gradient attacks as cells of the suite, and the programs that judge them.

An attack's cell is judged on the first examples of a split. An example counts
as right if its clean image is, and every image that the attack tries: all
iterates, of all restarts, climbing the cross-entropy and climbing the margin.
The attack goes through the method's own forward, as it is judged. Where that
has a smoother, whose derivative may mislead, it climbs several gradients in
turn.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrobust import attacks, data
from jaxrobust.attacks import ascent, ball, objectives
from jaxrobust.evaluation.perturbations import Perturbation, judge
from jaxrobust.methods.forwards import ForwardFn

_KINDS = (
  "fgsm",
  "pgd",
  "apgd-ce",
  "apgd-dlr",
  "apgd-t",
  "fab-t",
  "square",
  "standard",
  "transfer",
)
# What `judge` gives of each example, [N] each.
Judged = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack(Perturbation):
  """One attack at one radius.

  Attributes:
    name: "fgsm" or "pgd(steps=S, restarts=R)", the norm if it is "l2", and
      the gradient if it is one alone.
    strength: The radius of the ball, in units of the input.
    norm: "linf" or "l2".
    steps: The number of steps of a restart.
    restarts: How often it starts, at random points; 0 for once, at the example
      itself.
    gradient: Which of the forward's gradients are climbed, as
      `methods.GRADIENTS` names them: one, "worst" for all that it has, or
      "adaptive" for all that fit the noise inside a network.
  """

  norm: attacks.Norm = "linf"
  steps: int = 1
  restarts: int = 0
  gradient: str = "worst"

  @property
  def step_size(self) -> float:
    """The length of a step: the radius, or 2.5 radii over all steps."""
    return self.strength * (2.5 / self.steps if self.restarts else 1.0)


def attack_cells(
  eps: Sequence[float],
  *,
  steps: int = 40,
  restarts: int = 1,
  examples: int | None = 1000,
  norm: attacks.Norm = "linf",
  gradients: Sequence[str] = ("worst",),
) -> list[Attack]:
  """The cells of FGSM and PGD, for `run` beside those of the grid.

  Args:
    eps: The radii, in units of the input.
    steps: The number of steps of PGD, each 2.5 eps / steps long.
    restarts: How many random points PGD starts from.
    examples: How many of the split's first examples are judged; None for all.
    norm: "linf" or "l2".
    gradients: As `Attack.gradient`, each a cell of its own.

  Returns:
    Two cells per gradient and radius.

  Example:
    >>> [(cell.name, cell.strength) for cell in attack_cells([0.1])]
    [('fgsm', 0.1), ('pgd(steps=40, restarts=1)', 0.1)]
  """
  of_norm = [] if norm == "linf" else [f"norm={norm}"]
  of_pgd = [f"steps={steps}", f"restarts={restarts}"]
  cells = []
  for gradient in gradients:
    of_gradient = [] if gradient == "worst" else [f"gradient={gradient}"]
    for kind, words, own_steps, own_restarts in (
      ("fgsm", [*of_norm, *of_gradient], 1, 0),
      ("pgd", [*of_norm, *of_pgd, *of_gradient], steps, restarts),
    ):
      cells += [
        Attack(
          f"{kind}({', '.join(words)})" if words else kind,
          float(radius),
          alpha=2.0,
          scale=0.0,
          first=examples,
          norm=norm,
          steps=own_steps,
          restarts=own_restarts,
          gradient=gradient,
        )
        for radius in eps
      ]
  return cells


def is_attack(name: str) -> bool:
  """Whether a row's perturbation is an attack.

  Args:
    name: The row's "perturbation".

  Returns:
    True for FGSM, PGD, Auto-PGD, FAB, Square, the standard ensemble and what
    is transferred, in any of their settings.

  Example:
    >>> is_attack("pgd(steps=40, restarts=1)"), is_attack("gaussian")
    (True, False)
  """
  return name.partition("(")[0] in _KINDS


def worse(found: Judged, tried: Judged, active: jax.Array) -> Judged:
  """The worse for the network of two findings, example by example.

  A wrong answer before a right one, and among equals the less likely label.

  Args:
    found: What `judge` gave of the worst input so far.
    tried: What it gives of another.
    active: bool [N], the examples that the other may replace.

  Returns:
    What `judge` gave of the worse input.

  Example:
    >>> def judged(nll, hits):
    ...   return {"nll": jnp.asarray([nll]), "hits": jnp.asarray([hits])}
    >>> found = worse(judged(0.1, True), judged(0.2, True), jnp.asarray([True]))
    >>> round(float(found["nll"][0]), 2)
    0.2
  """
  broken = found["hits"] & ~tried["hits"]
  equal = found["hits"] == tried["hits"]
  chosen = active & (broken | (equal & (tried["nll"] > found["nll"])))
  return {name: jnp.where(chosen, tried[name], found[name]) for name in found}


def logits_of(
  model: nn.Module,
  forward: ForwardFn,
  variables: Mapping[str, Any],
  batch: Mapping[str, jax.Array],
) -> Callable[[jax.Array], jax.Array]:
  """A network as attacks see it: from the inputs of a batch to its logits.

  Args:
    model: The model.
    forward: How it is evaluated.
    variables: Its variables.
    batch: Where the mask is.

  Returns:
    A function of inputs [N, ...] that gives logits [N, K].

  Example:
    >>> from jaxrobust import methods, models
    >>> model = models.build("mlp", num_classes=3, hidden=(4,))
    >>> x = jnp.ones((2, 4, 4, 1))
    >>> variables = model.init(jax.random.key(0), x)
    >>> forward = methods.forwards.deterministic()
    >>> logits_of(model, forward, variables, {"mask": jnp.ones(2)})(x).shape
    (2, 3)
  """
  return lambda x: forward(model, variables, x, batch["mask"], False)[0].logits


@dataclasses.dataclass(frozen=True)
class AttackSteps:
  """The per-device functions of which an attack is made; see their bodies.

  Each is a program of its own, called step by step: XLA's CPU backend runs
  convolutions inside a loop on one thread, and a program of forty steps one
  after the other takes it longer to compile than to run. Radius, loss and
  lengths are traced, so that one attack after the other compiles nothing.
  """

  start: Callable[..., jax.Array]
  step: Callable[..., tuple[jax.Array, Judged]]
  look: Callable[..., Judged]


def make_attack_steps(
  model: nn.Module,
  forward: ForwardFn,
  is_image: bool,
  norm: attacks.Norm,
  climbed: ForwardFn | None = None,
) -> AttackSteps:
  """Builds the per-device functions of an attack.

  Args:
    model: The model.
    forward: How it is evaluated.
    is_image: Whether attacked inputs stay in [0, 1].
    norm: "linf" or "l2".
    climbed: The forward whose loss the attack climbs; by default `forward`.

  Returns:
    `start` (batch, key, tag, restart, eps) -> a point of each example's ball,
    drawn by (key, tag, index, restart) alone, the example itself if eps is 0;
    `step` (variables, batch, x, found, active, climbs_margin, eps, step_size)
    -> the next x, and the worse of what was found and of x;
    `look` (variables, batch, x, found, active) -> the latter alone.

  Example:
    >>> from jaxrobust import methods, models
    >>> model = models.build("mlp", num_classes=3, hidden=(4,))
    >>> forward = methods.forwards.deterministic()
    >>> steps = make_attack_steps(model, forward, True, "linf")
    >>> batch = {"inputs": jnp.full((2, 5, 1), 0.5), "index": jnp.arange(2)}
    >>> x = steps.start(batch, jax.random.key(0), 0, 0, 0.1)
    >>> bool(jnp.all(jnp.abs(x - batch["inputs"]) <= 0.1001))
    True
  """
  bounds: dict[str, Any] = {
    "low": 0.0 if is_image else None,
    "high": 1.0 if is_image else None,
  }

  def start(batch, key, tag, restart, eps):
    keys = data.example_keys(key, tag, batch["index"])
    keys = jax.vmap(jax.random.fold_in, (0, None))(keys, restart)
    images = data.as_float(batch["inputs"])
    return ball.random_start(keys, images, eps=eps, norm=norm, **bounds)

  def step(variables, batch, x, found, active, climbs_margin, eps, step_size):
    def loss_fn(logits, labels):
      return jnp.where(
        climbs_margin,
        objectives.margin(logits, labels),
        objectives.cross_entropy(logits, labels),
      )

    further, logits = ascent.ascend(
      logits_of(model, climbed or forward, variables, batch),
      x,
      data.as_float(batch["inputs"]),
      batch["labels"],
      loss_fn=loss_fn,
      eps=eps,
      step_size=step_size,
      norm=norm,
      **bounds,
    )
    if climbed is not None:
      # Its logits are not those that count.
      logits = logits_of(model, forward, variables, batch)(x)
    return further, worse(found, judge(logits, batch["labels"]), active)

  def look(variables, batch, x, found, active):
    logits = logits_of(model, forward, variables, batch)(x)
    return worse(found, judge(logits, batch["labels"]), active)

  return AttackSteps(start, step, look)
