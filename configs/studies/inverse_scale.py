r"""The experiments of the paper on inverse-scale smoothing, attacked.

Paper: arXiv 2409.18419. Training on images with a share of their edges, fixed
or from coarse to fine, against no smoothing and four other smoothers. Judged
behind the smoother and without it, the main level also with a level for each
image: clean, under Gaussian, drifting Gaussian, shot and impulse noise, at a
lower resolution, by PGD through the smoother, the worst of its derivative,
straight through it and past it, on the first 1,000 test images, and by 500
queries of Square on the first 200.

  mnist/level        fixed levels, LeNet-5
  mnist/iterative    levels from coarse to fine, each anew or of one flow
  mnist/baseline     standard, and four other smoothers
  mnist/sensitivity  steps, and with them kappa, splitting and output
  cifar10/...        the same without the last, a CNN of 16 and 32 filters
  cifar10/resnet18   the paper's network, with AdaBN and TENT beside it
  cifar100           fixed and iterative under PGD, ResNet-18

3 seeds of each, 5 epochs of all training images on MNIST and 10 on CIFAR-10,
last epoch. `--list` names the cells that were not run, with their cost.

Budget: 2.2 hours on 2 CPU cores. Data: MNIST and CIFAR-10 as TFDS folders.

  jaxrobust study --study=configs/studies/inverse_scale.py \
    --out=results/inverse_scale --data_dir=DATA --workers=2
  jaxrobust study --study=configs/studies/inverse_scale.py --list
"""

import jaxrobust
from jaxrobust import methods, training

SEEDS = 3
MNIST_LEVEL, CIFAR10_LEVEL = 0.2, 0.6
MNIST_LEVELS = (0.15, 0.2, 0.3)
CIFAR10_LEVELS = (0.3, 0.6)
MNIST_SCHEDULE = (0.1, 0.15, 0.2, 0.3)
CIFAR10_SCHEDULE = (0.2, 0.3, 0.4, 0.5, 0.6)
# name: parameters
MNIST_BASELINES = {
  "blur": {"sigma": 1.0},
  "low_pass": {"cutoff": 0.5},
  "median": {"size": 3},
  "chambolle": {"weight": 0.3},
}
CIFAR10_BASELINES = {
  "blur": {"sigma": 0.7},
  "low_pass": {"cutoff": 0.6},
  "median": {"size": 3},
  "chambolle": {"weight": 0.1},
}
SENSITIVITY = {
  "steps=5": {"steps": 5},
  "nu=0.3": {"nu": 0.3},
  "Py": {"output": "Py"},
  "x": {"output": "x"},
}
GPU = "for a GPU: a ResNet-18 takes some 15 CPU hours a seed"


def get_study(variant: str | None = None) -> training.Study:
  """The study, or its `quick` variant, which proves only that it runs."""
  cells = [*_mnist_cells(), *_cifar10_cells(), *_gpu_cells()]
  if variant:
    cells = [_quick(cell, variant) for cell in cells]
  budget = "2.2 hours on 2 CPU cores" if not variant else "minutes"
  return training.Study("inverse_scale", budget, tuple(cells))


def _mnist_cells():
  base = _mnist()
  yield _cell("mnist/baseline", _plain(base))
  for level in MNIST_LEVELS:
    yield _cell("mnist/level", _smoothed(base, f"level {level}", level))
  for name, options in MNIST_BASELINES.items():
    yield _cell("mnist/baseline", _baseline(base, name, options))
  yield _cell("mnist/iterative", _iterative(base, MNIST_SCHEDULE))
  config = _iterative(base, MNIST_SCHEDULE, flow="carried", steps=80)
  config.method.name += ", one flow"
  yield _cell("mnist/iterative", config)
  for name, options in SENSITIVITY.items():
    config = _smoothed(
      base, f"level {MNIST_LEVEL}, {name}", MNIST_LEVEL, **options
    )
    yield _cell("mnist/sensitivity", config)


def _cifar10_cells():
  base = _cifar10()
  yield _cell("cifar10/baseline", _plain(base))
  for level in CIFAR10_LEVELS:
    yield _cell("cifar10/level", _smoothed(base, f"level {level}", level))
  for name, options in CIFAR10_BASELINES.items():
    yield _cell("cifar10/baseline", _baseline(base, name, options))
  yield _cell("cifar10/iterative", _iterative(base, CIFAR10_SCHEDULE))


def _gpu_cells():
  base = _cifar10()
  base.model.name = "resnet18"
  base.model.width = base.model.hidden = None
  base.optimizer.name = "sgd"
  base.optimizer.learning_rate = 0.1
  base.optimizer.weight_decay = 5e-4
  base.schedule.warmup_epochs = 1.0
  base.train.epochs = 100
  base.eval.adapt = ("adabn", "tent")
  yield _cell("cifar10/resnet18", _plain(base), GPU)
  yield _cell("cifar10/resnet18", _smoothed(base, "level 0.6", 0.6), GPU)
  base.data.name = "cifar100"
  base.data.num_classes = 100
  base.train.epochs = 200
  base.eval.adapt = ()
  yield _cell("cifar100", _plain(base), GPU)
  yield _cell("cifar100", _smoothed(base, "level 0.6", 0.6), GPU)
  yield _cell("cifar100", _iterative(base, CIFAR10_SCHEDULE), GPU)


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
  config.eval.attack_steps = 20
  config.eval.attack_examples = 1000
  config.eval.attack_queries = 500
  return config


def _mnist():
  config = _base("mnist", 28, 1)
  config.model.name = "lenet5"
  config.optimizer.learning_rate = 1e-3
  config.train.epochs = 5
  config.eval.gaussian_stds = (0.2, 0.4)
  config.eval.drift_stds = (0.6,)
  config.eval.shot = (5.0,)
  config.eval.salt_and_pepper = (0.1,)
  config.eval.resolutions = (1 / 2,)
  config.eval.attack_eps = (0.1,)
  return config


def _cifar10():
  config = _base("cifar10", 32, 3)
  config.model.name = "small_cnn"
  config.model.width = 16
  config.model.hidden = (128,)
  config.model.mean = (0.4914, 0.4822, 0.4465)
  config.model.std = (0.2470, 0.2435, 0.2616)
  config.augment.crop_padding = 4
  config.augment.flip = True
  config.optimizer.learning_rate = 2e-3
  config.train.epochs = 10
  config.eval.gaussian_stds = (0.04, 0.08, 0.12)
  config.eval.drift_stds = (0.2,)
  config.eval.shot = (50.0,)
  config.eval.salt_and_pepper = (0.03,)
  config.eval.resolutions = (1 / 2,)
  config.eval.attack_eps = (2 / 255,)
  return config


def _plain(base):
  config = base.copy_and_resolve_references()
  config.method = methods.preset("standard")
  return config


def _baseline(base, name, options):
  config = _plain(base)
  config.method.name = config.method.input.name = name
  config.method.input.update(options)
  config.eval.smooth_evals = ("off",)
  return config


def _smoothed(base, name, level, **options):
  config = base.copy_and_resolve_references()
  config.method = methods.preset("inverse_scale")
  config.method.name = f"inverse_scale, {name}"
  config.method.input.fractions = (level,)
  config.method.input.update(options)
  config.eval.smooth_evals = ("off",)
  if level in (MNIST_LEVEL, CIFAR10_LEVEL) and not options:
    config.eval.smooth_evals = ("off", "adaptive")
  return config


def _iterative(base, fractions, **options):
  config = _smoothed(base, "iterative", fractions[-1], **options)
  config.method.input.fractions = fractions
  config.eval.smooth_evals = ("off",)
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
