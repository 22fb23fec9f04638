"""Each source, through `load`, and every way it can be wrong."""

import sys
import types

import numpy as np
import pytest
from PIL import Image

from jaxrobust.data import DataError, load


def config(**fields):
  defaults = {
    "source": "digits",
    "name": "mine",
    "data_dir": "",
    "path": "",
    "shape": (8, 8, 1),
    "num_classes": 10,
    "cache": True,
    "skip_corrupt": False,
    "stand_in": False,
    "targets": 0,
    "standardise": "none",
    "train_split": "train",
  }
  return types.SimpleNamespace(**{**defaults, **fields})


def refused(message, split="train", **fields):
  with pytest.raises(DataError, match=message) as caught:
    load(config(**fields), split)
  assert "\n" not in str(caught.value)


# --- embedded


def test_digits_are_scikit_learns_in_two_disjoint_parts():
  from sklearn import datasets

  train, test = load(config(), "train"), load(config(), "test")
  assert (len(train), len(test)) == (1442, 355)
  published = datasets.load_digits().images.reshape(1797, -1)
  ours = np.concatenate([train.inputs, test.inputs]).reshape(1797, -1)
  # Levels 0 to 16 are spread over a byte: invertible.
  levels = np.round(ours / (255 / 16))
  assert sorted(map(tuple, levels)) == sorted(map(tuple, published))
  for part in (train, test):
    counts = np.bincount(part.labels, minlength=10)
    assert counts.max() - counts.min() <= 9


def test_part_of_a_split_is_that_part():
  whole, part = load(config(), "train"), load(config(), "train[90%:]")
  np.testing.assert_array_equal(part.inputs, whole.inputs[1298:])
  np.testing.assert_array_equal(part.labels, whole.labels[1298:])


def test_digits_have_no_other_split():
  refused("digits has no split 'val'; allowed: 'train', 'test'", split="val")


@pytest.mark.parametrize("num_classes", [2, 10, 25, 100])
def test_the_stand_in_has_the_declared_shape_and_every_class(num_classes):
  fields = {"shape": (32, 28, 3), "num_classes": num_classes, "stand_in": True}
  dataset = load(config(source="tfds", name="cifar", **fields), "train")
  assert dataset.name == "digits-as-cifar"
  assert dataset.inputs.shape == (1442, 32, 28, 3)
  assert set(dataset.labels.tolist()) == set(range(num_classes))


def test_the_stand_in_of_ten_classes_is_the_digits_enlarged():
  digits = load(config(), "test")
  fields = {"shape": (16, 16, 3), "stand_in": True}
  stand_in = load(config(source="npz", **fields), "test")
  np.testing.assert_array_equal(stand_in.labels, digits.labels)
  enlarged = np.kron(digits.inputs, np.ones((1, 2, 2, 3), np.uint8))
  np.testing.assert_array_equal(stand_in.inputs, enlarged)


@pytest.mark.parametrize(("shape", "classes"), [((96, 1), 2), ((45, 2), 15)])
def test_synthetic_series_can_be_learnt_from_their_spectrum(shape, classes):
  fields = {"shape": shape, "num_classes": classes}
  train = load(config(source="synthetic_series", **fields), "train")
  test = load(config(source="tfds", stand_in=True, **fields), "test")
  assert (train.name, test.name) == ("mine", "synthetic-as-mine")
  assert train.inputs.shape == (512, *shape)
  assert train.inputs.dtype == np.float32

  def spectrum(dataset):
    return np.abs(np.fft.rfft(dataset.inputs, 4 * shape[0], axis=1)).sum(-1)

  centroids = np.stack(
    [spectrum(train)[train.labels == k].mean(0) for k in range(classes)]
  )
  distances = ((spectrum(test)[:, None] - centroids) ** 2).sum(-1)
  assert np.mean(distances.argmin(1) == test.labels) > 0.9


def test_embedded_data_are_the_same_each_time():
  for fields in (
    {},
    {"source": "synthetic_series", "shape": (20, 2), "num_classes": 3},
  ):
    first, second = (load(config(**fields), "train") for _ in range(2))
    np.testing.assert_array_equal(first.inputs, second.inputs)
    np.testing.assert_array_equal(first.labels, second.labels)


# --- folders of images


@pytest.fixture(name="folder")
def make_folder(tmp_path):
  colours = {"blue": (0, 0, 200), "red": (200, 0, 0)}
  for split, count in (("train", 3), ("test", 1)):
    for name, colour in colours.items():
      directory = tmp_path / split / name
      directory.mkdir(parents=True)
      for number in range(count):
        image = Image.new("RGB", (20 + number, 12), colour)
        image.save(directory / f"{number}.{('png', 'jpg', 'bmp')[number]}")
  (tmp_path / "train" / "red" / "notes.txt").write_text("no image")
  (tmp_path / "train" / ".hidden").mkdir()
  return tmp_path


def folder_config(folder, **fields):
  return {
    "source": "folder",
    "path": str(folder),
    "shape": (8, 6, 3),
    "num_classes": 2,
    **fields,
  }


@pytest.mark.parametrize("cache", [True, False])
def test_a_folder_gives_its_images_sorted_by_class(folder, cache):
  dataset = load(config(**folder_config(folder, cache=cache)), "train")
  assert dataset.class_names == ("blue", "red")
  assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]
  images = dataset.gather(np.arange(6))
  assert images.shape == (6, 8, 6, 3)
  assert images.dtype == np.uint8
  # Channel 2 is blue, channel 0 red; JPEG is off by a little.
  means = images.mean((1, 2))
  np.testing.assert_allclose(means[:3], [[0, 0, 200]] * 3, atol=4)
  np.testing.assert_allclose(means[3:], [[200, 0, 0]] * 3, atol=4)


@pytest.mark.parametrize("cache", [True, False])
def test_part_of_a_folder_is_that_part(folder, cache):
  fields = folder_config(folder, cache=cache)
  part = load(config(**fields), "train[2:5]")
  assert part.labels.tolist() == [0, 1, 1]
  whole = load(config(**fields), "train")
  np.testing.assert_array_equal(
    part.gather(np.asarray([2, 0])), whole.gather(np.asarray([4, 2]))
  )


def test_an_image_is_resized_by_its_shorter_side_and_cropped(tmp_path):
  pixels = np.zeros((10, 30), np.uint8)
  pixels[:, 10:20] = 255  # The square in the middle.
  (tmp_path / "train" / "a").mkdir(parents=True)
  Image.fromarray(pixels).save(tmp_path / "train" / "a" / "0.png")
  fields = folder_config(tmp_path, shape=(5, 5, 1), num_classes=1)
  image = load(config(**fields), "train").inputs[0, :, :, 0]
  # Bilinear weights reach a little beyond the window; a squeeze would be
  # black at the sides.
  assert (image[:, 1:4] == 255).all()
  assert image.min() > 200


def test_a_class_keeps_its_number_where_a_split_has_none_of_it(folder):
  (folder / "test" / "blue" / "0.png").unlink()
  (folder / "test" / "blue").rmdir()
  dataset = load(config(**folder_config(folder)), "test")
  assert dataset.labels.tolist() == [1]


@pytest.mark.parametrize("cache", [True, False])
def test_a_damaged_image_is_named(folder, cache):
  file = folder / "train" / "red" / "0.png"
  file.write_bytes(file.read_bytes()[:50])
  with pytest.raises(DataError, match=r"red/0\.png is no readable image"):
    load(config(**folder_config(folder, cache=cache)), "train").gather(
      np.arange(6)
    )


@pytest.mark.parametrize("cache", [True, False])
def test_damaged_images_are_counted_and_left_out_only_if_asked(folder, cache):
  for name in ("red/0.png", "blue/0.png"):
    (folder / "train" / name).write_bytes(b"no image")
  whole = folder_config(folder, cache=True)
  refused(
    r"2 of 6 images cannot be read, as .*blue/0.png.*skip_corrupt", **whole
  )
  fields = folder_config(folder, cache=cache, skip_corrupt=True)
  with pytest.warns(UserWarning, match="2 of 6 images .*; left out"):
    dataset = load(config(**fields), "train")
  assert len(dataset) == 4
  np.testing.assert_array_equal(dataset.examples(np.arange(4))[1], [0, 0, 1, 1])
  means = dataset.gather(np.arange(4)).mean((1, 2))
  np.testing.assert_allclose(means[:2], [[0, 0, 200]] * 2, atol=4)
  np.testing.assert_allclose(means[2:], [[200, 0, 0]] * 2, atol=4)


def test_a_folder_of_damaged_images_alone_is_refused(folder):
  for file in (folder / "train").glob("[!.]*/*.*"):
    file.write_bytes(b"no image")
  refused("6 of 6", **folder_config(folder, skip_corrupt=True))


def test_a_wrong_folder_is_refused(folder, tmp_path):
  refused("path is '', which is no folder", source="folder")
  fields = folder_config(folder)
  refused(r"no split 'val'; it has: \['test', 'train'\]", "val", **fields)
  refused("num_classes is 3, but mine has 2", **{**fields, "num_classes": 3})
  refused("channels|height", **{**fields, "shape": (8, 8, 2)})
  (tmp_path / "empty").mkdir()
  refused("has no images in class folders", "empty", **fields)


# --- npz files


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_npz_images_are_read_as_medmnist_names_them(tmp_path, dtype):
  images = np.random.default_rng(0).random((4, 8, 8)).astype(dtype)
  path = tmp_path / "set.npz"
  np.savez(path, val_images=images, val_labels=np.asarray([[0], [1], [1], [0]]))
  fields = {"source": "npz", "path": str(path), "num_classes": 2}
  dataset = load(config(**fields), "val[1:]")
  assert dataset.labels.tolist() == [1, 1, 0]
  assert dataset.inputs.dtype == (np.uint8 if dtype == np.uint8 else np.float32)
  np.testing.assert_array_equal(
    dataset.inputs[..., 0], images[1:].astype(dataset.inputs.dtype)
  )


def test_npz_series_are_read_as_float32(tmp_path):
  series = np.random.default_rng(0).normal(size=(4, 9, 2))
  path = tmp_path / "set.npz"
  np.savez(path, train_series=series, train_labels=np.arange(4))
  fields = {"path": str(path), "shape": (9, 2), "num_classes": 4}
  dataset = load(config(source="npz", **fields), "train")
  np.testing.assert_array_equal(dataset.inputs, series.astype(np.float32))


def test_a_wrong_npz_is_refused(tmp_path):
  path = tmp_path / "set.npz"
  fields = {"source": "npz", "path": str(path), "num_classes": 2}
  refused("no such file", **fields)
  path.write_bytes(b"PK\3\4 not really")
  refused("is no readable .npz file", **fields)
  images = np.zeros((4, 8, 8, 1), np.uint8)
  np.savez(path, train_images=images)
  refused("must have train_labels and one of", **fields)
  np.savez(path, train_images=images, train_labels=np.arange(3))
  refused("4 train_images but 3 train_labels", **fields)
  np.savez(path, train_images=images, train_labels=np.arange(4))
  refused("labels from 0 to 3; allowed by .*num_classes=2", **fields)
  np.savez(path, train_images=images * 1.0 + 7, train_labels=np.arange(4) % 2)
  refused("float images from 7 to 7", **fields)


# --- one's own function, and the table


def test_ones_own_function_is_a_source(monkeypatch):
  module = types.ModuleType("own_module")
  module.load = lambda split: (
    np.full((3, 8, 8, 1), len(split), np.uint8),
    [0, 1, 1],
  )
  monkeypatch.setitem(sys.modules, "own_module", module)
  dataset = load(config(source="own_module:load"), "test[1:]")
  assert (dataset.name, dataset.labels.tolist()) == ("mine", [1, 1])
  assert (dataset.inputs == 4).all()
  refused("has no attribute 'other'", source="own_module:other")
  refused("No module named 'no_such'", source="no_such:load")


def test_an_unknown_source_and_a_bad_shape_are_refused():
  refused("source is 'disk'; allowed: 'tfds', 'digits'", source="disk")
  refused(r"shape is \(8,\); allowed", shape=(8,))
  refused(r"shape is \(8, 0, 1\); allowed", shape=(8, 0, 1))
  refused("is not understood", split="train[")
  refused("series", source="synthetic_series")
  for source, shape in (("synthetic_series", (20, 2)), ("digits", (8, 8, 1))):
    refused(
      rf"targets is 1; allowed for source '{source}', which has classes: 0",
      source=source,
      shape=shape,
      targets=1,
      num_classes=0,
    )
