r"""A fully connected network on MNIST, trained with Gaussian noise.

Paper: arXiv 2311.10803, the Gaussian baseline: x + std N(0, 1), clipped to
[0, 1]. Its strength is matched with Cauchy noise of scale 0.1 by the flip rate
P(|noise| > 0.5) = 0.126.
Data: MNIST; `jaxrobust prepare mnist` fetches it.
Hardware: 2 CPU cores. Time: 1 minute.

  python -m jaxrobust.main --config=configs/mnist_gaussian.py \
    --workdir=runs/mnist_gaussian

Without a download, in seconds, on digits in the shape of MNIST:

  python -m jaxrobust.main --config=configs/mnist_gaussian.py:quick \
    --workdir=runs/mnist_gaussian_quick
"""

import jaxrobust
from jaxrobust import methods


def get_config(variant: str | None = None):
  """The config, or its `quick` variant."""
  config = jaxrobust.default_config()
  config.data.name = "mnist"
  config.data.shape = (28, 28, 1)
  config.data.num_classes = 10
  config.data.train_split = "train[:90%]"
  config.data.validation_split = "train[90%:]"
  config.model.name = "mlp"
  # Inputs stay in [0, 1]: whether the paper standardises them is not known.
  # --config.model.mean="(0.1307,)" --config.model.std="(0.3081,)" does.
  config.method = methods.preset("gaussian")
  # P(|noise| > 0.5) = 0.126, as in mnist_alpha_stable.py.
  config.method.input.std = 0.327
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.schedule.name = "cosine"
  config.train.epochs = 30
  config.train.batch_size = 128
  # Adding up its gradients over devices takes longer than its whole step.
  config.train.devices = 1
  return jaxrobust.variant(config, variant)
