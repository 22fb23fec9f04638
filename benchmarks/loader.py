"""Batches of a cached data set: our loader against grain's element by element.

  python -m benchmarks.loader

Both shuffle 60,000 images of 28x28 and yield batches of 128, in turns. The
last line is one JSON object.
"""

import json
import platform
import statistics
import time

import grain
import numpy as np

from jaxrobust import data

EXAMPLES, BATCH, BATCHES, ROUNDS = 60_000, 128, 200, 5


def rate(batches) -> float:
  """Examples a second over BATCHES batches, after the first."""
  next(batches)
  begin = time.perf_counter()
  for _ in range(BATCHES):
    next(batches)
  return BATCHES * BATCH / (time.perf_counter() - begin)


def main() -> None:
  images = np.zeros((EXAMPLES, 28, 28, 1), np.uint8)
  labels = np.zeros(EXAMPLES, np.int32)
  dataset = data.Dataset("blank", "train", images, labels, "a")

  def ours():
    return iter(data.Loader(dataset, BATCH))

  def peer():
    positions = grain.MapDataset.range(EXAMPLES).seed(0).shuffle().repeat()
    examples = positions.map(lambda i: {"x": images[i], "y": labels[i]})
    return iter(examples.batch(BATCH).to_iter_dataset())

  rates = [(rate(ours()), rate(peer())) for _ in range(ROUNDS)]
  mine, theirs = (statistics.median(r) for r in zip(*rates, strict=True))
  print(f"ours {mine:,.0f} examples/s, grain element by element {theirs:,.0f}")
  claim = {
    "claim": "examples/s of the loader against grain's shuffle and batch",
    "ours": round(mine),
    "peer": round(theirs),
    "ratio": round(mine / theirs, 2),
    "aim": 2.0,
    "met": mine / theirs >= 2.0,
  }
  print(json.dumps({"device": platform.machine(), "claims": [claim]}))


if __name__ == "__main__":
  main()
