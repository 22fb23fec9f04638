"""A training set is smoothed once, whole or not at all, and shared."""

import pathlib

import numpy as np
import pytest

import jaxrobust
from jaxrobust import data, inverse_scale, methods
from jaxrobust.training import smoothed

SHAPE = (8, 8, 1)


@pytest.fixture
def config(smoothed_config):
  return smoothed_config


def train_set(config):
  return data.load(config.data, config.data.train_split)


def files(config):
  (folder,) = pathlib.Path(config.data.smoothed_dir).iterdir()
  return {path.name: path for path in folder.iterdir()}


def small_chunks(monkeypatch, images=20):
  monkeypatch.setattr(smoothed, "_CHUNK_BYTES", images * 64)
  # At least 256 images make a chunk otherwise.
  monkeypatch.setattr(smoothed, "_LEAST_CHUNK", 1)
  monkeypatch.setattr(smoothed, "_BATCH_NUMBERS", 8 * 64)


def test_the_kept_images_are_the_smoothers_to_half_a_grey_level(config):
  raw = train_set(config)
  kept = smoothed.smoothed(config, raw)
  images = np.asarray(data.as_float(raw.inputs))
  expected = inverse_scale.smooth(images, 0.3, nu=1.0, steps=20).images
  assert kept.inputs.dtype == np.uint8
  np.testing.assert_allclose(
    kept.inputs / 255, np.clip(expected, 0, 1), atol=0.5 / 255 + 1e-6
  )
  np.testing.assert_array_equal(kept.labels, raw.labels)


def test_no_image_of_the_disk_is_smoothed_again(config):
  kept = smoothed.smoothed(config, train_set(config)).inputs
  path = files(config)["level0-000000.npy"]
  np.save(path, 255 - kept)
  again = smoothed.smoothed(config, train_set(config)).inputs
  np.testing.assert_array_equal(again, 255 - kept)


def test_runs_that_differ_in_evaluation_alone_share_what_is_kept(config):
  smoothed.smoothed(config, train_set(config))
  config.method.input.smooth_eval = "off"
  config.model.hidden = (8,)
  smoothed.smoothed(config, train_set(config))
  assert len(files(config)) == 3  # One folder: a level, labels and the recipe.


@pytest.mark.parametrize(
  "change",
  [
    lambda config: config.method.input.update(fractions=(0.4,)),
    lambda config: config.method.input.update(nu=0.5),
    lambda config: config.data.update(train_split="train[1:60]"),
  ],
)
def test_other_images_are_kept_apart(config, change):
  smoothed.smoothed(config, train_set(config))
  change(config)
  smoothed.smoothed(config, train_set(config))
  assert len(list(pathlib.Path(config.data.smoothed_dir).iterdir())) == 2


def test_an_interrupted_smoothing_keeps_whole_chunks_and_goes_on(
  config, monkeypatch
):
  small_chunks(monkeypatch)
  whole = smoothed.smoothed(config, train_set(config)).inputs
  for path in files(config).values():
    path.unlink()
  asked = iter([False] * 4 + [True])
  with pytest.raises(smoothed.Stopped):
    smoothed.smoothed(config, train_set(config), lambda: next(asked))
  left = files(config)
  assert set(left) == {
    "about.json",
    "level0-000000.npy",
    "labels-000000.npy",
  }
  times = left["level0-000000.npy"].stat().st_mtime_ns
  resumed = smoothed.smoothed(config, train_set(config)).inputs
  np.testing.assert_array_equal(resumed, whole)
  left = files(config)
  assert left["level0-000000.npy"].stat().st_mtime_ns == times
  assert not [name for name in left if name.endswith(".part")]


def test_a_write_that_fails_leaves_no_file(config, monkeypatch):
  def fail(file, array):
    file.write(b"half")
    raise OSError("disk full")

  monkeypatch.setattr(smoothed.np, "save", fail)
  with pytest.raises(OSError, match="disk full"):
    smoothed.smoothed(config, train_set(config))
  assert set(files(config)) == {"about.json"}


def test_a_set_that_is_read_on_demand_stays_so(config, monkeypatch):
  small_chunks(monkeypatch)
  raw = train_set(config)
  expected = smoothed.smoothed(config, raw)
  on_demand = data.OnDemandDataset(
    raw.name, raw.split, raw.examples, len(raw), SHAPE, raw.class_names
  )
  kept = smoothed.smoothed(config, on_demand)
  assert isinstance(kept, data.OnDemandDataset)
  index = np.asarray([41, 0, 59, 3])
  for found, wanted in zip(
    kept.examples(index), expected.examples(index), strict=True
  ):
    np.testing.assert_array_equal(found, wanted)


def test_series_are_kept_as_floats(config):
  config.data.source = "synthetic_series"
  config.data.name, config.data.shape = "synthetic", (24, 2)
  config.data.num_classes = 3
  raw = train_set(config)
  kept = smoothed.smoothed(config, raw)
  expected = inverse_scale.smooth(raw.inputs, 0.3, nu=1.0, steps=20).images
  assert kept.inputs.dtype == np.float32
  np.testing.assert_allclose(kept.inputs, expected, atol=1e-6)


@pytest.mark.parametrize("flow", ["anew", "carried"])
def test_a_loader_reads_the_level_of_the_epoch(config, flow):
  config.train.epochs = 4
  config.method.input.update(fractions=(0.1, 0.6), flow=flow)
  raw = train_set(config)
  own = methods.build(config.method, SHAPE).input
  levels = own.levels(data.as_float(raw.inputs))
  loader = data.Loader(smoothed.smoothed(config, raw), 60, epochs=4)
  for epoch, batch in enumerate(loader):
    expected = np.clip(levels[epoch // 2][batch["index"]], 0, 1)
    np.testing.assert_allclose(
      batch["inputs"] / 255, expected, atol=0.5 / 255 + 1e-6
    )


def test_a_set_that_changes_has_no_one_array_of_inputs(config):
  config.method.input.fractions = (0.1, 0.6)
  changing = smoothed.smoothed(config, train_set(config))
  with pytest.raises(data.DataError, match="device_resident=False"):
    changing.inputs  # noqa: B018
  config.data.device_resident = True
  with pytest.raises(
    jaxrobust.ConfigError, match=r"data.device_resident=True: must be False"
  ):
    jaxrobust.training.validate(config)
