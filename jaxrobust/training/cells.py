"""The cells of a config: all that its model is judged under."""

import dataclasses
from collections.abc import Sequence

import ml_collections

from jaxrobust import evaluation
from jaxrobust.evaluation import Perturbation

# Cells that do not judge answers.
MEASURED = (
  evaluation.Calibration,
  evaluation.Certified,
  evaluation.Curvature,
  evaluation.Geometry,
  evaluation.SelfCheck,
)


def grid(config: ml_collections.ConfigDict) -> list[Perturbation]:
  """All that a run is judged under: noises, and whatever else is asked for."""
  pruned = config.eval.pruned_shares if config.eval.sparsity else ()
  measured = evaluation.curvature_cells(
    config.eval.curvature_examples,
    config.eval.curvature_h,
    config.eval.curvature_std,
  )
  corrupted = evaluation.corruption_cells(
    uniform_eps=config.eval.uniform_eps,
    patches=config.eval.patches,
    resolutions=config.eval.resolutions,
    salt_and_pepper=config.eval.salt_and_pepper,
    combined=config.eval.combined,
    shot=config.eval.shot,
    drift_stds=config.eval.drift_stds,
    drift_period=config.eval.drift_period,
  )
  cells = [
    *noise_grid(config),
    *corrupted,
    *_common_corruptions(config),
    *evaluation.pruned_cells(pruned),
    *_attacks(config),
    *evaluation.geometry_cells(
      config.eval.features_stds, config.eval.features_examples
    ),
    *measured,
    *evaluation.calibration_cells(config.eval.calibration),
    *evaluation.certified_cells(
      config.eval.certify_stds,
      radii=config.eval.certify_radii,
      draws=config.eval.certify_draws,
      selection_draws=config.eval.certify_selection_draws,
      alpha=config.eval.certify_alpha,
      examples=config.eval.certify_examples,
      clip=config.eval.certify_clip,
    ),
  ]
  if not config.eval.examples:
    return cells
  most = config.eval.examples
  return [
    dataclasses.replace(cell, first=min(cell.first or most, most))
    for cell in cells
  ]


def _common_corruptions(
  config: ml_collections.ConfigDict,
) -> list[Perturbation]:
  """The cells of the common corruptions, of our own making or official."""
  table, files = config.eval.corruption_table, config.eval.corrupted_files
  names = evaluation.named_corruptions(config.eval.corruptions, table)
  severities = config.eval.corruption_severities
  first = config.eval.corruption_examples or None
  if files:
    return [*evaluation.official_cells(names, severities, table, files, first)]
  if table == "mnist":
    return [*evaluation.mnist_c_cells(names, first)]
  return [*evaluation.common_cells(names, severities, table, first)]


def _attacks(config: ml_collections.ConfigDict) -> list[Perturbation]:
  """The cells of the attacks, and of their checks of themselves."""
  eps, norm = config.eval.attack_eps, config.eval.attack_norm
  wanted = config.eval.attacks
  examples = config.eval.attack_examples or None
  is_image = len(config.data.shape) == 3
  cells: list[Perturbation] = [
    cell
    for cell in evaluation.attack_cells(
      eps,
      steps=config.eval.attack_steps,
      restarts=config.eval.attack_restarts,
      examples=examples,
      norm=norm,
      gradients=config.eval.attack_gradients,
    )
    if evaluation.kind_of(cell) in wanted
  ]
  for gradient in config.eval.attack_gradients:
    cells += evaluation.apgd_cells(
      eps,
      losses=[
        loss for loss in evaluation.APGD_LOSSES if f"apgd-{loss}" in wanted
      ],
      steps=config.eval.standard_steps,
      examples=examples,
      norm=norm,
      gradient=gradient,
    )
  cells += evaluation.transfer_cells(
    eps,
    config.eval.surrogates,
    steps=config.eval.attack_steps,
    restarts=config.eval.attack_restarts,
    examples=examples,
    norm=norm,
  )
  if "fab-t" in wanted:
    steps = config.eval.standard_steps
    cells += evaluation.fab_cells(
      eps, steps=steps, examples=examples, norm=norm
    )
  cells += evaluation.square_cells(
    eps,
    queries=config.eval.attack_queries,
    examples=config.eval.attack_query_examples,
    norm=norm,
  )
  if "standard" in wanted:
    ensembles = [
      cell
      for gradient in config.eval.attack_gradients
      for cell in evaluation.ensemble_cells(
        eps,
        norm=norm,
        examples=examples,
        steps=config.eval.standard_steps,
        queries=config.eval.standard_queries,
        gradient=gradient,
        is_image=is_image,
      )
    ]
    cells += ensembles
    cells += evaluation.self_check_cells(
      ensembles[: len(eps)], is_image=is_image
    )
  return cells


def adaptable(cells: Sequence[Perturbation]) -> list[Perturbation]:
  """The cells of test inputs as such, neither attacked nor measured."""
  other = (*MEASURED, evaluation.Attack, evaluation.OfficialCorruption)
  return [
    cell
    for cell in cells
    if not isinstance(cell, other) and cell.name != evaluation.PRUNED
  ]


def noise_grid(config: ml_collections.ConfigDict) -> list[Perturbation]:
  """The test noises of `config.eval`."""
  return evaluation.grid(
    config.eval.gaussian_stds,
    config.eval.alphas,
    config.eval.flip_rates,
    burst_alphas=config.eval.burst_alphas,
    burst_rates=config.eval.burst_rates,
    burst_share=config.eval.burst_share,
    burst_length=config.eval.burst_length,
  )
