"""The exact inverse scale space of total variation, for comparison.

It is what the splitting tends to as nu goes to 0, and slow: every step of it
minimises a total variation.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrobust.inverse_scale import checks
from jaxrobust.inverse_scale.differences import (
  EDGES,
  backward,
  forward,
  group_norm,
  squared_norm,
  to_fields,
  to_images,
  to_public_edges,
)


class ExactFlow(NamedTuple):
  """The exact inverse scale space at so many times.

  Attributes:
    images: float32 [K, N, H, W, C], or [K, N, T, C].
    supports: bool [K, N, 2, H, W, C], or [K, N, 1, T, C], groups with an axis
      of length 1: the edges over which the images are not constant.
  """

  images: jax.Array
  supports: jax.Array


def exact_flow(
  images: jax.Array,
  weight: Any,
  times: int,
  *,
  iterations: int = 300,
  edges: str = "aniso",
  tolerance: float = 1e-4,
) -> ExactFlow:
  """Follows the inverse scale space by Bregman iteration.

    x_k = argmin_x 1/2 |x - y - v_k|^2 + weight TV(x),  v_k+1 = v_k + y - x_k

  from v_0 = 0; a large weight makes small steps. Each minimum is taken in the
  dual, max_|p| <= weight -1/2 |y + v_k - D^T p|^2, by accelerated projected
  gradients from the last one's p.

  Args:
    images: [N, H, W, C], or series [N, T, C], of floats.
    weight: Of the total variation, > 0, in units of the images times pixels.
    times: How many steps K.
    iterations: Of the gradients, per step.
    edges: 'aniso', 'color' or 'iso'; see `edge_count`.
    tolerance: The difference, in units of the images, that counts as none.

  Returns:
    The images and the supports after each step.

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> step = jnp.asarray([0.0, 0.0, 1.0, 1.0]).reshape((1, 4, 1))
    >>> flow = exact_flow(step, 2.0, 3)
    >>> (flow.images[..., 0].round(2) + 0).tolist()
    [[[0.5, 0.5, 0.5, 0.5]], [[0.5, 0.5, 0.5, 0.5]], [[0.0, 0.0, 1.0, 1.0]]]

  References:
    Burger, Gilboa, Osher and Xu, "Nonlinear inverse scale space methods",
    Comm. Math. Sci. 2006, equation (2.5). Beck and Teboulle, "Fast
    gradient-based algorithms for constrained total variation", IEEE TIP 2009.
  """
  checks.require_images(images)
  checks.require_positive(weight, "weight")
  checks.require_whole(times, "times")
  checks.require_whole(iterations, "iterations")
  checks.require_one_of(edges, "edges", EDGES)
  fields = to_fields(images)
  rate = 1 / max(squared_norm(fields.shape[2:]), 1e-6)

  def project(dual):
    norm = group_norm(dual, edges)
    return dual * (weight / jnp.maximum(norm, weight))

  def minimise(dual, noisy):
    def iterate(number, carry):
      dual, ahead = carry
      moved = project(ahead + rate * forward(noisy - backward(ahead)))
      # Nesterov's momentum in the form k / (k + 3).
      return moved, moved + number / (number + 3.0) * (moved - dual)

    return jax.lax.fori_loop(0, iterations, iterate, (dual, dual))[0]

  def step(dual, _):
    # v is D^T of the last p, of which it is the sum of the residuals.
    noisy = fields + backward(dual)
    dual = minimise(dual, noisy)
    smooth = noisy - backward(dual)
    support = group_norm(forward(smooth), edges) > tolerance
    return dual, (to_images(smooth), to_public_edges(support))

  _, path = jax.lax.scan(step, 0 * forward(fields), length=times)
  return ExactFlow(*path)
