"""`propagate` on plain functions: right numbers, or an error that helps."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec

from jaxrobust import moments
from jaxrobust.moments import Moments, Rules, Tangents, ops, propagate, table

RNG = np.random.default_rng(0)
W1 = jnp.asarray(RNG.normal(size=(4, 16)) / 2, jnp.float32)
W2 = jnp.asarray(RNG.normal(size=(16, 3)) / 4, jnp.float32)
X = jnp.asarray(RNG.normal(size=(2, 4)), jnp.float32)
IMAGE = jnp.asarray(RNG.normal(size=(1, 7, 6, 2)), jnp.float32)
ACTIVATIONS = {
  name: getattr(jax.nn, name)
  for name in (
    "celu elu gelu hard_sigmoid hard_silu hard_tanh leaky_relu log_sigmoid mish"
    " relu6 selu sigmoid silu soft_sign softplus squareplus tanh"
  ).split()
} | {
  "gelu_exact": lambda x: jax.nn.gelu(x, approximate=False),
  "by_hand": lambda x: jnp.where(x > 0, x, 0.2 * (jnp.exp(x) - 1)),
  "cubic": lambda x: x**3 - x * jnp.abs(x) + 2.0**x,
}


def noisy(x, var=0.3, relu="moment"):
  return Moments(x, jnp.full(x.shape, var), Rules(relu=relu))


def assert_states_equal(first, second, rtol=1e-5):
  for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
    np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)


def net(x):
  return jax.nn.silu(x @ W1 + 0.1) @ W2


def sampled(function, state, count=40_000):
  """Mean and variance of a function, by drawing its input."""
  draws = jax.random.normal(jax.random.key(0), (count, *state.shape))
  inputs = state.mean + jnp.sqrt(state.var) * draws
  outputs = jax.jit(jax.vmap(function))(inputs)
  mean = jax.tree.map(lambda x: x.mean(0), outputs)
  return mean, jax.tree.map(lambda x: x.var(0), outputs)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_taken_as_wholes(name):
  function = ACTIVATIONS[name]
  for relu in ("moment", "linear"):
    state = noisy(X, relu=relu)
    # Identical to the rule of the whole activation, not only close to it.
    assert_states_equal(propagate(function)(state), state.unary(function))


@pytest.mark.quick
@pytest.mark.parametrize(
  "function",
  [
    jax.nn.relu,
    lambda x: jnp.maximum(x, 0),
    lambda x: lax.max(jnp.zeros_like(x), x),
    lambda x: jnp.where(x > 0, x, 0.0),
    lambda x: jnp.clip(x, 0),
    lambda x: jax.nn.relu(x.astype(jnp.float32)),
  ],
)
@pytest.mark.parametrize("relu", ["laplace", "linear", "moment"])
def test_relu_is_relu_in_any_spelling(function, relu):
  state = noisy(X, relu=relu)
  assert_states_equal(jax.jit(propagate(function))(state), state.relu())


@pytest.mark.parametrize(
  "function",
  [
    jax.nn.softmax,
    lambda x: jnp.exp(x) / jnp.sum(jnp.exp(x), -1, keepdims=True),
    lambda x: jax.nn.softmax((2 * x.T) / 2, 0).T,
  ],
)
def test_softmax_is_recognised(function):
  state = noisy(X)
  assert_states_equal(propagate(function)(state), state.softmax(-1))


@pytest.mark.parametrize("act", [jnp.tanh, jax.nn.gelu, jax.nn.silu])
def test_moments_of_wide_networks_are_those_of_samples(act):
  shapes = (32, 64), (64, 64), (64, 5)
  kernels = [
    RNG.normal(size=shape).astype(np.float32) / np.sqrt(shape[0])
    for shape in shapes
  ]

  def network(x):
    first, second, last = kernels
    return act(act(x @ first) @ second) @ last

  state = noisy(jnp.asarray(RNG.normal(size=(2, 32)), jnp.float32))
  out = jax.jit(propagate(network))(state)
  mean, var = sampled(network, state)
  assert jnp.all(jnp.abs(out.mean - mean) < 0.2 * jnp.sqrt(var))
  np.testing.assert_allclose(out.var.mean(1), var.mean(1), rtol=0.35)


def test_two_affine_layers_and_a_relu_are_exact():
  def network(x):
    return jax.nn.relu(x) @ W1[:4, :5] * 2 - 1

  state = noisy(X)
  out = propagate(network)(state)
  mean, var = sampled(network, state)
  np.testing.assert_allclose(out.mean, mean, atol=0.03)
  np.testing.assert_allclose(out.var, var, rtol=0.04)


LAYERS = {
  "flip": lambda x: x[:, ::-1].T,
  "pad": lambda x: jnp.pad(x, ((0, 0), (1, 2)), constant_values=3.0),
  "take": lambda x: x[:, jnp.array([2, 0])],
  "dynamic_slice": lambda x: lax.dynamic_slice_in_dim(x, 1, 2, 1),
  "concatenate": lambda x: jnp.concatenate([x, jnp.ones((2, 1)), 2 * x], 1),
  "split_and_multiply": lambda x: jax.nn.glu(x),
  "neighbours": lambda x: x[:, 1:] * x[:, :-1],
  "masked": lambda x: jnp.where(jnp.arange(4) > 1, x, -2.0),
  "sums": lambda x: x.sum(0) - jnp.ones(4),
  "means": lambda x: x.mean((0, 1), keepdims=True) / 2,
  "cumulative": lambda x: jnp.cumsum(x, 1),
  "kernel_on_the_left": lambda x: jnp.einsum("ko,bk->ob", W1, x),
  "batched_product": lambda x: jnp.einsum("bk,bko->bo", x, jnp.stack([W1] * 2)),
  "convolution": lambda x: jnp.convolve(x[0], W1[0, :3]),
  "minus": lambda x: 1 - x,
  "ratio": lambda x: x[:, :2] / (2 + jnp.tanh(x[:, 2:])),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_agree_with_samples(name):
  state = noisy(X)
  out = propagate(LAYERS[name])(state)
  mean, var = sampled(LAYERS[name], state)
  np.testing.assert_allclose(out.mean, mean, atol=0.04)
  np.testing.assert_allclose(out.var, var, rtol=0.06, atol=0.01)


@pytest.mark.parametrize("name", LAYERS)
def test_directions_of_noise_are_derivatives(name):
  direction = jnp.cos(X)
  out = propagate(LAYERS[name])(Tangents(X, direction[None]))
  value, derivative = jax.jvp(LAYERS[name], (X,), (direction,))
  np.testing.assert_allclose(out.loc, value, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(out.tangents[0], derivative, rtol=1e-4, atol=1e-5)


def test_directions_of_noise_pass_what_moments_do_not():
  def normalised(x):
    y = (x - x.mean(0)) * lax.rsqrt(x.var(0) + 1)
    return jax.nn.log_softmax((y @ y.T) * jax.nn.logsumexp(y, 1))

  direction = jnp.cos(X)
  out = propagate(normalised)(Tangents(X, direction[None]))
  _, derivative = jax.jvp(normalised, (X,), (direction,))
  np.testing.assert_allclose(out.tangents[0], derivative, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pool", ["gather", "clark"])
@pytest.mark.parametrize("side", [2, 3])
def test_windows_that_tile_are_the_bases_pools(pool, side):
  rules = Rules(relu="moment", pool=pool)
  state = Moments(IMAGE, 0.1 + IMAGE**2, rules)
  window = (side, side)
  out = propagate(lambda x: nn.max_pool(x, window, window))(state)
  assert_states_equal(out, ops.max_pool(state, window))
  out = propagate(lambda x: nn.avg_pool(x, window, window))(state)
  assert_states_equal(out, ops.avg_pool(state, window))


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
def test_windows_of_any_stride_and_padding(padding, strides):
  state = Moments(IMAGE, jnp.ones_like(IMAGE), Rules(relu="linear"))
  for pool in (nn.max_pool, nn.avg_pool):

    def layer(x, pool=pool):
      return pool(x, (3, 2), strides, padding)

    out = propagate(layer)(state)
    np.testing.assert_allclose(out.mean, layer(IMAGE), rtol=1e-5, atol=1e-6)
    gradient = jax.jacrev(lambda x, layer=layer: layer(x).ravel())(IMAGE)
    var = jnp.sum(gradient**2, (1, 2, 3, 4))
    np.testing.assert_allclose(out.var.ravel(), var, rtol=1e-5)


def test_maxima_over_axes_agree_with_samples():
  state = noisy(X, 0.2)
  for function in (lambda x: x.max(1), lambda x: x.min((0, 1))):
    out = propagate(function)(state)
    mean, var = sampled(function, state)
    np.testing.assert_allclose(out.mean, mean, atol=0.03)
    np.testing.assert_allclose(out.var, var, atol=0.03)
  long = noisy(jnp.arange(20.0)[None])
  np.testing.assert_allclose(
    propagate(lambda x: x.max(1))(long).mean[0], 19.05, atol=0.05
  )


def test_stock_cnn_equals_the_base_door():
  model = nn.Sequential(
    [
      nn.Conv(3, (3, 3)),
      nn.relu,
      lambda x: nn.max_pool(x, (2, 2), (2, 2)),
      lambda x: x.reshape(1, -1),
      nn.Dense(3),
    ]
  )
  variables = model.init(jax.random.key(0), IMAGE)

  def base(x):
    with moments.intercepting():
      x = ops.max_pool(ops.relu(model.layers[0].bind(conv)(x)), (2, 2))
      return model.layers[4].bind(dense)(x.reshape(1, -1))

  conv, dense = ({"params": variables["params"][f"layers_{i}"]} for i in (0, 4))
  state = noisy(IMAGE, relu="linear")
  out = propagate(lambda x: model.apply(variables, x))(state)
  assert_states_equal(out, base(state))


def test_an_objects_method_on_single_examples_under_vmap_inside():
  class Layer:
    weight, bias = W1.T, jnp.ones(16)

    def __call__(self, x):
      return jnp.tanh(self.weight @ x + self.bias)

  state = noisy(X)
  out = propagate(jax.vmap(Layer()))(state)
  expected = propagate(lambda x: jnp.tanh(x @ W1 + 1))(state)
  assert_states_equal(out, expected)


def test_jit_vmap_pmap_and_shard_map_around_it():
  state = noisy(jnp.stack([X, 2 * X]))
  one_by_one = [propagate(net)(noisy(x)) for x in state.mean]
  expected = jax.tree.map(lambda *x: jnp.stack(x), *one_by_one)
  mesh = jax.sharding.Mesh(jax.devices()[:2], ("i",))
  spec = PartitionSpec("i")
  for mapped in (
    jax.jit(propagate(net)),
    jax.vmap(propagate(net)),
    jax.pmap(propagate(net)),
    jax.shard_map(propagate(net), mesh=mesh, in_specs=spec, out_specs=spec),
    jax.checkpoint(propagate(net)),
  ):
    assert_states_equal(mapped(state), expected)


def test_its_gradients_are_those_of_differences():
  def loss(mean, var, weight):
    state = Moments(mean, var)
    out = propagate(lambda x: jax.nn.relu(jax.nn.gelu(x @ weight) @ W2))(state)
    return jnp.sum(out.mean) + jnp.sum(out.var)

  arguments = X, jnp.full(X.shape, 0.3), W1
  gradients = jax.jit(jax.grad(loss, (0, 1, 2)))(*arguments)
  for i, gradient in enumerate(gradients):
    direction = jnp.cos(jnp.arange(gradient.size)).reshape(gradient.shape)

    def along(t, i=i, direction=direction):
      moved = list(arguments)
      moved[i] = moved[i] + t * direction
      return loss(*moved)

    numerical = (along(1e-2) - along(-1e-2)) / 2e-2
    np.testing.assert_allclose(
      jnp.vdot(gradient, direction), numerical, rtol=1e-2
    )


INSIDE = {
  "jit": jax.jit(net),
  "remat": jax.checkpoint(net),
  "closed_vjp": jax.custom_vjp(net),
  "cond": lambda x: lax.cond(W1.sum() < 99, net, lambda x: x[:, :3] * 0, x),
  "switch": lambda x: lax.switch(
    1, [lambda x: jnp.zeros((2, 3)), net, lambda x: x[:, 1:]], x
  ),
  "while": lambda x: net(
    lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, c[1] / 2), (0, x))[
      1
    ]
    * 4
  ),
  "fori": lambda x: lax.fori_loop(
    0, 1, lambda _, c: (c[0], net(c[0])), (x, jnp.zeros((2, 3)))
  )[1],
}
INSIDE["closed_vjp"].defvjp(
  lambda x: (net(x), x), lambda x, g: (g @ W2.T @ W1.T,)
)


@pytest.mark.parametrize("name", INSIDE)
def test_functions_within_the_function(name):
  state = noisy(X)
  assert_states_equal(propagate(INSIDE[name])(state), propagate(net)(state))


@pytest.mark.quick
def test_scan_equals_the_loop_written_out():
  def cell(carry, x):
    h, count = carry
    z = jax.nn.sigmoid(x @ W1[:, :4] + h @ W1[:, 4:8])
    h = (1 - z) * jnp.tanh(x @ W1[:, 8:12]) + z * h
    return (h, count + 1), (h * 2, count)

  def scanned(xs):
    return lax.scan(cell, (jnp.zeros((2, 4)), 0), xs)

  def written_out(xs):
    carry, ys = (jnp.zeros((2, 4)), 0), []
    for x in xs:
      carry, y = cell(carry, x)
      ys.append(y)
    return carry, jax.tree.map(lambda *y: jnp.stack(y), *ys)

  series = jnp.stack([X, X + 1, -X])
  directions = jnp.stack([jnp.cos(series), series])
  for state in (noisy(series), Tangents(series, directions)):
    first, second = propagate(scanned)(state), propagate(written_out)(state)
    assert jax.tree.structure(first) == jax.tree.structure(second)
    assert_states_equal(first, second)
    assert not isinstance(first[0][1], moments.State)


def test_without_noise_it_is_the_function_and_its_gradient():
  def network(weight, x):
    y = nn.max_pool(jax.nn.relu(x), (2, 2), (2, 2)).reshape(1, -1)
    return jax.nn.softmax(jax.nn.gelu(y @ weight))

  weight = jnp.asarray(RNG.normal(size=(18, 3)), jnp.float32)
  for relu in ("laplace", "linear", "moment"):

    def without(weight, x, relu=relu):
      return propagate(lambda x: network(weight, x))(noisy(x, 0.0, relu)).mean

    got, want = (
      jax.jit(lambda w, x, f=f: (f(w, x), jax.jacrev(f, (0, 1))(w, x)))(
        weight, IMAGE
      )
      for f in (without, network)
    )
    assert_states_equal(got, want, rtol=1e-4)


def test_what_does_not_depend_on_the_noise_stays_an_array():
  out = propagate(lambda x, y, name: (x + y, {name: y * 2}, jnp.zeros(3)))(
    noisy(X), X, name="y"
  )
  assert isinstance(out[0], Moments)
  assert isinstance(out[1]["y"], jax.Array)
  assert isinstance(out[2], jax.Array)
  assert propagate(jnp.sum)(X) == X.sum()


def test_units_after_weights_count_as_independent():
  state = noisy(X)
  out = propagate(lambda x: x * jax.nn.sigmoid(x @ W1[:, :4]))(state)
  gate = state.affine(X @ W1[:, :4], W1[:, :4], lambda k, x: x @ k).unary(
    jax.nn.sigmoid
  )
  assert_states_equal(out, state * gate)


def loop(step):
  return lambda x: lax.scan(step, jnp.zeros(4), x)


REFUSED = [
  ("mul", lambda x: x * x.mean(1, keepdims=True)),
  ("mul", lambda x: x[:, :, None] * x[:, None, :]),
  ("mul", lambda x: x[:, :2] * x[:, 1:3].T),
  ("mul", lambda x: x * x.reshape(4, 2).reshape(2, 4)),
  ("mul", lambda x: x * jax.checkpoint(jnp.tanh)(x)),
  ("mul", lambda x: x * lax.cond(X.sum() > 0, jnp.sin, jnp.cos, x)),
  ("mul", loop(lambda c, y: (c + y, c * (c.sum() + y)))),
  ("mul", loop(lambda c, y: (c + y, (c + y) * y))),
  ("mul", lambda x: x[::-1] * loop(lambda c, y: (c + y, c))(x)[1]),
  ("mul", lambda x: loop(lambda c, y: (c + y, c * x[0]))(x)),
  ("mul", lambda x: loop(lambda c, y: (y[0], c * y[1]))((x, x[::-1]))),
  ("mul", lambda x: loop(lambda c, y: (c, y * x[0]))(x)),
  ("div", lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True)),
  ("sub", lambda x: x - x.mean(0)),
  ("sub", lambda x: (x @ W1) - (x @ W1).mean(0)),
  ("mul", lambda x: (x @ W1) * (x @ W1)[:, ::-1]),
  ("log", lambda x: jnp.log(x)),
  ("log1p", lambda x: jnp.log1p(x @ W1)),
  ("log", lambda x: jnp.log(1 - jax.nn.sigmoid(x))),
  ("sqrt", lambda x: jnp.linalg.norm(x)),
  ("rsqrt", lambda x: lax.rsqrt(jnp.sum(x * x, 1) + 1e-3)),
  ("pow", lambda x: x**1.5),
  ("integer_pow", lambda x: x**-2),
  ("div", lambda x: 1 / x),
  ("div", lambda x: x[:, :2] / jnp.tanh(x[:, 2:])),
  ("acos", lambda x: jnp.arccos(x)),
  (
    "sub",
    lambda x: nn.avg_pool(x[..., None], (2,), padding="SAME")[..., 0] - x,
  ),
  ("sub", lambda x: jax.nn.log_softmax(x @ W1)),
  ("sub", lambda x: jax.nn.logsumexp(x)),
  ("max", lambda x: jnp.maximum(x, x[:, ::-1])),
  ("dot_general", lambda x: (x @ W1) @ (x @ W1).T),
  ("argmax", lambda x: jnp.argmax(x, -1)),
  ("sort", lambda x: jnp.sort(x, -1)),
  ("gt", lambda x: x > 0),
  ("convert_element_type", lambda x: x.astype(int)),
  ("cond", lambda x: lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x)),
  ("while", lambda x: lax.while_loop(lambda x: x.sum() < 3, jnp.sin, x)),
  ("scatter", lambda x: x.at[0].set(0)),
]


@pytest.mark.quick
@pytest.mark.parametrize(("name", "function"), REFUSED)
def test_what_has_no_right_rule_is_refused_with_its_line(name, function):
  with pytest.raises(moments.PropagationError) as error:
    propagate(function)(noisy(X))
  message = str(error.value)
  assert message.startswith(f"{name}: ")
  assert "propagate_test.py:" in message
  assert "moments.register_rule" in message


REPEATED = {
  "square": (lambda f, x: f(x) * f(x), jnp.square),
  "difference": (lambda f, x: f(x) - f(x), lambda y: y - y),
  "sum": (lambda f, x: f(x) + f(x), lambda y: 2 * y),
  "magnitude": (lambda f, x: jnp.maximum(f(x), -f(x)), jnp.abs),
}
LAYERS_TWICE = {
  "dense": lambda x: x @ W1,
  "transposed": lambda x: x @ (2 * W1.T).T,
  "bfloat16": lambda x: jnp.tanh(x).astype(jnp.bfloat16).astype(float) @ W1,
  "network": lambda x: jax.nn.silu(2 * x @ W1 + 0.1) @ W2,
  "jit": lambda x: jax.jit(net)(x),
  "remat": INSIDE["remat"],
}


@pytest.mark.parametrize("layer", LAYERS_TWICE)
@pytest.mark.parametrize("name", REPEATED)
def test_an_expression_written_twice_is_one_value(name, layer):
  written, function = REPEATED[name]
  layer, state = LAYERS_TWICE[layer], noisy(X)
  out = propagate(lambda x: written(layer, x))(state)
  assert_states_equal(out, propagate(layer)(state).unary(function), rtol=1e-4)


def test_an_expression_of_two_steps_of_a_loop_is_two_values():
  def step(carry, x):
    return carry * 0.5 + x @ W2[:4], x @ W2[:4] - x @ W2[:4]

  series = jnp.stack([X, 2 * X])
  last, nothing = propagate(lambda xs: lax.scan(step, jnp.zeros((2, 3)), xs))(
    noisy(series)
  )
  variances = 0.3 * jnp.sum(W2[:4] ** 2, 0)
  np.testing.assert_allclose(last.var[0], 1.25 * variances, rtol=1e-5)
  assert jnp.all(nothing.var == 0)


DEFINED = {
  "magnitude": lambda x: jnp.sqrt(x * x + 0.1),
  "softplus": lambda x: jnp.log(1 + jnp.exp(x)),
  "log_of_relu": lambda x: jnp.log(jax.nn.relu(x) + 0.5),
  "log_of_sigmoid": lambda x: jnp.log(jax.nn.sigmoid(x)),
  "root_of_softplus": lambda x: jnp.sqrt(jax.nn.softplus(x)),
  "clipped": lambda x: jnp.arcsin(jnp.clip(x, -0.9, 0.9)),
  "sigmoid": lambda x: 1 / (1 + jnp.exp(-x)),
  "cauchy": lambda x: (1 + x**2) ** -1.5,
  "power_of_two": lambda x: jnp.power(2.5, x),
  "ratio": lambda x: x[:, :2] / (1 + jnp.abs(x[:, 2:])),
}


@pytest.mark.parametrize("name", DEFINED)
def test_functions_that_stay_in_their_domain_agree_with_samples(name):
  state = noisy(X)
  out = propagate(DEFINED[name])(state)
  mean, var = sampled(DEFINED[name], state)
  np.testing.assert_allclose(out.mean, mean, atol=0.04)
  np.testing.assert_allclose(out.var, var, rtol=0.1, atol=0.01)


@pytest.mark.parametrize("relu", ["laplace", "linear"])
def test_linearised_modes_take_a_logarithm_to_first_order(relu):
  state = Moments(jnp.full(3, 2.0), jnp.full(3, 0.5), Rules(relu=relu))
  out = propagate(jnp.log)(state)
  np.testing.assert_allclose(out.mean, np.log(2.0), rtol=1e-6)
  np.testing.assert_allclose(out.var, 0.5 / 4, rtol=1e-6)


ALLOWED = [
  lambda x: x[:, 1:] * x[:, :-1],
  lambda x: x[:, 2:] * x[:, :2],
  lambda x: x[:, 1:3] * jnp.tanh(x[:, 1:3]),
  loop(lambda c, y: (y, y * c)),
]


@pytest.mark.parametrize("function", ALLOWED)
def test_products_of_different_units_are_those_of_samples(function):
  state = noisy(X)
  outs = propagate(function)(state)
  means, variances = sampled(function, state)
  leaves = zip(
    jax.tree.leaves(outs, is_leaf=lambda x: isinstance(x, Moments)),
    jax.tree.leaves(means),
    jax.tree.leaves(variances),
    strict=True,
  )
  for out, mean, var in leaves:
    np.testing.assert_allclose(out.mean, mean, atol=0.04)
    np.testing.assert_allclose(out.var, var, rtol=0.06, atol=0.01)


def test_a_covariance_goes_through_dense_layers_only():
  joint = moments.Joint(X, jnp.stack([jnp.eye(4)] * 2))
  out = propagate(lambda x: jnp.tanh(x @ W1 + 1))(joint)
  with_kernel = joint.affine(X @ W1 + 1, W1, lambda k, x: x @ k).unary(jnp.tanh)
  assert_states_equal(out, with_kernel)
  out = propagate(lambda x: jnp.einsum("bk,ok->bo", x, W1.T))(joint)
  assert_states_equal(out, joint.affine(X @ W1, W1, lambda k, x: x @ k))
  for wrong in (lambda x: x.sum(1), lambda x: W1[:2, :2] @ x, lambda x: x.T):
    with pytest.raises(TypeError, match="dense layers only"):
      propagate(wrong)(joint)


def test_a_rule_of_ones_own_is_used(monkeypatch):
  monkeypatch.setattr(table, "REGISTERED", {})

  def reverse(x, *, dimension, **params):
    assert dimension == 1
    return x[:, ::-1]

  moments.register_rule("sort", reverse)
  state = noisy(X)
  out = propagate(lambda x: jnp.sort(2 * x, 1) + 1)(state)
  assert_states_equal(out, (2 * state + 1)[:, ::-1])
  with pytest.raises(moments.PropagationError, match="mul"):
    propagate(lambda x: x * jnp.sort(x, 1))(state)


def test_bfloat16_keeps_its_noise_in_float32():
  def layer(x):
    return jax.nn.gelu(x.astype(jnp.bfloat16) @ W1.astype(jnp.bfloat16))

  out = propagate(layer)(noisy(X))
  expected = propagate(lambda x: jax.nn.gelu(x @ W1))(noisy(X))
  assert out.mean.dtype == jnp.bfloat16
  assert out.var.dtype == jnp.float32
  np.testing.assert_allclose(
    out.mean.astype(jnp.float32), expected.mean, atol=0.03
  )
  np.testing.assert_allclose(out.var, expected.var, rtol=0.05, atol=0.01)
