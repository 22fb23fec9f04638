"""Replicates get what `train` gives each of them, from one compiled step."""

import chex
import jax
import pytest

import jaxrobust
from jaxrobust.training import replicates
from jaxrobust.training.runs import open_checkpoints


def alone(config, folder):
  """The parameters that an ordinary run of this config ends with."""
  config.train.devices = 1
  jaxrobust.train(config, folder)
  assembled = replicates.assemble(
    config, replicates.data.load(config.data, config.data.train_split)
  )
  checkpoints = open_checkpoints(config, folder)
  try:
    return checkpoints.restore(assembled.state).state.params
  finally:
    checkpoints.close()


def several(config, **own):
  """Copies of a config that differ in the given fields."""
  configs = []
  for position in range(2):
    copy = config.copy_and_resolve_references()
    copy.train.devices = 1
    for field, values in own.items():
      section, _, name = field.rpartition("__")
      (copy[section] if section else copy)[name] = values[position]
    configs.append(copy)
  return configs


@pytest.mark.parametrize("vectorises", [True, False])
def test_replicates_end_where_runs_of_their_own_do(
  tiny_config, tmp_path, monkeypatch, vectorises
):
  model = replicates.assemble.__globals__["models"].MODELS["mlp"]
  monkeypatch.setattr(model, "vectorises", vectorises)
  tiny_config.eval.gaussian_stds = tiny_config.eval.alphas = ()
  configs = several(tiny_config, seed=(3, 4))
  together = replicates.train_replicates(configs)
  for position, config in enumerate(configs):
    expected = alone(config, tmp_path / str(position))
    chex.assert_trees_all_close(
      jax.device_get(together[position].params),
      jax.device_get(expected),
      rtol=2e-4,
      atol=2e-6,
    )


def test_replicates_may_have_folds_of_their_own(tiny_config, tmp_path):
  tiny_config.data.validation_split = ""
  tiny_config.eval.gaussian_stds = tiny_config.eval.alphas = ()
  configs = several(
    tiny_config,
    data__train_split=("train[not fold 0/5]", "train[not fold 1/5]"),
    data__test_split=("train[fold 0/5]", "train[fold 1/5]"),
  )
  together = replicates.train_replicates(configs)
  expected = alone(configs[1], tmp_path)
  chex.assert_trees_all_close(
    jax.device_get(together[1].params),
    jax.device_get(expected),
    rtol=2e-3,
    atol=2e-5,
  )


def test_replicates_that_differ_in_more_are_refused(tiny_config):
  configs = several(tiny_config, seed=(0, 1))
  configs[1].optimizer.learning_rate = 0.5
  with pytest.raises(
    jaxrobust.ConfigError, match=r"config.optimizer.learning_rate=0.5: must be"
  ):
    replicates.train_replicates(configs)


def test_progress_counts_every_update(tiny_config):
  seen = []
  replicates.train_replicates(
    several(tiny_config, seed=(0, 1)), lambda *at: seen.append(at)
  )
  assert seen == [(k, 6) for k in range(1, 7)]
