"""The inverse scale space of total variation: from blank to the image.

Both dynamics minimise, over an image x and its split differences g,

  1/2 |y - x|^2 + 1/(2 nu) |D x - g|^2

and let edges into g one after the other, the strongest first, by a dual z that
an edge has to fill up to 1: g = kappa shrink(z, 1). They are written in
w = kappa z here, which needs no division by a step:

  joint    w <- w + t (D x - g) / nu,  x <- x - t (x - y + D^T (D x - g) / nu),
           t = c nu / (1 + nu + |D|^2)
  reduced  w <- w + c (D x - g),  x <- (I + D^T D / nu)^-1 (y + D^T g / nu)

with g = shrink(w, kappa). The reduced dynamics has x at its minimum always,
which is what the joint one tends to, in a tenth of the steps. Both are stable
for c < 2.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrobust.inverse_scale import checks
from jaxrobust.inverse_scale.differences import (
  EDGES,
  backward,
  edge_count,
  forward,
  group_norm,
  group_shrink,
  squared_norm,
  to_fields,
  to_images,
  to_inner_edges,
  to_public_edges,
)
from jaxrobust.inverse_scale.screened import solve
from jaxrobust.inverse_scale.support import kth_largest

DYNAMICS = ("reduced", "joint")


class Flow(NamedTuple):
  """A state of the inverse scale space.

  Attributes:
    images: float32 [N, H, W, C], or [N, T, C]: x, which starts smooth (or
      blank) and sharpens.
    dual: float32 [N, 2, H, W, C], or [N, 1, T, C]: w = kappa z, in units of
      the images. The sharp edges are those of the largest |w|.
    kappa: float32 [N], how much dual an edge fills up before it opens, in
      units of the images; small is fast, large follows the limit.
  """

  images: jax.Array
  dual: jax.Array
  kappa: jax.Array


def contrast(
  images: jax.Array, fraction: Any, *, nu: Any = 0.3, edges: str = "aniso"
) -> jax.Array:
  """The contrast of the weakest edge that a support of a size should have.

    q = the k-th largest of |D x_0|,  x_0 = (I + D^T D / nu)^-1 y,
    k = round(f E)

  With kappa = n q about that share of the edges has opened after n steps,
  whatever the contrast of the image.

  Args:
    images: [N, H, W, C], or series [N, T, C], of floats.
    fraction: f in [0, 1], a number or [N]; may be traced.
    nu: The splitting, > 0.
    edges: 'aniso', 'color' or 'iso'; see `edge_count`.

  Returns:
    float32 [N], in units of the images; infinite for a fraction of 0.

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> step = jnp.asarray([0.0, 0.0, 1.0, 1.0]).reshape((1, 4, 1))
    >>> contrast(step, 1 / 3, nu=1e4).round(2)
    Array([1.], dtype=float32)
  """
  _require(images, nu, edges)
  checks.require_fraction(fraction)
  fields = to_fields(images)
  count = count_of(fields, fraction, edges)
  return contrast_of_fields(solve(fields, nu), count, edges)


def start(
  images: jax.Array, kappa: Any, *, nu: Any = 0.3, blank: bool = False
) -> Flow:
  """The state before the first step: no edge is open.

  Args:
    images: [N, H, W, C], or series [N, T, C], of floats.
    kappa: A number or [N], in units of the images, for instance steps times
      `contrast`.
    nu: The splitting, > 0.
    blank: Whether x is 0 rather than the minimiser without edges; for the
      joint dynamics, since the reduced one forgets it.

  Returns:
    The state.

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> flow = start(jnp.asarray([[[0.0], [1.0]]]), 1.0, nu=2.0)
    >>> (4 * flow.images).ravel().round(2), float(jnp.abs(flow.dual).max())
    (Array([1., 3.], dtype=float32), 0.0)
  """
  _require(images, nu)
  fields = to_fields(images)
  smooth = jnp.zeros_like(fields) if blank else solve(fields, nu)
  kappa = jnp.broadcast_to(jnp.asarray(kappa, jnp.float32), (len(fields),))
  # Not zeros of a shape, so that it varies over what the images vary over.
  dual = to_public_edges(0 * forward(fields))
  return Flow(to_images(smooth), dual, kappa)


def advance(
  flow: Flow,
  images: jax.Array,
  steps: Any,
  *,
  nu: Any = 0.3,
  edges: str = "aniso",
  damping: Any = 1.0,
  dynamics: str = "reduced",
) -> Flow:
  """Takes steps of the reduced or of the joint dynamics.

  A state may be kept and advanced later: so many steps at once or in parts are
  the same.

  Args:
    flow: From `start` or an earlier call.
    images: The images y themselves, [N, H, W, C] or [N, T, C].
    steps: How many, >= 0; may be traced.
    nu: The splitting, > 0: small follows the exact inverse scale space, and
      takes more steps.
    edges: 'aniso', 'color' or 'iso'; see `edge_count`.
    damping: c, below 2.
    dynamics: 'reduced', or 'joint' for Split LBI.

  Returns:
    The state after the steps.

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> step = jnp.asarray([0.0, 0.0, 1.0, 1.0]).reshape((1, 4, 1))
    >>> flow = start(step, 2 * contrast(step, 1 / 3))
    >>> flow = advance(flow, step, 60)
    >>> (flow.images.ravel().round(2) + 0).tolist()
    [0.0, 0.0, 1.0, 1.0]

  References:
    Huang, Sun and Yao, "Boosting with structural sparsity: a differential
    inclusion approach", ACHA 2020: Split LBI. arXiv:2409.18419: with
    differences.
  """
  _require(images, nu, edges)
  checks.require_one_of(dynamics, "dynamics", DYNAMICS)
  checks.require_whole(steps, "steps", 0)
  checks.require_positive(damping, "damping")
  fields = to_fields(images)
  kappa = per_image(flow.kappa, fields.ndim + 1)
  step = reduced_step if dynamics == "reduced" else joint_step

  def body(_, carry):
    return step(
      carry[0], carry[1], fields, kappa, nu=nu, edges=edges, damping=damping
    )

  carry = (to_fields(flow.images), to_inner_edges(flow.dual))
  smooth, dual = jax.lax.fori_loop(0, steps, body, carry)
  return Flow(to_images(smooth), to_public_edges(dual), flow.kappa)


def hit_fraction(flow: Flow, *, edges: str = "aniso") -> jax.Array:
  """The share of the edges, or groups, that have opened.

    #{ e : |w_e| > kappa } / E

  Args:
    flow: The state.
    edges: 'aniso', 'color' or 'iso'; see `edge_count`.

  Returns:
    float32 [N], in [0, 1].

  Raises:
    ValueError: If there is no such grouping.

  Example:
    >>> step = jnp.asarray([0.0, 0.0, 1.0, 1.0]).reshape((1, 4, 1))
    >>> flow = start(step, 9 * contrast(step, 1 / 3, nu=100.0), nu=100.0)
    >>> flow = advance(flow, step, 10, nu=100.0)
    >>> hit_fraction(flow).round(4)
    Array([0.3333], dtype=float32)
  """
  checks.require_one_of(edges, "edges", EDGES)
  dual = to_inner_edges(flow.dual)
  opened = open_edges(dual, per_image(flow.kappa, dual.ndim), edges)
  total = edge_count(flow.images.shape[1:], edges)
  return count_edges(opened).astype(jnp.float32) / max(total, 1)


def count_of(fields: jax.Array, fraction: Any, edges: str) -> jax.Array:
  """How many edges of an image a fraction is, int32 [N]."""
  number, channels, *sides = fields.shape
  total = edge_count((*sides, channels), edges)
  fraction = jnp.asarray(fraction, jnp.float32)
  count = jnp.round(fraction * total).astype(jnp.int32)
  return jnp.broadcast_to(count, (number,))


def contrast_of_fields(
  smooth: jax.Array, count: jax.Array, edges: str
) -> jax.Array:
  """`contrast` where x_0 and k are at hand."""
  return kth_largest(group_norm(forward(smooth), edges), count)


def open_edges(dual: jax.Array, kappa: jax.Array, edges: str) -> jax.Array:
  """Which groups of edges have opened, bool."""
  return group_norm(dual, edges) > kappa


def count_edges(chosen: jax.Array) -> jax.Array:
  """How many edges of each image are chosen, int32 [N]."""
  return jnp.sum(chosen, axis=tuple(range(1, chosen.ndim)), dtype=jnp.int32)


def per_image(values: jax.Array, ndim: int) -> jax.Array:
  """One value per image as an array that broadcasts with `ndim` axes."""
  return values.reshape((-1,) + (1,) * (ndim - 1))


def image_of_dual(
  dual: jax.Array, fields: jax.Array, kappa: jax.Array, nu: Any, edges: str
) -> jax.Array:
  """The minimiser x for the edges that a dual has opened."""
  split = group_shrink(dual, kappa, edges)
  return solve(fields + backward(split) / nu, nu)


def reduced_step(
  smooth: jax.Array,
  dual: jax.Array,
  fields: jax.Array,
  kappa: jax.Array,
  *,
  nu: Any,
  edges: str,
  damping: Any = 1.0,
) -> tuple[jax.Array, jax.Array]:
  """One step of the reduced dynamics on fields; kappa broadcasts to edges."""
  split = group_shrink(dual, kappa, edges)
  dual = dual + damping * (forward(smooth) - split)
  return image_of_dual(dual, fields, kappa, nu, edges), dual


def joint_step(
  smooth: jax.Array,
  dual: jax.Array,
  fields: jax.Array,
  kappa: jax.Array,
  *,
  nu: Any,
  edges: str,
  damping: Any = 1.0,
) -> tuple[jax.Array, jax.Array]:
  """One step of the joint dynamics on fields; kappa broadcasts to edges."""
  rate = damping * nu / (1 + nu + squared_norm(fields.shape[2:]))
  split = group_shrink(dual, kappa, edges)
  residual = (forward(smooth) - split) / nu
  descent = smooth - fields + backward(residual)
  return smooth - rate * descent, dual + rate * residual


def _require(images: Any, nu: Any, edges: str = "aniso") -> None:
  checks.require_images(images)
  checks.require_positive(nu, "nu")
  checks.require_one_of(edges, "edges", EDGES)
