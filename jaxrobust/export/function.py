"""What is exported: the function from inputs to logits that a run is judged by.

The network with its input normalisation, the forward as it is evaluated (noise
inside it included, where its mean is taken under the noise) and the smoother or
filter, where the method is judged behind one.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from jaxrobust import data, evaluation, methods, models
from jaxrobust.methods.smoothing import BehindSmoother
from jaxrobust.training import parallel
from jaxrobust.training.checks import validate
from jaxrobust.training.config import model_arguments
from jaxrobust.training.runs import config_of_run, restore

# (variables, inputs [N, ...]) -> logits [N, K].
VariablesFn = Callable[[Mapping[str, Any], jax.Array], jax.Array]
# inputs [N, ...] -> logits [N, K].
LogitsFn = Callable[[Any], jax.Array]


@dataclasses.dataclass(frozen=True)
class Run:
  """A run's checkpoint, ready to be exported.

  Attributes:
    name: The name of its folder.
    config: Its config.
    step: The step of the checkpoint.
    dataset: The test split.
    variables: `params` and `batch_stats`, averaged where the run averages.
    logits: (variables, inputs) -> logits, as `evaluate` judges the run.
  """

  name: str
  config: ml_collections.ConfigDict
  step: int
  dataset: data.Dataset
  variables: Mapping[str, Any]
  logits: VariablesFn

  @property
  def parameters(self) -> int:
    """How many numbers were learned."""
    return sum(leaf.size for leaf in jax.tree.leaves(self.variables["params"]))

  @property
  def smooths(self) -> bool:
    """Whether it is judged behind a smoother or a filter."""
    shape = tuple(self.config.data.shape)
    forward = methods.build(self.config.method, shape).forward
    return isinstance(forward, BehindSmoother)


def read_run(
  workdir: str | pathlib.Path,
  *,
  select: str | None = None,
  data_dir: str | None = None,
  path: str | None = None,
) -> Run:
  """Restores a run's checkpoint, and the test split that it is judged on.

  Args:
    workdir: The run's folder.
    select: As for `evaluate`: "last", "best" or "best_test".
    data_dir: As for `evaluate`.
    path: As for `evaluate`.

  Returns:
    The run.

  Raises:
    ConfigError: If the folder holds no run or no checkpoint.
    data.DataError: If the data set is not there.
  """
  workdir = pathlib.Path(workdir).expanduser()
  config = config_of_run(workdir, select, data_dir, path)
  validate(config)
  dataset = data.load(config.data, config.data.test_split)
  model = models.build(**model_arguments(config), axis_name=parallel.AXIS)
  restored = restore(config, workdir, model)
  return Run(
    name=workdir.absolute().name,
    config=config,
    step=restored.step,
    dataset=dataset,
    variables=restored.state.variables(),
    logits=logits_function(config),
  )


def logits_function(config: ml_collections.ConfigDict) -> VariablesFn:
  """The function that a run of this config is judged by.

  Args:
    config: The config of a run.

  Returns:
    (variables, inputs) -> logits, of float32 inputs [N, H, W, C] in [0, 1], or
    [N, T, C], and logits [N, K]; in a regression the predicted targets.

  Raises:
    ValueError: If the model or the method cannot be built.

  Example:
    >>> from jaxrobust.training import default_config
    >>> config = default_config()
    >>> config.data.shape, config.model.name = (8, 8, 1), "mlp"
    >>> model = models.build(**model_arguments(config))
    >>> images = jnp.ones((2, 8, 8, 1))
    >>> variables = model.init(jax.random.key(0), images)
    >>> logits_function(config)(variables, images).shape
    (2, 10)
  """
  model = models.build(**model_arguments(config))
  forward = methods.build(config.method, tuple(config.data.shape)).forward

  def logits(variables, inputs):
    batch = {"mask": jnp.ones(inputs.shape[0])}
    seen = evaluation.logits_of(model, forward, variables, batch)
    return seen(inputs).astype(jnp.float32)

  return logits


def example_by_example(function: LogitsFn) -> LogitsFn:
  """The same function, traced for one example and mapped over any number.

  What is traced so needs no number of examples, so that it may be a symbol.

  Args:
    function: Inputs [N, ...] -> logits [N, K], of which none depends on the
      other examples.

  Returns:
    The function, up to rounding.

  Example:
    >>> by_one = example_by_example(lambda x: x * len(x))
    >>> by_one(jnp.ones((3, 2))).tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
  """
  return jax.vmap(lambda example: function(example[None])[0])


def on_host(variables: Mapping[str, Any]) -> dict[str, Any]:
  """The variables as numpy arrays."""
  return jax.tree.map(np.asarray, dict(variables))
