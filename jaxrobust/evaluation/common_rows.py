"""The common corruptions as cells of the suite, made by our generators.

The rows say so: "fog(cifar-c, generated)" is what `corruptions.common` makes of
the test set at hand, not the official file. A corruption has one program for
all its severities, which are arrays to it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxrobust import corruptions, data
from jaxrobust.evaluation.perturbations import Perturbation

MNIST = "mnist"
# Whose numbers are part of what a seed means: new ones go last.
_NUMBERS = {
  **{
    name: number
    for number, name in enumerate((*corruptions.COMMON, *corruptions.EXTRA))
  },
  **{
    f"{MNIST}/{name}": 100 + number
    for number, name in enumerate(corruptions.MNIST_C)
  },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommonCorruption(Perturbation):
  """One common corruption at one severity.

  Attributes:
    name: "CORRUPTION(cifar-c, generated)", with imagenet-c or mnist-c likewise.
    strength: The severity as a number; 1 for MNIST-C.
    corruption: One of `corruptions.COMMON` or `EXTRA`, or of `MNIST_C`.
    severity: From 1 to 5; None for MNIST-C, which has but one.
    table: "cifar" or "imagenet", or "mnist" for MNIST-C.
  """

  corruption: str = ""
  table: str = "cifar"

  def settings(self, shape: Sequence[int]) -> tuple[Any, ...]:
    """What the step of `make_common_step` takes: the severity, and arrays.

    Args:
      shape: (H, W, C) of an image.

    Returns:
      A tuple of numpy's arrays, of the same shapes at every severity.
    """
    if self.severity is None:
      return (np.int32(0),)
    return (
      np.int32(self.severity),
      *corruptions.parameters(
        self.corruption, self.severity, shape, self.table
      ),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfficialCorruption(Perturbation):
  """One corruption at one severity, of the official files.

  Attributes:
    name: "CORRUPTION(cifar-c, official)" or "CORRUPTION(mnist-c, official)".
    strength: The severity as a number; 1 for MNIST-C.
    corruption: One of `corruptions.COMMON` or `EXTRA`, or of `MNIST_C`.
    files: A folder of .npy files, or "tfds".
    table: "cifar", or "mnist" for MNIST-C.
  """

  corruption: str
  files: str
  table: str

  def load(self, data_dir: str, num_classes: int) -> data.Dataset:
    """The corrupted test set.

    Args:
      data_dir: TFDS' root, for "tfds".
      num_classes: Of the set.

    Returns:
      Its images, in the order of the clean test set.

    Raises:
      DataError: If the files are not there or damaged.
    """
    if self.files == "tfds":
      name = "mnist_corrupted" if self.table == MNIST else "cifar10_corrupted"
      return data.corrupted_tfds(
        name, self.corruption, self.severity, data_dir=data_dir
      )
    return data.corrupted_npy(
      self.files,
      self.corruption,
      int(self.strength),
      num_classes=num_classes,
    )


def named_corruptions(words: Sequence[str], table: str) -> tuple[str, ...]:
  """The corruptions that a list of names and groups means.

  Args:
    words: Names, "common" for the 15 that a mean corruption error is over, or
      "extra" for the other four, which MNIST-C does not have.
    table: "cifar", "imagenet" or "mnist".

  Returns:
    Their names, each once.

  Raises:
    ValueError: If a word or the table is none of these.

  Example:
    >>> named_corruptions(["extra", "fog"], "cifar")
    ('speckle_noise', 'gaussian_blur', 'spatter', 'saturate', 'fog')
  """
  if table not in (MNIST, "cifar", "imagenet"):
    raise ValueError(f"table={table!r}: must be one of cifar, imagenet, mnist")
  groups = {"common": corruptions.COMMON, "extra": corruptions.EXTRA}
  if table == MNIST:
    groups = {"common": corruptions.MNIST_C}
  known = [name for names in groups.values() for name in names]
  found: dict[str, None] = {}
  for word in words:
    if word not in groups and word not in known:
      allowed = ", ".join([*groups, *known])
      raise ValueError(f"{word!r}: must be one of {allowed}")
    found |= dict.fromkeys(groups.get(word, (word,)))
  return tuple(found)


def official_cells(
  names: Sequence[str],
  severities: Sequence[int],
  table: str,
  files: str,
  first: int | None = None,
) -> list[OfficialCorruption]:
  """The cells of corruptions that are read from official files.

  Args:
    names: As of `common_cells` or `mnist_c_cells`.
    severities: From 1 to 5; MNIST-C has none.
    table: "cifar" or "mnist".
    files: A folder of .npy files, or "tfds".
    first: How many examples are judged, the first ones; None for all.

  Returns:
    A cell for each name and severity.

  Example:
    >>> (cell,) = official_cells(["fog"], [2], "cifar", "tfds")
    >>> cell.name, cell.severity
    ('fog(cifar-c, official)', 2)
  """
  return [
    OfficialCorruption(
      f"{name}({table}-c, official)",
      float(severity or 1),
      alpha=2.0,
      scale=0.0,
      first=first,
      severity=severity,
      corruption=name,
      files=files,
      table=table,
    )
    for name in names
    for severity in ((None,) if table == MNIST else severities)
  ]


def common_cells(
  names: Sequence[str],
  severities: Sequence[int],
  table: str,
  first: int | None = None,
) -> list[CommonCorruption]:
  """The cells of CIFAR-10-C's or ImageNet-C's corruptions.

  Args:
    names: Of `corruptions.COMMON` and `corruptions.EXTRA`.
    severities: From 1 to 5.
    table: "cifar" or "imagenet", whose severities they are.
    first: How many examples are judged, the first ones; None for all.

  Returns:
    A cell for each name and severity, severities of a name in a row.

  Raises:
    ValueError: If a name, a severity or the table is unknown.

  Example:
    >>> cells = common_cells(["fog"], [1, 5], "cifar", first=2000)
    >>> [(cell.name, cell.strength, cell.severity) for cell in cells]
    [('fog(cifar-c, generated)', 1.0, 1), ('fog(cifar-c, generated)', 5.0, 5)]
  """
  cells = []
  for name in names:
    for severity in severities:
      # Any shape will do to have the arguments checked.
      corruptions.parameters(name, severity, (32, 32, 3), table)
      cells.append(
        CommonCorruption(
          f"{name}({table}-c, generated)",
          float(severity),
          alpha=2.0,
          scale=0.0,
          first=first,
          corruption=name,
          severity=int(severity),
          table=table,
        )
      )
  return cells


def mnist_c_cells(
  names: Sequence[str], first: int | None = None
) -> list[CommonCorruption]:
  """The cells of MNIST-C's corruptions, for images of 28 x 28 pixels.

  Args:
    names: Of `corruptions.MNIST_C`.
    first: How many examples are judged, the first ones; None for all.

  Returns:
    A cell for each.

  Raises:
    ValueError: If a name is unknown.

  Example:
    >>> (cell,) = mnist_c_cells(["zigzag"])
    >>> cell.name, cell.strength, cell.severity
    ('zigzag(mnist-c, generated)', 1.0, None)
  """
  for name in names:
    if name not in corruptions.MNIST_C:
      allowed = ", ".join(corruptions.MNIST_C)
      raise ValueError(f"name={name!r}: must be one of {allowed}")
  return [
    CommonCorruption(
      f"{name}({MNIST}-c, generated)",
      1.0,
      alpha=2.0,
      scale=0.0,
      first=first,
      corruption=name,
      table=MNIST,
    )
    for name in names
  ]


def make_common_step(corruption: str, table: str) -> Callable[..., jax.Array]:
  """Builds the per-device function that corrupts a batch.

  One function, and so one program, serves all severities.

  Args:
    corruption: As `CommonCorruption.corruption`.
    table: As `CommonCorruption.table`.

  Returns:
    A function of (batch, key, tag, settings) that gives the corrupted images,
    with `settings` as of `CommonCorruption.settings`. What happens to an
    example depends on (key, tag, index), the corruption and the severity alone.

  Example:
    >>> import jax.numpy as jnp
    >>> (cell,) = common_cells(["brightness"], [5], "cifar")
    >>> corrupt = make_common_step(cell.corruption, cell.table)
    >>> batch = {"inputs": jnp.zeros((1, 4, 4, 3)), "index": jnp.arange(1)}
    >>> settings = cell.settings((4, 4, 3))
    >>> float(corrupt(batch, jax.random.key(0), 0, settings).max().round(3))
    0.30000001192092896
  """
  is_mnist = table == MNIST
  number = _NUMBERS[f"{MNIST}/{corruption}" if is_mnist else corruption]

  def step(batch, key, tag, settings):
    severity, *parameters = settings
    own = jax.random.fold_in(jax.random.fold_in(key, number), severity)
    keys = data.example_keys(own, tag, batch["index"])
    images = data.as_float(batch["inputs"])
    if is_mnist:
      return corruptions.mnist_c(corruption, keys, images)
    return corruptions.corrupt(corruption, keys, images, tuple(parameters))

  return step
