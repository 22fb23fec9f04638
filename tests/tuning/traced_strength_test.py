"""One compiled step serves every strength, and is the config's own step."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrobust
from jaxrobust import data
from jaxrobust.training import parallel
from jaxrobust.training.assembly import assemble, make_loader
from jaxrobust.tuning import mix, traced_strength, trainer
from jaxrobust.tuning import ranges as ranges_lib


@pytest.fixture
def train_set(tiny_config):
  return data.load(tiny_config.data, tiny_config.data.train_split)


@pytest.mark.parametrize("alpha", [1.0, 1.5])
def test_a_traced_strength_trains_as_the_constant_does(
  tiny_config, train_set, alpha
):
  tiny_config.method.input.alpha = alpha
  parts = assemble(tiny_config, train_set)
  batch = next(make_loader(tiny_config, train_set))
  batch = {name: rows[None] for name, rows in batch.items()}

  def run(step):
    mapped = jax.vmap(step, in_axes=(None, 0, None), axis_name=parallel.AXIS)
    state, metrics = mapped(parts.state, batch, {})
    return state.params, metrics["loss"]

  @jax.jit
  def traced(law):
    return run(traced_strength.train_step(parts, *law))

  law = tuple(map(jnp.float32, traced_strength.law_of(tiny_config)))
  constant = jax.jit(lambda: run(parts.train_step()))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    traced(law),
    constant(),
  )


def test_strengths_share_a_compiled_step_and_other_fields_do_not(
  tiny_config, train_set
):
  tiny_config.train.epochs = 1
  trains = trainer.Trainer(train_set, mix.validation_set(tiny_config))
  for rate in (0.05, 0.3):
    values = {"method.input.flip_rate": rate}
    (_,) = trains.epochs(ranges_lib.apply(tiny_config, values))
  assert trains.compiled_steps == 1
  values = {"optimizer.learning_rate": 0.1}
  (_,) = trains.epochs(ranges_lib.apply(tiny_config, values))
  assert trains.compiled_steps == 2


def test_a_trainer_judges_its_model_as_a_run_is_judged(
  tiny_config, train_set, tmp_path
):
  trains = trainer.Trainer(train_set, mix.validation_set(tiny_config))
  *_, by_kind = trains.epochs(tiny_config)
  jaxrobust.train(tiny_config, tmp_path)
  lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
  last = json.loads(lines[-1])
  assert last["validation/accuracy"] == pytest.approx(by_kind["clean"])
