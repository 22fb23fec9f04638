"""A wrong config is refused in one line that names field, value and remedy."""

import pytest

import jaxrobust
from jaxrobust import methods
from jaxrobust.training import config as lib

WRONG = [
  ("train.epochs", 0, "at least 1"),
  ("train.batch_size", -4, "at least 1"),
  ("train.accumulate", 0, "at least 1"),
  ("train.launcher", "pjit", "one of pmap, shard_map"),
  ("train.ema_decay", 1.0, r"in \[0, 1\)"),
  ("seed", -1, "at least 0"),
  ("optimizer.name", "lion", "one of sgd, adam, adamw"),
  ("optimizer.learning_rate", 0.0, "> 0"),
  ("optimizer.learning_rate", float("nan"), "> 0"),
  ("schedule.name", "step", "one of constant, cosine, multistep"),
  ("schedule.warmup_epochs", 99.0, "less than config.train.epochs=10"),
  ("data.source", "web", "one of"),
  ("data.shape", (28, 28), "mlp|height"),
  ("data.shape", (28,), "height, width, channels"),
  ("data.train_split", "train[90%", "train"),
  ("data.num_classes", 0, "at least 1"),
  ("model.dtype", "float16", "one of float32, bfloat16"),
  ("model.mean", (0.1, 0.2), "one per channel"),
  ("model.std", (0.0,), "positive"),
  ("eval.select", "best", "'last' unless config.data.validation_split"),
  ("eval.alphas", (2.5,), r"in \(0, 2\]"),
  ("eval.flip_rates", (0.0,), r"in \(0, 1\)"),
  ("eval.burst_alphas", (0.0,), r"in \(0, 2\]"),
  ("eval.burst_rates", (1.0,), r"in \(0, 1\)"),
  ("eval.burst_rates", (0.1,), r"\(\) for images"),
  ("eval.burst_share", 0.95, r"at most L/\(L\+1\)"),
  ("eval.burst_length", 0.5, "at least 1"),
  ("eval.gaussian_stds", (-1.0,), "positive"),
  ("eval.uniform_eps", (0.1, 1.5), r"in \(0, 1\]"),
  ("eval.uniform_eps", ("a",), "numbers"),
  ("eval.patches", ("4x0",), r"patches: '4x0': must be 'COUNTxSIDE', as '4x8'"),
  ("eval.patches", ("8",), "must be 'COUNTxSIDE'"),
  ("eval.patches", (4, 8), "must be 'COUNTxSIDE'"),
  ("eval.patches", ("4x29",), "at most 28 pixels a side"),
  ("eval.resolutions", (0.5, 1.0), r"in \(0, 1\)"),
  ("eval.salt_and_pepper", (0.0,), r"in \(0, 1\]"),
  ("eval.combined", ("4x8",), "must be 'STD.COUNTxSIDE', as '0.1.4x8'"),
  ("eval.combined", ("-1+4x8",), "must be 'STD.COUNTxSIDE'"),
  ("eval.combined", ("0.1+1x30",), "at most 28 pixels a side"),
  ("eval.shot", (30.0, 0.0), "positive"),
  ("eval.shot", (float("inf"),), "positive"),
  ("eval.drift_stds", (-0.1,), "positive"),
  ("eval.drift_period", 1, "at least 2"),
  ("eval.tent_optimizer", "lion", "one of adam, sgd"),
  ("eval.tent_learning_rate", 0.0, "> 0"),
  ("eval.tent_batch_size", 1, "at least 2"),
  ("eval.pruned_shares", (0.5, 1.0), r"in \(0, 1\)"),
  ("eval.attack_eps", (0.1, 8.0), r"in \(0, 1\], in units of the input"),
  ("eval.attack_eps", (0.0,), r"in \(0, 1\]"),
  ("eval.attack_norm", "l1", "one of linf, l2"),
  ("eval.attack_steps", 0, "at least 1"),
  ("eval.attack_restarts", 0, "at least 1"),
  ("eval.attack_examples", -1, "at least 0"),
  ("eval.attack_queries", -1, "at least 0"),
  ("eval.attack_query_examples", 0, "at least 1"),
  ("eval.alphas", ("a",), "numbers"),
  ("model.std", ("a",), "numbers"),
]


@pytest.mark.parametrize(("field", "value", "allowed"), WRONG)
def test_a_wrong_value_is_named(field, value, allowed):
  config = jaxrobust.default_config()
  if (field, value) == ("data.shape", (28, 28)):
    config.augment.flip = True  # Two sides are a series, which has no flip.
    allowed = "off for series"
    field_named = "augment.flip"
  else:
    field_named = field
  config.update_from_flattened_dict({field: value})
  with pytest.raises(jaxrobust.ConfigError, match=allowed) as caught:
    jaxrobust.validate(config)
  message = str(caught.value)
  assert field_named in message
  assert "\n" not in message


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("uniform_eps", (0.1,)),
    ("patches", ("1x2",)),
    ("resolutions", (0.5,)),
    ("salt_and_pepper", (0.1,)),
    ("combined", ("0.1+1x2",)),
    ("shot", (30.0,)),
    ("drift_stds", (0.3,)),
  ],
)
def test_corruptions_of_images_are_not_for_series(field, value):
  config = jaxrobust.default_config()
  config.eval[field] = value
  jaxrobust.validate(config)
  config.model.name, config.data.shape = "resnet1d", (96, 1)
  with pytest.raises(jaxrobust.ConfigError, match=r"\(\) for series") as caught:
    jaxrobust.validate(config)
  assert str(caught.value).startswith(f"config.eval.{field}=")


def test_the_default_config_is_valid():
  jaxrobust.validate(jaxrobust.default_config())


def test_a_shape_that_the_model_does_not_take_is_refused():
  config = jaxrobust.default_config()
  config.model.name = "vit_tiny"
  config.model.patch = 5
  with pytest.raises(jaxrobust.ConfigError, match="patch"):
    jaxrobust.validate(config)


def test_adversarial_examples_of_a_regression_are_refused():
  config = jaxrobust.default_config()
  config.data.num_classes, config.data.targets = 0, 1
  config.method.name = "mine"
  config.method.objective.name = "mse"
  config.method.input.name = "mixup"
  jaxrobust.validate(config)
  config.method.input.name = "adversarial"
  config.method.input.eps = 0.1
  with pytest.raises(jaxrobust.ConfigError, match=r"method\.input\.name='adv"):
    jaxrobust.validate(config)


@pytest.mark.parametrize(
  ("train", "validation", "allowed"),
  [
    ("train", "train[90%:]", False),
    ("train[:90%]", "train[80%:]", False),
    ("train[:90%]", "train[90%:]", True),
    ("train[:60]", "train[60:90]", True),
    ("train[:60]", "train[59:90]", False),
  ],
)
def test_validation_on_training_examples_is_refused(train, validation, allowed):
  config = jaxrobust.default_config()
  config.data.train_split = train
  config.data.validation_split = validation
  if allowed:
    jaxrobust.validate(config)
    return
  with pytest.raises(jaxrobust.ConfigError, match=r"validation_split=.*disjoi"):
    jaxrobust.validate(config)


def test_a_part_of_the_training_split_may_be_judged_on():
  config = jaxrobust.default_config()
  config.data.test_split = "train[:1000]"
  jaxrobust.validate(config)


def test_a_presets_name_on_other_parts_is_refused():
  config = jaxrobust.default_config()
  config.method.input.name = "gaussian"
  config.method.input.std = 0.1
  with pytest.raises(jaxrobust.ConfigError, match="a name of their own"):
    jaxrobust.validate(config)
  config.method.name = "mine"
  jaxrobust.validate(config)


def test_an_option_of_another_model_is_refused():
  config = jaxrobust.default_config()
  config.model.width = 128
  with pytest.raises(jaxrobust.ConfigError, match="width"):
    jaxrobust.validate(config)


def test_a_config_comes_back_from_its_file(tmp_path):
  config = jaxrobust.default_config()
  config.method = methods.preset("alpha_stable")
  config.method.input.alphas = (0.5, 1.0)
  config.method.input.scale = 0.1
  config.model.hidden = (32, 16)
  lib.save(config, tmp_path / "config.json")
  assert lib.load(tmp_path / "config.json").to_dict() == config.to_dict()
  assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    ('{"seed": 0, "nonsense": 1}', "nonsense: unknown to this version"),
    ('{"seed"', "not a config"),
  ],
)
def test_a_strange_file_is_named(tmp_path, text, reason):
  path = tmp_path / "config.json"
  path.write_text(text)
  with pytest.raises(jaxrobust.ConfigError, match=reason) as caught:
    lib.load(path)
  assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(jaxrobust.ConfigError, match="not found"):
    lib.load(tmp_path / "config.json")


def test_quick_needs_no_download_and_keeps_shape_and_classes():
  config = jaxrobust.default_config()
  config.data.name = "cifar100"
  config.data.shape = (32, 32, 3)
  config.data.num_classes = 100
  quick = jaxrobust.variant(config, "quick")
  jaxrobust.validate(quick)
  from jaxrobust import data

  train_set = data.load(quick.data, quick.data.train_split)
  assert train_set.name == "digits-as-cifar100"
  assert train_set.shape == (32, 32, 3)
  assert train_set.num_classes == 100


def test_an_unknown_variant_is_refused():
  with pytest.raises(jaxrobust.ConfigError, match="must be 'quick'"):
    jaxrobust.variant(jaxrobust.default_config(), "fast")
