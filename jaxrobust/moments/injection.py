"""The place inside a network at which noise enters."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

Place = Literal["first", "marked"]


class Injection:
  """Puts noise in once: at the first place that the network passes.

  Each `intercepting` waits for the place anew; within one, run the model once.

  Attributes:
    noise: from the values at the place to what goes on from there.
    place: "first" is the first affine layer's output, or a mark before it;
      "marked" the first mark.
    done: whether the place was passed.

  Raises:
    ValueError: if the place is neither of the two.

  Example:
    >>> injection = Injection(lambda x: x + 1)
    >>> with injecting(injection):
    ...   inject(1), inject(1)
    (2, 1)
    >>> injection.done
    True
  """

  def __init__(self, noise: Callable[[Any], Any], place: Place = "first"):
    if place not in get_args(Place):
      raise ValueError(f"place={place!r}: must be one of {get_args(Place)}")
    self.noise, self.place, self.done = noise, place, False

  def at(self, x: Any, *, marked: bool) -> Any:
    """Puts the noise in if this is the place.

    Args:
      x: the values here, an array or a state.
      marked: whether the model called `inject` here.

    Returns:
      x, or what the noise makes of it.
    """
    if self.done or (self.place == "marked" and not marked):
      return x
    self.done = True
    return self.noise(x)


_ACTIVE: contextvars.ContextVar[Injection | None] = contextvars.ContextVar(
  "injection", default=None
)


@contextlib.contextmanager
def injecting(injection: Injection) -> Iterator[None]:
  """Within it, `inject` and the first affine layer ask this injection.

  Args:
    injection: what they ask; the one outside of it waits until it ends.

  Example:
    >>> with injecting(Injection(lambda x: 2 * x)):
    ...   inject(3)
    6
  """
  token = _ACTIVE.set(injection)
  try:
    yield
  finally:
    _ACTIVE.reset(token)


def active() -> Injection | None:
  """The injection of the innermost `injecting`.

  Returns:
    It, or None outside of any.

  Example:
    >>> active() is None
    True
  """
  return _ACTIVE.get()


def inject(x: Any) -> Any:
  """Marks the place inside a model at which noise enters.

  Outside of a stochastic forward it gives back what it got.

  Args:
    x: an array, or a state that is random already.

  Returns:
    x, or the state after the noise.

  Example:
    >>> inject("as it is")
    'as it is'
  """
  injection = _ACTIVE.get()
  return x if injection is None else injection.at(x, marked=True)
