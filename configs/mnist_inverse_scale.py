r"""LeNet-5 on MNIST, smoothed by total variation's inverse scale space.

Paper: arXiv 2409.18419: training on images with a share of their edges, fixed
or, iteratively, from coarse to fine. The paper has no MNIST; network, optimiser
and levels are ours. Of the differences between neighbouring pixels of a digit a
fifth are not zero, so that levels of 0.6 would leave it as it is.

Data: MNIST; `jaxrobust prepare mnist` fetches it.
Hardware: 2 CPU cores, where it takes about six minutes, half of them for the
attack through the smoother. The training images are smoothed once, in a minute,
and kept in the user's cache.

  python -m jaxrobust.main --config=configs/mnist_inverse_scale.py \
    --workdir=runs/mnist_inverse_scale

Variants, behind a colon (`mnist_inverse_scale.py:iterative`):

  iterative   levels 0.1, 0.15, 0.2 and 0.3, one after the other
  carried     the same levels, of one run of the flow
  adaptive    in evaluation, a level for each image from its own noise
  unsmoothed  in evaluation, images as they are
  standard    no smoothing
  blur, low_pass, median, chambolle
              another smoother in its place
  quick       digits in the shape of MNIST, in seconds, without a download
"""

import jaxrobust
from jaxrobust import methods

# variant: (input, its parameters)
VARIANTS = {
  "iterative": ("inverse_scale", {"fractions": (0.1, 0.15, 0.2, 0.3)}),
  "carried": (
    "inverse_scale",
    {"fractions": (0.1, 0.15, 0.2, 0.3), "flow": "carried", "steps": 80},
  ),
  "adaptive": ("inverse_scale", {"smooth_eval": "adaptive"}),
  "unsmoothed": ("inverse_scale", {"smooth_eval": "off"}),
  "standard": ("clean", {}),
  "blur": ("blur", {"sigma": 1.0}),
  "low_pass": ("low_pass", {"cutoff": 0.5}),
  "median": ("median", {"size": 3}),
  "chambolle": ("chambolle", {"weight": 0.3}),
}


def get_config(variant: str | None = None):
  """The config, or one of its variants."""
  config = jaxrobust.default_config()
  config.data.name = "mnist"
  config.data.shape = (28, 28, 1)
  config.data.num_classes = 10
  config.data.train_split = "train[:90%]"
  config.data.validation_split = "train[90%:]"
  config.model.name = "lenet5"
  config.method = methods.preset("inverse_scale")
  config.method.input.fractions = (0.2,)
  if variant in VARIANTS:
    name, parameters = VARIANTS[variant]
    if name != "inverse_scale":
      config.method = methods.preset("standard")
      config.method.input.name = name
    config.method.input.update(parameters)
    config.method.name = (
      f"inverse_scale_{variant}" if name == "inverse_scale" else variant
    )
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.schedule.name = "cosine"
  config.train.epochs = 5
  config.train.batch_size = 128
  # Adding up its gradients over devices takes longer than its whole step.
  config.train.devices = 1
  config.eval.alphas = ()
  config.eval.salt_and_pepper = (0.05, 0.1)
  config.eval.resolutions = (1 / 2,)
  config.eval.attack_eps = (0.1,)
  config.eval.attack_examples = 200
  if variant not in VARIANTS:
    jaxrobust.variant(config, variant, tuple(VARIANTS))
  return config
