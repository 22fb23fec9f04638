r"""LeNet-5 on MNIST with noise on its first layer, propagated analytically.

Paper: arXiv 2312.08877: N(0, sigma^2) is added to the first pre-activation and
its mean and variance are carried to the logits in closed form; the loss is the
expected squared error sum_k (t_k - m_k)^2 + v_k. sigma 0.6, as the paper
singles out. Its loss, its treatment of ReLU below 0 and its schedule are not
known: "laplace" and the rest are our reading.

Data: MNIST; `jaxrobust prepare mnist` fetches it.
Hardware: 2 CPU cores. Time: 3 minutes, and as much for the attacks.

  python -m jaxrobust.main --config=configs/mnist_stochastic.py \
    --workdir=runs/mnist_stochastic

Variants, behind a colon (`mnist_stochastic.py:moment`):

  moment       exact moments of ReLU and max pooling, the tilted bound of the
               expected cross-entropy; decides by the mean under the noise
  learned      sigma learned, with 10 times the learning rate
  per_channel  the same, one sigma per channel
  monte_carlo  the same noise, drawn; cross-entropy. Once a step, or k times
               with --config.method.forward.samples=k
  adversarial  PGD-7 training at eps 0.1 in its place
  gaussian     Gaussian noise of std 0.3 on the input in its place
  cauchy       Cauchy noise of scale 0.1 on the first layer, to first order
  quick        digits in the shape of MNIST, in seconds, without a download
"""

import jaxrobust
from jaxrobust import methods

VARIANTS = (
  "moment",
  "learned",
  "per_channel",
  "monte_carlo",
  "adversarial",
  "gaussian",
  "cauchy",
)


def get_config(variant: str | None = None):
  """The config, or one of its variants."""
  config = jaxrobust.default_config()
  config.data.name = "mnist"
  config.data.shape = (28, 28, 1)
  config.data.num_classes = 10
  config.data.train_split = "train[:90%]"
  config.data.validation_split = "train[90%:]"
  config.model.name = "lenet5"
  config.method = methods.preset("stochastic")
  config.method.forward.sigma = 0.6
  config.method.forward.relu = "laplace"
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.schedule.name = "cosine"
  config.train.epochs = 20
  config.train.batch_size = 128
  # Adding up its gradients over devices takes longer than its whole step.
  config.train.devices = 1
  config.eval.attack_eps = (0.05, 0.1, 0.2, 0.3)
  config.eval.network = True
  forward = config.method.forward
  if variant == "moment":
    config.method.name = "stochastic_moment"
    forward.relu = "moment"
    config.method.objective.name = "cross_entropy_tilted"
  elif variant in ("learned", "per_channel"):
    config.method.name = f"stochastic_{variant}"
    forward.learn = True
    forward.per_channel = variant == "per_channel"
    config.optimizer.noise_rate = 10.0
  elif variant == "monte_carlo":
    config.method = methods.preset("monte_carlo")
    config.method.forward.sigma = 0.6
  elif variant == "adversarial":
    config.method = methods.preset("adversarial")
    config.method.input.eps = 0.1
    config.method.input.steps = 7
  elif variant == "gaussian":
    config.method = methods.preset("gaussian")
    config.method.input.std = 0.3
  elif variant == "cauchy":
    config.method.name = "stochastic_cauchy"
    forward.relu = "linear"
    forward.sigma = 0.1
    forward.alpha = 1.0
    config.method.objective.name = "pairwise"
  else:
    jaxrobust.variant(config, variant, VARIANTS)
  return config
