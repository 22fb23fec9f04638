"""Stratified folds, against counting, in every source that has them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import jaxrobust
from jaxrobust.data import (
  DataError,
  load,
  parse_split,
  stratified_folds,
)

LABELS = np.random.default_rng(0).integers(0, 5, 203)


@pytest.mark.parametrize(
  ("expression", "base", "folds", "count"),
  [
    ("train[fold 0/5]", "train", (0,), 5),
    ("train[not fold 0/5]", "train", (1, 2, 3, 4), 5),
    ("val[fold 3,1/4]", "val", (1, 3), 4),
    ("a.b-c[not fold 9,0/10]", "a.b-c", tuple(range(1, 9)), 10),
  ],
)
def test_the_documented_forms_are_read(expression, base, folds, count):
  split = parse_split(expression)
  assert (split.base, split.folds, split.fold_count) == (base, folds, count)


@pytest.mark.parametrize(
  ("expression", "message"),
  [
    ("train[fold 5/5]", "folds 0 to K - 1"),
    ("train[fold 0/1]", "K at least 2"),
    ("train[fold 0,1/2]", "all folds or none"),
    ("train[not fold 0,1/2]", "all folds or none"),
    ("train[fold /5]", "not understood"),
    ("train[fold -1/5]", "not understood"),
    ("train[no fold 0/5]", "not understood"),
    ("train[fold 0/5][:10]", "not understood"),
  ],
)
def test_other_folds_are_an_error_of_one_line(expression, message):
  with pytest.raises(DataError, match=message) as caught:
    parse_split(expression)
  assert "\n" not in str(caught.value)


@given(
  st.lists(st.integers(-3, 3), min_size=1, max_size=80), st.integers(2, 12)
)
def test_folds_and_each_class_in_them_differ_by_at_most_one(labels, count):
  labels = np.asarray(labels)
  folds = stratified_folds(labels, count)
  for members in (np.ones(len(labels), bool), *(labels == k for k in labels)):
    sizes = [np.sum(folds[members] == fold) for fold in range(count)]
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == members.sum()


def test_folds_are_shuffled_and_fixed_for_all_time():
  folds = stratified_folds(np.zeros(12, int), 3)
  assert folds.tolist() == [0, 0, 2, 1, 2, 1, 2, 1, 1, 2, 0, 0]
  assert np.diff(stratified_folds(np.zeros(300, int), 3)).std() > 0.5


def test_real_valued_labels_are_dealt_as_one_class():
  np.testing.assert_array_equal(
    stratified_folds(np.random.default_rng(0).normal(size=(30, 2)), 4),
    stratified_folds(np.zeros(30, int), 4),
  )


def test_held_out_folds_are_the_whole_and_share_nothing():
  def positions(expression):
    split = parse_split(expression)
    return split.positions(len(LABELS), lambda: LABELS).tolist()

  held_out = [positions(f"train[fold {k}/5]") for k in range(5)]
  assert sorted(i for part in held_out for i in part) == list(
    range(len(LABELS))
  )
  for k, part in enumerate(held_out):
    rest = positions(f"train[not fold {k}/5]")
    assert rest == sorted(set(range(len(LABELS))) - set(part))
  assert positions("train[fold 1,3/5]") == sorted(held_out[1] + held_out[3])


def test_more_folds_than_examples_leave_an_empty_one():
  split = parse_split("train[fold 8/9]")
  with pytest.raises(DataError, match="is empty: 'train' has 3 examples"):
    split.positions(3, lambda: np.zeros(3, int))


@pytest.mark.parametrize(
  ("first", "second", "expected"),
  [
    ("train[fold 0/5]", "train[not fold 0/5]", False),
    ("train[fold 0/5]", "train[fold 1/5]", False),
    ("train[fold 0,1/5]", "train[fold 1/5]", True),
    ("train[fold 0/5]", "train[fold 1/6]", True),
    ("train[fold 0/5]", "train[:10]", True),
    ("train", "train[not fold 0/5]", True),
    ("train", "test[fold 0/5]", False),
    ("train", "train[90%:]", True),
    ("train[:90%]", "train[90%:]", False),
    ("train[:90%]", "train[80%:]", True),
    ("train[:-10%]", "train[89%:95%]", True),
    ("train[:-10%]", "train[90%:95%]", False),
    ("train[:60]", "train[60:90]", False),
    ("train[:61]", "train[60:90]", True),
    ("train[50:]", "train[60:90]", True),
    ("train[-20:]", "train[:-20]", False),
    ("train[-21:-5]", "train[:-20]", True),
    ("train[:5%]", "train[:90]", True),
    # Of 100 examples they are apart, of 50 they are not.
    ("train[:45]", "train[80%:]", False),
    ("train[:45]", "train[-10:-5]", False),
    ("train[5:-5]", "train[2:-9]", False),
  ],
)
def test_parts_that_surely_overlap_are_known(first, second, expected):
  one, other = parse_split(first), parse_split(second)
  assert one.overlaps(other) == other.overlaps(one) == expected


def data_config(**fields):
  config = jaxrobust.default_config().data
  config.update({"num_classes": 2, "name": "mine", **fields})
  return config


def test_an_npz_file_is_read_by_folds(tmp_path):
  series = np.random.default_rng(1).normal(size=(10, 4, 1)).astype(np.float32)
  labels = np.arange(10) % 2
  np.savez(tmp_path / "a.npz", train_series=series, train_labels=labels)
  config = data_config(source="npz", path=str(tmp_path / "a.npz"), shape=(4, 1))
  part = load(config, "train[fold 1/5]")
  assert part.labels.tolist() in ([0, 1], [1, 0])
  where = stratified_folds(labels, 5) == 1
  np.testing.assert_array_equal(part.inputs, series[where])
  assert part.split == "train[fold 1/5]"


@pytest.mark.parametrize("cache", [True, False])
def test_a_folder_is_read_by_folds(tmp_path, cache):
  for name, level in (("a", 10), ("b", 200)):
    (tmp_path / "train" / name).mkdir(parents=True)
    for number in range(5):
      image = Image.new("L", (4, 4), level + number)
      image.save(tmp_path / "train" / name / f"{number}.png")
  config = data_config(
    source="folder", path=str(tmp_path), shape=(4, 4, 1), cache=cache
  )
  rest, held_out = (
    load(config, f"train[{words} 0/5]") for words in ("not fold", "fold")
  )
  assert sorted(held_out.labels.tolist()) == [0, 1]
  levels = [
    set(part.gather(np.arange(len(part)))[:, 0, 0, 0].tolist())
    for part in (rest, held_out)
  ]
  assert not levels[0] & levels[1]
  assert levels[0] | levels[1] == {*range(10, 15), *range(200, 205)}


@pytest.mark.parametrize(
  ("field", "expression", "message"),
  [
    ("test_split", "train[fold 1/5]", "test_split=.*disjoint from .*train"),
    ("test_split", "train[:10]", "disjoint"),
    ("validation_split", "train[fold 2/5]", "validation_split=.*disjoint"),
    ("validation_split", "train[fold 0/5]", "disjoint from .*test_split"),
  ],
)
def test_a_config_that_trains_on_what_it_tests_is_refused(
  field, expression, message
):
  config = jaxrobust.default_config()
  config.data.train_split = "train[fold 1,2,3/5]"
  config.data.test_split = "train[fold 0/5]"
  config.data.validation_split = "train[fold 4/5]"
  jaxrobust.validate(config)
  config.data[field] = expression
  with pytest.raises(jaxrobust.ConfigError, match=message):
    jaxrobust.validate(config)
