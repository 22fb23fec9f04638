r"""A small CNN on SVHN with noise on its first layer, propagated analytically.

Paper: arXiv 2312.08877, as in mnist_stochastic.py; digits are not mirrored.
sigma 0.3. Nothing was measured on SVHN yet.

Data: SVHN; `jaxrobust prepare svhn_cropped` fetches it.
Hardware: 2 CPU cores, where an epoch takes about 2 minutes.

  python -m jaxrobust.main --config=configs/svhn_stochastic.py \
    --workdir=runs/svhn_stochastic

Without a download, in seconds, on digits in the shape of SVHN:

  python -m jaxrobust.main --config=configs/svhn_stochastic.py:quick \
    --workdir=runs/svhn_quick
"""

import jaxrobust
from jaxrobust import methods


def get_config(variant: str | None = None):
  """The config, or its `quick` variant."""
  config = jaxrobust.default_config()
  config.data.name = "svhn_cropped"
  config.data.shape = (32, 32, 3)
  config.data.num_classes = 10
  config.data.train_split = "train[:90%]"
  config.data.validation_split = "train[90%:]"
  config.augment.crop_padding = 4
  config.model.name = "small_cnn"
  config.model.mean = (0.4377, 0.4438, 0.4728)
  config.model.std = (0.1980, 0.2010, 0.1970)
  config.method = methods.preset("stochastic")
  config.method.forward.sigma = 0.3
  config.method.forward.relu = "laplace"
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.schedule.name = "cosine"
  config.train.epochs = 20
  config.train.batch_size = 128
  config.eval.attack_eps = (2 / 255, 4 / 255, 8 / 255)
  config.eval.network = True
  return jaxrobust.variant(config, variant)
