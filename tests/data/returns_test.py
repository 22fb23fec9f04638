"""Windows of returns, against loops over days; the index data if installed."""

import itertools
import sys
import types

import numpy as np
import pytest

import jaxrobust
from jaxrobust.data import DataError, load
from jaxrobust.data.returns import daily_returns, volatility_windows

RETURNS = np.random.default_rng(0).standard_t(3, size=400)
ENDS = {"train": (0, 280), "validation": (280, 340), "test": (340, 400)}


@pytest.mark.parametrize("split", ENDS)
@pytest.mark.parametrize(("window", "weeks"), [(20, 1), (12, 3)])
def test_targets_are_the_log_mean_size_of_the_weeks_that_follow(
  split, window, weeks
):
  windows, targets = volatility_windows(RETURNS, split, window, weeks)
  first, end = ENDS[split]
  days = range(first + window, end - 5 * weeks + 1)
  assert len(windows) == len(targets) == len(days)
  assert windows.dtype == targets.dtype == np.float32
  for row, day in enumerate(days):
    np.testing.assert_array_equal(
      windows[row, :, 0], RETURNS[day - window : day].astype(np.float32)
    )
    for week in range(weeks):
      sizes = [abs(RETURNS[day + 5 * week + i]) for i in range(5)]
      assert targets[row, week] == pytest.approx(
        np.log(sum(sizes) / 5), abs=1e-5
      )


def test_no_day_is_in_two_splits():
  # Every day has a size of its own, and so tells where it is used.
  days = 1.001 ** np.arange(400)
  spans = []
  for split in ENDS:
    windows, targets = volatility_windows(days, split, 20, 1)
    last = np.exp(targets.max()) * 1.001**2  # The middle of its week, plus two.
    spans.append((windows.min(), last))
  for (_, end), (start, _) in itertools.pairwise(spans):
    assert end < start


def test_other_splits_and_short_ones_are_refused():
  with pytest.raises(DataError, match="no split 'val'; allowed: 'train', 'val"):
    volatility_windows(RETURNS, "val", 20, 1)
  with pytest.raises(DataError, match=r"'test' has 60 days; .*need 65"):
    volatility_windows(RETURNS, "test", 60, 1)


def returns_config(**fields):
  config = jaxrobust.default_config()
  config.data.update(
    {"source": "returns", "name": "sp500", "shape": (64, 1)}
    | {"num_classes": 0, "targets": 1, **fields}
  )
  return config.data


def test_without_arch_one_line_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, "arch", None)
  monkeypatch.setitem(sys.modules, "arch.data", None)
  monkeypatch.setitem(sys.modules, "arch.data.sp500", None)
  with pytest.raises(DataError, match=r"pip install 'jaxrobust\[series\]'"):
    load(returns_config(), "train")
  with pytest.raises(DataError, match="allowed for source 'returns': sp500, n"):
    load(returns_config(name="dax"), "train")


@pytest.mark.parametrize(
  "fields", [{"shape": (64, 2)}, {"targets": 0}, {"shape": (8, 8, 1)}]
)
def test_another_shape_is_refused(fields):
  with pytest.raises(DataError, match=r"allowed for source 'returns': \(days"):
    load(returns_config(**fields), "train")


def test_returns_are_logs_of_ratios_in_percent(monkeypatch):
  prices = types.SimpleNamespace(
    to_numpy=lambda dtype: np.asarray([100.0, 110.0, 99.0], dtype)
  )
  module = types.SimpleNamespace(load=lambda: {"Adj Close": prices})
  monkeypatch.setitem(sys.modules, "arch", types.ModuleType("arch"))
  monkeypatch.setitem(sys.modules, "arch.data", types.ModuleType("arch.data"))
  monkeypatch.setitem(sys.modules, "arch.data.sp500", module)
  expected = [100 * np.log(1.1), 100 * np.log(0.9)]
  np.testing.assert_allclose(daily_returns("sp500"), expected)


@pytest.mark.parametrize("name", ["sp500", "nasdaq"])
def test_the_indices_have_twenty_years_of_days(name):
  pytest.importorskip("arch")
  returns = daily_returns(name)
  assert returns.shape == (5030,)
  assert np.isfinite(returns).all()
  # The largest days, of 2001 and 2008, moved ten percent and more.
  assert 9 < np.abs(returns).max() < 14
  sizes = [
    len(load(returns_config(name=name), split))
    for split in ("train", "validation", "test")
  ]
  assert sizes == [3453, 687, 686]
