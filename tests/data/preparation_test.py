"""Small archives in the published formats become TFDS data sets."""

import argparse
import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import json
import sys
import tarfile
import threading
import types

import numpy as np
import pytest
import scipy.io
import tensorflow_datasets as tfds

from jaxrobust.commands import prepare as command
from jaxrobust.data import DataError, load, prepare
from jaxrobust.data.download import Archive
from jaxrobust.data.preparation import published_archives
from jaxrobust.data.tfds_source import PREPARABLE

RNG = np.random.default_rng(0)
SHAPES = dict.fromkeys(PREPARABLE, (32, 32, 3)) | dict.fromkeys(
  ["mnist", "fashion_mnist"], (28, 28, 1)
)
CLASSES = dict.fromkeys(PREPARABLE, 10) | {"cifar100": 100}
LENGTHS = {"train": 25, "test": 10, "extra": 5}


def split_arrays(name, split):
  generator = np.random.default_rng([PREPARABLE.index(name), LENGTHS[split]])
  size = LENGTHS[split]
  images = generator.integers(0, 256, (size, *SHAPES[name]), np.uint8)
  return images, generator.integers(0, CLASSES[name], size, np.uint8)


def idx(array):
  header = bytes([0, 0, 8, array.ndim])
  return gzip.compress(
    header + np.asarray(array.shape, ">u4").tobytes() + array.tobytes()
  )


def tar(members):
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode="w:gz") as archive:
    for name, content in members.items():
      info = tarfile.TarInfo(f"cifar-binary/{name}")
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  return file.getvalue()


def cifar_records(name, split):
  images, labels = split_arrays(name, split)
  columns = [labels[:, None], images.transpose(0, 3, 1, 2).reshape(-1, 3072)]
  if name == "cifar100":
    columns.insert(0, labels[:, None] // 5)  # Coarse labels.
  return np.concatenate(columns, 1)


@functools.cache
def published(name):
  """File name -> content, in the data set's published format."""
  train, test = (split_arrays(name, split) for split in ("train", "test"))
  if name in ("mnist", "fashion_mnist"):
    return {
      "train-images-idx3-ubyte.gz": idx(train[0][..., 0]),
      "train-labels-idx1-ubyte.gz": idx(train[1]),
      "t10k-images-idx3-ubyte.gz": idx(test[0][..., 0]),
      "t10k-labels-idx1-ubyte.gz": idx(test[1]),
    }
  if name == "cifar10":
    records = cifar_records(name, "train").reshape(5, 5, -1)
    members = {
      f"data_batch_{i + 1}.bin": batch.tobytes()
      for i, batch in enumerate(records)
    }
    members["test_batch.bin"] = cifar_records(name, "test").tobytes()
    names = "".join(f"kind{i}\n" for i in range(10)) + "\n"
    members["batches.meta.txt"] = names.encode()
    return {"cifar-10-binary.tar.gz": tar(members)}
  if name == "cifar100":
    members = {
      f"{split}.bin": cifar_records(name, split).tobytes()
      for split in ("train", "test")
    }
    for kind, count in (("coarse", 20), ("fine", 100)):
      names = "".join(f"{kind}{i}\n" for i in range(count))
      members[f"{kind}_label_names.txt"] = names.encode()
    return {"cifar-100-binary.tar.gz": tar(members)}
  files = {}
  for split in LENGTHS:
    images, labels = split_arrays(name, split)
    file = io.BytesIO()
    scipy.io.savemat(
      file,
      {
        "X": np.moveaxis(images, 0, -1),
        # The digit 0 is published as 10.
        "y": np.where(labels == 0, 10, labels)[:, None],
      },
      do_compression=True,
    )
    files[f"{split}_32x32.mat"] = file.getvalue()
  return files


def stated(name, base="http://127.0.0.1:9/"):
  return [
    Archive(base + file, file, len(data), hashlib.sha256(data).hexdigest())
    for file, data in published(name).items()
  ]


@pytest.fixture(name="folder", scope="module")
def make_folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("archives")
  for name in PREPARABLE:
    (folder / name).mkdir()
    for file, content in published(name).items():
      (folder / name / file).write_bytes(content)
  return folder


@pytest.fixture(name="prepared", scope="module")
def make_prepared(folder, tmp_path_factory):
  """All five data sets, from archives in a folder."""
  root = tmp_path_factory.mktemp("prepared")
  archives = {name: stated(name) for name in PREPARABLE}
  landed = prepare(PREPARABLE, str(root), str(folder), archives=archives)
  return root, landed


def config(name, root):
  return types.SimpleNamespace(
    source="tfds",
    name=name,
    data_dir=str(root),
    shape=SHAPES[name],
    num_classes=CLASSES[name],
    cache=True,
    stand_in=False,
    targets=0,
    standardise="none",
    train_split="train",
  )


def in_published_order(split, size):
  """Where each example of a split is on disk, by TFDS' documented shuffle."""
  from tensorflow_datasets.core import hashing

  hasher = hashing.Hasher(split)
  return np.argsort([hasher.hash_key(i) for i in range(size)])


@pytest.mark.parametrize("name", PREPARABLE)
def test_the_set_holds_every_example_in_tfds_order(prepared, name):
  root, landed = prepared
  splits = (
    ("train", "test", "extra")
    if name == "svhn_cropped"
    else (
      "train",
      "test",
    )
  )
  assert sorted(tfds.builder_from_directory(landed[name]).info.splits) == (
    sorted(splits)
  )
  for split in splits:
    images, labels = split_arrays(name, split)
    order = in_published_order(split, len(images))
    dataset = load(config(name, root), split)
    np.testing.assert_array_equal(dataset.inputs, images[order])
    np.testing.assert_array_equal(dataset.labels, labels[order])


@pytest.mark.parametrize("name", PREPARABLE)
def test_metadata_are_those_of_the_genuine_builder(prepared, name):
  _, landed = prepared
  ours = tfds.builder_from_directory(landed[name]).info
  genuine = tfds.builder_cls(name)(data_dir="/nowhere").info
  assert landed[name].parts[-2:] == (name, str(genuine.version))
  assert ours.file_format.value == "array_record"
  assert ours.features.to_json() == genuine.features.to_json()
  assert ours.supervised_keys == genuine.supervised_keys
  assert ours.description == genuine.description
  # The module that defines the builder, so that TFDS finds it again.
  info = json.loads((landed[name] / "dataset_info.json").read_text())
  assert info["moduleName"] == tfds.builder_cls(name).__module__


def test_class_names_come_from_the_archives(prepared):
  root, landed = prepared
  assert load(config("cifar10", root), "test").class_names[3] == "kind3"
  assert load(config("cifar100", root), "test").class_names[99] == "fine99"
  info = tfds.builder_from_directory(landed["cifar100"]).info
  assert info.features["coarse_label"].names[19] == "coarse19"
  assert load(config("fashion_mnist", root), "test").class_names[1] == (
    "Trouser"
  )


def test_identifiers_and_coarse_labels_are_kept(prepared):
  _, landed = prepared
  for name, form in (
    ("cifar100", "test_{:05d}"),
    ("svhn_cropped", "test_{:06d}"),
  ):
    builder = tfds.builder_from_directory(landed[name])
    rows = list(builder.as_data_source(split="test"))
    order = in_published_order("test", 10)
    assert [row["id"].decode() for row in rows] == list(map(form.format, order))
    if name == "cifar100":
      assert all(row["coarse_label"] == row["label"] // 5 for row in rows)


def test_tensorflow_is_never_imported(prepared):
  assert "tensorflow" not in sys.modules


@contextlib.contextmanager
def serve(folder):
  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
      pass

  handler = functools.partial(Handler, directory=folder)
  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
  thread = threading.Thread(target=server.serve_forever, args=(0.01,))
  thread.start()
  yield f"http://127.0.0.1:{server.server_port}/"
  server.shutdown()
  thread.join()
  server.server_close()


def test_a_set_is_downloaded_prepared_and_then_left_alone(folder, tmp_path):
  seen = []
  with serve(folder / "mnist") as base:
    archives = {"mnist": stated("mnist", base)}
    landed = prepare(
      ["mnist", "mnist"],
      str(tmp_path),
      archives=archives,
      progress=lambda *args: seen.append(args),
    )
  assert landed == {"mnist": tmp_path / "mnist" / "3.0.1"}
  assert ("mnist train", 25, 25, "examples") in seen
  assert {task for task, *_ in seen} == {
    *published("mnist"),
    "mnist train",
    "mnist test",
  }
  # The server is gone: a second call must need nothing of it.
  again = prepare(["mnist"], str(tmp_path), archives=archives)
  assert again == landed


def test_a_corrupted_archive_is_named_and_nothing_is_left(folder, tmp_path):
  with serve(folder / "mnist") as base:
    archives = stated("mnist", base)
    wrong = [
      Archive(a.url, a.filename, a.size, "0" * 64)
      if a.filename.startswith("t10k-images")
      else a
      for a in archives
    ]
    with pytest.raises(DataError, match=r"t10k-images.* wrong checksum"):
      prepare(["mnist"], str(tmp_path), archives={"mnist": wrong})
    assert not (tmp_path / "mnist").exists()
    # The other three files are kept, and the next call succeeds.
    prepare(["mnist"], str(tmp_path), archives={"mnist": archives})


def test_archives_in_a_folder_are_checked_too(tmp_path):
  archives = {"mnist": stated("mnist")}
  with pytest.raises(DataError, match=r"no file train-images.* published at"):
    prepare(["mnist"], str(tmp_path), str(tmp_path), archives=archives)
  for file, content in published("mnist").items():
    (tmp_path / file).write_bytes(content[::-1])
  with pytest.raises(DataError, match=r"train-images.* wrong checksum"):
    prepare(["mnist"], str(tmp_path), str(tmp_path), archives=archives)


def restated(name, **contents):
  """The archives of a set, some with other content; checksums agree."""
  files = {**published(name), **contents}
  return files, {
    name: [
      Archive("http://x", file, len(data), hashlib.sha256(data).hexdigest())
      for file, data in files.items()
    ]
  }


@pytest.mark.parametrize(
  ("name", "file", "content", "message"),
  [
    ("mnist", "train-images-idx3-ubyte.gz", b"text", "no gzip file"),
    ("mnist", "train-images-idx3-ubyte.gz", gzip.compress(b"text"), "no idx"),
    ("cifar10", "cifar-10-binary.tar.gz", b"text", "no tar archive"),
    ("cifar10", "cifar-10-binary.tar.gz", tar({"a": b""}), "has no file batch"),
    ("svhn_cropped", "train_32x32.mat", b"text", "no SVHN .mat file"),
  ],
  # Compressed contents carry the time: as names they differ between workers.
  ids=["no gzip", "no idx", "no tar", "no batch", "no mat"],
)
def test_an_archive_of_another_kind_is_named(
  tmp_path, name, file, content, message
):
  files, archives = restated(name, **{file: content})
  for filename, data in files.items():
    (tmp_path / filename).write_bytes(data)
  root = tmp_path / "root"
  with pytest.raises(DataError, match=rf"{file} .*{message}|{message}"):
    prepare([name], str(root), str(tmp_path), archives=archives)
  assert not list(root.glob(f"{name}/*/dataset_info.json"))


def test_an_interrupted_preparation_leaves_nothing_that_looks_finished(
  folder, tmp_path
):
  def interrupt(task, *_):
    if task == "mnist test":
      raise KeyboardInterrupt

  archives = {"mnist": stated("mnist")}
  arguments = (["mnist"], str(tmp_path), str(folder))
  with pytest.raises(KeyboardInterrupt):
    prepare(*arguments, archives=archives, progress=interrupt)
  with pytest.raises(DataError, match="jaxrobust prepare mnist"):
    load(config("mnist", tmp_path), "train")
  prepare(*arguments, archives=archives)
  assert len(load(config("mnist", tmp_path), "train")) == 25


def test_an_unknown_name_is_refused_before_any_download():
  with pytest.raises(DataError, match="unknown data set 'imagenet'; allowed"):
    prepare(["mnist", "imagenet"], "/nowhere")


@pytest.mark.parametrize("name", PREPARABLE)
def test_published_archives_are_those_that_the_reader_opens(name):
  archives = published_archives(name)
  assert {a.filename for a in archives} == set(published(name))
  for archive in archives:
    assert archive.url.startswith("http")
    assert archive.url.endswith(archive.filename)
    assert archive.size > 1000
    assert len(archive.sha256) == 64


def parse(*words):
  parser = argparse.ArgumentParser()
  command.add_arguments(parser)
  return parser.parse_args(words)


@pytest.mark.parametrize("terminal", [False, True])
def test_the_command_prints_where_each_set_landed(
  folder, tmp_path, monkeypatch, capsys, terminal
):
  monkeypatch.setattr(
    "jaxrobust.data.preparation.published_archives", lambda name: stated(name)
  )
  monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
  words = ("mnist", f"--data_dir={tmp_path}", f"--from={folder}")
  assert command.run(parse(*words)) == 0
  out, err = capsys.readouterr()
  assert out == f"mnist: {tmp_path}/mnist/3.0.1\n"
  assert "mnist train" in err
  if not terminal:
    assert "mnist test: 100% of 10 examples" in err.splitlines()


def test_the_command_leaves_errors_to_its_caller():
  with pytest.raises(DataError, match="unknown data set 'mnsit'"):
    command.run(parse("mnsit"))
