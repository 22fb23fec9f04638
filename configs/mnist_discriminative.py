r"""LeNet-5 on MNIST: compact, separated classes, and a noisy second view.

Paper: arXiv 2405.18499: compactness (equation (8)), margin and noisy alignment
of class centroids, beside the cross-entropy of the clean view. Its CIFAR-10
recipe is in cifar_discriminative.py.

The paper has no MNIST: the network, the optimiser and the noise (std 0.2) are
ours; delta_v, delta_d, rho, gamma and the weights are the paper's. The 64
features are affine in the layer below and take both signs, as the paper's 128.

Data: MNIST; `jaxrobust prepare mnist` fetches it.
Hardware: 2 CPU cores, where it takes about four minutes.

  python -m jaxrobust.main --config=configs/mnist_discriminative.py \
    --workdir=runs/mnist_discriminative

Variants, behind a colon (`mnist_discriminative.py:no_view`):

  standard     cross-entropy of clean images
  noisy        cross-entropy of noisy images alone
  both         cross-entropy of clean and of noisy images
  stability    cross-entropy of clean images, features that noise does not move
  no_view      the loss without the noisy view: the paper's first version
  margin       the margin alone: no compactness, no alignment
  compactness  compactness and alignment alone: no margin
  momentum     momentum centroids for the margin, too
  naive        the batch's own centroids for all terms
  quick        digits in the shape of MNIST, in seconds, without a download

The second view can be what any other input makes, as alpha-stable noise:

  python -m jaxrobust.main --config=configs/mnist_discriminative.py:no_view \
    --config.method.name=cauchy_view --config.method.view.name=alpha_stable \
    --config.method.view.alpha=1.0 --config.method.view.flip_rate=0.05 \
    --workdir=runs/mnist_cauchy_view
"""

import jaxrobust
from jaxrobust import methods

STD = 0.2
# variant: (preset, fields of the objective)
VARIANTS = {
  "standard": ("standard", {}),
  "noisy": ("gaussian", {}),
  "both": ("clean_and_noisy", {}),
  "stability": ("stability", {}),
  "no_view": ("margin_compactness", {}),
  "margin": ("discriminative", {"compactness_weight": 0.0}),
  "compactness": ("discriminative", {"margin_weight": 0.0}),
  "momentum": ("discriminative", {"centroid": "momentum"}),
  "naive": ("discriminative", {"centroid": "naive"}),
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
  config.model.feature_dim = 64
  preset, objective = VARIANTS.get(variant or "", ("discriminative", {}))
  config.method = methods.preset(preset)
  config.method.objective.update(objective)
  if objective:
    config.method.name = f"discriminative_{variant}"
  for slot in (config.method.input, config.method.view):
    if slot.name == "gaussian":
      slot.std = STD
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.schedule.name = "cosine"
  config.train.epochs = 20
  config.train.batch_size = 128
  # Adding up its gradients over devices takes longer than its whole step.
  config.train.devices = 1
  if variant not in VARIANTS:
    jaxrobust.variant(config, variant, tuple(VARIANTS))
  return config
