"""`jaxrobust fit-noise` says what noise one has, and how to train with it."""

import pathlib
import re

import jax
import numpy as np
import pytest
from PIL import Image

import jaxrobust
from jaxrobust import alpha_stable, commands, methods
from jaxrobust.commands import fit_noise
from jaxrobust.main import parse

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


@pytest.fixture
def command(capsys):
  """Runs `jaxrobust fit-noise WORDS...` in this process."""

  def run(*words):
    code = commands.main(["fit-noise", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err

  return run


def noise(alpha, scale, shape, seed=0):
  key = jax.random.key(seed)
  return np.asarray(alpha_stable.sample(key, alpha, scale=scale, shape=shape))


@pytest.fixture
def folders(tmp_path):
  """Folders of two clean pictures and of their noisy ones, 8 bits each."""
  rng = np.random.default_rng(0)
  for name in ("a.png", "b.png"):
    clean = rng.choice([0, 90, 200, 255], (24, 24, 1)).astype(np.uint8)
    clean = np.repeat(clean, 3, axis=-1)
    noisy = clean / 255 + noise(1.2, 0.1, clean.shape, ord(name[0]))
    noisy = np.round(255 * noisy.clip(0, 1)).astype(np.uint8)
    for kind, image in (("clean", clean), ("noisy", noisy)):
      (tmp_path / kind).mkdir(exist_ok=True)
      Image.fromarray(image).save(tmp_path / kind / name)
  return f"--clean={tmp_path / 'clean'}", f"--noisy={tmp_path / 'noisy'}"


def printed_settings(out):
  pattern = r"^  config\.method\.input\.(\w+) = (\S+)$"
  return {k: float(v) for k, v in re.findall(pattern, out, re.MULTILINE)}


def test_clipped_8_bit_images_give_the_noise_back(command, folders, tmp_path):
  code, out, err = command(*folders, "--symmetric", f"--out={tmp_path / 'out'}")
  assert code == 0, err
  settings = printed_settings(out)
  assert settings["alpha"] == pytest.approx(1.2, abs=0.15)
  assert settings["scale"] == pytest.approx(0.1, abs=0.015)
  assert "3,456 of 3,456 values" in out
  assert "stored values / 255" in out
  assert "of the noisy values are at 0" in out
  assert "warning: quantiles and log_moments" in out
  assert "Kolmogorov-Smirnov distance" in out
  with Image.open(tmp_path / "out" / "noise_fit.png") as figure:
    assert min(figure.size) > 400
  assert str(tmp_path / "out" / "noise_fit.png") in out


def test_the_config_lines_train(command, tmp_path):
  np.save(tmp_path / "r.npy", noise(1.6, 0.2, (500,)))
  code, out, _ = command(f"--residuals={tmp_path / 'r.npy'}", "--symmetric")
  assert code == 0
  settings = printed_settings(out)
  config = jaxrobust.default_config()
  config.method = methods.preset("alpha_stable")
  config.method.input.update(settings)
  methods.build(config.method, (8, 8, 1))
  flags = re.findall(r"--config\.method\.input\.\w+=\S+", out)
  # Over the configs that come with the package, which set a flip rate.
  for path in sorted(CONFIGS.glob("*_alpha_stable.py")):
    parsed, _ = parse(["main", f"--config={path}", "--workdir=x", *flags])
    jaxrobust.validate(parsed)
    input_config = parsed.method.input
    assert {name: input_config[name] for name in settings} == settings
  assert "divide it by the data's standard deviation" in out
  # Nothing was clipped, so all methods are shown.
  for method in ("mle", "quantiles", "log_moments"):
    assert re.search(rf"^ *{method} .*±", out, re.MULTILINE)


def test_the_method_and_a_subset_can_be_chosen(command, tmp_path):
  (tmp_path / "r.csv").write_text(
    "\n".join(str(x) for x in noise(1.6, 0.2, (500,)))
  )
  code, out, _ = command(
    f"--residuals={tmp_path / 'r.csv'}",
    "--method=log_moments",
    "--max_samples=300",
    "--seed=5",
  )
  assert code == 0
  assert "300 of 500 values (a random subset, seed 5)" in out
  rows = re.findall(r"^ *(mle|quantiles|log_moments) ", out, re.MULTILINE)
  assert rows[0] == "log_moments"


def test_the_returns_of_an_index_are_residuals(command, monkeypatch):
  def returns(name):
    assert name == "sp500"
    return noise(1.6, 0.2, (300,))

  monkeypatch.setattr(fit_noise.returns, "daily_returns", returns)
  code, out, _ = command("--residuals=returns:sp500", "--symmetric")
  assert code == 0
  assert "300 of 300 values, residuals" in out


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ((), "give --clean and --noisy, or --residuals alone"),
    (("--clean=a.npy",), "give --clean and --noisy"),
    (("--clean=a", "--noisy=b", "--residuals=c"), "give --clean and --noisy"),
    (("--residuals=gone.npy",), "'gone.npy': no such file"),
    (("--residuals=few.csv",), "at least 20 values, got 3"),
    (("--residuals=flat.csv",), "samples must vary"),
    (("--clean=few.npy", "--noisy=more.npy"), "has shape (3,)"),
    (("--residuals=few.csv", "--seed=-1"), "--seed=-1: must be at least 0"),
    (("--residuals=returns:dax",), "'dax'; allowed for source 'returns'"),
    (("--residuals=few.csv", "--max_samples=3"), "--max_samples=3"),
    (("--residuals=few.csv", "--method=ecf"), "invalid choice: 'ecf'"),
  ],
)
def test_wrong_use_is_one_line(command, tmp_path, monkeypatch, words, message):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "few.csv").write_text("1,2,3")
  (tmp_path / "flat.csv").write_text("1\n" * 30)
  np.save("few.npy", np.zeros(3))
  np.save("more.npy", np.zeros(4))
  code, out, err = command(*words)
  assert code == 2
  assert out == ""
  assert err.startswith("jaxrobust: ")
  assert err.count("\n") == 1
  assert message in err
