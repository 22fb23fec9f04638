"""Mixtures of two examples of a batch as an input: mixup."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxrobust import data
from jaxrobust.methods.context import Context, InputFn


def mixup(
  shape: tuple[int, ...], *, alpha: float = 0.2, per_batch: bool = False
) -> InputFn:
  """Feeds convex combinations of two examples and of their labels.

    x~ = w x_i + (1 - w) x_j,  t~ = w t_i + (1 - w) t_j,  w ~ Beta(alpha, alpha)

  with one-hot labels t, or the labels themselves where they are real numbers.
  The partners j are a random permutation of the real examples of the global
  batch, whatever devices they are on.

  Args:
    shape: The shape of one example.
    alpha: Both parameters of the Beta law; > 0. Small values leave one of the
      two examples almost alone; 1 is the uniform law.
    per_batch: Whether all examples of a batch share one weight w, instead of
      one each.

  Returns:
    The input function; it adds `targets` to the batch, [N, K] or, of real
    labels, their shape. It needs `Context.logits`, for the number of classes.

  Raises:
    ValueError: If `alpha` is out of range.

  Example:
    >>> draw = data.Draw(jax.random.key(0), jnp.arange(2), jnp.asarray(0))
    >>> batch = {
    ...   "inputs": jnp.zeros((2, 4, 1)),
    ...   "labels": jnp.arange(2),
    ...   "mask": jnp.ones(2),
    ... }
    >>> context = Context(draw, logits=lambda x: jnp.zeros((len(x), 3)))
    >>> mixup((4, 1))(batch, context)["targets"].sum(1).tolist()
    [1.0, 1.0]

  References:
    Zhang et al., `mixup: Beyond Empirical Risk Minimization
    <https://arxiv.org/abs/1710.09412>`_, 2018, section 2.
  """
  del shape
  if not 0 < alpha < float("inf"):
    raise ValueError(f"alpha={alpha}: must be a finite number > 0")

  def mix(batch, context):
    inputs = batch["inputs"]
    targets = _targets(batch, context)
    # One draw per example: two numbers for its weight and one for its place.
    uniforms = _uniforms(context.draw, 3)
    everywhere = {
      "inputs": inputs,
      "targets": targets,
      "order": uniforms[:, 2],
      "mask": batch["mask"],
    }
    first_row = 0
    if context.axis_name is not None:
      everywhere = jax.lax.all_gather(everywhere, context.axis_name, tiled=True)
      first_row = len(inputs) * jax.lax.axis_index(context.axis_name)
    partners = jax.lax.dynamic_slice_in_dim(
      _permutation(everywhere["order"], everywhere["mask"] > 0),
      first_row,
      len(inputs),
    )
    if per_batch:
      # The same on every device: keyed by the step alone.
      alone = jnp.zeros_like(context.draw.index[:1])
      uniforms = _uniforms(dataclasses.replace(context.draw, index=alone), 2)
    weights = symmetric_beta(uniforms[:, 0], uniforms[:, 1], alpha)

    def mixed(mine, all_rows):
      weight = weights.reshape((-1,) + (1,) * (mine.ndim - 1))
      # Exactly itself where an example is its own partner.
      theirs = all_rows[partners]
      return theirs + weight * (mine - theirs)

    return {
      **batch,
      "inputs": mixed(inputs, everywhere["inputs"]),
      "targets": mixed(targets, everywhere["targets"]),
    }

  return mix


def symmetric_beta(
  radial: jax.Array, angular: jax.Array, alpha: float | jax.Array
) -> jax.Array:
  """Beta(alpha, alpha) variates from two uniform ones, without rejection.

    X = (1 + sign(c) sqrt(q / (1 + q))) / 2,
    q = (U^(-1/alpha) - 1) c^2,  c = cos(2 pi V)

  Args:
    radial: Uniform variates U in [0, 1).
    angular: Independent uniform variates V of the same shape.
    alpha: Both parameters of the law, > 0.

  Returns:
    float32, in [0, 1], of the shape of `radial`.

  Example:
    >>> float(symmetric_beta(jnp.asarray(0.75), jnp.asarray(0.0), 1.0))
    0.75

  References:
    Devroye, Random variate generation in one line of code, 1996, section 5.
  """
  cosine = jnp.cos(2 * jnp.pi * angular)
  # U = 0 gives q = inf, and X = 0 or 1.
  stretch = jnp.expm1(-jnp.log(radial) / alpha)
  share = 1 / (1 + 1 / (stretch * cosine**2))
  return (1 + jnp.sign(cosine) * jnp.sqrt(share)) / 2


def _uniforms(draw: data.Draw, count: int) -> jax.Array:
  """Uniform variates of each example, float32 [N, count]."""
  keys = draw(data.Tag.MIXUP)
  return jax.vmap(lambda key: jax.random.uniform(key, (count,)))(keys)


def _targets(batch, context: Context) -> jax.Array:
  """The labels as something that can be mixed."""
  labels = batch["labels"]
  if jnp.issubdtype(labels.dtype, jnp.floating):
    return labels
  if context.logits is None:
    raise ValueError("logits=None: mixup needs them for the number of classes")
  # Only the shape: nothing is computed.
  logits = jax.eval_shape(context.logits, batch["inputs"])
  return jax.nn.one_hot(labels, logits.shape[-1])


def _permutation(order: jax.Array, real: jax.Array) -> jax.Array:
  """A random partner among the real rows for each of them; padding has itself.

  Args:
    order: float32 [B], random, one per row.
    real: bool [B].

  Returns:
    int32 [B]. The k-th real row gets the real row of the k-th least `order`.
  """
  shuffled = jnp.argsort(jnp.where(real, order, jnp.inf))
  place = jnp.cumsum(real) - 1
  return jnp.where(real, shuffled[place], jnp.arange(len(real)))
