"""Forwards with noise inside: what their distributions must be."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import methods, models, moments
from jaxrobust.methods import inner_noise, sampled, stochastic

KEYS = jax.random.split(jax.random.key(5), 2)


def jit(function):
  """For what runs once: what counts is how long it compiles."""
  options = {"xla_backend_optimization_level": 0}
  return jax.jit(function, compiler_options=options)


@functools.cache
def dense(hidden=(7, 6)):
  """A dense network, its variables, inputs, and its kernels and biases."""
  model = models.build("mlp", num_classes=3, hidden=hidden)
  x = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
  variables = model.init(jax.random.key(0), x)
  layers = list(variables["params"].values())
  # Biases of 0 would hide where they go.
  for number, layer in enumerate(layers):
    layer["bias"] = layer["bias"] + 0.1 * (number + 1)
  return model, variables, x, [(p["kernel"], p["bias"]) for p in layers]


def run(forward, model, variables, x, keys=KEYS, train=True):
  return forward(model, variables, x, jnp.ones(len(x)), train, keys)[0]


def once(forward, model, variables, x, keys=KEYS, train=True):
  """The same, compiled."""

  @jit
  def compiled(variables, x, keys):
    return run(forward, model, variables, x, keys, train)

  return compiled(variables, x, keys)


def after_first(layers):
  """The rest of the dense network, of one first pre-activation."""

  def rest(z):
    for kernel, bias in layers[1:]:
      z = jnp.maximum(z, 0) @ kernel + bias
    return z

  return rest


def jacobian_of_rest(x, layers):
  """[N, K, U], by reverse differentiation of plain JAX."""
  kernel, bias = layers[0]
  return jax.vmap(jax.jacrev(after_first(layers)))(x @ kernel + bias)


@pytest.mark.quick
def test_laplace_gives_the_squared_path_norm_whatever_the_input():
  model, variables, x, layers = dense()
  path = np.ones(7)
  for kernel, _ in layers[1:]:
    path = path @ np.square(kernel, dtype=np.float64)
  forward = stochastic.moments_forward(sigma=0.6)
  for inputs in (x, 10 * x, 0 * x):
    outputs = once(forward, model, variables, inputs)
    np.testing.assert_allclose(
      outputs.distribution.var, np.tile(0.36 * path, (2, 1)), rtol=1e-5
    )
    plain = model.apply(variables, inputs).logits
    np.testing.assert_allclose(outputs.logits, plain, rtol=1e-5, atol=1e-6)
  norm = inner_noise.path_norm(model, variables, (5,))
  np.testing.assert_allclose(norm, np.sqrt(path.sum()), rtol=1e-5)
  np.testing.assert_allclose(outputs.metrics["path_norm"], norm, rtol=1e-5)


@pytest.mark.quick
@pytest.mark.parametrize("covariance", ["jacobian", "full"])
def test_linear_with_correlations_is_the_jacobian(covariance):
  model, variables, x, layers = dense()
  relu = "linear" if covariance == "full" else None
  forward = stochastic.moments_forward(
    sigma=0.6, covariance=covariance, relu=relu
  )
  law = once(forward, model, variables, x).distribution
  jacobian = jacobian_of_rest(x, layers)
  expected = 0.36 * np.einsum("nku,nlu->nkl", jacobian, jacobian)
  np.testing.assert_allclose(law.cov, expected, rtol=1e-4, atol=1e-6)


def conv_net(name):
  """A shipped network and the rest of it, as a function of the noise."""
  shape = {"lenet5": (12, 12, 1), "resnet1d": (12, 2), "lstm": (5, 2)}[name]
  model = models.build(name, num_classes=3, **models.quick_options(name))
  x = np.random.default_rng(0).uniform(size=(2, *shape)).astype(np.float32)
  variables = jit(model.init)(jax.random.key(0), x)

  def rest(noise):
    add = moments.Injection(lambda z: z + noise)
    with moments.intercepting(add):
      return model.apply(variables, x).logits

  seen = []
  look = moments.Injection(lambda z: seen.append(z.shape) or z)
  with moments.intercepting(look):
    jax.eval_shape(model.apply, variables, x)
  return model, variables, x, rest, seen[0]


@pytest.mark.parametrize("name", ["lenet5", "resnet1d", "lstm"])
def test_jacobian_and_many_probes_agree_with_reverse_differentiation(name):
  model, variables, x, rest, place = conv_net(name)
  count = 256
  probing = stochastic.moments_forward(
    sigma=0.6, covariance="probes", probes=count, predict="mean"
  )
  exact = stochastic.moments_forward(
    sigma=0.6, covariance="jacobian", predict="mean"
  )

  @jit
  def everything():
    jacobian = jax.jacrev(rest)(jnp.zeros(place)).reshape(2, 3, 2, -1)
    jacobian = jnp.stack([jacobian[n, :, n] for n in range(2)])
    laws = [
      run(forward, model, variables, x, None, False).distribution
      for forward in (exact, probing)
    ]
    return 0.36 * jnp.sum(jacobian**2, -1), laws[0].var, laws[1].var

  expected, found, estimated = everything()
  np.testing.assert_allclose(found, expected, rtol=2e-4)
  # The relative standard deviation of an estimate is about sqrt(2 / count).
  np.testing.assert_allclose(
    estimated / expected, 1, atol=5 * np.sqrt(2 / count)
  )


def test_probes_are_unbiased_with_the_promised_spread():
  model, variables, x, layers = dense((32, 32))
  forward = stochastic.moments_forward(sigma=0.6, covariance="probes", probes=4)
  keys = jax.random.split(jax.random.key(7), (2000, 2))

  @jax.jit
  def estimates(keys):
    return jax.vmap(
      lambda k: run(forward, model, variables, x, k).distribution.var
    )(keys)

  got = estimates(keys)
  expected = 0.36 * np.sum(jacobian_of_rest(x, layers) ** 2, -1)
  z = (got.mean(0) - expected) / (got.std(0) / np.sqrt(len(keys)))
  assert np.abs(z).max() < 4
  relative = got.std(0) / expected
  # It is sqrt(2 / k) times a little less than 1: a square's own unit is exact.
  assert (relative < 1.05 * np.sqrt(2 / 4)).all()
  assert (relative > 0.7 * np.sqrt(2 / 4)).all()


@pytest.mark.quick
@pytest.mark.parametrize(
  "forward",
  [
    stochastic.moments_forward(sigma=0.6, covariance="probes", predict="mean"),
    sampled.sampled(sigma=0.6, samples=3, predict="mean"),
  ],
)
def test_evaluation_does_not_depend_on_the_batch(forward):
  model, variables, x, _ = dense()

  def law(x):
    found = run(forward, model, variables, x, None, False).distribution
    return found.logits if isinstance(found, models.Samples) else found.var

  both, one = law(x), law(x[1:])
  np.testing.assert_allclose(both[..., 1:, :], one, rtol=1e-5)


def test_the_first_two_layers_are_exact_with_pooling_of_pairs():
  """Clark's maximum of two, rectified moments and sums of independent ones."""

  class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train=False, mask=None):
      x = nn.Conv(4, (3,))(x)
      x = moments.ops.max_pool(x, (2,))
      x = moments.ops.relu(x).reshape(len(x), -1)
      return models.Outputs(nn.Dense(3)(x), x)

  x = np.random.default_rng(3).normal(size=(1, 8, 2)).astype(np.float32)
  model = Net()
  variables = model.init(jax.random.key(0), x)
  # relu of a maximum of two is a maximum of three: Clark is exact for two, so
  # the third is put out of reach.
  variables["params"]["Conv_0"]["bias"] += 8.0
  forward = stochastic.moments_forward(sigma=0.6, relu="moment")
  law = once(forward, model, variables, x, None).distribution
  drawn = sampled.sampled(sigma=0.6, samples=100_000)
  samples = jax.jit(lambda: run(drawn, model, variables, x, KEYS[:1]))()
  assert_moments(law, samples.distribution.logits)


def test_the_first_two_dense_layers_are_exact():
  model, variables, x, layers = dense((9,))
  forward = stochastic.moments_forward(sigma=0.6, relu="moment")
  law = once(forward, model, variables, x).distribution
  assert_moments(law, plain_samples(x, layers))


@functools.partial(jax.jit, static_argnums=2)
def plain_samples(x, layers, count=100_000):
  """Logits [S, N, K] of a dense network under noise, in plain JAX."""
  kernel, bias = layers[0]
  z = x @ kernel + bias
  noise = jax.random.normal(jax.random.key(11), (count, *z.shape))
  return after_first(layers)(z + 0.6 * noise)


def assert_moments(law, samples):
  """Means and variances within what so many samples can tell."""
  samples = np.asarray(samples, np.float64)
  count = len(samples)
  mean, var = samples.mean(0), samples.var(0)
  fourth = ((samples - mean) ** 4).mean(0)
  z_mean = (law.mean - mean) / np.sqrt(var / count)
  z_var = (law.var - var) / np.sqrt((fourth - var**2) / count)
  assert np.abs(z_mean).max() < 4
  assert np.abs(z_var).max() < 4


def test_a_full_covariance_is_right_through_three_dense_layers():
  """Measured: means within 3% of a std, stds within 3.1%."""
  model, variables, x, layers = dense((24, 24, 24))
  samples = np.asarray(plain_samples(x, layers), np.float64)
  forward = stochastic.moments_forward(
    sigma=0.6, relu="moment", covariance="full"
  )
  law = once(forward, model, variables, x).distribution
  std = samples.std(0)
  assert np.abs((law.mean - samples.mean(0)) / std).max() < 0.04
  np.testing.assert_allclose(np.sqrt(law.var), std, rtol=0.04)
  for n in range(2):
    expected = np.corrcoef(samples[:, n].T)
    found = law.cov[n] / np.sqrt(np.outer(law.var[n], law.var[n]))
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize(
  ("name", "bias", "low", "high"),
  [("lstm", 0.03, 0.8, 1.1), ("resnet1d", 0.35, 0.4, 2.5)],
)
def test_deep_diagonal_moments_are_near_the_sampled_ones(name, bias, low, high):
  """Means in units of the std, and ratios of variances.

  Measured, of fresh networks: 0.01 and 0.87 to 0.98 for the LSTM, 0.26 and 0.54
  to 2.1 for the residual network, whose branches are correlated.
  """
  model, variables, x, _, _ = conv_net(name)
  analytic = stochastic.moments_forward(
    sigma=0.3, relu="moment", predict="mean"
  )
  law = jit(lambda: run(analytic, model, variables, x, None, False))()
  drawn = sampled.sampled(sigma=0.3, samples=4000, predict="mean")
  samples = jit(lambda: run(drawn, model, variables, x, KEYS, False))()
  samples = samples.distribution.logits
  law = law.distribution
  off = np.abs(law.mean - samples.mean(0)) / samples.std(0)
  ratio = law.var / samples.var(0)
  assert np.median(off) < bias
  assert low < ratio.min()
  assert ratio.max() < high


@pytest.mark.quick
@pytest.mark.parametrize("relu", ["laplace", "linear", "moment"])
def test_the_gradient_in_sigma_is_that_of_finite_differences(relu):
  model, variables, x, layers = dense()
  forward = stochastic.moments_forward(sigma=0.6, learn=True, relu=relu)
  labels = np.eye(3)[[0, 2]]

  def loss_of_law(law):
    return jnp.sum((labels - law.mean) ** 2 + jnp.sqrt(law.var))

  @jax.jit
  def loss(log_sigma):
    noise = {"log_sigma": log_sigma}
    own = {"params": {**variables["params"], inner_noise.NOISE: noise}}
    return loss_of_law(run(forward, model, own, x).distribution)

  start, step = jnp.log(0.6), 0.02
  gradient = jax.grad(loss)(start)
  numeric = (loss(start + step) - loss(start - step)) / (2 * step)
  np.testing.assert_allclose(gradient, numeric, rtol=5e-3)

  # The general rule, in terms of the variances that enter.
  kernel, bias = layers[0]
  z = x @ kernel + bias

  def of_variances(var):
    enter = moments.Injection(
      lambda z: moments.Moments(z, var, moments.Rules(relu=relu))
    )
    with moments.intercepting(enter):
      return loss_of_law(model.apply(variables, x).logits)

  var = jnp.full(z.shape, 0.36)
  by_rule = 2 * 0.6 * jnp.sum(jax.grad(of_variances)(var))
  np.testing.assert_allclose(gradient / 0.6, by_rule, rtol=1e-4)
  if relu != "moment":
    law = once(forward, model, with_sigma(variables, 0.6), x).distribution
    slopes = jax.grad(lambda v: loss_of_law(moments.Moments(law.mean, v)))(
      law.var
    )
    by_output = 2 / 0.6 * jnp.sum(law.var * slopes)
    np.testing.assert_allclose(gradient / 0.6, by_output, rtol=1e-4)


def with_sigma(variables, sigma):
  noise = {"log_sigma": jnp.log(jnp.asarray(sigma, jnp.float32))}
  params = {**variables["params"], inner_noise.NOISE: noise}
  return {**variables, "params": params}


@pytest.mark.parametrize("alpha", [2.0, 1.5])
def test_samples_have_the_analytic_law(alpha):
  """Of one layer after the noise both are exact: quantiles tell the scale."""
  x = dense()[2]

  class Linear(nn.Module):
    @nn.compact
    def __call__(self, x, train=False, mask=None):
      x = nn.Dense(6)(x)
      return models.Outputs(nn.Dense(3)(x), x)

  model = Linear()
  variables = model.init(jax.random.key(0), x)
  analytic = stochastic.moments_forward(sigma=0.6, alpha=alpha)
  drawn = sampled.sampled(sigma=0.6, alpha=alpha, samples=20_000)
  law = once(analytic, model, variables, x).distribution
  logits = once(drawn, model, variables, x).distribution.logits
  centred = np.asarray(logits - law.loc)
  np.testing.assert_allclose(np.median(centred, 0), 0, atol=0.05)
  scale = law.scale if alpha < 2 else jnp.sqrt(law.var)
  upper = np.quantile(np.abs(centred), 0.5, axis=0)
  standard = 0.674490 if alpha == 2 else 0.968892
  np.testing.assert_allclose(upper / scale, standard, rtol=0.04)


@pytest.mark.quick
def test_options_of_the_strength():
  model, variables, x, layers = dense()
  ones = jnp.ones(2)
  kernel, bias = layers[0]
  z = x @ kernel + bias
  rms = np.sqrt(np.mean(np.square(z), -1))

  fixed = stochastic.moments_forward(sigma=0.6)
  metrics = once(fixed, model, variables, x).metrics
  np.testing.assert_allclose(metrics["sigma"], 0.6, rtol=1e-6)
  np.testing.assert_allclose(metrics["sigma_eff"], 0.6 / rms, rtol=1e-5)

  relative = stochastic.moments_forward(sigma=0.6, relative=True)
  metrics = once(relative, model, variables, x).metrics
  np.testing.assert_allclose(metrics["sigma_eff"], 0.6, rtol=1e-5)

  scheduled = stochastic.moments_forward(
    sigma=0.6, schedule="linear", schedule_from=0.0, schedule_to=2.0
  )
  for progress, sigma in ((0.0, 0.0), (0.25, 0.3), (1.0, 1.2)):
    outputs, _ = scheduled(model, variables, x, ones, True, None, progress)
    np.testing.assert_allclose(outputs.metrics["sigma"], sigma, rtol=1e-5)

  learned = stochastic.moments_forward(sigma=0.6, learn=True, per_channel=True)
  own = learned.parameters(model, variables, x)
  log_sigma = own[inner_noise.NOISE]["log_sigma"]
  assert log_sigma.shape == (7,)
  np.testing.assert_allclose(np.exp(log_sigma), 0.6, rtol=1e-6)
  # The last channel's noise alone.
  sigmas = jnp.where(jnp.arange(7) == 6, 1.0, 1e-12)
  (_, _), (second, _), (head, _) = layers
  law = once(learned, model, with_sigma(variables, sigmas), x).distribution
  np.testing.assert_allclose(law.var[0], second[6] ** 2 @ head**2, rtol=1e-5)


@pytest.mark.quick
def test_noise_enters_before_a_linear_classifier_s_output():
  model, variables, x, _ = dense(())
  for options in ({}, {"covariance": "jacobian"}, {"alpha": 1.5}):
    forward = stochastic.moments_forward(sigma=0.6, **options)
    outputs = once(forward, model, variables, x)
    np.testing.assert_allclose(outputs.features, x)
    np.testing.assert_allclose(
      outputs.logits, model.apply(variables, x).logits, rtol=1e-5, atol=1e-6
    )


@pytest.mark.quick
def test_a_marked_place_is_used():
  class Marked(nn.Module):
    @nn.compact
    def __call__(self, x, train=False, mask=None):
      x = moments.inject(moments.ops.relu(nn.Dense(6)(x)))
      return models.Outputs(nn.Dense(3, name="head")(x), x)

  model = Marked()
  x = jnp.ones((2, 4))
  variables = model.init(jax.random.key(0), x)
  forward = stochastic.moments_forward(sigma=0.6, place="marked")
  law = once(forward, model, variables, x).distribution
  head = variables["params"]["head"]["kernel"]
  np.testing.assert_allclose(law.var[0], 0.36 * (head**2).sum(0), rtol=1e-5)


@pytest.mark.quick
def test_path_norm_is_finite_with_norms_of_each_example():
  model = models.build("resnet1d", num_classes=2, width=4, norm="group")
  x = jnp.ones((1, 8, 2))
  variables = jit(model.init)(jax.random.key(0), x)
  norm = jit(lambda: inner_noise.path_norm(model, variables, (8, 2)))()
  assert 0 < norm < 1e6


@pytest.mark.quick
def test_what_is_evaluated():
  model, variables, x, _ = dense()
  plain = model.apply(variables, x).logits
  for relu, pool, default in (
    ("laplace", None, "off"),
    ("linear", "clark", "mean"),
    ("moment", None, "mean"),
  ):
    options = {"sigma": 0.6, "relu": relu, "pool": pool}
    forward = stochastic.moments_forward(**options)
    assert forward.predict == default
  forward = stochastic.moments_forward(sigma=0.6, relu="moment")
  mean = once(forward, model, variables, x, train=False)
  assert np.abs(mean.logits - plain).max() > 1e-3
  off = stochastic.moments_forward(sigma=0.6, relu="moment", predict="off")
  outputs = once(off, model, variables, x, train=False)
  np.testing.assert_allclose(outputs.logits, plain, rtol=1e-5, atol=1e-6)
  assert outputs.distribution is None


@pytest.mark.quick
@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"sigma": -1.0}, "sigma=-1.0: must be a finite number >= 0"),
    ({"sigma": float("nan")}, "sigma=nan: must be"),
    ({"sigma": 0.0, "learn": True}, "sigma=0 with learn=True: must be > 0"),
    (
      {"learn": True, "schedule": "linear", "schedule_from": 0.0},
      "schedule='linear' with learn=True: must be 'constant'",
    ),
    ({"per_channel": True}, "per_channel=True: only with learn=True"),
    ({"place": "last"}, "place='last': must be one of"),
    ({"relu": "exact"}, "relu='exact': must be one of"),
    ({"pool": "mean"}, "pool='mean': must be one of"),
    ({"covariance": "block"}, "covariance='block': must be one of"),
    ({"alpha": 0.0}, r"alpha=0.0: must lie in \(0, 2\]"),
    (
      {"probes": 0, "covariance": "probes"},
      "probes=0: must be at least 1",
    ),
    ({"probes": 8}, "probes=8 with covariance='diagonal': only with 'probes'"),
    ({"predict": "on"}, "predict='on': must be one of"),
    (
      {"alpha": 1.5, "covariance": "full"},
      "covariance='full' with alpha=1.5: .* must be 'diagonal' or 'jacobian'",
    ),
    ({"alpha": 1.5, "relu": "moment"}, "relu='moment' with alpha=1.5: must be"),
    ({"alpha": 1.5, "pool": "clark"}, "pool='clark' with alpha=1.5: must be"),
    (
      {"covariance": "probes", "relu": "laplace"},
      "relu='laplace' with covariance='probes': must be 'linear'",
    ),
  ],
)
def test_bad_options_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    stochastic.moments_forward(**{"sigma": 0.6, **options})


class Foreign(nn.Module):
  """A model that knows nothing of random values."""

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    x = nn.relu(nn.Dense(4)(inputs))
    return models.Outputs(nn.Dense(3)(x), x)


def test_drawn_noise_goes_through_any_model():
  model, x = Foreign(), jnp.ones((2, 5))
  variables = model.init(jax.random.key(0), x)
  keys = jax.random.split(jax.random.key(1), 2)
  forward = sampled.sampled(sigma=0.6)
  outputs, _ = forward(model, variables, x, jnp.ones(2), True, keys)
  assert set(outputs.metrics) == {"sigma", "sigma_eff"}
  assert not inner_noise.carries_states(model, variables, (5,))


def test_deciding_by_a_mean_may_take_more_samples_than_a_step():
  model = models.build("mlp", num_classes=3, hidden=(4,))
  x = jnp.ones((2, 5))
  variables = model.init(jax.random.key(0), x)
  forward = sampled.sampled(sigma=0.6, predict="mean", predict_samples=7)
  outputs, _ = forward(model, variables, x, jnp.ones(2), False)
  assert outputs.distribution.logits.shape == (7, 2, 3)
  keys = jax.random.split(jax.random.key(1), 2)
  outputs, _ = forward(model, variables, x, jnp.ones(2), True, keys)
  assert outputs.distribution.logits.shape == (1, 2, 3)


@pytest.mark.quick
def test_sampling_needs_samples():
  with pytest.raises(ValueError, match="samples=0: must be at least 1"):
    sampled.sampled(sigma=0.6, samples=0)
  with pytest.raises(ValueError, match="predict_samples=4 with predict='off'"):
    sampled.sampled(sigma=0.6, predict_samples=4)
  assert methods.FORWARDS["sampled"] is sampled.sampled
