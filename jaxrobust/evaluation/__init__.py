"""What a trained model is worth: the suite, its metrics and its rows."""

from jaxrobust.evaluation.attack_rows import Attack as Attack
from jaxrobust.evaluation.attack_rows import AttackSteps as AttackSteps
from jaxrobust.evaluation.attack_rows import attack_cells as attack_cells
from jaxrobust.evaluation.attack_rows import is_attack as is_attack
from jaxrobust.evaluation.attack_rows import (
  make_attack_steps as make_attack_steps,
)
from jaxrobust.evaluation.metrics import (
  expected_calibration_error as expected_calibration_error,
)
from jaxrobust.evaluation.metrics import summarise as summarise
from jaxrobust.evaluation.metrics import wilson_interval as wilson_interval
from jaxrobust.evaluation.network_rows import NETWORK as NETWORK
from jaxrobust.evaluation.network_rows import (
  measure_network as measure_network,
)
from jaxrobust.evaluation.network_rows import (
  prediction_flops as prediction_flops,
)
from jaxrobust.evaluation.perturbations import Perturbation as Perturbation
from jaxrobust.evaluation.perturbations import grid as grid
from jaxrobust.evaluation.perturbations import judge as judge
from jaxrobust.evaluation.perturbations import (
  make_predict_step as make_predict_step,
)
from jaxrobust.evaluation.perturbations import perturb as perturb
from jaxrobust.evaluation.regression import (
  judge_regression as judge_regression,
)
from jaxrobust.evaluation.regression import (
  summarise_regression as summarise_regression,
)
from jaxrobust.evaluation.results import COLUMNS as COLUMNS
from jaxrobust.evaluation.results import Results as Results
from jaxrobust.evaluation.results import read_rows as read_rows
from jaxrobust.evaluation.sparsity import exact_zeros as exact_zeros
from jaxrobust.evaluation.sparsity import hoyer as hoyer
from jaxrobust.evaluation.sparsity import hoyer_per_tensor as hoyer_per_tensor
from jaxrobust.evaluation.sparsity import prune as prune
from jaxrobust.evaluation.sparsity import share_below as share_below
from jaxrobust.evaluation.sparsity import (
  share_below_relative as share_below_relative,
)
from jaxrobust.evaluation.sparsity import share_below_rms as share_below_rms
from jaxrobust.evaluation.sparsity import weight_norm as weight_norm
from jaxrobust.evaluation.sparsity_rows import PRUNED as PRUNED
from jaxrobust.evaluation.sparsity_rows import WEIGHTS as WEIGHTS
from jaxrobust.evaluation.sparsity_rows import (
  measure_weights as measure_weights,
)
from jaxrobust.evaluation.sparsity_rows import pruned_cells as pruned_cells
from jaxrobust.evaluation.suite import Subject as Subject
from jaxrobust.evaluation.suite import accuracy_table as accuracy_table
from jaxrobust.evaluation.suite import run as run
from jaxrobust.evaluation.tasks import CLASSIFICATION as CLASSIFICATION
from jaxrobust.evaluation.tasks import REGRESSION as REGRESSION
from jaxrobust.evaluation.tasks import Task as Task
from jaxrobust.evaluation.tasks import task_of as task_of
