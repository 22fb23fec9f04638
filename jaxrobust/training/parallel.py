"""How the step is mapped over devices: the only file that knows.

`pmap` is the default. `shard_map` runs the same function and gives the same
bits; it is where the default goes when JAX drops pmap. In both, the state is
replicated and un-stacked, so checkpoints and evaluation do not know how many
devices there were.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxrobust.training.config import ConfigError

AXIS = "devices"


def use_all_cores() -> None:
  """Makes one CPU device per core, if JAX has not started yet.

  XLA's CPU backend runs one partition per device; several are up to 2.4 times
  as fast as one. Accelerators are not affected.
  """
  settings: Any = jax.config
  chosen_by_user = (
    settings.jax_num_cpu_devices > 0
    or "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
  )
  if chosen_by_user:
    return
  if hasattr(os, "sched_getaffinity"):
    cores = len(os.sched_getaffinity(0))
  else:
    cores = os.cpu_count() or 1
  try:
    jax.config.update("jax_num_cpu_devices", cores)
  except RuntimeError:
    # JAX is in use already: its devices are what there is.
    return


def choose_devices(config: ml_collections.ConfigDict) -> list[Any]:
  """The devices of a run.

  Args:
    config: A run's config. `train.devices=0` takes all accelerators of all
      processes, or as many CPU devices as divide the batch.

  Returns:
    The devices, as many of each process, in the order of the processes.

  Raises:
    ConfigError: If there are too few devices or they do not divide the batch.
  """
  of_process = _devices_of_processes()
  here = jax.local_devices()
  processes = len(of_process)
  available = processes * len(here)
  batch, micro = config.train.batch_size, config.train.accumulate
  wanted = config.train.devices
  if wanted > available:
    raise ConfigError(
      f"config.train.devices={wanted}: must be at most {available}, the "
      f"number of {here[0].platform} devices here"
    )
  if wanted % processes:
    raise ConfigError(
      f"config.train.devices={wanted}: must be a multiple of {processes}, the "
      "number of processes"
    )
  if not wanted and here[0].platform == "cpu":
    fitting = [
      n
      for n in range(processes, available + 1, processes)
      if batch % (n * micro) == 0
    ]
    wanted = max(fitting, default=processes)
  count = wanted or available
  if batch % (count * micro):
    raise ConfigError(
      f"config.train.batch_size={batch}: must be a multiple of {count * micro} "
      f"({count} devices x config.train.accumulate={micro})"
    )
  each = count // processes
  return [device for own in of_process for device in own[:each]]


def all_devices() -> list[Any]:
  """All devices of all processes, in the order of the processes.

  Raises:
    ConfigError: If the processes have different numbers of them.
  """
  return [device for own in _devices_of_processes() for device in own]


def _devices_of_processes() -> list[list[Any]]:
  found: dict[int, list[Any]] = {}
  for device in jax.devices():
    found.setdefault(device.process_index, []).append(device)
  counts = [len(own) for _, own in sorted(found.items())]
  if len(set(counts)) > 1:
    raise ConfigError(
      f"config.train.devices: the processes have {counts} devices; all must "
      "have as many"
    )
  return [own for _, own in sorted(found.items())]


class Launcher:
  """Maps per-device functions over some devices.

  Args:
    name: "pmap" or "shard_map".
    devices: The devices, perhaps of several processes that all make the same
      calls in the same order: then as many of each, in the order of the
      processes.
  """

  def __init__(self, name: str, devices: list[Any]):
    self.name = name
    self.devices = devices
    mine = jax.process_index()
    self._here = [d for d in devices if d.process_index == mine]
    # What pmap takes and gives lies on a process's own devices.
    meshed = self._here if name == "pmap" else devices
    self._mesh = Mesh(np.asarray(meshed), (AXIS,))

  def map(
    self,
    function: Callable[..., Any],
    *,
    sharded_in: tuple[bool, ...],
    sharded_out: tuple[bool, ...] | bool,
    donate: tuple[int, ...] = (),
  ) -> Callable[..., Any]:
    """Compiles `function` to run on every device at once.

    Args:
      function: A per-device function that may sum over `AXIS`.
      sharded_in: For each argument, whether it is split along its first axis
        (True) or replicated (False).
      sharded_out: The same for the outputs.
      donate: The arguments whose buffers are given up.

    Returns:
      The mapped function; sharded arguments come from `shard`.
    """
    if self.name == "pmap":

      def axes(tree):
        return jax.tree.map(lambda sharded: 0 if sharded else None, tree)

      return self._bounded(
        jax.pmap(
          function,
          axis_name=AXIS,
          in_axes=axes(sharded_in),
          out_axes=axes(sharded_out),
          devices=self.devices,
          donate_argnums=donate,
        )
      )

    def specs(tree):
      return jax.tree.map(lambda sharded: P(AXIS) if sharded else P(), tree)

    # check_vma=True would sum gradients of replicated parameters by itself, on
    # top of the step's own sum.
    mapped = jax.shard_map(
      function,
      mesh=self._mesh,
      in_specs=specs(sharded_in),
      out_specs=specs(sharded_out),
      check_vma=False,
    )
    return self._bounded(jax.jit(mapped, donate_argnums=donate))

  def _bounded(self, mapped: Callable[..., Any]) -> Callable[..., Any]:
    """Keeps one call at a time in flight on several CPU devices.

    XLA's CPU client runs all devices on one pool with a thread per device. A
    queue of calls fills the pool with devices that wait for each other's sums
    in a collective, and the process hangs and is aborted.
    """
    if len(self.devices) == 1 or self.devices[0].platform != "cpu":
      return mapped
    return lambda *args: jax.block_until_ready(mapped(*args))

  @property
  def _spans_processes(self) -> bool:
    return len(self._here) < len(self.devices)

  def shard(self, batch: Any) -> Any:
    """Splits host arrays [B, ...] along their first axis over the devices.

    Every process has all of the batch.
    """
    return self.shard_own(jax.tree.map(self._own_rows, batch))

  def shard_own(self, rows: Any) -> Any:
    """As `shard`, of the rows alone that this process's devices get."""
    if self.name == "pmap":
      count = len(self._here)
      return jax.tree.map(lambda x: x.reshape((count, -1, *x.shape[1:])), rows)
    sharding = NamedSharding(self._mesh, P(AXIS))
    if not self._spans_processes:
      return jax.device_put(rows, sharding)
    return jax.tree.map(
      lambda x: jax.make_array_from_process_local_data(sharding, x), rows
    )

  def _own_rows(self, x: Any) -> Any:
    each = len(x) // len(self.devices)
    first = self.devices.index(self._here[0])
    return x[first * each : (first + len(self._here)) * each]

  def place_shards(self, batch: Any) -> Any:
    """As `shard`, and on the devices, for arguments of several calls."""
    sharded = self.shard(batch)
    if self.name != "pmap":
      return sharded
    return jax.device_put(sharded, NamedSharding(self._mesh, P(AXIS)))

  def gather(self, outputs: Any) -> Any:
    """Brings sharded outputs to the host, on every process, as [B, ...]."""
    if self._spans_processes:
      from jax.experimental import multihost_utils

      outputs = multihost_utils.process_allgather(outputs, tiled=True)

    def whole(x):
      x = np.asarray(x)
      return x.reshape((-1, *x.shape[2:])) if self.name == "pmap" else x

    return jax.tree.map(whole, jax.device_get(outputs))

  def replicate(self, tree: Any) -> Any:
    """Puts a whole copy on every device, un-stacked."""
    sharding = NamedSharding(self._mesh, P())
    if self.name == "pmap" or not self._spans_processes:
      return jax.device_put(tree, sharding)

    def place(x):
      if isinstance(x, jax.Array) and jnp.issubdtype(
        x.dtype, jax.dtypes.prng_key
      ):
        return jax.random.wrap_key_data(place(jax.random.key_data(x)))
      return jax.make_array_from_process_local_data(sharding, np.asarray(x))

    return jax.tree.map(place, tree)
