"""Small computations in float64 inside float32 programs.

The stable density needs float64 on the way: its integrand has exponents that
grow like 1/(alpha - 1). JAX computes in float32 unless a global switch is
set, which a library must not touch. A context of JAX turns float64 on while
one function is traced; what surrounds the function, its transposition
included, sees float32 only. Derivatives of every order are traced in the
same context. Batching may happen outside of it: matrix products, whose rule
asks for a dtype again, must not be used inside.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def in_double(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
  """Makes a float32 function of one that is to be computed in float64.

  Args:
    function: a function of float arrays that broadcast together, to one array.
      Only its forward derivatives are taken. Where the arguments have an
      element axis, the function must be elementwise in it, for a derivative
      is taken along all ones.

  Returns:
    The function, taking and giving float32. It may be transformed by jit,
    vmap, jvp and grad in any order and to any depth.

  Example:
    >>> double = in_double(lambda x: (1.0 + x) - 1.0)
    >>> f"{float(double(jnp.float32(1e-12))):.1e}"
    '1.0e-12'
  """

  @jax.custom_jvp
  def single(*arguments):
    with jax.enable_x64(True):
      wide = [lax.convert_element_type(a, jnp.float64) for a in arguments]
      return lax.convert_element_type(function(*wide), jnp.float32)

  @functools.partial(single.defjvp, symbolic_zeros=True)
  def rule(primals, tangents):
    moving = tuple(
      position
      for position, tangent in enumerate(tangents)
      if not isinstance(tangent, jax.custom_derivatives.SymbolicZero)
    )
    both = in_double(functools.partial(_value_and_slopes, function, moving))
    value, *slopes = both(*primals)
    terms = (
      slope * tangents[position]
      for position, slope in zip(moving, slopes, strict=True)
    )
    return value, sum(terms, jnp.zeros_like(value))

  return single


def _value_and_slopes(
  function: Any, moving: tuple[int, ...], *arguments: jax.Array
) -> jax.Array:
  """A function's value, then its derivatives along some arguments, stacked."""

  def along(direction):
    tangents = tuple(
      jnp.full_like(argument, direction[moving.index(position)])
      if position in moving
      else jnp.zeros_like(argument)
      for position, argument in enumerate(arguments)
    )
    return jax.jvp(function, arguments, tangents)

  # What does not depend on the direction is computed once.
  basis = jnp.eye(len(moving), dtype=arguments[0].dtype)
  value, slopes = jax.vmap(along, out_axes=(None, 0))(basis)
  return jnp.concatenate([value[None], slopes])
