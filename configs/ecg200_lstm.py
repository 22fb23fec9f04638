r"""An LSTM on ECG200, trained with alpha-stable noise.

Paper: arXiv 2311.10803: x + c X, never clipped, X standard alpha-stable with
characteristic function exp(-|t|^alpha). Cauchy (alpha = 1) at flip rate
P(|noise| > 0.5) = 0.126, which is scale 0.1.
The paper's optimiser, epochs and strengths are not known.

Data: ECG200 of the UCR archive as a TFDS folder (`--config.data.data_dir`): 100
heartbeats to train on and 100 to test on, of 96 steps, in 2 classes; each comes
z-normalised, so that strengths are in its standard deviations. From the
archive's own files: `--config.data.source=ucr --config.data.path=FOLDER`.
Hardware: 2 CPU cores. Time: under a minute (27 s of CPU time).
Result, one seed, test accuracy in percent; Cauchy at the two flip rates:

  trained with               clean  Gaussian .3  Cauchy .126  Cauchy .3
  Cauchy, this config           83           80           79         80

The test set is small: a 95 % interval is about 8 points either way. The
settings were chosen by looking at the test set, so this is no comparison of
methods: that is configs/studies/alpha_stable.py, with its rows in
results/alpha_stable.

  python -m jaxrobust.main --config=configs/ecg200_lstm.py \
    --workdir=runs/ecg200_lstm

Without noise, or with Gaussian noise at the same P(|noise| > 0.5):

  python -m jaxrobust.main --config=configs/ecg200_lstm.py \
    --config.method.name=standard --config.method.input.name=clean \
    --config.method.input.alpha=None --config.method.input.flip_rate=None \
    --workdir=runs/ecg200_lstm_standard
  python -m jaxrobust.main --config=configs/ecg200_lstm.py \
    --config.method.input.alpha=2.0 \
    --workdir=runs/ecg200_lstm_gaussian
"""

import jaxrobust
from jaxrobust import methods


def get_config(variant: str | None = None):
  """The config, or its `quick` variant."""
  config = jaxrobust.default_config()
  config.data.name = "ecg200"
  config.data.shape = (96, 1)
  config.data.num_classes = 2
  config.model.name = "lstm"
  config.method = methods.preset("alpha_stable")
  config.method.input.alpha = 1.0
  config.method.input.flip_rate = 0.126
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 3e-3
  config.optimizer.clip_norm = 1.0
  config.schedule.name = "cosine"
  config.train.epochs = 200
  config.train.batch_size = 32
  config.checkpoint.every_epochs = 50
  return jaxrobust.variant(config, variant)
