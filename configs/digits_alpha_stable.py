r"""A small network on scikit-learn's digits, trained with Cauchy noise.

The first minute with jaxrobust: the data come with scikit-learn, so nothing is
downloaded. 8x8 digits show that everything works; they prove no claim.

Paper: arXiv 2311.10803, x + c X with X standard alpha-stable, clipped to
[0, 1]; Cauchy (alpha = 1) at flip rate P(|noise| > 0.5) = 0.126.
Hardware: 2 CPU cores. Time: under a minute.

  python -m jaxrobust.main --config=configs/digits_alpha_stable.py \
    --workdir=runs/first
"""

import jaxrobust
from jaxrobust import methods


def get_config(variant: str | None = None):
  """The config, or its `quick` variant."""
  config = jaxrobust.default_config()
  config.data.source = "digits"
  config.data.name = "digits"
  config.data.shape = (8, 8, 1)
  config.data.num_classes = 10
  config.data.train_split = "train[:90%]"
  config.data.validation_split = "train[90%:]"
  config.model.name = "mlp"
  config.model.hidden = (256, 128)
  config.method = methods.preset("alpha_stable")
  config.method.input.alpha = 1.0
  config.method.input.flip_rate = 0.126
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.schedule.name = "cosine"
  config.train.epochs = 60
  config.train.batch_size = 128
  # Adding up its gradients over devices takes longer than its whole step.
  config.train.devices = 1
  config.checkpoint.every_epochs = 10
  config.eval.alphas = (1.0, 2.0)
  config.eval.flip_rates = (0.05, 0.126, 0.3)
  return jaxrobust.variant(config, variant)
