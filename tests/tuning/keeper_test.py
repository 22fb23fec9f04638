"""An interrupted trial goes on to the bits it would have had."""

import shutil

import pytest

from jaxrobust import data
from jaxrobust.training.config import ConfigError
from jaxrobust.tuning import keeper as keeper_lib
from jaxrobust.tuning import mix, trainer
from jaxrobust.tuning.keeper import Keeper


@pytest.fixture
def trains(tiny_config):
  train_set = data.load(tiny_config.data, tiny_config.data.train_split)
  return trainer.Trainer(train_set, mix.validation_set(tiny_config))


def stop_at(call):
  """Says so when it is asked for the given time."""
  calls = iter(range(1, 1000))
  return lambda: next(calls) >= call


def test_a_trial_goes_on_where_it_was_interrupted(
  trains, tiny_config, tmp_path, monkeypatch
):
  whole = list(trains.epochs(tiny_config))
  assert len(whole) == 2
  # Three steps an epoch: stopped within the second one, then at once, and
  # gone on from the folder before that.
  first = Keeper(tmp_path, 0)
  begun = list(trains.epochs(tiny_config, first, stop_at(5)))
  first.close()
  assert begun == whole[:1]
  assert trains.stopped
  at_once = Keeper(tmp_path, 1, [0])
  assert list(trains.epochs(tiny_config, at_once, stop_at(1))) == whole[:1]
  at_once.close()
  last = Keeper(tmp_path, 2, [0, 1])
  assert list(trains.epochs(tiny_config, last)) == whole
  assert last.resumed == 4

  # A damaged checkpoint is passed over: all is made anew.
  for path in (tmp_path / "trials" / "00000").rglob("*"):
    if path.is_file() and path.stat().st_size > 200:
      path.write_bytes(path.read_bytes()[:100])
  with pytest.warns(UserWarning, match="checkpoint passed over"):
    assert list(trains.epochs(tiny_config, Keeper(tmp_path, 3, [0]))) == whole

  last.forget()
  assert not list(tmp_path.rglob("checkpoints"))

  # Without an interruption a checkpoint is made when much would be lost.
  monkeypatch.setattr(keeper_lib, "SAVE_SECONDS", 0.0)
  often = Keeper(tmp_path, 4)
  assert list(trains.epochs(tiny_config, often)) == whole
  often.close()
  after = Keeper(tmp_path, 5, [4])
  assert list(trains.epochs(tiny_config, after)) == whole
  assert after.resumed == 5
  after.close()


def test_no_attempt_takes_the_folder_of_another(tmp_path):
  Keeper(tmp_path, 7)
  with pytest.raises(ConfigError, match="is there already"):
    Keeper(tmp_path, 7)
  shutil.rmtree(tmp_path / "trials")
  Keeper(tmp_path, 7)
