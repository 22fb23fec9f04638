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
from jaxrobust.evaluation.adaptation import own_method as own_method
from jaxrobust.evaluation.adaptation import pool_statistics as pool_statistics
from jaxrobust.evaluation.adaptation import smoothed_as as smoothed_as
from jaxrobust.evaluation.adaptation import tent_optimizer as tent_optimizer
from jaxrobust.evaluation.adaptation import with_arrays as with_arrays
from jaxrobust.evaluation.apgd_rows import APGD_LOSSES as APGD_LOSSES
from jaxrobust.evaluation.apgd_rows import Apgd as Apgd
from jaxrobust.evaluation.apgd_rows import ApgdLoss as ApgdLoss
from jaxrobust.evaluation.apgd_rows import ApgdSteps as ApgdSteps
from jaxrobust.evaluation.apgd_rows import apgd_cells as apgd_cells
from jaxrobust.evaluation.apgd_rows import make_apgd_steps as make_apgd_steps
from jaxrobust.evaluation.attack_rows import Attack as Attack
from jaxrobust.evaluation.attack_rows import AttackSteps as AttackSteps
from jaxrobust.evaluation.attack_rows import attack_cells as attack_cells
from jaxrobust.evaluation.attack_rows import is_attack as is_attack
from jaxrobust.evaluation.attack_rows import logits_of as logits_of
from jaxrobust.evaluation.attack_rows import (
  make_attack_steps as make_attack_steps,
)
from jaxrobust.evaluation.calibration import Reliability as Reliability
from jaxrobust.evaluation.calibration import (
  adaptive_calibration_error as adaptive_calibration_error,
)
from jaxrobust.evaluation.calibration import (
  apply_temperature as apply_temperature,
)
from jaxrobust.evaluation.calibration import brier_score as brier_score
from jaxrobust.evaluation.calibration import fit_temperature as fit_temperature
from jaxrobust.evaluation.calibration import reliability as reliability
from jaxrobust.evaluation.calibration_rows import CALIBRATION as CALIBRATION
from jaxrobust.evaluation.calibration_rows import RELIABILITY as RELIABILITY
from jaxrobust.evaluation.calibration_rows import (
  TEMPERATURE_SCALED as TEMPERATURE_SCALED,
)
from jaxrobust.evaluation.calibration_rows import Calibration as Calibration
from jaxrobust.evaluation.calibration_rows import Predictions as Predictions
from jaxrobust.evaluation.calibration_rows import (
  calibration_cells as calibration_cells,
)
from jaxrobust.evaluation.calibration_rows import (
  measure_calibration as measure_calibration,
)
from jaxrobust.evaluation.certified_rows import CERTIFIED as CERTIFIED
from jaxrobust.evaluation.certified_rows import Certified as Certified
from jaxrobust.evaluation.certified_rows import Votes as Votes
from jaxrobust.evaluation.certified_rows import (
  certified_cells as certified_cells,
)
from jaxrobust.evaluation.certified_rows import make_vote_step as make_vote_step
from jaxrobust.evaluation.certified_rows import (
  measure_certified as measure_certified,
)
from jaxrobust.evaluation.certify import Certificate as Certificate
from jaxrobust.evaluation.certify import certify as certify
from jaxrobust.evaluation.certify import count_votes as count_votes
from jaxrobust.evaluation.certify import predict_smoothed as predict_smoothed
from jaxrobust.evaluation.common_rows import (
  CommonCorruption as CommonCorruption,
)
from jaxrobust.evaluation.common_rows import (
  OfficialCorruption as OfficialCorruption,
)
from jaxrobust.evaluation.common_rows import common_cells as common_cells
from jaxrobust.evaluation.common_rows import (
  make_common_step as make_common_step,
)
from jaxrobust.evaluation.common_rows import mnist_c_cells as mnist_c_cells
from jaxrobust.evaluation.common_rows import (
  named_corruptions as named_corruptions,
)
from jaxrobust.evaluation.common_rows import official_cells as official_cells
from jaxrobust.evaluation.corruption_error import (
  ALEXNET_ERRORS as ALEXNET_ERRORS,
)
from jaxrobust.evaluation.corruption_error import (
  mean_corruption_error as mean_corruption_error,
)
from jaxrobust.evaluation.corruption_error import (
  relative_mean_corruption_error as relative_mean_corruption_error,
)
from jaxrobust.evaluation.corruption_error import (
  unnormalised_corruption_error as unnormalised_corruption_error,
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
from jaxrobust.evaluation.ensemble_rows import Ensemble as Ensemble
from jaxrobust.evaluation.ensemble_rows import after as after
from jaxrobust.evaluation.ensemble_rows import ensemble_cells as ensemble_cells
from jaxrobust.evaluation.ensemble_rows import kind_of as kind_of
from jaxrobust.evaluation.examples import example_path as example_path
from jaxrobust.evaluation.examples import save_examples as save_examples
from jaxrobust.evaluation.fab_rows import Fab as Fab
from jaxrobust.evaluation.fab_rows import fab_cells as fab_cells
from jaxrobust.evaluation.fab_rows import make_fab_step as make_fab_step
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
from jaxrobust.evaluation.perturbations import CLEAN as CLEAN
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
from jaxrobust.evaluation.selfcheck_rows import SELF_CHECK as SELF_CHECK
from jaxrobust.evaluation.selfcheck_rows import SelfCheck as SelfCheck
from jaxrobust.evaluation.selfcheck_rows import (
  run_self_checks as run_self_checks,
)
from jaxrobust.evaluation.selfcheck_rows import (
  self_check_cells as self_check_cells,
)
from jaxrobust.evaluation.selfcheck_rows import warnings_of as warnings_of
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
from jaxrobust.evaluation.transfer_rows import Transfer as Transfer
from jaxrobust.evaluation.transfer_rows import name_of as name_of
from jaxrobust.evaluation.transfer_rows import transfer_cells as transfer_cells
