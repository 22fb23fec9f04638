"""The k-th largest is exact, and supports have the share they should."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jaxrobust import inverse_scale

RNG = np.random.default_rng(0)
kth_largest = jax.jit(inverse_scale.kth_largest)
largest_edges = jax.jit(inverse_scale.largest_edges)


def test_the_kth_largest_is_that_of_sorting():
  values = np.abs(RNG.standard_cauchy((40, 57))).astype(np.float32)
  values[:20, ::3] = 0.0
  values[10:30, 1::3] = values[10:30, :1]
  values[0, :4] = [1e-45, 3e38, 1e-38, np.inf]
  # XLA flushes denormal numbers to zero in sums, not in comparisons of bits.
  for count in (1, 2, 20, 56, 57):
    expected = np.sort(values, axis=1)[:, -count]
    np.testing.assert_array_equal(kth_largest(values, count), expected)
  counts = RNG.integers(1, 58, 40)
  expected = np.sort(values, axis=1)[np.arange(40), -counts]
  np.testing.assert_array_equal(kth_largest(values, counts), expected)


def test_ranks_out_of_range_are_infinite_and_zero():
  values = np.ones((3, 4), np.float32)
  found = kth_largest(values, np.asarray([0, 4, 5]))
  np.testing.assert_array_equal(found, [np.inf, 1, 0])
  assert kth_largest(np.zeros((1, 0), np.float32), 1) == 0


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(
  st.lists(st.integers(0, 4), min_size=12, max_size=12), st.integers(0, 12)
)
def test_a_support_has_the_k_largest_and_their_ties_but_no_zeros(row, count):
  support = np.asarray(largest_edges(np.float32([row]), count))[0]
  if count == 0:
    assert not support.any()
    return
  threshold = sorted(row)[-count]
  np.testing.assert_array_equal(
    support, [value >= threshold and value > 0 for value in row]
  )


@pytest.mark.parametrize(
  ("shape", "edges"),
  [((1, 2, 4, 5, 3), 93), ((1, 2, 4, 5, 1), 31), ((1, 1, 4, 5, 3), 57)],
)
def test_a_fraction_is_of_the_edges_or_groups_that_there_are(shape, edges):
  support = np.zeros(shape, bool)
  support.flat[:6] = True
  np.testing.assert_allclose(
    inverse_scale.support_fraction(support), 6 / edges, rtol=1e-6
  )


def test_levels_are_read_by_convention():
  levels = jnp.asarray([0.0, 0.3, 1.0])
  convert = inverse_scale.fraction_from_level
  np.testing.assert_array_equal(convert(levels), levels)
  np.testing.assert_allclose(convert(levels, "zeros"), [1, 0.7, 0], rtol=1e-6)
  with pytest.raises(ValueError, match="one of support, zeros"):
    convert(0.3, "nonzeros")
  with pytest.raises(ValueError, match=r"level=1.5: must lie in \[0, 1\]"):
    convert(1.5)
