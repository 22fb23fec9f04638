"""Noise is read from every kind of file, and wrong files are named."""

import numpy as np
import pytest
from PIL import Image

from jaxrobust.data import DataError
from jaxrobust.data.residuals import Residuals, read_pair, read_residuals


@pytest.fixture
def images():
  """A clean and a noisy picture, one of whose corners is clipped."""
  rng = np.random.default_rng(0)
  clean = rng.integers(40, 200, (6, 5, 3), dtype=np.uint8)
  noisy = clean + rng.integers(-20, 20, clean.shape)
  noisy[0, 0] = [0, 255, 255]
  return clean, noisy.astype(np.uint8)


def want_of(images):
  clean, noisy = (image.astype(float).ravel() / 255 for image in images)
  return noisy - clean


def save(folder, images, write, name):
  paths = []
  for kind, image in zip(("clean", "noisy"), images, strict=True):
    (folder / kind).mkdir(exist_ok=True)
    path = folder / kind / name
    write(path, image)
    paths.append(str(path))
  return paths


def write_image(path, image):
  Image.fromarray(image).save(path)


def write_npz(path, image):
  np.savez(path, array=image)


@pytest.mark.parametrize(
  ("write", "name"),
  [
    (write_image, "a.png"),
    (write_image, "a.bmp"),
    (np.save, "a.npy"),
    (write_npz, "a.npz"),
  ],
)
def test_a_pair_gives_the_difference(tmp_path, images, write, name):
  pair = read_pair(*save(tmp_path, images, write, name))
  noise = pair.draw(1000, seed=0)
  assert pair.units == (255, 255)
  # 8-bit values are spread over their steps.
  np.testing.assert_allclose(noise.values, want_of(images), atol=0.501 / 255)
  lower, upper = noise.limits
  clean = images[0].ravel() / 255
  np.testing.assert_allclose(lower, -clean)
  np.testing.assert_allclose(upper, 1 - clean)


def test_clipped_values_stay_at_their_limits_and_no_others_do(tmp_path, images):
  pair = read_pair(*save(tmp_path, images, write_image, "a.png"))
  noise = pair.draw(1000, seed=0)
  lower, upper = noise.limits
  at_lower = np.flatnonzero(noise.values <= lower)
  at_upper = np.flatnonzero(noise.values >= upper)
  np.testing.assert_array_equal(at_lower, [0])
  np.testing.assert_array_equal(at_upper, [1, 2])


def test_folders_are_paired_by_name(tmp_path, images):
  save(tmp_path, images, write_image, "a.png")
  save(tmp_path, [image[:2] for image in images], write_image, "b.png")
  pair = read_pair(str(tmp_path / "clean"), str(tmp_path / "noisy"))
  want = np.concatenate([want_of(images), want_of([i[:2] for i in images])])
  np.testing.assert_allclose(pair.draw(1000, 0).values, want, atol=0.501 / 255)


def test_sixteen_bit_and_palette_images_are_read(tmp_path):
  deep = np.arange(20, dtype=np.uint16).reshape(4, 5) * 3000
  paths = save(tmp_path, (deep, deep), write_image, "a.png")
  pair = read_pair(*paths)
  assert pair.units == (65535, 65535)
  np.testing.assert_array_equal(pair.clean, deep.ravel())
  for kind in ("clean", "noisy"):
    Image.new("P", (4, 4)).save(tmp_path / kind / "p.png")
  assert len(read_pair(*(p.replace("a.png", "p.png") for p in paths))) == 48


def test_pairs_beyond_the_unit_range_are_not_clipped(tmp_path):
  clean = np.linspace(0, 1, 30)
  paths = save(tmp_path, (clean, clean + 0.5), np.save, "a.npy")
  assert read_pair(*paths).draw(99, 0).limits is None
  np.testing.assert_allclose(read_pair(*paths).draw(99, 0).values, 0.5)
  assert read_pair(*paths, clipped=True).draw(99, 0).limits is not None
  paths = save(tmp_path, (clean, clean), np.save, "b.npy")
  assert read_pair(*paths).draw(99, 0).limits is not None
  assert read_pair(*paths, clipped=False).draw(99, 0).limits is None


@pytest.mark.parametrize(
  ("name", "text"),
  [
    ("a.csv", "first,second\n1,-2.5\n3e-1,4\n"),
    ("a.txt", "1 -2.5 0.3 4"),
    ("a.csv", "1;-2.5\n.3;4"),
    ("a.csv", "day 1,day 2\n1,-2.5\n.3,4"),
    ("a.csv", "\ufeff1,-2.5\n.3,4"),
    ("a.tsv", "1\t-2.5\n0.3\t4\n\n"),
  ],
)
def test_text_files_hold_residuals(tmp_path, name, text):
  (tmp_path / name).write_text(text)
  noise = read_residuals(str(tmp_path / name)).draw(99, 0)
  np.testing.assert_allclose(noise.values, [1, -2.5, 0.3, 4])
  assert noise.limits is None


def test_arrays_hold_residuals_in_their_own_units(tmp_path):
  np.save(tmp_path / "a.npy", np.float32([[1.5, -300.0]]))
  noise = read_residuals(str(tmp_path / "a.npy")).draw(99, 0)
  np.testing.assert_array_equal(noise.values, [1.5, -300.0])


def test_subsets_are_drawn_without_repetition_and_by_seed():
  residuals = Residuals(np.arange(1000.0))
  values = residuals.draw(100, seed=1).values
  assert len(np.unique(values)) == 100
  np.testing.assert_array_equal(values, residuals.draw(100, seed=1).values)
  assert not np.array_equal(values, residuals.draw(100, seed=2).values)


def refused(call, *words):
  with pytest.raises(DataError) as error:
    call()
  assert "\n" not in str(error.value)
  for word in words:
    assert str(word) in str(error.value)


def test_wrong_pairs_are_refused(tmp_path, images):
  clean, noisy = save(tmp_path, images, write_image, "a.png")
  refused(lambda: read_pair(clean, "gone.png"), "noisy 'gone.png'", "no such")
  refused(lambda: read_pair(str(tmp_path / "clean"), noisy), "both be files")
  cut, _ = save(tmp_path, [i[:3] for i in images], write_image, "cut.png")
  refused(lambda: read_pair(cut, noisy), "(3, 5, 3)", "(6, 5, 3)")
  (tmp_path / "noisy" / "cut.png").unlink()
  refused(
    lambda: read_pair(str(tmp_path / "clean"), str(tmp_path / "noisy")),
    "equal names",
    "cut.png",
  )
  (tmp_path / "empty").mkdir()
  refused(
    lambda: read_pair(str(tmp_path / "empty"), str(tmp_path / "noisy")),
    "no images of equal names",
  )


def test_damaged_and_foreign_files_are_refused(tmp_path):
  for name, message in (
    ("a.png", "no readable image"),
    ("a.npy", "no readable array"),
    ("a.npz", "no readable array"),
    ("a.dat", "must be one of"),
  ):
    path = tmp_path / name
    path.write_bytes(b"nonsense")
    refused(lambda path=path: read_pair(str(path), str(path)), path, message)
  for damaged in ("1.5x,2\n3,4\n", "first,2\n3,4\n", "1..5 2\n3 4\n"):
    (tmp_path / "b.csv").write_text(damaged)
    refused(lambda: read_residuals(str(tmp_path / "b.csv")), "line 1", "float")
  (tmp_path / "a.csv").write_text("1,2\n3,four\n")
  refused(lambda: read_residuals(str(tmp_path / "a.csv")), "line 2", "four")
  refused(lambda: read_residuals(str(tmp_path / "a.png")), "clean and noisy")
  refused(lambda: read_residuals(str(tmp_path)), "must be one of")
  refused(lambda: read_residuals("gone.csv"), "no such file")
  np.savez(tmp_path / "two.npz", a=[1.0], b=[2.0])
  refused(lambda: read_residuals(str(tmp_path / "two.npz")), "'a', 'b'")
  np.save(tmp_path / "words.npy", np.array(["a"]))
  refused(lambda: read_residuals(str(tmp_path / "words.npy")), "real numbers")
  np.save(tmp_path / "nan.npy", [np.nan])
  refused(lambda: read_residuals(str(tmp_path / "nan.npy")), "not finite")
