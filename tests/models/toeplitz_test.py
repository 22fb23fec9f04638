"""The convolution whose channels are whole rows."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust.models import toeplitz_conv


def _conv(padding, side, strides=1, **kwargs):
  return nn.Conv(4, (side, side), strides, padding=padding, **kwargs)


@pytest.mark.parametrize(
  ("channels", "padding", "side"),
  [(1, "SAME", 5), (3, "VALID", 3), (2, [(2, 1), (0, 3)], 4)],
)
def test_values_and_gradients_equal_the_stock_convolution(
  channels, padding, side
):
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(3, 9, 7, channels)), jnp.float32)
  stock = _conv(padding, side)
  ours = _conv(padding, side, conv_general_dilated=toeplitz_conv)
  variables = stock.init(jax.random.key(0), x)

  def loss_of(layer):
    return lambda v, x: jnp.sum(jnp.sin(layer.apply(v, x)))

  np.testing.assert_allclose(
    ours.apply(variables, x), stock.apply(variables, x), rtol=1e-4, atol=1e-5
  )
  expected = jax.grad(loss_of(stock), argnums=(0, 1))(variables, x)
  got = jax.grad(loss_of(ours), argnums=(0, 1))(variables, x)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
    got,
    expected,
  )


def test_a_narrow_image_is_convolved_along_its_height_only_on_a_cpu():
  x = jnp.ones((1, 8, 8, 1))
  layer = _conv("SAME", 3, conv_general_dilated=toeplitz_conv)
  variables = layer.init(jax.random.key(0), x)
  equations = jax.make_jaxpr(layer.apply)(variables, x).eqns
  ranks = [
    e.outvars[0].aval.ndim
    for e in equations
    if e.primitive.name == "conv_general_dilated"
  ]
  assert ranks == [3 if jax.default_backend() == "cpu" else 4]


@pytest.mark.parametrize(
  ("width", "options"),
  [
    (33, {}),
    (8, {"strides": 2}),
    (8, {"kernel_dilation": 2}),
    (8, {"input_dilation": 2, "padding": [(1, 1), (1, 1)]}),
  ],
)
def test_other_convolutions_pass_through(width, options):
  x = jnp.ones((1, 8, width, 1))
  options = {"padding": "SAME", "side": 3, **options}
  stock = _conv(**options)
  ours = _conv(conv_general_dilated=toeplitz_conv, **options)
  variables = stock.init(jax.random.key(0), x)
  np.testing.assert_array_equal(
    ours.apply(variables, x), stock.apply(variables, x)
  )
