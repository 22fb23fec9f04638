"""Corruptions of images as cells of the suite.

What sets the shapes of a corruption's program, as how many patches there are,
is compiled in; its strength, where it has one besides, is traced. The program
is a small one of its own and hands its images to another that judges the
network, so that the network is compiled once for all corruptions.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax

from jaxrobust import corruptions, data
from jaxrobust.evaluation.perturbations import Perturbation, judge
from jaxrobust.methods.forwards import ForwardFn

# (keys [N], images [N, H, W, C], strength) -> corrupted images.
CorruptFn = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corruption(Perturbation):
  """One corruption at one strength.

  Attributes:
    name: "uniform", "patches(side=P)", "resolution", "salt_and_pepper",
      "gaussian+patches(count=K, side=P)", "shot" or
      "drifting_gaussian(period=T)".
    strength: Of "uniform" the largest change, of "patches" how many there are,
      of "resolution" the factor, of "salt_and_pepper" the share of the pixels,
      of "gaussian+patches" the standard deviation, of "shot" the photons per
      unit of intensity, of "drifting_gaussian" the largest standard deviation.
    options: What is compiled in, by name.
  """

  options: tuple[tuple[str, Any], ...] = ()

  @property
  def kind(self) -> str:
    """The key of `CORRUPTIONS`."""
    return self.name.partition("(")[0]


def _resolution(keys, images, strength, factor):
  del keys, strength
  return corruptions.resolution(images, factor)


def _patches(keys, images, strength, count, side):
  del strength
  return corruptions.patches(keys, images, count=count, side=side)


# (keys, images, strength, **options) -> corrupted images, by kind; those of
# `STREAMS` take the images' positions in the split before the strength.
CORRUPTIONS: Mapping[str, Callable[..., jax.Array]] = {
  "uniform": corruptions.uniform,
  "patches": _patches,
  "resolution": _resolution,
  "salt_and_pepper": corruptions.salt_and_pepper,
  "gaussian+patches": corruptions.gaussian_and_patches,
  "shot": corruptions.shot,
  "drifting_gaussian": corruptions.drifting_gaussian,
}
STREAMS = ("drifting_gaussian",)


def corruption_cells(
  *,
  uniform_eps: Sequence[float] = (),
  patches: Sequence[str] = (),
  resolutions: Sequence[float] = (),
  salt_and_pepper: Sequence[float] = (),
  combined: Sequence[str] = (),
  shot: Sequence[float] = (),
  drift_stds: Sequence[float] = (),
  drift_period: int = 1000,
) -> list[Corruption]:
  """The cells of the corruptions, for `run` beside those of the grid.

  Args:
    uniform_eps: The largest changes of uniform noise, in units of the input.
    patches: "KxP" for K black squares of P pixels a side.
    resolutions: Factors of the height and width, in (0, 1).
    salt_and_pepper: Shares of the pixels that turn black or white.
    combined: "S+KxP" for Gaussian noise of standard deviation S, then patches.
    shot: Photons per unit of intensity.
    drift_stds: The largest standard deviations of Gaussian noise that drifts
      along the split.
    drift_period: After how many examples it is as before.

  Returns:
    A cell each.

  Raises:
    ValueError: If a word of `patches` or `combined` cannot be read.

  Example:
    >>> cells = corruption_cells(patches=["4x8"], combined=["0.1+4x8"])
    >>> [(cell.name, cell.strength) for cell in cells]
    [('patches(side=8)', 4.0), ('gaussian+patches(count=4, side=8)', 0.1)]
  """

  def cell(name, strength, **options):
    return Corruption(
      name,
      float(strength),
      alpha=2.0,
      scale=0.0,
      options=tuple(options.items()),
    )

  cells = [cell("uniform", eps) for eps in uniform_eps]
  for count, side in map(parse_patches, patches):
    cells.append(cell(f"patches(side={side})", count, count=count, side=side))
  cells += [cell("resolution", f, factor=float(f)) for f in resolutions]
  cells += [cell("salt_and_pepper", share) for share in salt_and_pepper]
  for std, count, side in map(parse_combined, combined):
    name = f"gaussian+patches(count={count}, side={side})"
    cells.append(cell(name, std, count=count, side=side))
  cells += [cell("shot", photons) for photons in shot]
  name = f"drifting_gaussian(period={drift_period})"
  cells += [cell(name, std, period=int(drift_period)) for std in drift_stds]
  return cells


def parse_patches(text: str) -> tuple[int, int]:
  """Reads "KxP": K patches of P pixels a side.

  Args:
    text: As "4x8".

  Returns:
    The count and the side.

  Raises:
    ValueError: If it is anything else.

  Example:
    >>> parse_patches("4x8")
    (4, 8)
  """
  count, _, side = str(text).partition("x")
  if not (count.isdecimal() and side.isdecimal() and int(count) and int(side)):
    raise ValueError(
      f"{text!r}: must be 'COUNTxSIDE', as '4x8' for 4 patches of 8 pixels"
    )
  return int(count), int(side)


def parse_combined(text: str) -> tuple[float, int, int]:
  """Reads "S+KxP": Gaussian noise, then patches.

  Args:
    text: As "0.1+4x8".

  Returns:
    The standard deviation, the count and the side.

  Raises:
    ValueError: If it is anything else.

  Example:
    >>> parse_combined("0.1+4x8")
    (0.1, 4, 8)
  """
  std, _, rest = str(text).rpartition("+")
  try:
    strength, (count, side) = float(std), parse_patches(rest)
  except ValueError:
    strength, count, side = 0.0, 0, 0
  if not 0 < strength < float("inf"):
    raise ValueError(
      f"{text!r}: must be 'STD+COUNTxSIDE', as '0.1+4x8' for Gaussian noise "
      "and 4 patches of 8 pixels"
    )
  return strength, count, side


def make_corrupt_step(
  kind: str, options: Sequence[tuple[str, Any]]
) -> Callable[..., jax.Array]:
  """Builds the per-device function that corrupts a batch.

  Args:
    kind: As `Corruption.kind`.
    options: As `Corruption.options`.

  Returns:
    A function of (batch, key, tag, strength) that gives the corrupted images;
    what happens to an example depends on (key, tag, index) alone.

  Example:
    >>> import jax.numpy as jnp
    >>> corrupt = make_corrupt_step("patches", (("count", 1), ("side", 2)))
    >>> batch = {"inputs": jnp.ones((1, 4, 4, 1)), "index": jnp.arange(1)}
    >>> float(corrupt(batch, jax.random.key(0), 0, 1.0).sum())
    12.0
  """
  corrupt = CORRUPTIONS[kind]
  compiled_in = dict(options)

  def step(batch, key, tag, strength):
    keys = data.example_keys(key, tag, batch["index"])
    place = (batch["index"],) if kind in STREAMS else ()
    return corrupt(
      keys, data.as_float(batch["inputs"]), *place, strength, **compiled_in
    )

  return step


def make_judge_step(
  model: nn.Module,
  forward: ForwardFn,
  judge: Callable[[jax.Array, jax.Array], dict[str, jax.Array]] = judge,
) -> Callable[..., dict[str, jax.Array]]:
  """Builds the per-device function that judges a batch as it is.

  Args:
    model: The model.
    forward: How it is evaluated.
    judge: (logits [N, K], labels) -> per-example numbers, as `Task.judge`.

  Returns:
    A function of (variables, batch, inputs), the inputs in place of the
    batch's own, that gives what `judge` does.
  """

  def step(variables, batch, inputs):
    outputs, _ = forward(model, variables, inputs, batch["mask"], False)
    return judge(outputs.logits, batch["labels"])

  return step
