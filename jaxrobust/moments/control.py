"""Rules of calls, loops and branches: functions within the function."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrobust.moments import expressions, ops
from jaxrobust.moments.expressions import Random, carried
from jaxrobust.moments.lineage import Step, Units, View, overlap
from jaxrobust.moments.moments import State
from jaxrobust.moments.table import Equation, rule

_CALLED = ("jaxpr", "call_jaxpr", "call")


@rule(
  *"""call closed_call composite core_call custom_jvp_call custom_vjp_call
  custom_vmap_call eval_jaxpr jit pjit""".split()
)
def _call(eqn: Equation, *inputs: Any) -> list[Any]:
  return eqn.inline(_called(eqn), inputs)


@rule("checkpoint", "remat", "remat2")
def _checkpoint(eqn: Equation, *inputs: Any) -> list[Any]:
  body = _Body(eqn, _called(eqn))
  views = _views(inputs)
  run = jax.checkpoint(
    lambda values: body(values, views),
    prevent_cse=eqn.params["prevent_cse"],
    policy=eqn.params["policy"],
  )
  return _randoms(run([carried(x) for x in inputs]), body.views)


@rule("cond")
def _cond(eqn: Equation, index: Any, *inputs: Any) -> list[Any]:
  if isinstance(index, Random):
    raise eqn.error("the condition is random")
  bodies = [_Body(eqn, branch) for branch in eqn.params["branches"]]
  views, values = _views(inputs), [carried(x) for x in inputs]
  like = _any_state(values)
  for body in bodies:
    jax.eval_shape(lambda values, body=body: body(values, views), values)
  random = [any(of) for of in zip(*(b.random for b in bodies), strict=True)]
  outputs = lax.switch(
    jnp.asarray(index, jnp.int32),
    [
      lambda values, body=body: _lifted(body(values, views), random, like)
      for body in bodies
    ],
    values,
  )
  merged = [
    _made_of(of) for of in zip(*(body.views for body in bodies), strict=True)
  ]
  return _randoms(outputs, merged)


@rule("while")
def _while(eqn: Equation, *inputs: Any) -> list[Any]:
  split = eqn.params["cond_nconsts"]
  both = split + eqn.params["body_nconsts"]
  tests, consts, init = inputs[:split], inputs[split:both], inputs[both:]
  loop = _Loop(eqn, eqn.params["body_jaxpr"], consts, init, ())

  def test(carry):
    values = [carried(x) for x in tests] + list(carry)
    views = _views(tests) + loop.views
    (go_on,) = eqn.run(eqn.params["cond_jaxpr"], _randoms(values, views))
    if isinstance(go_on, Random):
      raise eqn.error("the condition is random")
    return go_on

  final = lax.while_loop(test, lambda carry: loop.step(carry, [])[0], loop.init)
  return loop.outputs(final, [])


@rule("scan")
def _scan(eqn: Equation, *inputs: Any) -> list[Any]:
  split, both = scan_counts(eqn.params)
  consts, init, xs = inputs[:split], inputs[split:both], inputs[both:]
  loop = _Loop(eqn, eqn.params["jaxpr"], consts, init, xs)
  final, ys = lax.scan(
    loop.step,
    loop.init,
    [_axis_first(carried(x)) for x in xs],
    length=eqn.params["length"],
    reverse=eqn.params["reverse"],
    unroll=eqn.params["unroll"],
  )
  return loop.outputs(final, [_axis_back(y) for y in ys])


def scan_counts(params: Any) -> tuple[int, int]:
  """The numbers of constants, and of constants and carries, of a scan.

  Args:
    params: Of its equation in a jaxpr; they differ between versions of JAX.

  Returns:
    How many operands come before the carries, and before what is scanned.
  """
  if "num_consts" in params:
    consts = params["num_consts"]
    return consts, consts + params["num_carry"]
  consts, carry, _ = (len(list(part)) for part in params["ft_in"].unpack())
  return consts, consts + carry


class _Body:
  """A jaxpr as a function of states and arrays.

  Attributes:
    views: of the outputs of the last call; None of those that are not random.
    random: which outputs of the last call are random.
  """

  def __init__(self, eqn: Equation, closed: Any):
    self._eqn, self._closed = eqn, closed
    self.views: list[View | None] = []

  def __call__(
    self, values: Sequence[Any], views: Sequence[View | None]
  ) -> list[Any]:
    outputs = self._eqn.run(self._closed, _randoms(values, views))
    self.views = _views(outputs)
    return [carried(x) for x in outputs]

  @property
  def random(self) -> list[bool]:
    return [view is not None for view in self.views]


class _Loop:
  """The body of a loop, whose carry is random where it becomes so.

  Attributes:
    init: the carry to begin with.
    views: of the carry within the body.
  """

  def __init__(self, eqn, closed, consts, init, xs):
    self._eqn = eqn
    self._body = _Body(eqn, closed)
    self._consts = [carried(x) for x in consts]
    self._const_views = _views(consts)
    self._init_views = _views(init)
    self.init = [carried(x) for x in init]
    self._like = _any_state([*self._consts, *self.init, *map(carried, xs)])
    slices = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype),
      [_axis_first(carried(x)) for x in xs],
    )
    self._outer_views = _views(xs)
    # Values that the slices of one step are made of, besides their units.
    self._marks = [
      view and View(view.units.mixed()) for view in self._outer_views
    ]
    self._seen: list[tuple[int, View]] = []
    self.views = [view and View(Units([view])) for view in self._init_views]
    before = None
    while (relations := self._look(slices)) != before:
      before = relations
    step = Step("move", object())
    self._x_views = [
      mark and view and View(Units([view.after(step), mark]))
      for view, mark in zip(self._outer_views, self._marks, strict=True)
    ]

  def _look(self, slices):
    """Runs the body once; returns which values of it are related."""
    # What one step takes from xs and what the next one takes are apart.
    self._x_views = [
      view and View(view.units.mixed()) for view in self._outer_views
    ]
    self._seen += [(k, v) for k, v in enumerate(self._x_views) if v]
    jax.eval_shape(self.step, self.init, slices)
    after = self._body.views[: len(self.init)]
    self._random = [
      a is not None or b is not None
      for a, b in zip(self.views, after, strict=True)
    ]
    self.init = _lifted(self.init, self._random, self._like)
    pairs = [
      bool(a and b and overlap(a, b))
      for a in after
      for b in [*after, *self._const_views, *self.views]
    ]
    self.views = [
      _made_of([start, end, *self._met_again(end)]) if r else None
      for start, end, r in zip(
        self._init_views, after, self._random, strict=True
      )
    ]
    return self._random, pairs

  def _taken(self, view):
    """Which of xs a value has elements of, those of earlier steps included."""
    return {k for k, x in self._seen if view and overlap(view, x)}

  def _met_again(self, view):
    """What later steps take of the units that a carry has from xs."""
    again = []
    for k in self._taken(view):
      units: Any = self._outer_views[k]
      units = units.blurred(object())
      others = [(j, x) for j, x in enumerate(self._outer_views) if j != k]
      again += [
        self._marks[j]
        for j, other in others
        if other and overlap(other.blurred(object()), units)
      ]
      again += [
        const
        for const in self._const_views
        if const and overlap(const.blurred(object()), units)
      ]
    return again

  def step(self, carry, xs):
    """One step, of and to states and arrays."""
    outputs = self._body(
      [*self._consts, *carry, *xs],
      [*self._const_views, *self.views, *self._x_views],
    )
    count = len(carry)
    random = [isinstance(x, State) for x in carry]
    return _lifted(outputs[:count], random, self._like), outputs[count:]

  def outputs(self, final, ys):
    """What the loop returns, and what it is made of."""
    starts = self._init_views + [None] * len(ys)
    views = [
      _made_of([start, end, *(self._outer_views[k] for k in self._taken(end))])
      for start, end in zip(starts, self._body.views, strict=True)
    ]
    return _randoms([*final, *ys], views)


def _made_of(views) -> View:
  """A value that may use anything of these, where there are any."""
  return View(Units(view.blurred(object()) for view in views if view))


def _lifted(values, random, like):
  """The values, those to be random without noise where they have none."""
  # A covariance has no constants to begin with: it refuses this.
  like.map(lambda leaf: leaf)
  return [
    ops.constant(jnp.asarray(x), like) if r and not isinstance(x, State) else x
    for x, r in zip(values, random, strict=True)
  ]


def _called(eqn):
  return next(eqn.params[name] for name in _CALLED if name in eqn.params)


def _views(values) -> list[View | None]:
  return [x.view if isinstance(x, Random) else None for x in values]


def _randoms(values, views) -> list[Any]:
  """Values to interpret, of states and arrays and of what they are made."""
  return [
    expressions.leaf(x, view) if isinstance(x, State) else x
    for x, view in zip(values, views, strict=True)
  ]


def _any_state(values) -> State:
  return next(x for x in values if isinstance(x, State))


def _axis_first(x: Any) -> Any:
  """A state with the first axis of its values first in every leaf."""
  return _moved(x, lambda leaf, extra: jnp.moveaxis(leaf, extra, 0))


def _axis_back(x: Any) -> Any:
  """Undoes `_axis_first`."""
  return _moved(x, lambda leaf, extra: jnp.moveaxis(leaf, 0, extra))


def _moved(x: Any, move: Callable[[jax.Array, int], jax.Array]) -> Any:
  if not isinstance(x, State):
    return x
  # A covariance refuses it.
  loc, *others = jax.tree.leaves(x.map(lambda leaf: leaf))
  return x.like(loc, *(move(leaf, leaf.ndim - loc.ndim) for leaf in others))
