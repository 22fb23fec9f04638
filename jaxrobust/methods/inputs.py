"""The input slot: what the network is fed.

An input is a builder: `builder(shape, **parameters)` checks its parameters
once and returns a pure function of (batch, context) that runs inside the
jitted step and returns the batch to train on, with other `inputs` and,
perhaps, further entries that an objective reads:

  batch    `inputs`, float32 [N, H, W, C] in [0, 1] or float32 [N, T, C];
           `labels`, `index`, `mask`
  context  `Context`: the examples' keys, the progress of training, the network

An input may also have a method `prepare(images, progress)`, which is applied
to the stored examples before they are augmented; see `smoothing`.

`shape` is the shape of one example. The keyword parameters of the builders in
`INPUTS` are the fields of `config.method.input`.
"""

from collections.abc import Callable

from jaxrobust.methods import (
  adversarial,
  augmix,
  bursts,
  filtering,
  light_noise,
  mixing,
  noise,
  smoothing,
)
from jaxrobust.methods.context import InputFn


def clean(shape: tuple[int, ...]) -> InputFn:
  """Feeds the examples as they are.

  Args:
    shape: The shape of one example.

  Returns:
    The input function.

  Example:
    >>> clean((8, 8, 1))({"inputs": "as they are"}, None)
    {'inputs': 'as they are'}
  """
  del shape
  return lambda batch, context: batch


INPUTS: dict[str, Callable[..., InputFn]] = {
  "clean": clean,
  "gaussian": noise.gaussian,
  "uniform": light_noise.uniform,
  "laplace": light_noise.laplace,
  "alpha_stable": noise.alpha_stable,
  "adversarial": adversarial.adversarial,
  "mixup": mixing.mixup,
  "augmix": augmix.augmix,
  "burst": bursts.burst,
  "inverse_scale": smoothing.inverse_scale_smoother,
  "blur": filtering.blur,
  "low_pass": filtering.low_pass,
  "median": filtering.median,
  "chambolle": filtering.chambolle,
}
