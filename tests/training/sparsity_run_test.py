"""A run writes the rows of its weights when it is asked to, and then only."""

import flax.linen as nn
import pytest

import jaxrobust
from jaxrobust import evaluation, models
from jaxrobust.training import checkpoints

NEW = {"weights", "pruned"}


class NoKernel(nn.Module):
  """A model of one's own whose weights have another name."""

  num_classes: int
  axis_name: str | None = None

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    features = inputs.reshape((len(inputs), -1))
    shape = (features.shape[1], self.num_classes)
    w = self.param("w", nn.initializers.lecun_normal(), shape)
    return models.Outputs(features @ w, features)


@pytest.fixture
def small_config(tiny_config):
  tiny_config.train.epochs = 1
  tiny_config.eval.gaussian_stds = tiny_config.eval.alphas = ()
  tiny_config.eval.pruned_shares = (0.5, 0.99)
  return tiny_config


def test_sparsity_can_be_added_to_a_finished_run(small_config, tmp_path):
  before = jaxrobust.train(small_config, tmp_path)
  assert not NEW & {row["perturbation"] for row in before.rows}
  after = jaxrobust.evaluate(tmp_path, sparsity=True)
  assert after[: len(before.rows)] == before.rows
  added = after[len(before.rows) :]
  assert {row["perturbation"] for row in added} == NEW
  assert jaxrobust.evaluate(tmp_path) == after
  whole = evaluation.read_rows(tmp_path / "results.csv")
  assert whole == after


@pytest.mark.parametrize("launcher", ["pmap", "shard_map"])
def test_the_pruned_network_is_what_is_judged(
  small_config, tmp_path, monkeypatch, launcher
):
  small_config.eval.sparsity = True
  small_config.train.launcher = launcher
  small_config.train.ema_decay = 0.5
  outcome = jaxrobust.train(small_config, tmp_path)
  values = {
    (row["perturbation"], row["strength"], row["metric"]): row["value"]
    for row in outcome.rows
  }
  restore = checkpoints.Checkpoints.restore

  def pruned(self, like, select="last"):
    restored = restore(self, like, select)
    ema = dict(restored.state.ema)
    ema["params"] = evaluation.prune(ema["params"], 0.5)
    object.__setattr__(restored, "state", restored.state.replace(ema=ema))
    return restored

  # A checkpoint that was pruned by hand, judged clean, has the same metrics.
  (tmp_path / "results.csv").unlink()
  monkeypatch.setattr(checkpoints.Checkpoints, "restore", pruned)
  by_hand = {
    (row["perturbation"], row["strength"], row["metric"]): row["value"]
    for row in jaxrobust.evaluate(tmp_path, sparsity=True)
  }
  for metric in ("accuracy", "nll", "ece"):
    assert values["pruned", 0.5, metric] == pytest.approx(
      by_hand["clean", 0.0, metric], rel=1e-5
    )
  assert values["clean", 0.0, "nll"] != by_hand["clean", 0.0, "nll"]
  assert values["weights", 0.0, "exact_zeros"] == 0
  assert by_hand["weights", 0.0, "exact_zeros"] == pytest.approx(0.5, abs=1e-3)


def test_a_model_without_kernels_is_refused_before_training():
  config = jaxrobust.default_config()
  config.model.name = f"{__name__}:NoKernel"
  jaxrobust.validate(config)
  config.eval.sparsity = True
  with pytest.raises(
    jaxrobust.ConfigError, match=r"config.eval.sparsity=True: .* 'kernel'"
  ):
    jaxrobust.validate(config)


def test_the_quick_variant_prunes_at_two_shares():
  quick = jaxrobust.variant(jaxrobust.default_config(), "quick")
  assert quick.eval.pruned_shares == (0.2, 0.4)
