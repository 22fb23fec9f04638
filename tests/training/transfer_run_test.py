"""What PGD finds on other runs is shown to the judged one."""

import flax.linen as nn
import jax
import numpy as np
import pytest

import jaxrobust
from jaxrobust import data, evaluation, models
from jaxrobust.methods import forwards
from jaxrobust.training import attacking, parallel, runs

COUNT, SIDE, EPS = 200, 4, 0.05
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (COUNT, SIDE, SIDE, 1)).astype(np.uint8)
WEIGHTS, OTHERS = RNG.normal(size=(2, SIDE * SIDE, 2)).astype(np.float32)
OTHERS = WEIGHTS + 0.5 * OTHERS
LABELS = (IMAGES.reshape((COUNT, -1)) @ WEIGHTS).argmax(axis=1)
DATASET = data.Dataset("random", "test", IMAGES, LABELS, "ab")


class Linear(nn.Module):
  """Two classes, no bias."""

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    features = inputs.reshape((len(inputs), -1))
    return models.Outputs(nn.Dense(2, use_bias=False)(features), features)


def variables_of(weights):
  return {"params": {"Dense_0": {"kernel": weights}}}


def right_at_the_corner_of(weights):
  """Who is right where a linear network has its worst case in the ball."""
  images = IMAGES.reshape((COUNT, -1)) / 255.0
  uphill = weights.T[1 - LABELS] - weights.T[LABELS]
  corner = np.clip(images + EPS * np.sign(uphill), 0, 1)
  own = WEIGHTS.T[1 - LABELS] - WEIGHTS.T[LABELS]
  return (own * corner).sum(axis=1) < 0


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("surrogate", [WEIGHTS, OTHERS])
def test_a_linear_surrogate_gives_the_corner_of_its_own_ball(
  surrogate, devices, monkeypatch
):
  launcher = parallel.Launcher("pmap", jax.local_devices()[:devices])
  forward = forwards.deterministic()
  monkeypatch.setattr(
    attacking,
    "network_of_run",
    lambda folder: runs.Network(Linear(), forward, variables_of(surrogate)),
  )
  judge = attacking.AttackJudge(Linear(), forward, True, launcher, 64)
  [cell] = evaluation.transfer_cells([EPS], ["other"], examples=COUNT)
  key = launcher.replicate(jax.random.key(0))
  variables = launcher.replicate(variables_of(WEIGHTS))
  hits = judge(variables, cell, DATASET, key)["hits"]
  wanted = right_at_the_corner_of(surrogate)
  assert 0.1 < wanted.mean() < 0.95
  # Rounding may tip who is at the boundary.
  assert np.mean(hits != wanted) <= 0.01


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  config = jaxrobust.default_config()
  config.data.source = config.data.name = "digits"
  config.data.shape = (8, 8, 1)
  config.data.train_split, config.data.validation_split = "train[:500]", ""
  config.data.test_split = "test[:50]"
  config.model.name, config.model.hidden = "mlp", (16,)
  config.train.epochs, config.train.batch_size = 2, 50
  config.eval.alphas = config.eval.gaussian_stds = ()
  config.eval.attack_steps = 5
  folder = tmp_path_factory.mktemp("runs")
  for seed, name in enumerate(("own", "other")):
    config.seed = seed
    jaxrobust.train(config, folder / name)
  return folder


def test_a_finished_run_gets_the_rows(folders):
  rows = jaxrobust.evaluate(
    folders / "own",
    attack_eps=(0.15,),
    attacks=("pgd",),
    surrogates=(str(folders / "other"), str(folders / "own")),
  )
  accuracy = {
    row["perturbation"]: row["value"]
    for row in rows
    if row["metric"] == "accuracy"
  }
  settings = "steps=5, restarts=1"
  by_other = accuracy[f"transfer({folders / 'other'}, {settings})"]
  by_itself = accuracy[f"transfer({folders / 'own'}, {settings})"]
  # The iterates of PGD are more than where it ends.
  assert accuracy[f"pgd({settings})"] <= by_itself <= by_other
  assert by_itself < by_other <= accuracy["clean"]


def test_what_is_not_such_a_run_is_named(folders, tmp_path):
  def refused(words, **options):
    with pytest.raises(jaxrobust.ConfigError, match=words) as error:
      jaxrobust.evaluate(folders / "own", **options)
    assert "eval.surrogates" in str(error.value)
    assert "\n" not in str(error.value)

  other = str(folders / "other")
  refused("without radii", surrogates=(other,))
  radii = {"attack_eps": (0.1,)}
  refused("not found", surrogates=(str(tmp_path),), **radii)
  refused("each once", surrogates=(other, other), **radii)
  config = runs.config_of_run(folders / "other")
  config.data.shape = (9, 9, 1)
  (tmp_path / "config.json").write_text(config.to_json())
  refused(r"shape=\(8, 8, 1\)", surrogates=(str(tmp_path),), **radii)
