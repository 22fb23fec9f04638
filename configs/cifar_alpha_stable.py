r"""ResNet-18 on CIFAR-10, trained with alpha-stable noise.

Paper: arXiv 2311.10803: x + c X, clipped to [0, 1] before the normalisation, X
standard alpha-stable with characteristic function exp(-|t|^alpha). Cauchy
(alpha = 1) at flip rate P(|noise| > 0.5) = 0.05, which is scale 0.039.
Epochs, optimiser and augmentation are not known from the paper; these are the
common ones for this network.

Data: CIFAR-10; `jaxrobust prepare cifar10` fetches it.
Hardware: one GPU or a TPU, where it has not been timed; an epoch takes about
20 minutes on 2 CPU cores.

  python -m jaxrobust.main --config=configs/cifar_alpha_stable.py \
    --workdir=runs/cifar_alpha_stable

On 2 CPU cores, the small network in place of ResNet-18:

  python -m jaxrobust.main --config=configs/cifar_alpha_stable.py \
    --config.model.name=small_cnn --config.train.epochs=10 \
    --config.train.batch_size=128 --workdir=runs/cifar_small

Without a download, in seconds, on digits in the shape of CIFAR-10:

  python -m jaxrobust.main --config=configs/cifar_alpha_stable.py:quick \
    --workdir=runs/cifar_quick
"""

import jaxrobust
from jaxrobust import methods


def get_config(variant: str | None = None):
  """The config, or its `quick` variant."""
  config = jaxrobust.default_config()
  config.data.name = "cifar10"
  config.data.shape = (32, 32, 3)
  config.data.num_classes = 10
  config.data.train_split = "train[:90%]"
  config.data.validation_split = "train[90%:]"
  config.augment.crop_padding = 4
  config.augment.flip = True
  config.model.name = "resnet18"
  config.model.mean = (0.4914, 0.4822, 0.4465)
  config.model.std = (0.2470, 0.2435, 0.2616)
  config.method = methods.preset("alpha_stable")
  config.method.input.alpha = 1.0
  config.method.input.flip_rate = 0.05
  config.optimizer.name = "sgd"
  config.optimizer.learning_rate = 0.1
  config.optimizer.momentum = 0.9
  config.optimizer.nesterov = True
  config.optimizer.weight_decay = 5e-4
  config.schedule.name = "cosine"
  config.schedule.warmup_epochs = 1.0
  config.train.epochs = 100
  config.train.batch_size = 128
  return jaxrobust.variant(config, variant)
