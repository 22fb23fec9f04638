r"""The residual network on ECG200, trained with alpha-stable noise.

Paper: arXiv 2311.10803: x + c X, never clipped, X standard alpha-stable with
characteristic function exp(-|t|^alpha). Cauchy (alpha = 1) at flip rate
P(|noise| > 0.5) = 0.126, which is scale 0.1.
The paper's optimiser, epochs and strengths are not known.

Data: ECG200 of the UCR archive as a TFDS folder (`--config.data.data_dir`): 100
heartbeats to train on and 100 to test on, of 96 steps, in 2 classes; each comes
z-normalised, so that strengths are in its standard deviations. From the
archive's own files: `--config.data.source=ucr --config.data.path=FOLDER`.
Hardware: 2 CPU cores. Time: under a minute (43 s of CPU time).
Result, one seed, test accuracy in percent; Cauchy at the two flip rates:

  trained with               clean  Gaussian .3  Cauchy .126  Cauchy .3
  Cauchy, this config           81           77           76         68

The test set is small: a 95 % interval is about 8 points either way. The
settings were chosen by looking at the test set, so this is no comparison of
methods: that is configs/studies/alpha_stable.py, with its rows in
results/alpha_stable.

  python -m jaxrobust.main --config=configs/ecg200_resnet1d.py \
    --workdir=runs/ecg200_resnet1d

Without noise, or with Gaussian noise at the same P(|noise| > 0.5):

  python -m jaxrobust.main --config=configs/ecg200_resnet1d.py \
    --config.method.name=standard --config.method.input.name=clean \
    --config.method.input.alpha=None --config.method.input.flip_rate=None \
    --workdir=runs/ecg200_resnet1d_standard
  python -m jaxrobust.main --config=configs/ecg200_resnet1d.py \
    --config.method.input.alpha=2.0 \
    --workdir=runs/ecg200_resnet1d_gaussian
"""

import jaxrobust
from jaxrobust import methods


def get_config(variant: str | None = None):
  """The config, or its `quick` variant."""
  config = jaxrobust.default_config()
  config.data.name = "ecg200"
  config.data.shape = (96, 1)
  config.data.num_classes = 2
  config.model.name = "resnet1d"
  # Batch statistics do not outlive an impulse that nothing clips.
  config.model.norm = "group"
  config.method = methods.preset("alpha_stable")
  config.method.input.alpha = 1.0
  config.method.input.flip_rate = 0.126
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 1e-3
  config.schedule.name = "cosine"
  config.train.epochs = 100
  config.train.batch_size = 32
  config.checkpoint.every_epochs = 50
  return jaxrobust.variant(config, variant)
