"""What a trained model is worth: the suite, its metrics and its rows."""

from jaxrobust.evaluation.metrics import (
  expected_calibration_error as expected_calibration_error,
)
from jaxrobust.evaluation.metrics import summarise as summarise
from jaxrobust.evaluation.metrics import wilson_interval as wilson_interval
from jaxrobust.evaluation.perturbations import Perturbation as Perturbation
from jaxrobust.evaluation.perturbations import grid as grid
from jaxrobust.evaluation.perturbations import judge as judge
from jaxrobust.evaluation.perturbations import (
  make_predict_step as make_predict_step,
)
from jaxrobust.evaluation.results import COLUMNS as COLUMNS
from jaxrobust.evaluation.results import Results as Results
from jaxrobust.evaluation.results import read_rows as read_rows
from jaxrobust.evaluation.suite import Subject as Subject
from jaxrobust.evaluation.suite import accuracy_table as accuracy_table
from jaxrobust.evaluation.suite import run as run
