"""The smoother: an image with its strongest edges and nothing else.

The inverse scale space is followed from the blank image until a share of the
edges has opened; what they leave joined is made constant. `smooth` gives one
level of it, `path` many from one run.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrobust.inverse_scale import checks
from jaxrobust.inverse_scale.components import (
  average,
  labels_of_fields,
  means_of_fields,
)
from jaxrobust.inverse_scale.differences import (
  EDGES,
  edge_count,
  forward,
  group_norm,
  to_fields,
  to_images,
  to_public_edges,
)
from jaxrobust.inverse_scale.dynamics import (
  contrast_of_fields,
  count_edges,
  count_of,
  image_of_dual,
  open_edges,
  per_image,
  reduced_step,
)
from jaxrobust.inverse_scale.screened import solve
from jaxrobust.inverse_scale.support import largest_edges

OUTPUTS = ("Px", "Py", "x")
# The pixels of planes with which a batch leaves a core's cache.
_LARGE = 2**14
GRADIENTS = ("frozen", "straight_through")


class Smoothed(NamedTuple):
  """Smoothed images and what became of their edges.

  Attributes:
    images: float32 [N, H, W, C], or [N, T, C].
    support: bool [N, 2, H, W, C], or [N, 1, T, C], groups with an axis of
      length 1: the edges that are sharp, for `component_labels`.
    reached_fraction: float32 [N], the share of edges in the support: less than
      was asked for where an image has too few, more where edges tie.
    hit_fraction: float32 [N], the share that had opened when the flow ended.
  """

  images: jax.Array
  support: jax.Array
  reached_fraction: jax.Array
  hit_fraction: jax.Array


def smooth(
  images: jax.Array,
  fraction: Any,
  *,
  nu: Any = 0.3,
  steps: int = 30,
  edges: str = "aniso",
  output: str = "Px",
  gradient: str = "frozen",
  early_stop: bool = False,
) -> Smoothed:
  """Smooths images to a share of their edges.

  The reduced dynamics of `advance` runs with kappa = steps q, where q is the
  `contrast` of the image at the fraction, for so many steps; the k = round(f E)
  edges with the largest duals are the support, and over the pieces that the
  others join an image is averaged:

    Px  of the flow's image, a regularisation path's projection
    Py  of the image itself, the least-squares refit on the support
    x   not at all: the flow's image, which is not piecewise constant

  An offset is nothing to it and a contrast only a factor. The derivative is
  that of the averaging, which is exact for Py while the support stays, or that
  of no smoothing at all; attack through both, since the support jumps.

  Args:
    images: [N, H, W, C] in [0, 1], or series [N, T, C], of floats. The cosine
      transforms are matrices: 4 bytes times the square of each side.
    fraction: The share f of edges to keep, in [0, 1], a number or [N]; may be
      traced. The papers' 0.6 and 0.3 read as this; see `fraction_from_level`.
    nu: The splitting, > 0. Small follows the exact inverse scale space.
    steps: Of the flow: 30 with nu=0.3 for quality, 20 with nu=1 for speed; may
      be traced.
    edges: 'aniso', every channel for itself; 'color', edges that all channels
      share; 'iso', the two edges that start at a pixel together.
    output: 'Px', 'Py' or 'x'.
    gradient: 'frozen', through the averaging with the support held fixed, or
      'straight_through', the identity.
    early_stop: Whether each image stops when its share has opened, at the
      latest after 3 steps + 20, instead of after the steps.

  Returns:
    The smoothed images, their support and the shares of edges.

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> noisy = jnp.asarray([0.1, 0.0, 0.9, 1.0]).reshape((1, 4, 1))
    >>> smoothed = smooth(noisy, 1 / 3, output="Py")
    >>> (20 * smoothed.images).ravel().round(2)
    Array([ 1.,  1., 19., 19.], dtype=float32)
    >>> smoothed.support.ravel().tolist()
    [False, True, False, False]

  References:
    arXiv:2409.18419: inverse-scale variational sparsification.
  """
  _require(images, fraction, nu, steps, edges, output, gradient)
  fields, centre = _centred(images)
  count = count_of(fields, fraction, edges)
  if early_stop:
    duals, kappa = _first_hits(fields, count[None], nu, steps, edges)
    dual = duals[0]
  else:
    dual, kappa = _after_steps(fields, count, nu, steps, edges)
  finish = functools.partial(
    _finish, images, fields, centre, kappa, nu, edges, output, gradient
  )
  return finish(dual, count)


def path(
  images: jax.Array,
  fractions: Any,
  *,
  nu: Any = 0.3,
  steps: int = 30,
  edges: str = "aniso",
  output: str = "Px",
  gradient: str = "frozen",
) -> Smoothed:
  """Smooths images to several shares of their edges, in one run of the flow.

  The flow runs with kappa = steps q for the largest of the fractions. Every
  level of every image is taken when its share of edges has first opened, at
  the latest after 3 steps + 20: a coarse level comes early, and `steps` should
  be a few times as many as for `smooth` if it is to be exact. With one
  fraction this is `smooth` with early_stop.

  Args:
    images: [N, H, W, C] in [0, 1], or series [N, T, C], of floats.
    fractions: [L], in [0, 1], in any order; may be traced.
    nu: As for `smooth`.
    steps: As for `smooth`, for the largest fraction.
    edges: As for `smooth`.
    output: As for `smooth`.
    gradient: As for `smooth`.

  Returns:
    What `smooth` gives, with a leading axis of the L levels.

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> stairs = jnp.asarray([0.0, 0.0, 0.6, 1.0]).reshape((1, 4, 1))
    >>> levels = path(stairs, (0.0, 1 / 3, 2 / 3), output="Py")
    >>> levels.images[:, 0, :, 0].round(3)
    Array([[0.4, 0.4, 0.4, 0.4],
           [0. , 0. , 0.8, 0.8],
           [0. , 0. , 0.6, 1. ]], dtype=float32)

  References:
    arXiv:2409.18419: inverse-scale variational sparsification, its path.
  """
  checks.require_fraction(fractions, "fractions")
  _require(images, fractions, nu, steps, edges, output, gradient)
  fractions = jnp.asarray(fractions, jnp.float32)
  if fractions.ndim != 1 or not fractions.size:
    raise ValueError(f"fractions={fractions}: must be a list of numbers")
  fields, centre = _centred(images)
  counts = jax.vmap(lambda fraction: count_of(fields, fraction, edges))(
    fractions
  )
  duals, kappa = _first_hits(fields, counts, nu, steps, edges)
  finish = functools.partial(
    _finish, images, fields, centre, kappa, nu, edges, output, gradient
  )
  return jax.lax.map(lambda level: finish(*level), (duals, counts))


def _centred(images: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Fields without the middle of their range, and the middle.

  What is constant becomes zero to the bit, so that rounding in the transforms
  is never taken for an edge. No derivative goes this way.
  """
  fields = jax.lax.stop_gradient(to_fields(images))
  places = tuple(range(2, fields.ndim))
  low = jnp.min(fields, axis=places, keepdims=True)
  high = jnp.max(fields, axis=places, keepdims=True)
  centre = (low + high) / 2
  return fields - centre, centre


def _after_steps(
  fields: jax.Array, count: jax.Array, nu: Any, steps: Any, edges: str
) -> tuple[jax.Array, jax.Array]:
  """The dual after so many steps, and kappa [N]."""
  start = solve(fields, nu)
  kappa = steps * contrast_of_fields(start, count, edges)
  threshold = per_image(kappa, fields.ndim + 1)

  def run(start, fields, threshold):
    def body(_, carry):
      return reduced_step(
        carry[0], carry[1], fields, threshold, nu=nu, edges=edges
      )

    carry = (start, 0 * forward(fields))
    return jax.lax.fori_loop(0, steps, body, carry)[1]

  def run_apart(start, fields, threshold):
    """One image, or plane, after the other: it stays in a core's cache."""
    channels = 1 if edges == "color" else fields.shape[1]

    def planes(array):
      return array.reshape(
        (-1, 1, array.shape[1] // channels, *array.shape[2:])
      )

    def of_one(plane):
      return run(*plane)

    each = jnp.repeat(threshold, channels, axis=0)[:, None]
    dual = jax.lax.map(of_one, (planes(start), planes(fields), each))
    dual = dual.reshape((len(fields), channels, *dual.shape[2:]))
    shape = (len(fields), dual.shape[2], *fields.shape[1:])
    return jnp.swapaxes(dual, 1, 2).reshape(shape)

  arguments = (start, fields, threshold)
  if math.prod(fields.shape[2:]) < _LARGE:
    return run(*arguments), kappa
  return jax.lax.platform_dependent(
    *arguments, cpu=run_apart, default=run
  ), kappa


def _first_hits(
  fields: jax.Array, counts: jax.Array, nu: Any, steps: Any, edges: str
) -> tuple[jax.Array, jax.Array]:
  """The duals [L, ...] when the counts [L, N] of edges first were open."""
  start = solve(fields, nu)
  kappa = steps * contrast_of_fields(start, jnp.max(counts, axis=0), edges)
  threshold = per_image(kappa, fields.ndim + 1)

  def unfinished(carry):
    number, _, _, _, done = carry
    return (number < 3 * steps + 20) & ~jnp.all(done)

  def body(carry):
    number, smooth, dual, kept, done = carry
    # Finished levels stay as they are, whatever the rest of the batch does.
    kept = jnp.where(per_level(done), kept, dual)
    smooth, dual = reduced_step(
      smooth, dual, fields, threshold, nu=nu, edges=edges
    )
    kept = jnp.where(per_level(done), kept, dual)
    opened = count_edges(open_edges(dual, threshold, edges))
    return number + 1, smooth, dual, kept, done | (opened >= counts)

  def per_level(done):
    return done.reshape(done.shape + (1,) * fields.ndim)

  dual = 0 * forward(fields)
  kept = jnp.broadcast_to(dual, (len(counts), *dual.shape))
  # A count of 0 is there from the start, with every dual at zero.
  carry = (0, start, dual, kept, counts <= 0)
  return jax.lax.while_loop(unfinished, body, carry)[3], kappa


def _finish(
  images: jax.Array,
  fields: jax.Array,
  centre: jax.Array,
  kappa: jax.Array,
  nu: Any,
  edges: str,
  output: str,
  gradient: str,
  dual: jax.Array,
  count: jax.Array,
) -> Smoothed:
  """Support, averaging and derivative of one level."""
  threshold = per_image(kappa, dual.ndim)
  opened = count_edges(open_edges(dual, threshold, edges))
  support = largest_edges(group_norm(dual, edges), count)
  labels = labels_of_fields(support)
  smoothed = fields
  if output != "Py":
    smoothed = image_of_dual(dual, fields, threshold, nu, edges)
  if output != "x":
    smoothed = means_of_fields(smoothed, labels)
  smoothed = jax.lax.stop_gradient(smoothed + centre)
  wanted = to_fields(images)
  if gradient == "frozen":
    smoothed = _with_frozen_support(wanted, smoothed, labels)
  else:
    smoothed = smoothed + (wanted - jax.lax.stop_gradient(wanted))
  total = max(edge_count(images.shape[1:], edges), 1)
  return Smoothed(
    to_images(smoothed),
    to_public_edges(support),
    count_edges(support).astype(jnp.float32) / total,
    opened.astype(jnp.float32) / total,
  )


@jax.custom_jvp
def _with_frozen_support(
  fields: jax.Array, smoothed: jax.Array, labels: jax.Array
) -> jax.Array:
  """`smoothed`, whose derivative in `fields` is the averaging over pieces.

  The rule is of the forward mode and linear, which gives both modes: averaging
  is its own transpose.
  """
  del fields, labels
  return smoothed


@_with_frozen_support.defjvp
def _average_tangent(primals, tangents):
  _, smoothed, labels = primals
  return smoothed, average(tangents[0], labels)


def _require(
  images: Any,
  fraction: Any,
  nu: Any,
  steps: Any,
  edges: str,
  output: str,
  gradient: str,
) -> None:
  checks.require_images(images)
  checks.require_fraction(fraction)
  checks.require_positive(nu, "nu")
  checks.require_whole(steps, "steps")
  checks.require_one_of(edges, "edges", EDGES)
  checks.require_one_of(output, "output", OUTPUTS)
  checks.require_one_of(gradient, "gradient", GRADIENTS)
