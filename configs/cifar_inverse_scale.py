r"""ResNet-18 on CIFAR-10, smoothed by total variation's inverse scale space.

Paper: arXiv 2409.18419: training on images with a share of 0.6 of their edges,
fixed or, iteratively, from coarse to fine. The level is read as the share of
edges that are kept, as `inverse_scale.fraction_from_level` explains; optimiser,
schedule of the levels and augmentation are not known to us, and ours.

Data: CIFAR-10; `jaxrobust prepare cifar10` fetches it.
Hardware: one GPU or a TPU, where it has not been timed. The training images are
smoothed once, on 2 CPU cores in a minute and a half, and kept in the user's
cache; `--config.method.input.cache=False` smooths them in every step.

  python -m jaxrobust.main --config=configs/cifar_inverse_scale.py \
    --workdir=runs/cifar_inverse_scale

Variants, behind a colon (`cifar_inverse_scale.py:iterative`):

  iterative   levels 0.2 to 0.6, one after the other
  carried     the same levels, of one run of the flow
  adaptive    in evaluation, a level for each image from its own noise
  unsmoothed  in evaluation, images as they are
  standard    no smoothing
  blur, low_pass, median, chambolle
              another smoother in its place
  small_cnn   a small CNN, Adam, 10 epochs; for 2 CPU cores, where it takes a
              quarter of an hour
  quick       digits in the shape of CIFAR-10, in seconds, without a download

A smoothed view beside clean images, in the discriminative objective:

  python -m jaxrobust.main --config=configs/cifar_discriminative.py \
    --config.method.name=smoothed_view --config.method.view.std=None \
    --config.method.view.name=inverse_scale --workdir=runs/cifar_smoothed_view
"""

import jaxrobust
from jaxrobust import methods

LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6)
# variant: (input, its parameters)
VARIANTS = {
  "iterative": ("inverse_scale", {"fractions": LEVELS}),
  "carried": (
    "inverse_scale",
    {"fractions": LEVELS, "flow": "carried", "steps": 80},
  ),
  "adaptive": ("inverse_scale", {"smooth_eval": "adaptive"}),
  "unsmoothed": ("inverse_scale", {"smooth_eval": "off"}),
  "standard": ("clean", {}),
  "blur": ("blur", {"sigma": 0.7}),
  "low_pass": ("low_pass", {"cutoff": 0.6}),
  "median": ("median", {"size": 3}),
  "chambolle": ("chambolle", {"weight": 0.1}),
}


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
  config.model.name = "resnet18"
  config.model.mean = (0.4914, 0.4822, 0.4465)
  config.model.std = (0.2470, 0.2435, 0.2616)
  config.method = methods.preset("inverse_scale")
  config.method.input.fractions = (0.6,)
  if variant in VARIANTS:
    name, parameters = VARIANTS[variant]
    if name != "inverse_scale":
      config.method = methods.preset("standard")
      config.method.input.name = name
    config.method.input.update(parameters)
    config.method.name = (
      f"inverse_scale_{variant}" if name == "inverse_scale" else variant
    )
  config.optimizer.name = "sgd"
  config.optimizer.learning_rate = 0.1
  config.optimizer.weight_decay = 5e-4
  config.schedule.name = "cosine"
  config.schedule.warmup_epochs = 1.0
  config.train.epochs = 100
  config.train.batch_size = 128
  config.eval.gaussian_stds = (0.04, 0.08, 0.12)
  config.eval.alphas = ()
  config.eval.shot = (100.0, 25.0)
  config.eval.salt_and_pepper = (0.02, 0.05)
  config.eval.resolutions = (1 / 2,)
  config.eval.attack_eps = (2 / 255,)
  if variant == "small_cnn":
    config.model.name = "small_cnn"
    config.model.width = 16
    config.model.hidden = (128,)
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.weight_decay = 0.0
    config.train.epochs = 10
    config.eval.attack_examples = 200
  elif variant not in VARIANTS:
    jaxrobust.variant(config, variant, ("small_cnn", *VARIANTS))
  return config
