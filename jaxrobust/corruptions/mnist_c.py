"""The corruptions of MNIST-C, by name."""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.corruptions import (
  edges,
  elements,
  glass,
  lines,
  motion,
  separable,
  spatter,
  warps,
  weather,
)
from jaxrobust.corruptions.colour import brightness
from jaxrobust.corruptions.lines import SIDE
from jaxrobust.corruptions.noise import clip, require_images
from jaxrobust.corruptions.severities import IMAGENET, MNIST_C_OF_IMAGENET

_SIDES = (SIDE, SIDE)
# Radians; the factor that remains of the size; pixels; grey levels of mud; the
# side of the cloud whose corner is the fog.
_SHEAR, _TURN, _SIZE, _MOVE, _MUD, _CLOUD = 0.4, 0.4, 0.7, 3, 63 / 255, 256


def _setting(name):
  return IMAGENET[name][MNIST_C_OF_IMAGENET[name] - 1]


def _with_number(function, name):
  return lambda keys, images: function(keys, images, _setting(name))


def _glass_blur(keys, images):
  sigma, reach, rounds = _setting("glass_blur")
  rows, _ = separable.gaussian(_SIDES, sigma)
  # The program takes the columns for channels and blurs along columns only.
  rows, columns = separable.stacked([(rows, np.eye(SIDE)[None])])
  return glass.swap_blur(
    keys, images, rows[0], columns[0], reach=reach, rounds=rounds
  )


def _motion_blur(keys, images):
  weights = motion.trails([_setting("motion_blur")])[0]
  return motion.motion_blur(keys, images, jnp.asarray(weights))


def _fog(keys, images):
  thickness, decay = jnp.asarray(_setting("fog"), jnp.float32)
  return weather.fog(keys, images, thickness, decay, size=_CLOUD)


def _spatter(keys, images):
  five = [_setting("spatter")]
  law, rows, columns, _, _, *mud = spatter.settings(_SIDES, five)
  liquid = spatter.drops(keys, _SIDES, law[0], rows[0], columns[0])
  return clip(spatter.muddied(images, liquid, _MUD, mud[0][0], mud[1][0]))


def _signs(keys, count):
  """-1 or 1, each as often: float32 [N, count]."""
  bits = jax.vmap(lambda key: jax.random.bits(key, (count,)))(keys)
  return 2.0 * (bits >> 31).astype(jnp.float32) - 1


def _shear(keys, images):
  angle = _SHEAR * _signs(keys, 1)[:, 0]
  one = jnp.ones_like(angle)
  rows = [[one, -jnp.sin(angle)], [0 * one, jnp.cos(angle)]]
  return warps.linear_map(images, _matrices(rows))


def _rotate(keys, images):
  angle = _TURN * _signs(keys, 1)[:, 0]
  sine, cosine = jnp.sin(angle), jnp.cos(angle)
  return warps.linear_map(images, _matrices([[cosine, -sine], [sine, cosine]]))


def _matrices(rows):
  return jnp.stack([jnp.stack(row, axis=1) for row in rows], axis=1)


def _scale(keys, images):
  del keys
  matrix = np.eye(2, dtype=np.float32) / np.float32(_SIZE)
  return warps.linear_map(images, jnp.asarray(matrix)[None])


def _translate(keys, images):
  matrix = jnp.eye(2, dtype=jnp.float32)[None]
  return warps.linear_map(images, matrix, _MOVE * _signs(keys, 2))


def _canny_edges(keys, images):
  del keys
  return edges.canny(images[..., 0])[..., None].astype(jnp.float32)


_PARTS: Mapping[str, Callable[..., jax.Array]] = {
  "shot_noise": _with_number(elements.shot_noise, "shot_noise"),
  "impulse_noise": _with_number(elements.impulse_noise, "impulse_noise"),
  "glass_blur": _glass_blur,
  "motion_blur": _motion_blur,
  "shear": _shear,
  "scale": _scale,
  "rotate": _rotate,
  "brightness": _with_number(brightness, "brightness"),
  "translate": _translate,
  "stripe": lines.stripe,
  "fog": _fog,
  "spatter": _spatter,
  "dotted_line": lines.dotted_line,
  "zigzag": lines.zigzag,
  "canny_edges": _canny_edges,
}
MNIST_C = tuple(_PARTS)


def mnist_c(name: str, keys: jax.Array, images: jax.Array) -> jax.Array:
  """Corrupts digits as MNIST-C does, at its one severity.

  The result is not rounded to 8 bits; the official files are.

  Args:
    name: One of `MNIST_C`.
    keys: [N] typed keys, one per image.
    images: float32 [N, 28, 28, 1] in [0, 1].

  Returns:
    float32, the same shape, in [0, 1].

  Raises:
    ValueError: If an argument is none of these.

  Example:
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> mnist_c("stripe", keys, jnp.zeros((2, 28, 28, 1)))[0, 0, 5:9, 0]
    Array([1., 1., 0., 0.], dtype=float32)

  References:
    N. Mu and J. Gilmer, MNIST-C: A Robustness Benchmark for Computer Vision,
    `arXiv:1906.02337 <https://arxiv.org/abs/1906.02337>`_, 2019.
  """
  if name not in _PARTS:
    raise ValueError(f"name={name!r}: must be one of {', '.join(_PARTS)}")
  require_images(images)
  if images.shape[1:] != (SIDE, SIDE, 1):
    raise ValueError(
      f"images of shape {images.shape}: must be [N, {SIDE}, {SIDE}, 1]"
    )
  return _corrupt(name, keys, images)


@functools.partial(jax.jit, static_argnames="name")
def _corrupt(name, keys, images):
  return _PARTS[name](keys, images)
