"""Curvature as result rows: of the loss in the input, at the first examples.

All rows have the perturbation "curvature", and units of the input throughout.
A metric is the mean over the images and, with `_median` behind its name, their
median: a few images have nearly all of the mean. By strength they are

  0    `gauss_newton_frobenius_squared`, `_trace`, `_top`: exact for networks
       that are piecewise linear; `hutchinson_frobenius_squared`, `_trace` and
       `lanczos_top`: of the whole Hessian, by products with it
  h    `finite_difference`: the paper's estimate, which is nothing without h
  std  of Gaussian noise: `loss_mean_square`, `loss_variance`,
       `loss_variance_nonlinear`, `loss_variance_even`, `logit_bound` and
       `feature_bound`, bounds on the smoothed loss's squared Frobenius norm;
       `feature_stability`, E ||q(x + e) - q(x)||^2; `robustness_count`, of 10;
       `gauss_newton_frobenius_squared(count=C)`, the mean over the n_examples
       images of that count; `pearson`, `pearson_of_groups` and `spearman`, how
       the two go together
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrobust import data
from jaxrobust.evaluation import (
  curvature,
  noise_bounds,
  robustness,
)
from jaxrobust.evaluation.perturbations import Perturbation
from jaxrobust.evaluation.results import Results
from jaxrobust.evaluation.suite import Subject
from jaxrobust.methods.forwards import ForwardFn

CURVATURE = "curvature"
Kind = Literal["hessian", "difference", "noise"]
_EXACT = "gauss_newton_frobenius_squared"
# Of Lanczos. Five are within 2e-4, and each takes a while to compile.
_STEPS = 6
# The metrics that each kind of cell always has.
_METRICS = {
  "hessian": (
    _EXACT,
    "gauss_newton_trace",
    "gauss_newton_top",
    "hutchinson_frobenius_squared",
    "hutchinson_trace",
    "lanczos_top",
  ),
  "difference": ("finite_difference",),
  "noise": (
    "loss_mean_square",
    "loss_variance",
    "loss_variance_nonlinear",
    "loss_variance_even",
    "logit_bound",
    "feature_stability",
    "robustness_count",
  ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curvature(Perturbation):
  """One measurement.

  Attributes:
    strength: Of "hessian" 0, of "difference" h, of "noise" its standard
      deviation, in units of the input.
    kind: "hessian", "difference" or "noise".
  """

  kind: Kind


def curvature_cells(
  examples: int, hs: Sequence[float], stds: Sequence[float]
) -> list[Curvature]:
  """The measurements of some first examples, none if there are none.

  Args:
    examples: How many of the split's first examples are measured.
    hs: The steps of `curvature.finite_difference`.
    stds: The standard deviations of the noise.

  Returns:
    The cells, for `measure_curvature`.

  Example:
    >>> [(cell.kind, cell.strength) for cell in curvature_cells(9, [0.01], [])]
    [('hessian', 0.0), ('difference', 0.01)]
  """

  def cell(kind: Kind, strength: float) -> Curvature:
    return Curvature(CURVATURE, strength, 2.0, 0.0, first=examples, kind=kind)

  if not examples:
    return []
  return [
    cell("hessian", 0.0),
    *(cell("difference", float(h)) for h in hs),
    *(cell("noise", float(std)) for std in stds),
  ]


@dataclasses.dataclass(frozen=True)
class CurvatureSteps:
  """The per-device functions of the measurements, by kind.

  Each is a function of (variables, batch, key, strength), with a batch as
  `data.Loader` gives it, and returns numbers per example, [N] each.
  """

  hessian: Callable[..., dict[str, jax.Array]]
  difference: Callable[..., dict[str, jax.Array]]
  noise: Callable[..., dict[str, jax.Array]]


def make_curvature_steps(
  model: nn.Module, forward: ForwardFn, is_image: bool, probes: int
) -> CurvatureSteps:
  """Builds the per-device functions that measure curvature.

  What is measured of an example depends on (key, index) alone. A model that
  computes in bfloat16 is measured in float32.

  Args:
    model: The model.
    forward: How it is evaluated; the loss is that of its logits.
    is_image: Whether noisy inputs are clipped to [0, 1] before they are
      counted; those that bounds are estimated from never are.
    probes: How many probes, or pairs of noises, an estimate has.

  Returns:
    The functions.

  Example:
    >>> from jaxrobust import methods, models
    >>> model = models.build("mlp", num_classes=3, hidden=(4,))
    >>> variables = model.init(jax.random.key(0), jnp.ones((1, 5)))
    >>> forward = methods.forwards.deterministic()
    >>> steps = make_curvature_steps(model, forward, False, probes=2)
    >>> batch = {"inputs": jnp.ones((2, 5)), "index": jnp.arange(2)}
    >>> batch["labels"] = jnp.asarray([0, 2])
    >>> found = steps.difference(variables, batch, jax.random.key(0), 0.01)
    >>> found["finite_difference"].shape
    (2,)
  """
  if getattr(model, "dtype", jnp.float32) != jnp.float32:
    model = model.clone(dtype=jnp.float32)

  def prepared(variables, batch, key):
    def outputs_fn(x):
      return forward(model, variables, x, jnp.ones(len(x)), False)[0]

    keys = data.example_keys(key, data.Tag.CURVATURE, batch["index"])
    # One for probes, for noise and for counts.
    keys = jax.vmap(jax.random.split, (0, None), 1)(keys, 3)
    inputs = data.as_float(batch["inputs"])
    return outputs_fn, lambda x: outputs_fn(x).logits, keys, inputs

  def hessian(variables, batch, key, strength):
    del strength
    _, logits_fn, (keys, _, _), inputs = prepared(variables, batch, key)
    exact = curvature.gauss_newton(logits_fn, inputs)
    arguments = keys, logits_fn, inputs, batch["labels"]
    probed = curvature.hutchinson(*arguments, probes=probes)
    return {
      _EXACT: exact.frobenius_squared,
      "gauss_newton_trace": exact.trace,
      "gauss_newton_top": exact.top,
      "hutchinson_frobenius_squared": probed.frobenius_squared,
      "hutchinson_trace": probed.trace,
      "lanczos_top": curvature.top_eigenvalue(*arguments, steps=_STEPS),
    }

  def difference(variables, batch, key, strength):
    _, logits_fn, (keys, _, _), inputs = prepared(variables, batch, key)
    found = curvature.finite_difference(
      keys, logits_fn, inputs, batch["labels"], h=strength, probes=probes
    )
    return {"finite_difference": found}

  def noise(variables, batch, key, strength):
    outputs_fn, logits_fn, keys, inputs = prepared(variables, batch, key)
    _, noises, counted = keys
    labels, both = batch["labels"], {"std": strength, "pairs": probes}
    bounds = noise_bounds.loss_variance(
      noises, logits_fn, inputs, labels, **both
    )
    stability = noise_bounds.feature_stability(
      noises, lambda x: outputs_fn(x).features, inputs, **both
    )
    low, high = (0.0, 1.0) if is_image else (None, None)
    counts = robustness.robustness_count(
      counted, logits_fn, inputs, labels, std=strength, low=low, high=high
    )
    return {
      "loss_mean_square": bounds.mean_square,
      "loss_variance": bounds.variance,
      "loss_variance_nonlinear": bounds.nonlinear,
      "loss_variance_even": bounds.even,
      "logit_bound": bounds.logits,
      "feature_stability": stability,
      "robustness_count": counts,
    }

  return CurvatureSteps(hessian, difference, noise)


def measure_curvature(
  subject: Subject,
  measure: Callable[[Curvature], Mapping[str, np.ndarray]],
  cells: Sequence[Curvature],
  results: Results,
  head: Any = None,
) -> Iterator[Curvature]:
  """Appends the rows of every measurement that are not there yet.

  Args:
    subject: The columns that all rows of a run share.
    measure: Gives the numbers of every example, [n] each, of one cell.
    cells: As `curvature_cells` gives them.
    results: Where the rows go, one cell at a time; an interrupted evaluation
      continues there.
    head: The kernel [d, K] of the linear map from features to logits, for
      `feature_bound`; None if there is no such map.

  Yields:
    Each cell, when its rows are written.
  """
  once = functools.cache(measure)
  for cell in cells:
    shared = dataclasses.asdict(subject) | {
      "perturbation": CURVATURE,
      "strength": cell.strength,
      "severity": None,
      "n_examples": cell.count(subject.n_examples),
    }
    names = list(_METRICS[cell.kind])
    if cell.kind == "noise" and head is not None:
      names.append("feature_bound")
    wanted = [
      {**shared, "metric": name + suffix}
      for name in names
      for suffix in ("", "_median")
    ]
    if any(row not in results for row in wanted):
      found = dict(once(cell))
      rows = []
      if cell.kind == "noise":
        if head is not None:
          scale = 2 * noise_bounds.largest_gap(head) ** 2 / cell.strength**4
          found["feature_bound"] = found["feature_stability"] * float(scale)
        exact = once(dataclasses.replace(cell, strength=0.0, kind="hessian"))
        rows = _group_rows(exact[_EXACT], found["robustness_count"], shared)
      # The rows whose names and numbers are known beforehand come last: if a
      # kill leaves some lines out, these are among them.
      for row in wanted:
        name, median, _ = row["metric"].partition("_median")
        values = np.asarray(found[name], np.float64)
        value = np.median(values) if median else values.mean()
        rows.append({**row, "value": float(value)})
      results.append(rows)
    yield cell


def _group_rows(
  exact: np.ndarray, counts: np.ndarray, shared: Mapping[str, Any]
) -> list[dict[str, Any]]:
  """The rows that set curvature against the robustness count."""
  groups = robustness.robustness_groups(exact, counts)
  rows = [
    {
      **shared,
      "metric": f"{_EXACT}(count={count})",
      "value": float(mean),
      "n_examples": int(size),
    }
    for count, (size, mean) in enumerate(
      zip(groups.sizes, groups.means, strict=True)
    )
    if size
  ]
  rows += [
    {**shared, "metric": name, "value": getattr(groups, name)}
    for name in ("pearson", "pearson_of_groups", "spearman")
  ]
  return [row for row in rows if not math.isnan(row["value"])]
