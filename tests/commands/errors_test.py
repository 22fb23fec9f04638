"""Wrong use is one line that names what is wrong, exit code 2, no traceback."""

import dataclasses
import pathlib

import pytest

import jaxrobust.main
from jaxrobust import commands

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


@dataclasses.dataclass(frozen=True)
class Ended:
  """How a command ended."""

  code: int
  out: str
  err: str


@pytest.fixture
def command(capsys):
  """Runs `jaxrobust WORDS...` in this process."""

  def run(*words):
    code = commands.main([str(word) for word in words])
    return Ended(code, *capsys.readouterr())

  return run


@pytest.fixture
def train(command, tmp_path):
  """Runs `jaxrobust train` on the digits with some more words."""

  def run(*words):
    return command(
      "train",
      f"--config={CONFIGS}/digits_alpha_stable.py:quick",
      f"--workdir={tmp_path / 'run'}",
      *words,
    )

  return run


def assert_wrong_use(ended, *words):
  assert ended.code == 2
  assert ended.out == ""
  assert ended.err.startswith("jaxrobust: ")
  assert ended.err.count("\n") == 1
  assert "Traceback" not in ended.err
  for word in words:
    assert word in ended.err


@pytest.mark.parametrize(
  ("flag", "words"),
  [
    ("config.method.input.alhpa=1", ["config.method.input.alhpa", "'alpha'"]),
    ("config.nosuch=1", ["config.nosuch"]),
    ("config.seed.deeper=1", ["config", "seed.deeper"]),
    ("workdri=x", ["workdri", "workdir"]),
    ("config.method.input.name=foo", ["config.method.input.name='foo'"]),
    ("config.method.forward.name=foo", ["config.method.forward.name='foo'"]),
    ("config.method.objective.name=x", ["config.method.objective.name='x'"]),
    ("config.model.name=foo", ["config.model", "'foo'", "resnet18"]),
    ("config.data.source=foo", ["config.data.source='foo'", "tfds"]),
    ("config.optimizer.name=foo", ["config.optimizer.name='foo'", "adamw"]),
    ("config.method.input.alpha=2.5", ["config.method.input", "alpha", "2.5"]),
    ("config.method.input.alpha=abc", ["config.method.input.alpha=abc"]),
    ("config.method.input.gamma=1", ["config.method.input", "gamma=1"]),
    ("config.method.input.std=1", ["config.method.input", "flip_rate", "std"]),
    ("config.train.epochs=1.5", ["config.train.epochs=1.5"]),
    ("config.train.epochs=0", ["config.train.epochs=0", "at least 1"]),
    ("config.data.shape=(8,)", ["config.data.shape=(8,)"]),
    ("config.data.train_split=a[", ["config.data.train_split"]),
    ("config.train.devices=99", ["config.train.devices=99", "at most"]),
    ("config=config=", ["--config"]),
  ],
)
def test_a_wrong_flag_is_one_line(train, flag, words):
  assert_wrong_use(train(f"--{flag}"), *words)


def test_a_batch_that_does_not_divide_over_the_devices_is_refused(train):
  ended = train("--config.train.batch_size=63", "--config.train.devices=2")
  assert_wrong_use(ended, "config.train.batch_size=63", "multiple of 2")


def test_a_stray_word_is_refused(train):
  assert_wrong_use(train("stray"), "'stray'")


@pytest.mark.parametrize("more", [[], ["--config.train.epochs=3"]])
def test_a_missing_config_file_is_named(command, tmp_path, more):
  missing = tmp_path / "nosuch.py"
  ended = command("train", f"--config={missing}", "--workdir=x", *more)
  assert_wrong_use(ended, "--config", str(missing))


@pytest.mark.parametrize(
  ("source", "words"),
  [
    ("def get_config(:", ["--config", "line 1"]),
    ("import nosuchmodule", ["--config", "nosuchmodule"]),
    ("def get_config(variant=None): return 1 / 0", ["--config", "division"]),
    ("def get_config(variant=None): return nosuch", ["'nosuch'"]),
    ("def get_config(variant=None): return {}", ["--config"]),
    (
      "import jaxrobust\n"
      "def get_config(variant=None):\n"
      "  return jaxrobust.variant(jaxrobust.default_config(), variant)\n",
      ["FILE:slow", "'quick'"],
    ),
  ],
)
def test_an_error_in_a_config_file_is_one_line(
  command, tmp_path, source, words
):
  path = tmp_path / "broken.py"
  path.write_text(source)
  ended = command("train", f"--config={path}:slow", "--workdir=x")
  assert_wrong_use(ended, *words)


def test_missing_flags_are_named(command):
  path = CONFIGS / "digits_alpha_stable.py"
  assert_wrong_use(command("train", f"--config={path}"), "--workdir")
  assert_wrong_use(command("train", "--workdir=x"), "--config")
  assert_wrong_use(command("train", "--workdir"), "workdir")


def test_a_file_in_place_of_the_run_folder_is_refused(train, command, tmp_path):
  path = tmp_path / "file"
  path.touch()
  assert_wrong_use(train(f"--workdir={path}"), str(path))
  assert_wrong_use(command("evaluate", f"--workdir={path}"), str(path))


@pytest.mark.parametrize(
  ("words", "named"),
  [
    ([], "VERB"),
    (["fly"], "'fly'"),
    (["evaluate"], "--workdir"),
    (["evaluate", "--workdir=x", "--select=first"], "'first'"),
    (["evaluate", "--workdir=x", "--attack_eps=.1,a"], "'.1,a'"),
    (["evaluate", "--wrokdir=x"], "--workdir"),
    (["prepare"], "NAME"),
    (["prepare", "imagenet"], "'imagenet'"),
  ],
)
def test_a_wrong_verb_or_argument_is_one_line(command, words, named):
  assert_wrong_use(command(*words), named)


def test_a_missing_data_set_names_the_command_that_prepares_it(
  command, tmp_path
):
  ended = command(
    "train",
    f"--config={CONFIGS}/mnist_standard.py",
    f"--workdir={tmp_path / 'run'}",
    f"--config.data.data_dir={tmp_path}",
  )
  prepare = f"jaxrobust prepare mnist --data_dir={tmp_path}"
  assert_wrong_use(ended, "'mnist'", prepare)


def test_a_missing_run_folder_is_named(command, tmp_path):
  missing = tmp_path / "nosuch"
  ended = command("evaluate", f"--workdir={missing}")
  assert_wrong_use(ended, f"{missing}/config.json")


@pytest.mark.parametrize(
  "words", [[], ["train"], ["evaluate"], ["prepare"]], ids=str
)
def test_help_shows_an_example(command, words):
  ended = command(*words, "--help")
  assert ended.code == 0
  assert ended.err == ""
  verb = words[0] if words else "train"
  assert f"jaxrobust {verb} " in ended.out or "jaxrobust.main --" in ended.out


def test_the_module_prints_its_help_too(capsys):
  assert jaxrobust.main.main(["main.py", "--help"]) == 0
  out = capsys.readouterr().out
  assert "python -m jaxrobust.main --config=" in out
