r"""A fully connected network on MNIST, trained with alpha-stable noise.

Paper: arXiv 2311.10803: x + c X, clipped to [0, 1], X standard alpha-stable
with characteristic function exp(-|t|^alpha). Cauchy (alpha = 1) at flip rate
P(|noise| > 0.5) = 0.126, which is scale c = 0.1.
Data: MNIST; `jaxrobust prepare mnist` fetches it.
Hardware: 2 CPU cores. Time: 1 minute.

  python -m jaxrobust.main --config=configs/mnist_alpha_stable.py \
    --workdir=runs/mnist_alpha_stable

Without a download, in seconds, on digits in the shape of MNIST:

  python -m jaxrobust.main --config=configs/mnist_alpha_stable.py:quick \
    --workdir=runs/mnist_alpha_stable_quick
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
  config.method = methods.preset("alpha_stable")
  config.method.input.alpha = 1.0
  config.method.input.flip_rate = 0.126
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.schedule.name = "cosine"
  config.train.epochs = 30
  config.train.batch_size = 128
  # Adding up its gradients over devices takes longer than its whole step.
  config.train.devices = 1
  return jaxrobust.variant(config, variant)
