"""The official corrupted sets are read as they lie on disk, and checked."""

import contextlib
import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxrobust import data

SIZE = 6
LABELS = np.asarray([3, 1, 9, 0, 3, 7], np.uint8)


def images():
  """Each image's pixels are its severity and its position."""
  values = np.arange(5 * SIZE, dtype=np.uint8)
  return np.broadcast_to(values[:, None, None, None], (5 * SIZE, 32, 32, 3))


@pytest.fixture(name="folder")
def make_folder(tmp_path):
  folder = tmp_path / "CIFAR-10-C"
  folder.mkdir()
  np.save(folder / "fog.npy", images())
  np.save(folder / "labels.npy", np.tile(LABELS, 5))
  return folder


@pytest.mark.parametrize("severity", [1, 4, 5])
def test_a_severity_is_its_fifth_of_the_file(folder, severity):
  dataset = data.corrupted_npy(folder, "fog", severity)
  assert len(dataset) == SIZE
  assert dataset.dtype == np.uint8
  assert dataset.name == f"CIFAR-10-C/fog/{severity}"
  expected = np.arange(SIZE) + (severity - 1) * SIZE
  np.testing.assert_array_equal(dataset.inputs[:, 5, 6, 1], expected)
  np.testing.assert_array_equal(dataset.labels, LABELS)
  assert dataset.labels.dtype == np.int32
  assert dataset.num_classes == 10
  assert (
    data.corrupted_npy(folder, "fog", 1, num_classes=100).num_classes == 100
  )


def spoil(folder, what):
  labels = np.tile(LABELS, 5)
  if what == "shape":
    np.save(folder / "fog.npy", images()[:, :28])
  elif what == "dtype":
    np.save(folder / "fog.npy", images().astype(np.float32))
  elif what == "count":
    np.save(folder / "fog.npy", images()[:-1])
  elif what == "fifths":
    np.save(folder / "fog.npy", images()[:-1])
    np.save(folder / "labels.npy", labels[:-1])
  elif what == "tiling":
    # The labels sorted by example, as an average over severities wants them.
    np.save(folder / "labels.npy", np.repeat(LABELS, 5))
  elif what == "range":
    np.save(folder / "labels.npy", labels + 3)
  elif what == "damaged":
    (folder / "fog.npy").write_bytes(b"\x93NUMPY")
  elif what == "pickle":
    np.save(folder / "fog.npy", np.asarray([{}], object), allow_pickle=True)
  elif what == "labels":
    (folder / "labels.npy").unlink()


@pytest.mark.parametrize(
  ("what", "message"),
  [
    ("shape", r"fog.npy is uint8 \[30, 28, 32, 3\]; must be uint8"),
    ("dtype", r"fog.npy is float32"),
    ("count", "has 29 images, .*labels.npy 30 labels"),
    ("fifths", "has 29 images; must be five times"),
    ("tiling", "labels of severity 2 differ from those of 1"),
    ("range", "labels from 3 to 12; must be from 0 to 9"),
    ("damaged", "fog.npy is no readable .npy file"),
    ("pickle", "fog.npy is no readable .npy file"),
    ("labels", "labels.npy: no such file"),
  ],
)
def test_what_is_wrong_with_a_file_is_said(folder, what, message):
  spoil(folder, what)
  with pytest.raises(data.DataError, match=message):
    data.corrupted_npy(folder, "fog", 2)


def test_a_corruption_and_a_severity_are_asked_for(folder):
  with pytest.raises(data.DataError, match=r"snow.npy: no such .* has: fog"):
    data.corrupted_npy(folder, "snow", 1)
  for severity in (0, 6, None, "all"):
    with pytest.raises(data.DataError, match=f"severity is {severity!r}"):
      data.corrupted_npy(folder, "fog", severity)
    with pytest.raises(data.DataError, match="must be 1, 2, 3, 4 or 5"):
      data.corrupted_tfds("cifar10_corrupted", "fog", severity)
  with pytest.raises(data.DataError, match="must be None for mnist_corrupted"):
    data.corrupted_tfds("mnist_corrupted", "fog", 3)
  with pytest.raises(data.DataError, match="must be one of cifar10_corrupted"):
    data.corrupted_tfds("cifar100_corrupted", "fog", 3)
  with pytest.raises(data.DataError, match="mnist_corrupted needs one's name"):
    data.corrupted_tfds("mnist_corrupted", "")


def png(pixels):
  file = io.BytesIO()
  Image.fromarray(np.squeeze(pixels)).save(file, "PNG")
  return file.getvalue()


def write(root, name, config, shape):
  """A set of one config, by TFDS' own builder."""
  pixels = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
  features = {
    "image": tfds.features.Image(shape=shape),
    "label": tfds.features.ClassLabel(num_classes=10),
  }
  builder_class = type(
    "".join(part.title() for part in name.split("_")),
    (tfds.core.GeneratorBasedBuilder,),
    {
      "name": name,
      "VERSION": tfds.core.Version("1.0.0"),
      "BUILDER_CONFIGS": [tfds.core.BuilderConfig(name=config)],
      "_info": lambda self: tfds.core.DatasetInfo(
        builder=self,
        features=tfds.features.FeaturesDict(features),
        supervised_keys=("image", "label"),
      ),
      "_split_generators": lambda self, _: {
        "test": iter(
          (i, {"image": png(image), "label": i})
          for i, image in enumerate(pixels)
        )
      },
      "_generate_examples": lambda self: None,
    },
    skip_registration=True,
  )
  builder = builder_class(
    data_dir=root, config=config, file_format="array_record"
  )
  heard = io.StringIO()
  with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
    builder.download_and_prepare()
  return pixels


@pytest.mark.parametrize(
  ("name", "corruption", "severity", "config", "shape"),
  [
    ("mnist_corrupted", "fog", None, "fog", (28, 28, 1)),
    ("cifar10_corrupted", "glass_blur", 3, "frosted_glass_blur_3", (32, 32, 3)),
  ],
)
def test_tfds_sets_are_read(
  tmp_path, name, corruption, severity, config, shape
):
  pixels = write(tmp_path, name, config, shape)
  root = str(tmp_path)
  dataset = data.corrupted_tfds(name, corruption, severity, data_dir=root)
  assert dataset.name == f"{name}/{config}"
  order = np.argsort(dataset.labels)
  np.testing.assert_array_equal(dataset.inputs[order], pixels)
  with pytest.raises(data.DataError, match="prepare it: tfds build"):
    data.corrupted_tfds(name, "snow", severity, data_dir=root)
