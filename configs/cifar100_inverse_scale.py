r"""ResNet-18 on CIFAR-100, smoothed by the inverse scale space.

Paper: arXiv 2409.18419, as in cifar_inverse_scale.py: level 0.6, fixed or
iterative. Nothing was measured on CIFAR-100 yet.

Data: CIFAR-100; `jaxrobust prepare cifar100` fetches it.
Hardware: one GPU or a TPU, where it has not been timed.

  python -m jaxrobust.main --config=configs/cifar100_inverse_scale.py \
    --workdir=runs/cifar100_inverse_scale

Variants, behind a colon (`cifar100_inverse_scale.py:iterative`):

  iterative  levels 0.2 to 0.6, one after the other
  standard   no smoothing
  quick      digits in its shape, in seconds, without a download
"""

import jaxrobust
from jaxrobust import methods


def get_config(variant: str | None = None):
  """The config, or one of its variants."""
  config = jaxrobust.default_config()
  config.data.name = "cifar100"
  config.data.shape = (32, 32, 3)
  config.data.num_classes = 100
  config.data.train_split = "train[:90%]"
  config.data.validation_split = "train[90%:]"
  config.augment.crop_padding = 4
  config.augment.flip = True
  config.model.name = "resnet18"
  config.model.mean = (0.5071, 0.4865, 0.4409)
  config.model.std = (0.2673, 0.2564, 0.2762)
  config.method = methods.preset("inverse_scale")
  config.method.input.fractions = (0.6,)
  if variant == "iterative":
    config.method.name = "inverse_scale_iterative"
    config.method.input.fractions = (0.2, 0.3, 0.4, 0.5, 0.6)
  elif variant == "standard":
    config.method = methods.preset("standard")
  config.optimizer.name = "sgd"
  config.optimizer.learning_rate = 0.1
  config.optimizer.weight_decay = 5e-4
  config.schedule.name = "cosine"
  config.schedule.warmup_epochs = 1.0
  config.train.epochs = 200
  config.train.batch_size = 128
  config.eval.gaussian_stds = (0.04, 0.08, 0.12)
  config.eval.alphas = ()
  config.eval.shot = (100.0, 25.0)
  config.eval.salt_and_pepper = (0.02, 0.05)
  config.eval.resolutions = (1 / 2,)
  config.eval.attack_eps = (2 / 255,)
  if variant == "quick":
    # Through a smoother, compiling an attack is most of what a quick run does.
    config.eval.attack_eps = ()
  if variant not in ("iterative", "standard"):
    jaxrobust.variant(config, variant, ("iterative", "standard"))
  return config
