"""Certified radii by randomised smoothing: votes under Gaussian noise.

Of a base classifier f and Gaussian noise of standard deviation s, the smoothed
classifier g(x) = argmax_c P(f(x + e) = c), e ~ N(0, s^2 I), cannot change its
mind within an l2 ball: if the chance of class A is at least p > 1/2 then
g(x + d) = A for all ||d||_2 < s Phi^-1(p), with Phi the normal distribution
function. The chance is known from votes, so the certificate holds but for a
chance of alpha, for each example.

It says nothing of f itself: the radius is that of the vote. It is of exactly
Gaussian noise, so noisy images are not clipped here. A function that clips, or
quantises, or smooths, may be the first layer of f: then the votes, and the
radius, are of the two together, and just as valid, since d is added before.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust.evaluation import probes

ABSTAINED = -1


class Certificate(NamedTuple):
  """What is certain of the smoothed classifier, but for a chance of alpha.

  Attributes:
    classes: int [N], its class, or -1 where it abstains.
    radii: float64 [N], the l2 radius within which it stays, in units of the
      input; 0 where it abstains.
  """

  classes: np.ndarray
  radii: np.ndarray


def count_votes(
  keys: jax.Array,
  logits_fn: Callable[[jax.Array], jax.Array],
  images: jax.Array,
  *,
  std: float | jax.Array,
  draws: int | jax.Array,
  batch: int = 10,
  first: int | jax.Array = 0,
) -> jax.Array:
  """How often each class wins under independent Gaussian noises.

    n_k = #{j : argmax f(x + s e_j) = k},  e_j ~ N(0, I)

  Noise j of an example depends on its key and on j alone: neither on `batch`
  nor on how the draws are dealt to several calls, whose votes add up.

  Args:
    keys: [N] typed keys, one per example.
    logits_fn: From inputs [B, ...] to logits [B, K]; an example's logits must
      depend on it alone, and be the same each time.
    images: float32 [N, ...]; not clipped, nor are they with noise.
    std: The standard deviation s of the noise, in units of the input.
    draws: How many noises are drawn. May be traced, as may `first`: one program
      then serves any number.
    batch: How many of them are evaluated at a time: N `batch` inputs.
    first: The number of the first of them.

  Returns:
    int32 [N, K]. Logits that are not numbers are a vote for no class.

  Raises:
    ValueError: If `std`, `draws`, `batch` or the keys' shape is out of range.

  Example:
    >>> logits_fn = lambda x: jnp.concatenate([x, -x], axis=1)
    >>> count_votes(
    ...   jax.random.split(jax.random.key(0), 2),
    ...   logits_fn,
    ...   jnp.asarray([[9.0], [-9.0]]),
    ...   std=0.5,
    ...   draws=100,
    ... ).tolist()
    [[100, 0], [0, 100]]

  References:
    Cohen, Rosenfeld and Kolter, `Certified Adversarial Robustness via
    Randomized Smoothing <https://arxiv.org/abs/1902.02918>`_, 2019, section
    3.2, SampleUnderNoise.
  """
  probes.require_positive(std=std)
  probes.require_at_least(1, batch=batch)
  if not isinstance(draws, jax.Array):
    probes.require_at_least(1, draws=draws)
  if keys.shape != (len(images),):
    raise ValueError(
      f"keys of shape {keys.shape}: must be [{len(images)}], one per example"
    )
  classes = jax.eval_shape(logits_fn, images).shape[-1]

  def noise(key, number):
    return jax.random.normal(jax.random.fold_in(key, number), images.shape[1:])

  of_all = jax.vmap(jax.vmap(noise, (0, None)), (None, 0))
  vote = probes.on_all(lambda x: _vote(logits_fn(x)))

  def count(round_number, counts):
    number = round_number * batch + jnp.arange(batch)
    votes = vote(images + std * of_all(keys, first + number))
    # The last round may have drawn too many.
    votes = jnp.where((number < draws)[:, None], votes, ABSTAINED)
    return counts + jax.nn.one_hot(votes, classes, dtype=jnp.int32).sum(0)

  rounds = (draws + batch - 1) // batch
  none = jnp.zeros((len(images), classes), jnp.int32)
  return jax.lax.fori_loop(0, rounds, count, none)


def certify(
  selection: np.ndarray,
  estimation: np.ndarray,
  *,
  std: float,
  draws: int,
  alpha: float = 0.001,
) -> Certificate:
  """The smoothed classifier's class and l2 radius, or that they are uncertain.

  Algorithm CERTIFY: the class A is the one with most votes in the selection;
  with n_A its votes of n in the estimation,

    p = sup {q : P(Binomial(n, q) >= n_A) <= alpha},  R = s Phi^-1(p)

  with p Clopper and Pearson's lower bound; where p <= 1/2 it abstains. Not even
  n votes of n certify more than s Phi^-1(alpha^(1/n)).

  Args:
    selection: int [N, K], votes as `count_votes` gives them, of a few draws.
    estimation: int [N, K], those of n further draws, which the others do not
      depend on.
    std: The standard deviation s of the noise, in units of the input.
    draws: The number n of the further draws, votes for no class included.
    alpha: The chance that the certificate of an example is wrong, in (0, 1).

  Returns:
    The classes and radii.

  Raises:
    ValueError: If an argument is out of range, or has another shape.

  Example:
    >>> votes = np.asarray([[100, 0], [52, 48]])
    >>> found = certify(votes, votes * 10, std=0.5, draws=1000)
    >>> found.classes.tolist(), found.radii.round(2).tolist()
    ([0, -1], [1.23, 0.0])

  References:
    Cohen, Rosenfeld and Kolter, `Certified Adversarial Robustness via
    Randomized Smoothing <https://arxiv.org/abs/1902.02918>`_, 2019, theorem 1
    and section 3.2.2; proposition 2 for what is promised.
  """
  from scipy import special

  selection, estimation = np.asarray(selection), np.asarray(estimation)
  probes.require_positive(std=std)
  _check_alpha(alpha)
  if selection.shape != estimation.shape or selection.ndim != 2:
    raise ValueError(
      f"selection of shape {selection.shape} and estimation of shape "
      f"{estimation.shape}: must both be [N, K]"
    )
  most = int(estimation.sum(axis=1).max(initial=1))
  if draws < most:
    raise ValueError(f"draws={draws}: must be at least {most}, the votes")
  classes = selection.argmax(axis=1)
  votes = np.take_along_axis(estimation, classes[:, None], axis=1)[:, 0]
  # P(Binomial(n, q) >= k) is the incomplete beta function I_q(k, n - k + 1).
  low = special.betaincinv(np.maximum(votes, 1), draws - votes + 1, alpha)
  certain = (votes > 0) & (low > 0.5)
  return Certificate(
    classes=np.where(certain, classes, ABSTAINED),
    radii=np.where(certain, std * special.ndtri(np.maximum(low, 0.5)), 0.0),
  )


def predict_smoothed(votes: np.ndarray, alpha: float = 0.001) -> np.ndarray:
  """The smoothed classifier's class, or that it is uncertain.

  Algorithm PREDICT: the class with most votes n_A, unless a two-sided test of
  the hypothesis that n_A of the n_A + n_B votes of the first two are half of
  them has a p-value above alpha.

  Args:
    votes: int [N, K], as `count_votes` gives them.
    alpha: The chance that an example's class is wrong and yet it does not
      abstain, in (0, 1).

  Returns:
    int [N], the classes, -1 where it abstains.

  Raises:
    ValueError: If alpha is out of range, or there are not two classes.

  Example:
    >>> predict_smoothed(np.asarray([[90, 10], [52, 48]])).tolist()
    [0, -1]

  References:
    Cohen, Rosenfeld and Kolter, `Certified Adversarial Robustness via
    Randomized Smoothing <https://arxiv.org/abs/1902.02918>`_, 2019, section
    3.2.1; proposition 1 for what is promised.
  """
  from scipy import special

  votes = np.asarray(votes)
  _check_alpha(alpha)
  if votes.ndim != 2 or votes.shape[1] < 2:
    raise ValueError(f"votes of shape {votes.shape}: must be [N, K], K >= 2")
  second, most = np.sort(votes, axis=1)[:, -2:].T
  # Twice P(Binomial(n, 1/2) >= n_A), and a tie decides nothing.
  p_value = 2 * special.betainc(np.maximum(most, 1), second + 1, 0.5)
  certain = (most > second) & (p_value <= alpha)
  return np.where(certain, votes.argmax(axis=1), ABSTAINED)


def _vote(logits: jax.Array) -> jax.Array:
  """The class of the largest logit, int32 [B]; -1 if one is not a number."""
  broken = jnp.isnan(logits).any(axis=-1)
  return jnp.where(broken, ABSTAINED, jnp.argmax(logits, axis=-1))


def _check_alpha(alpha: float) -> None:
  if not 0 < alpha < 1:
    raise ValueError(f"alpha={alpha}: must lie in (0, 1)")
