"""AugMix as an input: mixtures of chains of image operations."""

import math

import jax
import jax.numpy as jnp

from jaxrobust import data
from jaxrobust.methods import image_ops
from jaxrobust.methods.context import InputFn
from jaxrobust.methods.mixing import symmetric_beta

LONGEST_CHAIN = 3
# An operation is drawn as a number: first those of levels, then of geometry.
AUTOCONTRAST, EQUALIZE, POSTERIZE, SOLARIZE = range(4)
ROTATE, SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y = range(4, 9)
OPERATIONS = 9


def augmix(
  shape: tuple[int, ...],
  *,
  width: int = 3,
  depth: int = -1,
  alpha: float = 1.0,
  severity: float = 3.0,
) -> InputFn:
  """Feeds images mixed with chains of random operations on them.

    x~ = m x + (1 - m) sum_i w_i chain_i(x),
    w ~ Dirichlet(alpha, ..., alpha),  m ~ Beta(alpha, alpha)

  Each chain is one to three of autocontrast, equalize, posterize, rotate,
  solarize, shear and translate along either axis, with random strengths. None
  of them is a test corruption. The Jensen-Shannon term of the paper, which
  compares two such images, is not part of this input.

  Args:
    shape: The shape of one image, (H, W, C).
    width: The number of chains.
    depth: The length of a chain, 1 to 3; -1 draws it for each chain.
    alpha: The parameter of both laws of the mixture; > 0.
    severity: The strength of an operation is uniform from 0.1 to this, of 10;
      from 0.1 to 10.

  Returns:
    The input function.

  Raises:
    ValueError: If a parameter is out of range or the examples are no images.

  Example:
    >>> from jaxrobust.methods.context import Context
    >>> draw = data.Draw(jax.random.key(0), jnp.arange(2), jnp.asarray(0))
    >>> batch = {"inputs": jnp.ones((2, 8, 8, 3))}
    >>> augmix((8, 8, 3))(batch, Context(draw))["inputs"].shape
    (2, 8, 8, 3)

  References:
    Hendrycks et al., `AugMix: A Simple Data Processing Method to Improve
    Robustness and Uncertainty <https://arxiv.org/abs/1912.02781>`_, 2020,
    algorithm 1; the strengths are those of its public code.
  """
  if len(shape) != 3:
    raise ValueError(f"augmix: takes images [H, W, C], not shape {shape}")
  if width < 1:
    raise ValueError(f"width={width}: must be at least 1")
  if depth != -1 and not 1 <= depth <= LONGEST_CHAIN:
    raise ValueError(f"depth={depth}: must be 1, 2 or 3, or -1 to draw it")
  if not 0 < alpha < math.inf:
    raise ValueError(f"alpha={alpha}: must be a finite number > 0")
  if not 0.1 <= severity <= 10:
    raise ValueError(f"severity={severity}: must lie in [0.1, 10]")
  slots = LONGEST_CHAIN if depth == -1 else depth

  def draw_numbers(key):
    key, weight_key = jax.random.split(key)
    uniforms = jax.random.uniform(key, (2 + width * (1 + 3 * slots),))
    kept = symmetric_beta(uniforms[0], uniforms[1], alpha)
    weights = _dirichlet(weight_key, alpha, width)
    return kept, weights, uniforms[2:].reshape((width, -1))

  def mix(batch, context):
    images = jnp.moveaxis(batch["inputs"], 3, 1)
    kept, weights, uniforms = jax.vmap(draw_numbers)(
      context.draw(data.Tag.AUGMIX)
    )
    # All chains of all images at once, an image's chains side by side.
    chains = jnp.repeat(images, width, axis=0)
    uniforms = uniforms.reshape((len(chains), -1))
    lengths = jnp.full(len(chains), float(slots))
    if depth == -1:
      lengths = 1 + jnp.floor(LONGEST_CHAIN * uniforms[:, 0])
    # Three numbers of each operation, [slots, chains]: which, how strong, and
    # in which direction.
    which, strength, side = uniforms[:, 1:].reshape((-1, slots, 3)).T
    operation = jnp.floor(OPERATIONS * which).astype(jnp.int32)
    operation = jnp.where(jnp.arange(slots)[:, None] < lengths, operation, -1)
    share = (0.1 + (severity - 0.1) * strength) / 10
    sign = jnp.where(side < 0.5, -1.0, 1.0)
    # Outside of the loop, or XLA computes their sines again for every pixel;
    # and a loop, because the operations compile slowly.
    moves = matrices(operation, share, sign, *images.shape[2:])
    chains, _ = jax.lax.scan(
      lambda chains, choices: (operate(chains, *choices), None),
      chains,
      (operation, share, moves),
    )
    chains = chains.reshape((-1, width, *images.shape[1:]))
    mixture = jnp.einsum("nw,nwcij->ncij", weights, chains)
    kept = kept[:, None, None, None]
    mixed = jnp.clip(kept * images + (1 - kept) * mixture, 0.0, 1.0)
    return {**batch, "inputs": jnp.moveaxis(mixed, 1, 3)}

  return mix


def operate(
  images: jax.Array, operation: jax.Array, share: jax.Array, moves: jax.Array
) -> jax.Array:
  """Applies to each image an operation of its own.

  Args:
    images: float32 [N, C, H, W] in [0, 1].
    operation: int32 [N], AUTOCONTRAST to TRANSLATE_Y; another number leaves
      the image as it is.
    share: [N], the strength, in [0, 1].
    moves: [N, 6], the `matrices` of the operations of geometry.

  Returns:
    The same shape.
  """
  bits = 4 - jnp.floor(4 * share).astype(jnp.int32)
  threshold = 256 - jnp.floor(256 * share)
  changed = images
  for chosen, candidate in (
    (operation == AUTOCONTRAST, image_ops.autocontrast(images)),
    (operation == EQUALIZE, image_ops.equalize(images)),
    (operation == POSTERIZE, image_ops.posterize(images, bits)),
    (operation == SOLARIZE, image_ops.solarize(images, threshold)),
    (operation >= ROTATE, image_ops.affine(images, moves)),
  ):
    changed = jnp.where(chosen[:, None, None, None], candidate, changed)
  return changed


def matrices(
  operation: jax.Array,
  share: jax.Array,
  sign: jax.Array,
  height: int,
  width: int,
) -> jax.Array:
  """The coefficients of `image_ops.affine` of the operations of geometry.

  Args:
    operation: int32 [...], ROTATE to TRANSLATE_Y; the identity for others.
    share: [...], the strength, in [0, 1]: of 30 degrees, of a shear of 0.3, of
      a third of the image.
    sign: [...], -1 or 1, the direction.
    height: of the images, in pixels.
    width: of the images, in pixels.

  Returns:
    float32 [..., 6].
  """

  def if_is(number, value):
    return jnp.where(operation == number, sign * value, 0.0)

  degrees = if_is(ROTATE, jnp.floor(30 * share))
  turned = image_ops.rotation(jnp.deg2rad(degrees), height, width)
  zero = jnp.zeros_like(share)
  return turned + jnp.stack(
    [
      zero,
      if_is(SHEAR_X, 0.3 * share),
      if_is(TRANSLATE_X, jnp.floor(width / 3 * share)),
      if_is(SHEAR_Y, 0.3 * share),
      zero,
      if_is(TRANSLATE_Y, jnp.floor(height / 3 * share)),
    ],
    axis=-1,
  )


def _dirichlet(key: jax.Array, alpha: float, width: int) -> jax.Array:
  """One draw of the symmetric law, float32 [width]."""
  if alpha != 1:
    return jax.random.dirichlet(key, jnp.full(width, alpha))
  # The same law, without the gamma variates, which compile for seconds.
  exponential = jax.random.exponential(key, (width,))
  return exponential / exponential.sum()
