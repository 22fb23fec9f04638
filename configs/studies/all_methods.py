r"""Every preset, and the first mixtures, through the standard suite.

MNIST, LeNet-5: clean and under noise grids and occlusion on all test images,
under MNIST-C's corruptions (made by us, `generated`) on 2,000, under the
standard ensemble of attacks at eps 0.1 on the first 1,000; calibration. Noise
inside a network is attacked adaptively, smoothers through their derivative,
straight through them and past them; where there is a smoother, each attack has
20 steps in place of 100 and Square 1,000 queries in place of 5,000, which the
rows say.

  mnist/lenet5       every preset, and three mixtures: alpha-stable noise as
                     the second view of the discriminative objective; the
                     smoother before the moments; alpha-stable noise outside,
                     and inside to first order, of one tail index
  cifar10/resnet18   the same

3 seeds of each, 5 epochs of all training images, last epoch. `--list` names the
cells that were not run, with their cost.

Budget: 1.3 hours on 2 CPU cores, 430 to 930 CPU seconds a cell and 2,000 where
there is noise inside. Data: MNIST as a TFDS folder.

  jaxrobust study --study=configs/studies/all_methods.py \
    --out=results/all_methods --data_dir=DATA --workers=2
"""

import jaxrobust
from jaxrobust import methods, training
from jaxrobust.training import suites

SEEDS = 3
EPS = 0.1
FLIP_RATE = 0.126
GPU = "for a GPU: a ResNet-18 takes some 15 CPU hours a seed"
# Beyond the budget with the others; CPU seconds, by those of parts of them.
NOT_YET = {
  "monte_carlo": "about 2,500 CPU s",
  "inverse_scale": "about 2,500 CPU s",
  "adversarial": "about 1,800 CPU s",
  "inverse_scale x stochastic": "about 5,000 CPU s",
  "alpha_stable x stochastic": "about 2,100 CPU s",
}


def get_study(variant: str | None = None) -> training.Study:
  """The study, or its `quick` variant, which proves only that it runs."""
  cells = [
    *_cells("mnist/lenet5", _mnist(), ""),
    *_cells("cifar10/resnet18", _cifar10(), GPU),
  ]
  if variant:
    cells = [_quick(cell, variant) for cell in cells]
  budget = "1.3 hours on 2 CPU cores" if not variant else "minutes"
  return training.Study("all_methods", budget, tuple(cells))


def _cells(group, base, not_run):
  for method in (*_presets(), *_mixtures()):
    config = base.copy_and_resolve_references()
    config.method = method
    suites.apply_suite(config, "standard")
    # A study keeps numbers, and no pictures.
    config.eval.pictures = False
    config.eval.gaussian_stds = (0.2, 0.4)
    config.eval.alphas, config.eval.flip_rates = (1.0,), (FLIP_RATE,)
    if method.input.name == "inverse_scale":
      config.eval.standard_steps, config.eval.standard_queries = 20, 1000
    replicates = training.repeat(config, SEEDS)
    reason = not_run or NOT_YET.get(method.name, "")
    yield training.Cell(f"{group}/{method.name}", replicates, reason)


def _presets():
  """Gaussian noise of a std of 0.3; what is inside as in its own study."""
  yield methods.preset("standard")
  yield _preset("gaussian", input={"std": 0.3})
  yield _stable("alpha_stable")
  yield _preset("stochastic", forward={"sigma": 0.6})
  yield _preset("monte_carlo", forward={"sigma": 0.6})
  yield _viewed("discriminative")
  yield methods.preset("margin_compactness")
  yield _viewed("stability")
  yield _viewed("clean_and_noisy")
  yield _preset("inverse_scale", input={"fractions": (0.3,)})
  yield _preset("adversarial", input={"eps": EPS, "steps": 7})
  yield methods.preset("mixup")
  yield methods.preset("augmix")


def _mixtures():
  """The first three that nobody has tried."""
  method = _viewed("discriminative")
  method.name = "alpha_stable x discriminative"
  method.view.name = "alpha_stable"
  method.view.std = None
  method.view.update({"alpha": 1.0, "flip_rate": FLIP_RATE})
  yield method
  method = _preset("inverse_scale", input={"fractions": (0.3,)})
  stochastic = _preset("stochastic", forward={"sigma": 0.6})
  method.name = "inverse_scale x stochastic"
  method.forward, method.objective = stochastic.forward, stochastic.objective
  yield method
  method = _stable("alpha_stable x stochastic")
  method.forward = _preset(
    "stochastic", forward={"sigma": 0.1, "alpha": 1.0}
  ).forward
  method.objective.name = "pairwise"
  yield method


def _preset(name, **slots):
  method = methods.preset(name)
  for slot, options in slots.items():
    method[slot].update(options)
  return method


def _stable(name):
  options = {"alpha": 1.0, "flip_rate": FLIP_RATE}
  method = _preset("alpha_stable", input=options)
  method.name = name
  return method


def _viewed(name):
  method = _preset(name, view={"std": 0.3})
  if name == "stability":
    # At 1, where it is for a std of 0.2, it collapses to one class.
    method.objective.weight = 0.1
  return method


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
  config.eval.attack_eps = (EPS,)
  return config


def _mnist():
  config = _base("mnist", 28, 1)
  config.model.name = "lenet5"
  config.train.epochs = 5
  return config


def _cifar10():
  config = _base("cifar10", 32, 3)
  config.model.name = "resnet18"
  config.train.epochs = 100
  config.augment.crop_padding = 4
  config.augment.flip = True
  config.eval.attack_eps = (8 / 255,)
  return config


def _quick(cell, variant):
  own = cell.replicates[0].copy_and_resolve_references()
  return training.Cell(
    cell.name, (jaxrobust.variant(own, variant),), cell.not_run
  )
