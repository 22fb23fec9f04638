"""Files as the UCR and UEA archives lay them out, written here by hand."""

import numpy as np
import pytest

import jaxrobust
from jaxrobust.data import DataError, load
from jaxrobust.data.ucr import read_ucr

TSV = {
  "TRAIN": "2\t0.5\t1.5\t-2\n-1\t1\t2\t3\n10\t4\t5\t6\n",
  "TEST": "10\t7\t8\t9\n-1\t0\t0\t0.25\n",
}
# Two channels of three steps.
TS = {
  "TRAIN": """# By hand.
@problemName Waves
@timeStamps false
@missing false
@univariate false
@dimensions 2
@equalLength true
@seriesLength 3
@classLabel true wide narrow
@data
1,2,3:10,20,30:wide
# A comment between.

4,5,6:40,50,60:narrow
""",
  "TEST": "@classLabel true\n@data\n-1,-2,-3e1:0,0,0:wide\n",
}
ARFF = {
  "TRAIN": """% By hand.
@relation Waves

@attribute relationalAtt relational
  @attribute att0 numeric
  @attribute att1 numeric
@end relationalAtt
@attribute classAttribute {'wide','narrow'}
@DATA
'1,2,3\\n10,20,30',wide
"4,5,6\\n40,50,60",'narrow'
""",
  "TEST": "@data\n'-1,-2,-30\\n0,0,0',wide\n",
}


def write(folder, texts, suffix, name="Waves"):
  for split, text in texts.items():
    (folder / f"{name}_{split}{suffix}").write_text(text)
  return str(folder)


def test_tsv_has_the_label_first_and_numbers_classes_in_numeric_order(tmp_path):
  path = write(tmp_path, TSV, ".tsv")
  series, labels, names = read_ucr(path, "waves", "train")
  assert (series.dtype, series.shape) == (np.float32, (3, 3, 1))
  assert series[0, :, 0].tolist() == [0.5, 1.5, -2.0]
  assert names == ["-1", "2", "10"]
  assert labels.tolist() == [1, 0, 2]
  # The class 2 has no series here and keeps its number.
  assert read_ucr(path, "waves", "test")[1].tolist() == [2, 0]


def test_blanks_and_commas_separate_too(tmp_path):
  blanks = "  2.0   5.0e-1 1.5\n  1.0  -2.0  3.0\n"
  path = write(tmp_path, {"TRAIN": blanks, "TEST": "1,2,3\n"}, ".txt")
  series, labels, names = read_ucr(path, "", "train")
  assert series[:, :, 0].tolist() == [[0.5, 1.5], [-2.0, 3.0]]
  # 1 and 1.0 are one class.
  assert (len(names), labels.tolist()) == (2, [1, 0])
  assert read_ucr(path, "", "test")[1].tolist() == [0]


@pytest.mark.parametrize(("texts", "suffix"), [(TS, ".ts"), (ARFF, ".arff")])
def test_multivariate_files_are_steps_by_channels(tmp_path, texts, suffix):
  path = write(tmp_path, texts, suffix)
  series, labels, names = read_ucr(path, "Waves", "train")
  assert series.tolist() == [
    [[1, 10], [2, 20], [3, 30]],
    [[4, 40], [5, 50], [6, 60]],
  ]
  assert (names, labels.tolist()) == (["narrow", "wide"], [1, 0])
  series, labels, _ = read_ucr(path, "Waves", "test")
  assert series[0, :, 0].tolist() == [-1, -2, -30]
  assert labels.tolist() == [1]


def test_univariate_arff_has_the_label_last(tmp_path):
  header = "@relation a\n@attribute att1 numeric\n@attribute target {1,2}\n"
  text = header + "@data\n0.5,1.5,2\n-3,4,1\n"
  path = write(tmp_path, {"TRAIN": text, "TEST": text}, ".arff")
  series, labels, names = read_ucr(path, "Waves", "train")
  assert series[:, :, 0].tolist() == [[0.5, 1.5], [-3.0, 4.0]]
  assert (names, labels.tolist()) == (["1", "2"], [1, 0])


def test_the_set_is_found_among_several_and_among_its_channels(tmp_path):
  write(tmp_path, TSV, ".tsv", "Other")
  write(tmp_path, ARFF, ".arff", "WavesDimension1")
  path = write(tmp_path, TS, ".ts")
  write(tmp_path, {"TRAIN": "nonsense"}, ".arff")
  assert read_ucr(path, "WAVES", "train")[0].shape == (2, 3, 2)
  assert read_ucr(path, "other", "train")[0].shape == (3, 3, 1)
  with pytest.raises(DataError, match=r"it has: Other, Waves$"):
    read_ucr(path, "mine", "train")


BAD_TS = {
  "1,?,3:1,2,3:a": "line 3 has missing values",
  "1,NaN,3:1,2,3:a": "line 3 has missing values",
  "1,2,3:1,2:a": r"line 3 has channels of lengths \[2, 3\]",
  "1,2,3:1,2,3:a\n1,2:1,2:a": "line 4 has shape .*unequal length",
  "1,2,3,a": "line 3 has no ':'",
  "1,x,3:1,2,3:a": "line 3 is not understood",
  "1,inf,3:1,2,3:a": "line 3 has values that are NaN or infinite",
  "": "has no series",
}


@pytest.mark.parametrize(("rows", "message"), BAD_TS.items())
def test_a_bad_row_is_refused_by_its_line(tmp_path, rows, message):
  text = f"@classLabel true a\n@data\n{rows}\n"
  path = write(tmp_path, {"TRAIN": text}, ".ts")
  with pytest.raises(DataError, match=message) as caught:
    read_ucr(path, "Waves", "train")
  assert "\n" not in str(caught.value)
  assert "Waves_TRAIN.ts" in str(caught.value)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("1,2:a", "has no line @data"),
    ("@timeStamps true\n@classLabel true\n@data\n(1,2):a", "time stamps"),
    ("@classLabel false\n@data\n1,2", "has no labels"),
  ],
)
def test_a_header_that_is_not_read_is_refused(tmp_path, text, message):
  path = write(tmp_path, {"TRAIN": text}, ".ts")
  with pytest.raises(DataError, match=message):
    read_ucr(path, "Waves", "train")


def test_absent_files_are_named(tmp_path):
  with pytest.raises(DataError, match="which is no folder"):
    read_ucr(str(tmp_path / "no"), "Waves", "train")
  with pytest.raises(DataError, match="it has: none"):
    read_ucr(str(tmp_path), "Waves", "train")
  path = write(tmp_path, {"TRAIN": TSV["TRAIN"]}, ".tsv")
  with pytest.raises(DataError, match="for split 'test'"):
    read_ucr(path, "Waves", "test")
  with pytest.raises(DataError, match="no split 'val'"):
    read_ucr(path, "Waves", "val")


def ucr_config(path, **fields):
  config = jaxrobust.default_config().data
  fields = {"shape": (3, 1), "num_classes": 3, **fields}
  config.update({"source": "ucr", "name": "waves", "path": path, **fields})
  return config


def test_a_config_loads_it(tmp_path):
  config = ucr_config(write(tmp_path, TSV, ".tsv"))
  dataset = load(config, "train[1:]")
  assert (dataset.name, dataset.labels.tolist()) == ("waves", [0, 2])
  assert dataset.class_names == ("-1", "2", "10")
  with pytest.raises(DataError, match="num_classes is 2, but waves has 3"):
    load(ucr_config(config.path, num_classes=2), "train")


def test_labels_can_be_the_targets_of_a_regression(tmp_path):
  text = "@targetLabel true\n@data\n1,2,3:0.5\n4,5,6:-2.25\n"
  path = write(tmp_path, {"TRAIN": text, "TEST": text}, ".ts")
  dataset = load(ucr_config(path, num_classes=0, targets=1), "train")
  assert dataset.labels.dtype == np.float32
  assert dataset.labels.tolist() == [[0.5], [-2.25]]
  assert dataset.class_names == ()
  (tmp_path / "Waves_TRAIN.ts").write_text(TS["TRAIN"])
  with pytest.raises(DataError, match="has no numbers"):
    load(ucr_config(path, num_classes=0, targets=1), "train")


def test_standardising_is_by_the_series_or_by_the_training_split(tmp_path):
  path = write(tmp_path, TSV, ".tsv")
  each = load(ucr_config(path, standardise="series"), "train").inputs
  np.testing.assert_allclose(each.mean(1), 0, atol=1e-6)
  np.testing.assert_allclose(each.std(1), 1, rtol=1e-6)
  config = ucr_config(path, standardise="dataset", train_split="train[:2]")
  values = np.asarray([0.5, 1.5, -2, 1, 2, 3])
  test = load(config, "test").inputs[:, :, 0]
  expected = ([[7, 8, 9], [0, 0, 0.25]] - values.mean()) / values.std()
  np.testing.assert_allclose(test, expected, rtol=1e-6)
  train = load(config, "train[:2]").inputs
  assert abs(train.mean()) < 1e-6
  assert abs(train.std() - 1) < 1e-6


def test_a_channel_that_does_not_vary_becomes_zero(tmp_path):
  text = "@classLabel true\n@data\n1,2,3:7.3,7.3,7.3:a\n4,5,6:7.3,7.3,7.3:b\n"
  path = write(tmp_path, {"TRAIN": text}, ".ts")
  for how in ("series", "dataset"):
    config = ucr_config(path, shape=(3, 2), num_classes=2, standardise=how)
    inputs = load(config, "train").inputs
    assert (inputs[:, :, 1] == 0).all()
    assert (inputs[:, 0, 0] < 0).any()


def test_images_are_not_standardised():
  config = jaxrobust.default_config()
  config.data.standardise = "series"
  with pytest.raises(jaxrobust.ConfigError, match="'none' for images"):
    jaxrobust.validate(config)
  with pytest.raises(DataError, match="allowed for images: 'none'"):
    load(
      ucr_config(
        "",
        source="digits",
        num_classes=10,
        shape=(8, 8, 1),
        standardise="series",
      ),
      "train",
    )
