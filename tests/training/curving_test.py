"""Curvature is the same on any devices, and is measured when asked for."""

import jax
import numpy as np
import pytest

import jaxrobust
from jaxrobust import data, evaluation, methods, models
from jaxrobust.training import curving, parallel

COUNT, SHAPE = 21, (8, 8, 1)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (COUNT, *SHAPE)).astype(np.uint8)
LABELS = RNG.integers(0, 5, COUNT)
DATASET = data.Dataset("random", "test", IMAGES, LABELS, "abcde")
CELLS = evaluation.curvature_cells(COUNT, [0.05], [0.1])
OPTIONS = {"num_classes": 5, "hidden": (16,)}


def measure(launcher="pmap", devices=1, cells=CELLS, **options):
  launch = parallel.Launcher(launcher, jax.local_devices()[:devices])
  model = models.build("mlp", **OPTIONS, **options)
  variables = model.init(jax.random.key(3), IMAGES[:2] / np.float32(255))
  forward = methods.build(methods.preset("standard"), SHAPE).forward
  judge = curving.CurvatureJudge(model, forward, True, launch, 12, probes=3)
  key = launch.replicate(jax.random.key(0))
  placed = launch.replicate(variables)
  return [judge(placed, cell, DATASET, key) for cell in cells]


@pytest.fixture(scope="module")
def on_one():
  return measure()


@pytest.mark.parametrize(
  ("launcher", "devices"), [("pmap", 2), ("pmap", 4), ("shard_map", 2)]
)
def test_devices_and_launchers_change_nothing(on_one, launcher, devices):
  others = measure(launcher, devices)
  for one, other in zip(on_one, others, strict=True):
    assert one.keys() == other.keys()
    for name, values in one.items():
      assert values.shape == (COUNT,)
      scale = np.abs(values).max()
      np.testing.assert_allclose(
        other[name], values, rtol=2e-3, atol=1e-5 * scale
      )


def test_only_the_first_images_are_measured(on_one):
  cells = evaluation.curvature_cells(5, [0.05], [])
  for part, whole in zip(measure(cells=cells), on_one[:2], strict=True):
    for name, values in part.items():
      np.testing.assert_allclose(values, whole[name][:5], rtol=2e-3)


def test_a_network_in_bfloat16_is_measured_in_float32(on_one):
  cells = CELLS[:1]
  (found,) = measure(cells=cells, dtype="bfloat16")
  np.testing.assert_allclose(
    found["gauss_newton_top"], on_one[0]["gauss_newton_top"], rtol=1e-4
  )


def test_a_finished_run_can_be_measured_and_resumed(tiny_config, tmp_path):
  tiny_config.train.epochs = 1
  tiny_config.eval.gaussian_stds = tiny_config.eval.alphas = ()
  tiny_config.eval.curvature_examples = 9
  tiny_config.eval.curvature_h = (0.01, 0.1)
  tiny_config.eval.curvature_probes = 3
  outcome = jaxrobust.train(tiny_config, tmp_path)
  rows = [r for r in outcome.rows if r["perturbation"] == "curvature"]
  metrics = {(r["strength"], r["metric"]) for r in rows}
  assert {(0.01, "finite_difference"), (0.1, "finite_difference")} <= metrics
  assert (8 / 255, "feature_bound") in metrics
  whole = [r for r in rows if "(count=" not in r["metric"]]
  assert {row["n_examples"] for row in whole} == {9}
  path = tmp_path / "results.csv"
  text = path.read_text()
  path.write_text("".join(text.splitlines(keepends=True)[:-2]))
  jaxrobust.evaluate(tmp_path)
  lines, again = text.splitlines(), path.read_text().splitlines()
  assert [x.rsplit(",", 3)[0] for x in again] == [
    x.rsplit(",", 3)[0] for x in lines
  ]


@pytest.mark.parametrize(
  ("field", "value", "words"),
  [
    ("curvature_examples", -1, "at least 0"),
    ("curvature_probes", 1, "at least 2"),
    ("curvature_h", (0.01, 0.0), "positive, in units of the input"),
    ("curvature_h", ("a",), "numbers"),
    ("curvature_std", (-0.1,), "positive, in units of the input"),
    ("curvature_std", (float("nan"),), "positive"),
  ],
)
def test_wrong_values_are_refused_in_one_line(field, value, words):
  config = jaxrobust.default_config()
  config.eval[field] = value
  with pytest.raises(jaxrobust.ConfigError, match=words) as error:
    jaxrobust.validate(config)
  assert f"config.eval.{field}=" in str(error.value)
  assert "\n" not in str(error.value)


def test_a_regression_has_no_curvature_of_a_cross_entropy():
  config = jaxrobust.default_config()
  config.data.num_classes, config.data.targets = 0, 1
  config.method.objective.name = "mse"
  config.eval.curvature_examples = 10
  with pytest.raises(jaxrobust.ConfigError, match=r"examples=10: must be 0"):
    jaxrobust.validate(config)


def test_the_quick_variant_measures_a_few():
  config = jaxrobust.default_config()
  config.eval.curvature_examples = 1000
  config.eval.curvature_h = (0.01, 0.1)
  config.eval.curvature_std = (0.1, 0.2)
  quick = jaxrobust.variant(config, "quick").eval
  assert (quick.curvature_examples, quick.curvature_probes) == (16, 4)
  assert (quick.curvature_h, quick.curvature_std) == ((0.01,), (0.1,))
