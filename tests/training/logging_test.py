"""What a run writes down can be read by others."""

import json
import math

import numpy as np

from jaxrobust.training.logging import MetricWriter


def test_numbers_that_json_lacks_are_null(tmp_path):
  writer = MetricWriter(tmp_path, 0)
  metrics = {"a": math.inf, "b": -np.inf, "c": float("nan"), "d": 0.5}
  writer.write(1, metrics)
  writer.close()

  def refuse(word):
    raise AssertionError(f"{word} is no JSON")

  (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
  read = json.loads(line, parse_constant=refuse)
  assert {name: read[name] for name in metrics} == {
    "a": None,
    "b": None,
    "c": None,
    "d": 0.5,
  }
