"""`jaxrobust smooth` writes levels, one sheet and the percolation report."""

import csv

import numpy as np
import pytest
from PIL import Image

from jaxrobust import commands, inverse_scale

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (5, 4), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
  found = tmp_path / "photos"
  found.mkdir()
  Image.fromarray(COLOUR).save(found / "colour.png")
  Image.fromarray(GREY).save(found / "grey.PNG")
  (found / "notes.txt").write_text("no image")
  return found


@pytest.fixture
def smooth(folder, tmp_path, capsys):
  """Runs the verb on the folder: its exit code, output and errors."""

  def run(*words):
    given = [f"--images={folder}", f"--out={tmp_path / 'out'}", "--steps=10"]
    code = commands.main(["smooth", *given, *map(str, words)])
    return code, *capsys.readouterr()

  return run


def test_every_image_is_written_at_every_level(smooth, tmp_path):
  code, out, err = smooth("--fractions=.6,.2", "--output=Py")
  assert (code, err) == (0, "")
  written = tmp_path / "out"
  assert sorted(path.name for path in written.iterdir()) == [
    "colour_f0.2.png",
    "colour_f0.6.png",
    "contact_sheet.png",
    "grey_f0.2.png",
    "grey_f0.6.png",
    "percolation.csv",
    "percolation.png",
  ]
  assert "colour: 9 x 6," in out
  assert str(written / "contact_sheet.png") in out
  for name, pixels in (("colour", COLOUR), ("grey", GREY[..., None])):
    images = pixels[None] / np.float32(255)
    expected = inverse_scale.path(
      images, np.float32([0.2, 0.6]), output="Py", steps=10
    ).images
    for number, fraction in enumerate((0.2, 0.6)):
      with Image.open(written / f"{name}_f{fraction}.png") as image:
        found = np.asarray(image).reshape(pixels.shape).astype(int)
      assert np.abs(found - 255 * expected[number, 0]).max() < 0.51


def test_the_report_has_a_row_per_image_and_level(smooth, tmp_path):
  assert smooth("--fractions=.2,1", "--output=Py")[0] == 0
  with (tmp_path / "out" / "percolation.csv").open(newline="") as stream:
    rows = list(csv.DictReader(stream))
  assert list(rows[0]) == [
    "image",
    "fraction",
    "reached_fraction",
    "hit_fraction",
    "components",
    "largest_component",
    "psnr",
  ]
  assert [(row["image"], row["fraction"]) for row in rows] == [
    ("colour", "0.2"),
    ("colour", "1"),
    ("grey", "0.2"),
    ("grey", "1"),
  ]
  assert float(rows[0]["components"]) < float(rows[1]["components"]) <= 54
  assert float(rows[0]["largest_component"]) > 0.5


def test_larger_images_are_made_smaller_and_that_is_said(smooth, tmp_path):
  code, out, _ = smooth("--fractions=.5", "--max_side=6")
  assert code == 0
  assert "colour: 6 x 4 (made smaller from 9 x 6)" in out
  with Image.open(tmp_path / "out" / "colour_f0.5.png") as image:
    assert image.size == (6, 4)


@pytest.mark.parametrize(
  ("word", "message"),
  [
    ("--fractions=.2,1.5", "--fractions=.2,1.5: must be numbers in [0, 1]"),
    ("--fractions=.2,a", "--fractions=.2,a"),
    ("--fractions=", "--fractions=:"),
    ("--fractions=nan", "--fractions=nan"),
    ("--nu=0", "nu=0.0: must be positive"),
    ("--steps=0", "steps=0: must be a whole number"),
    ("--edges=diagonal", "'diagonal'"),
    ("--output=Pz", "'Pz'"),
    ("--max_side=0", "--max_side=0"),
    ("--images=/nosuch", "/nosuch is no folder"),
  ],
)
def test_wrong_use_is_one_line_and_writes_nothing(
  smooth, tmp_path, word, message
):
  code, out, err = smooth(word)
  assert (code, out) == (2, "")
  assert err.startswith("jaxrobust: ")
  assert message in err
  assert err.count("\n") == 1
  assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_read_or_written_are_named(
  smooth, folder, tmp_path
):
  file = tmp_path / "file"
  file.touch()
  empty = tmp_path / "empty"
  empty.mkdir()
  (folder / "grey.jpg").touch()
  for word, message in (
    (f"--out={file}", f"--out={file}: must be a folder"),
    (f"--images={empty}", f"{empty} has no images"),
    (f"--images={file}", f"{file} is no folder"),
    (f"--out={folder}", "must not be the images' folder"),
    ("--nu=0.3", "has two images called 'grey'"),
  ):
    code, _, err = smooth(word)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_damaged_image_is_named(smooth, folder):
  (folder / "colour.png").write_bytes(b"no image")
  code, _, err = smooth()
  assert code == 2
  assert "colour.png is no readable image" in err


def test_help_shows_an_example(capsys):
  assert commands.main(["smooth", "--help"]) == 0
  assert "example: jaxrobust smooth --images=" in capsys.readouterr().out
