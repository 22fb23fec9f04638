"""Each format gives the function that its run is judged by."""

import json

import jax
import numpy as np
import pytest
from exported_runs import (
  batch_norm_config,
  examples,
  filtered_config,
  moments_config,
  run_of,
  smoothed_config,
)

import jaxrobust
from jaxrobust import export, models
from jaxrobust.data import DataError
from jaxrobust.export import (
  card,
  function,
  manifest,
  predictor,
  safetensors,
  write,
)
from jaxrobust.export.load import open_model
from jaxrobust.export.onnx import to_onnx

RUNS = {
  "moments": (moments_config, (1, 3, 7)),
  "smoothed": (smoothed_config, (3,)),
  "batch_norm": (batch_norm_config, (1, 3, 7)),
}


def exported(run, kind, folder):
  folder.mkdir(exist_ok=True)
  write.write_model(run, kind, folder)
  return jaxrobust.load(folder)


def expected(run, images):
  """All at once, as evaluation has them."""
  inputs = predictor.as_float(images)
  return np.asarray(jax.jit(run.logits)(run.variables, inputs))


@pytest.mark.quick
@pytest.mark.parametrize("kind", export.FORMATS)
@pytest.mark.parametrize("name", list(RUNS))
def test_an_export_gives_the_logits_of_its_run(name, kind, tmp_path):
  make, sizes = RUNS[name]
  run = run_of(make())
  model = exported(run, kind, tmp_path)
  images = examples(run.dataset.shape, 7)
  for size in sizes:
    np.testing.assert_allclose(
      model.logits(images[:size]),
      expected(run, images[:size]),
      rtol=1e-4,
      atol=1e-5,
    )


def test_the_mean_under_the_noise_is_another_function_than_without_it():
  run = run_of(moments_config())
  config = moments_config()
  config.method.forward.predict = "off"
  images = examples(run.dataset.shape, 7)
  without = function.logits_function(config)(
    run.variables, predictor.as_float(images)
  )
  assert np.abs(expected(run, images) - without).max() > 0.01


def test_the_smoother_is_a_part_of_the_export(tmp_path):
  run = run_of(smoothed_config())
  model = exported(run, "onnx", tmp_path)
  bare = function.logits_function(smoothed_config(smooth_eval="off"))
  images = examples(run.dataset.shape, 5)
  alone = bare(run.variables, predictor.as_float(images))
  assert np.abs(model.logits(images) - alone).max() > 0.01
  assert model.about["smoother"] == "inverse_scale"


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("blur", {"sigma": 1.0}),
    ("median", {"size": 3}),
    ("chambolle", {"weight": 0.2, "iterations": 5}),
  ],
)
def test_filters_are_exported_to_onnx(name, options, tmp_path):
  run = run_of(filtered_config(name, **options))
  model = exported(run, "onnx", tmp_path)
  images = examples(run.dataset.shape, 5)
  np.testing.assert_allclose(
    model.logits(images), expected(run, images), rtol=1e-4, atol=1e-5
  )


def test_what_onnx_cannot_say_is_refused_by_name(tmp_path):
  run = run_of(filtered_config("low_pass", cutoff=0.5))
  with pytest.raises(export.ExportError) as caught:
    exported(run, "onnx", tmp_path)
  assert str(caught.value) == (
    "onnx: 'fft' is not exported; take --format=stablehlo"
  )
  assert "stablehlo" in exported(run, "stablehlo", tmp_path).about["format"]


def test_a_computation_in_bfloat16_is_refused_by_onnx(tmp_path):
  config = moments_config()
  config.model.dtype = "bfloat16"
  with pytest.raises(export.ExportError, match="bfloat16 is not exported"):
    exported(run_of(config), "onnx", tmp_path)


def test_stablehlo_is_for_all_three_platforms(tmp_path):
  model = exported(run_of(smoothed_config()), "stablehlo", tmp_path)
  assert model.about["platforms"] == ["cpu", "cuda", "tpu"]


def test_safetensors_has_the_parameters_by_name_and_the_config(tmp_path):
  from safetensors import safe_open

  config = batch_norm_config()
  for field in ("data_dir", "path", "smoothed_dir"):
    config.data[field] = "/home/someone/data"
  config.eval.corrupted_files = "/home/someone/corrupted"
  run = run_of(config)
  exported(run, "safetensors", tmp_path)
  with safe_open(tmp_path / "model.safetensors", "numpy") as file:
    about = json.loads(file.metadata()["jaxrobust"])
    kernel = file.get_tensor("params/head/kernel")
    names = set(file.keys())
  np.testing.assert_array_equal(
    kernel, run.variables["params"]["head"]["kernel"]
  )
  assert any(name.startswith("batch_stats/") for name in names)
  assert about["format_version"] == manifest.VERSION
  assert about["config"]["model"]["name"] == "fcn1d"
  # Nothing of the machine that it was made on.
  assert "someone" not in json.dumps(about)


def test_a_file_that_names_code_to_import_is_loaded_on_trust_alone(tmp_path):
  config = batch_norm_config()
  exported(run_of(config), "safetensors", tmp_path)
  payload, kind, about = manifest.read(tmp_path)
  variables, inside = safetensors.from_safetensors(payload)
  inside["config"]["model"]["name"] = "nowhere_to_be_found:Net"
  named = safetensors.to_safetensors(variables, inside)
  with pytest.raises(DataError, match=r"nowhere_to_be_found:Net.*trust=True"):
    open_model(named, kind, about)
  with pytest.raises(DataError, match="cannot rebuild"):
    open_model(named, kind, about, trust=True)


@pytest.mark.parametrize("name", sorted(models.MODELS))
def test_every_model_of_the_registry_has_an_onnx_graph(name):
  config = batch_norm_config()
  if name not in ("fcn1d", "resnet1d", "lstm"):
    config.data.shape = (32, 32, 3)
  config.model.update(dict.fromkeys(models.options("fcn1d")))
  config.model.name = name
  config.model.update(models.quick_options(name))
  run = run_of(config)
  graph = to_onnx(
    lambda x: run.logits(run.variables, x), tuple(config.data.shape), {}
  )
  assert len(graph) > 1000


def test_the_adaptive_smoother_is_a_part_of_an_onnx_graph(tmp_path):
  run = run_of(smoothed_config(smooth_eval="adaptive"))
  images = examples(run.dataset.shape, 3)
  np.testing.assert_allclose(
    exported(run, "onnx", tmp_path).logits(images),
    expected(run, images),
    rtol=1e-4,
    atol=1e-5,
  )


@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
def test_one_file_alone_is_enough(kind, tmp_path):
  run = run_of(batch_norm_config())
  whole = exported(run, kind, tmp_path)
  (tmp_path / manifest.NAME).unlink()
  alone = jaxrobust.load(tmp_path / manifest.FILES[kind])
  assert (alone.classes, alone.shape) == (whole.classes, whole.shape)
  series = examples(run.dataset.shape, 2)
  np.testing.assert_array_equal(alone.logits(series), whole.logits(series))


def test_a_regression_predicts_targets_and_has_a_card(tmp_path):
  config = batch_norm_config()
  config.data.num_classes, config.data.targets = 0, 2
  run = run_of(config)
  model = exported(run, "safetensors", tmp_path)
  series = examples(run.dataset.shape, 3)
  np.testing.assert_allclose(
    model.predict(series), expected(run, series), rtol=1e-4, atol=1e-5
  )
  text = card.model_card(run, model.about, [], "Compared.")
  assert "predicts 2 numbers of" in text
  assert "gives targets [N, 2]" in text
