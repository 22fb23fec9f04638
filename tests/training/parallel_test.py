"""Devices are chosen so that they divide the batch, or an error says why."""

import jax
import numpy as np
import pytest

import jaxrobust
from jaxrobust.training import parallel


@pytest.fixture
def config():
  config = jaxrobust.default_config()
  config.train.batch_size = 24
  return config


@pytest.mark.parametrize(
  ("batch", "accumulate", "expected"),
  [(24, 1, 8), (20, 1, 5), (24, 4, 6), (7, 1, 7), (11, 1, 1)],
)
def test_cpu_devices_divide_the_batch(config, batch, accumulate, expected):
  config.train.batch_size = batch
  config.train.accumulate = accumulate
  assert len(parallel.choose_devices(config)) == expected


def test_a_batch_that_the_devices_do_not_divide_is_refused(config):
  config.train.devices = 5
  with pytest.raises(
    jaxrobust.ConfigError,
    match=r"config.train.batch_size=24: must be a multiple of 5 ",
  ):
    parallel.choose_devices(config)


def test_more_devices_than_there_are_is_refused(config):
  config.train.devices = 9
  with pytest.raises(
    jaxrobust.ConfigError, match=r"config.train.devices=9: must be at most 8"
  ):
    parallel.choose_devices(config)


@pytest.mark.parametrize("name", ["pmap", "shard_map"])
def test_what_is_sharded_is_gathered_in_order(name):
  launcher = parallel.Launcher(name, jax.devices()[:4])
  rows = np.arange(24).reshape(8, 3)
  double = launcher.map(lambda x: 2 * x, sharded_in=(True,), sharded_out=True)
  found = launcher.gather(double(launcher.shard(rows)))
  np.testing.assert_array_equal(found, 2 * rows)


@pytest.mark.parametrize("name", ["pmap", "shard_map"])
def test_a_replicated_value_is_whole_on_every_device(name):
  launcher = parallel.Launcher(name, jax.devices()[:4])
  value = launcher.replicate(np.arange(3.0))
  assert value.shape == (3,)
  assert value.sharding.is_fully_replicated
  assert len(value.addressable_shards) == 4


@pytest.mark.parametrize("name", ["pmap", "shard_map"])
def test_calls_do_not_queue_up_on_several_cpu_devices(name):
  """A deep queue of collectives dead-locks XLA's CPU client."""
  launcher = parallel.Launcher(name, jax.devices()[:2])
  mapped = launcher.map(
    lambda x: jax.lax.psum(x, parallel.AXIS) * jax.numpy.ones((500, 500)),
    sharded_in=(True,),
    sharded_out=False,
  )
  out = mapped(launcher.shard(np.ones(2, np.float32)))
  assert out.is_ready()
