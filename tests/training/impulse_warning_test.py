"""A run on series says once that an impulse is ruinous, and what bounds it."""

import pytest

import jaxrobust
from jaxrobust import methods


@pytest.fixture
def series_config():
  """48 series, 4 steps an epoch, in Cauchy noise of a huge scale."""
  config = jaxrobust.default_config()
  config.data.source = config.data.name = "synthetic_series"
  config.data.shape = (8, 1)
  config.data.num_classes = 2
  config.data.train_split = "train[:48]"
  config.data.test_split = "test[:12]"
  config.model.name = "mlp"
  config.model.hidden = ()
  config.method = methods.preset("alpha_stable")
  config.method.input.alpha = 1.0
  config.method.input.scale = 1e6
  config.train.epochs = 2
  config.train.batch_size = 12
  config.train.devices = 1
  config.train.log_every = 1
  config.eval.gaussian_stds = ()
  config.eval.alphas = ()
  return config


def warnings_of(config, folder, capsys):
  assert jaxrobust.train(config, folder).finished
  lines = capsys.readouterr().out.splitlines()
  return [line for line in lines if line.startswith("warning")]


def test_a_ruinous_impulse_is_one_line_once(series_config, tmp_path, capsys):
  (line,) = warnings_of(series_config, tmp_path, capsys)
  assert "at step 1 " in line
  assert "config.method.input.max_abs" in line


def test_a_bounded_input_gives_no_warning(series_config, tmp_path, capsys):
  series_config.method.input.max_abs = 1e5
  assert warnings_of(series_config, tmp_path, capsys) == []


def test_ordinary_noise_gives_no_warning(series_config, tmp_path, capsys):
  series_config.method.input.scale = 1e-3
  assert warnings_of(series_config, tmp_path, capsys) == []
