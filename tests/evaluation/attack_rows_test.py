"""Attacks as cells: what their rows say, and what their programs find."""

import io

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from jaxrobust import attacks, data, evaluation, models
from jaxrobust.evaluation import attack_rows

SUBJECT = evaluation.Subject(
  run="first",
  method="standard",
  seed=0,
  step=10,
  dataset="digits",
  split="test",
  n_examples=40,
  trained_on="clean",
)
COUNT, SHAPE, CLASSES = 40, (4, 4, 1), 5
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0.0, 1.0, (COUNT, *SHAPE)).astype(np.float32)


class Net(nn.Module):
  """A small network of one's own."""

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    x = jnp.tanh(nn.Dense(16)(inputs.reshape((len(inputs), -1))))
    return models.Outputs(nn.Dense(CLASSES)(3.0 * x), x)


def deterministic(model, variables, inputs, mask, train, keys=None):
  return model.apply(variables, inputs, train=train), {}


def half_blind(model, variables, inputs, mask, train, keys=None):
  """Judged without the lower half of the image."""
  seen = jnp.asarray(inputs).at[:, 2:].set(0.5)
  return model.apply(variables, seen, train=train), {}


VARIABLES = Net().init(jax.random.key(0), IMAGES)
LABELS = np.asarray(Net().apply(VARIABLES, IMAGES).logits.argmax(axis=1))
BATCH = {
  "inputs": IMAGES,
  "labels": LABELS.astype(np.int32),
  "index": np.arange(COUNT, dtype=np.int32),
  "mask": np.ones(COUNT, np.float32),
}
STANDING = {
  "nll": np.full(COUNT, -np.inf, np.float32),
  "confidence": np.zeros(COUNT, np.float32),
  "hits": np.ones(COUNT, bool),
}


def attacked(forward, eps, steps, climbs_margin, norm="linf"):
  """The points of one restart, and what was found on the way."""
  programs = evaluation.make_attack_steps(Net(), forward, True, norm)
  active = np.ones(COUNT, bool)
  step = jax.jit(programs.step)
  x = programs.start(BATCH, jax.random.key(1), data.Tag.TEST_ATTACK, 0, eps)
  found = programs.look(VARIABLES, BATCH, IMAGES, STANDING, active)
  for _ in range(steps):
    x, found = step(
      VARIABLES, BATCH, x, found, active, climbs_margin, eps, 2.5 * eps / steps
    )
  return x, programs.look(VARIABLES, BATCH, x, found, active)


@pytest.mark.parametrize(("loss", "norm"), [("ce", "linf"), ("margin", "l2")])
def test_step_by_step_an_attack_is_projected_ascent(loss, norm):
  eps = 0.1 if norm == "linf" else 0.4
  x, found = attacked(deterministic, eps, 5, loss == "margin", norm)
  keys = data.example_keys(
    jax.random.key(1), data.Tag.TEST_ATTACK, BATCH["index"]
  )

  def logits_fn(x):
    return Net().apply(VARIABLES, x).logits

  options = {"eps": eps, "steps": 5, "norm": norm, "loss": loss}
  last = attacks.pgd(keys, logits_fn, IMAGES, LABELS, keep="last", **options)
  np.testing.assert_allclose(x, last, atol=1e-5)
  best = attacks.pgd(keys, logits_fn, IMAGES, LABELS, **options)
  fooled = np.asarray(logits_fn(best).argmax(axis=1)) != LABELS
  assert 0.1 < fooled.mean() < 0.9
  np.testing.assert_array_equal(~found["hits"], fooled)


def test_the_network_is_attacked_as_it_is_judged():
  x, found = attacked(half_blind, 0.1, 4, False)
  # What is not seen has no gradient and stays where it started.
  start = evaluation.make_attack_steps(Net(), half_blind, True, "linf").start(
    BATCH, jax.random.key(1), data.Tag.TEST_ATTACK, 0, 0.1
  )
  np.testing.assert_array_equal(x[:, 2:], start[:, 2:])
  assert (np.abs(x[:, :2] - start[:, :2]) > 0).mean() > 0.9
  judged = evaluation.judge(
    half_blind(Net(), VARIABLES, x, None, False)[0].logits, BATCH["labels"]
  )
  assert judged["hits"][found["hits"]].all()
  assert (found["nll"] >= judged["nll"] - 1e-6)[found["hits"]].all()


def test_a_radius_of_zero_starts_at_the_example_itself():
  start = evaluation.make_attack_steps(Net(), deterministic, True, "l2").start
  x = start(BATCH, jax.random.key(1), data.Tag.TEST_ATTACK, 3, 0.0)
  np.testing.assert_array_equal(x, IMAGES)


def test_the_worse_is_the_wrong_answer_then_the_less_likely_label():
  found = {"nll": jnp.asarray([1.0, 1.0, 1.0, 1.0]),
           "hits": jnp.asarray([True, True, False, True])}  # fmt: skip
  tried = {"nll": jnp.asarray([0.5, 2.0, 2.0, 9.0]),
           "hits": jnp.asarray([False, True, True, False])}  # fmt: skip
  active = jnp.asarray([True, True, True, False])
  worst = attack_rows.worse(found, tried, active)
  assert worst["nll"].tolist() == [0.5, 2.0, 1.0, 1.0]
  assert worst["hits"].tolist() == [False, True, False, True]


def test_names_tell_the_settings_apart():
  cells = evaluation.attack_cells([0.1, 0.2], steps=7, restarts=2)
  assert [(c.name, c.strength) for c in cells] == [
    ("fgsm", 0.1),
    ("fgsm", 0.2),
    ("pgd(steps=7, restarts=2)", 0.1),
    ("pgd(steps=7, restarts=2)", 0.2),
  ]
  names = [c.name for c in evaluation.attack_cells([1.0], norm="l2")]
  assert names == ["fgsm(norm=l2)", "pgd(norm=l2, steps=40, restarts=1)"]
  assert all(evaluation.is_attack(name) for name in names)
  noises = evaluation.grid([0.1], [1.0], [0.1])
  assert not any(evaluation.is_attack(cell.name) for cell in noises)


def judge(cell):
  count = cell.count(SUBJECT.n_examples)
  return {
    "nll": np.ones(count),
    "confidence": np.full(count, 0.75),
    "hits": np.arange(count) > 4,
  }


def test_rows_and_the_table_say_how_many_examples_were_attacked(tmp_path):
  cells = [
    *evaluation.grid([0.1], [], []),
    *evaluation.attack_cells([0.1], examples=10),
    *evaluation.attack_cells([0.2], examples=100),
  ]
  path = tmp_path / "results.csv"
  list(evaluation.run(SUBJECT, judge, cells, evaluation.Results(path)))
  rows = evaluation.read_rows(path)
  counts = {(r["perturbation"], r["strength"], r["n_examples"]) for r in rows}
  assert counts == {
    ("clean", 0.0, 40),
    ("gaussian", 0.1, 40),
    ("fgsm", 0.1, 10),
    ("pgd(steps=40, restarts=1)", 0.1, 10),
    ("fgsm", 0.2, 40),
    ("pgd(steps=40, restarts=1)", 0.2, 40),
  }
  out = io.StringIO()
  Console(file=out, width=120).print(evaluation.accuracy_table(rows, "title"))
  (line,) = [
    line
    for line in out.getvalue().splitlines()
    if "pgd(steps=40, restarts=1)" in line and "eps 0.1" in line
  ]
  assert "50.00 %" in line
  assert " 10 " in line


def test_more_attacked_examples_are_rows_of_their_own(tmp_path):
  path = tmp_path / "results.csv"
  for count in (10, 20):
    cells = evaluation.attack_cells([0.1], examples=count)
    list(evaluation.run(SUBJECT, judge, cells, evaluation.Results(path)))
  rows = evaluation.read_rows(path)
  assert {row["n_examples"] for row in rows} == {10, 20}
  assert evaluation.accuracy_table(rows, "title").row_count == 4


def test_another_number_of_attacked_examples_is_refused(tmp_path):
  results = evaluation.Results(tmp_path / "results.csv")
  cells = evaluation.attack_cells([0.1], examples=10)
  whole = {name: np.ones(40) for name in ("nll", "confidence", "hits")}
  with pytest.raises(ValueError, match="40 examples judged; must be 10"):
    list(evaluation.run(SUBJECT, lambda _: whole, cells, results))
