"""What the whole suite shares: eight virtual devices, a cache, a tiny run."""

import os
import pathlib

import flax.linen as nn
import jax
import pytest

import jaxrobust
from jaxrobust import methods, models

# Both must be set before the first use of a device.
jax.config.update("jax_num_cpu_devices", 8)
_CACHE = pathlib.Path("~/.cache/jaxrobust-tests").expanduser()
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
# What runs keep in the user's cache, as smoothed images, is not the user's.
os.environ["XDG_CACHE_HOME"] = str(_CACHE / "user")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="module", autouse=True)
def programs_of_one_file():
  """Frees the programs of a file's tests when they are done.

  Each has its mappings of memory, of which a process has some 65,000 under
  Linux: with those of the whole suite the next program ends the process.
  """
  yield
  jax.clear_caches()


class TinyNet(nn.Module):
  """One convolution, one BatchNorm, one Dense: a model of one's own."""

  num_classes: int
  axis_name: str | None = None

  @nn.compact
  def __call__(self, inputs, train=False, mask=None):
    x = nn.Conv(4, (3, 3), strides=2)(inputs)
    x = models.BatchNorm(
      use_running_average=not train, axis_name=self.axis_name
    )(x, mask=mask)
    features = jax.nn.relu(x).reshape((len(x), -1))
    return models.Outputs(nn.Dense(self.num_classes)(features), features)


@pytest.fixture
def tiny_config():
  """Digits, a one-layer mlp and Cauchy noise: 60 examples, 3 steps an epoch."""
  config = jaxrobust.default_config()
  config.data.source = config.data.name = "digits"
  config.data.shape = (8, 8, 1)
  config.data.train_split = "train[:60]"
  config.data.validation_split = "train[60:90]"
  config.data.test_split = "test[:50]"
  config.model.name = "mlp"
  config.model.hidden = (16,)
  config.method = methods.preset("alpha_stable")
  config.method.input.alpha = 1.0
  config.method.input.flip_rate = 0.126
  config.train.epochs = 2
  config.train.batch_size = 24
  config.train.devices = 2
  config.train.log_every = 1
  config.eval.batch_size = 50
  config.eval.gaussian_stds = (0.2,)
  config.eval.alphas = (1.0,)
  config.eval.flip_rates = (0.126,)
  return config


@pytest.fixture
def smoothed_config(tiny_config, tmp_path):
  """The tiny run on smoothed digits, with a cache of its own."""
  tiny_config.method = methods.preset("inverse_scale")
  tiny_config.method.input.fractions = (0.3,)
  tiny_config.data.smoothed_dir = str(tmp_path / "smoothed")
  tiny_config.eval.gaussian_stds = tiny_config.eval.alphas = ()
  return tiny_config


@pytest.fixture
def tiny_net():
  return TinyNet
