"""The penultimate features of a run's model, for pictures."""

import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import data, evaluation, methods, models
from jaxrobust.data import pipeline
from jaxrobust.training.checks import validate
from jaxrobust.training.config import ConfigError, model_arguments
from jaxrobust.training.runs import config_of_run, restore


class RunFeatures(NamedTuple):
  """The features of some examples of each class.

  Attributes:
    run: The name of the run's folder.
    method: The method's name.
    dataset: The data set's name.
    split: The split that they are from.
    clean: float32 [n, d], of the examples as they are.
    noisy: float32 [n, d], of the same ones under Gaussian noise.
    labels: int32 [n].
    class_names: One name per class.
  """

  run: str
  method: str
  dataset: str
  split: str
  clean: np.ndarray
  noisy: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]


def run_features(
  workdir: str | pathlib.Path,
  *,
  std: float,
  per_class: int = 100,
  split: str | None = None,
  select: str | None = None,
  data_dir: str | None = None,
  path: str | None = None,
) -> RunFeatures:
  """Computes features of a run's model, clean and under Gaussian noise.

  Args:
    workdir: The run's folder.
    std: The standard deviation of the noise, in units of the input; > 0. It is
      the test noise "gaussian" of that strength.
    per_class: At most how many examples of each class, the first of the split.
    split: By default `config.data.test_split`.
    select: As for `evaluate`.
    data_dir: As for `evaluate`.
    path: As for `evaluate`.

  Returns:
    The features.

  Raises:
    ConfigError: If the folder holds no run or no checkpoint, the run is a
      regression, or `std` or `per_class` is out of range.
    data.DataError: If the data set is not there.
  """
  if not 0 < std < float("inf"):
    raise ConfigError(f"std={std}: must be a finite number > 0")
  if per_class < 1:
    raise ConfigError(f"per_class={per_class}: must be at least 1")
  workdir = pathlib.Path(workdir).expanduser()
  config = config_of_run(workdir, select, data_dir, path)
  validate(config)
  if config.data.targets:
    raise ConfigError(
      f"{workdir}: a regression has no classes to be told apart"
    )
  dataset = data.load(config.data, split or config.data.test_split)
  model = models.build(**model_arguments(config))
  forward = methods.build(config.method, tuple(config.data.shape)).forward
  smooth = getattr(forward, "smooth", lambda images: images)
  whole = restore(config, workdir, model).state.variables()
  variables = methods.network(whole)
  noise = jnp.asarray(evaluation.grid([std], [], [])[1].noise)
  is_image = len(config.data.shape) == 3

  @jax.jit
  def both(variables, batch):
    inputs = data.as_float(batch["inputs"])
    keys = data.example_keys(
      jax.random.key(config.seed), data.Tag.TEST, batch["index"]
    )
    noisy = jax.vmap(
      lambda key, example: evaluation.perturb(
        key, noise, example, is_image=is_image
      )
    )(keys, inputs)

    def features(x):
      outputs: Any = model.apply(
        variables, smooth(x), train=False, mask=batch["mask"]
      )
      return outputs.features.reshape((len(x), -1)).astype(jnp.float32)

    return features(inputs), features(noisy)

  chosen = _first_of_each(dataset.labels, per_class)
  size = min(config.eval.batch_size, len(chosen))
  parts = []
  for first in range(0, len(chosen), size):
    index = chosen[first : first + size]
    found = both(variables, pipeline.padded(dataset, index, size))
    parts.append([np.asarray(one)[: len(index)] for one in found])
  clean, noisy = (np.concatenate(views) for views in zip(*parts, strict=True))
  return RunFeatures(
    run=workdir.absolute().name,
    method=config.method.name,
    dataset=dataset.name,
    split=split or config.data.test_split,
    clean=clean,
    noisy=noisy,
    labels=dataset.labels[chosen],
    class_names=dataset.class_names,
  )


def _first_of_each(labels: np.ndarray, per_class: int) -> np.ndarray:
  """Where the first examples of each class are, in rising order."""
  places = [
    np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)
  ]
  return np.sort(np.concatenate(places))
