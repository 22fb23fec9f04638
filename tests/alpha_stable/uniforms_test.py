"""The uniforms are those of the reference cipher, and stay inside (0, 1)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust.alpha_stable import uniforms


@pytest.mark.parametrize(
  ("key", "counter", "expected"),
  [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
    (
      (0x13198A2E, 0x03707344),
      (0x243F6A88, 0x85A308D3),
      (0xC4923A9C, 0x483DF7A0),
    ),
  ],
)
def test_cipher_gives_the_published_known_answers(key, counter, expected):
  high, low = (jnp.asarray(word, jnp.uint32) for word in counter)
  got = uniforms.threefry(jnp.asarray(key, jnp.uint32), high, low)
  assert tuple(int(word) for word in got) == expected


def test_words_combine_to_what_jax_draws_from_the_same_key():
  key = jax.random.key(7)
  first, second = uniforms.words(key, (5, 7))
  with jax.threefry_partitionable(True):
    expected = jax.random.bits(key, (5, 7))
  np.testing.assert_array_equal(first ^ second, expected)


def test_raw_and_typed_keys_give_the_same_words():
  typed = uniforms.words(jax.random.key(3), (4,))
  raw = uniforms.words(jax.random.PRNGKey(3), (4,))
  np.testing.assert_array_equal(typed, raw)


def test_keys_of_another_generator_are_served():
  u, w = uniforms.uniform_pair(jax.random.key(0, impl="rbg"), (1000,))
  assert abs(float(u.mean()) - 0.5) < 0.05
  assert abs(float(np.corrcoef(u, w)[0, 1])) < 0.15


def test_uniforms_are_exact_odd_multiples_of_two_to_the_minus_24():
  pair = np.asarray(uniforms.uniform_pair(jax.random.key(1), (10000,)))
  numerators = pair.astype(np.float64) * 2**24
  assert np.array_equal(numerators % 2, np.ones_like(numerators))
  assert numerators.min() >= 1
  assert numerators.max() <= 2**24 - 1


def test_extreme_words_map_to_the_ends_of_the_open_interval():
  words = jnp.asarray([0, 2**32 - 1], jnp.uint32)
  ends = np.asarray(uniforms._open_uniform(words), np.float64)
  assert ends.tolist() == [2.0**-24, 1 - 2.0**-24]


def test_an_array_of_keys_is_refused():
  with pytest.raises(ValueError, match="key must be one key"):
    uniforms.words(jax.random.split(jax.random.key(0), 2), ())


def test_a_shape_beyond_the_counter_is_refused():
  with pytest.raises(ValueError, match="fewer than 2\\^32"):
    uniforms.words(jax.random.key(0), (2**16, 2**16))
