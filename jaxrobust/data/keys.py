"""Random keys that belong to an example, not to a place in a batch.

A draw is keyed by (seed, purpose, step, index), or by (seed, purpose, index)
where it must be the same whenever the example is seen. What an example gets
then depends neither on the batch it lands in, nor on the number of devices or
processes, nor on where a run was interrupted.
"""

import dataclasses
import enum

import jax
import jax.numpy as jnp


class Tag(enum.IntEnum):
  """What a draw is for; draws with different tags are independent.

  The numbers are part of what a seed means: renumbering changes every result.
  """

  INIT = 0  # The initial parameters.
  SHUFFLE = 1  # The order of the examples in each epoch.
  CROP = 2  # Augmentation: where an image is cropped.
  FLIP = 3  # Augmentation: whether an image is mirrored.
  INPUT = 4  # Noise on the training inputs.
  VALIDATION = 5  # Noise on the validation inputs.
  TEST = 6  # Noise on the test inputs.
  CHOICE = 7  # Which of several laws an example's noise follows.
  COIN = 8  # Whether an example is corrupted at all.
  FORWARD = 9  # The forward pass itself: dropout.
  ATTACK = 10  # Where an adversarial example of the training starts.
  MIXUP = 11  # Whom an example is mixed with, and by how much.
  AUGMIX = 12  # The chains of operations of AugMix, and their mixture.
  TEST_ATTACK = 13  # Where an attack on a test input starts, or what it tries.
  VIEW = 14  # The second view: all of its draws, under tags of their own.
  CURVATURE = 15  # Probes and noise that measure a loss's curvature.
  VOTE = 16  # The noise under which a smoothed classifier votes.


def example_keys(
  key: jax.Array,
  tag: Tag | jax.Array,
  index: jax.Array,
  step: jax.Array | int | None = None,
) -> jax.Array:
  """One key per example, for one purpose and, if given, one step.

  The key of example i is `fold_in(fold_in(fold_in(key, tag), step), i)`; the
  step is left out where a draw is made once and kept (`resample='once'`, and
  all evaluation).

  Args:
    key: the run's typed key, made by `jax.random.key(seed)`.
    tag: the purpose of the draw.
    index: int32 [N], each example's position in its split. Padding has -1 and
      gets a valid key too.
    step: the training step, or None for draws that do not change with it.

  Returns:
    [N] typed keys.

  Raises:
    ValueError: if `index` is not a vector of integers.

  Example:
    >>> import jax, jax.numpy as jnp
    >>> keys = example_keys(
    ...   jax.random.key(0), Tag.INPUT, jnp.asarray([7, 3]), step=5
    ... )
    >>> swapped = example_keys(
    ...   jax.random.key(0), Tag.INPUT, jnp.asarray([3, 7]), step=5
    ... )
    >>> bool((keys[0] == swapped[1]) & (keys[1] == swapped[0]))
    True
  """
  index = jnp.asarray(index)
  if index.ndim != 1 or not jnp.issubdtype(index.dtype, jnp.integer):
    raise ValueError(
      f"index has shape {index.shape} and dtype {index.dtype}; "
      "it must be a vector of integers"
    )
  key = jax.random.fold_in(key, jnp.uint32(tag))
  if step is not None:
    key = jax.random.fold_in(key, step)
  # The cast is modulo 2^32, so that padding (-1) becomes the last index.
  words = index.astype(jnp.uint32)
  return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, words)


@dataclasses.dataclass(frozen=True)
class Draw:
  """Gives the examples of one batch their keys, by purpose.

  Attributes:
    key: the run's typed key.
    index: int32 [N], each example's position in its split.
    step: the training step.

  Example:
    >>> draw = Draw(jax.random.key(0), jnp.asarray([7, 3]), jnp.asarray(5))
    >>> draw(Tag.INPUT).shape
    (2,)
  """

  key: jax.Array
  index: jax.Array
  step: jax.Array

  def of_view(self) -> "Draw":
    """The draws of the examples' second view, independent of the first's."""
    key = jax.random.fold_in(self.key, Tag.VIEW)
    return dataclasses.replace(self, key=key)

  def __call__(self, tag: Tag, once: bool = False) -> jax.Array:
    """[N] typed keys; the same at every step if `once`."""
    return example_keys(self.key, tag, self.index, None if once else self.step)
