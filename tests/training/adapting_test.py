"""A run's rows of the network that adapts to test inputs without labels."""

import argparse
import io
import sys
import types

import flax.linen as nn
import jax
import numpy as np
import pytest
from rich.console import Console

import jaxrobust
from jaxrobust import data, evaluation, methods, models
from jaxrobust.commands import evaluate as evaluate_command
from jaxrobust.training import config as config_lib
from jaxrobust.training import parallel
from jaxrobust.training.cells import adaptable, grid
from jaxrobust.training.judge import Judge
from jaxrobust.training.judging import describe, judge_state

# Of 50 examples, batches of 16 and of 20 leave an unequal last one.
EXAMPLES, CELLS = 50, ("clean", "gaussian", "uniform")
METHODS = ("standard", "standard + adabn", "standard + tent")


class Normed(nn.Module):
  """A dense layer that is normalised, and the last one."""

  num_classes: int
  axis_name: str | None = None

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    x = nn.Dense(16)(inputs.reshape(len(inputs), -1))
    x = models.BatchNorm(
      use_running_average=not train, axis_name=self.axis_name
    )(x, mask=mask)
    x = nn.relu(x)
    return models.Outputs(nn.Dense(self.num_classes, name="head")(x), x)


class Unscaled(nn.Module):
  num_classes: int

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    norm = nn.BatchNorm(not train, use_scale=False, use_bias=False)
    x = norm(inputs.reshape(len(inputs), -1))
    return models.Outputs(nn.Dense(self.num_classes, name="head")(x), x)


@pytest.fixture(autouse=True)
def own(monkeypatch):
  module = types.ModuleType("own_normed")
  module.Normed, module.Unscaled = Normed, Unscaled
  monkeypatch.setitem(sys.modules, "own_normed", module)


def make_config():
  config = jaxrobust.default_config()
  config.data.source = config.data.name = "digits"
  config.data.shape = (8, 8, 1)
  config.data.train_split = "train[:60]"
  config.data.test_split = f"test[:{EXAMPLES}]"
  config.model.name = "own_normed:Normed"
  config.eval.batch_size, config.eval.tent_batch_size = 16, 20
  config.eval.gaussian_stds, config.eval.alphas = (0.3,), ()
  config.eval.uniform_eps = (0.2,)
  config.eval.tent_learning_rate = 0.05
  config.eval.adapt = evaluation.ADAPTATIONS
  return config


class Run:
  """A network that is as it was drawn, and its judge on some devices."""

  def __init__(self, config, launcher="pmap", devices=1):
    self.config = config
    self.model = models.build(
      "own_normed:Normed", num_classes=10, axis_name=parallel.AXIS
    )
    self.dataset = data.load(config.data, config.data.test_split)
    self.judge = Judge(
      config,
      self.model,
      methods.build(config.method, (8, 8, 1)),
      self.dataset,
      parallel.Launcher(launcher, jax.local_devices()[:devices]),
      data.Tag.TEST,
    )
    rng = np.random.default_rng(0)

    def draw(path, leaf):
      low = 0.5 if path[-1].key in ("scale", "var") else -0.5
      return rng.uniform(low, 1.0, leaf.shape).astype(np.float32)

    zeros = np.zeros((1, 8, 8, 1), np.float32)
    shapes = jax.eval_shape(self.model.init, jax.random.key(0), zeros)
    self.variables = jax.tree_util.tree_map_with_path(draw, shapes)

  def adapted(self, name, cell, judge=None):
    judge = judge or self.judge
    return judge.adapted(judge.place(self.variables), name, cell)

  def rows(self, path):
    """Of the network's variables, as `judge_run` writes them."""
    subject = describe(self.config, "run", 3, self.dataset)
    results = evaluation.Results(path)
    cells = list(
      judge_state(self.config, subject, self.judge, self.variables, results)
    )
    return cells, evaluation.read_rows(path)


@pytest.fixture(scope="module")
def run():
  module = types.ModuleType("own_normed")
  module.Normed = Normed
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(sys.modules, "own_normed", module)
    yield Run(make_config())


def cells_of(config):
  return adaptable(grid(config))


def test_every_cell_has_rows_of_each_adaptation(run, tmp_path):
  cells, rows = run.rows(tmp_path / "results.csv")
  assert len(cells) == len(METHODS) * len(CELLS)
  found = dict.fromkeys((row["method"], row["perturbation"]) for row in rows)
  assert list(found) == [(m, cell) for m in METHODS for cell in CELLS]
  assert {row["trained_on"] for row in rows} == {"clean"}
  assert {row["n_examples"] for row in rows} == {EXAMPLES}
  assert len({r["value"] for r in rows if r["metric"] == "nll"}) == 9
  # The network itself is judged as without them.
  plain = run.config.copy_and_resolve_references()
  plain.eval.adapt = ()
  without = Run(plain).rows(tmp_path / "plain.csv")[1]
  assert without == [row for row in rows if row["method"] == METHODS[0]]


def test_an_interrupted_adaptation_resumes(run, tmp_path, monkeypatch):
  path = tmp_path / "results.csv"
  run.rows(path)
  whole = path.read_bytes()
  path.write_bytes(whole[:-100])  # Within the rows of the last cell.
  judged = []
  adapted = Judge.adapted

  def counted(self, variables, name, cell):
    judged.append((name, cell.name))
    return adapted(self, variables, name, cell)

  monkeypatch.setattr(Judge, "adapted", counted)
  run.rows(path)
  assert path.read_bytes() == whole
  assert judged == [("tent", "uniform")]
  assert run.rows(path)[1]
  assert len(judged) == 1


def test_labels_change_no_prediction(run):
  own = run.dataset
  labels = np.roll(own.labels, 7)
  other = data.Dataset(own.name, own.split, own.inputs, labels, own.class_names)
  judge = run.judge.on(other, run.config.seed)
  for name in evaluation.ADAPTATIONS:
    for cell in cells_of(run.config):
      found = run.adapted(name, cell)
      permuted = run.adapted(name, cell, judge)
      np.testing.assert_array_equal(found["confidence"], permuted["confidence"])
      assert (found["hits"] != permuted["hits"]).any()


@pytest.mark.parametrize(
  ("launcher", "devices"), [("pmap", 4), ("shard_map", 2)]
)
def test_devices_and_launchers_change_nothing(run, launcher, devices):
  other = Run(run.config, launcher, devices)
  for name in evaluation.ADAPTATIONS:
    cell = cells_of(run.config)[-1]
    one, several = run.adapted(name, cell), other.adapted(name, cell)
    np.testing.assert_allclose(one["nll"], several["nll"], rtol=1e-3, atol=1e-4)


def test_adabn_is_the_network_with_the_inputs_own_statistics(run):
  clean = cells_of(run.config)[0]
  found = run.adapted("adabn", clean)
  images = np.asarray(run.dataset.examples(np.arange(EXAMPLES))[0])
  x = np.float64(data.as_float(images)).reshape(EXAMPLES, -1)
  params = run.variables["params"]
  x = x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]
  x = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
  norm = params["BatchNorm_0"]
  x = np.maximum(x * norm["scale"] + norm["bias"], 0)
  logits = x @ params["head"]["kernel"] + params["head"]["bias"]
  probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  np.testing.assert_allclose(found["confidence"], probs.max(1), rtol=1e-4)
  labels = run.dataset.labels
  np.testing.assert_array_equal(found["hits"], logits.argmax(1) == labels)


def test_tent_predicts_a_batch_before_it_learns_from_it(run):
  # With a rate of next to nothing, no batch learns from those before it.
  frozen = run.config.copy_and_resolve_references()
  frozen.eval.tent_learning_rate = 1e-9
  still = Run(frozen)
  for cell in cells_of(run.config):
    learning, standing = run.adapted("tent", cell), still.adapted("tent", cell)
    difference = np.abs(learning["confidence"] - standing["confidence"])
    assert difference[:20].max() < 1e-6
    assert difference[20:].max() > 1e-3


def test_what_is_attacked_pruned_or_measured_is_not_adapted_to():
  config = make_config()
  config.eval.attack_eps, config.eval.sparsity = (0.1,), True
  config.eval.curvature_examples, config.eval.features_stds = 2, (0.1,)
  assert len(grid(config)) > len(CELLS) + 8
  assert tuple(cell.name for cell in cells_of(config)) == CELLS


def test_the_table_for_the_terminal_tells_methods_apart(run, tmp_path):
  _, rows = run.rows(tmp_path / "results.csv")
  screen = Console(file=io.StringIO(), width=160)
  screen.print(evaluation.accuracy_table(rows, "run"))
  text = screen.file.getvalue()
  for method in METHODS[1:]:
    assert text.count(method) == len(CELLS)
  own = [row for row in rows if row["method"] == METHODS[0]]
  screen = Console(file=io.StringIO(), width=160)
  screen.print(evaluation.accuracy_table(own, "run"))
  assert "method" not in screen.file.getvalue()


def test_a_network_that_can_adapt_is_valid():
  config = make_config()
  jaxrobust.validate(config)
  quick = jaxrobust.variant(config, "quick")
  assert quick.eval.adapt == evaluation.ADAPTATIONS


def wrong(**fields):
  config = make_config()
  config.update_from_flattened_dict(fields)
  return config


@pytest.mark.parametrize(
  ("fields", "words"),
  [
    ({"eval.adapt": ("bn",)}, "must be some of adabn, tent"),
    ({"eval.adapt": ("tent", "tent")}, "must be some of adabn, tent"),
    ({"model.name": "lenet5"}, "'lenet5', a network without batch statist"),
    ({"model.name": "mlp"}, "'mlp', a network without batch statistics"),
    (
      {"model.name": "resnet18", "model.norm": "group"},
      "'resnet18', a network without batch statistics",
    ),
    ({"model.name": "own_normed:Unscaled"}, "without 'tent' with .*no scale"),
    ({"model.dropout": 0.1}, r"\(\) with config.model.dropout=0.1"),
    (
      {"method.forward.name": "sampled"},
      r"\(\) with config.method.forward.name='sampled'",
    ),
  ],
)
def test_what_cannot_adapt_is_refused_in_one_line(fields, words):
  with pytest.raises(jaxrobust.ConfigError, match=words) as caught:
    jaxrobust.validate(wrong(**fields))
  assert str(caught.value).startswith("config.eval.adapt=")
  assert "\n" not in str(caught.value)


def test_a_regression_does_not_adapt():
  config = make_config()
  config.data.num_classes, config.data.targets = 0, 1
  config.method.name, config.method.objective.name = "mine", "mse"
  with pytest.raises(jaxrobust.ConfigError, match=r"data\.targets=1: entropy"):
    jaxrobust.validate(config)


def test_a_finished_run_is_adapted_by_the_command(tmp_path):
  parser = argparse.ArgumentParser()
  evaluate_command.add_arguments(parser)
  args = parser.parse_args(["--workdir=x", "--adapt=adabn,tent"])
  assert args.adapt == evaluation.ADAPTATIONS
  config_lib.save(jaxrobust.default_config(), tmp_path / "config.json")
  # It has a network without batch statistics.
  with pytest.raises(jaxrobust.ConfigError, match=r"eval\.adapt=\('adabn',\)"):
    jaxrobust.evaluate(tmp_path, adapt=("adabn",))
