"""The rows of calibration: one measurement, whole, and never made twice."""

import numpy as np
import pytest
from scipy import special
from sklearn.metrics import log_loss

from jaxrobust import evaluation

SUBJECT = evaluation.Subject("run", "m", 0, 5, "d", "test", 60, "clean")
CELLS = evaluation.calibration_cells(True)


def predictions(count, seed):
  """Logits three times as sure as their labels allow."""
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(count, 4), scale=2.0)
  chances = special.softmax(logits, axis=1).cumsum(axis=1)
  labels = (rng.uniform(size=(count, 1)) > chances[:, :-1]).sum(axis=1)
  return evaluation.Predictions(
    (3 * logits).astype(np.float32), labels.astype(np.int32)
  )


TEST, VALIDATION = predictions(60, 1), predictions(300, 2)


def measured(cell):
  del cell
  return TEST, VALIDATION


def written_by(path, measure, cells=CELLS):
  results = evaluation.Results(path)
  done = evaluation.measure_calibration(SUBJECT, measure, cells, results)
  assert list(done) == cells
  return evaluation.read_rows(path)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  path = tmp_path_factory.mktemp("rows") / "results.csv"
  written_by(path, measured)
  return path


def by_metric(path, perturbation):
  rows = evaluation.read_rows(path)
  own = [row for row in rows if row["perturbation"] == perturbation]
  assert {row["n_examples"] for row in own} == {60}
  return {(row["strength"], row["metric"]): row["value"] for row in own}


def test_the_network_as_it_is_has_four_metrics(path):
  values = by_metric(path, "calibration")
  probabilities = special.softmax(TEST.logits.astype(np.float64), axis=1)
  confidence = probabilities.max(axis=1)
  hits = probabilities.argmax(axis=1) == TEST.labels
  assert values == pytest.approx(
    {
      (1.0, "nll"): log_loss(TEST.labels, probabilities),
      (1.0, "ece"): evaluation.expected_calibration_error(confidence, hits),
      (1.0, "adaptive_ece"): evaluation.adaptive_calibration_error(
        confidence, hits
      ),
      (1.0, "brier"): evaluation.brier_score(probabilities, TEST.labels),
    },
    rel=1e-4,
  )


def test_the_scaled_network_has_them_at_the_fitted_temperature(path):
  values = by_metric(path, "temperature_scaled")
  (temperature,) = {strength for strength, _ in values}
  fitted = evaluation.fit_temperature(*VALIDATION)
  assert temperature == pytest.approx(fitted, rel=1e-3)
  assert len(f"{temperature:g}") <= 5
  values = {metric: value for (_, metric), value in values.items()}
  probabilities = special.softmax(TEST.logits / temperature, axis=1)
  hits = probabilities.argmax(axis=1) == TEST.labels
  assert values == pytest.approx(
    {
      "nll": log_loss(TEST.labels, probabilities),
      "ece": evaluation.expected_calibration_error(
        probabilities.max(axis=1), hits
      ),
      "adaptive_ece": evaluation.adaptive_calibration_error(
        probabilities.max(axis=1), hits
      ),
      "brier": evaluation.brier_score(probabilities, TEST.labels),
    },
    rel=1e-4,
  )
  before = by_metric(path, "calibration")
  assert values["nll"] < 0.8 * before[1.0, "nll"]


def test_the_diagram_has_a_share_of_every_bin_and_means_of_those_with_any(path):
  values = by_metric(path, "reliability")
  probabilities = special.softmax(TEST.logits.astype(np.float64), axis=1)
  diagram = evaluation.reliability(
    probabilities.max(axis=1), probabilities.argmax(axis=1) == TEST.labels
  )
  assert (diagram.share == 0).any()
  expected = {}
  for edge, share, accuracy, confidence in zip(*diagram, strict=True):
    expected[edge, "bin_share"] = share
    if share:
      expected[edge, "bin_accuracy"] = accuracy
      expected[edge, "bin_confidence"] = confidence
  assert values == pytest.approx(expected, rel=1e-4)


def test_what_is_there_is_not_measured_again(path):
  def never(cell):
    raise AssertionError(cell)

  before = path.read_text()
  written_by(path, never)
  assert path.read_text() == before


@pytest.mark.parametrize("lost", [1, 4, 5, 30])
def test_a_kill_while_writing_is_made_good(path, tmp_path, lost):
  lines = path.read_text().splitlines(keepends=True)
  cut = tmp_path / "results.csv"
  cut.write_text("".join(lines[:-lost]))
  written_by(cut, measured)
  assert sorted(cut.read_text().splitlines()) == sorted(
    line.rstrip("\n") for line in lines
  )


@pytest.mark.parametrize(
  "validation",
  [None, evaluation.Predictions(np.full((2, 4), np.nan), np.zeros(2, int))],
)
def test_without_validation_examples_there_is_no_temperature(
  tmp_path, validation
):
  rows = written_by(tmp_path / "results.csv", lambda cell: (TEST, validation))
  names = {row["perturbation"] for row in rows}
  assert names == {"reliability", "calibration"}


def test_logits_that_are_no_numbers_are_wrong_without_confidence(tmp_path):
  broken = TEST._replace(logits=TEST.logits.copy())
  broken.logits[:6] = [[np.nan] * 4] * 3 + [[np.inf, np.inf, 0, 1]] * 3
  path = tmp_path / "results.csv"
  written_by(path, lambda cell: (broken, broken))
  assert by_metric(path, "calibration")[1.0, "nll"] == np.inf
  shares = by_metric(path, "reliability")
  assert shares[1 / 15, "bin_share"] == pytest.approx(0.1)
  assert shares[1 / 15, "bin_accuracy"] == 0
  rest = special.softmax(TEST.logits[6:], axis=1)
  assert by_metric(path, "calibration")[1.0, "brier"] == pytest.approx(
    0.9 * evaluation.brier_score(rest, TEST.labels[6:]) + 0.1 * 2, rel=1e-4
  )


def test_the_wrong_number_of_examples_is_refused(tmp_path):
  with pytest.raises(ValueError, match="300 examples measured; must be 60"):
    written_by(tmp_path / "results.csv", lambda cell: (VALIDATION, TEST))


def test_no_calibration_is_no_cells():
  assert evaluation.calibration_cells(False) == []
  assert evaluation.calibration_cells(True, 7)[0].count(60) == 7
