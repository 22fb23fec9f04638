"""The folder of one attempt at a trial, from which another can go on.

An attempt writes into a folder of its own number, which nobody else takes. An
attempt that makes a trial again reads the checkpoints of the one before it
and writes none there: that one may still be alive after all.
"""

import json
import pathlib
import shutil
import time
from collections.abc import Sequence
from typing import Any

from jaxrobust.training.checkpoints import CheckpointError, Checkpoints
from jaxrobust.training.config import ConfigError
from jaxrobust.training.state import State

# Work that may be lost to a kill, in seconds.
SAVE_SECONDS = 60.0


class FolderTaken(ConfigError):
  """The folder of an attempt is there, though the attempt is new."""


class Keeper:
  """Saves an attempt and restores the one before it.

  Args:
    workdir: The study's folder.
    number: The attempt's number.
    before: The numbers of the attempts before it, oldest first.

  Attributes:
    by_epoch: The scores under each kind of noise after each epoch.
    resumed: The step that the attempt goes on from, 0 at the beginning.
  """

  def __init__(
    self, workdir: pathlib.Path, number: int, before: Sequence[int] = ()
  ):
    self._before = [_folder(workdir, one) for one in before]
    self.folder = _folder(workdir, number)
    try:
      self.folder.mkdir(parents=True)
    except FileExistsError as error:
      raise FolderTaken(
        f"{self.folder}: is there already, of another study; use a new "
        "--workdir"
      ) from error
    self._checkpoints: Checkpoints | None = None
    self._saved = time.monotonic()
    self.by_epoch: dict[int, dict[str, float]] = {}
    self.resumed = 0

  def restore(self, like: State) -> tuple[State, Any] | None:
    """What the newest attempt left that left anything.

    Args:
      like: A state of the same structure.

    Returns:
      The state and the position in the data; None to begin anew.
    """
    for folder in reversed(self._before):
      if not (folder / "checkpoints").exists():
        continue
      checkpoints = Checkpoints(folder / "checkpoints", 1, 0)
      try:
        restored = checkpoints.restore(like)
      except CheckpointError:
        continue  # Damaged: the one before that, or anew.
      finally:
        checkpoints.close()
      if restored is None:
        continue
      kept = restored.data_position
      self.by_epoch = {int(k): v for k, v in kept["by_epoch"].items()}
      self.resumed = restored.step
      return restored.state, kept["loader"]
    return None

  def is_due(self) -> bool:
    """Whether much was done since the last checkpoint."""
    return time.monotonic() - self._saved > SAVE_SECONDS

  def save(self, state: State, loader_state: Any) -> None:
    """Saves a checkpoint, in the background."""
    if self._checkpoints is None:
      self._checkpoints = Checkpoints(self.folder / "checkpoints", 1, 0)
    by_epoch = {str(k): v for k, v in self.by_epoch.items()}
    self._checkpoints.save(
      state, {"loader": loader_state, "by_epoch": by_epoch}
    )
    self._saved = time.monotonic()

  def note(self, papers: dict[str, Any]) -> None:
    """Writes what is known of the attempt into its `trial.json`."""
    partial = self.folder / "trial.json.part"
    partial.write_text(json.dumps(papers, indent=2, default=list) + "\n")
    partial.replace(self.folder / "trial.json")

  def close(self) -> None:
    """Waits until all is on the disk."""
    if self._checkpoints is not None:
      self._checkpoints.close()

  def forget(self) -> None:
    """Removes the checkpoints of a trial that has ended."""
    self.close()
    self._checkpoints = None
    for folder in (*self._before, self.folder):
      shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _folder(workdir: pathlib.Path, number: int) -> pathlib.Path:
  return workdir / "trials" / f"{number:05d}"
