"""Small runs and studies, and a reader of their page, for its tests."""

import base64
import csv
import gzip
import html.parser
import io
import json
import urllib.parse

from jaxrobust import evaluation
from jaxrobust.report import page

VOID = {"meta", "link", "img", "br", "wbr"}

SHARED = {
  "step": 7,
  "dataset": "mnist",
  "split": "test",
  "severity": None,
  "n_examples": 1000,
}


def row(run, method, seed, perturbation, strength, metric, value, **other):
  """A row of results."""
  return {
    **SHARED,
    "run": run,
    "method": method,
    "seed": seed,
    "perturbation": perturbation,
    "strength": strength,
    "metric": metric,
    "value": value,
    "trained_on": "clean",
    **other,
  }


def tests_of(run, method, seed, level, **other):
  """Rows of every kind that a page has a place for."""

  def one(*cell, **more):
    return row(run, method, seed, *cell, **{**other, **more})

  found = [one("clean", 0.0, "accuracy", level)]
  for metric in ("nll", "ece", "brier"):
    found.append(one("clean", 0.0, metric, 1 - level))
    scaled = one("temperature_scaled", 1.5 + seed, metric, 0.5 - 0.5 * level)
    found.append(scaled)
  for std in (0.1, 0.3):
    found.append(one("gaussian", std, "accuracy", level - std))
  for name in ("fog", "snow"):
    for severity in (1, 3):
      found.append(
        one(
          f"{name}(cifar-c, generated)",
          float(severity),
          "accuracy",
          level - 0.1 * severity,
          severity=severity,
          n_examples=200,
        )
      )
  for name, worse in (("fgsm", 0.1), ("pgd(steps=20, restarts=1)", 0.2)):
    for eps in (0.1, 0.2):
      found.append(one(name, eps, "accuracy", level - worse - eps))
  for edge in (0.5, 1.0):
    found.append(one("reliability", edge, "bin_accuracy", edge - 0.2))
    found.append(one("reliability", edge, "bin_confidence", edge - 0.1))
    found.append(one("reliability", edge, "bin_share", 0.5))
  for radius in (0.0, 0.5):
    name = "certified(std=0.25, draws=100)"
    found.append(one(name, radius, "certified_accuracy", level - radius))
  name = "certified(std=0.25, draws=100)"
  found.append(one(name, 0.0, "smoothed_accuracy", level - 0.01))
  found.append(one(name, 0.0, "abstained", 0.02))
  found.append(one("pruned", 0.5, "accuracy", level - 0.05))
  found.append(one("weights", 0.0, "hoyer", 0.3))
  for count, images in ((2, 40), (9, 60)):
    metric = f"gauss_newton_frobenius_squared(count={count})"
    value = 10.0 / count
    found.append(one("curvature", 0.03, metric, value, n_examples=images))
  return found


def write(folder, rows):
  """Writes a results.csv."""
  folder.mkdir(parents=True, exist_ok=True)
  evaluation.Results(folder / "results.csv").append(rows)
  return folder


def write_run(folder, rows, name="standard"):
  """Writes the folder of a run, with all its files but examples."""
  write(folder, rows)
  config = {
    "seed": 3,
    "data": {"name": "mnist", "shape": [28, 28, 1], "train_split": "train"},
    "method": {
      "name": name,
      "input": {"name": "gaussian", "std": 0.25, "alpha": None},
      "objective": {"name": "cross_entropy"},
    },
    "model": {"name": "lenet5"},
    "optimizer": {"name": "adam", "learning_rate": 0.003},
    "train": {"epochs": 12, "batch_size": 64},
  }
  (folder / "config.json").write_text(json.dumps(config))
  start = {
    "python": "3.12.1",
    "versions": {"jax": "0.12.0"},
    "devices": ["TPU v9", "TPU v9"],
  }
  (folder / "environment.json").write_text(json.dumps([start]))
  lines = [
    {"step": step, "time": 1.0, "train/loss": 1.0 / step} for step in (1, 2, 4)
  ]
  lines.append({"step": 4, "time": 1.0, "validation/accuracy": None})
  lines.append({"step": 5, "time": 1.0, "validation/accuracy": 0.75})
  text = "".join(json.dumps(line) + "\n" for line in lines)
  (folder / "metrics.jsonl").write_text(text + '{"step": 6, "ti')
  return folder


class Document(html.parser.HTMLParser):
  """Checks that elements are nested well, and keeps what is of interest."""

  def __init__(self, text):
    super().__init__()
    self.open, self.tables, self.attributes, self.words = [], [], [], []
    self.feed(text)
    self.close()
    assert self.open == []

  def handle_starttag(self, tag, attrs):
    self.attributes.append((tag, dict(attrs)))
    if tag == "table":
      self.tables.append([])
    elif tag == "tr":
      self.tables[-1].append([])
    elif tag in ("td", "th"):
      self.tables[-1][-1].append("")
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.attributes.append((tag, dict(attrs)))  # As within <svg>.

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, words):
    if "script" not in self.open and "style" not in self.open:
      self.words.append(words)
    if "td" in self.open or "th" in self.open:
      self.tables[-1][-1][-1] += words

  def table(self, column):
    """The first table that has a column: {line: {column: text}}."""
    for head, *body in self.tables:
      if column in head:
        return {line[0]: dict(zip(head, line, strict=True)) for line in body}
    raise AssertionError(
      f"no column {column!r} in {[t[0] for t in self.tables]}"
    )

  def files(self):
    """The CSV files: {name: lines}."""
    found = {}
    for tag, attributes in self.attributes:
      if tag == "a" and "download" in attributes:
        kind, _, body = attributes["href"].partition(",")
        if kind.endswith("base64"):
          text = gzip.decompress(base64.b64decode(body)).decode()
        else:
          text = urllib.parse.unquote(body)
        found[attributes["download"]] = list(csv.reader(io.StringIO(text)))
    return found


def page_of(tmp_path, rows, **options):
  """The page of one run with some rows."""
  folder = write(tmp_path / "run", rows)
  out = page.write_page([folder], tmp_path / "page.html", **options)
  return Document(out.read_text(encoding="utf-8"))
