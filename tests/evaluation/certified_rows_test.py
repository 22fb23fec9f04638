"""The rows of certificates, and the votes they are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import data, evaluation, models
from jaxrobust.methods import forwards

SUBJECT = evaluation.Subject("run", "m", 0, 5, "d", "test", 4, "gaussian")
CELLS = evaluation.certified_cells(
  [0.5, 1.0], radii=[0.0, 0.5, 1.0], draws=1000, examples=5
)
VOTES = evaluation.Votes(
  selection=np.asarray([[100, 0], [80, 20], [90, 10], [55, 45]]),
  # Certain and right, certain and wrong, right but not far, uncertain.
  estimation=np.asarray([[1000, 0], [900, 100], [800, 200], [520, 480]]),
  labels=np.asarray([0, 1, 0, 0]),
)
# Of 1,000 and of 800 votes at alpha = 0.001: Phi^-1 of Clopper and Pearson's.
SURE, FAIR = 2.4624, 0.7033


def rows_of(path, measure=lambda cell: VOTES):
  results = evaluation.Results(path)
  done = evaluation.measure_certified(SUBJECT, measure, CELLS, results)
  assert list(done) == CELLS
  return evaluation.read_rows(path)


def test_rows_say_how_many_are_certified_at_each_radius(tmp_path):
  rows = rows_of(tmp_path / "results.csv")
  assert {row["n_examples"] for row in rows} == {4}
  for std, accuracies in (
    (0.5, {0.0: 0.5, 0.5: 0.25, 1.0: 0.25}),
    (1.0, {0.0: 0.5, 0.5: 0.5, 1.0: 0.25}),
  ):
    name = f"certified(std={std:g}, draws=1000)"
    values = {
      (row["strength"], row["metric"]): row["value"]
      for row in rows
      if row["perturbation"] == name
    }
    expected = {(r, "certified_accuracy"): a for r, a in accuracies.items()}
    expected[0.0, "smoothed_accuracy"] = 0.5
    expected[0.0, "abstained"] = 0.25
    average = std * (SURE + FAIR) / 4
    expected[0.0, "average_certified_radius"] = average
    assert values == pytest.approx(expected, rel=1e-3)


def test_what_is_there_is_not_voted_on_again(tmp_path):
  path = tmp_path / "results.csv"
  rows_of(path)
  lines = path.read_text().splitlines(keepends=True)
  path.write_text("".join(lines[:-1]))
  asked = []

  def measure(cell):
    asked.append(cell.strength)
    return VOTES

  rows_of(path, measure)
  assert asked == [1.0]
  assert path.read_text() == "".join(lines)


def test_the_wrong_number_of_examples_is_refused(tmp_path):
  few = VOTES._replace(labels=VOTES.labels[:2])
  with pytest.raises(ValueError, match="2 examples voted on; must be 4"):
    rows_of(tmp_path / "results.csv", lambda cell: few)


def test_the_name_says_that_noisy_images_are_clipped():
  (cell,) = evaluation.certified_cells([0.25], radii=[1], draws=9, clip=True)
  assert cell.name == "certified(std=0.25, draws=9, clipped)"
  assert evaluation.certified_cells([], radii=[1], draws=9) == []


@pytest.fixture(scope="module")
def network():
  model = models.build("mlp", num_classes=3, hidden=(6,))
  inputs = np.random.default_rng(0).integers(0, 256, (4, 3, 3, 1))
  batch = {
    "inputs": inputs.astype(np.uint8),
    "index": np.asarray([0, 5, 9, -1], np.int32),
  }
  variables = model.init(jax.random.key(0), jnp.zeros((1, 3, 3, 1)))
  return model, variables, batch


@pytest.mark.parametrize("clip", [False, True])
def test_the_step_counts_the_votes_of_each_image_under_its_own_noise(
  network, clip
):
  model, variables, batch = network
  forward = forwards.deterministic()
  step = jax.jit(evaluation.make_vote_step(model, forward, clip, copies=16))
  key = jax.random.key(3)
  found = np.asarray(step(variables, batch, key, 0.4, 5, 30))
  again = np.asarray(step(variables, batch, key, 0.4, 0, 5))
  assert (again.sum(axis=1) == 5).all()
  keys = data.example_keys(key, data.Tag.VOTE, batch["index"])
  noises = np.stack(
    [
      [
        jax.random.normal(jax.random.fold_in(own, number), (3, 3, 1))
        for number in range(5, 35)
      ]
      for own in keys
    ]
  )
  noisy = batch["inputs"][:, None] / np.float32(255) + 0.4 * noises
  if clip:
    noisy = noisy.clip(0, 1)
  logits = model.apply(variables, noisy.reshape((-1, 3, 3, 1))).logits
  votes = np.asarray(logits).argmax(axis=1).reshape((4, 30))
  expected = [np.bincount(own, minlength=3) for own in votes]
  np.testing.assert_array_equal(found, expected)
  assert (np.sort(found, axis=1)[:, -2] > 0).any()
