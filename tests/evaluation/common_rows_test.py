"""Common corruptions as cells: their names, and what their step makes."""

import jax
import numpy as np
import pytest

from jaxrobust import corruptions, data, evaluation

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
INDEX = np.asarray([5, 0, 9, 14, 2], np.int32)


def run(cell, order=slice(None), seed=0, tag=data.Tag.TEST, images=IMAGES):
  step = evaluation.make_common_step(cell.corruption, cell.table)
  batch = {"inputs": images[order], "index": INDEX[order]}
  settings = cell.settings(images.shape[1:])
  return np.asarray(step(batch, jax.random.key(seed), np.int32(tag), settings))


def test_the_cells_say_that_they_are_generated():
  cells = evaluation.common_cells(["fog", "snow"], [1, 5], "imagenet", first=3)
  assert [(cell.name, cell.strength, cell.severity) for cell in cells] == [
    ("fog(imagenet-c, generated)", 1.0, 1),
    ("fog(imagenet-c, generated)", 5.0, 5),
    ("snow(imagenet-c, generated)", 1.0, 1),
    ("snow(imagenet-c, generated)", 5.0, 5),
  ]
  assert {cell.count(10) for cell in cells} == {3}
  cells = evaluation.mnist_c_cells(corruptions.MNIST_C)
  assert len({cell.name for cell in cells}) == 15
  assert {(cell.strength, cell.severity) for cell in cells} == {(1.0, None)}


def test_a_batch_depends_on_key_tag_and_index_alone():
  (cell,) = evaluation.common_cells(["speckle_noise"], [3], "cifar")
  whole, order = run(cell), np.asarray([4, 1, 0])
  np.testing.assert_array_equal(run(cell, order), whole[order])
  assert (run(cell, seed=1) != whole).any()
  assert (run(cell, tag=data.Tag.VALIDATION) != whole).any()


def test_corruptions_and_severities_draw_differently():
  grey = np.full((5, 8, 8, 3), 128, np.uint8)
  cells = evaluation.common_cells(
    ["gaussian_noise", "speckle_noise"], [1, 2], "cifar"
  )
  noises = [run(cell, images=grey).ravel() - 128 / 255 for cell in cells]
  correlations = np.corrcoef(noises)[np.triu_indices(4, 1)]
  # Of 960 draws: 0.03 by chance.
  assert np.abs(correlations).max() < 0.15


def test_a_digit_is_corrupted_as_mnist_c_is():
  digits = np.random.default_rng(1).integers(0, 256, (5, 28, 28, 1), np.uint8)
  (cell,) = evaluation.mnist_c_cells(["stripe"])
  got = run(cell, images=digits)
  np.testing.assert_allclose(got[:, :, 10], digits[:, :, 10] / 255, atol=1e-6)
  np.testing.assert_allclose(got[:, :, 3], 1 - digits[:, :, 3] / 255, atol=1e-6)


def test_severities_are_one_program_and_rows_carry_them(tmp_path):
  cells = evaluation.common_cells(["contrast"], [1, 3, 5], "cifar")
  step = jax.jit(evaluation.make_common_step("contrast", "cifar"))
  batch = {"inputs": IMAGES, "index": INDEX}
  spreads = []
  for cell in cells:
    settings = cell.settings(IMAGES.shape[1:])
    spreads.append(step(batch, jax.random.key(0), 6, settings).std())
  assert step._cache_size() == 1
  assert spreads == sorted(spreads, reverse=True)

  subject = evaluation.Subject("r", "m", 0, 1, "d", "test", 5, "none")
  results = evaluation.Results(tmp_path / "results.csv")
  judged = {
    "nll": np.zeros(5),
    "confidence": np.ones(5),
    "hits": np.ones(5, bool),
  }
  list(evaluation.run(subject, lambda cell: judged, cells, results))
  rows = evaluation.read_rows(tmp_path / "results.csv")
  assert {row["severity"] for row in rows} == {1, 3, 5}
  assert {row["perturbation"] for row in rows} == {
    "contrast(cifar-c, generated)"
  }


def test_an_unknown_word_is_named():
  with pytest.raises(ValueError, match="severity=6"):
    evaluation.common_cells(["fog"], [6], "cifar")
  with pytest.raises(ValueError, match="name='gaussian_noise'"):
    evaluation.mnist_c_cells(["gaussian_noise"])
