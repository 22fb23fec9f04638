"""Attacks made on other networks, tried on this one."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxrobust.attacks import ball
from jaxrobust.attacks.ascent import LogitsFn
from jaxrobust.attacks.square import worst_margin

# From a key, a logits function, images and labels to images.
Attack = Callable[[jax.Array, LogitsFn, jax.Array, jax.Array], jax.Array]


def transfer(
  key: jax.Array,
  surrogates: Sequence[LogitsFn],
  logits_fn: LogitsFn,
  images: jax.Array,
  labels: jax.Array,
  *,
  attack: Attack,
) -> jax.Array:
  """The worst of what an attack finds on surrogates of the network.

  Each surrogate is attacked through its own gradients; of what was found, and
  the image itself, each example keeps what has the largest margin
  max_{k != y} z_k - z_y on the network that is judged, of which only logits
  are asked, once per surrogate. Where this does as well as attacks on the
  network itself, those do not find what is there: its gradients are masked.

  Args:
    key: A typed key, or typed keys [N] of the images; each surrogate's attack
      has one folded out of it.
    surrogates: From images to logits [N, K], as of the same training with
      another seed, or without its noise.
    logits_fn: The network that is judged.
    images: float32 [N, ...].
    labels: int32 [N].
    attack: (key, logits function, images, labels) -> images, as
      `functools.partial(pgd, eps=0.1, steps=20, step_size=0.01)`.

  Returns:
    float32 [N, ...].

  Raises:
    ValueError: If there is no surrogate.

  Example:
    >>> def alike(x):
    ...   return jnp.stack([x.sum(1), -x.sum(1)], axis=1)
    >>> def found(key, logits_fn, images, labels):
    ...   return images - 2.0
    >>> image, label = jnp.asarray([[1.0]]), jnp.asarray([0])
    >>> transfer(
    ...   jax.random.key(0), [alike], alike, image, label, attack=found
    ... ).item()
    -1.0

  References:
    Carlini, Athalye, Papernot et al., `On Evaluating Adversarial Robustness
    <https://arxiv.org/abs/1902.06705>`_, 2019, section 4.3.
  """
  if not surrogates:
    raise ValueError("surrogates=(): must have at least one")
  best, worst = images, worst_margin(logits_fn(images), labels)
  for number, surrogate in enumerate(surrogates):
    fold = jax.vmap(jax.random.fold_in, (0, None))
    own = fold(key, number) if key.ndim else jax.random.fold_in(key, number)
    candidate = attack(own, surrogate, images, labels)
    margin = worst_margin(logits_fn(candidate), labels)
    best = jnp.where(ball.wide(margin > worst, images), candidate, best)
    worst = jnp.maximum(margin, worst)
  return best
