r"""ResNet-18 on SVHN: compact, separated classes, and a noisy second view.

Paper: arXiv 2405.18499, as in cifar_discriminative.py, with noise of std 0.15
(the paper's). Its delta_v and delta_d for SVHN could not be recovered: they are
those for CIFAR-10. Digits are not mirrored. Nothing was measured on SVHN yet.

Data: SVHN; `jaxrobust prepare svhn_cropped` fetches it.
Hardware: a GPU or a TPU. On 2 CPU cores an epoch takes about four hours.

  python -m jaxrobust.main --config=configs/svhn_discriminative.py \
    --workdir=runs/svhn_discriminative

Without a download, in seconds, on digits in the shape of SVHN:

  python -m jaxrobust.main --config=configs/svhn_discriminative.py:quick \
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
  config.augment.crop_padding = 4
  config.model.name = "resnet18"
  config.model.feature_dim = 128
  config.model.mean = (0.4377, 0.4438, 0.4728)
  config.model.std = (0.1980, 0.2010, 0.1970)
  config.method = methods.preset("discriminative")
  config.method.view.std = 0.15
  config.optimizer.name = "sgd"
  config.optimizer.learning_rate = 1e-3
  config.optimizer.momentum = 0.9
  config.optimizer.nesterov = True
  config.optimizer.weight_decay = 5e-4
  config.schedule.name = "multistep"
  config.schedule.boundaries = (60, 120, 160)
  config.schedule.factor = 0.2
  config.train.epochs = 200
  config.train.batch_size = 64
  config.eval.gaussian_stds = (0.06, 0.15, 0.25)
  return jaxrobust.variant(config, variant)
