r"""Forecasts of volatility from daily returns, trained with and without noise.

Paper: arXiv 2311.10803, open question 3: regression on an impulsive series. The
network and the target are those of `configs/returns_forecast.py`, at the last
of 20 epochs, on the S&P 500 and the NASDAQ: without noise, with Gaussian and
with Cauchy noise at the same P(|noise| > 0.5) = 0.126, 5 seeds.

Budget: minutes on 2 CPU cores. Data: `pip install "jaxrobust[series]"`.

  jaxrobust study --study=configs/studies/returns.py --out=results/returns
"""

import jaxrobust
from jaxrobust import methods, training


def get_study(variant: str | None = None) -> training.Study:
  """The study, or its `quick` variant, which proves only that it runs."""
  cells = []
  for index in ("sp500", "nasdaq"):
    for name, alpha in (("none", None), ("gaussian", 2.0), ("cauchy", 1.0)):
      config = _forecaster(index)
      config.method.name = f"{name}_mse"
      if alpha is None:
        config.method.input.name = "clean"
      else:
        config.method.input.alpha = alpha
        config.method.input.flip_rate = 0.126
      jaxrobust.variant(config, variant)
      seeds = 2 if variant else 5
      cells.append(
        training.Cell(f"{index}/lstm/{name}", training.repeat(config, seeds))
      )
  return training.Study("returns", "minutes on 2 CPU cores", tuple(cells))


def _forecaster(index: str):
  config = jaxrobust.default_config()
  config.data.source = "returns"
  config.data.name = index
  config.data.shape = (64, 1)
  config.data.num_classes = 0
  config.data.targets = 1
  config.data.standardise = "dataset"
  config.model.name = "lstm"
  config.model.width = 32
  config.method = methods.preset("alpha_stable")
  config.method.objective.name = "mse"
  config.schedule.name = "cosine"
  config.train.epochs = 20
  config.train.batch_size = 128
  config.train.devices = 1
  config.eval.gaussian_stds = (0.1, 0.3)
  config.eval.alphas = (1.0, 1.5)
  config.eval.flip_rates = (0.05, 0.126)
  return config
