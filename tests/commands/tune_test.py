"""A search goes on where it was killed, and says what to train with."""

import os
import pathlib
import subprocess
import sys

import matplotlib.pyplot as plt
import pytest

from jaxrobust import commands
from jaxrobust.main import parse
from jaxrobust.training.config import ConfigError
from jaxrobust.tuning import choice, search
from jaxrobust.tuning import ranges as ranges_lib

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
DIGITS = CONFIGS / "digits_alpha_stable.py"
SETTINGS = (
  "--config.train.devices=1",
  "--config.model.hidden=(8,)",
  "--config.train.epochs=2",
  "--config.data.train_split=train[:128]",
  "--config.eval.flip_rates=(0.126,)",
)
SEARCH = (
  "--search=method.input.alpha=0.5,1.0,1.5",
  "--search=method.input.flip_rate=log:0.01:0.5",
)


def words(folder, *more):
  return [
    "tune",
    f"--config={DIGITS}:quick",
    f"--workdir={folder}",
    *SETTINGS,
    *more,
  ]


@pytest.fixture
def config(tmp_path):
  return parse(
    ["tune", f"--config={DIGITS}:quick", f"--workdir={tmp_path}", *SETTINGS]
  )[0]


@pytest.mark.parametrize(
  ("text", "named"),
  [
    ("alpha", "FIELD=LOW:HIGH"),
    ("method.input.alpha=", "FIELD=LOW:HIGH"),
    ("method.input.alpha=1", "FIELD=LOW:HIGH"),
    ("method.input.alpha=1,1", "FIELD=LOW:HIGH"),
    ("method.input.alpha=1:2:3", "FIELD=LOW:HIGH"),
    ("method.input.alpha=log:1", "FIELD=LOW:HIGH"),
    ("method.input.alpha=2:1", "LOW < HIGH"),
    ("method.input.flip_rate=log:0:0.5", "0 < LOW < HIGH"),
    ("method.input.alpha=low:high", "'low' must be a number"),
    ("train.batch_size=1.5:2", "'1.5' must be a whole number"),
    ("optimizer.nesterov=1,0", "must be True or False"),
    ("method.input.alpah=1:2", "no field 'method.input.alpah'"),
    ("nosuch.field=1:2", "no field 'nosuch.field'"),
    ("method=1,2", "cannot be searched"),
    ("data.name=mnist,digits", "cannot be searched"),
    ("model.hidden=1:2", "FIELD=(A,)|(B,C)"),
    ("model.hidden=(8,)", "FIELD=(A,)|(B,C)"),
    ("model.hidden=(8,)|8", "FIELD=(A,)|(B,C)"),
    ("method.input.alpha=1:3", "alpha must be in (0, 2]"),
    ("optimizer.name=adam,foo", "config.optimizer.name='foo'"),
  ],
)
def test_a_wrong_search_is_one_line(tmp_path, capsys, text, named):
  assert commands.main(words(tmp_path, f"--search={text}")) == 2
  out, err = capsys.readouterr()
  assert out == ""
  assert err.startswith("jaxrobust: ")
  assert err.count("\n") == 1
  assert named in err
  assert not (tmp_path / "study.db").exists()


@pytest.mark.parametrize(
  ("more", "named"),
  [
    (["--trials=0"], "--trials=0: must be at least 1"),
    (["--rate=0.1"], "--rate: not an option of --method=search"),
    (["--method=gradient", "--trials=3"], "--trials: not an option of"),
    (["--method=guess"], "'guess'"),
    (["--report"], "config.json: not found"),
    (["--workdri=x"], "workdri"),
    (["--config.train.epochs=None"], "--config.train.epochs=None: must have"),
    (["--config.data.validation_split="], "config.data.validation_split=''"),
    ([*SEARCH, SEARCH[0]], "method.input.alpha: must be given once"),
    (
      ["--search=method.input.scale=0:1", "--search=method.input.std=0:1"],
      "must be one of them",
    ),
  ],
)
def test_wrong_use_is_one_line(tmp_path, capsys, more, named):
  assert commands.main(words(tmp_path, *more)) == 2
  err = capsys.readouterr().err
  assert err.count("\n") == 1
  assert named in err


def test_without_optuna_the_extra_is_named(tmp_path, capsys, monkeypatch):
  monkeypatch.setitem(sys.modules, "optuna", None)
  assert commands.main(words(tmp_path)) == 2
  assert "pip install 'jaxrobust[sweep]'" in capsys.readouterr().err


def test_help_shows_the_syntax(capsys):
  assert commands.main(["tune", "--help"]) == 0
  out = capsys.readouterr().out
  assert "log:LOW:HIGH" in out
  assert "example: jaxrobust tune --config=" in out


def test_a_strength_takes_the_place_of_the_one_that_was_set(config):
  changed = ranges_lib.apply(config, {"method.input.scale": 0.3})
  assert changed.method.input.scale == 0.3
  assert changed.method.input.flip_rate is None
  assert config.method.input.flip_rate == 0.126


def test_whole_numbers_words_and_truth_values_can_be_searched(config):
  whole = ranges_lib.parse("config.train.batch_size=16:64", config)
  assert (whole.low, whole.high, whole.whole) == (16, 64, True)
  names = ranges_lib.parse("optimizer.name=adam,sgd", config)
  assert names.choices == ("adam", "sgd")
  truths = ranges_lib.parse("optimizer.nesterov=True,False", config)
  assert truths.choices == (True, False)


def start(folder):
  code = "import sys; from jaxrobust import commands; sys.exit(commands.main())"
  return subprocess.Popen(
    [sys.executable, "-c", code, *words(folder, *SEARCH, "--trials=4")],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    env={**os.environ, "XDG_CACHE_HOME": str(folder.parent / "cache")},
  )


def wait_for_line(process, beginning):
  for line in process.stdout:
    if line.startswith(beginning):
      return
  raise AssertionError(f"the process ended without a line {beginning!r}")


def results(study):
  """What does not depend on the clock or on numbers of failed trials."""
  return [(t.fields, t.value, t.pruned, t.by_kind) for t in study.trials]


class AfterOneTrial:
  """An interruption in the middle of the second trial that it sees."""

  def __init__(self, message):
    self._asked = 0

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    pass

  @property
  def requested(self):
    # Asked once before each trial and once at each of its four steps.
    self._asked += 1
    return self._asked > 7


def test_a_killed_search_ends_as_if_it_never_was(
  config, tmp_path, capsys, monkeypatch
):
  folder = tmp_path / "killed"
  process = start(folder)
  wait_for_line(process, "trial 1/4")
  process.kill()
  process.communicate()
  with monkeypatch.context() as patch:
    patch.setattr(search, "Interruption", AfterOneTrial)
    assert commands.main(words(folder, *SEARCH, "--trials=4")) == 75
  assert "interrupted; the same command" in capsys.readouterr().out
  assert len(search.read(folder).trials) == 2

  texts = [word.removeprefix("--search=") for word in SEARCH]
  assert commands.main(words(folder, *SEARCH, "--trials=4")) == 0
  out = capsys.readouterr().out
  assert "the config's own" in out
  ended = search.read(folder)
  assert len(ended.trials) == 4
  whole = search.tune(config, tmp_path / "whole", texts, 4)
  assert results(ended) == results(whole)
  assert whole.trials[0].is_default

  # What it says to train with can be trained with.
  best = ended.ranking()[0]
  chosen, _ = parse(["x", f"--config={folder / 'best.py'}", "--workdir=x"])
  for field, value in best.fields.items():
    assert ranges_lib.value_in(chosen, field) == value
  assert f"--config={folder / 'best.py'}" in out

  # Another search, or another config, does not belong here.
  with pytest.raises(ConfigError, match=r"was begun with method\.input\.alpha"):
    search.tune(config, folder, texts[:1], 4)
  config.seed = 1
  with pytest.raises(ConfigError, match=r"config\.seed=1: .*begun with 0"):
    search.tune(config, folder, texts, 4)


def test_the_report_shows_the_search_and_the_learned_strength(tmp_path, capsys):
  assert commands.main(words(tmp_path, "--trials=1")) == 0
  assert commands.main(words(tmp_path, "--method=gradient")) == 0
  first = capsys.readouterr().out
  (tmp_path / "report.png").unlink()
  assert commands.main(["tune", f"--workdir={tmp_path}", "--report"]) == 0
  out = capsys.readouterr().out
  assert out in first
  assert "search: 1 trials" in out
  assert "gradient: from alpha 1.000" in out
  assert str(tmp_path / "learned.py") in out
  assert plt.imread(tmp_path / "report.png").std() > 0.05
  assert (tmp_path / "report.txt").read_text() in out


def test_a_folder_with_a_run_is_refused(config, tmp_path):
  (tmp_path / "checkpoints").mkdir()
  with pytest.raises(ConfigError, match="holds a run"):
    choice.begin_folder(config, tmp_path)
