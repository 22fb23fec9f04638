"""A method is built from its config, and its config is on the command line."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrobust import main, methods, models
from jaxrobust.methods import forwards, method

SHAPE = (4, 4, 1)


@pytest.mark.parametrize("name", sorted(methods.PRESETS))
def test_a_preset_names_its_parts_and_sets_no_parameter(name):
  config = methods.preset(name)
  assert config.name == name
  parts = tuple(config[slot].name for slot in method.SLOTS)
  assert parts == methods.PRESETS[name]
  for slot in method.SLOTS:
    fields = config[slot].to_dict()
    fields.pop("name")
    set_ones = {k: v for k, v in fields.items() if v is not None}
    joint = slot == "view" and name == "clean_and_noisy"
    assert set_ones == ({"batch_norm": "joint"} if joint else {})


@pytest.mark.parametrize("slot", sorted(method.SLOTS))
def test_every_parameter_of_every_part_is_a_field(slot):
  config = methods.preset("standard")
  for function in method.SLOTS[slot].values():
    for name, parameter in inspect.signature(function).parameters.items():
      if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        assert name in config[slot]


def test_fields_have_the_types_of_their_parameters():
  config = methods.preset("alpha_stable")
  config.input.alpha = 1  # Whole numbers are numbers.
  config.input.clip = False
  config.input.alphas = (1.0, 2.0)
  for field, value in (("alpha", "1"), ("clip", 0.5), ("resample", 1)):
    with pytest.raises(TypeError):
      config.input[field] = value


def test_an_unknown_preset_is_refused():
  with pytest.raises(ValueError, match="'stochastically': must be one of"):
    methods.preset("stochastically")


@pytest.mark.parametrize("slot", sorted(method.SLOTS))
def test_an_unknown_part_is_refused(slot):
  config = methods.preset("standard")
  config[slot].name = "nosuch"
  field = f"config.method.{slot}.name='nosuch': must be one of"
  with pytest.raises(ValueError, match=field):
    methods.build(config, SHAPE)


def test_a_parameter_of_another_part_is_refused():
  config = methods.preset("gaussian")
  config.input.std = 0.1
  config.input.alpha = 1.0
  words = r"config.method.input.alpha=1.0: not a parameter of 'gaussian' .*std"
  with pytest.raises(ValueError, match=words):
    methods.build(config, SHAPE)


def test_a_parameter_of_no_part_is_refused():
  config = methods.preset("standard")
  config.input.alhpa = 1.0
  with pytest.raises(ValueError, match=r"config.method.input.alhpa=1.0: not"):
    methods.build(config, SHAPE)


def test_a_missing_parameter_is_refused():
  config = methods.preset("gaussian")
  with pytest.raises(
    ValueError, match=r"config.method.input.std=None: .*value"
  ):
    methods.build(config, SHAPE)


def test_an_error_of_a_part_names_its_slot():
  config = methods.preset("gaussian")
  config.input.std = -1.0
  with pytest.raises(ValueError, match=r"^config.method.input: std=-1.0"):
    methods.build(config, SHAPE)
  config.input.std = 1.0
  config.objective.label_smoothing = 2.0
  with pytest.raises(ValueError, match=r"^config.method.objective: label_smo"):
    methods.build(config, SHAPE)


def test_every_field_of_the_input_is_set_from_the_command_line(
  tmp_path, monkeypatch
):
  words = {
    "alphas": ("(0.5, 1.5)", (0.5, 1.5)),
    "beta": ("0.5", 0.5),
    "scale": ("1", 1.0),
    "parameterization": ("S1", "S1"),
    "clip": ("false", False),
    "resample": ("once", "once"),
    "p_noisy": ("0.25", 0.25),
  }
  path = tmp_path / "config.py"
  path.write_text(
    "import jaxrobust\n"
    "def get_config():\n"
    "  config = jaxrobust.default_config()\n"
    "  config.method = jaxrobust.methods.preset('alpha_stable')\n"
    "  return config\n"
  )
  seen = []
  monkeypatch.setattr(
    main.jaxrobust, "train", lambda config, _: seen.append(config) or 1 / 0
  )
  with pytest.raises(ZeroDivisionError):
    main.main(
      ["main", f"--config={path}", f"--workdir={tmp_path}"]
      + [f"--config.method.input.{k}={text}" for k, (text, _) in words.items()]
    )
  (config,) = seen
  for field, (_, value) in words.items():
    assert config.method.input[field] == value
  methods.build(config.method, SHAPE)


def test_the_deterministic_forward_is_the_model_itself():
  model = models.build("mlp", num_classes=3, hidden=(5,))
  inputs = jnp.asarray(np.random.default_rng(0).normal(size=(4, *SHAPE)))
  variables = model.init(jax.random.key(0), inputs)
  mask = jnp.asarray([1.0, 1.0, 1.0, 0.0])
  forward = forwards.deterministic()
  for train in (False, True):
    outputs, batch_stats = forward(model, variables, inputs, mask, train)
    expected = model.apply(variables, inputs, train=train)
    np.testing.assert_array_equal(outputs.logits, expected.logits)
    np.testing.assert_array_equal(outputs.features, expected.features)
    assert batch_stats == {}
