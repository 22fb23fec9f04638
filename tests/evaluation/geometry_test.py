"""The geometry of activations equals loops over examples, classes, layers."""

import itertools
import math

import flax.linen as nn
import jax
import numpy as np
import pytest

import jaxrobust
from jaxrobust import data, evaluation, models
from jaxrobust.evaluation import geometry
from jaxrobust.methods import forwards, smoothing
from jaxrobust.training import parallel
from jaxrobust.training.evaluate import judge_run
from jaxrobust.training.geometry import GeometryJudge

COUNT, CLASSES, SHAPE = 50, 5, (3, 3, 1)
RNG = np.random.default_rng(0)
# The last class has no example; the others have unequal numbers.
LABELS = RNG.choice(CLASSES - 1, COUNT, p=[0.4, 0.3, 0.2, 0.1])
IMAGES = np.clip(
  RNG.normal(LABELS[:, None, None, None] / 5 + 0.2, 0.1, (COUNT, *SHAPE)), 0, 1
).astype(np.float32)
DATASET = data.Dataset("random", "test", IMAGES, LABELS, "abcde")
LAYERS = ["Dense_0", "features", "head"]


class Net(nn.Module):
  """A network of one's own: its features are a layer with an activation."""

  offset: float = 0.0

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    hidden = nn.Dense(6)(inputs.reshape((len(inputs), -1))) + self.offset
    features = jax.nn.relu(hidden)
    return models.Outputs(nn.Dense(CLASSES, name="head")(features), features)


VARIABLES = Net().init(jax.random.key(0), IMAGES)
VARIABLES = jax.tree.map(lambda x: np.asarray(x) + np.float32(0.1), VARIABLES)


def measure(
  std=0.0,
  launcher="pmap",
  devices=1,
  examples=0,
  offset=0.0,
  batch_size=16,
  smooth=None,
):
  launch = parallel.Launcher(launcher, jax.local_devices()[:devices])
  model = Net(offset)
  forward = forwards.deterministic()
  if smooth is not None:
    forward = smoothing.BehindSmoother(forward, smooth)
  judge = GeometryJudge(model, forward, True, CLASSES, launch, batch_size)
  key = launch.replicate(jax.random.key(3))
  tag = launch.replicate(np.int32(data.Tag.TEST))
  cell = evaluation.geometry_cells([std or 1.0], examples)[bool(std)]
  return judge(launch.replicate(VARIABLES), cell, DATASET, key, tag)


def activations_by_hand(std=0.0, offset=0.0):
  """The layers in numpy, float64, of the clean or the noisy images."""
  images = IMAGES
  if std:
    keys = data.example_keys(
      jax.random.key(3), data.Tag.TEST, np.arange(COUNT, dtype=np.int32)
    )
    noise = evaluation.grid([std], [], [])[1].noise
    images = jax.vmap(
      lambda key, image: evaluation.perturb(key, noise, image, is_image=True)
    )(keys, IMAGES)
  params = jax.tree.map(lambda x: x.astype(np.float64), VARIABLES["params"])
  flat = np.asarray(images, np.float64).reshape((COUNT, -1))
  dense, head = params["Dense_0"], params["head"]
  first = flat @ dense["kernel"] + dense["bias"]
  features = np.maximum(first + offset, 0)
  logits = features @ head["kernel"] + head["bias"]
  return {"Dense_0": first, "features": features, "head": logits}


def ratio_by_loop(values, labels):
  """The ratio of the traces, a class and an example at a time."""
  centre = values.mean(axis=0)
  between = within = 0.0
  for c in sorted(set(labels)):
    own = [x for x, y in zip(values, labels, strict=True) if y == c]
    mean = sum(own) / len(own)
    between += len(own) * float((mean - centre) @ (mean - centre))
    within += sum(float((x - mean) @ (x - mean)) for x in own)
  return between / within


def margin_by_loop(point, label):
  head = VARIABLES["params"]["head"]
  kernel = head["kernel"].astype(np.float64)
  bias = head["bias"].astype(np.float64)
  distances = []
  for other in range(CLASSES):
    if other != label:
      across = kernel[:, label] - kernel[:, other]
      ahead = across @ point + bias[label] - bias[other]
      distances.append(ahead / math.sqrt(across @ across))
  return min(distances)


def summary_by_loop(std=0.0, count=COUNT):
  layers = {k: v[:count] for k, v in activations_by_hand(std).items()}
  clean = activations_by_hand()["features"][:count]
  labels, features = LABELS[:count], layers["features"]
  here = sorted(set(labels))

  def class_means(values):
    return {c: values[labels == c].mean(axis=0) for c in here}

  def radii(values):
    means = class_means(values)
    return [math.dist(x, means[c]) for x, c in zip(values, labels, strict=True)]

  means, radius = class_means(features), radii(features)
  apart = [
    math.dist(means[a], means[b]) for a, b in itertools.combinations(here, 2)
  ]
  of_means = [margin_by_loop(means[c], c) for c in here]
  margins = [
    margin_by_loop(x, c) for x, c in zip(features, labels, strict=True)
  ]
  expected = {
    "intra_radius": np.mean(radius),
    "intra_radius_q95": np.quantile(radius, 0.95),
    "inter_distance": np.mean(apart),
    "inter_distance_min": min(apart),
    "inter_over_intra": np.mean(apart) / np.mean(radius),
    "class_margin": np.mean(of_means),
    "class_margin_min": min(of_means),
    "sample_margin": np.mean(margins),
    "sample_margin_q05": np.quantile(margins, 0.05),
  }
  if std:
    moved = [math.dist(means[c], class_means(clean)[c]) for c in here]
    expected["alignment"] = np.mean(moved) / np.mean(radii(clean))
  for name, values in layers.items():
    expected[f"separability[{name}]"] = ratio_by_loop(values, labels)
  return expected


def summarise(found, clean=None):
  head = evaluation.linear_head(VARIABLES)
  return evaluation.summarise_geometry(found, head, clean)


def test_the_numbers_are_those_of_loops_clean_and_noisy():
  clean = measure()
  assert summarise(clean) == pytest.approx(summary_by_loop(), rel=1e-4)
  got = summarise(measure(0.2), clean)
  assert got == pytest.approx(summary_by_loop(0.2), rel=1e-4)
  assert clean.counts.tolist() == np.bincount(LABELS, minlength=5).tolist()


@pytest.mark.parametrize(
  ("launcher", "devices"), [("pmap", 2), ("shard_map", 4)]
)
def test_devices_and_launchers_change_nothing(launcher, devices):
  one, other = measure(0.2), measure(0.2, launcher, devices)
  assert summarise(other) == pytest.approx(summarise(one), rel=1e-5)


def test_the_first_examples_alone_are_measured():
  found = measure(examples=23)
  assert len(found.margins) == 23
  assert summarise(found) == pytest.approx(summary_by_loop(count=23), rel=1e-4)


def test_what_a_smoother_leaves_is_what_is_measured():
  """One that makes all images the same leaves features without spread."""
  found = measure(smooth=lambda images: 0 * images + 0.5)
  assert max(np.max(x) for x in jax.tree.leaves(found.squares)) < 1e-8
  assert max(np.max(x) for x in jax.tree.leaves(measure().squares)) > 1e-3


def test_a_large_common_offset_cancels_nowhere():
  # Squares of 1e4 hold no digits of a spread below 1 in float32.
  found = measure(offset=1e4)
  features = activations_by_hand(offset=1e4)["features"]
  got = summarise(found)["separability[features]"]
  assert got == pytest.approx(ratio_by_loop(features, LABELS), rel=2e-3)


def test_separability_is_one_for_halves_of_the_variance():
  # Means at -1 and 1, examples at distance 1 from them.
  means, counts = np.asarray([[-1.0, 0], [1.0, 0]]), np.asarray([2, 2])
  assert evaluation.separability(means, counts, np.ones(4)) == 1
  assert evaluation.separability(means, counts, np.zeros(4)) == math.inf


def test_layers_come_in_the_order_in_which_they_are_called():
  model = models.build("resnet18", num_classes=3, width=4)
  variables = jax.eval_shape(
    model.init, jax.random.key(0), np.zeros((1, 8, 8, 3))
  )
  names = evaluation.layer_names(model, variables, (8, 8, 3))
  blocks = [f"BasicBlock_{block}" for block in range(8)]
  assert names == [
    "normalize", "Conv_0", "BatchNorm_0", *blocks, "features", "head"
  ]  # fmt: skip
  assert evaluation.layer_names(Net(), VARIABLES, SHAPE) == LAYERS


def test_a_layer_that_returns_several_arrays_is_all_of_them():
  class Split(nn.Module):
    @nn.compact
    def __call__(self, x):
      return x[:, :2], {"rest": x[:, 2:], "size": np.zeros(3)}

  class Two(nn.Module):
    @nn.compact
    def __call__(self, inputs, train=False, mask=None):
      first, rest = Split()(inputs)
      return models.Outputs(first, rest["rest"])

  inputs = RNG.normal(size=(4, 5)).astype(np.float32)
  layers = geometry._layers(Two(), {}, inputs, np.ones(4))
  np.testing.assert_array_equal(layers["Split_0"], inputs)
  np.testing.assert_array_equal(layers["features"], inputs[:, 2:])


@pytest.fixture
def geometric(tiny_config):
  tiny_config.train.epochs = 1
  tiny_config.data.validation_split = ""
  tiny_config.eval.gaussian_stds = tiny_config.eval.alphas = ()
  tiny_config.eval.features_stds = (0.1, 0.3)
  tiny_config.eval.features_examples = 30
  return tiny_config


def test_a_run_writes_the_rows_of_every_view_and_resumes(
  geometric, tmp_path, monkeypatch
):
  rows = jaxrobust.train(geometric, tmp_path).rows
  found = {}
  for row in rows:
    if row["perturbation"] == "features":
      assert row["n_examples"] == 30
      found.setdefault(row["strength"], []).append(row["metric"])
  assert list(found) == [0.0, 0.1, 0.3]
  layers = [
    f"separability[{layer}]"
    for layer in ("normalize", "Dense_0", "features", "head")
  ]
  assert found[0.0][-4:] == layers
  assert "alignment" not in found[0.0]
  assert set(found[0.1]) == set(found[0.3]) == {*found[0.0], "alignment"}
  measured = []
  call = GeometryJudge.__call__

  def counted(self, variables, cell, *rest):
    measured.append(cell.strength)
    return call(self, variables, cell, *rest)

  monkeypatch.setattr(GeometryJudge, "__call__", counted)
  path = tmp_path / "results.csv"
  whole = path.read_bytes()
  path.write_bytes(whole[:-100])
  dataset = data.load(geometric.data, geometric.data.test_split)
  again = judge_run(geometric, tmp_path, dataset, jax.local_devices()[:2])
  assert again == rows
  assert path.read_bytes() == whole
  # The strongest noise alone was cut off, and is compared with no noise.
  assert sorted(measured) == [0.0, 0.3]


def test_the_network_without_a_head_of_that_name_has_no_margins(
  tmp_path, geometric
):
  # A model of one's own, whose last layer has another name.
  geometric.model.name, geometric.model.hidden = f"{__name__}:Headless", None
  rows = jaxrobust.train(geometric, tmp_path).rows
  metrics = {row["metric"] for row in rows}
  assert "separability[Dense_0]" in metrics
  assert not any("margin" in metric for metric in metrics)


class Headless(nn.Module):
  """Its last layer is not named `head`."""

  num_classes: int
  axis_name: str | None = None

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    features = inputs.reshape((len(inputs), -1))
    return models.Outputs(nn.Dense(self.num_classes)(features), features)


@pytest.mark.parametrize(
  ("fields", "words"),
  [
    ({"eval.features_stds": (0.0,)}, "features_stds=.*positive"),
    ({"eval.features_stds": ("a",)}, "features_stds=.*numbers"),
    ({"eval.features_examples": -1}, "features_examples=-1: .* at least 0"),
    (
      {
        "eval.features_stds": (0.1,),
        "data.targets": 1,
        "data.num_classes": 0,
        "method.objective.name": "mse",
      },
      "features_stds=.*the rows are of classes",
    ),
  ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(fields, words):
  config = jaxrobust.default_config()
  config.update_from_flattened_dict(fields)
  with pytest.raises(jaxrobust.ConfigError, match=words) as caught:
    jaxrobust.validate(config)
  assert "\n" not in str(caught.value)


def test_the_quick_variant_measures_one_noise():
  config = jaxrobust.default_config()
  config.eval.features_stds = (0.1, 0.2)
  quick = jaxrobust.variant(config, "quick")
  assert quick.eval.features_stds == (0.1,)
