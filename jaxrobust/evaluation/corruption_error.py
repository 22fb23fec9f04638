"""Mean corruption errors, with and without a baseline.

Three numbers go by the name of mCE, and they differ by tens of points. Here
each is a function, and a baseline is always given, never implied:

- on ImageNet-C errors are divided by those of AlexNet and averaged
  (`mean_corruption_error` with `ALEXNET_ERRORS`);
- on CIFAR-10-C and CIFAR-100-C they are only averaged
  (`unnormalised_corruption_error`);
- the relative one is of what a corruption adds to the clean error
  (`relative_mean_corruption_error`).
"""

from collections.abc import Mapping, Sequence

import numpy as np

# Of a corruption: the error at each severity, or their mean; in [0, 1].
Errors = Mapping[str, Sequence[float] | float]

# Errors of AlexNet on ImageNet-C, means over the five severities; as in
# github.com/google-research/augmix, imagenet.py, which takes them from
# github.com/hendrycks/robustness.
ALEXNET_ERRORS: Mapping[str, float] = {
  "gaussian_noise": 0.886428,
  "shot_noise": 0.894468,
  "impulse_noise": 0.922640,
  "defocus_blur": 0.819880,
  "glass_blur": 0.826268,
  "motion_blur": 0.785948,
  "zoom_blur": 0.798360,
  "snow": 0.866816,
  "frost": 0.826572,
  "fog": 0.819324,
  "brightness": 0.564592,
  "contrast": 0.853204,
  "elastic_transform": 0.646056,
  "pixelate": 0.717840,
  "jpeg_compression": 0.606500,
}


def unnormalised_corruption_error(errors: Errors) -> float:
  """The mean error over corruptions, each the mean over its severities.

    mean_c mean_s E_cs

  It is what papers report on CIFAR-10-C and CIFAR-100-C.

  Args:
    errors: By corruption, the error at each severity, or their mean; shares in
      [0, 1].

  Returns:
    A share in [0, 1].

  Raises:
    ValueError: If there is none, or one is no share.

  Example:
    >>> unnormalised_corruption_error({"fog": [0.25, 0.75], "snow": 0.25})
    0.375
  """
  return float(np.mean(list(_means("errors", errors).values())))


def mean_corruption_error(errors: Errors, baseline_errors: Errors) -> float:
  """The mean corruption error, in units of a baseline's.

    mCE = mean_c CE_c,  CE_c = sum_s E_cs / sum_s B_cs

  Args:
    errors: E, by corruption, the error at each severity, or their mean; shares
      in [0, 1].
    baseline_errors: B, likewise, of a named other network on the same
      corruptions: for ImageNet-C `ALEXNET_ERRORS`. For CIFAR there is no
      customary one: see `unnormalised_corruption_error`.

  Returns:
    1 for a network as good as the baseline; papers write 100 times that.

  Raises:
    ValueError: If the corruptions or the numbers of severities differ, a value
      is no share, or the baseline is without error.

  Example:
    >>> mean_corruption_error(
    ...   {"fog": [0.25, 0.75], "snow": [0.5, 1.0]},
    ...   {"fog": [0.5, 0.5], "snow": [0.25, 0.5]},
    ... )
    1.5

  References:
    D. Hendrycks and T. Dietterich, Benchmarking Neural Network Robustness to
    Common Corruptions and Perturbations, ICLR 2019, section 4.2.
  """
  own, base = _pair(errors, baseline_errors)
  return _mean_ratio(own, base, "baseline_errors", "0")


def relative_mean_corruption_error(
  errors: Errors,
  clean_error: float,
  baseline_errors: Errors,
  baseline_clean_error: float,
) -> float:
  """The mean of what corruptions add to the error, in units of a baseline's.

    mean_c [sum_s (E_cs - E_clean) / sum_s (B_cs - B_clean)]

  Args:
    errors: As of `mean_corruption_error`.
    clean_error: Of the same network on clean images, in [0, 1].
    baseline_errors: As of `mean_corruption_error`.
    baseline_clean_error: Of the baseline, in [0, 1].

  Returns:
    1 for a network that loses as much as the baseline.

  Raises:
    ValueError: As of `mean_corruption_error`, or if the baseline loses nothing
      by a corruption.

  Example:
    >>> relative_mean_corruption_error(
    ...   {"fog": [0.25, 0.75]}, 0.25, {"fog": [0.5, 0.75]}, 0.5
    ... )
    2.0
  """
  own, base = _pair(errors, baseline_errors)
  clean = _means("clean_error", {"clean": clean_error})["clean"]
  base_clean = _means("baseline_clean_error", {"clean": baseline_clean_error})
  return _mean_ratio(
    {name: value - clean for name, value in own.items()},
    {name: value - base_clean["clean"] for name, value in base.items()},
    "baseline_errors",
    "baseline_clean_error",
  )


def _mean_ratio(own, base, argument, floor):
  for name, value in base.items():
    if value <= 0:
      raise ValueError(
        f"{argument} of {name}: their mean must be above {floor}"
      )
  return float(np.mean([own[name] / base[name] for name in base]))


def _pair(
  errors: Errors, baseline_errors: Errors
) -> tuple[dict[str, float], dict[str, float]]:
  """The means over severities of two networks on the same corruptions."""
  own = _means("errors", errors)
  base = _means("baseline_errors", baseline_errors)
  if own.keys() != base.keys():
    raise ValueError(
      "baseline_errors and errors must be of the same corruptions; only one "
      f"has: {', '.join(sorted(own.keys() ^ base.keys()))}"
    )
  for name in own:
    counts = np.size(errors[name]), np.size(baseline_errors[name])
    # One number stands for the mean over however many severities.
    both = not (np.isscalar(errors[name]) or np.isscalar(baseline_errors[name]))
    if both and counts[0] != counts[1]:
      raise ValueError(
        f"errors of {name} at {counts[0]} severities, baseline_errors at "
        f"{counts[1]}: must be as many"
      )
  return own, base


def _means(argument: str, errors: Errors) -> dict[str, float]:
  if not errors:
    raise ValueError(f"{argument}: must have a corruption at least")
  means = {}
  for name, values in errors.items():
    each = np.asarray(values, np.float64)
    # Percent and NaN are refused alike.
    if each.size == 0 or not ((each >= 0) & (each <= 1)).all():
      raise ValueError(f"{argument} of {name}: {values}; must lie in [0, 1]")
    means[name] = float(each.mean())
  return means
