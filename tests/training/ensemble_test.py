"""The standard ensemble is the worst of its members, on any devices."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import data, evaluation, models
from jaxrobust.methods import forwards
from jaxrobust.training import attacking, parallel, standing

COUNT, SIDE, CLASSES, EPS = 90, 6, 4, 0.04
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (COUNT, SIDE, SIDE, 1)).astype(np.uint8)
WEIGHTS = RNG.normal(size=(SIDE * SIDE, CLASSES)).astype(np.float32)
LABELS = (IMAGES.reshape((COUNT, -1)) @ WEIGHTS).argmax(axis=1)
# Some are wrong from the start.
LABELS[:7] = (LABELS[:7] + 1) % CLASSES
DATASET = data.Dataset("random", "test", IMAGES, LABELS, "abcd")
VARIABLES = {"params": {"head": {"kernel": WEIGHTS}}}


class Linear(nn.Module):
  """Four classes, no bias."""

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    flat = inputs.reshape((len(inputs), -1))
    head = nn.Dense(CLASSES, use_bias=False, name="head")
    return models.Outputs(head(flat), flat)


def exactly_right(eps):
  """Who stands at the worst corner of the box, for every rival."""
  flat = IMAGES.reshape((COUNT, -1)) / 255.0
  lower, upper = np.maximum(flat - eps, 0), np.minimum(flat + eps, 1)
  right = np.ones(COUNT, bool)
  for rival in range(CLASSES):
    difference = WEIGHTS[:, rival] - WEIGHTS.T[LABELS]
    corner = np.where(difference > 0, upper, lower)
    lead = (difference.astype(np.float64) * corner).sum(axis=1)
    right &= (lead < 0) | (rival == LABELS)
  return right


def judge_of(launcher="pmap", devices=1, batch_size=90, forward=None):
  launch = parallel.Launcher(launcher, jax.local_devices()[:devices])
  judge = attacking.AttackJudge(
    Linear(), forward or forwards.deterministic(), True, launch, batch_size
  )
  key = launch.replicate(jax.random.key(0))
  variables = launch.replicate(VARIABLES)
  return lambda cell: judge(variables, cell, DATASET, key)


def ensemble(**options):
  options = {"examples": COUNT, "steps": 12, "queries": 30, **options}
  (cell,) = evaluation.ensemble_cells([EPS], **options)
  return cell


@pytest.fixture(scope="module")
def judge():
  return judge_of()


@pytest.fixture(scope="module")
def found(judge):
  return judge(ensemble())


def test_a_linear_network_has_its_exact_robust_accuracy(found):
  exact = exactly_right(EPS)
  assert 0.2 < exact.mean() < 0.8
  np.testing.assert_array_equal(found["hits"], exact)


def test_what_is_left_falls_from_member_to_member(found):
  cell = ensemble()
  names = [evaluation.after(member) for member in cell.members]
  assert names == [
    f"hits_after_{name}" for name in ("apgd-ce", "apgd-t", "fab-t", "square")
  ]
  clean = (IMAGES.reshape((COUNT, -1)) @ WEIGHTS).argmax(axis=1) == LABELS
  before = clean
  for name in names:
    assert not (found[name] & ~before).any()
    before = found[name]
  np.testing.assert_array_equal(before, found["hits"])
  metrics = cell.more_metrics(found)
  assert metrics["accuracy_after_square"] == found["hits"].mean()
  assert len(metrics) == 4


@pytest.mark.parametrize(
  "cells",
  [
    lambda: evaluation.apgd_cells([EPS], losses=["ce"], steps=12),
    lambda: evaluation.apgd_cells([EPS], losses=["dlr"], steps=12),
    lambda: evaluation.apgd_cells([EPS], losses=["t"], steps=12),
    lambda: evaluation.fab_cells([EPS], steps=12),
    lambda: evaluation.square_cells([EPS], queries=30),
  ],
  ids=["apgd-ce", "apgd-dlr", "apgd-t", "fab-t", "square"],
)
def test_each_member_alone_is_no_stronger_than_the_worst_case(judge, cells):
  (cell,) = cells()
  hits = judge(cell)["hits"]
  exact = exactly_right(EPS)
  assert (exact <= hits).all()
  clean = (IMAGES.reshape((COUNT, -1)) @ WEIGHTS).argmax(axis=1) == LABELS
  assert hits.sum() < clean.sum()
  assert evaluation.is_attack(cell.name)


def test_devices_and_launchers_change_nothing(found):
  other = judge_of("shard_map", 2, batch_size=20)(ensemble())
  for name, values in found.items():
    np.testing.assert_allclose(other[name], values, rtol=1e-4, atol=1e-5)


def test_the_euclidean_ensemble_has_the_exact_distance_at_its_best(judge):
  cell = ensemble(norm="l2")
  assert cell.name == "standard(l2, steps=12, queries=30)"
  (cell,) = evaluation.ensemble_cells(
    [0.2], norm="l2", examples=COUNT, steps=12, queries=30
  )
  hits = judge(cell)["hits"]
  flat = IMAGES.reshape((COUNT, -1)) / 255.0
  logits = flat @ WEIGHTS
  distance = np.full(COUNT, np.inf)
  for rival in range(CLASSES):
    other = rival != LABELS
    normal = (WEIGHTS[:, rival] - WEIGHTS.T[LABELS])[other]
    gap = (logits[np.arange(COUNT), LABELS] - logits[:, rival])[other]
    length = np.linalg.norm(normal, axis=1)
    distance[other] = np.minimum(distance[other], gap / length)
  # The bounds may only help those that stand.
  assert not (hits & (distance < 0)).any()
  assert (hits >= (distance > 0.2 * (1 + 1e-4))).all()
  assert 0.2 < hits.mean() < 0.9


def test_rows_of_an_ensemble_say_what_was_left_after_each(tmp_path, judge):
  subject = evaluation.Subject(
    run="run",
    method="standard",
    seed=0,
    step=1,
    dataset="random",
    split="test",
    n_examples=COUNT,
    trained_on="clean",
  )
  results = evaluation.Results(tmp_path / "results.csv")
  cell = ensemble()
  calls = []

  def counted(cell):
    calls.append(cell.name)
    return judge(cell)

  for _ in range(2):
    assert list(evaluation.run(subject, counted, [cell], results)) == [cell]
  assert calls == [cell.name]
  values = results.values(
    {
      **vars(subject),
      "perturbation": cell.name,
      "strength": EPS,
      "severity": None,
    }
  )
  assert values["accuracy_after_square"] == values["accuracy"]
  assert values["accuracy_after_apgd-ce"] >= values["accuracy_after_apgd-t"]


class TestSelfChecks:
  def checked(self, forward=None):
    launch = parallel.Launcher("pmap", jax.local_devices()[:1])
    judge = attacking.AttackJudge(
      Linear(), forward or forwards.deterministic(), True, launch, 90
    )
    (cell,) = evaluation.self_check_cells([ensemble()])
    return judge.check(
      launch.replicate(VARIABLES),
      cell,
      DATASET,
      launch.replicate(jax.random.key(0)),
    )

  def test_an_honest_network_raises_no_flag(self):
    found = self.checked()
    flags = "random", "probabilities", "zero_gradients", "large_ball_stands"
    assert [found[flag] for flag in flags] == [0.0] * 4
    assert found["accuracy_in_large_ball"] < 0.1

  def test_probabilities_without_gradients_raise_theirs(self):
    def rounded(model, variables, inputs, mask, train):
      outputs = model.apply(variables, inputs)
      probabilities = jax.nn.softmax(100 * outputs.logits)
      return outputs._replace(logits=jnp.round(probabilities)), {}

    found = self.checked(rounded)
    assert found["probabilities"] == found["zero_gradients"] == 1.0
    assert found["share_without_gradient"] == 1.0
    # Nothing can climb it.
    assert found["large_ball_stands"] == 1.0

  def test_rows_and_warnings_name_the_flag(self, tmp_path):
    subject = evaluation.Subject(
      "run", "standard", 0, 1, "random", "test", COUNT, "clean"
    )
    results = evaluation.Results(tmp_path / "results.csv")
    cell = ensemble()
    (check,) = evaluation.self_check_cells([cell])

    def judged(cell):
      hits = np.zeros(COUNT, bool)
      hits[:30] = True
      after = {"hits_after_apgd-ce": ~hits, "hits_after_square": hits}
      return {
        "nll": np.zeros(COUNT),
        "confidence": np.ones(COUNT),
        "hits": hits,
        **after,
      }

    list(evaluation.run(subject, judged, [cell], results))
    asked = []

    def flags(cell):
      asked.append(cell)
      return {flag: 0.0 for flag in cell.flags} | {"zero_gradients": 1.0}

    for _ in range(2):
      list(evaluation.run_self_checks(subject, flags, [check], results))
    assert len(asked) == 1
    rows = evaluation.read_rows(tmp_path / "results.csv")
    lines = evaluation.warnings_of(rows)
    assert [line.split(", ")[2].partition(":")[0] for line in lines] == [
      "zero_gradients",
      "black_box_stronger",
    ]


def test_parts_and_batches_cover_whoever_stands_once(monkeypatch):
  monkeypatch.setattr(standing, "_KEPT_BYTES", 4 * SIDE * SIDE * 16)
  launch = parallel.Launcher("pmap", jax.local_devices()[:1])
  known = standing.nothing_found(COUNT)
  known["hits"][::3] = False
  whole = standing.Standing(DATASET, launch, known)
  seen, sizes = [], []
  for part in whole.parts(1, 16):
    for batch, _, put in part.batches(16, 4):
      index = np.asarray(batch["index"]).ravel()
      seen += [int(i) for i in index if i >= 0]
      sizes.append(len(index))
      put({"nll": np.asarray(batch["index"], np.float32), "own": index[None]})
  assert seen == [i for i in range(COUNT) if i % 3]
  assert sizes == [16, 16, 16, 4, 4, 4]
  assert "own" not in known
  np.testing.assert_array_equal(known["nll"][known["hits"]], seen)
  assert np.isneginf(known["nll"][::3]).all()
