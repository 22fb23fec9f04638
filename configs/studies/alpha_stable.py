r"""The experiments of the alpha-stable noise paper, at matched strengths.

Paper: arXiv 2311.10803. Each network is trained without noise, with Gaussian
noise, with alpha-stable noise of tail index 0.5 to 1.8, and with several tail
indices at once, always at P(|noise| > 0.5) = 0.126, so that what is compared is
the tail and not the strength. Every model is judged clean, under Gaussian noise
and under every tail index at three strengths; its sparsity and what pruning
costs are measured. The paper's widths, epochs and strengths are not known.

  ecg200, libras   fcn1d (64 filters), resnet1d (32 filters) and lstm, 100
                   epochs, 5 seeds; on libras seed s is judged on fold s of 5
  ecg200/fcn1d_batch_norm   the same with BatchNorm in place of GroupNorm
  mnist/mlp        5 seeds, 5 epochs; also mixup, AugMix, L1, L2, dropout, PGD
  map-*            accuracy against the tail index and the strength of the
                   training noise: 3 seeds

MNIST with convolutional networks and CIFAR-10 were not run: their cells,
small_cnn's baselines and sensitivity maps among them, are listed with their
measured cost (`--list`), and all but the mlp's are beyond the budget. To run
one, take its reason away in this file, or train one config of it with a GPU by
`jaxrobust.main`.

Budget: 2 hours on 2 CPU cores. Data: MNIST, ECG200 and LIBRAS as TFDS folders.

  jaxrobust study --study=configs/studies/alpha_stable.py \
    --out=results/alpha_stable --data_dir=DATA --workers=2
  jaxrobust study --study=configs/studies/alpha_stable.py --list
"""

import jaxrobust
from jaxrobust import alpha_stable, methods, training

FLIP_RATE = 0.126
ALPHAS = (0.5, 0.8, 1.0, 1.2, 1.5, 1.8)
SEVERAL = (0.5, 1.0, 1.5, 2.0)
MAP_ALPHAS = (0.5, 1.0, 1.5, 2.0)
MAP_RATES = (0.02, 0.126, 0.3)
# CPU seconds of an update with 128 images of 32x32x3, measured on two cores.
SECONDS_PER_UPDATE = {
  "mlp": 0.02,
  "small_cnn": 0.15,
  "resnet18": 6.4,
  "vgg11": 9.4,
}
NAMES = {"fcn1d": 64, "resnet1d": 32, "lstm": 128}


def get_study(variant: str | None = None) -> training.Study:
  """The study, or its `quick` variant, which proves only that it runs."""
  cells = []
  for name, make in (("ecg200", _ecg200), ("libras", _libras)):
    folds = 5 if name == "libras" else 0
    for model, width in NAMES.items():
      for method in _noises():
        config = _judged(make(model, width))
        config.method = method
        cells.append(_cell(f"{name}/{model}/{method.name}", config, 5, folds))
    cells += _map(name, make("lstm", 64), folds)
  for method in _noises():
    config = _judged(_ecg200("fcn1d", NAMES["fcn1d"]))
    config.model.norm = "batch"
    config.method = method
    name = f"ecg200/fcn1d_batch_norm/{method.name}"
    cells.append(_cell(name, config, 5))
  for method in _noises():
    config = _judged(_mnist())
    config.method = method
    cells.append(_cell(f"mnist/mlp/{method.name}", config, 5))
  cells += [
    _cell(f"mnist/mlp/{config.method.name}", config, 5)
    for config in _baselines(_mnist())
  ]
  cells += _map("mnist", _mnist())
  cells += _not_run()
  study = training.Study("alpha_stable", "2 hours on 2 CPU cores", tuple(cells))
  return study if variant is None else _quick(study, variant)


def _not_run() -> list[training.Cell]:
  """What the paper, or its reader, has too, and two cores have not."""
  cells = []
  for data, shape, epochs in (("mnist", 28, 5), ("cifar10", 32, 10)):
    for model, seconds in SECONDS_PER_UPDATE.items():
      if (data, model) == ("mnist", "mlp"):
        continue
      config = _image(data, model, shape, epochs)
      updates = epochs * {"mnist": 469, "cifar10": 391}[data]
      hours = updates * seconds * (shape / 32) ** 2 / 3600
      reason = f"about {hours:.2f} CPU hours a seed"
      variants = [_with(config, method) for method in _noises()]
      if model in ("mlp", "small_cnn"):
        variants += _baselines(config)
      for own in variants:
        name = f"{data}/{model}/{own.method.name}"
        replicates = training.repeat(own, 5)
        cells.append(training.Cell(name, replicates, reason))
      if (data, model) == ("cifar10", "small_cnn"):
        cells += [
          training.Cell(cell.name, cell.replicates, reason)
          for cell in _map(data, config)
        ]
  return cells


def _with(config, method):
  own = config.copy_and_resolve_references()
  own.method = method
  return own


def _cell(name, config, seeds, folds=0) -> training.Cell:
  return training.Cell(name, training.repeat(config, seeds, folds))


def _map(dataset, config, folds=0) -> list[training.Cell]:
  """Training noise of every tail index and strength, judged at one."""
  cells = []
  for alpha in MAP_ALPHAS:
    for rate in MAP_RATES:
      own = config.copy_and_resolve_references()
      own.method = _stable(alpha, rate)
      own.method.name = f"alpha_stable(alpha={alpha}, flip_rate={rate})"
      own.eval.gaussian_stds = ()
      own.eval.alphas = MAP_ALPHAS
      own.eval.flip_rates = (FLIP_RATE,)
      name = f"map-{dataset}/{own.model.name}/{own.method.name}"
      cells.append(_cell(name, own, 3, folds))
  return cells


def _noises():
  """No noise, Gaussian, each tail index, several: all as strong."""
  yield methods.preset("standard")
  gaussian = methods.preset("gaussian")
  scale = float(alpha_stable.scale_from_flip_rate(2.0, FLIP_RATE))
  gaussian.input.std = scale * 2**0.5
  yield gaussian
  for alpha in ALPHAS:
    method = _stable(alpha, FLIP_RATE)
    method.name = f"alpha_stable(alpha={alpha})"
    yield method
  several = methods.preset("alpha_stable")
  several.name = "alpha_stable(several)"
  several.input.alphas = SEVERAL
  several.input.flip_rate = FLIP_RATE
  yield several


def _stable(alpha, rate):
  method = methods.preset("alpha_stable")
  method.input.alpha = alpha
  method.input.flip_rate = rate
  return method


def _baselines(base):
  """What else the paper's readers would try, each at its usual setting."""

  def fresh():
    return _judged(base.copy_and_resolve_references())

  for name in ("mixup", "augmix"):
    config = fresh()
    config.method = methods.preset(name)
    yield config
  config = fresh()
  config.method = methods.preset("adversarial")
  config.method.name = "pgd_training(eps=0.1)"
  config.method.input.eps = 0.1
  config.method.input.steps = 7
  yield config
  for name, section, field, value in (
    ("l1", "optimizer", "l1", 1e-5),
    ("l2", "optimizer", "weight_decay", 1e-4),
    ("dropout", "model", "dropout", 0.5),
  ):
    config = fresh()
    config.method.name = f"{name}({value:g})"
    if section == "optimizer":
      config.optimizer.decay_on = "kernels"
    config[section][field] = value
    yield config


def _base(name, shape, classes):
  config = jaxrobust.default_config()
  config.data.name = name
  config.data.shape = shape
  config.data.num_classes = classes
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.schedule.name = "cosine"
  config.train.devices = 1
  return config


def _judged(config):
  config.eval.gaussian_stds = (0.1, 0.2, 0.3)
  config.eval.alphas = (*ALPHAS, 2.0)
  config.eval.flip_rates = (0.05, FLIP_RATE, 0.3)
  config.eval.sparsity = True
  return config


def _mnist():
  return _image("mnist", "mlp", 28, epochs=5)


def _image(data, model, side, epochs):
  channels = 3 if data == "cifar10" else 1
  config = _base(data, (side, side, channels), 10)
  config.model.name = model
  config.train.epochs = epochs
  config.train.batch_size = 128
  config.eval.batch_size = 1000
  return config


def _ecg200(model, width):
  config = _base("ecg200", (96, 1), 2)
  return _series(config, model, width)


def _libras(model, width):
  config = _base("libras", (45, 2), 15)
  config.data.standardise = "dataset"
  return _series(config, model, width)


def _series(config, model, width):
  config.model.name = model
  config.model.width = width
  if model == "lstm":
    config.optimizer.learning_rate = 3e-3
    config.optimizer.clip_norm = 1.0
  else:
    # One impulse in a batch spoils its statistics: ecg200/fcn1d_batch_norm.
    config.model.norm = "group"
  config.train.epochs = 100
  config.train.batch_size = 32
  config.eval.batch_size = 100
  return config


def _quick(study, variant) -> training.Study:
  """Two seeds of every cell's shrunken config, and few cells of a map."""
  cells = []
  for position, cell in enumerate(study.cells):
    if cell.name.startswith("map-") and position % 7:
      continue
    replicates = []
    for config in cell.replicates[:2]:
      own = config.copy_and_resolve_references()
      own.data.train_split, own.data.test_split = "train", "test"
      replicates.append(jaxrobust.variant(own, variant))
    cells.append(training.Cell(cell.name, tuple(replicates), cell.not_run))
  return training.Study(
    f"{study.name}:{variant}", "minutes; proves that it runs", tuple(cells)
  )
