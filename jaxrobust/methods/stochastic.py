"""Forwards with noise inside the network; here it is propagated."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrobust import models, moments
from jaxrobust.alpha_stable import uniforms
from jaxrobust.methods import inner_noise
from jaxrobust.moments import rules

Covariance = Literal["diagonal", "full", "probes", "jacobian"]
Predict = Literal["off", "mean"]


class Stochastic:
  """A forward with noise inside; see `moments_forward` and `sampled.sampled`.

  Attributes:
    noise: How strong the noise is.
    predict: How the network is evaluated after training.
  """

  # What an adaptive attack climbs, one after the other; see `seen_by`.
  adaptive = (
    "derivative",
    "noise_off",
    "expected(sigma*0.5)",
    "expected(sigma*1)",
    "expected(sigma*2)",
  )

  def __init__(
    self,
    noise: inner_noise.InnerNoise,
    predict: Predict,
    run: Callable[..., tuple[models.Outputs, Any, dict[str, jax.Array]]],
  ):
    self.noise, self.predict, self._run = noise, predict, run
    self._factor = 1.0

  def parameters(
    self, model: nn.Module, variables: Mapping[str, Any], inputs: jax.Array
  ) -> dict[str, Any]:
    """What is learned beside the network's parameters; see `InnerNoise`."""
    return self.noise.parameters(model, variables, inputs)

  def seen_by(self, gradient: str) -> Any:
    """The forward whose loss an adaptive attack climbs.

    A network that is judged without the noise it was trained with is attacked
    through the noise, and one that is judged by its mean without it: either
    gradient may be the one that the other hides.

    Args:
      gradient: One of `adaptive`: "derivative", of the forward as it is judged;
        "noise_off"; or "expected(sigma*F)", of the loss that the noise of F
        times the strength gives in the mean, `expected_logits`.

    Returns:
      A forward for evaluation; its logits are what is climbed.
    """
    if gradient == "derivative":
      return self
    noise_off = copy.copy(self)
    noise_off.predict = "off"
    if gradient == "noise_off":
      return noise_off
    through = copy.copy(self)
    through.predict = "mean"
    through._factor = float(gradient.partition("*")[2].rstrip(")"))

    def forward(model, variables, inputs, mask, train, keys=None, progress=1.0):
      outputs, batch_stats = through(
        model, variables, inputs, mask, train, keys, progress
      )
      return outputs._replace(logits=expected_logits(outputs)), batch_stats

    return forward

  def __call__(
    self,
    model: nn.Module,
    variables: Mapping[str, Any],
    inputs: jax.Array,
    mask: jax.Array,
    train: bool,
    keys: jax.Array | None = None,
    progress: jax.Array | float = 1.0,
  ) -> tuple[models.Outputs, Any]:
    """The outputs, with their distribution, and the new batch statistics."""
    sigma = self._factor * self.noise.strength(variables["params"], progress)
    own = inner_noise.network(variables)
    batch_stats = variables.get("batch_stats", {})
    if not train and self.predict == "off":
      outputs: Any = model.apply(own, inputs, train=False, mask=mask)
      return outputs, batch_stats

    random: dict[str, Any] = {}
    if getattr(model, "dropout", 0):
      random["keys"] = keys

    def apply(noise):
      """Runs the model once, with what `noise` puts in at the place."""
      with moments.intercepting(moments.Injection(noise, self.noise.place)):
        if not train:
          return model.apply(own, inputs, train=False, mask=mask), batch_stats
        outputs, updated = model.apply(
          own,
          inputs,
          train=True,
          mask=mask,
          mutable=["batch_stats"],
          **random,
        )
        return outputs, updated.get("batch_stats", {})

    outputs, batch_stats, seen = self._run(
      apply, self.noise, sigma, keys, len(inputs), train
    )
    if not train:
      return outputs, batch_stats
    count = jnp.ones(len(inputs))
    metrics = {
      "sigma": sigma.mean() * count,
      "sigma_eff": seen["sigma_eff"],
    }
    what = (model, variables, inputs.shape[1:], self.noise.place)
    # Drawn noise goes through any model, states only through those of ops.
    if inner_noise.carries_states(*what):
      metrics["path_norm"] = count * inner_noise.path_norm(*what)
    metrics = jax.lax.stop_gradient(metrics)
    return outputs._replace(metrics=metrics), batch_stats


def expected_logits(outputs: models.Outputs) -> jax.Array:
  """Logits whose softmax is about the mean softmax under the noise.

    m / sqrt(1 + pi v / 8)

  of a mean m and a variance v, unit by unit; of drawn logits exactly, the
  logarithm of the mean of their softmax; and of a stable law or a linear one
  the location.

  Args:
    outputs: Of a stochastic forward.

  Returns:
    float32 [N, K].

  Example:
    >>> law = moments.Moments(jnp.ones((1, 2)), jnp.full((1, 2), 24 / jnp.pi))
    >>> expected_logits(models.Outputs(law.mean, law.mean, law)).tolist()
    [[0.5, 0.5]]

  Reference: D. J. C. MacKay, The evidence framework applied to classification
  networks, Neural Computation 4, 1992, equation 3.
  """
  law = outputs.distribution
  if isinstance(law, models.Samples):
    return jax.nn.logsumexp(jax.nn.log_softmax(law.logits), axis=0) - jnp.log(
      len(law.logits)
    )
  if isinstance(law, moments.Moments | moments.Joint):
    return outputs.logits / jnp.sqrt(1.0 + math.pi / 8.0 * law.var)
  return outputs.logits


def moments_forward(
  *,
  sigma: float,
  learn: bool = False,
  per_channel: bool = False,
  relative: bool = False,
  place: moments.Place = "first",
  schedule: str = "constant",
  schedule_from: float | None = None,
  schedule_to: float | None = None,
  relu: moments.Relu | None = None,
  pool: moments.Pool | None = None,
  covariance: Covariance = "diagonal",
  probes: int | None = None,
  alpha: float = 2.0,
  predict: Predict | None = None,
) -> Stochastic:
  """Noise on the first pre-activation, carried to the logits analytically.

    z~ = z + sigma eps,  eps ~ N(0, I);  mean and variance of f(z~) by rules

  and, for a tail index below 2, symmetric alpha-stable noise of scale sigma to
  first order. The outputs' `distribution` is a `moments.Moments`, with a
  covariance a `moments.Joint`, and a `moments.Stable` or `moments.Linear` for
  alpha < 2.

  Args:
    sigma: The standard deviation of the noise (the scale, for alpha < 2), or
      where learning it starts.
    learn: Whether log sigma is a parameter, with the learning rate
      `config.optimizer.noise_rate` times that of the others.
    per_channel: Whether every channel learns its own.
    relative: Whether sigma is in units of the root mean square of the
      example's pre-activations, so that larger weights do not evade it.
    place: "first", the first affine layer's output or a mark before it, or
      "marked", the model's call of `moments.inject`.
    schedule: As of `strength_schedule`: sigma over the training.
    schedule_from: Factor of sigma at the first step.
    schedule_to: Factor of sigma after the last.
    relu: As of `moments.Rules`; by default "laplace", with a "full" covariance
      "moment", and "linear", the only one there, for alpha < 2, "probes" and
      "jacobian".
    pool: As of `moments.Rules`.
    covariance: "diagonal" takes units for independent; "full" keeps their
      covariance, in a stack of dense layers; "probes" estimates the variance
      to first order from random directions; "jacobian" has the covariance of
      the logits to first order, from one gradient per class.
    probes: The number of directions of "probes", by default 4.
    alpha: The tail index, in (0, 2].
    predict: How the network is evaluated: "off", without noise, or "mean", by
      the mean of its logits under the noise. By default "mean" for the relu
      "moment" and the pool "clark", whose mean is another function than the
      network without noise, and "off" otherwise.

  Returns:
    The forward.

  Raises:
    ValueError: If a parameter is out of range or does not fit the others.

  Example:
    >>> model = models.build("mlp", num_classes=3, hidden=(4,))
    >>> x = jnp.ones((2, 5, 1))
    >>> variables = model.init(jax.random.key(0), x)
    >>> forward = moments_forward(sigma=0.6)
    >>> outputs, _ = forward(model, variables, x, jnp.ones(2), True)
    >>> outputs.distribution.var.shape
    (2, 3)

  Reference: O. Arous, A. F. Lopez-Lopera, N. Abu-Ghazaleh and I. Alouani, May
  the Noise be with you: Adversarial Training without Adversarial Examples,
  arXiv:2312.08877.
  """
  noise = inner_noise.inner_noise(
    sigma,
    learn,
    per_channel,
    relative,
    place,
    schedule,
    schedule_from,
    schedule_to,
  )
  one_of("covariance", covariance, get_args(Covariance))
  if not 0 < alpha <= 2:
    raise ValueError(f"alpha={alpha}: must lie in (0, 2]")
  if probes is not None and covariance != "probes":
    raise ValueError(
      f"probes={probes} with covariance={covariance!r}: only with 'probes'"
    )
  directions = 4 if probes is None else probes
  if directions < 1:
    raise ValueError(f"probes={probes}: must be at least 1")
  first_order = covariance in ("probes", "jacobian")
  if alpha < 2 and covariance not in ("diagonal", "jacobian"):
    raise ValueError(
      f"covariance={covariance!r} with alpha={alpha}: there is no covariance; "
      "must be 'diagonal' or 'jacobian'"
    )
  for name, value, only in (("relu", relu, "linear"), ("pool", pool, "gather")):
    if (alpha < 2 or first_order) and value not in (None, only):
      why = f"alpha={alpha}" if alpha < 2 else f"covariance={covariance!r}"
      raise ValueError(f"{name}={value!r} with {why}: must be {only!r}")
  default = "moment" if covariance == "full" else "laplace"
  if alpha < 2 or first_order:
    default = "linear"
  own_rules = moments.Rules(relu=relu or default, pool=pool)
  shifts = own_rules.relu == "moment" or own_rules.pool == "clark"
  predict = predict or ("mean" if shifts else "off")
  one_of("predict", predict, get_args(Predict))

  def run(apply, noise, sigma, keys, batch, train):
    del batch, train
    if covariance == "jacobian":
      return _jacobian(apply, noise, sigma, alpha)
    seen = {}

    def enter(values):
      std = noise.at(values, sigma)
      seen["sigma_eff"] = relative_strength(std, values)
      if alpha < 2:
        return moments.Stable(values, std, alpha)
      if covariance == "full":
        if values.ndim != 2:
          raise ValueError(
            "covariance='full': must be another for a network whose noise "
            f"enters at {values.ndim - 1} axes, as before a convolution"
          )
        cov = jnp.square(std)[..., None] * jnp.eye(values.shape[-1])
        return moments.Joint(values, cov, own_rules)
      if covariance == "probes":
        signs = _signs(keys, directions, values.shape)
        return moments.Tangents(values, signs * std)
      return moments.Moments(values, jnp.square(std), own_rules)

    outputs, batch_stats = apply(enter)
    law = outputs.logits
    if isinstance(law, moments.Tangents):
      law = moments.Moments(law.loc, law.var, own_rules)
    features = _without_noise(outputs.features)
    return models.Outputs(law.loc, features, law), batch_stats, seen

  return Stochastic(noise, predict, run)


def _jacobian(apply, noise, sigma, alpha):
  """The logits as linear functions of the noise, from K gradients."""
  place = {}

  def look(values):
    place["shape"] = values.shape
    return moments.Tangents(values, jnp.zeros((1, *values.shape)))

  jax.eval_shape(lambda: apply(look))

  def directional(direction):
    """How the logits answer to a direction of noise, in which it is linear."""
    seen = {}

    def enter(values):
      std = noise.at(values, sigma)
      seen["sigma_eff"] = relative_strength(std, values)
      return moments.Tangents(values, (direction * std)[None])

    outputs, batch_stats = apply(enter)
    logits, features = outputs.logits, _without_noise(outputs.features)
    return logits.tangents[0], (logits.loc, features, batch_stats, seen)

  zero = jnp.zeros(place["shape"], jnp.float32)
  _, pull, rest = jax.vjp(directional, zero, has_aux=True)
  logits, features, batch_stats, seen = rest
  classes = logits.shape[-1]
  # One cotangent per class, the same for all examples: they do not interact.
  rows = jnp.broadcast_to(
    jnp.eye(classes)[:, None, :], (classes, *logits.shape)
  )
  (jacobian,) = jax.vmap(pull)(rows)
  jacobian = jnp.moveaxis(jacobian.reshape(classes, len(logits), -1), 0, 1)
  if alpha < 2:
    law = moments.Linear(logits, jacobian, alpha)
  else:
    cov = jnp.einsum("nku,nlu->nkl", jacobian, jacobian)
    law = moments.Joint(logits, cov)
  return models.Outputs(logits, features, law), batch_stats, seen


def _without_noise(x: jax.Array | moments.State) -> jax.Array:
  """The values; of features before the noise those that they are."""
  return x.loc if isinstance(x, moments.State) else x


def relative_strength(std: jax.Array, values: jax.Array) -> jax.Array:
  """Sigma over the root mean square of each example's values, [N]."""
  axes = tuple(range(1, values.ndim))
  return jnp.mean(std / inner_noise.root_mean_square(values), axes)


def _signs(
  keys: jax.Array | None, probes: int, shape: tuple[int, ...]
) -> jax.Array:
  """Random signs [probes, *shape]; the same for all examples without keys."""
  shape = shape[1:]

  def own(key):
    """[probes, ...], of which up to 32 are the bits of one word."""
    words, _ = uniforms.words(key, (-(-probes // 32), 1, *shape))
    place = jnp.arange(32, dtype=jnp.uint32).reshape(32, *(1 for _ in shape))
    bits = (words >> place & 1).reshape(-1, *shape)[:probes]
    return 2 * bits.astype(jnp.float32) - 1

  if keys is None:
    return own(fixed_key())[:, None]
  return rules.stored(jnp.moveaxis(jax.vmap(own)(keys), 1, 0))


def fixed_key() -> jax.Array:
  """Of what is random in evaluation, which must not depend on the batch."""
  return jax.random.key(0)


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
  """Refuses a word that is not one of those allowed."""
  if value not in allowed:
    raise ValueError(f"{name}={value!r}: must be one of {allowed}")
