r"""The experiments of the paper on noise propagated analytically, attacked.

Paper: arXiv 2312.08877. LeNet-5 on MNIST, noise N(0, sigma^2) on its first
pre-activation carried to the loss in closed form, against training without
noise, with noise on the input, with noise drawn in the same place, and against
PGD training. Judged clean, under noise, and by FGSM and PGD-40 (the worst of
cross-entropy and margin) at four radii on the first 1,000 test images. The
paper's loss, radii and figures are not known to us.

  mnist/sigma      expected_mse at sigma 0 to 1.1, with three rules for ReLU
  mnist/objective  other objectives at sigma 0.6 with exact moments
  mnist/learned    sigma learned from several starts
  mnist/baseline   standard, Gaussian input, drawn noise, PGD-7 training
  mnist/predict    what deciding by a mean under noise changes and costs
  cifar10          a small CNN of 16 and 32 filters at sigma 0, 0.3 and 0.6, and
                   PGD-7 training

3 seeds of each, 5 epochs of all training images on MNIST and 10 on CIFAR-10,
last epoch. `--list` names the cells that were not run, with their cost.

Budget: 2.6 hours on 2 CPU cores. Data: MNIST and CIFAR-10 as TFDS folders.

  jaxrobust study --study=configs/studies/stochastic.py \
    --out=results/stochastic --data_dir=DATA --workers=2
  jaxrobust study --study=configs/studies/stochastic.py --list
"""

import jaxrobust
from jaxrobust import methods, training

SIGMAS = (0.2, 0.4, 0.6, 0.8, 1.1)
SIGMA = 0.6
RELUS = ("laplace", "linear", "moment")
OBJECTIVES = (
  "rectified_mse",
  "expected_brier",
  "gaussian_nll",
  "pairwise",
  "cross_entropy_lower",
  "cross_entropy_delta",
  "cross_entropy_tilted",
  "cross_entropy_bohning",
  "cross_entropy_mean_field",
)
SEEDS = 3


def get_study(variant: str | None = None) -> training.Study:
  """The study, or its `quick` variant, which proves only that it runs."""
  cells = [*_mnist_cells(), *_cifar10_cells()]
  if variant:
    cells = [_quick(cell, variant) for cell in cells]
  budget = "2.6 hours on 2 CPU cores" if not variant else "minutes"
  return training.Study("stochastic", budget, tuple(cells))


def _mnist_cells():
  base = _mnist()
  # The fast ones first.
  yield _cell("mnist/baseline", _named(base, "standard", "standard"))
  yield _cell("mnist/sigma", _stochastic(base, 0.0, "laplace"))
  for relu in ("laplace", "linear"):
    for sigma in SIGMAS:
      yield _cell("mnist/sigma", _stochastic(base, sigma, relu))
  config = _named(base, "gaussian", "gaussian(std=0.3)")
  config.method.input.std = 0.3
  yield _cell("mnist/baseline", config)
  config = _named(base, "adversarial", "pgd_training(eps=0.1)")
  config.method.input.eps = 0.1
  config.method.input.steps = 7
  yield _cell("mnist/baseline", config)
  yield _cell("mnist/baseline", _sampled(base, "cross_entropy", "off"))
  yield _cell("mnist/baseline", _sampled(base, "expected_mse", "off"))
  yield _cell("mnist/predict", _sampled(base, "cross_entropy", "mean"))
  yield from _learned(base)
  config = _named(base, "stochastic", "cauchy, pairwise, scale=0.1")
  config.method.forward.sigma = 0.1
  config.method.forward.alpha = 1.0
  config.method.objective.name = "pairwise"
  yield _cell("mnist/objective", config)
  for sigma in SIGMAS:
    yield _cell("mnist/sigma", _stochastic(base, sigma, "moment"))
  config = _stochastic(base, SIGMA, "moment")
  config.method.forward.predict = "off"
  config.method.name += ", noise off"
  yield _cell("mnist/predict", config)
  for objective in OBJECTIVES:
    config = _stochastic(base, SIGMA, "moment")
    config.method.objective.name = objective
    config.method.name = f"{objective}, moment, sigma={SIGMA}"
    yield _cell("mnist/objective", config)


def _learned(base):
  """Sigma from several starts, and with its own learning rate."""
  starts = ((0.1, 1.0), (0.6, 1.0), (2.0, 1.0), (0.6, 15.0))
  for objective, starts_of_it in (
    ("expected_mse", starts),
    ("gaussian_nll", starts[1:3]),
  ):
    for sigma, rate in starts_of_it:
      config = _stochastic(base, sigma, "laplace")
      config.method.forward.learn = True
      config.method.objective.name = objective
      config.optimizer.noise_rate = rate
      config.method.name = f"{objective}, learned from {sigma}, rate x{rate:g}"
      yield _cell("mnist/learned", config)
  config = _stochastic(base, SIGMA, "laplace")
  config.method.forward.learn = True
  config.method.forward.per_channel = True
  config.method.name = "expected_mse, learned per channel from 0.6"
  yield _cell("mnist/learned", config)


def _cifar10_cells():
  base = _base("cifar10", 32, 3)
  base.model.name = "small_cnn"
  base.model.width = 16
  base.model.hidden = (128,)
  base.model.mean = (0.4914, 0.4822, 0.4465)
  base.model.std = (0.2470, 0.2435, 0.2616)
  base.augment.crop_padding = 4
  base.augment.flip = True
  base.optimizer.learning_rate = 2e-3
  base.train.epochs = 10
  base.eval.attack_eps = (2 / 255, 4 / 255, 8 / 255)
  yield _cell("cifar10", _named(base, "standard", "standard"))
  for sigma in (0.0, 0.3, 0.6):
    yield _cell("cifar10", _stochastic(base, sigma, "laplace"))
  config = _named(base, "adversarial", "pgd_training(eps=8/255)")
  config.method.input.eps = 8 / 255
  config.method.input.steps = 7
  yield _cell("cifar10", config)
  base.model.name = "resnet18"
  base.model.width = base.model.hidden = None
  for sigma in (0.0, 0.3, 0.6):
    # The variance of "laplace" is the path norm, which explodes with depth.
    config = _stochastic(base, sigma, "linear")
    reason = "about 15 CPU hours a seed: for a GPU"
    yield _cell("cifar10/resnet18", config, reason)
  config = config.copy_and_resolve_references()
  config.method = methods.preset("adversarial")
  config.method.name = "pgd_training(eps=8/255)"
  config.method.input.eps = 8 / 255
  config.method.input.steps = 7
  reason = "about 60 CPU hours a seed: for a GPU"
  yield _cell("cifar10/resnet18", config, reason)


def _base(name, side, channels):
  config = jaxrobust.default_config()
  config.data.name = name
  config.data.shape = (side, side, channels)
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.schedule.name = "cosine"
  config.train.batch_size = 128
  config.train.devices = 1
  config.eval.batch_size = 1000
  config.eval.gaussian_stds = (0.3,)
  config.eval.alphas = (1.0,)
  config.eval.flip_rates = (0.126,)
  config.eval.attack_steps = 40
  config.eval.attack_restarts = 1
  config.eval.attack_examples = 1000
  config.eval.network = True
  return config


def _mnist():
  config = _base("mnist", 28, 1)
  config.model.name = "lenet5"
  config.train.epochs = 5
  config.eval.attack_eps = (0.05, 0.1, 0.2, 0.3)
  return config


def _named(base, preset, name):
  config = base.copy_and_resolve_references()
  config.method = methods.preset(preset)
  config.method.name = name
  return config


def _stochastic(base, sigma, relu):
  name = f"expected_mse, {relu}, sigma={sigma}" if sigma else "mse, sigma=0"
  config = _named(base, "stochastic", name)
  config.method.forward.sigma = sigma
  config.method.forward.relu = relu
  return config


def _sampled(base, objective, predict):
  """One draw a step; deciding by a mean takes 4 draws at test time."""
  name = f"drawn noise, {objective}, sigma={SIGMA}"
  config = _named(base, "monte_carlo", name)
  config.method.forward.sigma = SIGMA
  config.method.forward.samples = 1
  config.method.forward.predict = predict
  if predict == "mean":
    config.method.name = f"{name}, mean of 4"
    config.method.forward.predict_samples = 4
  config.method.objective.name = objective
  return config


def _cell(group, config, not_run=""):
  name = f"{group}/{config.method.name}"
  return training.Cell(name, training.repeat(config, SEEDS), not_run)


def _quick(cell, variant):
  replicates = []
  for config in cell.replicates[:1]:
    own = config.copy_and_resolve_references()
    replicates.append(jaxrobust.variant(own, variant))
  return training.Cell(cell.name, tuple(replicates), cell.not_run)
