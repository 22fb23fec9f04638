"""Errors of analytic moments, and how many samples err as much.

The moments of a trained LeNet-5's logits under noise of standard deviation 0.6
after the first convolution are measured with 20,000 samples. Against them stand
the errors of the analytic modes and those of fewer samples; see `moments`.
"""

import math
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import alpha_stable, models, moments

SIGMA = 0.6
MODES = ("laplace", "linear", "moment")
REFERENCE = 20_000


def compare_errors() -> dict[str, int]:
  """Errors of a trained LeNet-5's moments, and the samples that err as much."""
  model, variables, inputs = trained()

  def noisy(noise):
    with moments.intercepting(moments.Injection(noise)):
      return cast(models.Outputs, model.apply(variables, inputs)).logits

  @jax.jit
  def sums(total, key):
    def one(key):
      def noise(z):
        # The law of tail index 2 and scale c is N(0, 2 c²).
        scale = SIGMA * math.sqrt(0.5)
        return z + alpha_stable.sample(key, 2.0, scale=scale, shape=z.shape)

      return noisy(noise)

    logits = jax.vmap(one)(jax.random.split(key, 50)) - center
    powers = jnp.stack([logits**k for k in (1, 2, 3, 4)])
    return total + powers.sum(1), logits

  center = jax.jit(lambda: noisy(lambda z: z))()
  total, blocks = jnp.zeros((4, *center.shape)), []
  for key in jax.random.split(jax.random.key(1), REFERENCE // 50):
    total, logits = sums(total, key)
    if len(blocks) * 50 < 4000:
      blocks.append(np.asarray(logits, np.float64))
  m1, m2, m3, m4 = np.asarray(total, np.float64) / REFERENCE
  var = m2 - m1**2
  kurtosis = (m4 - 4 * m3 * m1 + 6 * m2 * m1**2 - 3 * m1**4) / var**2

  def of_samples(n):
    """Errors of mean and variance, from n samples."""
    shape = np.mean(kurtosis) - (n - 3) / (n - 1)
    return math.sqrt(1 / n), math.sqrt(shape / n)

  pool = np.concatenate(blocks)

  print(
    f"{'LeNet-5, sigma 0.6':<22}{'mean':>9}{'variance':>10}"
    f"{'samples':>16}{'their errors':>20}"
  )
  counts = {}
  for mode in MODES:
    rules = moments.Rules(relu=mode)
    law = jax.jit(
      lambda rules=rules: noisy(
        lambda z: moments.Moments(z, jnp.full(z.shape, SIGMA**2), rules)
      )
    )()
    in_mean = rms((np.asarray(law.mean - center) - m1) / np.sqrt(var))
    in_var = rms((np.asarray(law.var) - var) / var)
    # The reference's own error is part of what was measured.
    goal = [
      math.sqrt(max(e**2 - own**2, own**2))
      for e, own in zip((in_mean, in_var), of_samples(REFERENCE), strict=True)
    ]
    enough = [
      next(n for n in range(2, REFERENCE + 1) if of_samples(n)[i] <= goal[i])
      for i in range(2)
    ]
    counts[mode] = max(enough)
    drawn = pool[: len(pool) // counts[mode] * counts[mode]]
    drawn = drawn.reshape(-1, counts[mode], *center.shape)
    of_mean = rms((drawn.mean(1) - m1) / np.sqrt(var))
    of_var = rms((drawn.var(1, ddof=1) - var) / var)
    print(
      f"  {mode:<20}{in_mean:>9.3f}{in_var:>10.3f}"
      f"{f'{enough[0]} and {enough[1]}':>16}"
      f"{f'{counts[mode]}: {of_mean:.3f}, {of_var:.3f}':>20}",
      flush=True,
    )
  return counts


def rms(x: np.ndarray) -> float:
  return float(np.sqrt(np.mean(np.square(x))))


def trained():
  """A LeNet-5 after 300 steps on enlarged digits, and 16 of their images."""
  import optax
  from sklearn import datasets

  digits = cast(Any, datasets.load_digits())
  images = jax.image.resize(
    np.asarray(digits.images, np.float32)[..., None] / 16,
    (1797, 28, 28, 1),
    "linear",
  )
  labels = jnp.asarray(digits.target)
  model = models.build("lenet5", num_classes=10)
  variables = model.init(jax.random.key(0), images[:1])
  optimizer = optax.adam(1e-3)

  def loss(variables, rows):
    outputs = cast(models.Outputs, model.apply(variables, images[rows]))
    losses = optax.softmax_cross_entropy_with_integer_labels(
      outputs.logits, labels[rows]
    )
    return losses.mean()

  @jax.jit
  def update(variables, opt_state, key):
    rows = jax.random.randint(key, (64,), 0, 1600)
    updates, opt_state = optimizer.update(
      jax.grad(loss)(variables, rows), opt_state
    )
    return optax.apply_updates(variables, updates), opt_state

  opt_state = optimizer.init(variables)
  for key in jax.random.split(jax.random.key(0), 300):
    variables, opt_state = update(variables, opt_state, key)
  return model, variables, images[-16:]
