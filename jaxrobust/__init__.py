"""Networks that keep working on noisy, corrupted or attacked inputs, in JAX."""

from jaxrobust import alpha_stable as alpha_stable
from jaxrobust import data as data
from jaxrobust import evaluation as evaluation
from jaxrobust import methods as methods
from jaxrobust import models as models
from jaxrobust import training as training
from jaxrobust.export import load as load
from jaxrobust.training import ConfigError as ConfigError
from jaxrobust.training import default_config as default_config
from jaxrobust.training import evaluate as evaluate
from jaxrobust.training import judge_function as judge_function
from jaxrobust.training import train as train
from jaxrobust.training import validate as validate
from jaxrobust.training import variant as variant
