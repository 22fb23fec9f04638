"""Values as linear functions of noise: what is left of it to first order."""

import dataclasses
import functools

import jax


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["loc", "jacobian"],
  meta_fields=["alpha"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Linear:
  """Logits loc + J e with independent symmetric alpha-stable e of scale 1.

  All dependence between the logits is in it, so that the law of a difference
  of two is exact to first order.

  Attributes:
    loc: float32 [N, K].
    jacobian: float32 [N, K, U], one column per unit of noise.
    alpha: the tail index, in (0, 2].

  Example:
    >>> loc = jax.numpy.zeros((1, 2))
    >>> law = Linear(loc, jax.numpy.ones((1, 2, 3)), 1.5)
    >>> law.jacobian.shape, law.alpha
    ((1, 2, 3), 1.5)
  """

  loc: jax.Array
  jacobian: jax.Array
  alpha: float = 1.0
