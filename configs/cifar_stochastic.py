r"""A small CNN on CIFAR-10 with noise on its first layer, propagated.

Paper: arXiv 2312.08877, as in mnist_stochastic.py, whose docstring says what is
known of the recipe and what is ours. sigma 0.3.

Data: CIFAR-10; `jaxrobust prepare cifar10` fetches it.
Hardware: 2 CPU cores, where it takes half an hour.

  python -m jaxrobust.main --config=configs/cifar_stochastic.py \
    --workdir=runs/cifar_stochastic

Variants, behind a colon (`cifar_stochastic.py:resnet18`):

  resnet18     ResNet-18, 100 epochs, SGD; for a GPU or a TPU
  moment       exact moments of ReLU and max pooling, the tilted bound of the
               expected cross-entropy; decides by the mean under the noise
  learned      sigma learned, with 10 times the learning rate
  per_channel  the same, one sigma per channel
  monte_carlo  the same noise, drawn; cross-entropy. Once a step, or k times
               with --config.method.forward.samples=k
  adversarial  PGD-7 training at eps 8/255 in its place
  gaussian     Gaussian noise of std 0.1 on the input in its place
  quick        digits in the shape of CIFAR-10, in seconds, without a download
"""

import jaxrobust
from jaxrobust import methods

VARIANTS = (
  "resnet18",
  "moment",
  "learned",
  "per_channel",
  "monte_carlo",
  "adversarial",
  "gaussian",
)


def get_config(variant: str | None = None):
  """The config, or one of its variants."""
  config = jaxrobust.default_config()
  config.data.name = "cifar10"
  config.data.shape = (32, 32, 3)
  config.data.num_classes = 10
  config.data.train_split = "train[:90%]"
  config.data.validation_split = "train[90%:]"
  config.augment.crop_padding = 4
  config.augment.flip = True
  config.model.name = "small_cnn"
  config.model.mean = (0.4914, 0.4822, 0.4465)
  config.model.std = (0.2470, 0.2435, 0.2616)
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
  if variant == "resnet18":
    config.model.name = "resnet18"
    # The variance of "laplace" is the path norm, which explodes with depth.
    config.method.forward.relu = "linear"
    config.optimizer.name = "sgd"
    config.optimizer.learning_rate = 0.1
    config.optimizer.weight_decay = 5e-4
    config.schedule.warmup_epochs = 1.0
    config.train.epochs = 100
  elif variant == "moment":
    config.method.name = "stochastic_moment"
    config.method.forward.relu = "moment"
    config.method.objective.name = "cross_entropy_tilted"
  elif variant in ("learned", "per_channel"):
    config.method.name = f"stochastic_{variant}"
    config.method.forward.learn = True
    config.method.forward.per_channel = variant == "per_channel"
    config.optimizer.noise_rate = 10.0
  elif variant == "monte_carlo":
    config.method = methods.preset("monte_carlo")
    config.method.forward.sigma = 0.3
  elif variant == "adversarial":
    config.method = methods.preset("adversarial")
    config.method.input.eps = 8 / 255
    config.method.input.steps = 7
  elif variant == "gaussian":
    config.method = methods.preset("gaussian")
    config.method.input.std = 0.1
  else:
    jaxrobust.variant(config, variant, VARIANTS)
  return config
