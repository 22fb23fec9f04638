"""The slots of a method, input, view, forward, objective; and the presets."""

from jaxrobust.methods.context import Context as Context
from jaxrobust.methods.forwards import FORWARDS as FORWARDS
from jaxrobust.methods.inner_noise import NOISE as NOISE
from jaxrobust.methods.inner_noise import network as network
from jaxrobust.methods.inner_noise import path_norm as path_norm
from jaxrobust.methods.inputs import INPUTS as INPUTS
from jaxrobust.methods.method import PRESETS as PRESETS
from jaxrobust.methods.method import Method as Method
from jaxrobust.methods.method import build as build
from jaxrobust.methods.method import check_name as check_name
from jaxrobust.methods.method import preset as preset
from jaxrobust.methods.objectives import HARD_LABELS as HARD_LABELS
from jaxrobust.methods.objectives import OBJECTIVES as OBJECTIVES
from jaxrobust.methods.objectives import (
  REGRESSION_OBJECTIVES as REGRESSION_OBJECTIVES,
)
from jaxrobust.methods.setting import Notes as Notes
from jaxrobust.methods.setting import Setting as Setting
from jaxrobust.methods.smoothing import GRADIENTS as GRADIENTS
from jaxrobust.methods.smoothing import Smoothing as Smoothing
from jaxrobust.methods.views import VIEWS as VIEWS
from jaxrobust.methods.views import View as View
