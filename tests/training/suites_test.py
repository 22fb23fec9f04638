"""A suite says what a finished model is judged under, and nothing else."""

import pytest

import jaxrobust
from jaxrobust import evaluation, training
from jaxrobust.training import suites
from jaxrobust.training.cells import grid
from jaxrobust.training.config import flat


def config_of(shape=(32, 32, 3), **fields):
  config = jaxrobust.default_config()
  config.data.shape = shape
  for field, value in fields.items():
    config.eval[field] = value
  return config


def suited(name, **options):
  config = config_of(**options)
  suites.apply_suite(config, name)
  jaxrobust.validate(config)
  return config


def kinds(config):
  return {cell.name.partition("(")[0] for cell in grid(config)}


@pytest.mark.parametrize("name", ["quick", "standard", "full"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (96, 96, 3)])
def test_a_suite_fits_images_of_any_size_and_changes_eval_alone(name, shape):
  before = flat(config_of(shape).to_dict())
  after = flat(suited(name, shape=shape).to_dict())
  changed = {field for field in before if before[field] != after[field]}
  assert changed
  assert all(field.startswith("eval.") for field in changed)


def test_quick_is_two_hundred_images_clean_gaussian_and_pgd():
  config = suited("quick")
  assert kinds(config) == {"clean", "gaussian", "pgd"}
  assert all(cell.first == 200 for cell in grid(config))
  assert "pgd(steps=20, restarts=1)" in {cell.name for cell in grid(config)}


def test_standard_has_every_corruption_at_three_severities():
  cells = grid(suited("standard"))
  common = [c for c in cells if isinstance(c, evaluation.CommonCorruption)]
  assert len(common) == 19 * 3
  assert {c.severity for c in common} == {1, 3, 5}
  assert {c.first for c in common} == {2000}
  assert {c.table for c in common} == {"cifar"}
  ensembles = [c for c in cells if isinstance(c, evaluation.Ensemble)]
  assert [c.strength for c in ensembles] == [2 / 255, 8 / 255]
  assert {c.first for c in ensembles} == {1000}
  assert {c.name for c in ensembles} == {"standard(linf)"}
  noises = [c for c in cells if c.name.startswith(("alpha_", "gaussian"))]
  noises = [c for c in noises if c not in common]
  assert noises
  assert all(c.first is None for c in noises)
  large = grid(suited("standard", shape=(96, 96, 3)))
  tables = {
    c.table for c in large if isinstance(c, evaluation.CommonCorruption)
  }
  assert tables == {"imagenet"}


def test_mnist_has_its_own_corruptions_and_greyscale_no_saturation():
  names = {
    c.corruption
    for c in grid(suited("standard", shape=(28, 28, 1)))
    if isinstance(c, evaluation.CommonCorruption)
  }
  assert len(names) == 15
  assert "zigzag" in names
  assert "saturate(cifar-c" not in kinds(suited("standard", shape=(32, 32, 1)))


def test_full_judges_every_example():
  config = suited("full")
  common = [
    c for c in grid(config) if isinstance(c, evaluation.CommonCorruption)
  ]
  assert len(common) == 19 * 5
  attacked = [c for c in grid(config) if evaluation.is_attack(c.name)]
  assert all(c.first is None for c in [*common, *attacked])
  assert {"certified", "curvature", "calibration", "pruned"} <= kinds(config)


def test_a_run_without_noise_grids_gets_the_usual_ones():
  without = suited("standard", gaussian_stds=(), alphas=(), flip_rates=())
  assert {"gaussian", "alpha_stable"} <= kinds(without)
  own = suited("standard", gaussian_stds=(0.7,))
  stds = [c.strength for c in grid(own) if c.name == "gaussian"]
  assert stds == [0.7]


def test_radii_of_the_run_are_kept():
  config = suited("standard", attack_eps=(0.05,))
  ensembles = [c for c in grid(config) if isinstance(c, evaluation.Ensemble)]
  assert [c.strength for c in ensembles] == [0.05]


def test_noise_inside_a_network_is_attacked_adaptively():
  config = config_of()
  config.method = jaxrobust.methods.preset("stochastic")
  config.method.forward.sigma = 0.6
  suites.apply_suite(config, "standard")
  jaxrobust.validate(config)
  (cell, _) = [c for c in grid(config) if isinstance(c, evaluation.Ensemble)]
  assert cell.name == "standard(linf, gradient=adaptive)"


@pytest.mark.parametrize(
  ("forward", "gradient"), [("stochastic", "adaptive"), ("standard", "worst")]
)
def test_so_is_noise_behind_a_smoother(forward, gradient):
  config = config_of()
  config.method = jaxrobust.methods.preset("inverse_scale")
  config.method.input.fractions = (0.5,)
  inside = jaxrobust.methods.preset(forward)
  config.method.name = "both"
  config.method.forward = inside.forward
  config.method.objective = inside.objective
  if forward == "stochastic":
    config.method.forward.sigma = 0.6
  suites.apply_suite(config, "standard")
  jaxrobust.validate(config)
  cells = [c for c in grid(config) if isinstance(c, evaluation.Ensemble)]
  assert {cell.gradient for cell in cells} == {gradient}


def test_a_file_may_be_a_suite(tmp_path):
  file = tmp_path / "mine.py"
  file.write_text(
    "def set_suite(config):\n  config.eval.uniform_eps = (0.5,)\n"
  )
  config = suited(str(file))
  assert config.eval.uniform_eps == (0.5,)


@pytest.mark.parametrize(
  ("text", "words"),
  [
    (None, "no such file"),
    ("raise ValueError('mine')", "mine"),
    ("x = 1", "set_suite"),
  ],
)
def test_a_wrong_file_is_named_in_one_line(tmp_path, text, words):
  file = tmp_path / "mine.py"
  if text:
    file.write_text(text)
  with pytest.raises(training.ConfigError, match=words) as error:
    suites.apply_suite(config_of(), str(file))
  assert str(file) in str(error.value)
  assert "\n" not in str(error.value)


def test_a_wrong_name_is_told_the_right_ones():
  with pytest.raises(training.ConfigError, match=r"--suite=all: .*quick.*full"):
    suites.apply_suite(config_of(), "all")


@pytest.mark.parametrize(
  ("field", "value", "words"),
  [
    ("corruptions", ("mist",), "'mist': must be one of common, extra"),
    ("corruption_table", "svhn", "must be one of cifar, imagenet, mnist"),
    ("corruption_severities", (0,), "must be some of 1, 2, 3, 4, 5"),
    ("attacks", ("cw",), "must be some of fgsm, pgd"),
    ("attack_gradients", ("adaptive",), "without 'adaptive' but for a forward"),
    ("certify_stds", (-1.0,), "must be positive"),
    ("certify_alpha", 1.0, r"must be in \(0, 1\)"),
    ("examples", -1, "must be at least 0"),
    ("standard_steps", 0, "must be at least 1"),
  ],
)
def test_a_wrong_field_is_named_in_one_line(field, value, words):
  config = config_of(**{field: value})
  with pytest.raises(training.ConfigError, match=words) as error:
    jaxrobust.validate(config)
  assert f"eval.{field}" in str(error.value)


def test_corruptions_that_cannot_be_are_refused():
  config = config_of(shape=(32, 32, 1), corruptions=("saturate",))
  with pytest.raises(training.ConfigError, match="saturate: images of 1 chan"):
    jaxrobust.validate(config)
  config = config_of(corruptions=("common",), corruption_table="mnist")
  with pytest.raises(training.ConfigError, match=r"must be of \(28, 28, 1\)"):
    jaxrobust.validate(config)
