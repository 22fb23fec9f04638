"""Keys belong to (seed, purpose, step, index) and to nothing else."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust.data import Tag, example_keys

KEY = jax.random.key(3)


def words(keys):
  return np.asarray(jax.random.key_data(keys)).tolist()


@pytest.mark.parametrize("step", [None, 5])
def test_key_of_an_example_is_nested_fold_in(step):
  index = jnp.asarray([4, 0, 59_999], jnp.int32)
  expected = []
  for i in index:
    key = jax.random.fold_in(KEY, int(Tag.INPUT))
    if step is not None:
      key = jax.random.fold_in(key, step)
    expected.append(words(jax.random.fold_in(key, i)))
  assert words(example_keys(KEY, Tag.INPUT, index, step)) == expected


def test_key_does_not_depend_on_the_batch():
  index = jnp.arange(6, dtype=jnp.int32)
  whole = words(example_keys(KEY, Tag.CROP, index, 2))
  shards = [
    words(example_keys(KEY, Tag.CROP, part, 2)) for part in jnp.split(index, 3)
  ]
  assert whole == list(itertools.chain(*shards))


def test_tags_steps_and_indices_give_different_keys():
  index = jnp.arange(3, dtype=jnp.int32)
  seen = [
    tuple(key)
    for tag in Tag
    for step in (None, 0, 1)
    for key in words(example_keys(KEY, tag, index, step))
  ]
  assert len(seen) == len(set(seen)) == len(Tag) * 3 * 3


def test_padding_has_a_valid_key_of_its_own():
  keys = words(example_keys(KEY, Tag.TEST, jnp.asarray([-1, 0, 1]), None))
  assert len({tuple(key) for key in keys}) == 3


def test_keys_are_threefry_and_the_step_may_be_traced():
  index = jnp.arange(2, dtype=jnp.int32)
  traced = jax.jit(lambda step: example_keys(KEY, Tag.INPUT, index, step))(7)
  assert "threefry" in str(jax.random.key_impl(traced))
  assert words(traced) == words(example_keys(KEY, Tag.INPUT, index, 7))


@pytest.mark.parametrize("index", [np.zeros(2, np.float32), np.int32(3)])
def test_an_index_that_is_no_vector_of_integers_is_refused(index):
  with pytest.raises(ValueError, match="index has shape"):
    example_keys(KEY, Tag.INPUT, index)
