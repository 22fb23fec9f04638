"""Checkpoints: orbax underneath, a checksum per leaf on top.

Orbax commits a checkpoint by renaming it, so a killed save leaves none. It
does not notice a flipped byte, so each leaf's crc32 is saved beside the state
and compared on restore; a checkpoint that is damaged in any way is passed over
for the one before it.
"""

import contextlib
import dataclasses
import json
import math
import pathlib
import sys
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxrobust.training.state import State


class CheckpointError(RuntimeError):
  """A checkpoint could not be saved, or none of those there restored."""


@dataclasses.dataclass(frozen=True)
class Restored:
  """What a checkpoint gives back: the state, on the host, and the rest."""

  step: int
  state: State
  data_position: Any
  validation_rank: float | None


class Checkpoints:
  """The checkpoints of one run.

  Args:
    folder: Where they lie.
    keep_last: How many of the newest are kept.
    keep_best: How many of the best in validation are kept too.
  """

  def __init__(self, folder: pathlib.Path, keep_last: int, keep_best: int):
    import orbax.checkpoint as ocp

    policies = ocp.checkpoint_managers
    keep: list[Any] = [policies.LatestN(keep_last)]
    if keep_best:
      keep.append(
        policies.BestN(
          get_metric_fn=_rank,
          n=keep_best,
        )
      )
    self._ocp = ocp
    self._damaged: set[int] = set()
    self._folder = folder.absolute()
    self._manager = ocp.CheckpointManager(
      self._folder,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy(keep),
        # Without it a reopened manager forgets the metrics, and the best.
        best_fn=_rank if keep_best else None,
        best_mode="max",
        create=True,
      ),
    )

  def save(
    self,
    state: State,
    data_position: Any,
    validation_rank: float | None = None,
  ) -> None:
    """Saves in the background; returns when `state` may be given up.

    Args:
      state: The state; its step names the checkpoint. Saving a step twice
        does nothing. Checkpoints that `restore` found damaged are removed.
      data_position: The data iterator's state, as JSON can hold it.
      validation_rank: For keep-best: more is better, as `Task.rank` gives it;
        None if it was not measured.

    Raises:
      CheckpointError: If the step lies before a checkpoint that is there, or
        this or the last save failed, as on a full disk; those before are whole.
    """
    with self._reported():
      self._save(state, data_position, validation_rank)

  def _save(
    self, state: State, data_position: Any, validation_rank: float | None
  ) -> None:
    step = int(state.step)
    # Orbax saves no step below the latest one, damaged or not.
    while self._damaged:
      self._manager.delete(self._damaged.pop())
    if step in self._manager.all_steps():
      return
    host = jax.device_get(_plain(state))
    args = self._ocp.args
    # One that was not measured ranks below any that was; JSON has no infinity.
    measured = -math.inf if validation_rank is None else validation_rank
    rank = max(measured, -sys.float_info.max)
    saved = self._manager.save(
      step,
      args=args.Composite(
        state=args.StandardSave(host),
        extra=args.JsonSave(
          {
            "data_position": data_position,
            "validation_rank": None if validation_rank is None else rank,
            "crc32": _checksums(host),
            "position_crc32": _json_checksum(data_position),
          }
        ),
      ),
      metrics={"validation_rank": rank},
    )
    if not saved:
      raise CheckpointError(
        f"{self._folder}: step {step} lies before a checkpoint there"
      )

  def steps(self) -> list[int]:
    """The steps that are there, oldest first, less those found damaged."""
    return sorted(set(self._manager.all_steps()) - self._damaged)

  def restore(self, like: State, select: str = "last") -> Restored | None:
    """Restores the newest whole checkpoint, or the best.

    Args:
      like: A state of the same structure.
      select: "last"; "best" or "best_test", the highest rank.

    Returns:
      The checkpoint, or None if the folder holds none. A damaged one is
      passed over with a warning that names it.

    Raises:
      CheckpointError: If there are checkpoints and all of them are damaged.
    """
    steps = sorted(self._manager.all_steps(), reverse=True)
    if select != "last":
      best = self._manager.best_step()
      steps = [best] if best is not None else []
    failures = []
    for step in steps:
      try:
        return self._restore(step, like)
      except Exception as error:
        # Orbax raises many types for a damaged checkpoint; none may end a run
        # that an older checkpoint can go on from.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        failures.append(f"{self._folder / str(step)}: {reason[0][:200]}")
        self._damaged.add(step)
        warnings.warn(f"checkpoint passed over: {failures[-1]}", stacklevel=2)
    if failures:
      raise CheckpointError(
        f"no whole checkpoint among {len(failures)}; newest: {failures[0]}"
      )
    return None

  def _restore(self, step: int, like: State) -> Restored:
    args = self._ocp.args
    target = jax.eval_shape(_plain, like)
    target = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), target)
    items = self._manager.restore(
      step,
      args=args.Composite(
        state=args.StandardRestore(target), extra=args.JsonRestore()
      ),
    )
    host, extra = items["state"], items["extra"]
    found = _checksums(host)
    for leaf, crc in extra["crc32"].items():
      if found.get(leaf) != crc:
        raise CheckpointError(f"checksum of {leaf} differs")
    position = extra["data_position"]
    if _json_checksum(position) != extra["position_crc32"]:
      raise CheckpointError("checksum of the data position differs")
    key = jax.random.wrap_key_data(host["key"])
    return Restored(
      step=step,
      state=State(**{**host, "key": key}),
      data_position=position,
      validation_rank=extra["validation_rank"],
    )

  def wait(self) -> None:
    """Waits until every save is on the disk.

    Raises:
      CheckpointError: If one failed.
    """
    with self._reported():
      self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits for saves and frees the background threads.

    Raises:
      CheckpointError: If a save failed.
    """
    with self._reported():
      try:
        self._manager.wait_until_finished()
      finally:
        self._manager.close()

  @contextlib.contextmanager
  def _reported(self) -> Iterator[None]:
    """Makes one line of what orbax raises when a save failed."""
    try:
      yield
    except CheckpointError:
      raise
    except Exception as error:
      # Orbax and TensorStore raise many types, some of them only names.
      reason = str(error).strip().splitlines() or [type(error).__name__]
      raise CheckpointError(
        f"{self._folder}: a checkpoint could not be saved "
        f"({reason[0][-200:]}); those before it are whole"
      ) from error


def _rank(metrics: dict[str, float]) -> float:
  return metrics["validation_rank"]


def _plain(state: State) -> dict[str, Any]:
  """The state as a dictionary of plain arrays."""
  return {**vars(state), "key": jax.random.key_data(state.key)}


def _json_checksum(value: Any) -> int:
  return zlib.crc32(json.dumps(value, sort_keys=True).encode())


def _checksums(tree: Any) -> dict[str, int]:
  return {
    jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(leaf).data)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }
