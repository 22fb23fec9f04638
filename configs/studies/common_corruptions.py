r"""The alpha-stable noise paper's experiment on common corruptions.

Paper: arXiv 2311.10803. A fully connected network on MNIST, trained without
noise, with Gaussian noise, with alpha-stable noise of tail index 0.5 to 1.8 and
with several tail indices at once, all at P(|noise| > 0.5) = 0.126, judged clean
and under the 15 corruptions of MNIST-C on all test images. The corruptions are
made by `jaxrobust.corruptions`, and the rows say `generated`; the official ones
are read with `corrupted_files = "tfds"` where TFDS has mnist_corrupted. The
paper's widths, epochs and strengths are not known.

5 seeds, 5 epochs, last epoch.

Budget: 15 minutes on 2 CPU cores. Data: MNIST as a TFDS folder.

  jaxrobust study --study=configs/studies/common_corruptions.py \
    --out=results/common_corruptions --data_dir=DATA --workers=2
"""

import jaxrobust
from jaxrobust import alpha_stable, methods, training

SEEDS = 5
FLIP_RATE = 0.126
ALPHAS = (0.5, 0.8, 1.0, 1.2, 1.5, 1.8)
SEVERAL = (0.5, 1.0, 1.5, 2.0)


def get_study(variant: str | None = None) -> training.Study:
  """The study, or its `quick` variant, which proves only that it runs."""
  cells = []
  for method in _noises():
    config = _mnist()
    config.method = method
    replicates = training.repeat(config, SEEDS)
    if variant:
      replicates = tuple(
        jaxrobust.variant(own.copy_and_resolve_references(), variant)
        for own in replicates[:2]
      )
    cells.append(training.Cell(f"mnist/mlp/{method.name}", replicates))
  budget = "15 minutes on 2 CPU cores" if not variant else "minutes"
  return training.Study("common_corruptions", budget, tuple(cells))


def _noises():
  """No noise, Gaussian, each tail index, several: all as strong."""
  yield methods.preset("standard")
  gaussian = methods.preset("gaussian")
  scale = float(alpha_stable.scale_from_flip_rate(2.0, FLIP_RATE))
  gaussian.input.std = scale * 2**0.5
  yield gaussian
  for alpha in ALPHAS:
    method = methods.preset("alpha_stable")
    method.name = f"alpha_stable(alpha={alpha})"
    method.input.alpha = alpha
    method.input.flip_rate = FLIP_RATE
    yield method
  several = methods.preset("alpha_stable")
  several.name = "alpha_stable(several)"
  several.input.alphas = SEVERAL
  several.input.flip_rate = FLIP_RATE
  yield several


def _mnist():
  config = jaxrobust.default_config()
  config.data.name = "mnist"
  config.data.shape = (28, 28, 1)
  config.model.name = "mlp"
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.schedule.name = "cosine"
  config.train.devices = 1
  config.train.epochs = 5
  config.train.batch_size = 128
  config.eval.batch_size = 1000
  config.eval.gaussian_stds = config.eval.alphas = ()
  config.eval.corruption_table = "mnist"
  config.eval.corruptions = ("common",)
  config.eval.corruption_examples = 0
  return config
