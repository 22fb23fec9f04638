"""An attack of the evaluation finds the exact worst case, on any devices."""

import io

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

import jaxrobust
from jaxrobust import attacks, data, evaluation, methods, models
from jaxrobust.methods import forwards, smoothing
from jaxrobust.training import attacking, eval_checks, parallel
from jaxrobust.training.cells import adaptable, grid

COUNT, SIDE = 300, 4
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (COUNT, SIDE, SIDE, 1)).astype(np.uint8)
WEIGHTS = RNG.normal(size=(SIDE * SIDE, 2)).astype(np.float32)
LABELS = (IMAGES.reshape((COUNT, -1)) @ WEIGHTS).argmax(axis=1)
# Some are wrong from the start.
LABELS[:20] = 1 - LABELS[:20]
DATASET = data.Dataset("random", "test", IMAGES, LABELS, "ab")
EPS = 0.05


class Linear(nn.Module):
  """Two classes, no bias."""

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    features = inputs.reshape((len(inputs), -1))
    return models.Outputs(nn.Dense(2, use_bias=False)(features), features)


VARIABLES = {"params": {"Dense_0": {"kernel": WEIGHTS}}}


def exactly_right(eps):
  """Who is right at the worst corner of the box within the bounds."""
  images = IMAGES.reshape((COUNT, -1)) / 255.0
  lower, upper = np.maximum(images - eps, 0), np.minimum(images + eps, 1)
  difference = (WEIGHTS.T[1 - LABELS] - WEIGHTS.T[LABELS]).astype(np.float64)
  corner = np.where(difference > 0, upper, lower)
  return (difference * corner).sum(axis=1) < 0


def attack(
  cell, launcher="pmap", devices=1, batch_size=128, seed=0, forward=None
):
  launch = parallel.Launcher(launcher, jax.local_devices()[:devices])
  judge = attacking.AttackJudge(
    Linear(), forward or forwards.deterministic(), True, launch, batch_size
  )
  key = launch.replicate(jax.random.key(seed))
  return judge(launch.replicate(VARIABLES), cell, DATASET, key)


def pgd(eps=EPS, **options):
  return evaluation.attack_cells([eps], examples=COUNT, **options)[1]


@pytest.mark.parametrize("eps", [0.02, EPS])
def test_a_linear_model_has_its_exact_robust_accuracy(eps):
  exact = exactly_right(eps)
  assert 0.1 < exact.mean() < 0.9
  for cell in evaluation.attack_cells([eps], examples=COUNT):
    hits = attack(cell)["hits"]
    assert (exact <= hits).all()
    assert hits.mean() == pytest.approx(exact.mean(), abs=0.01)


@pytest.mark.parametrize(
  ("launcher", "devices"), [("pmap", 2), ("shard_map", 1), ("shard_map", 2)]
)
def test_devices_launchers_and_batches_change_nothing(launcher, devices):
  cell = pgd(steps=12)
  one, other = attack(cell), attack(cell, launcher, devices, batch_size=90)
  assert 0.1 < one["hits"].mean() < 0.9
  np.testing.assert_array_equal(one["hits"], other["hits"])
  for name in ("nll", "confidence"):
    np.testing.assert_allclose(one[name], other[name], rtol=1e-4)


def test_only_the_first_examples_are_attacked():
  (cell,) = evaluation.attack_cells([EPS], examples=30)[:1]
  part = attack(cell)
  whole = attack(evaluation.attack_cells([EPS], examples=10**6)[0])
  assert len(part["hits"]) == 30
  assert len(whole["hits"]) == COUNT
  for name, values in part.items():
    np.testing.assert_allclose(values, whole[name][:30], rtol=1e-5)


@pytest.fixture
def trained(tiny_config, tmp_path):
  tiny_config.train.epochs = 1
  tiny_config.eval.gaussian_stds = tiny_config.eval.alphas = ()
  tiny_config.eval.attack_steps = 3
  tiny_config.eval.attack_examples = 30
  jaxrobust.train(tiny_config, tmp_path)
  return tmp_path


def test_attacks_can_be_added_to_a_finished_run(trained, monkeypatch):
  path = trained / "results.csv"
  before = evaluation.read_rows(path)
  assert not any(evaluation.is_attack(r["perturbation"]) for r in before)
  rows = jaxrobust.evaluate(trained, attack_eps=(0.05, 0.2))
  added = [row for row in rows if row not in before]
  assert {(r["perturbation"], r["strength"]) for r in added} == {
    (name, eps)
    for name in ("fgsm", "pgd(steps=3, restarts=1)")
    for eps in (0.05, 0.2)
  }
  assert {row["n_examples"] for row in added} == {30}
  whole = path.read_bytes()
  # What is there is not attacked again, whatever was cut off.
  attacked = []
  call = attacking.AttackJudge.__call__

  def counted(self, variables, cell, *rest):
    attacked.append((cell.name, cell.strength))
    return call(self, variables, cell, *rest)

  monkeypatch.setattr(attacking.AttackJudge, "__call__", counted)
  path.write_bytes(whole[:-30])
  assert jaxrobust.evaluate(trained, attack_eps=(0.05, 0.2)) == rows
  assert path.read_bytes() == whole
  assert attacked == [("pgd(steps=3, restarts=1)", 0.2)]


def test_one_program_serves_all_radii(monkeypatch):
  traced = []
  forward = forwards.deterministic()

  def counted(*args, **kwargs):
    traced.append(1)
    return forward(*args, **kwargs)

  launch = parallel.Launcher("pmap", jax.local_devices()[:2])
  judge = attacking.AttackJudge(Linear(), counted, True, launch, 128)
  key = launch.replicate(jax.random.key(0))
  variables = launch.replicate(VARIABLES)
  for cell in evaluation.attack_cells([0.01, 0.02], steps=3, examples=COUNT):
    judge(variables, cell, DATASET, key)
  # The step and the look at the last iterate.
  assert len(traced) == 2


class Bumpy(nn.Module):
  """A network whose loss has many local maxima."""

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    features = inputs.reshape((len(inputs), -1))
    waves = jax.numpy.sin(12.0 * nn.Dense(8)(features))
    return models.Outputs(nn.Dense(5)(waves), features)


def test_both_losses_and_more_restarts_find_whatever_one_finds():
  launch = parallel.Launcher("pmap", jax.local_devices()[:1])
  variables = Bumpy().init(jax.random.key(3), IMAGES[:2] / np.float32(255))
  forward = forwards.deterministic()
  judge = attacking.AttackJudge(Bumpy(), forward, True, launch, 128)
  placed, key = launch.replicate(variables), jax.random.key(0)

  def logits_fn(x):
    return Bumpy().apply(variables, x).logits

  labels = np.asarray(logits_fn(IMAGES / np.float32(255)).argmax(axis=1))
  dataset = data.Dataset("random", "test", IMAGES, labels, "abcde")

  def standing(restarts):
    cell = pgd(0.02, steps=3, restarts=restarts)
    return judge(placed, cell, dataset, launch.replicate(key))["hits"]

  once, thrice = standing(1), standing(3)
  assert 0.1 < once.mean() < 0.9
  assert (thrice <= once).all()
  assert thrice.sum() < once.sum()
  keys = data.example_keys(key, data.Tag.TEST_ATTACK, np.arange(COUNT))
  images = IMAGES / np.float32(255)
  union = np.zeros(COUNT, bool)
  for loss in ("ce", "margin"):
    worst = attacks.pgd(
      keys, logits_fn, images, labels, eps=0.02, steps=3, loss=loss
    )
    alone = np.asarray(logits_fn(worst).argmax(axis=1)) != labels
    union |= alone
  np.testing.assert_array_equal(~once, union)


def test_the_quick_variant_attacks_once_and_briefly():
  config = jaxrobust.default_config()
  config.eval.attack_eps = (0.1, 0.2)
  config.eval.attack_restarts = 5
  quick = jaxrobust.variant(config, "quick").eval
  assert quick.attack_eps == (0.1,)
  assert (quick.attack_steps, quick.attack_restarts) == (5, 1)
  assert quick.attack_examples == 64


def test_a_regression_is_not_attacked():
  config = jaxrobust.default_config()
  config.data.num_classes, config.data.targets = 0, 1
  config.method.objective.name = "mse"
  config.eval.attack_eps = (0.1,)
  with pytest.raises(jaxrobust.ConfigError, match=r"attack_eps=.*classes"):
    jaxrobust.validate(config)


def stairs(images):
  """Twenty shades of grey: derivative zero, but as easy to attack as any."""
  return jnp.round(20 * images) / 20


def test_a_smoother_that_hides_its_gradient_is_attacked_all_the_same():
  forward = smoothing.BehindSmoother(forwards.deterministic(), stairs)
  cells = {
    gradient: evaluation.attack_cells(
      [2 * EPS], steps=10, examples=COUNT, gradients=[gradient]
    )[1]
    for gradient in ("worst", *methods.GRADIENTS)
  }
  hits = {k: attack(cell, forward=forward)["hits"] for k, cell in cells.items()}
  clean = {k: v.mean() for k, v in hits.items()}
  # There only the random start does anything.
  assert clean["derivative"] > 0.8
  assert clean["straight_through"] < 0.7
  assert clean["transfer"] < 0.7
  for gradient in methods.GRADIENTS:
    assert (hits["worst"] <= hits[gradient]).all()


def test_what_an_attack_finds_counts_behind_the_smoother():
  """A smoother that undoes the attack leaves the clean accuracy."""
  images = jnp.asarray(IMAGES, jnp.float32) / 255

  def undo(x):
    distance = jnp.abs(x[:, None] - images[None]).max(axis=(2, 3, 4))
    nearest = images[jnp.argmin(distance, axis=1)]
    return nearest + (x - jax.lax.stop_gradient(x))

  forward = smoothing.BehindSmoother(forwards.deterministic(), undo)
  hits = attack(pgd(steps=10), forward=forward)["hits"]
  right = np.arange(COUNT) >= 20
  np.testing.assert_array_equal(hits, right)


def test_one_gradient_is_a_cell_of_its_own_by_name():
  cells = evaluation.attack_cells([0.1], gradients=["worst", "transfer"])
  assert [cell.name for cell in cells] == [
    "fgsm",
    "pgd(steps=40, restarts=1)",
    "fgsm(gradient=transfer)",
    "pgd(steps=40, restarts=1, gradient=transfer)",
  ]
  assert all(evaluation.is_attack(cell.name) for cell in cells)


@pytest.mark.parametrize(
  ("gradients", "words"),
  [
    (
      ("transfer",),
      r"attack_gradients=\('transfer',\): must be \('worst',\) f",
    ),
    (("all",), r"attack_gradients=\('all',\): must be some of worst, deriv"),
    (("worst", "worst"), "must be some of .*, each once"),
    ((), r"attack_gradients=\(\): must be some of"),
  ],
)
def test_gradients_of_no_smoother_are_refused(tiny_config, gradients, words):
  tiny_config.eval.attack_gradients = gradients
  with pytest.raises(jaxrobust.ConfigError, match=words):
    jaxrobust.training.validate(tiny_config)


def square(eps=EPS, queries=150, examples=COUNT):
  (cell,) = evaluation.square_cells([eps], queries=queries, examples=examples)
  return cell


def test_a_cell_of_queries_is_the_square_attack_on_the_same_key():
  images = IMAGES / np.float32(255)
  keys = data.example_keys(
    jax.random.key(0), data.Tag.TEST_ATTACK, np.arange(COUNT)
  )

  def logits_fn(x):
    return Linear().apply(VARIABLES, x).logits

  @jax.jit
  def alone(keys, images):
    return attacks.square(keys, logits_fn, images, LABELS, eps=EPS, queries=150)

  wrong = np.asarray(logits_fn(alone(keys, images)).argmax(axis=1)) != LABELS
  hits = attack(square())["hits"]
  np.testing.assert_array_equal(hits, ~wrong)
  exact = exactly_right(EPS)
  assert (exact <= hits).all()
  assert hits.mean() == pytest.approx(exact.mean(), abs=0.03)


@pytest.mark.parametrize(
  ("launcher", "devices"), [("pmap", 2), ("shard_map", 2)]
)
def test_devices_and_batches_do_not_change_what_queries_find(launcher, devices):
  cell = square(queries=120, examples=70)
  one, other = attack(cell), attack(cell, launcher, devices, batch_size=18)
  assert len(one["hits"]) == 70
  np.testing.assert_array_equal(one["hits"], other["hits"])
  for name in ("nll", "confidence"):
    np.testing.assert_allclose(one[name], other[name], rtol=1e-4)


def test_queries_need_no_gradient_of_the_smoother():
  forward = smoothing.BehindSmoother(forwards.deterministic(), stairs)
  cell = square(2 * EPS)
  hidden, plain = attack(cell, forward=forward), attack(cell)
  assert plain["hits"].mean() < 0.75
  assert hidden["hits"].mean() == pytest.approx(plain["hits"].mean(), abs=0.1)


def test_queries_stop_when_all_have_fallen(monkeypatch):
  """At a radius of one half the whole cube is allowed."""
  asked = []
  make = evaluation.make_square_steps

  def counted(*args):
    steps = make(*args)

    def step(*args):
      jax.debug.callback(lambda: asked.append(1))
      return steps.step(*args)

    return evaluation.SquareSteps(steps.start, step)

  monkeypatch.setattr(evaluation, "make_square_steps", counted)
  hits = attack(square(0.9, queries=100_000, examples=40))["hits"]
  jax.effects_barrier()
  assert not hits.any()
  assert 0 < len(asked) < 2000


def test_the_rows_of_queries_are_of_their_own_examples(tiny_config, tmp_path):
  tiny_config.train.epochs = 1
  tiny_config.eval.gaussian_stds = tiny_config.eval.alphas = ()
  tiny_config.eval.attack_eps = (0.1,)
  tiny_config.eval.attack_steps, tiny_config.eval.attack_queries = 1, 5
  tiny_config.eval.attack_query_examples = 20
  jaxrobust.train(tiny_config, tmp_path)
  rows = evaluation.read_rows(tmp_path / "results.csv")
  name = "square(queries=5)"
  own = [row for row in rows if row["perturbation"] == name]
  assert {(row["strength"], row["n_examples"]) for row in own} == {(0.1, 20)}
  out = io.StringIO()
  Console(file=out, width=120).print(evaluation.accuracy_table(own, "title"))
  assert "eps 0.1" in out.getvalue()


def test_queries_are_cells_of_their_own(tiny_config):
  tiny_config.eval.attack_eps = (0.1, 0.2)
  before = grid(tiny_config)
  tiny_config.eval.attack_queries = 500
  cells = grid(tiny_config)
  added = [cell for cell in cells if cell not in before]
  assert [(cell.name, cell.strength, cell.first) for cell in added] == [
    ("square(queries=500)", 0.1, 200),
    ("square(queries=500)", 0.2, 200),
  ]
  assert len(cells) == len(before) + 2
  assert all(evaluation.is_attack(cell.name) for cell in added)
  assert not set(adaptable(cells)) & set(added)
  quick = jaxrobust.variant(tiny_config, "quick").eval
  assert (quick.attack_queries, quick.attack_query_examples) == (20, 64)


def test_queries_are_for_images(tiny_config):
  tiny_config.eval.attack_queries = 10
  with pytest.raises(jaxrobust.ConfigError, match="0 without radii in"):
    eval_checks.validate_eval(tiny_config)
  tiny_config.eval.attack_eps = (0.1,)
  tiny_config.data.shape = (64, 3)
  with pytest.raises(jaxrobust.ConfigError, match="attack_queries=10: must be"):
    eval_checks.validate_eval(tiny_config)
  with pytest.raises(jaxrobust.ConfigError, match="0 for series: its squares"):
    eval_checks.validate_eval(tiny_config)
