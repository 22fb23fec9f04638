r"""ResNet-18 on images of tissue, smoothed by the inverse scale space.

Paper: arXiv 2409.18419, as in cifar_inverse_scale.py; the data set is a check
of ours: colorectal_histology, 5,000 images of 150x150 pixels, eight kinds of
tissue. Nothing was measured on it yet.

Data: TFDS has one split, dealt here into 80 % to train on, 10 to watch and 10
to test on; `tfds build colorectal_histology --file_format=array_record`, TFDS's
own command, fetches it.
Hardware: one GPU or a TPU, where it has not been timed.

  python -m jaxrobust.main --config=configs/colorectal_inverse_scale.py \
    --workdir=runs/colorectal_inverse_scale

Variants, behind a colon: `standard`, no smoothing; `quick`, digits of 64x64
pixels, in seconds, without a download.
"""

import jaxrobust
from jaxrobust import methods


def get_config(variant: str | None = None):
  """The config, or one of its variants."""
  config = jaxrobust.default_config()
  config.data.name = "colorectal_histology"
  config.data.shape = (150, 150, 3)
  config.data.num_classes = 8
  config.data.train_split = "train[:80%]"
  config.data.validation_split = "train[80%:90%]"
  config.data.test_split = "train[90%:]"
  config.augment.crop_padding = 18
  config.augment.flip = True
  config.model.name = "resnet18"
  config.model.stem = "imagenet"
  config.method = methods.preset("inverse_scale")
  config.method.input.fractions = (0.5,)
  if variant == "standard":
    config.method = methods.preset("standard")
  config.optimizer.name = "sgd"
  config.optimizer.learning_rate = 0.1
  config.optimizer.weight_decay = 5e-4
  config.schedule.name = "cosine"
  config.schedule.warmup_epochs = 1.0
  config.train.epochs = 50
  config.train.batch_size = 64
  config.eval.gaussian_stds = (0.04, 0.08, 0.12)
  config.eval.alphas = ()
  config.eval.shot = (100.0, 25.0)
  config.eval.salt_and_pepper = (0.05,)
  config.eval.resolutions = (1 / 2,)
  config.eval.attack_eps = (2 / 255,)
  if variant == "quick":
    config.data.shape = (64, 64, 3)
    # Through a smoother, compiling an attack is most of what a quick run does.
    config.eval.attack_eps = ()
  if variant != "standard":
    jaxrobust.variant(config, variant, ("standard",))
  return config
