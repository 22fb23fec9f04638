"""Primitives of JAX as operators of ONNX, against JAX itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxrobust.export import ExportError
from jaxrobust.export.onnx import from_onnx, to_onnx

_KERNEL = np.random.default_rng(1).normal(size=(3, 3, 2, 4)).astype(np.float32)
_MATRIX = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)


def _convolution(x, **options):
  return lax.conv_general_dilated(
    x, _KERNEL, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options
  )


def _running(x):
  """Sums from the last row up, and all of them."""

  def step(total, row):
    total = total + row
    return total, 2 * total

  rows = jnp.moveaxis(x, 1, 0)
  total, sums = lax.scan(step, jnp.zeros_like(rows[0]), rows, reverse=True)
  return jnp.concatenate([total[:, None], jnp.moveaxis(sums, 0, 1)], axis=1)


def _halvings(x):
  """Halves each example until it is small: others go on longer."""
  state = x, jnp.zeros(len(x), jnp.int32), jnp.zeros((len(x), 2), bool)

  def unfinished(state):
    return jnp.any(jnp.abs(state[0]) > 0.1)

  def halve(state):
    return state[0] / 2, state[1] + 1, ~state[2]

  small, count, odd = lax.while_loop(unfinished, halve, state)
  return jnp.concatenate([small, count[:, None] + 1.0 * odd], axis=1)


def _bits(x):
  words = lax.bitcast_convert_type(jnp.abs(x), jnp.int32)
  word = (words | (jnp.int32(1) << 3)) & ~jnp.int32(7)
  return lax.bitcast_convert_type(word, jnp.float32)


def _pieces(x):
  """Sums and least values of pieces that the example names, read back."""
  flat = jnp.ravel(x)
  place = jnp.clip((flat * 2).astype(jnp.int32), 0, 4)
  mode = "promise_in_bounds"
  sums = jnp.zeros_like(flat).at[place].add(flat, mode=mode)
  least = flat.at[place].min(flat, mode=mode)
  return (least + sums.at[place].get(mode=mode)).reshape(x.shape)


# name: (function of [N, ...], the shape of one example)
def _halved(x):
  return lax.while_loop(lambda y: jnp.sum(jnp.abs(y)) > 0.5, lambda y: y / 2, x)


CASES = {
  "elements": (
    lambda x: jnp.tanh(x) * jax.nn.sigmoid(x) + jnp.sqrt(jnp.abs(x)) - x**3,
    (5,),
  ),
  "exponentials": (
    lambda x: jnp.exp(-(x**2)) + jnp.log1p(jnp.abs(x)) + jnp.expm1(x / 9),
    (5,),
  ),
  "gelu": (lambda x: jax.nn.gelu(x, approximate=False), (5,)),
  "roots": (lambda x: lax.rsqrt(1 + x**2) + 1 / (2 + jnp.sin(x)), (5,)),
  "comparisons": (
    lambda x: jnp.where((x > 0.5) | ~(x >= -0.5) & (x != 1), x, jnp.sign(x)),
    (5,),
  ),
  "rounding": (
    lambda x: jnp.round(x) + jnp.floor(x) + jnp.ceil(x) + jnp.clip(x, -1, 1),
    (5,),
  ),
  "reductions": (
    lambda x: jax.nn.softmax(x) + x.max(1, keepdims=True) - x.min(1)[:, None],
    (5,),
  ),
  "any and all": (
    lambda x: 1.0 * jnp.any(x > 1, 1)[:, None] + jnp.all(x > -2, 1)[:, None],
    (5,),
  ),
  "sorting": (lambda x: jnp.median(x, axis=1, keepdims=True), (6,)),
  "argmax": (lambda x: x + jnp.argmax(x, axis=1)[:, None], (5,)),
  "moving": (
    lambda x: jnp.concatenate([x[:, ::-1, 1:], x[:, :, :1]], 2).swapaxes(1, 2),
    (4, 3),
  ),
  "padding": (
    lambda x: lax.pad(x, 0.5, ((0, 0, 0), (2, -1, 0), (-1, 1, 0))),
    (4, 3),
  ),
  "splitting": (lambda x: jnp.stack(jnp.split(x, 2, 1), 1).sum(2), (4, 3)),
  "a bias": (lambda x: jnp.broadcast_to(_MATRIX[0], x.shape) + x, (4, 3)),
  "dense": (lambda x: x @ _MATRIX + _MATRIX[0], (5,)),
  "dense, transposed": (lambda x: x @ _MATRIX.T, (3,)),
  "attention": (lambda x: jnp.einsum("nik,njk->nij", x, x), (4, 3)),
  "a matrix from the left": (
    lambda x: jnp.einsum("ij,njk->nki", _MATRIX, x),
    (3, 2),
  ),
  "convolution": (
    lambda x: _convolution(x, window_strides=(2, 1), padding="SAME"),
    (6, 7, 2),
  ),
  "dilated convolution": (
    lambda x: _convolution(
      x, window_strides=(1, 1), padding=((2, 0), (1, 3)), rhs_dilation=(2, 1)
    ),
    (6, 7, 2),
  ),
  "depthwise convolution": (
    lambda x: lax.conv_general_dilated(
      x,
      _KERNEL[:, :, :1],
      (1, 1),
      "VALID",
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      feature_group_count=2,
    ),
    (6, 7, 2),
  ),
  "a counted loop": (
    lambda x: lax.fori_loop(0, 4, lambda i, y: y * i + x, x),
    (5,),
  ),
  "a scan": (_running, (5, 3)),
  "a loop that ends by example": (_halvings, (2,)),
  "a loop mapped twice": (
    lambda x: jax.vmap(jax.vmap(_halved))(x),
    (3, 2),
  ),
  "any of nothing": (lambda x: 1.0 * jnp.any(x > 0, axis=()), (3,)),
  "bits": (_bits, (5,)),
  "scatter and gather": (_pieces, (5,)),
  "a table": (
    lambda x: jnp.asarray(_MATRIX)[jnp.clip(x.astype(jnp.int32), 0, 4)],
    (2,),
  ),
  "beyond a table": (
    lambda x: (
      jnp.asarray(_MATRIX[:, 0])
      .at[(3 * x).astype(jnp.int32)]
      .get(mode="fill", fill_value=7.0, wrap_negative_indices=False)
    ),
    (5,),
  ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_the_operators_compute_what_the_primitives_do(name):
  function, shape = CASES[name]
  inputs = np.random.default_rng(0).normal(size=(6, *shape)) * 2
  inputs = inputs.astype(np.float32)
  expected = np.stack([np.asarray(function(x[None])[0]) for x in inputs])
  model, _ = from_onnx(to_onnx(function, shape, {}))
  for count in (6, 1):
    np.testing.assert_allclose(
      model(inputs[:count]), expected[:count], rtol=2e-5, atol=2e-6
    )


@pytest.mark.parametrize(
  ("function", "message"),
  [
    (lambda x: jnp.cumsum(x, axis=1), "'cumsum' is not exported"),
    (lambda x: lax.sort((x, -x))[1], "sorting several arrays"),
    (lambda x: x.astype(jnp.float16) * 2.0, "float16 is not exported"),
  ],
)
def test_what_has_no_operator_is_named(function, message):
  with pytest.raises(ExportError, match=message):
    to_onnx(function, (5,), {})
