"""What a trained model is worth: the suite, its metrics and its rows."""

from jaxrobust.evaluation.adaptation import ADAPTATIONS as ADAPTATIONS
from jaxrobust.evaluation.adaptation import TENT_OPTIMIZERS as TENT_OPTIMIZERS
from jaxrobust.evaluation.adaptation import adapted as adapted
from jaxrobust.evaluation.adaptation import entropy as entropy
from jaxrobust.evaluation.adaptation import is_variant as is_variant
from jaxrobust.evaluation.adaptation import (
  make_statistics_step as make_statistics_step,
)
from jaxrobust.evaluation.adaptation import make_tent_step as make_tent_step
from jaxrobust.evaluation.adaptation import norm_layers as norm_layers
from jaxrobust.evaluation.adaptation import norm_parameters as norm_parameters
from jaxrobust.evaluation.adaptation import pool_statistics as pool_statistics
from jaxrobust.evaluation.adaptation import smoothed_as as smoothed_as
from jaxrobust.evaluation.adaptation import tent_optimizer as tent_optimizer
from jaxrobust.evaluation.adaptation import with_arrays as with_arrays
from jaxrobust.evaluation.attack_rows import Attack as Attack
from jaxrobust.evaluation.attack_rows import AttackSteps as AttackSteps
from jaxrobust.evaluation.attack_rows import attack_cells as attack_cells
from jaxrobust.evaluation.attack_rows import is_attack as is_attack
from jaxrobust.evaluation.attack_rows import (
  make_attack_steps as make_attack_steps,
)
from jaxrobust.evaluation.corruption_rows import Corruption as Corruption
from jaxrobust.evaluation.corruption_rows import (
  corruption_cells as corruption_cells,
)
from jaxrobust.evaluation.corruption_rows import (
  make_corrupt_step as make_corrupt_step,
)
from jaxrobust.evaluation.corruption_rows import (
  make_judge_step as make_judge_step,
)
from jaxrobust.evaluation.corruption_rows import (
  parse_combined as parse_combined,
)
from jaxrobust.evaluation.corruption_rows import parse_patches as parse_patches
from jaxrobust.evaluation.curvature import Probed as Probed
from jaxrobust.evaluation.curvature import Spectrum as Spectrum
from jaxrobust.evaluation.curvature import (
  finite_difference as finite_difference,
)
from jaxrobust.evaluation.curvature import gauss_newton as gauss_newton
from jaxrobust.evaluation.curvature import hutchinson as hutchinson
from jaxrobust.evaluation.curvature import top_eigenvalue as top_eigenvalue
from jaxrobust.evaluation.curvature_rows import CURVATURE as CURVATURE
from jaxrobust.evaluation.curvature_rows import Curvature as Curvature
from jaxrobust.evaluation.curvature_rows import CurvatureSteps as CurvatureSteps
from jaxrobust.evaluation.curvature_rows import (
  curvature_cells as curvature_cells,
)
from jaxrobust.evaluation.curvature_rows import (
  make_curvature_steps as make_curvature_steps,
)
from jaxrobust.evaluation.curvature_rows import (
  measure_curvature as measure_curvature,
)
from jaxrobust.evaluation.geometry import FEATURES as FEATURES
from jaxrobust.evaluation.geometry import Activations as Activations
from jaxrobust.evaluation.geometry import ActivationSteps as ActivationSteps
from jaxrobust.evaluation.geometry import layer_names as layer_names
from jaxrobust.evaluation.geometry import linear_head as linear_head
from jaxrobust.evaluation.geometry import (
  make_activation_steps as make_activation_steps,
)
from jaxrobust.evaluation.geometry import separability as separability
from jaxrobust.evaluation.geometry import (
  summarise_geometry as summarise_geometry,
)
from jaxrobust.evaluation.geometry_rows import Geometry as Geometry
from jaxrobust.evaluation.geometry_rows import geometry_cells as geometry_cells
from jaxrobust.evaluation.geometry_rows import (
  measure_geometry as measure_geometry,
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
from jaxrobust.evaluation.noise_bounds import LossVariance as LossVariance
from jaxrobust.evaluation.noise_bounds import (
  feature_stability as feature_stability,
)
from jaxrobust.evaluation.noise_bounds import largest_gap as largest_gap
from jaxrobust.evaluation.noise_bounds import loss_variance as loss_variance
from jaxrobust.evaluation.perturbations import Perturbation as Perturbation
from jaxrobust.evaluation.perturbations import grid as grid
from jaxrobust.evaluation.perturbations import judge as judge
from jaxrobust.evaluation.perturbations import (
  make_perturb_step as make_perturb_step,
)
from jaxrobust.evaluation.perturbations import (
  make_predict_step as make_predict_step,
)
from jaxrobust.evaluation.perturbations import perturb as perturb
from jaxrobust.evaluation.query_rows import SquareAttack as SquareAttack
from jaxrobust.evaluation.query_rows import SquareSteps as SquareSteps
from jaxrobust.evaluation.query_rows import (
  make_square_steps as make_square_steps,
)
from jaxrobust.evaluation.query_rows import square_cells as square_cells
from jaxrobust.evaluation.regression import (
  judge_regression as judge_regression,
)
from jaxrobust.evaluation.regression import (
  summarise_regression as summarise_regression,
)
from jaxrobust.evaluation.results import COLUMNS as COLUMNS
from jaxrobust.evaluation.results import Results as Results
from jaxrobust.evaluation.results import read_rows as read_rows
from jaxrobust.evaluation.robustness import Groups as Groups
from jaxrobust.evaluation.robustness import (
  robustness_count as robustness_count,
)
from jaxrobust.evaluation.robustness import (
  robustness_groups as robustness_groups,
)
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
