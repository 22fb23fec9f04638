r"""The experiments of the paper on compact classes and noisy views, and beyond.

Paper: arXiv 2405.18499. The baselines of the paper and its method, under its
perturbations and under others that it was not trained for, on MNIST and on
CIFAR-10; what its parts are worth; other noise in the second view; whether
delta_d > 2 delta_v matters; curvature and feature geometry beside accuracy.

  mnist/method     the paper's baselines and its method, LeNet-5, noise of std
                   0.2
  mnist/ablation   parts of the loss, and of the centroids, left out or changed
  mnist/view       uniform, Laplace and Cauchy noise in the second view, of the
                   same standard deviation or, for Cauchy, rate of flips
  mnist/deltas     delta_v x delta_d, on a validation split: train[90%:]
  cifar10/method   the paper's baselines and its method, a small CNN of 16 and
                   32 filters, noise of std 0.06
  cifar10/resnet18 the paper's network and recipe

Judged clean and under Gaussian and uniform noise, patches, reduced resolution,
Gaussian noise with patches, salt and pepper, and by PGD on the first 1,000 test
images; the methods' curvature on the first 1,000, too. 3 seeds of each, 5
epochs of all training images on MNIST and 10 on CIFAR-10, last epoch. `--list`
names the cells that were not run, with their cost.

Budget: 2 hours on 2 CPU cores. Data: MNIST and CIFAR-10 as TFDS folders.

  jaxrobust study --study=configs/studies/discriminative.py \
    --out=results/discriminative --data_dir=DATA --workers=2
  jaxrobust study --study=configs/studies/discriminative.py --list
"""

import math

import jaxrobust
from jaxrobust import methods, training

SEEDS = 3
# name: (preset, fields of the objective)
METHODS = {
  "standard": ("standard", {}),
  "noisy_only": ("gaussian", {}),
  "both": ("clean_and_noisy", {}),
  "stability": ("stability", {}),
  "no_view": ("margin_compactness", {}),
  "discriminative": ("discriminative", {}),
}
ABLATIONS = {
  "margin only": {"compactness_weight": 0.0},
  "compactness only": {"margin_weight": 0.0},
  "momentum for all": {"centroid": "momentum"},
  "naive for all": {"centroid": "naive"},
  "detached head": {"detach_head": True},
}
# (delta_v, delta_d); the paper's is (0.5, 5).
DELTAS = tuple((v, d) for v in (0.5, 2.0) for d in (0.5, 2.0, 5.0))
MNIST_STD, CIFAR10_STD = 0.2, 0.06


def get_study(variant: str | None = None) -> training.Study:
  """The study, or its `quick` variant, which proves only that it runs."""
  cells = [*_mnist_cells(), *_cifar10_cells()]
  if variant:
    cells = [_quick(cell, variant) for cell in cells]
  budget = "2 hours on 2 CPU cores" if not variant else "minutes"
  return training.Study("discriminative", budget, tuple(cells))


def _mnist_cells():
  base = _mnist()
  for name in METHODS:
    yield _cell("mnist/method", _method(base, name, MNIST_STD))
  base.eval.curvature_examples = 0
  for name, fields in ABLATIONS.items():
    config = _method(base, "discriminative", MNIST_STD)
    config.method.name = f"discriminative, {name}"
    config.method.objective.update(fields)
    yield _cell("mnist/ablation", config)
  yield from _views(base)
  for delta_v, delta_d in DELTAS:
    config = _method(base, "discriminative", MNIST_STD)
    config.method.name = f"delta_v={delta_v}, delta_d={delta_d}"
    config.method.objective.delta_v = delta_v
    config.method.objective.delta_d = delta_d
    config.data.train_split = "train[:90%]"
    config.data.test_split = "train[90%:]"
    yield _cell("mnist/deltas", config)


def _views(base):
  """Other noise of the strength of the Gaussian one."""
  for name, parameters in (
    ("uniform", {"eps": MNIST_STD * math.sqrt(3)}),
    ("laplace", {"std": MNIST_STD}),
    # P(|noise| > 0.5) of Gaussian noise of std 0.2.
    ("alpha_stable", {"alpha": 1.0, "flip_rate": 0.0124}),
  ):
    config = _method(base, "discriminative", MNIST_STD)
    config.method.view.name = name
    config.method.view.std = None
    config.method.view.update(parameters)
    config.method.name = f"discriminative, {name} view"
    yield _cell("mnist/view", config)


def _cifar10_cells():
  base = _cifar10()
  for name in METHODS:
    yield _cell("cifar10/method", _method(base, name, CIFAR10_STD))
  base.model.name = "resnet18"
  base.model.width = base.model.hidden = None
  base.model.feature_dim = 128
  base.optimizer.name = "sgd"
  base.optimizer.learning_rate = 1e-3
  base.optimizer.momentum = 0.9
  base.optimizer.nesterov = True
  base.optimizer.weight_decay = 5e-4
  base.schedule.name = "multistep"
  base.schedule.boundaries = (60, 120, 160)
  base.schedule.factor = 0.2
  base.train.epochs = 200
  base.train.batch_size = 64
  for name in METHODS:
    reason = "about 300 CPU hours a seed, twice that with two views: for a GPU"
    yield _cell(
      "cifar10/resnet18", _method(base, name, CIFAR10_STD), not_run=reason
    )


def _base(name, side, channels):
  config = jaxrobust.default_config()
  config.data.name = name
  config.data.shape = (side, side, channels)
  config.optimizer.name = "adam"
  config.schedule.name = "cosine"
  config.train.batch_size = 128
  config.train.devices = 1
  config.eval.batch_size = 1000
  config.eval.alphas = ()
  config.eval.attack_restarts = 1
  config.eval.attack_examples = 1000
  config.eval.curvature_examples = 1000
  return config


def _mnist():
  config = _base("mnist", 28, 1)
  config.model.name = "lenet5"
  config.model.feature_dim = 64
  config.optimizer.learning_rate = 1e-3
  config.train.epochs = 5
  config.eval.gaussian_stds = (0.1, 0.2, 0.4)
  config.eval.uniform_eps = (0.2, 0.4)
  config.eval.patches = ("4x7",)
  config.eval.resolutions = (1 / 2, 1 / 3)
  config.eval.combined = ("0.2+4x7",)
  config.eval.salt_and_pepper = (0.05, 0.1)
  config.eval.attack_eps = (0.05, 0.1)
  config.eval.curvature_h = (0.1, 0.01, 0.001)
  config.eval.curvature_std = (0.1,)
  config.eval.features_stds = (MNIST_STD,)
  return config


def _cifar10():
  config = _base("cifar10", 32, 3)
  config.model.name = "small_cnn"
  config.model.width = 16
  config.model.hidden = (128,)
  config.model.feature_dim = 64
  config.model.mean = (0.4914, 0.4822, 0.4465)
  config.model.std = (0.2470, 0.2435, 0.2616)
  config.augment.crop_padding = 4
  config.augment.flip = True
  config.optimizer.learning_rate = 2e-3
  config.train.epochs = 10
  config.eval.gaussian_stds = (8 / 255, 0.06, 0.1)
  config.eval.uniform_eps = (8 / 255, 0.1)
  config.eval.patches = ("4x8",)
  config.eval.resolutions = (1 / 2, 1 / 3)
  config.eval.combined = ("0.06+4x8",)
  config.eval.salt_and_pepper = (0.02, 0.05)
  config.eval.attack_eps = (2 / 255,)
  config.eval.attack_steps = 20
  config.eval.curvature_std = (8 / 255,)
  config.eval.features_stds = (CIFAR10_STD,)
  return config


def _method(base, name, std):
  config = base.copy_and_resolve_references()
  preset, fields = METHODS[name]
  config.method = methods.preset(preset)
  config.method.name = name
  config.method.objective.update(fields)
  for slot in (config.method.input, config.method.view):
    if slot.name == "gaussian":
      slot.std = std
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
