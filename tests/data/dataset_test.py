"""What a loaded split offers, and what it refuses."""

import numpy as np
import pytest

from jaxrobust.data import DataError, Dataset, OnDemandDataset
from jaxrobust.data.dataset import check_inputs, check_labels

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 3, 1), np.uint8)
LABELS = np.asarray([0, 1, 2, 0, 1, 2])
WHERE = np.asarray([5, 0, 5])


def on_demand(inputs, labels, shape=(4, 3, 1)):
  def read(indices):
    return inputs[indices], labels[indices]

  return OnDemandDataset("set", "train", read, len(labels), shape, "abc")


@pytest.mark.parametrize(
  "dataset",
  [Dataset("set", "train", IMAGES, LABELS, "abc"), on_demand(IMAGES, LABELS)],
  ids=["cached", "on_demand"],
)
def test_both_kinds_offer_the_same(dataset):
  assert (len(dataset), dataset.shape, dataset.num_classes) == (6, (4, 3, 1), 3)
  assert dataset.class_names == ("a", "b", "c")
  assert dataset.dtype == np.uint8
  assert dataset.labels.dtype == np.int32
  np.testing.assert_array_equal(dataset.labels, LABELS)
  np.testing.assert_array_equal(dataset.gather(WHERE), IMAGES[WHERE])
  inputs, labels = dataset.examples(WHERE)
  np.testing.assert_array_equal(inputs, IMAGES[WHERE])
  np.testing.assert_array_equal(labels, LABELS[WHERE])


def test_data_on_demand_have_no_array_and_say_what_to_set():
  with pytest.raises(DataError, match=r"set config\.data\.cache=True"):
    _ = on_demand(IMAGES, LABELS).inputs


def test_data_on_demand_are_checked_as_they_are_read():
  with pytest.raises(DataError, match="labels from 0 to 3"):
    on_demand(IMAGES, LABELS + (LABELS == 2)).gather(WHERE)
  with pytest.raises(DataError, match=r"shape is \(9, 9, 1\)"):
    on_demand(IMAGES, LABELS, (9, 9, 1)).gather(WHERE)


FLOATS = np.zeros((2, 4, 4, 1), np.float32)
SERIES = np.zeros((2, 5, 1), np.float32)


@pytest.mark.parametrize(
  ("inputs", "shape"),
  [
    (IMAGES, (4, 3, 1)),
    (FLOATS + 1, (4, 4, 1)),
    # Series are never clipped.
    (SERIES - 100, (5, 1)),
  ],
)
def test_good_inputs_pass(inputs, shape):
  check_inputs("set", inputs, shape)


@pytest.mark.parametrize(
  ("inputs", "shape", "message"),
  [
    (IMAGES[:0], (4, 3, 1), "set has no examples"),
    (IMAGES, (3, 4, 1), r"config.data.shape is \(3, 4, 1\), .*\(4, 3, 1\)"),
    (FLOATS.astype(np.float64), (4, 4, 1), "float64; allowed: uint8, float32"),
    (SERIES.astype(np.uint8), (5, 1), "uint8; allowed: float32"),
    (FLOATS + 2, (4, 4, 1), "from 2 to 2; allowed: 0 to 1"),
    (FLOATS - 1, (4, 4, 1), "from -1 to -1; allowed: 0 to 1"),
    (SERIES + np.nan, (5, 1), "NaN or infinite"),
    (SERIES + np.inf, (5, 1), "NaN or infinite"),
  ],
)
def test_bad_inputs_are_refused_in_one_line(inputs, shape, message):
  with pytest.raises(DataError, match=message) as caught:
    check_inputs("set", inputs, shape)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  ("labels", "message"),
  [
    (LABELS - 1, "labels from -1 to 1; allowed by .*num_classes=3: 0 to 2"),
    (LABELS + 1, "labels from 1 to 3"),
    (LABELS * 1.0, "dtype float64; allowed: a vector of integers"),
    (LABELS[:, None], r"shape \(6, 1\)"),
  ],
)
def test_bad_labels_are_refused(labels, message):
  with pytest.raises(DataError, match=message):
    check_labels("set", labels, 3)
