"""TFDS data sets on disk, read without TensorFlow."""

import contextlib
import io
import json
import os
import shutil
import sys
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxrobust.data import DataError, load, stratified_folds

RNG = np.random.default_rng(0)
SIZES = {"train": 10, "test": 5}


def png(pixels):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, "PNG")
  return file.getvalue()


def write(root, name, features, examples, supervised=None):
  """Writes a data set by TFDS' own builder, and returns what it holds."""
  content = {
    split: [examples(split, position) for position in range(size)]
    for split, size in SIZES.items()
  }
  info = {
    "features": tfds.features.FeaturesDict(features),
    "supervised_keys": supervised,
  }
  builder_class = type(
    name.title(),
    (tfds.core.GeneratorBasedBuilder,),
    {
      "name": name,
      "VERSION": tfds.core.Version("1.2.0"),
      "_info": lambda self: tfds.core.DatasetInfo(builder=self, **info),
      "_split_generators": lambda self, _: {
        split: iter(enumerate(rows)) for split, rows in content.items()
      },
      "_generate_examples": lambda self: None,
    },
    skip_registration=True,
  )
  builder = builder_class(data_dir=root, file_format="array_record")
  heard = io.StringIO()
  with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
    builder.download_and_prepare()
  return content


@pytest.fixture(name="root", scope="module")
def make_root(tmp_path_factory):
  root = tmp_path_factory.mktemp("tfds")
  label = tfds.features.ClassLabel(names=["cat", "dog", "owl"])
  write(
    root,
    "photos",
    {
      "id": tfds.features.Text(),
      "image": tfds.features.Image(shape=(4, 6, 3)),
      "label": label,
      "coarse": tfds.features.ClassLabel(num_classes=2),
    },
    # The first pixel holds the position, so that order can be told.
    lambda split, i: {
      "id": f"{split}{i}",
      "image": png(np.full((4, 6, 3), 20 * i, np.uint8)),
      "label": i % 3,
      "coarse": i % 2,
    },
    supervised=("image", "label"),
  )
  write(
    root,
    "sizes",
    {"image": tfds.features.Image(), "label": label},
    lambda split, i: {
      "image": png(np.full((8 + i, 9, 3), 90, np.uint8)),
      "label": i % 3,
    },
  )
  for name, shape in (("series", (7, 2)), ("flat", (7,))):
    write(
      root,
      name,
      {
        "series": tfds.features.Tensor(shape=shape, dtype=np.float32),
        "label": label,
      },
      lambda split, i, shape=shape: {
        "series": np.full(shape, i - 0.5, np.float32),
        "label": i % 3,
      },
    )
  return root


def config(root, name="photos", **fields):
  defaults = {
    "source": "tfds",
    "name": name,
    "data_dir": str(root),
    "path": "",
    "shape": (4, 6, 3),
    "num_classes": 3,
    "cache": True,
    "stand_in": False,
    "targets": 0,
    "standardise": "none",
    "train_split": "train",
  }
  return types.SimpleNamespace(**{**defaults, **fields})


def refused(message, split, *args, **fields):
  with pytest.raises(DataError, match=message) as caught:
    load(config(*args, **fields), split)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_and_labels_are_those_that_tfds_reads(root, split):
  dataset = load(config(root), split)
  builder = tfds.builder_from_directory(root / "photos" / "1.2.0")
  theirs = list(builder.as_data_source(split=split))
  assert len(dataset) == len(theirs) == SIZES[split]
  np.testing.assert_array_equal(
    dataset.inputs, np.stack([example["image"] for example in theirs])
  )
  assert dataset.labels.tolist() == [example["label"] for example in theirs]
  assert dataset.class_names == ("cat", "dog", "owl")


def test_tensorflow_is_never_imported(root):
  load(config(root), "train")
  assert "tensorflow" not in sys.modules


def test_reading_on_demand_gives_the_same(root):
  cached = load(config(root), "train[20%:]")
  on_demand = load(config(root, cache=False), "train[20%:]")
  assert len(on_demand) == len(cached) == 8
  where = np.asarray([7, 0, 3])
  np.testing.assert_array_equal(on_demand.gather(where), cached.inputs[where])
  np.testing.assert_array_equal(on_demand.labels, cached.labels)


def test_parts_of_a_split_follow_tfds_own_slicing(root):
  whole = load(config(root), "train")
  builder = tfds.builder_from_directory(root / "photos" / "1.2.0")
  for expression in ("train[:90%]", "train[90%:]", "train[3:7]", "train[-2:]"):
    theirs = builder.as_data_source(split=expression)
    part = load(config(root), expression)
    assert part.labels.tolist() == [example["label"] for example in theirs]
  np.testing.assert_array_equal(
    load(config(root), "train[4:]").inputs, whole.inputs[4:]
  )


def test_images_of_many_sizes_are_brought_to_the_declared_shape(root):
  dataset = load(config(root, "sizes", shape=(5, 4, 1)), "train")
  assert dataset.inputs.shape == (10, 5, 4, 1)
  assert (dataset.inputs == 90).all()


@pytest.mark.parametrize("cache", [True, False])
def test_folds_are_dealt_by_the_labels_of_the_whole_split(root, cache):
  whole = load(config(root), "train")
  for words in ("fold 1/3", "not fold 1/3"):
    part = load(config(root, cache=cache), f"train[{words}]")
    chosen = (stratified_folds(whole.labels, 3) == 1) == (words[0] == "f")
    assert part.labels.tolist() == whole.labels[chosen].tolist()
    np.testing.assert_array_equal(
      part.gather(np.arange(len(part))), whole.inputs[chosen]
    )


@pytest.mark.parametrize(("name", "channels"), [("series", 2), ("flat", 1)])
@pytest.mark.parametrize("cache", [True, False])
def test_series_are_read(root, name, channels, cache):
  fields = {"shape": (7, channels), "cache": cache}
  dataset = load(config(root, name, **fields), "test")
  series = dataset.gather(np.arange(5))
  assert series.shape == (5, 7, channels)
  assert series.dtype == np.float32
  # A record's label tells its position, and so its values.
  np.testing.assert_array_equal((series[:, 0, 0] + 0.5) % 3, dataset.labels)


def test_the_newest_version_is_read_unless_one_is_named(root, tmp_path):
  shutil.copytree(root / "photos", tmp_path / "photos")
  (tmp_path / "photos" / "incomplete.XY_9.0.0").mkdir()
  shutil.copytree(tmp_path / "photos" / "1.2.0", tmp_path / "photos" / "1.10.0")
  (tmp_path / "photos" / "1.2.0" / "features.json").write_text("damaged")
  assert len(load(config(tmp_path), "train")) == 10
  refused("no TFDS data set", "train", tmp_path, "photos:1.2.0")


def test_the_default_place_is_that_of_tfds(root, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", str(root))
  assert len(load(config(""), "test")) == 5


def test_an_absent_data_set_names_the_command_that_makes_it(tmp_path):
  refused(
    rf"'mnist' is not in {tmp_path}; prepare it: "
    rf"jaxrobust prepare mnist --data_dir={tmp_path}$",
    "train",
    tmp_path,
    "mnist",
  )
  refused(
    "prepare it: tfds build beans --file_format", "train", tmp_path, "beans"
  )
  refused("config.data.name is ''", "train", tmp_path, "")
  for name in ("ecg200", "libras"):
    refused("--config.data.source=ucr", "train", tmp_path, name)


def test_what_does_not_fit_the_config_is_refused(root):
  refused(r"no split 'val'; it has: \['test', 'train'\]", "val", root)
  refused(r"shape is \(4, 4, 3\), but photos", "train", root, shape=(4, 4, 3))
  refused("num_classes is 5, but photos has 3", "train", root, num_classes=5)
  refused("is empty", "train[5:5]", root)


def test_a_set_without_one_input_and_one_label_is_refused(tmp_path):
  write(
    tmp_path,
    "pairs",
    {
      "label": tfds.features.ClassLabel(num_classes=2),
      "other": tfds.features.ClassLabel(num_classes=2),
    },
    lambda split, i: {"label": 0, "other": 1},
  )
  refused("must have one image or series", "train", tmp_path, "pairs")


@pytest.mark.parametrize("cache", [True, False])
def test_a_damaged_record_file_is_an_error_of_one_line(root, tmp_path, cache):
  shutil.copytree(root / "photos", tmp_path / "photos")
  (file,) = (tmp_path / "photos" / "1.2.0").glob("*train*")
  content = file.read_bytes()
  place = content.index(b"IHDR")
  file.write_bytes(content[:place] + bytes(200) + content[place + 200 :])
  with pytest.raises(DataError, match=r"photos.*cannot be read"):
    load(config(tmp_path, cache=cache), "train").gather(np.arange(10))
  file.unlink()
  with pytest.raises(DataError, match="cannot be read"):
    load(config(tmp_path, cache=cache), "train").gather(np.arange(10))


def test_a_set_in_another_format_is_refused(root, tmp_path):
  shutil.copytree(root / "photos", tmp_path / "photos")
  info = tmp_path / "photos" / "1.2.0" / "dataset_info.json"
  content = json.loads(info.read_text())
  content["fileFormat"] = "tfrecord"
  info.write_text(json.dumps(content))
  refused("is in format tfrecord; only array_record", "train", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("split", "counts"),
  [
    ("train", [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
    ("test", [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
  ],
)
def test_genuine_mnist_has_its_published_class_counts(split, counts):
  root = os.environ.get("JAXROBUST_DATA_DIR")
  if root is None:
    pytest.skip("JAXROBUST_DATA_DIR does not name a TFDS data_dir")
  fields = {"shape": (28, 28, 1), "num_classes": 10}
  dataset = load(config(root, "mnist", **fields), split)
  assert np.bincount(dataset.labels).tolist() == counts
  if split == "train":
    # The mean and standard deviation that everybody normalises by.
    pixels = dataset.inputs / np.float32(255)
    np.testing.assert_allclose(pixels.mean(), 0.1307, atol=5e-5)
    np.testing.assert_allclose(pixels.std(), 0.3081, atol=5e-5)
