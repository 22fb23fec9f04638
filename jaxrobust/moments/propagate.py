"""The second door: random values through any JAX function.

`propagate` reads what a function does, operation by operation, and carries
states through it by the rules of their classes. It needs no model of ours, and
refuses what has no rule or no right one.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxrobust.moments import control as control
from jaxrobust.moments import elementwise as elementwise
from jaxrobust.moments import expressions, table
from jaxrobust.moments import primitives as primitives
from jaxrobust.moments import windows as windows
from jaxrobust.moments.expressions import Random, carried
from jaxrobust.moments.lineage import Units, View
from jaxrobust.moments.moments import State
from jaxrobust.moments.tangents import Tangents

# What operations gave, with their inputs, by what they do to which inputs.
Results = dict[Any, tuple[Any, list[Any]]]


def propagate(function: Callable[..., Any]) -> Callable[..., Any]:
  """Makes a function of arrays one of states, as `Moments`.

  The function is traced once, with the states' values in their places, and its
  operations are carried out by the states' rules. Elementwise operations on
  the same units are taken as one function, whatever they are written with, so
  that x sigmoid(x) is an activation and not a product. It can be transformed
  by jit, vmap, grad, pmap and shard_map, and may hold jit, custom derivatives,
  remat, scan, while, cond.

  Units that an affine map has mixed count as independent of one another, and
  so do copies of one unit; an expression that is repeated is the same units. A
  sum of values that depend on one another, as at the end of a residual block,
  takes them for independent. What is known to give wrong numbers is refused:
  products, quotients and maxima of values with units in common, values with
  their own mean or sum taken off (batch statistics in training, a written-out
  LayerNorm), products of two values that come from the same input (attention).
  `Tangents` know all correlations, and for them nothing is refused as
  correlated. Refused is also, in the mode "moment" of `Rules`, whose
  activations see all values of a Gaussian, a function of a random value that
  may leave its domain: log x, sqrt x, 1 / x, but not log(1 + exp x).

  Args:
    function: of pytrees of arrays, traceable by JAX.

  Returns:
    A function of the same pytrees in which any leaf may be a state; its outputs
    are states where they are random and arrays elsewhere.

  Raises:
    PropagationError: when called, if there is no rule, or no right one, or in
      the mode "moment" a log, log1p, sqrt, rsqrt, power, quotient or the like
      of a random value that is not known to stay where it is defined; names
      the primitive, the line of the function, and `register_rule`.

  Example:
    >>> from jaxrobust import moments
    >>> def network(x, kernel):
    ...   return jax.nn.silu(x @ kernel)
    >>> x = moments.Moments(jnp.ones((1, 2)), jnp.ones((1, 2)))
    >>> out = propagate(network)(x, jnp.ones((2, 3)))
    >>> out.mean.shape, out.var.shape
    ((1, 3), (1, 3))
    >>> propagate(lambda x: x @ x.T)(x)
    Traceback (most recent call last):
    ...
    jaxrobust.moments.table.PropagationError: dot_general: ...
  """

  @functools.wraps(function)
  def propagated(*args: Any, **kwargs: Any) -> Any:
    leaves, structure = jax.tree.flatten(
      (args, kwargs), is_leaf=lambda x: isinstance(x, State)
    )
    states = [x for x in leaves if isinstance(x, State)]

    def of_locs(*locs):
      values = iter(locs)
      whole = [next(values) if isinstance(x, State) else x for x in leaves]
      args, kwargs = jax.tree.unflatten(structure, whole)
      return function(*args, **kwargs)

    closed, shapes = jax.make_jaxpr(of_locs, return_shape=True)(
      *(x.loc for x in states)
    )
    inputs = [
      # Directions of noise know all correlations.
      expressions.leaf(
        x, View(Units() if isinstance(x, Tangents) else Units.of_input())
      )
      for x in states
    ]
    outputs = [
      x.state if isinstance(x, Random) else jnp.asarray(x)
      for x in _interpret(closed, inputs)
    ]
    return jax.tree.unflatten(jax.tree.structure(shapes), outputs)

  return propagated


def _interpret(
  closed: Any,
  inputs: Sequence[Any],
  outer: table.Equation | None = None,
  results: Results | None = None,
) -> list[Any]:
  """The outputs of a jaxpr for arrays and random values."""
  if results is None:
    results = {}
  jaxpr = getattr(closed, "jaxpr", closed)
  consts = getattr(closed, "consts", ())
  known: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
  known.update(zip(jaxpr.invars, inputs, strict=True))

  def read(x):
    return x.val if isinstance(x, core.Literal) else known[x]

  for eqn in jaxpr.eqns:
    values = [read(x) for x in eqn.invars]
    outputs = _once(table.Equation(eqn, _interpret, outer, results), values)
    if not eqn.primitive.multiple_results:
      outputs = [outputs]
    known.update(zip(eqn.outvars, outputs, strict=True))
  return [read(x) for x in jaxpr.outvars]


def _once(eqn: table.Equation, values: list[Any]) -> Any:
  """The results of one operation, the same ones if it is written twice.

  So an expression that is repeated, as f(x) in f(x) * f(x), is made of the same
  units, although a layer in it makes new ones.
  """
  key = eqn.identity(values)
  if key is None:
    return _apply(eqn, values)
  if key not in eqn.results:
    # Held with the results, the values keep their ids.
    eqn.results[key] = _apply(eqn, values), values
  return eqn.results[key][0]


def _apply(eqn: table.Equation, values: list[Any]) -> Any:
  """The results of one operation."""
  if not any(isinstance(x, Random) for x in values):
    return _folded(eqn, values)
  if eqn.name in table.REGISTERED:
    return _registered(eqn, values)
  if eqn.name not in table.RULES:
    raise eqn.error("there is no rule for random values")
  return table.RULES[eqn.name](eqn, *values)


def _folded(eqn: table.Equation, values: list[Any]) -> Any:
  """An operation without noise; numbers stay known under jit."""
  if eqn.name in ("convert_element_type", "broadcast_in_dim"):
    value = elementwise.number(values[0])
    sharded = eqn.params.get("sharding") is not None
    if value is not None and len(values) == 1 and not sharded:
      return np.broadcast_to(np.asarray(value, eqn.dtype), eqn.shape)
  return eqn.bind(*values)


def _registered(eqn: table.Equation, values: list[Any]) -> Any:
  """What a rule of the user's own gives."""
  outputs = table.REGISTERED[eqn.name](
    *(carried(x) for x in values), **eqn.params
  )
  parents = [x.view.blurred(object()) for x in values if isinstance(x, Random)]

  def wrapped(x):
    if not isinstance(x, State):
      return x
    return expressions.leaf(x, View(Units(parents)))

  if not eqn.several:
    return wrapped(outputs)
  whole = isinstance(outputs, tuple | list)
  return [wrapped(x) for x in (outputs if whole else [outputs])]
