"""The rows of the network itself: cost, path norm and sigma."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import evaluation, methods, models

SUBJECT = evaluation.Subject("run", "m", 0, 5, "d", "test", 7, "clean")


@pytest.fixture(scope="module")
def network():
  model = models.build("mlp", num_classes=3, hidden=(4,))
  return model, model.init(jax.random.key(0), jnp.ones((1, 5)))


def forward_of(preset, **fields):
  config = methods.preset(preset)
  config.forward.update(fields)
  return methods.build(config, (5,)).forward


def measured(network, forward, path):
  results = evaluation.Results(path)
  model, variables = network
  if hasattr(forward, "parameters"):
    own = forward.parameters(model, variables, jnp.ones((1, 5)))
    variables = {"params": {**variables["params"], **own}}
  arguments = (SUBJECT, model, forward, variables, (5,))
  evaluation.measure_network(*arguments, results)
  evaluation.measure_network(*arguments, evaluation.Results(path))
  return {row["metric"]: row["value"] for row in evaluation.read_rows(path)}


def test_a_prediction_costs_its_products_and_sums(network, tmp_path):
  found = measured(network, forward_of("standard"), tmp_path / "a.csv")
  products = 2 * (5 * 4 + 4 * 3)
  assert products < found["flops_per_example"] < products + 40


def test_the_path_norm_is_that_of_the_layers_behind_the_noise(
  network, tmp_path
):
  found = measured(network, forward_of("standard"), tmp_path / "a.csv")
  head = np.asarray(network[1]["params"]["head"]["kernel"])
  assert found["path_norm"] == pytest.approx(np.sqrt((head**2).sum()), 1e-5)
  assert "sigma" not in found


def test_deciding_by_samples_costs_them_all(network, tmp_path):
  plain = evaluation.prediction_flops(
    network[0], forward_of("standard"), network[1], (5,)
  )
  drawn = forward_of("monte_carlo", sigma=0.5, samples=8, predict="mean")
  found = measured(network, drawn, tmp_path / "a.csv")
  assert found["flops_per_example"] > 2.5 * plain


def test_the_noise_is_what_was_learned(network, tmp_path):
  forward = forward_of("stochastic", sigma=0.5, learn=True)
  found = measured(network, forward, tmp_path / "a.csv")
  assert found["sigma"] == pytest.approx(0.5, 1e-5)


def test_a_network_with_a_loop_has_no_number_of_operations():
  model = models.build("lstm", num_classes=2, width=3)
  variables = model.init(jax.random.key(0), jnp.ones((1, 6, 2)))
  config = methods.preset("standard")
  forward = methods.build(config, (6, 2)).forward
  flops = evaluation.prediction_flops(model, forward, variables, (6, 2))
  assert flops is None


def test_rows_that_are_there_are_not_written_again(network, tmp_path):
  path = tmp_path / "a.csv"
  measured(network, forward_of("standard"), path)
  assert len(evaluation.read_rows(path)) == 2
