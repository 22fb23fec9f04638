"""Errors of a regression, against their definitions."""

import numpy as np
import pytest

from jaxrobust import evaluation

RNG = np.random.default_rng(0)
PREDICTIONS = RNG.normal(size=(7, 3)).astype(np.float32)
TARGETS = RNG.normal(size=(7, 3)).astype(np.float32)


def judged(predictions):
  examples = evaluation.judge_regression(predictions, TARGETS)
  return {name: np.asarray(values) for name, values in examples.items()}


def test_errors_are_means_over_all_targets_of_all_examples():
  from sklearn import metrics

  summary = evaluation.summarise_regression(judged(PREDICTIONS))
  mse = metrics.mean_squared_error(TARGETS, PREDICTIONS)
  mae = metrics.mean_absolute_error(TARGETS, PREDICTIONS)
  assert tuple(summary) == evaluation.REGRESSION.metrics
  assert summary["mse"] == pytest.approx(mse, rel=1e-6)
  assert summary["rmse"] == pytest.approx(mse**0.5, rel=1e-6)
  assert summary["mae"] == pytest.approx(mae, rel=1e-6)
  assert summary["finite"] == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_prediction_that_is_not_finite_is_infinitely_far_off(bad):
  predictions = PREDICTIONS.copy()
  predictions[2, 1] = bad
  examples = judged(predictions)
  assert examples["squared_error"][2] == examples["absolute_error"][2] == np.inf
  summary = evaluation.summarise_regression(examples)
  assert summary["rmse"] == summary["mse"] == summary["mae"] == np.inf
  assert summary["finite"] == pytest.approx(6 / 7)


def test_the_headline_is_the_mean_of_the_scores_and_less_of_it_ranks_higher():
  task = evaluation.task_of(3)
  summary = task.summarise(judged(PREDICTIONS))
  scores = task.score(PREDICTIONS, TARGETS)
  assert summary[task.headline] == pytest.approx(float(scores.mean()), rel=1e-6)
  better = task.summarise(judged(TARGETS))
  assert task.rank(better) > task.rank(summary)


def test_classification_ranks_by_accuracy():
  task = evaluation.task_of(0)
  assert task.rank({"accuracy": 0.9}) > task.rank({"accuracy": 0.8})
  hits = task.score(np.eye(3), np.asarray([0, 2, 2]))
  assert hits.tolist() == [True, False, True]
