"""The commands that configs document, and None on the command line."""

import pathlib
import re
import shlex

import pytest

import jaxrobust
from jaxrobust.commands import shell
from jaxrobust.main import parse

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.py"))
DIGITS = f"--config={ROOT}/configs/digits_alpha_stable.py"
ALPHA, RATE = "--config.method.input.alpha", "--config.method.input.flip_rate"


def documented(path):
  """The arguments of every training command in a file's docstring."""
  text = path.read_text().split('"""')[1].replace("\\\n", " ")
  pattern = r"^ *python -m jaxrobust\.main (.*)$"
  return [shlex.split(words) for words in re.findall(pattern, text, re.M)]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_documented_commands_can_be_run(path, monkeypatch):
  monkeypatch.chdir(ROOT)
  commands = documented(path)
  assert commands
  for words in commands:
    config, workdir = parse(["main", *words])
    assert workdir.startswith("runs/")
    jaxrobust.validate(config)
    for word in words:
      if word.endswith("=None"):
        field = word.removeprefix("--config.").removesuffix("=None")
        flat = config.to_dict()
        for name in field.split("."):
          flat = flat[name]
        assert flat is None


def parsed(*words):
  return parse(["main", DIGITS, "--workdir=x", *words])[0]


@pytest.mark.parametrize(
  ("words", "alpha"),
  [
    ([f"{ALPHA}=None"], None),
    ([ALPHA, "None"], None),
    ([f"{ALPHA[1:]}=None"], None),
    ([f"{ALPHA}=1.5", f"{ALPHA}=None"], None),
    ([f"{ALPHA}=None", f"{ALPHA}=1.5"], 1.5),
    ([f"{ALPHA}=None", ALPHA, "1.5"], 1.5),
  ],
)
def test_none_takes_an_option_back_and_the_last_word_holds(words, alpha):
  input_config = parsed(*words).method.input
  assert (input_config.alpha, input_config.flip_rate) == (alpha, 0.126)


def test_none_takes_an_option_of_the_model_back():
  assert parsed("--config.model.hidden=None").model.hidden is None
  # A text would take the word itself.
  assert parsed("--config.method.input.share=None").method.input.share is None


def test_another_strength_takes_the_place_of_a_configs_own():
  config = parsed(f"{RATE}=None", "--config.method.input.scale=0.2")
  jaxrobust.validate(config)
  assert config.method.input.scale == 0.2


@pytest.mark.parametrize(
  ("field", "words"),
  [
    ("train.epochs", "--config.train.epochs=None: must have a value"),
    ("data.path", "--config.data.path=None: must have a value"),
    ("method.input.name", "input.name=None: must have a value"),
    ("method.input", "--config.method.input=None: must have a value"),
    ("method.input.alhpa", "no field 'alhpa'; did you mean 'alpha'"),
    ("nosuch.field", "no field 'nosuch'"),
    ("seed.deeper", "seed.deeper"),
  ],
)
def test_none_for_another_field_is_one_line(field, words):
  with pytest.raises(shell.UsageError) as caught:
    parsed(f"--config.{field}=None")
  assert words in str(caught.value)
  assert "\n" not in str(caught.value)
