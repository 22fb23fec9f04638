"""Daily returns of stock indices: a real series with impulses.

The `arch` package ships the prices, so nothing is downloaded.
"""

import importlib

import numpy as np

from jaxrobust.data.errors import DataError

INDICES = ("sp500", "nasdaq")
WEEK = 5  # trading days

# Where each split ends, as a share of all days.
_ENDS = {"train": 0.7, "validation": 0.85, "test": 1.0}


def daily_returns(name: str) -> np.ndarray:
  """Daily log returns in percent, 1999 to 2018.

    r_t = 100 log(p_t / p_{t-1}),  p the adjusted closing price

  Args:
    name: 'sp500' or 'nasdaq'.

  Returns:
    float64 [5030], oldest first.

  Raises:
    DataError: for another name, or if `arch` is not installed.
  """
  if name not in INDICES:
    raise DataError(
      f"config.data.name is {name!r}; allowed for source 'returns': "
      f"{', '.join(INDICES)}"
    )
  try:
    table = importlib.import_module(f"arch.data.{name}").load()
  except ImportError as error:
    raise DataError(
      "source 'returns' needs the arch package: pip install "
      f"'jaxrobust[series]' ({error})"
    ) from error
  return 100 * np.diff(np.log(table["Adj Close"].to_numpy(np.float64)))


def volatility_windows(
  returns: np.ndarray, split: str, window: int, weeks: int
) -> tuple[np.ndarray, np.ndarray]:
  """Past returns, and how much they will move in the weeks that follow.

  The target of week d = 0, 1, ... after day t is the log of the mean absolute
  return in it,

    y_d = log (1/5) sum_{i=1..5} |r_{t + 5 d + i}|,

  the log of realised volatility up to a constant; the sign of a return is
  hardly predictable, its size is. The days are split in time: the first 70 %
  for training, 15 % for validation and the last 15 % for testing. A window and
  its weeks lie within one part, so that no day is in two.

  Args:
    returns: float [N], oldest first.
    split: 'train', 'validation' or 'test'.
    window: the number of past days.
    weeks: the number of following weeks, of five trading days each.

  Returns:
    (windows float32 [M, window, 1], targets float32 [M, weeks]).

  Raises:
    DataError: for another split, or if the part is shorter than a window and
      its weeks.

  Example:
    >>> windows, targets = volatility_windows(np.ones(100), "train", 60, 2)
    >>> windows.shape, targets.tolist()
    ((1, 60, 1), [[0.0, 0.0]])

  References:
    Corsi, A simple approximate long-memory model of realized volatility,
    Journal of Financial Econometrics 7, 2009.
  """
  if split not in _ENDS:
    raise DataError(
      f"source 'returns' has no split {split!r}; allowed: "
      f"{', '.join(map(repr, _ENDS))}"
    )
  ends = [0, *(round(share * len(returns)) for share in _ENDS.values())]
  place = list(_ENDS).index(split)
  part = np.asarray(returns[ends[place] : ends[place + 1]], np.float64)
  span = window + WEEK * weeks
  if len(part) < span:
    raise DataError(
      f"split {split!r} has {len(part)} days; a window of {window} and "
      f"{weeks} weeks need {span}"
    )
  spans = np.lib.stride_tricks.sliding_window_view(part, span)
  future = np.abs(spans[:, window:]).reshape(len(spans), weeks, WEEK)
  # A week without any movement, which no index had, has no logarithm.
  targets = np.log(np.maximum(future.mean(-1), 1e-4))
  windows = spans[:, :window, None]
  return windows.astype(np.float32), targets.astype(np.float32)
