"""A checkpoint comes back whole, or the one before it does."""

import pathlib

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

from jaxrobust import models
from jaxrobust.training import checkpoints as lib
from jaxrobust.training import state as state_lib


@pytest.fixture(scope="module")
def state():
  model = models.build("mlp", num_classes=3, hidden=(200, 200))
  return state_lib.create_state(model, optax.adam(1e-3), (4, 1), 7, True)


def at(state, step):
  params = jax.tree.map(lambda leaf: leaf + step, state.params)
  return state.replace(step=jnp.int32(step), params=params)


def save(folder, state, accuracies, keep_last=2, keep_best=0):
  checkpoints = lib.Checkpoints(folder, keep_last, keep_best)
  for step, accuracy in accuracies.items():
    checkpoints.save(at(state, step), {"position": step}, accuracy)
    checkpoints.wait()
  checkpoints.close()


def restore(folder, state, select="last", keep_best=0):
  checkpoints = lib.Checkpoints(folder, 2, keep_best)
  try:
    return checkpoints.restore(state, select)
  finally:
    checkpoints.close()


def biggest_file(folder: pathlib.Path, step: int) -> pathlib.Path:
  """The file that holds the kernels."""
  files = [f for f in (folder / str(step) / "state").rglob("*") if f.is_file()]
  return max(files, key=lambda file: file.stat().st_size)


def test_everything_comes_back_bit_for_bit(tmp_path, state):
  save(tmp_path, state, {4: 0.5})
  restored = restore(tmp_path, state)
  chex.assert_trees_all_equal(
    jax.device_get(restored.state.replace(key=0)),
    jax.device_get(at(state, 4).replace(key=0)),
  )
  assert restored.step == 4
  assert restored.data_position == {"position": 4}
  assert restored.validation_rank == 0.5
  key = jax.random.key_data(restored.state.key)
  assert (key == jax.random.key_data(state.key)).all()


def test_an_empty_folder_gives_none(tmp_path, state):
  assert restore(tmp_path, state) is None


def test_the_newest_are_kept(tmp_path, state):
  save(tmp_path, state, {1: None, 2: None, 3: None})
  assert lib.Checkpoints(tmp_path, 2, 0).steps() == [2, 3]


def test_the_best_is_kept_and_found(tmp_path, state):
  save(tmp_path, state, {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6}, keep_best=1)
  assert lib.Checkpoints(tmp_path, 2, 1).steps() == [1, 3, 4]
  assert restore(tmp_path, state, "best", keep_best=1).step == 1
  assert restore(tmp_path, state, "last", keep_best=1).step == 4


def test_the_best_is_kept_across_a_restart(tmp_path, state):
  save(tmp_path, state, {1: 0.6, 2: 0.9}, keep_best=1)
  save(tmp_path, state, {3: 0.8, 4: 0.7, 5: None}, keep_best=1)
  assert lib.Checkpoints(tmp_path, 2, 1).steps() == [2, 4, 5]
  assert restore(tmp_path, state, "best", keep_best=1).step == 2


def test_a_truncated_checkpoint_falls_back_and_is_named(tmp_path, state):
  save(tmp_path, state, {1: None, 2: None})
  file = biggest_file(tmp_path, 2)
  file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
  with pytest.warns(UserWarning, match=f"passed over: {tmp_path}/2"):
    assert restore(tmp_path, state).step == 1


@pytest.mark.filterwarnings("ignore:checkpoint passed over")
def test_no_flipped_byte_restores_other_numbers(tmp_path, state):
  save(tmp_path, state, {1: None, 2: None})
  file = biggest_file(tmp_path, 2)
  whole = bytearray(file.read_bytes())
  expected = jax.device_get(at(state, 2).replace(key=0))
  noticed = 0
  for place in range(len(whole) // 9, len(whole), len(whole) // 9):
    damaged = whole.copy()
    damaged[place] ^= 0x10
    file.write_bytes(damaged)
    restored = restore(tmp_path, state)
    noticed += restored.step == 1
    if restored.step == 2:  # The byte belongs to nothing that is read.
      chex.assert_trees_all_equal(restored.state.replace(key=0), expected)
  assert noticed >= 5


def test_nothing_whole_is_an_error_not_a_fresh_start(tmp_path, state):
  save(tmp_path, state, {1: None})
  biggest_file(tmp_path, 1).unlink()
  with (
    pytest.warns(UserWarning, match="passed over"),
    pytest.raises(lib.CheckpointError, match="no whole checkpoint among 1"),
  ):
    restore(tmp_path, state)


@pytest.mark.filterwarnings("ignore:checkpoint passed over")
def test_saves_go_on_below_a_damaged_checkpoint(tmp_path, state):
  save(tmp_path, state, {3: None, 6: None})
  biggest_file(tmp_path, 6).unlink()
  checkpoints = lib.Checkpoints(tmp_path, 2, 0)
  assert checkpoints.restore(state).step == 3
  assert checkpoints.steps() == [3]
  checkpoints.save(at(state, 4), {"position": 4})
  checkpoints.wait()
  assert checkpoints.steps() == [3, 4]
  checkpoints.close()
  assert restore(tmp_path, state).step == 4


@pytest.mark.filterwarnings("ignore:checkpoint passed over")
def test_a_changed_data_position_is_noticed(tmp_path, state):
  save(tmp_path, state, {1: None, 2: None})
  file = tmp_path / "2" / "extra" / "metadata"
  text = file.read_text()
  assert '"position": 2' in text or '"position":2' in text
  file.write_text(
    text.replace('"position": 2', '"position": 7').replace(
      '"position":2', '"position":7'
    )
  )
  assert restore(tmp_path, state).step == 1
