"""The two uniforms that one stable variate is made of, from one cipher block.

A stable variate needs one uniform angle and one exponential time. The cipher
behind JAX's default keys, Threefry-2x32 with 20 rounds, turns a key and a
64-bit counter into two 32-bit words, which is exactly one such pair.
`jax.random.bits` spends a whole block on every 32-bit word (it returns the
exclusive or of the two) and, on CPU, writes its state to memory between
rounds. Written out as elementwise operations, the rounds fuse with the
arithmetic that follows, and a block yields both words: uniforms cost about a
ninth of what two words of `jax.random.bits` cost on a CPU.

The words are those of the reference cipher, which the tests hold against
JAX's own. Element i of a draw depends on the key and on i alone.

Reference: J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3,
SC 2011.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def threefry(
  key: jax.Array, high: jax.Array, low: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Enciphers counters with Threefry-2x32, 20 rounds.

  Args:
    key: uint32 [2], the cipher's key.
    high: uint32 [...], the counters' high words.
    low: uint32 [...], the counters' low words.

  Returns:
    Two uint32 arrays of the counters' shape, independent and uniform.

  Example:
    >>> zero = jnp.zeros((), jnp.uint32)
    >>> [hex(word) for word in threefry(jnp.zeros(2, jnp.uint32), zero, zero)]
    ['0x6b200159', '0x99ba4efe']
  """
  schedule = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
  first, second = high + schedule[0], low + schedule[1]
  for group in range(5):
    for rotation in _ROTATIONS[group % 2]:
      first = first + second
      turned = second << np.uint32(rotation)
      second = first ^ (turned | second >> np.uint32(32 - rotation))
    first = first + schedule[(group + 1) % 3]
    second = second + schedule[(group + 2) % 3] + np.uint32(group + 1)
  return first, second


def words(
  key: jax.Array, shape: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
  """Draws two independent uint32 arrays of one shape.

  Args:
    key: one JAX key, typed or raw. Keys of another generator than Threefry
      are served by one call of `jax.random.bits`.
    shape: the arrays' shape, of fewer than 2^32 elements.

  Returns:
    Two uint32 arrays of `shape`.

  Raises:
    ValueError: `key` is an array of keys, or `shape` is too large.

  Example:
    >>> first, second = words(jax.random.key(0), (2, 3))
    >>> first.shape, second.dtype
    ((2, 3), dtype('uint32'))
  """
  size = math.prod(shape)
  if size >= 2**32:
    raise ValueError(f"shape must hold fewer than 2^32 elements, got {shape}")
  implementation = str(jax.random.key_impl(key))
  data = jax.random.key_data(key)
  if data.ndim != 1:
    raise ValueError(f"key must be one key (use vmap), got shape {key.shape}")
  if implementation != "threefry2x32":
    both = jax.random.bits(key, (2, *shape))
    return both[0], both[1]
  low = lax.iota(np.uint32, size).reshape(shape)
  return threefry(data, jnp.zeros_like(low), low)


def uniform_pair(
  key: jax.Array, shape: tuple[int, ...] = ()
) -> tuple[jax.Array, jax.Array]:
  """Draws two independent uniforms per element, inside the open interval.

  Each is (k + 1/2) 2^-23 with k made of 23 random bits. That is exact in
  float32 and never 0, 1/2 or 1, where the logarithms and powers of a stable
  variate would be infinite. `jax.random.uniform` returns all three.

  Args:
    key: one JAX key.
    shape: the arrays' shape.

  Returns:
    Two float32 arrays of `shape`, in [2^-24, 1 - 2^-24].

  Raises:
    ValueError: `key` is an array of keys, or `shape` is too large.

  Example:
    >>> u, w = uniform_pair(jax.random.key(0), (1000,))
    >>> bool((u > 0).all() and (w < 1).all())
    True
  """
  first, second = words(key, shape)
  return _open_uniform(first), _open_uniform(second)


def _open_uniform(word: jax.Array) -> jax.Array:
  bits = (word >> np.uint32(9)).astype(jnp.float32)
  return (bits + np.float32(0.5)) * np.float32(2**-23)
