"""Training: config, state, step, devices, checkpoints and the loop."""

from jaxrobust.training.checks import validate as validate
from jaxrobust.training.config import ConfigError as ConfigError
from jaxrobust.training.config import default_config as default_config
from jaxrobust.training.config import variant as variant
from jaxrobust.training.evaluate import evaluate as evaluate
from jaxrobust.training.evaluate import judge_function as judge_function
from jaxrobust.training.features import RunFeatures as RunFeatures
from jaxrobust.training.features import run_features as run_features
from jaxrobust.training.loop import NonFiniteLoss as NonFiniteLoss
from jaxrobust.training.loop import Outcome as Outcome
from jaxrobust.training.loop import train as train
from jaxrobust.training.study import Cell as Cell
from jaxrobust.training.study import Study as Study
from jaxrobust.training.study import repeat as repeat
