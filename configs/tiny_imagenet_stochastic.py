r"""ResNet-18 on Tiny ImageNet with noise on its first layer, propagated.

Paper: arXiv 2312.08877, as in mnist_stochastic.py. sigma 0.3. Nothing was
measured on Tiny ImageNet yet.

Data: a folder PATH with `train/CLASS/*` and `test/CLASS/*`, 200 classes of
64x64 pixels. In the official archive the images of `train/CLASS` lie one folder
deeper, in `images`, and the labels of `val` in a text file: move them so.
Hardware: one GPU or a TPU, where it has not been timed.

  python -m jaxrobust.main --config=configs/tiny_imagenet_stochastic.py \
    --config.data.path=PATH --workdir=runs/tiny_imagenet_stochastic

Without the data, in seconds, on digits in its shape:

  python -m jaxrobust.main --config=configs/tiny_imagenet_stochastic.py:quick \
    --workdir=runs/tiny_imagenet_quick
"""

import jaxrobust
from jaxrobust import methods


def get_config(variant: str | None = None):
  """The config, or its `quick` variant."""
  config = jaxrobust.default_config()
  config.data.source = "folder"
  config.data.name = "tiny_imagenet"
  config.data.shape = (64, 64, 3)
  config.data.num_classes = 200
  config.data.train_split = "train[:90%]"
  config.data.validation_split = "train[90%:]"
  config.augment.crop_padding = 8
  config.augment.flip = True
  config.model.name = "resnet18"
  config.model.mean = (0.4802, 0.4481, 0.3975)
  config.model.std = (0.2770, 0.2691, 0.2821)
  config.method = methods.preset("stochastic")
  config.method.forward.sigma = 0.3
  # The variance of "laplace" is the path norm, which explodes in deep networks.
  config.method.forward.relu = "linear"
  config.optimizer.name = "sgd"
  config.optimizer.learning_rate = 0.1
  config.optimizer.weight_decay = 5e-4
  config.schedule.name = "cosine"
  config.schedule.warmup_epochs = 1.0
  config.train.epochs = 100
  config.train.batch_size = 128
  config.eval.attack_eps = (2 / 255, 4 / 255, 8 / 255)
  config.eval.network = True
  return jaxrobust.variant(config, variant)
